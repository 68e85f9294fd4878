// A client of the TypeScript SDK over the transport of its URL: WebSocket (ws: or wss:), HTTP+SSE (a path
// that ends with /sse) or Streamable HTTP:
//     node typescript-client.mjs URL
// Goes through what a host does with a server in a session of 2025-11-25, and ends with the exit
// code of the first check that fails. What it saw is on standard output.
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { WebSocketClientTransport } from "@modelcontextprotocol/sdk/client/websocket.js";
import { runSession } from "./typescript-session.mjs";

const url = new URL(process.argv[2]);
const isSse = url.pathname.endsWith("/sse");
const Transport =
  url.protocol.startsWith("ws")
    ? WebSocketClientTransport
    : isSse
      ? SSEClientTransport
      : StreamableHTTPClientTransport;
const transport = new Transport(url);
const client = await runSession(transport);

// It reports its own streams, which it ends now.
client.onerror = undefined;
const closed = new Promise((resolve) => {
  client.onclose = resolve;
});
await client.close();
await closed;
console.log("done");
