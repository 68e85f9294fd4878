// Authorization by clients of others, from the first refusal to a call with more scopes:
//     node flow.mjs PROGRAM RUST_CLIENT
// PROGRAM is the corelane binary, RUST_CLIENT the example authorized_client. Starts the
// authorization server and PROGRAM, and lets each client connect without a token, register, get a
// token with PKCE, call a tool, and get a larger scope for another tool. Before that, bad
// credentials are refused; after it, the authorization server rotates its keys, and the clients
// come again, now known to it. The first check that fails throws.
// Ends with "done" on standard output.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { authorize } from "./browser.mjs";
import { checkProbe } from "./probe.mjs";
import { checkProgram } from "./programs.mjs";
import { checkRefusals } from "./refusals.mjs";

const REDIRECT_URI = "http://127.0.0.1/callback";
const ROTATION_MS_MAX = 120_000;
const RETRY_MS = 1_000;
const suite = createRequire(new URL("../conformance/package.json", import.meta.url));
const python = (folder, name) =>
  fileURLToPath(new URL(`../conformance/${folder}/bin/${name}`, import.meta.url));
const load = (name) => import(pathToFileURL(suite.resolve(name)));
const processes = [];

// Starts a program and returns its first line of output.
async function start(program, args, env = {}) {
  const options = { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] };
  const child = spawn(program, args, options);
  processes.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    child.stdout.resume();
    return line;
  }
  throw new Error(`${program} ended`);
}

function jwks(kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
  return JSON.stringify({ keys: [key] });
}

// What a host keeps for one server.
class Host {
  scopes = [];
  redirectUrl = REDIRECT_URI;
  clientMetadata = {
    client_name: "flow",
    redirect_uris: [REDIRECT_URI],
    application_type: "native",
    grant_types: ["authorization_code"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  clientInformation = () => this.information;
  saveClientInformation = (information) => void (this.information = information);
  tokens = () => this.token;
  saveTokens = (token) => void (this.token = token);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  async redirectToAuthorization(url) {
    this.scopes.push(url.searchParams.get("scope"));
    assert.equal(url.searchParams.get("code_challenge_method"), "S256");
    this.answer = await authorize(url, REDIRECT_URI);
    assert.ok(this.answer.has("code"), `${url}: ${this.answer}`);
  }
}

async function check(name, { Client, Transport, options, revision, information }, url, finish) {
  const host = new Host();
  host.information = information;
  const open = () => new Transport(new URL(url), { authProvider: host });
  const create = () => new Client({ name, version: "1" }, options);
  const refused = open();
  await assert.rejects(create().connect(refused), /Unauthorized/);
  assert.ok(host.answer, `${name}: no authorization`);
  await finish(refused, host.answer);
  const [client, transport] = [create(), open()];
  await client.connect(transport);
  assert.equal(transport.protocolVersion ?? client.getNegotiatedProtocolVersion(), revision);
  const call = (tool) => client.callTool({ name: tool, arguments: { message: "m" } });
  assert.equal((await call("echo")).content[0].text, "m");
  await assert.rejects(call("test_simple_text"), /Unauthorized/);
  await finish(transport, host.answer);
  assert.ok((await call("test_simple_text")).content[0].text.length > 0);
  assert.equal(host.scopes.length, 2, `${name}: ${host.scopes}`);
  assert.equal(host.scopes[0], "mcp:read");
  assert.ok(host.scopes[1].split(" ").includes("mcp:write"), host.scopes[1]);
  await client.close();
}

// A token of the server itself, by its client credentials.
async function fetchToken(issuer, resource) {
  const authorization = `Basic ${btoa("m2m:m2m-secret")}`;
  const grant = { grant_type: "client_credentials", scope: "mcp:read", resource };
  const body = new URLSearchParams(grant);
  const request = { method: "POST", headers: { authorization }, body };
  const response = await fetch(`${issuer}/token`, request);
  return (await response.json()).access_token;
}

async function statusWith(token, url) {
  const headers = {
    authorization: `Bearer ${token}`,
    accept: "application/json, text/event-stream",
    "content-type": "application/json",
  };
  const clientInfo = { name: "rotation", version: "1" };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params });
  const response = await fetch(url, { method: "POST", headers, body });
  await response.text();
  return response.status;
}

// The authorization server starts again with another key: tokens with it become valid, and those of
// before are not any more. A request waits for the key of its token, but not for longer than
// auth.key_wait_ms: on a busy machine the first may be refused.
async function checkRotation(server, issuer, url) {
  const old = await fetchToken(issuer, url);
  assert.equal(await statusWith(old, url), 200);
  const [first] = processes;
  first.kill();
  await once(first, "exit");
  assert.equal(await statusWith(old, url), 200, "keys are kept without their issuer");
  await start(process.execPath, [server, new URL(issuer).port], { JWKS: jwks("second") });
  const deadline = Date.now() + ROTATION_MS_MAX;
  while ((await statusWith(await fetchToken(issuer, url), url)) !== 200) {
    assert.ok(Date.now() < deadline, "a token with a new key is refused");
    await setTimeout(RETRY_MS);
  }
  assert.equal(await statusWith(old, url), 401, "a key that is gone");
}

function configuration(issuer) {
  return `
[auth]
scopes_initial = ["mcp:read"]
[[auth.issuer]]
alias = "test"
issuer = "${issuer}"
[policy]
default = "deny"
[[role]]
name = "reader"
scopes = ["mcp:read"]
[[grant]]
role = "reader"
tools = ["echo"]
[[grant]]
role = "reader"
tools = ["test_simple_text"]
scopes = ["mcp:read", "mcp:write"]
`;
}

// Each client is authorized: in the first round it registers itself, in the second it is known.
async function checkClients(url, round) {
  const clientId = round === "first" ? [] : ["app"];
  const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
  const one = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
  const first = { Client, Transport: one.StreamableHTTPClientTransport, revision: "2025-11-25" };
  const finish = (transport, it) => transport.finishAuth(it.get("code"));
  // With a refresh token it refreshes when it lacks a scope, which gives it no other scope.
  const information = round === "first" ? undefined : { client_id: "app-without-refresh" };
  await check("typescript 1", { ...first, information }, url, finish);
  const two = await load("@modelcontextprotocol/client");
  for (const [mode, revision] of [["legacy", "2025-11-25"], ["auto", "2026-07-28"]]) {
    const options = { versionNegotiation: { mode } };
    const Transport = two.StreamableHTTPClientTransport;
    const second = { Client: two.Client, Transport, options, revision, information };
    await check(`typescript 2 ${mode}`, second, url, (transport, it) => transport.finishAuth(it));
  }
  const client = fileURLToPath(new URL("python_client.py", import.meta.url));
  const revision = round === "first" ? "2025-11-25" : "2026-07-28";
  const programs = [
    [python("python_packages", "python"), client, "sdk-1", "2025-11-25"],
    [python("python_packages_2", "python"), client, "sdk-2", revision],
    [python("python_packages_2", "python"), client, "fastmcp", revision],
    [process.argv[3], revision],
  ];
  await Promise.all(programs.map((it) => checkProgram([...it, url, ...clientId], url)));
}

const folder = mkdtempSync(join(tmpdir(), "corelane-flow-"));
try {
  const server = fileURLToPath(new URL("authorization_server.mjs", import.meta.url));
  const issuer = await start(process.execPath, [server, "0"], { JWKS: jwks("first") });
  const file = join(folder, "corelane.toml");
  writeFileSync(file, configuration(issuer));
  const serve = ["serve", "--demo", "conformance", "--config", file, "--listen", "127.0.0.1:0"];
  const ready = await start(process.argv[2], serve);
  const url = ready.replace("listening on ", "");

  await checkRefusals(url);
  checkProbe(python("python_packages", "testmcpy-oauth"), folder, issuer, url);
  await checkClients(url, "first");
  await checkRotation(server, issuer, url);
  await checkClients(url, "second");
  console.log("done");
} finally {
  processes.forEach((child) => child.kill());
  rmSync(folder, { recursive: true });
}
