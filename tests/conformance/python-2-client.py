"""A client of the Python SDK 2:

    python python-2-client.py ERA URL
    python python-2-client.py ERA stdio PROGRAM ARGUMENT...

With ERA "modern" it speaks revision 2026-07-28 where the transport has it, and has a session of
2025-11-25 otherwise, as with ERA "legacy". Its transport is that of the URL: HTTP+SSE (a path
that ends with /sse) or Streamable HTTP; or the standard input and output of a program that it
starts.

Goes through what a host does with a server, and ends with the exit code of the first check that
fails. What it saw is on standard output.
"""

import sys
import warnings

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

# The features of sessions are deprecated: each use has a warning.
warnings.simplefilter("ignore", MCPDeprecationWarning)

URI = "test://watched-resource"


async def elicited(_context, params):
    assert "username" in params.requested_schema["properties"]
    content = {"username": "ann", "email": "ann@example.com"}
    return types.ElicitResult(action="accept", content=content)


async def uses_the_catalog(client):
    """Tools, a resource, a prompt and a completion."""
    tools = await client.list_tools()
    assert any(tool.name == "echo" for tool in tools.tools)
    # Its library reads events of up to 1 MiB.
    message = "x" * 1_000_000
    answer = await client.call_tool("echo", {"message": message})
    assert answer.content[0].text == message
    answer = await client.call_tool("test_custom_header", {"value": "ü ✓"})
    assert answer.content[0].text == '"ü ✓"', answer
    answer = await client.call_tool("test_structured_content", {})
    assert answer.structured_content["temperature"] == 22.5

    progress = []

    async def on_progress(value, _total, _message):
        progress.append(value)

    await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
    assert progress == [0, 50, 100], progress

    failed = await client.call_tool("test_error_handling", {})
    assert failed.is_error
    try:
        await client.call_tool("absent", {})
        raise AssertionError("an unknown tool was called")
    except MCPError as error:
        assert "absent" in str(error), error

    resource = await client.read_resource("test://static-text")
    assert "static text resource" in resource.contents[0].text
    prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
    assert "arg1='one', arg2='two'" in prompt.messages[0].content.text
    reference = types.PromptReference(name="test_prompt_with_arguments")
    completed = await client.complete(reference, {"name": "arg1", "value": "te"})
    assert completed.completion.values == ["test", "testing", "tested"], completed

    answer = await client.call_tool("test_elicitation", {"message": "Who are you?"})
    assert "ann@example.com" in answer.content[0].text, answer

    with anyio.move_on_after(0.2) as scope:
        await client.call_tool("sleep", {"ms": 60_000})
    assert scope.cancelled_caught


async def hears_of_changes(client):
    """In revision 2026-07-28: on a stream of its own."""
    filters = {"tools_list_changed": True, "resource_subscriptions": [URI]}
    async with client.listen(**filters) as subscription:
        events = aiter(subscription)
        await client.call_tool("test_trigger_tool_change", {})
        assert isinstance(await anext(events), ToolsListChanged)
        await client.call_tool("test_trigger_resource_change", {})
        event = await anext(events)
        assert isinstance(event, ResourceUpdated) and event.uri == URI, event


async def main(era, address, *command):
    if address == "stdio":
        server = StdioServerParameters(command=command[0], args=command[1:])
    else:
        server = sse_client(address) if address.endswith("/sse") else address
    updated = anyio.Event()

    async def on_message(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.set()

    mode = "auto" if era == "modern" else era
    is_modern = era == "modern" and not address.endswith("/sse")
    async with Client(
        server, mode=mode, elicitation_callback=elicited, message_handler=on_message
    ) as client:
        expected = "2026-07-28" if is_modern else "2025-11-25"
        assert client.protocol_version == expected, client.protocol_version
        assert client.server_info.name == "corelane-demo"
        with anyio.fail_after(30):
            await uses_the_catalog(client)
            if is_modern:
                await hears_of_changes(client)
            else:
                await client.subscribe_resource(URI)
                await client.call_tool("test_trigger_resource_change", {})
                await updated.wait()
    print("done")


anyio.run(main, *sys.argv[1:])
