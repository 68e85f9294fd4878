// The steps of a host with a server, by the TypeScript SDK 2 over any transport, from connect to close.
// The first check that fails throws. `era` is "legacy" for a session of 2025-11-25, or "modern" for
// revision 2026-07-28 where the transport has it.
import {
  Client,
  SSEClientTransport,
  StreamableHTTPClientTransport,
} from "@modelcontextprotocol/client";

const URI = "test://watched-resource";

export async function runSession(transport, era, options = {}) {
  const isModern = era === "modern" && !(transport instanceof SSEClientTransport);
  const client = new Client(
    { name: "typescript", version: "2" },
    {
      capabilities: { elicitation: {} },
      versionNegotiation: { mode: era === "modern" ? "auto" : "legacy" },
      ...options,
    },
  );
  // Input that is no message comes here.
  let failure;
  client.onerror = (error) => {
    failure ??= error;
  };
  client.setRequestHandler("elicitation/create", ({ params }) => {
    check(params.requestedSchema.properties.username !== undefined, "the form has no username");
    return { action: "accept", content: { username: "ann", email: "ann@example.com" } };
  });
  const nextNotification = (method) =>
    new Promise((resolve) => {
      client.setNotificationHandler(method, resolve);
    });
  const toolsChanged = nextNotification("notifications/tools/list_changed");
  const resourceUpdated = nextNotification("notifications/resources/updated");

  await client.connect(transport);
  const revision = client.getNegotiatedProtocolVersion();
  check(revision === (isModern ? "2026-07-28" : "2025-11-25"), `revision ${revision}`);
  check(client.getServerVersion().name === "corelane-demo", "the name of the server");
  const { tools } = await client.listTools();
  check(tools.some((tool) => tool.name === "echo"), "the list has no echo");

  await useCatalog(client);
  // Revision 2026-07-28 repeats the value in a header, where there are any. The SDK does not in a page,
  // and the server must refuse such calls (MCP 2026-07-28 basic/transports/streamable-http).
  const isPage = typeof document !== "undefined";
  if (transport instanceof StreamableHTTPClientTransport && !isPage) {
    const value = "ü ✓";
    const header = await client.callTool({ name: "test_custom_header", arguments: { value } });
    check(header.content[0].text === `"${value}"`, `a value in a header: ${header.content[0].text}`);
  }

  let subscription;
  if (isModern) {
    subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: [URI] });
    check(subscription.honoredFilter.toolsListChanged, "the filter");
  } else {
    await client.subscribeResource({ uri: URI });
  }
  await client.callTool({ name: "test_trigger_tool_change", arguments: {} });
  await toolsChanged;
  await client.callTool({ name: "test_trigger_resource_change", arguments: {} });
  const { params } = await resourceUpdated;
  check(params.uri === URI, `updated ${params.uri}`);
  if (isModern) {
    await subscription.close();
    check((await subscription.closed) === "local", "the end of the subscription");
  }
  if (failure) throw failure;
  // It reports its own streams, which it ends now.
  client.onerror = undefined;
  await transport.terminateSession?.();
  await client.close();
}

// Tools, a resource, a prompt and a completion.
async function useCatalog(client) {
  const call = (name, args = {}, options = undefined) =>
    client.callTool({ name, arguments: args }, options);
  const textOf = (result) => result.content[0].text;

  const message = "x".repeat(1 << 20);
  const echo = (at) => call("echo", { message: `${at}${message}` });
  const echoes = await Promise.all([1, 2, 3].map(echo));
  const isEcho = (result, at) => textOf(result) === `${at + 1}${message}`;
  check(echoes.every(isEcho), "echo");

  const { structuredContent } = await call("test_structured_content");
  check(structuredContent.temperature === 22.5, "structured content");

  // The SDK forgets its own handler with the answer, which may be read at once with the last progress.
  const progress = [];
  client.setNotificationHandler("notifications/progress", ({ params }) => {
    progress.push(params.progress);
  });
  const _meta = { progressToken: "steps" };
  await client.callTool({ name: "test_tool_with_progress", arguments: {}, _meta });
  check(progress.join() === "0,50,100", `progress ${progress}`);

  check((await call("test_error_handling")).isError, "a tool that fails");
  const unknown = await call("absent").catch((error) => error);
  check(/absent/.test(unknown.message), `an unknown tool: ${unknown.message}`);

  const { contents } = await client.readResource({ uri: "test://static-text" });
  check(/static text resource/.test(contents[0].text), "a resource");
  const { messages } = await client.getPrompt({
    name: "test_prompt_with_arguments",
    arguments: { arg1: "one", arg2: "two" },
  });
  check(/arg1='one', arg2='two'/.test(messages[0].content.text), "a prompt");
  const { completion } = await client.complete({
    ref: { type: "ref/prompt", name: "test_prompt_with_arguments" },
    argument: { name: "arg1", value: "te" },
  });
  check(completion.values.join() === "test,testing,tested", `completion ${completion.values}`);

  const elicited = await call("test_elicitation", { message: "Who are you?" });
  check(/ann@example.com/.test(textOf(elicited)), `elicitation ${textOf(elicited)}`);

  const abort = new AbortController();
  const cancelled = call("sleep", { ms: 60_000 }, { signal: abort.signal });
  abort.abort("enough");
  const reason = await cancelled.catch((error) => error);
  check(/enough/.test(String(reason)), `cancelled with ${reason}`);
}

// A page has no assertions of Node.
function check(holds, what) {
  if (!holds) throw new Error(what);
}
