// Keeps the figures of the last 15 minutes: a point for each frame, and the frames of ten seconds.

import { busy, rate } from "./metrics.js";

export const HISTORY_S = 900;
/** Quantiles and the rates of tables are those of so many seconds. */
export const WINDOW_S = 10;
/** So far may the clock of the day go from that of the page before both are doubted. */
const CLOCK_APART_S = 2;

const GAUGES = {
  connections: "corelane_connections",
  sessions: "corelane_sessions",
  streams: "corelane_streams",
  tasks: "corelane_tasks",
  webSockets: "corelane_websockets",
  inFlight: "corelane_calls_in_flight",
  resident: "process_resident_memory_bytes",
  held: "corelane_memory_bytes",
  kernel: "corelane_kernel_tcp_bytes",
  cgroup: "corelane_cgroup_memory_bytes",
  events: "corelane_event_store_bytes",
};

export class History {
  constructor() {
    this.points = [];
    this.frames = [];
    this.clock = 0;
    this.isGap = false;
  }

  get newest() {
    return this.frames.at(-1);
  }

  /** The frame that the figures of the window are compared with. */
  get base() {
    return this.frames.length > 1 ? this.frames[0] : undefined;
  }

  /** The next frame follows nothing: the server was away, or time was. */
  interrupt() {
    this.frames = [];
    this.isGap = true;
  }

  /** Takes a frame in, `time` being the milliseconds of the clock of the day. */
  add(frame, time) {
    const clock = time / 1000 - frame.at;
    const isOther = this.newest && this.newest.startTime !== frame.startTime;
    if (isOther || Math.abs(clock - this.clock) > CLOCK_APART_S) this.interrupt();
    this.clock = clock;
    const before = this.newest;
    this.frames.push(frame);
    while (this.frames.length > 2 && this.frames[1].at <= frame.at - WINDOW_S) this.frames.shift();
    this.points.push(this.point(before, frame, time));
    this.isGap = false;
    while (this.points[0].at < frame.at - HISTORY_S) this.points.shift();
  }

  point(before, frame, time) {
    const latency = frame.latency.since(this.base?.latency);
    const quantile = (q) => (this.base ? latency.quantile(q) : null);
    const per = (value) => rate(before, frame, value);
    const total = (name) => per((it) => it.sum(name) ?? 0);
    const point = {
      at: frame.at,
      time,
      isGap: this.isGap,
      calls: total("corelane_calls_total"),
      failed: per((it) => it.failed),
      refused: per((it) => it.refused),
      accepted: total("corelane_connections_accepted_total"),
      closed: total("corelane_connections_closed_total"),
      p50: quantile(0.5),
      p95: quantile(0.95),
      p99: quantile(0.99),
      p999: quantile(0.999),
      heat: before ? frame.latency.since(before.latency).counts : null,
      busy: new Map(frame.shards.map(({ id }) => [id, busy(before, frame, id)])),
    };
    for (const [key, name] of Object.entries(GAUGES)) point[key] = frame.sum(name);
    return point;
  }

  /** The points of the last `range` seconds. */
  last(range) {
    const end = this.points.at(-1)?.at ?? 0;
    return this.points.filter(({ at }) => at >= end - range);
  }
}
