// What the dashboard computes, without a browser: labels, rates, quantiles, gaps, bounds and names.
import assert from "node:assert/strict";

const home = new URL("../../engine/control/src/dashboard/", import.meta.url);
const load = (name) => import(new URL(name, home));

function scrape({ calls, start = 1000, fast = 0, slow = 0, cpu = 0 }) {
  const bucket = (le, count) => `mcp_server_operation_duration_seconds_bucket{`
    + `mcp_method_name="tools/call",gen_ai_tool_name="a \\"b\\" {c} \\\\ \\n",le="${le}"} ${count}`;
  return [
    "# HELP corelane_calls_total Calls.",
    `process_start_time_seconds ${start}`,
    'corelane_build_info{version="1.2.3"} 1',
    'corelane_condition{condition="draining"} 1',
    'corelane_condition{condition="shard_down"} 0',
    'corelane_shard_up{shard="0"} 1',
    'corelane_shard_stalled{shard="0"} 0',
    `corelane_shard_cpu_seconds_total{shard="0"} ${cpu}`,
    `corelane_calls_total{shard="0",outcome="ok"} ${calls}`,
    'corelane_calls_total{shard="0",outcome="cancelled"} 7',
    'corelane_calls_total{shard="0",outcome="failed"} 2',
    bucket("0.001", fast), bucket("0.01", fast + slow), bucket("+Inf", fast + slow), "",
  ].join("\n");
}

export async function checkFigures() {
  const { Frame } = await load("metrics.js");
  const { History, HISTORY_S } = await load("history.js");
  const { age, bytes, duration, perSecond, plainName } = await load("formats.js");

  const frame = new Frame(scrape({ calls: 10, fast: 30, slow: 10 }), 5, 1060);
  assert.equal(frame.version, "1.2.3");
  assert.equal(frame.uptime, 60);
  assert.deepEqual(frame.conditions, ["draining"]);
  assert.equal(frame.failed, 2);
  assert.equal(frame.sum("corelane_calls_total"), 19);
  assert.equal(frame.sum("corelane_no_such"), null);
  const [operation] = frame.operations.values();
  assert.equal(operation.name, 'a "b" {c} \\ \n');
  assert.deepEqual(frame.latency.counts, [30, 10, 0]);
  assert.equal(frame.latency.quantile(0.5), 0.001 * (20 / 30));
  assert.ok(Math.abs(frame.latency.quantile(1) - 0.01) < 1e-9);
  assert.equal(frame.latency.since(frame.latency).quantile(0.5), null);

  // Rates are those between two frames, and no rate goes over a gap or a restart.
  const history = new History();
  const add = (at, figures, time = at * 1000) => {
    history.add(new Frame(scrape(figures), at, 0), time);
    return history.points.at(-1);
  };
  assert.equal(add(10, { calls: 100 }).calls, null);
  const second = add(12, { calls: 150, fast: 5, cpu: 1 });
  assert.equal(second.calls, 25);
  assert.equal(second.busy.get("0"), 0.5);
  assert.deepEqual(second.heat, [5, 0, 0]);
  assert.equal(add(13, { calls: 40, start: 2000 }).calls, null, "another process");
  assert.equal(add(14, { calls: 41, start: 2000 }).calls, 1);
  const jumped = add(15, { calls: 50, start: 2000 }, 90_000_000);
  assert.equal(jumped.calls, null, "the clock of the day has jumped");
  assert.ok(jumped.isGap);
  history.interrupt();
  assert.ok(add(3600, { calls: 60, start: 2000 }).isGap, "the server was away");
  assert.equal(history.points.length, 1, "what is too old is forgotten");
  for (let at = 3601; at < 3600 + 2 * HISTORY_S; at++) add(at, { calls: at, start: 2000 });
  assert.equal(history.points.length, HISTORY_S + 1);
  assert.ok(history.frames.length <= 12);

  assert.deepEqual([0, 0.000348, 0.0132, 1.5, Infinity, null].map(duration),
    ["0 s", "348 µs", "13.2 ms", "1.5 s", "> 300 s", "–"]);
  assert.deepEqual([0, 0.25, 4909.4, null].map(perSecond), ["0/s", "0.3/s", "4,909/s", "–"]);
  assert.deepEqual([0, 1536, 79 * 2 ** 20].map(bytes), ["0 B", "1.5 KiB", "79 MiB"]);
  assert.deepEqual([59, 3600, 90_000].map(age), ["59 s", "1 h 0 min", "1 d 1 h"]);
  assert.equal(plainName("a\u202eb\u0000"), "a\\u202eb\\u0000");
  assert.equal(plainName("x".repeat(10_240)), `${"x".repeat(80)}… (10,240 characters)`);
}
