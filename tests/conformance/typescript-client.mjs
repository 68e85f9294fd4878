// A client of the TypeScript SDK 1 over the transport of its address: WebSocket (ws:// or wss://),
// HTTP+SSE (a path that ends with /sse), Streamable HTTP, or the standard input and output of a program
// that it starts:
//     node typescript-client.mjs URL
//     node typescript-client.mjs stdio PROGRAM ARGUMENT...
// Goes through what a host does with a server in a session of 2025-11-25, and ends with the exit
// code of the first check that fails. What it saw is on standard output.
import assert from "node:assert/strict";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import { runSession } from "./typescript-session.mjs";

function open([address, command, ...args]) {
  if (address === "stdio") {
    return new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" });
  }
  const url = new URL(address);
  if (url.protocol.startsWith("ws")) {
    return new WebSocketClientTransport(url);
  }
  const isSse = url.pathname.endsWith("/sse");
  return isSse ? new SSEClientTransport(url) : new StreamableHTTPClientTransport(url);
}

const transport = open(process.argv.slice(2));
const client = await runSession(transport);

// It reports its own streams, which it ends now.
client.onerror = undefined;
const { pid } = transport;
const closed = new Promise((resolve) => {
  client.onclose = resolve;
});
await client.close();
await closed;
if (pid !== undefined) {
  // The SDK ends standard input and waits for the process, which it would kill after two seconds.
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
}
console.log("done");
