// A server of the TypeScript SDK 1 with one tool, `call`, that can become a task, and elicits input
// then. Prints its URL and serves sessions of 2025-11-25 until it is killed.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import {
  InMemoryTaskMessageQueue,
  InMemoryTaskStore,
} from "@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { ElicitResultSchema } from "@modelcontextprotocol/sdk/types.js";

const sessions = new Map();
const question = {
  method: "elicitation/create",
  params: { message: "Name?", requestedSchema: { type: "object", properties: {} } },
};

async function work({ taskStore, sendRequest }, taskId) {
  await taskStore.updateTaskStatus(taskId, "input_required");
  const answer = await sendRequest(question, ElicitResultSchema, { relatedTask: { taskId } });
  const structuredContent = { done: answer.action === "accept" };
  await taskStore.storeTaskResult(taskId, "completed", { content: [], structuredContent });
}

async function openSession() {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, transport),
  });
  const tasks = { list: {}, cancel: {}, requests: { tools: { call: {} } } };
  const server = new McpServer(
    { name: "typescript", version: "1" },
    {
      capabilities: { tools: {}, tasks },
      taskStore: new InMemoryTaskStore(),
      taskMessageQueue: new InMemoryTaskMessageQueue(),
    },
  );
  const config = { description: "Asks first.", execution: { taskSupport: "required" } };
  server.experimental.tasks.registerToolTask("call", config, {
    async createTask(extra) {
      const task = await extra.taskStore.createTask({ ttl: 60_000, pollInterval: 100 });
      work(extra, task.taskId).catch((error) => console.error(error));
      return { task };
    },
    getTask: ({ taskStore, taskId }) => taskStore.getTask(taskId),
    getTaskResult: ({ taskStore, taskId }) => taskStore.getTaskResult(taskId),
  });
  await server.connect(transport);
  return transport;
}

const http = createServer(async (request, response) => {
  const session = sessions.get(request.headers["mcp-session-id"]) ?? (await openSession());
  await session.handleRequest(request, response);
});
http.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${http.address().port}/mcp`));
