"""A client of the Python SDK, 1 or 2, whose server is killed and started again:

    python restarted.py URL

It has a session of 2025-11-25, calls a tool, writes "ready", waits for a line on standard input,
and calls the tool again: without another handshake, or the server would count two sessions.
"""

import sys
import warnings
from contextlib import asynccontextmanager

import anyio

warnings.simplefilter("ignore")

try:
    from mcp import Client
except ImportError:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    @asynccontextmanager
    async def connect(url):
        async with (
            streamablehttp_client(url) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            yield session

else:

    def connect(url):
        return Client(url, mode="legacy")


async def call(session, message):
    answer = await session.call_tool("echo", {"message": message})
    assert answer.content[0].text == message, answer


async def main(url):
    async with connect(url) as session:
        await call(session, "before")
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        await call(session, "after")
    print("done", flush=True)


anyio.run(main, *sys.argv[1:])
