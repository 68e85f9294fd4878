// A server of the TypeScript SDK 1 with a small catalog, for the tests of the client library.
// typescript-catalog.mjs stdio|http|sse: over HTTP it prints its URL. sse is HTTP+SSE.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { ElicitResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";

const text = (text) => ({ content: [{ type: "text", text }] });

function catalog() {
  const server = new McpServer({ name: "typescript", version: "1" });
  server.registerTool("echo", { inputSchema: { message: z.string() } }, ({ message }) => text(message));
  const numbers = { inputSchema: { a: z.number(), b: z.number() }, outputSchema: { sum: z.number() } };
  server.registerTool("add", numbers, ({ a, b }) => ({
    ...text(`${a + b}`),
    structuredContent: { sum: a + b },
  }));
  server.registerTool("steps", { inputSchema: {} }, async (_, { _meta, sendNotification }) => {
    for (const progress of [1, 2]) {
      const params = { progressToken: _meta.progressToken, progress, total: 2 };
      await sendNotification({ method: "notifications/progress", params });
    }
    return text("done");
  });
  const question = {
    message: "Who are you?",
    requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
  };
  const greet = ({ action, content }) => text(action === "accept" ? `hello ${content.name}` : action);
  // On the stream of the call, and on that of the session.
  server.registerTool("ask", { inputSchema: {} }, async (_, { sendRequest }) => {
    const request = { method: "elicitation/create", params: question };
    return greet(await sendRequest(request, ElicitResultSchema));
  });
  server.registerTool("ask_apart", { inputSchema: {} }, async () =>
    greet(await server.server.elicitInput(question)),
  );
  server.registerTool("fail", { inputSchema: {} }, () => {
    throw new Error("no");
  });
  const part = (uri, text) => ({ contents: [{ uri: uri.href, text }] });
  server.registerResource("greeting", "text://greeting", {}, (uri) => part(uri, "hello"));
  const template = new ResourceTemplate("text://{name}/card", { list: undefined });
  server.registerResource("card", template, {}, (uri, { name }) => part(uri, `card of ${name}`));
  server.registerPrompt("review", { argsSchema: { code: z.string() } }, ({ code }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Review ${code}` } }],
  }));
  return server;
}

const sessions = new Map();

async function openSession() {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  await catalog().connect(transport);
  return transport;
}

if (process.argv[2] === "stdio") {
  await catalog().connect(new StdioServerTransport());
} else if (process.argv[2] === "sse") {
  const http = createServer(async (request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    if (request.method === "GET") {
      const transport = new SSEServerTransport("/messages", response);
      sessions.set(transport.sessionId, transport);
      await catalog().connect(transport);
    } else {
      await sessions.get(url.searchParams.get("sessionId")).handlePostMessage(request, response);
    }
  });
  http.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}/sse`));
} else {
  const http = createServer(async (request, response) => {
    const session = sessions.get(request.headers["mcp-session-id"]) ?? (await openSession());
    await session.handleRequest(request, response);
  });
  http.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
}
