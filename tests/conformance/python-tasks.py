"""A server of the Python SDK 1 on standard input and output, with one tool, `call`, that becomes a
task and elicits input then."""

import anyio
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

server = Server("python")
server.experimental.enable_tasks()


@server.list_tools()
async def tools():
    execution = types.ToolExecution(taskSupport="required")
    schema = {"type": "object"}
    return [types.Tool(name="call", inputSchema=schema, execution=execution)]


@server.call_tool()
async def call(name, arguments):
    async def work(task):
        schema = {"type": "object", "properties": {}}
        answer = await task.elicit(message="Name?", requestedSchema=schema)
        done = {"done": answer.action == "accept"}
        return types.CallToolResult(content=[], structuredContent=done)

    return await server.request_context.experimental.run_task(work)


async def main():
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


anyio.run(main)
