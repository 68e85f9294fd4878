// The central picture: a lane for each shard, with its work over time beside the others.

import { Data, el, path, setText } from "./charts.js";
import { duration, percent, perSecond, whole } from "./formats.js";
import { TIERS, busy, rate } from "./metrics.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 40;
const IDLE_BELOW = 0.01;
/** With more shards, lanes stand side by side, without what is empty in them. */
const WIDE_LANES_MAX = 8;
const HEADS = ["Shard", "State", "Busy", "Requests/s", "In flight", "Connections", "Turn p99",
  "Loop delay p99", "Stalls", "Restarts", ...TIERS.map((tier) => `Lane ${tier}`)];

const STATES = {
  running: "● running", idle: "○ idle", stalled: "▲ stalled", down: "✕ down", waiting: "… new",
};

function state(shard, share) {
  if (!shard.isUp) return "down";
  if (shard.isStalled) return "stalled";
  if (share === null) return "waiting";
  return share < IDLE_BELOW ? "idle" : "running";
}

/** How full something is, as a bar and in words. */
class Meter {
  constructor(name) {
    this.fill = el("span", { className: "fill" });
    this.value = el("span", { className: "value" });
    this.element = el("div", { className: "meter" }, el("span", { className: "name" }, name),
      el("span", { className: "bar", "aria-hidden": "true" }, this.fill), this.value);
  }

  show(used, capacity) {
    const isKnown = used !== null && capacity > 0;
    const share = isKnown ? Math.min(1, used / capacity) : 0;
    this.fill.style.width = share > 0 ? `max(2px, ${100 * share}%)` : "0";
    this.element.classList.toggle("full", share >= 0.9);
    this.element.classList.toggle("none", share === 0);
    setText(this.value, isKnown ? `${whole(used)} of ${whole(capacity)}` : "–");
  }
}

class Lane {
  constructor(id) {
    this.state = el("span", { className: "word" });
    this.busy = el("b");
    this.facts = el("p", { className: "facts" });
    this.area = document.createElementNS(SVG, "path");
    const track = document.createElementNS(SVG, "svg");
    track.setAttribute("viewBox", `0 0 600 ${HEIGHT}`);
    track.setAttribute("preserveAspectRatio", "none");
    track.setAttribute("aria-hidden", "true");
    track.append(this.area);
    this.connections = new Meter("connections");
    this.tiers = TIERS.map((tier) => new Meter(`${tier} lane`));
    this.element = el("li", { className: "lane" },
      el("div", { className: "who" }, el("h3", {}, `Shard ${id}`), this.state),
      el("div", { className: "track" }, track, this.busy),
      this.facts,
      el("div", { className: "meters" }, ...[this.connections, ...this.tiers]
        .map(({ element }) => element)));
  }

  show(row) {
    const { shard, share } = row;
    this.element.dataset.state = row.state;
    setText(this.state, STATES[row.state]);
    setText(this.busy, `${percent(share)} busy`);
    setText(this.facts, `${perSecond(row.requests)} requests · `
      + `${whole(shard.inFlight)} in flight · turn p99 ${duration(row.turn)} · `
      + `loop delay p99 ${duration(row.delay)}`);
    this.connections.show(shard.connections, shard.capacity);
    shard.lanes.forEach(({ waiting, capacity }, at) => this.tiers[at].show(waiting, capacity));
  }

  draw(points, range, now, id) {
    const height = (share) => HEIGHT * (1 - share);
    const line = path(points, range, now, ({ busy }) => busy.get(id) ?? null, height);
    // Each part of the line that does not break is closed to an area.
    const parts = line.split("M").filter((part) => part.includes("L"));
    const x = (text) => text.split(" ")[0];
    this.area.setAttribute("d", parts.map((part) => {
      const last = part.slice(part.lastIndexOf("L") + 1);
      return `M${x(part)} ${HEIGHT}L${part}L${x(last)} ${HEIGHT}Z`;
    }).join(""));
  }
}

export class Cores {
  constructor(element) {
    this.lanes = new Map();
    this.rows = [];
    this.summary = el("p", { className: "summary" }, "No figures yet.");
    this.list = el("ol", { className: "lanes" });
    this.data = new Data("Cores", HEADS, () => this.rows.map(cells));
    element.append(el("h2", {}, "Cores"), this.summary, this.list, this.data.element);
  }

  show(history) {
    const { newest, base } = history;
    const before = history.frames.at(-2);
    const ids = new Set(newest.shards.map(({ id }) => id));
    for (const [id, lane] of this.lanes) {
      if (!ids.has(id)) {
        lane.element.remove();
        this.lanes.delete(id);
      }
    }
    this.rows = newest.shards.map((shard) => {
      const older = base?.shards.find(({ id }) => id === shard.id);
      const share = busy(before, newest, shard.id);
      const requests = (frame) => frame.shards.find(({ id }) => id === shard.id)?.requests ?? 0;
      const p99 = (key) => (older ? shard[key].since(older[key]).quantile(0.99) : null);
      const isCounted = shard.connections !== null;
      return {
        shard,
        share,
        state: state(shard, share),
        requests: isCounted ? rate(before, newest, requests) : null,
        turn: p99("turn"),
        delay: p99("delay"),
      };
    });
    for (const row of this.rows) {
      const { id } = row.shard;
      if (!this.lanes.has(id)) {
        this.lanes.set(id, new Lane(id));
        this.list.append(this.lanes.get(id).element);
      }
      this.lanes.get(id).show(row);
    }
    this.list.classList.toggle("many", this.rows.length > WIDE_LANES_MAX);
    setText(this.summary, summary(this.rows));
    this.data.update();
  }

  draw(points, range, now) {
    for (const [id, lane] of this.lanes) lane.draw(points, range, now, id);
  }
}

function summary(rows) {
  const count = `${rows.length} ${rows.length === 1 ? "shard" : "shards"}, each a thread on a core`;
  const bad = rows.filter(({ state }) => state === "stalled" || state === "down");
  const shares = rows.filter(({ share }) => share !== null);
  const most = shares.reduce((a, b) => (a && a.share >= b.share ? a : b), undefined);
  const parts = [count];
  if (bad.length > 0) {
    parts.push(`in trouble: ${bad.map(({ shard, state }) => `${shard.id} (${state})`).join(", ")}`);
  }
  if (most) parts.push(`the busiest is shard ${most.shard.id} with ${percent(most.share)}`);
  const isMerged = rows.some(({ shard }) => shard.connections === null);
  if (isMerged) parts.push("metrics.per_shard is off: lanes only have their state and work");
  return `${parts.join("; ")}. Lanes hold the messages of other shards that wait.`;
}

function cells({ shard, share, state, requests, turn, delay }) {
  return [shard.id, state, percent(share), perSecond(requests), whole(shard.inFlight),
    `${whole(shard.connections)} of ${whole(shard.capacity)}`, duration(turn), duration(delay),
    whole(shard.stalls), whole(shard.restarts),
    ...shard.lanes.map(({ waiting, capacity }) => `${whole(waiting)} of ${whole(capacity)}`)];
}
