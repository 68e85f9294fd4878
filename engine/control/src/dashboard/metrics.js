// Reads the text format of Prometheus (0.0.4), and computes figures from one scrape or from two.
// It knows the names of the metrics, and nothing of the page.

const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/gs;
const ESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** The tiers of the lanes between shards, first served first. */
export const TIERS = ["control", "reply", "request", "bulk"];

/** The requests that wait for changes last as long as their client likes: they are no latency. */
const WAITING = new Set(["subscriptions/listen"]);

/** The samples of a scrape by the name of their metric, each with its labels and its value. */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const end = line.lastIndexOf(" ");
    const open = line.indexOf("{");
    const name = line.slice(0, open < 0 ? end : open);
    const labels = Object.create(null);
    if (open >= 0) {
      for (const [, label, value] of line.slice(open, end).matchAll(LABEL)) {
        labels[label] = value.replace(/\\[n"\\]/g, (escape) => ESCAPED[escape]);
      }
    }
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: Number(line.slice(end + 1)) });
  }
  return found;
}

/** The counts of a histogram by bucket, not cumulative, and the upper bounds of its buckets. */
class Histogram {
  constructor() {
    this.bounds = [];
    this.counts = [];
  }

  get count() {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }

  /** What came since `before`; all of it if that is not there. */
  since(before) {
    const rest = new Histogram();
    rest.bounds = this.bounds;
    rest.counts = this.counts.map((count, at) => Math.max(0, count - (before?.counts[at] ?? 0)));
    return rest;
  }

  /** The value that the share `q` of all stays below: between two bounds it is interpolated. */
  quantile(q) {
    const rank = q * this.count;
    if (rank === 0) return null;
    let before = 0;
    for (const [at, count] of this.counts.entries()) {
      if (count > 0 && before + count >= rank) {
        const low = at > 0 ? this.bounds[at - 1] : 0;
        return low + ((this.bounds[at] - low) * (rank - before)) / count;
      }
      before += count;
    }
    return null;
  }
}

/** Adds up the series of a histogram, whose buckets come one after the other. */
function histogram(samples) {
  const sum = new Histogram();
  const at = new Map();
  let below = 0;
  let bound = Infinity;
  for (const { labels, value } of samples) {
    const next = labels.le === "+Inf" ? Infinity : Number(labels.le);
    if (next <= bound) below = 0;
    bound = next;
    if (!at.has(bound)) {
      at.set(bound, sum.bounds.push(bound) - 1);
      sum.counts.push(0);
    }
    sum.counts[at.get(bound)] += value - below;
    below = value;
  }
  return sum;
}

/** One scrape. `at` is the time of the page in seconds, which never goes back. */
export class Frame {
  constructor(text, at, serverTime) {
    this.samples = parse(text);
    this.at = at;
    this.startTime = this.sum("process_start_time_seconds");
    this.uptime = this.startTime && Math.max(0, serverTime - this.startTime);
    this.version = this.of("corelane_build_info")[0]?.labels.version ?? "";
    const conditions = this.of("corelane_condition").filter(({ value }) => value > 0);
    this.conditions = conditions.map(({ labels }) => labels.condition);
    this.operations = this.readOperations();
    this.latency = histogram([...this.operations.values()]
      .filter((it) => !WAITING.has(it.name)).flatMap((it) => it.buckets));
    this.shards = this.of("corelane_shard_up").map(({ labels }) => this.readShard(labels.shard));
  }

  of(name) {
    return this.samples.get(name) ?? [];
  }

  /** The sum of the samples that have all of `labels`; null without any. */
  sum(name, labels = {}) {
    const wanted = Object.entries(labels);
    const samples = this.of(name)
      .filter((it) => wanted.every(([label, value]) => it.labels[label] === value));
    return samples.length === 0 ? null : samples.reduce((sum, { value }) => sum + value, 0);
  }

  /** The sums of the samples by the values of a label. */
  by(name, label) {
    const sums = new Map();
    for (const { labels, value } of this.of(name)) {
      const key = labels[label] ?? "";
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
    return sums;
  }

  /** Calls that failed by themselves; those that clients cancelled are none. */
  get failed() {
    const outcomes = this.by("corelane_calls_total", "outcome");
    return (outcomes.get("failed") ?? 0) + (outcomes.get("panicked") ?? 0);
  }

  /** Refused calls are not added: they are refused requests or failed calls as well. */
  get refused() {
    const names = ["corelane_requests_refused_total", "corelane_connections_refused_total"];
    return names.reduce((sum, name) => sum + (this.sum(name) ?? 0), 0);
  }

  /** The tools, prompts and other methods that were used, with their buckets. */
  readOperations() {
    const found = new Map();
    for (const sample of this.of("mcp_server_operation_duration_seconds_bucket")) {
      const { labels } = sample;
      const [kind, name] = kindOf(labels);
      const key = `${kind} ${name}`;
      if (!found.has(key)) found.set(key, { key, kind, name, buckets: [], failed: 0 });
      const operation = found.get(key);
      operation.buckets.push(sample);
      if (labels.le === "+Inf" && labels.error_type) operation.failed += sample.value;
    }
    for (const operation of found.values()) operation.histogram = histogram(operation.buckets);
    return found;
  }

  readShard(id) {
    const sum = (name, labels) => this.sum(name, { shard: id, ...labels });
    const buckets = (name) =>
      histogram(this.of(`${name}_bucket`).filter(({ labels }) => labels.shard === id));
    const lanes = TIERS.map((tier) => ({
      tier,
      waiting: sum("corelane_lane_messages", { tier }),
      capacity: sum("corelane_lane_capacity", { tier }),
    }));
    return {
      id,
      isUp: sum("corelane_shard_up") === 1,
      isStalled: sum("corelane_shard_stalled") === 1,
      cpu: sum("corelane_shard_cpu_seconds_total"),
      requests: sum("corelane_requests_total"),
      connections: sum("corelane_connections"),
      capacity: sum("corelane_connections_capacity"),
      inFlight: sum("corelane_calls_in_flight"),
      stalls: sum("corelane_shard_stalls_total"),
      restarts: sum("corelane_shard_restarts_total"),
      turn: buckets("corelane_turn_duration_seconds"),
      delay: buckets("corelane_loop_delay_seconds"),
      lanes,
    };
  }
}

function kindOf(labels) {
  if (labels.otel_metric_overflow) return ["others", "too many to be told apart"];
  if (labels.gen_ai_tool_name) return ["tool", labels.gen_ai_tool_name];
  if (labels.gen_ai_prompt_name) return ["prompt", labels.gen_ai_prompt_name];
  return ["method", labels.mcp_method_name ?? "?"];
}

/** The refusals of a frame by their reasons. */
export function refusals(frame) {
  const kinds = [["request", "corelane_requests_refused_total"],
    ["call", "corelane_calls_refused_total"], ["connection", "corelane_connections_refused_total"]];
  return kinds.flatMap(([kind, name]) => [...frame.by(name, "reason")]
    .map(([reason, total]) => ({ key: `${kind} ${reason}`, kind, reason, total })));
}

/** How much a value rose in each second between two frames; null where one has none. */
export function rate(older, newer, value) {
  if (!older || newer.at <= older.at) return null;
  const [before, now] = [value(older), value(newer)];
  return now === null ? null : Math.max(0, now - (before ?? 0)) / (newer.at - older.at);
}

/** The share of a second that a shard worked in; null if that is unknown. */
export function busy(older, newer, shard) {
  const cpu = (frame) => frame.shards.find(({ id }) => id === shard)?.cpu ?? null;
  const share = rate(older, newer, cpu);
  return share === null ? null : Math.min(1, share);
}
