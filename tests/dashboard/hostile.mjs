// Figures that no server of ours gives: many shards, trouble, and names made to break a page.

export const SHARDS = 64;

/** The names of tools, as a client of a hostile upstream may get them. */
export const NAMES = [
  "<img src=x onerror=hacked=1>",
  "\"><script>hacked=1</script>",
  "javascript:hacked=1",
  "\u202eright to left\u202c",
  "שלום عالم",
  "__proto__",
  "constructor",
  "z".repeat(10_240),
];

function escape(name) {
  return name.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n");
}

/** A scrape with more in it, and with other conditions. */
export function hostile(text) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("corelane_condition{"));
  for (const [at, name] of NAMES.entries()) {
    const labels = `mcp_method_name="tools/call",gen_ai_tool_name="${escape(name)}"`;
    for (const le of ["0.001", "300.0", "+Inf"]) {
      const count = le === "+Inf" ? 3 + at : 2;
      lines.push(`mcp_server_operation_duration_seconds_bucket{${labels},le="${le}"} ${count}`);
    }
  }
  for (let shard = 2; shard < SHARDS; shard++) {
    const isUp = shard === 3 ? 0 : 1;
    const isStalled = shard === 5 ? 1 : 0;
    lines.push(`corelane_shard_up{shard="${shard}"} ${isUp}`,
      `corelane_shard_stalled{shard="${shard}"} ${isStalled}`,
      `corelane_shard_cpu_seconds_total{shard="${shard}"} 5`,
      `corelane_connections{shard="${shard}"} ${shard === 7 ? 95 : 10}`,
      `corelane_connections_capacity{shard="${shard}"} 100`,
      `corelane_lane_messages{shard="${shard}",tier="bulk"} 1024`,
      `corelane_lane_capacity{shard="${shard}",tier="bulk"} 2048`);
  }
  lines.push('corelane_condition{condition="stalled_shard"} 1',
    'corelane_condition{condition="<b>new</b>"} 1',
    'corelane_requests_refused_total{shard="2",reason="<i>new</i>"} 4');
  return `${lines.join("\n")}\n`;
}
