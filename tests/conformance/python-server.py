"""A server of a Python library with a small catalog, for the tests of the client library.

python-server.py mcp-1|mcp-2|fastmcp stdio|http|sse: over HTTP it prints its URL. sse is HTTP+SSE.
"""

import socket
import sys

import anyio
from typing import Annotated

from pydantic import BaseModel

library, transport = sys.argv[1:]
if library == "mcp-1":
    from mcp.server.fastmcp import Context, FastMCP as Server
elif library == "mcp-2":
    from mcp.server.mcpserver import Context, Elicit, MCPServer as Server, Resolve
else:
    from fastmcp import Context, FastMCP as Server

server = Server("python")


@server.tool()
async def echo(message: str) -> str:
    return message


@server.tool()
async def add(a: int, b: int) -> dict[str, int]:
    return {"sum": a + b}


@server.tool()
async def steps(context: Context) -> str:
    await context.report_progress(1, 2)
    await context.report_progress(2, 2)
    return "done"


@server.tool()
async def fail() -> str:
    raise ValueError("no")


class Name(BaseModel):
    name: str


if library == "mcp-2":
    # In either era: it is elicited before the tool runs.
    def who() -> Elicit[Name]:
        return Elicit("Who are you?", Name)

    @server.tool()
    async def ask(given: Annotated[Name, Resolve(who)]) -> str:
        return f"hello {given.name}"

else:

    @server.tool()
    async def ask(context: Context) -> str:
        answer = await context.elicit("Who are you?", Name)
        return f"hello {answer.data.name}" if answer.action == "accept" else answer.action


waits_ended = 0


@server.tool()
async def wait(context: Context) -> str:
    global waits_ended
    await context.report_progress(1, 2)
    try:
        await anyio.sleep_forever()
    finally:
        waits_ended += 1


@server.tool()
async def aborted() -> str:
    return str(waits_ended)


@server.resource("text://greeting")
def greeting() -> str:
    return "hello"


@server.resource("text://{name}/card")
def card(name: str) -> str:
    return f"card of {name}"


@server.prompt()
def review(code: str) -> str:
    return f"Review {code}"


if transport == "stdio":
    server.run(transport="stdio")
else:
    import uvicorn

    if transport == "sse":
        app = server.http_app(transport="sse") if library == "fastmcp" else server.sse_app()
    else:
        app = server.http_app() if library == "fastmcp" else server.streamable_http_app()
    listening = socket.create_server(("127.0.0.1", 0))
    path = "sse" if transport == "sse" else "mcp"
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/{path}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
