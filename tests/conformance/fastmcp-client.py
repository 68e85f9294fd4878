"""A client of FastMCP:

    python fastmcp-client.py ERA URL
    python fastmcp-client.py ERA stdio PROGRAM ARGUMENT...

With ERA "modern" it speaks revision 2026-07-28 where the transport has it, and has a session of
2025-11-25 otherwise, as with ERA "legacy". Its transport is that of the URL: HTTP+SSE (a path
that ends with /sse) or Streamable HTTP; or the standard input and output of a program that it
starts.

Goes through what a host does with a server, and ends with the exit code of the first check that
fails. What it saw is on standard output.
"""

import sys

import anyio
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError


async def elicited(_message, response_type, _params, _context):
    return response_type(username="ann", email="ann@example.com")


async def main(era, address, *command):
    server = address
    if address == "stdio":
        server = StdioTransport(command=command[0], args=list(command[1:]), keep_alive=False)
    mode = "auto" if era == "modern" else era
    progress = []

    async def on_progress(value, _total, _message):
        progress.append(value)

    async with Client(
        server, mode=mode, elicitation_handler=elicited, progress_handler=on_progress
    ) as client:
        is_modern = era == "modern" and not address.endswith("/sse")
        expected = "2026-07-28" if is_modern else "2025-11-25"
        assert client.protocol_version == expected, client.protocol_version
        assert client.server_info.name == "corelane-demo"
        tools = await client.list_tools()
        assert any(tool.name == "echo" for tool in tools)
        # Its library reads events of up to 1 MiB.
        message = "x" * 1_000_000
        answer = await client.call_tool("echo", {"message": message})
        assert answer.content[0].text == message
        answer = await client.call_tool("test_structured_content", {})
        assert answer.structured_content["temperature"] == 22.5
        assert not progress
        await client.call_tool("test_tool_with_progress", {})
        assert progress == [0, 50, 100], progress
        try:
            await client.call_tool("test_error_handling", {})
            raise AssertionError("a tool that fails")
        except ToolError as error:
            assert "intentionally" in str(error), error
        contents = await client.read_resource("test://static-text")
        assert "static text resource" in contents[0].text
        arguments = {"arg1": "one", "arg2": "two"}
        prompt = await client.get_prompt("test_prompt_with_arguments", arguments)
        assert "arg1='one', arg2='two'" in prompt.messages[0].content.text
        answer = await client.call_tool("test_elicitation", {"message": "Who are you?"})
        assert "ann@example.com" in answer.content[0].text, answer
        with anyio.move_on_after(0.2) as scope:
            await client.call_tool("sleep", {"ms": 60_000})
        assert scope.cancelled_caught
    print("done")


anyio.run(main, *sys.argv[1:])
