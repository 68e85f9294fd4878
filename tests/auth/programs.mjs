// Clients that are programs of their own: they print the URLs that a browser opens, and read those
// that the browser is sent back to.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { authorize } from "./browser.mjs";

const CALLBACK_TRIES = 200;
const CALLBACK_RETRY_MS = 50;

// Runs a client of the endpoint at `url`, which must end without an error. It is authorized twice:
// at first with the scope of the challenge, then with that of its second tool.
export async function checkProgram([program, ...args], url) {
  const name = args.join(" ");
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const scopes = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const page = new URL(line);
    assert.equal(page.searchParams.get("code_challenge_method"), "S256", name);
    assert.equal(page.searchParams.get("resource"), url, name);
    scopes.push(page.searchParams.get("scope").split(" "));
    const redirectUri = page.searchParams.get("redirect_uri");
    const answer = await authorize(page, redirectUri);
    assert.ok(answer.has("code"), `${name}: ${answer}`);
    const callback = `${redirectUri}?${answer}`;
    if (new URL(redirectUri).port) {
      await openCallback(callback);
    } else {
      child.stdin.write(`${callback}\n`);
    }
  }
  assert.deepEqual(await ended, [0, null], name);
  assert.equal(scopes.length, 2, `${name}: ${scopes}`);
  assert.ok(scopes[0].includes("mcp:read") && !scopes[0].includes("mcp:write"), scopes[0]);
  assert.ok(scopes[1].includes("mcp:write"), `${name}: ${scopes[1]}`);
}

// A client may begin to listen only when it has opened the browser.
async function openCallback(url) {
  for (let tries = 0; tries < CALLBACK_TRIES; tries++) {
    const response = await fetch(url).catch(() => undefined);
    if (response) {
      assert.ok(response.ok, `${url}: ${response.status}`);
      await response.text();
      return;
    }
    await setTimeout(CALLBACK_RETRY_MS);
  }
  throw new Error(`nothing listens at ${url}`);
}
