// A server of the TypeScript SDK 2 with a small catalog, for the tests of the gateway. Prints its URL,
// and serves revision 2026-07-28 over HTTP, with subscriptions.
import { createServer } from "node:http";
import { Readable } from "node:stream";
import {
  McpServer,
  ResourceTemplate,
  acceptedContent,
  completable,
  createMcpHandler,
  inputRequired,
} from "@modelcontextprotocol/server";
import { z } from "zod";

const text = (text) => ({ content: [{ type: "text", text }] });
let aborted = 0;
let hasGrown = false;

function catalog() {
  const server = new McpServer({ name: "typescript", version: "2" });
  server.registerTool("echo", { inputSchema: z.object({ message: z.string() }) }, ({ message }) =>
    text(message),
  );
  const report = ({ mcpReq }, progress) => {
    const params = { progressToken: mcpReq._meta.progressToken, progress, total: 2 };
    return mcpReq.notify({ method: "notifications/progress", params });
  };
  server.registerTool("steps", {}, async (context) => {
    for (const progress of [1, 2]) await report(context, progress);
    return text("done");
  });
  server.registerTool("wait", {}, async (context) => {
    const { signal } = context.mcpReq;
    await report(context, 1);
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        aborted += 1;
        resolve(text("aborted"));
      });
    });
  });
  const name = z.object({ name: z.string() });
  server.registerTool("ask", {}, ({ mcpReq }) => {
    const answer = mcpReq.inputResponses?.who;
    const given = acceptedContent(mcpReq.inputResponses, "who", name);
    if (answer) return text(given ? `hello ${given.name}` : answer.action);
    const who = inputRequired.elicit({ message: "Who are you?", requestedSchema: name });
    return inputRequired({ inputRequests: { who } });
  });
  server.registerTool("aborted", {}, () => text(`${aborted}`));
  server.registerTool("grow", {}, () => {
    hasGrown = true;
    handler.notify.toolsChanged();
    return text("grown");
  });
  if (hasGrown) {
    server.registerTool("grown", {}, () => text("new"));
  }
  const part = (uri, text) => ({ contents: [{ uri: uri.href, text }] });
  server.registerResource("greeting", "text://greeting", {}, (uri) => part(uri, "hello"));
  const template = new ResourceTemplate("text://{name}/card", { list: undefined });
  server.registerResource("card", template, {}, (uri, { name }) => part(uri, `card of ${name}`));
  const code = completable(z.string(), (value) => [`${value}1`, `${value}2`]);
  server.registerPrompt("review", { argsSchema: z.object({ code }) }, ({ code }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Review ${code}` } }],
  }));
  return server;
}

const handler = createMcpHandler(catalog);

const http = createServer(async (incoming, outgoing) => {
  const left = new AbortController();
  outgoing.on("close", () => left.abort());
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
    method: incoming.method,
    headers: incoming.headers,
    body: chunks.length > 0 ? Buffer.concat(chunks) : undefined,
    signal: left.signal,
  });
  const response = await handler.fetch(request);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  if (response.body) {
    const body = Readable.fromWeb(response.body);
    body.on("error", () => outgoing.destroy());
    outgoing.on("close", () => body.destroy());
    body.pipe(outgoing);
  } else {
    outgoing.end();
  }
});
http.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
