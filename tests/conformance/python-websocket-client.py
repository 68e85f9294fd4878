"""A client of the Python SDK over WebSocket: python python-websocket-client.py URL

Goes through what a host does with a server in a session of 2025-11-25, and ends with the exit code
of the first check that fails. What it saw is on standard output.
"""

import sys
import warnings

import anyio
from mcp import ClientSession, types
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


async def main(url):
    async with (
        websocket_client(url) as (read, write),
        ClientSession(read, write, elicitation_callback=elicited) as session,
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
        await cancels_a_call(session)
    print("done")


anyio.run(main, sys.argv[1])
