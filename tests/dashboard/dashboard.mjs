// Drives the dashboard in Debian's Chromium:
//     node dashboard.mjs ADDRESS-OF-METRICS
// Prints a request a line, and waits for a line of the answer: "quiet" (make no requests any more),
// "kill" (end the server), "start" (start another one; the answer is its address). Then it prints
// "done", or the first failure. No step has a time limit but the one for all.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { checkFigures } from "./figures.mjs";
import { NAMES, SHARDS, hostile } from "./hostile.mjs";

const TIMEOUT_MS = 600_000;
const EXECUTABLE = "/usr/bin/chromium";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

setTimeout(() => {
  console.log(`nothing more happened in ${TIMEOUT_MS / 1000} s`);
  process.exit(1);
}, TIMEOUT_MS).unref();

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function request(word) {
  console.log(word);
  return (await lines.next()).value;
}

// The origin of the page stays when the server is another one on another port.
let target = process.argv[2].split(":");
const relay = createServer((client) => {
  const server = connect(Number(target[1]), target[0]);
  client.pipe(server).pipe(client);
  for (const [one, other] of [[client, server], [server, client]]) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
  }
});
await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${relay.address().port}`;

/** Runs in the page before its scripts: keeps scrapes, and what the policy refuses. */
function record() {
  window.scrapes = [];
  window.violations = [];
  const { fetch } = window;
  window.fetch = async (...call) => {
    const answer = await fetch(...call);
    window.scrapes.push(await answer.clone().text());
    return answer;
  };
  addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
}

/** Opens the page; `faults` are what a browser complains about. */
async function open(browser, options, change) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const faults = [];
  page.on("console", (message) => {
    const type = message.type();
    if (type === "error" || type === "warning") faults.push(`${type}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("dialog", (dialog) => faults.push(`dialog: ${dialog.message()}`));
  page.on("request", (it) => {
    if (!it.url().startsWith(`${origin}/`)) faults.push(it.url());
  });
  await page.addInitScript(record);
  if (change) {
    await page.route("**/metrics?*", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: change(await response.text()) });
    });
  }
  const answer = await page.goto(`${origin}/`);
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /^default-src 'none'; script-src 'self'/);
  const close = async (allowed = () => false) => {
    assert.deepEqual(await page.evaluate(() => window.violations), []);
    assert.deepEqual(faults.filter((fault) => !allowed(fault)), []);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  };
  return { page, close };
}

async function frameAfter(page, frame) {
  await page.waitForFunction((least) =>
    Number(document.documentElement.dataset.frame ?? 0) >= least, frame);
}

/** What the page shows, with the scrapes that it stems from; no frame comes in between. */
function shown(page) {
  return page.evaluate(() => {
    const frame = Number(document.documentElement.dataset.frame);
    const cells = (element) => [...element.querySelectorAll("tbody tr")].map((row) =>
      [...row.cells].map((cell) => cell.textContent));
    const tiles = [...document.querySelectorAll("#tiles dd")];
    return {
      frame,
      scrape: window.scrapes[frame - 1],
      tiles: Object.fromEntries(tiles.map(({ id, textContent }) => [id.slice(5), textContent])),
      lanes: [...document.querySelectorAll(".lane")].map((lane) =>
        [...lane.querySelectorAll(".meter .value")].map((it) => it.textContent)),
      operations: cells(document.getElementById("operations")),
      refusals: cells(document.querySelector(".reasons")),
    };
  });
}

/** The sum of the samples whose line has all of `parts`. */
function sum(scrape, name, ...parts) {
  const found = scrape.split("\n").filter((line) =>
    (line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    && parts.every((part) => line.includes(part)));
  return found.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const number = (text) => Number(text.replaceAll(",", ""));

function checkFrame({ scrape, tiles, lanes, operations, refusals }) {
  const levels = {
    connections: "corelane_connections",
    sessions: "corelane_sessions",
    streams: "corelane_streams",
    tasks: "corelane_tasks",
    inFlight: "corelane_calls_in_flight",
  };
  for (const [id, name] of Object.entries(levels)) {
    assert.equal(number(tiles[id]), sum(scrape, name), name);
  }
  const resident = sum(scrape, "process_resident_memory_bytes") / 2 ** 20;
  assert.equal(tiles.resident, `${resident.toFixed(0)} MiB`);
  assert.equal(lanes.length, 2);
  for (const [shard, values] of lanes.entries()) {
    const of = `shard="${shard}"`;
    const names = ["corelane_connections", "corelane_connections_capacity"];
    const [open, capacity] = names.map((name) => sum(scrape, name, of));
    assert.deepEqual(values[0].split(" of ").map(number), [open, capacity]);
    for (const [at, tier] of ["control", "reply", "request", "bulk"].entries()) {
      const names = ["corelane_lane_messages", "corelane_lane_capacity"];
      const expected = names.map((name) => sum(scrape, name, of, `tier="${tier}"`));
      assert.deepEqual(values[1 + at].split(" of ").map(number), expected);
    }
  }
  const total = (...parts) => sum(scrape, "mcp_server_operation_duration_seconds_count", ...parts);
  for (const [name, kind, , , , , count] of operations) {
    const label = kind === "tool" ? `gen_ai_tool_name="${name}"` : `mcp_method_name="${name}"`;
    assert.equal(number(count), total(label), name);
  }
  assert.equal(operations.reduce((all, row) => all + number(row[6]), 0), total());
  const origins = refusals.find(([why]) => why === "Host or Origin is not allowed");
  const refused = sum(scrape, "corelane_requests_refused_total", 'reason="origin"');
  assert.equal(number(origins?.[4] ?? "0"), refused);
}

async function checkAccessibility(page, what) {
  await page.evaluate(() => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
  });
  assert.deepEqual(violations, [], what);
  const [wide, width] = await page.evaluate(() =>
    [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= width, `${what}: ${wide} pixels in a window of ${width}`);
}

/** Everything that the page offers is reached and used by keys alone. */
async function useKeyboard(page) {
  const focused = () => page.evaluate(() => {
    const { activeElement: it } = document;
    const isSeen = getComputedStyle(it).outlineStyle !== "none";
    return `${it.id || it.textContent.split(":")[0]} ${isSeen}`;
  });
  const next = async () => {
    await page.keyboard.press("Tab");
    return focused();
  };
  assert.equal(await next(), "range true");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.inputValue("#range"), "900");
  assert.equal(await next(), "pause true");
  await page.keyboard.press("Enter");
  assert.equal(await page.getAttribute("#pause", "aria-pressed"), "true");
  const { frame } = await shown(page);
  const before = await page.evaluate(() => window.scrapes.length);
  await page.waitForFunction((count) => window.scrapes.length > count + 1, before);
  assert.equal((await shown(page)).frame, frame, "the picture stands still");
  await page.keyboard.press("Enter");
  await frameAfter(page, frame + 1);
  assert.equal(await next(), "Show data true");
  await page.keyboard.press("Enter");
  await page.locator("#cores tbody tr").nth(1).waitFor();
  await page.keyboard.press("Enter");
  const stops = [];
  while (stops.at(-1) !== "Name true") stops.push(await next());
  assert.ok(stops.length < 20, stops.join());
  const name = page.locator("#operations th").first();
  await page.keyboard.press("Enter");
  assert.equal(await name.getAttribute("aria-sort"), "ascending");
  await page.keyboard.press("Enter");
  assert.equal(await name.getAttribute("aria-sort"), "descending");
}

/** The server under requests, then quiet, then gone, then another one. */
async function watchServer(browser) {
  const { page, close } = await open(browser, { viewport: { width: 1280, height: 800 } });
  await page.waitForFunction(() => {
    const text = document.getElementById("tile-calls").textContent;
    return text !== "–" && text !== "0/s";
  });
  for (let checks = 0; checks < 3; checks++) {
    const state = await shown(page);
    checkFrame(state);
    await frameAfter(page, state.frame + 1);
  }
  // A shard may have been stuck for a while, on a host without a free core.
  await page.waitForFunction(() => document.getElementById("state").textContent === "Running");
  const counts = (await shown(page)).operations.map((row) => number(row[6]));
  assert.deepEqual(counts, counts.toSorted((a, b) => b - a), "the most used comes first");
  await useKeyboard(page);
  await checkAccessibility(page, "light, under requests");
  await page.emulateMedia({ colorScheme: "dark" });
  await checkAccessibility(page, "dark, under requests");

  await request("quiet");
  await page.waitForFunction(() => document.getElementById("tile-calls").textContent === "0/s");
  checkFrame(await shown(page));
  const { frame } = await shown(page);
  await request("kill");
  await page.waitForFunction(() => document.getElementById("state").dataset.state === "lost");
  assert.match(await page.textContent("#lost"), /does not answer\. The figures are those of \d/);
  await checkAccessibility(page, "dark, without the server");
  await page.emulateMedia({ colorScheme: "light" });
  await checkAccessibility(page, "light, without the server");
  target = (await request("start")).split(":");
  await page.waitForFunction(() => document.getElementById("state").dataset.state === "ready");
  await frameAfter(page, frame + 2);
  checkFrame(await shown(page));
  await page.waitForFunction(() => document.getElementById("tile-calls").textContent === "0/s");
  await page.waitForFunction(() =>
    document.getElementById("announcements").textContent === "Running");
  await close((fault) => fault.startsWith("error: Failed to load resource: net::ERR_"));
}

async function watchTrouble(browser) {
  const options = {
    viewport: { width: 320, height: 700 }, colorScheme: "dark", reducedMotion: "reduce",
  };
  const { page, close } = await open(browser, options, hostile);
  await frameAfter(page, 2);
  await checkAccessibility(page, "320 pixels");
  const { operations, lanes, refusals } = await shown(page);
  assert.equal(lanes.length, SHARDS);
  const names = operations.map(([name]) => name);
  for (const name of NAMES.slice(0, 3)) assert.ok(names.includes(name), name);
  assert.ok(names.includes("\\u202eright to left\\u202c"));
  assert.ok(names.includes(`${"z".repeat(80)}… (10,240 characters)`));
  assert.ok(names.includes("__proto__") && names.includes("constructor"));
  assert.ok(refusals.some(([why]) => why === "<i>new</i>"));
  assert.deepEqual(await page.locator("#conditions li").allTextContents(), [
    "A shard is stuck: a handler blocks it, and the log names the handler.",
    "<b>new</b>: see docs/operation.md.",
  ]);
  assert.equal(await page.textContent("#state"), "Needs attention");
  const words = await page.locator(".lane .word").allTextContents();
  assert.deepEqual([words[3], words[5]], ["✕ down", "▲ stalled"]);
  assert.equal(await page.locator(".lane .full").count(), 1);
  const markup = await page.evaluate(() =>
    document.querySelectorAll("img, i, body script, #conditions b").length);
  assert.equal(markup, 0);
  assert.equal(await page.evaluate(() => typeof window.hacked), "undefined");
  await close();
}

let result = "done";
try {
  await checkFigures();
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    timeout: TIMEOUT_MS,
  });
  await watchServer(browser);
  await watchTrouble(browser);
  await browser.close();
} catch (error) {
  result = error.stack ?? String(error);
}
console.log(result);
process.exit(result === "done" ? 0 : 1);
