"""A client of the Python SDK 1:

    python python-client.py URL
    python python-client.py stdio PROGRAM ARGUMENT...

Its transport is that of the URL: WebSocket (ws: or wss:), HTTP+SSE (a path that ends with /sse) or
Streamable HTTP; or the standard input and output of a program that it starts.

Goes through what a host does with a server in a session of 2025-11-25, and ends with the exit code
of the first check that fails. What it saw is on standard output.
"""

import sys
import warnings

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from mcp.client.websocket import websocket_client

# The transport is no part of the specification, which its authors say with each use.
warnings.simplefilter("ignore", DeprecationWarning)


async def elicited(_context, params):
    assert "username" in params.requestedSchema["properties"]
    content = {"username": "ann", "email": "ann@example.com"}
    return types.ElicitResult(action="accept", content=content)


async def cancels_a_call(session):
    """A call that its client gives up has no answer, and the session goes on."""
    with anyio.move_on_after(0.2) as scope:
        await session.call_tool("sleep", {"ms": 60_000})
    assert scope.cancelled_caught
    # The SDK cancels nothing by itself; its ids count from 0.
    request_id = session._request_id - 1
    params = types.CancelledNotificationParams(requestId=request_id, reason="enough")
    notification = types.CancelledNotification(params=params)
    await session.send_notification(types.ClientNotification(notification))
    await session.send_ping()


async def uses_the_catalog(session):
    """Errors, a resource, a prompt and a completion."""
    failed = await session.call_tool("test_error_handling", {})
    assert failed.isError
    try:
        await session.call_tool("absent", {})
        raise AssertionError("an unknown tool was called")
    except McpError as error:
        assert "absent" in str(error), error
    resource = await session.read_resource("test://static-text")
    assert "static text resource" in resource.contents[0].text
    prompt = await session.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
    assert "arg1='one', arg2='two'" in prompt.messages[0].content.text
    reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    completed = await session.complete(reference, {"name": "arg1", "value": "te"})
    assert completed.completion.values == ["test", "testing", "tested"], completed


def transport(url, *command):
    if url == "stdio":
        return stdio_client(StdioServerParameters(command=command[0], args=command[1:]))
    if url.startswith("ws"):
        return websocket_client(url)
    return sse_client(url) if url.endswith("/sse") else streamablehttp_client(url)


async def main(*address):
    changes = []

    async def on_message(message):
        if isinstance(message, types.ServerNotification):
            changes.append(message.root.method)

    async with (
        transport(*address) as (read, write, *_),
        ClientSession(
            read, write, elicitation_callback=elicited, message_handler=on_message
        ) as session,
    ):
        server = await session.initialize()
        assert server.serverInfo.name == "corelane-demo"
        assert server.protocolVersion == "2025-11-25"
        tools = await session.list_tools()
        assert any(tool.name == "echo" for tool in tools.tools)
        # Its library reads messages of up to 1 MiB.
        message = "x" * 500_000
        answer = await session.call_tool("echo", {"message": message})
        assert answer.content[0].text == message

        progress = []

        async def on_progress(value, _total, _message):
            progress.append(value)

        await session.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        assert progress == [0, 50, 100], progress
        answer = await session.call_tool("test_elicitation", {"message": "Who are you?"})
        assert "ann@example.com" in answer.content[0].text
        await uses_the_catalog(session)
        await session.subscribe_resource("test://watched-resource")
        await session.call_tool("test_trigger_resource_change", {})
        with anyio.fail_after(10):
            while "notifications/resources/updated" not in changes:
                await anyio.sleep(0.01)
        await cancels_a_call(session)
    print("done")


anyio.run(main, *sys.argv[1:])
