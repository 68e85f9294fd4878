// A session of 2025-11-25 of a client of the TypeScript SDK 1, over any transport: connects, and goes
// through what a host does with a server. The first check that fails throws. The caller closes the
// client.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  ElicitRequestSchema,
  ProgressNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

export async function runSession(transport) {
  const client = new Client(
    { name: "typescript", version: "1" },
    { capabilities: { elicitation: {} } },
  );
  // Input that is no message comes here.
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
  const resourceUpdated = new Promise((resolve) => {
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, resolve);
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

  // The SDK forgets its own handler with the answer, which may be read at once with the last progress.
  const progress = [];
  client.setNotificationHandler(ProgressNotificationSchema, ({ params }) => {
    progress.push(params.progress);
  });
  const _meta = { progressToken: "steps" };
  await client.callTool({ name: "test_tool_with_progress", arguments: {}, _meta });
  assert.deepEqual(progress, [0, 50, 100]);

  const failed = await client.callTool({ name: "test_error_handling", arguments: {} });
  assert.ok(failed.isError);
  await assert.rejects(client.callTool({ name: "absent", arguments: {} }), /absent/);

  const { contents } = await client.readResource({ uri: "test://static-text" });
  assert.match(contents[0].text, /static text resource/);
  const { messages } = await client.getPrompt({
    name: "test_prompt_with_arguments",
    arguments: { arg1: "one", arg2: "two" },
  });
  assert.match(messages[0].content.text, /arg1='one', arg2='two'/);
  const { completion } = await client.complete({
    ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
    argument: { name: "arg1", value: "te" },
  });
  assert.deepEqual(completion.values, ["test", "testing", "tested"]);

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
  const uri = "test://watched-resource";
  await client.subscribeResource({ uri });
  await client.callTool({ name: "test_trigger_resource_change", arguments: {} });
  assert.equal((await resourceUpdated).params.uri, uri);
  return client;
}
