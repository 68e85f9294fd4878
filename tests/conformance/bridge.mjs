// Streamable HTTP without TLS in front of a server on another transport, for the conformance suite,
// which reaches servers by such URLs only:
//     node bridge.mjs ADDRESS
//     node bridge.mjs stdio PROGRAM ARGUMENT...
// An address begins with https://, ws://, wss://, tcp://, tcps:// or unix://. Prints its URL and
// serves until it is killed.
//
// It carries the bytes of HTTPS as they are. To a channel it adds what HTTP has and one shared channel
// has not: a session of 2025-11-25 is a channel of its own, requests of 2026-07-28 share one channel
// and get ids of their own there, and a message of the server goes to the request that it names, or
// else to the one that came last. It has no opinion on messages, checks no header, keeps no event, and
// knows one status for each error code.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createTunnel } from "node:net";
import { pipeline } from "node:stream";
import { connect as connectSecured } from "node:tls";
import { openChannel } from "./channel.mjs";

const [address, ...command] = process.argv.slice(2);
const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";
const MODERN = "2026-07-28";
// MCP 2026-07-28 basic/transports/streamable-http; other errors are answers like any other.
const STATUS_OF = new Map([
  [-32700, 400],
  [-32600, 400],
  [-32601, 404],
  [-32022, 400],
  [-32021, 400],
]);

// One HTTP answer: JSON if the response is all there is, events if there is more.
class Answer {
  constructor(response, extraHeaders = {}) {
    this.response = response;
    this.extraHeaders = extraHeaders;
  }

  event(message) {
    if (!this.response.headersSent) {
      this.response.writeHead(200, { "Content-Type": "text/event-stream", ...this.extraHeaders });
    }
    if (message !== undefined) {
      this.response.write(`data: ${JSON.stringify(message)}\n\n`);
    }
  }

  finish(message, status) {
    if (this.response.headersSent) {
      this.event(message);
      return this.response.end();
    }
    this.response.writeHead(status, { "Content-Type": "application/json", ...this.extraHeaders });
    this.response.end(JSON.stringify(message));
  }
}

// A channel to the server, and the requests that it has not answered.
class Connection {
  requests = new Map();
  streams = new Set();
  nextId = 1;

  constructor(isModern) {
    this.isModern = isModern;
    this.channel = openChannel(address, command, {
      receive: (text) => this.receive(JSON.parse(text)),
      // The suite reports a request whose answer breaks off.
      closed: () => this.requests.forEach(({ answer }) => answer.response.destroy()),
    });
  }

  send(message) {
    this.channel.send(JSON.stringify(message));
  }

  request(message, answer) {
    const { id } = message;
    const token = message.params?._meta?.progressToken;
    const key = this.isModern ? this.nextId++ : id;
    const entry = { id, token, answer, key };
    this.requests.set(key, entry);
    if (this.isModern) {
      message = { ...message, id: key };
      if (token !== undefined) {
        message.params._meta.progressToken = key;
      }
    }
    answer.response.on("close", () => {
      // To leave cancels a request of 2026-07-28, and means nothing before.
      if (this.isModern && this.requests.delete(key)) {
        const params = { requestId: key };
        this.send({ jsonrpc: "2.0", method: "notifications/cancelled", params });
      }
    });
    this.send(message);
  }

  receive(message) {
    if (message.method === undefined) {
      return this.finish(message);
    }
    const entry = this.addressee(message);
    if (entry) {
      return entry.answer.event(message);
    }
    const [stream] = this.streams;
    stream?.event(message);
  }

  finish(message) {
    const entry = this.requests.get(message.id) ?? this.latest();
    if (!entry) {
      return;
    }
    this.requests.delete(entry.key);
    const subscription = message.result?._meta?.[SUBSCRIPTION_ID];
    if (this.isModern && message.id !== undefined) {
      message.id = entry.id;
      if (subscription !== undefined) {
        message.result._meta[SUBSCRIPTION_ID] = entry.id;
      }
    }
    const status = this.isModern ? (STATUS_OF.get(message.error?.code) ?? 200) : 200;
    entry.answer.finish(message, message.id === undefined ? 400 : status);
  }

  // The request that a message belongs to; none for one of the whole session.
  addressee(message) {
    const { params } = message;
    const subscription = params?._meta?.[SUBSCRIPTION_ID];
    if (subscription !== undefined) {
      const entry = this.requests.get(subscription);
      params._meta[SUBSCRIPTION_ID] = entry?.id;
      return entry;
    }
    if (message.method === "notifications/progress") {
      const isOf = (entry) =>
        this.isModern ? entry.key === params.progressToken : entry.token === params.progressToken;
      const entry = [...this.requests.values()].find(isOf);
      params.progressToken = entry?.token;
      return entry;
    }
    const isOfSession = /list_changed$|resources\/updated$/.test(message.method);
    return isOfSession ? undefined : this.latest();
  }

  latest() {
    return [...this.requests.values()].at(-1);
  }
}

const sessions = new Map();
// Opened by the first request: a server waits for the first message for a bounded time.
let modern;

async function post(request, response) {
  let body = "";
  for await (const piece of request) {
    body += piece;
  }
  let message;
  try {
    message = JSON.parse(body);
  } catch {
    const error = { code: -32700, message: "no JSON" };
    return new Answer(response).finish({ jsonrpc: "2.0", error }, 400);
  }
  const claims = message.params?._meta?.["io.modelcontextprotocol/protocolVersion"] !== undefined;
  const isModern = claims || request.headers["mcp-protocol-version"] === MODERN;
  let id = request.headers["mcp-session-id"];
  let connection = isModern ? (modern ??= new Connection(true)) : sessions.get(id);
  if (!isModern && message.method === "initialize") {
    id = randomUUID();
    connection = new Connection(false);
    sessions.set(id, connection);
    return connection.request(message, new Answer(response, { "MCP-Session-Id": id }));
  }
  if (!connection) {
    return response.writeHead(id === undefined ? 400 : 404).end();
  }
  if (message.method !== undefined && message.id !== undefined) {
    return connection.request(message, new Answer(response));
  }
  connection.send(message);
  response.writeHead(202).end();
}

function openStream(request, response) {
  const connection = sessions.get(request.headers["mcp-session-id"]);
  if (!connection) {
    return response.writeHead(405, { Allow: "POST" }).end();
  }
  const stream = new Answer(response);
  stream.event();
  response.flushHeaders();
  connection.streams.add(stream);
  response.on("close", () => connection.streams.delete(stream));
}

function endSession(request, response) {
  const id = request.headers["mcp-session-id"];
  const connection = sessions.get(id);
  connection?.channel.close();
  sessions.delete(id);
  response.writeHead(connection ? 204 : 404).end();
}

const verbs = { POST: post, GET: openStream, DELETE: endSession };
const http = createServer(async (request, response) => {
  const handle = verbs[request.method];
  await (handle ? handle(request, response) : response.writeHead(405).end());
});

const tunnel = createTunnel((client) => {
  const { hostname, port } = new URL(address);
  pipeline(client, connectSecured({ host: hostname, port }), client, () => {});
});
const bridge = address.startsWith("https") ? tunnel : http;
bridge.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${bridge.address().port}/mcp`));
