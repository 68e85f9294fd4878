// A client of the TypeScript SDK whose server is killed and started again:
//     node restarted.mjs MAJOR URL
// with the SDK's version, 1 or 2. It has a session of 2025-11-25, calls a tool, writes "ready", waits
// for a line on standard input, and calls the tool again in the same session.
import assert from "node:assert/strict";
import { once } from "node:events";

const [major, url] = process.argv.slice(2);
const sdk =
  major === "1"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      }
    : await import("@modelcontextprotocol/client");

const options = { versionNegotiation: { mode: "legacy" } };
const client = new sdk.Client({ name: "restarted", version: major }, options);
const transport = new sdk.StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
const session = transport.sessionId;
assert.ok(session);

async function call(message) {
  const result = await client.callTool({ name: "echo", arguments: { message } });
  assert.equal(result.content[0].text, message);
  assert.equal(transport.sessionId, session);
}

await call("before");
console.log("ready");
await once(process.stdin, "data");
await call("after");
console.log("done");
process.exit(0);
