// The dashboard of a Corelane server: reads /metrics of its own origin once a second and shows it.
// It changes nothing, and asks no other host for anything.

import { HeatMap, LineChart, el, setText } from "./charts.js";
import { Cores } from "./cores.js";
import { age, bytes, duration, percent, perSecond, whole } from "./formats.js";
import { History, WINDOW_S } from "./history.js";
import { Frame } from "./metrics.js";
import { Operations, Refusals, Upstreams } from "./tables.js";

const INTERVAL_MS = 1000;
const PATIENCE_MS = 5000;
const RETRY_MS_MAX = 10_000;
const ANNOUNCE_MS = 10_000;
const STILL_MS = 10_000;
const RANGE_S_MIN = 60;
const NAMES = ["corelane_", "process_", "mcp_server_operation_"];
const SOURCE = `metrics?${NAMES.map((name) => `names[]=${name}`).join("&")}`;

const CONDITIONS = {
  stalled_shard: "A shard is stuck: a handler blocks it, and the log names the handler.",
  shard_down: "A shard has failed and is started again. The log says why.",
  near_capacity: "A shard holds nine tenths of the connections that it can: raise the limit of "
    + "open files, or run more shards.",
  accept_paused: "New connections wait. The log says why.",
  draining: "The server is about to end: it refuses to be ready, and finishes its calls.",
};

const TILES = [
  ["calls", "Calls", (it) => perSecond(it.calls)],
  ["failed", "Failed", (it) => perSecond(it.failed)],
  ["refused", "Refused", (it) => perSecond(it.refused)],
  ["p50", "p50", (it) => duration(it.p50)],
  ["p99", "p99", (it) => duration(it.p99)],
  ["inFlight", "Calls in flight", (it) => whole(it.inFlight)],
  ["connections", "Connections", (it) => whole(it.connections)],
  ["sessions", "Sessions", (it) => whole(it.sessions)],
  ["streams", "Streams", (it) => whole(it.streams)],
  ["tasks", "Tasks", (it) => whole(it.tasks)],
  ["resident", "Memory", (it) => bytes(it.resident)],
  ["busy", "Busiest shard", (it) => percent(Math.max(...it.busy.values()))],
];

const of = (key, name) => ({ name, value: (point) => point[key] });

const charts = [
  new LineChart({
    title: "Calls",
    series: [of("calls", "calls"), of("failed", "failed")],
    format: perSecond,
    empty: "Empty: no call in this time.",
  }),
  new LineChart({
    title: "Latency",
    series: [of("p50", "p50"), of("p95", "p95"), of("p99", "p99"), of("p999", "p99.9")],
    format: duration,
    isLog: true,
    least: 0.001,
    empty: `Empty: no request in this time. Quantiles are those of ${WINDOW_S} s, estimated from `
      + "the buckets of the histogram.",
  }),
  new HeatMap({
    title: "Latency heat map",
    format: duration,
    empty: "Empty: no request in this time.",
  }),
  new LineChart({
    title: "Refusals",
    series: [of("refused", "refused")],
    format: perSecond,
    empty: "Empty: nothing was refused in this time.",
  }),
  new LineChart({
    title: "Connections",
    series: [of("connections", "open"), of("webSockets", "WebSockets")],
    format: whole,
    least: 10,
    empty: "Empty: no client was connected in this time.",
  }),
  new LineChart({
    title: "Connections made and closed",
    series: [of("accepted", "accepted"), of("closed", "closed")],
    format: perSecond,
    empty: "Empty: no client came or went in this time.",
  }),
  new LineChart({
    title: "Sessions, streams and tasks",
    series: [of("sessions", "sessions"), of("streams", "streams"), of("tasks", "tasks")],
    format: whole,
    least: 10,
    empty: "Empty: there was no session, stream or task in this time. Clients of revision "
      + "2026-07-28 have no sessions.",
  }),
  new LineChart({
    title: "Memory",
    series: [of("resident", "resident"), of("held", "for clients"), of("events", "kept events"),
      of("kernel", "TCP in the kernel"), of("cgroup", "control group")],
    format: bytes,
    least: 1024,
    unit: 1024,
    empty: "Empty: the memory of the process cannot be read here.",
  }),
];

const at = (id) => document.getElementById(id);
const history = new History();
const cores = new Cores(at("cores"));
const operations = new Operations(at("operations"));
const refusals = new Refusals(at("tables"));
const upstreams = new Upstreams(at("tables"));
const tiles = TILES.map(([id, name, text]) => {
  const value = el("dd", { id: `tile-${id}` }, "–");
  at("tiles").append(el("div", {}, el("dt", {}, name), value));
  return { value, text };
});
at("charts").append(...charts.slice(0, 4).map(({ element }) => element));
at("levels").append(...charts.slice(4).map(({ element }) => element));

let frames = 0;
let failures = 0;
let isPaused = false;
let drawnAt = -Infinity;
let lastTime;
let announced = "";
let announcedAt = -Infinity;
let announcing;

/** The seconds that pictures show: as many as the reader chose, and fewer while there are fewer. */
function range() {
  const { points } = history;
  const all = points.length > 1 ? points.at(-1).at - points[0].at : 0;
  return Math.min(Number(at("range").value), Math.max(RANGE_S_MIN, all));
}

/** Reads a word to those who do not see the page: at most each ten seconds, the newest only. */
function announce(text) {
  if (text === announced) return;
  announced = text;
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    announcedAt = performance.now();
    setText(at("announcements"), text);
  }, Math.max(0, announcedAt + ANNOUNCE_MS - performance.now()));
}

function clock(time) {
  return new Date(time).toLocaleTimeString();
}

function stateOf(frame) {
  if (failures > 1) return ["lost", "Connection lost"];
  if (!frame) return ["waiting", "Waiting for the first figures"];
  if (frame.conditions.some((it) => it !== "draining")) return ["attention", "Needs attention"];
  return frame.conditions.length > 0 ? ["draining", "Draining"] : ["ready", "Running"];
}

function showState() {
  const frame = history.newest;
  const [state, word] = stateOf(frame);
  at("state").dataset.state = state;
  setText(at("state"), word);
  const isLost = state === "lost";
  document.documentElement.classList.toggle("stale", isLost);
  at("lost").hidden = !isLost;
  if (isLost) {
    const since = lastTime ? `The figures are those of ${clock(lastTime)}.` : "No figures yet.";
    setText(at("lost"), `The server does not answer. ${since} `
      + "The page goes on by itself when it does.");
  }
  const conditions = isLost || !frame ? [] : frame.conditions;
  at("conditions").hidden = conditions.length === 0;
  const words = conditions.map((it) => CONDITIONS[it] ?? `${it}: see docs/operation.md.`);
  if (words.join() !== [...at("conditions").children].map((it) => it.textContent).join()) {
    at("conditions").replaceChildren(...words.map((it) => el("li", {}, it)));
  }
  announce([word, ...words].join(". "));
}

function showFacts(frame) {
  const parts = [`version ${frame.version || "unknown"}`, `up ${age(frame.uptime)}`,
    `figures of ${clock(lastTime)}`];
  if (isPaused) parts.push("paused: the picture stands still, the history goes on");
  setText(at("facts"), parts.join(" · "));
}

/** Shows the newest frame: figures at once, pictures as often as the reader likes movement. */
function show() {
  const frame = history.newest;
  if (!frame || document.hidden) return;
  const points = history.last(range());
  showFacts(frame);
  for (const { value, text } of tiles) setText(value, text(points.at(-1)));
  cores.show(history);
  operations.show(history);
  refusals.update(history);
  upstreams.update(history);
  const bounds = frame.latency.bounds;
  for (const chart of charts) {
    chart.showValues(points, bounds);
    chart.data.update();
  }
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (!isStill || performance.now() - drawnAt >= STILL_MS) draw();
  document.documentElement.dataset.frame = frames;
}

function draw() {
  drawnAt = performance.now();
  const seconds = range();
  const points = history.last(seconds);
  const now = points.at(-1)?.at ?? 0;
  for (const chart of charts) chart.draw(seconds, now);
  cores.draw(points, seconds, now);
}

async function read() {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const headers = { Accept: "text/plain;version=0.0.4" };
  const answer = await fetch(SOURCE, { cache: "no-store", headers, signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const text = await answer.text();
  const time = Date.now();
  const date = Date.parse(answer.headers.get("Date")) || time;
  history.add(new Frame(text, performance.now() / 1000, date / 1000), time);
  frames += 1;
  lastTime = time;
}

/** Reads a frame and shows it. A server that is away is tried ever less often, with jitter. */
async function step() {
  const began = performance.now();
  let pause = INTERVAL_MS;
  try {
    await read();
    failures = 0;
  } catch {
    failures += 1;
    // One failure may be the end of an old connection.
    if (failures === 2) history.interrupt();
    pause = Math.min(RETRY_MS_MAX, INTERVAL_MS * 2 ** (failures - 2)) * (0.5 + Math.random());
  }
  showState();
  if (failures === 0 && !isPaused) show();
  setTimeout(step, Math.max(0, began + pause - performance.now()));
}

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  setText(at("pause"), isPaused ? "Go on" : "Pause");
  if (history.newest) showFacts(history.newest);
  if (!isPaused) show();
});
at("range").addEventListener("change", () => {
  for (const chart of charts) chart.showValues(history.last(range()), []);
  draw();
});
document.addEventListener("visibilitychange", () => {
  if (!isPaused) show();
});
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
step();
