// The script of the page: goes through what a host does with a server, by the TypeScript SDK 1 over
// Streamable HTTP, HTTP+SSE and WebSocket, and by the TypeScript SDK 2 in both eras, and reports to its
// own origin.
import * as second from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import {
  ElicitRequestSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { runSession } from "./typescript-2-session.mjs";

// Compiling code at run time is not needed: the page checks no schemas of outputs.
const jsonSchemaValidator = {
  getValidator: () => (input) => ({ valid: true, data: input, errorMessage: undefined }),
};

function check(holds, what) {
  if (!holds) throw new Error(what);
}

async function use(transport) {
  const client = new Client(
    { name: "page", version: "1" },
    { capabilities: { elicitation: {} }, jsonSchemaValidator },
  );
  client.setRequestHandler(ElicitRequestSchema, () => ({
    action: "accept",
    content: { username: "ann", email: "ann@example.com" },
  }));
  const toolsChanged = new Promise((resolve) => {
    client.setNotificationHandler(ToolListChangedNotificationSchema, resolve);
  });
  await client.connect(transport);
  const { tools } = await client.listTools();
  check(tools.some((tool) => tool.name === "echo"), "the list has no echo");
  const echo = await client.callTool({ name: "echo", arguments: { message: "hello" } });
  check(echo.content[0].text === "hello", "echo");
  const progress = [];
  await client.callTool({ name: "test_tool_with_progress", arguments: {} }, undefined, {
    onprogress: (update) => progress.push(update.progress),
  });
  check(progress.join() === "0,50,100", `progress ${progress}`);
  const elicited = await client.callTool({
    name: "test_elicitation",
    arguments: { message: "Who are you?" },
  });
  check(elicited.content[0].text.includes("ann"), "elicitation");
  await client.callTool({ name: "test_trigger_tool_change", arguments: {} });
  await toolsChanged;
  await transport.terminateSession?.();
  await client.close();
}

const server = new URL(new URLSearchParams(location.search).get("server"));
const [endpoint, sse] = ["/mcp", "/sse"].map((path) => new URL(path, server));
let result = "done";
try {
  await use(new StreamableHTTPClientTransport(endpoint));
  await use(new SSEClientTransport(sse));
  await use(new WebSocketClientTransport(new URL(endpoint.href.replace("http", "ws"))));
  for (const era of ["modern", "legacy"]) {
    const transport = new second.StreamableHTTPClientTransport(endpoint);
    await runSession(transport, era, { jsonSchemaValidator });
  }
} catch (error) {
  result = error.stack ?? String(error);
}
await fetch("/result", { method: "POST", body: result });
