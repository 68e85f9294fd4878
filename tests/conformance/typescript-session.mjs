// A session of 2025-11-25 of a client of the TypeScript SDK, over any transport: connects, and goes
// through what a host does with a server. The first check that fails throws. The caller closes the
// client.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  ElicitRequestSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

export async function runSession(transport) {
  const client = new Client(
    { name: "typescript", version: "1" },
    { capabilities: { elicitation: {} } },
  );
  // Whatever arrives and is no message comes here.
  client.onerror = (error) => {
    throw error;
  };
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    assert.ok(params.requestedSchema.properties.username);
    return { action: "accept", content: { username: "ann", email: "ann@example.com" } };
  });
  const toolsChanged = new Promise((resolve) => {
    client.setNotificationHandler(ToolListChangedNotificationSchema, resolve);
  });
  const textOf = (result) => result.content[0].text;

  await client.connect(transport);
  assert.equal(client.getServerVersion().name, "corelane-demo");
  await client.ping();

  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === "echo"));

  const message = "x".repeat(1 << 20);
  const echo = (at) => client.callTool({ name: "echo", arguments: { message: `${at}${message}` } });
  const answers = await Promise.all([1, 2, 3].map(echo));
  assert.deepEqual(answers.map(textOf), [`1${message}`, `2${message}`, `3${message}`]);

  const progress = [];
  await client.callTool({ name: "test_tool_with_progress", arguments: {} }, undefined, {
    onprogress: (update) => progress.push(update.progress),
  });
  assert.deepEqual(progress, [0, 50, 100]);

  const elicited = await client.callTool({
    name: "test_elicitation",
    arguments: { message: "Who are you?" },
  });
  assert.match(textOf(elicited), /ann/);

  const abort = new AbortController();
  const cancelled = client.callTool({ name: "sleep", arguments: { ms: 60_000 } }, undefined, {
    signal: abort.signal,
  });
  abort.abort("enough");
  await assert.rejects(cancelled, /enough/);

  await client.callTool({ name: "test_trigger_tool_change", arguments: {} });
  await toolsChanged;
  return client;
}
