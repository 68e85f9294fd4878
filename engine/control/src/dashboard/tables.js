// The tables of the page: what was used, what was refused and why, and the upstreams.

import { Table, el, setText } from "./charts.js";
import { duration, percent, perSecond, plainName, whole } from "./formats.js";
import { rate, refusals } from "./metrics.js";
import { WINDOW_S } from "./history.js";

const ROWS_MAX = 100;

const REASONS = {
  "request origin": ["policy", "Host or Origin is not allowed"],
  "request principal": ["policy", "the header that names the principal is malformed"],
  "request credential": ["policy", "no credential, or a bad one"],
  "request access": ["policy", "the client may not use what it asks for"],
  "request blocked": ["limit", "too many credentials of the source failed"],
  "request rate": ["limit", "a rate or a quota is used up"],
  "request overload": ["overload", "this shard or another one is overloaded"],
  "request framing": ["malformed", "the framing is broken or too large"],
  "request message": ["malformed", "no JSON-RPC, or too large"],
  "request session": ["malformed", "the session is unknown or of another client"],
  "call tool": ["limit", "too many calls of the tool in flight"],
  "call breaker": ["breaker", "the tool kept failing"],
  "call upstream": ["breaker", "the upstream kept failing"],
  "call delay": ["overload", "the shard took too long for its work"],
  "call memory": ["overload", "the shard held as much memory as it may"],
  "connection descriptors": ["limit", "the file table is full"],
  "connection limit": ["limit", "the process has as many as it may"],
  "connection memory": ["overload", "the shard held as much memory as it may"],
  "connection address_limit": ["limit", "the address has as many as it may"],
  "connection protocol": ["malformed", "another protocol than that of the listener"],
};

/** The columns of operations: the head, the value to sort by, and the text. */
const COLUMNS = [
  ["Name", (row) => row.name, (row) => plainName(row.name)],
  ["Kind", (row) => row.kind, (row) => row.kind],
  ["Rate", (row) => row.rate, (row) => perSecond(row.rate)],
  ["Failed", (row) => row.failed, (row) => percent(row.failed)],
  ["p50", (row) => row.p50, (row) => duration(row.p50)],
  ["p99", (row) => row.p99, (row) => duration(row.p99)],
  ["Total", (row) => row.total, (row) => whole(row.total)],
];

/** Tools, prompts and methods, sorted by the column that was chosen. */
export class Operations {
  constructor(element) {
    this.sorted = 6;
    this.isDescending = true;
    this.rows = [];
    this.summary = el("p", { className: "summary" });
    this.table = new Table("Tools, prompts and methods", []);
    this.heads = COLUMNS.map(([name], at) => {
      const button = el("button", { type: "button", onclick: () => this.sortBy(at) }, name);
      return el("th", { scope: "col" }, button);
    });
    this.table.head.append(...this.heads);
    element.append(el("h2", {}, "Tools, prompts and methods"), this.summary, this.table.element);
  }

  sortBy(column) {
    this.isDescending = column === this.sorted ? !this.isDescending : column > 1;
    this.sorted = column;
    this.draw();
  }

  show({ newest, base }) {
    this.rows = [...newest.operations.values()].map((operation) => {
      const count = (frame) => frame.operations.get(operation.key)?.histogram.count ?? 0;
      const older = base?.operations.get(operation.key);
      const recent = operation.histogram.since(older?.histogram);
      const failed = operation.failed - (older?.failed ?? 0);
      const quantile = (q) => (base ? recent.quantile(q) : null);
      return {
        name: operation.name,
        kind: operation.kind,
        rate: rate(base, newest, count),
        failed: base && recent.count > 0 ? failed / recent.count : null,
        p50: quantile(0.5),
        p99: quantile(0.99),
        total: operation.histogram.count,
      };
    });
    this.draw();
  }

  draw() {
    const [, value] = COLUMNS[this.sorted];
    const sign = this.isDescending ? -1 : 1;
    const key = (row) => value(row) ?? -1;
    const rows = [...this.rows].sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      const order = left < right ? -1 : left > right ? 1 : 0;
      return sign * order || (a.name < b.name ? -1 : 1);
    });
    this.heads.forEach((head, at) => {
      if (at !== this.sorted) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.isDescending ? "descending" : "ascending");
    });
    const cut = rows.length > ROWS_MAX ? `; ${ROWS_MAX} of ${whole(rows.length)} are shown` : "";
    this.table.element.hidden = rows.length === 0;
    setText(this.summary, rows.length === 0
      ? "Empty: nothing has been requested since the server started."
      : `Rates and quantiles of the last ${WINDOW_S} s${cut}. Press a heading to sort.`);
    this.table.show(rows.slice(0, ROWS_MAX).map((row) => COLUMNS.map(([, , text]) => text(row))));
  }
}

/** A card with a table, or with the reason why there is none. */
class Card {
  constructor(parent, { title, heads, empty, note, kind = "" }) {
    Object.assign(this, { empty, note });
    this.summary = el("p", { className: "summary" });
    this.table = new Table(title, heads);
    parent.append(el("section", { className: `card ${kind}` }, el("h2", {}, title),
      this.summary, this.table.element));
  }

  show(rows) {
    this.table.element.hidden = rows.length === 0;
    setText(this.summary, rows.length === 0 ? this.empty : this.note);
    this.table.show(rows);
  }
}

export class Refusals extends Card {
  constructor(parent) {
    super(parent, {
      title: "Refusals, policy and limits",
      kind: "texts reasons",
      heads: ["Reason", "Group", "What", "Rate", "Total"],
      empty: "Empty: nothing has been refused since the server started.",
      note: "Refused calls are refused requests or failed calls as well.",
    });
  }

  update({ newest, base }) {
    const found = refusals(newest).filter(({ total }) => total > 0);
    found.sort((a, b) => b.total - a.total);
    this.show(found.map(({ key, kind, reason, total }) => {
      const [group, why] = REASONS[key] ?? ["other", reason];
      const of = (frame) => refusals(frame).find((it) => it.key === key)?.total ?? 0;
      return [why, group, kind, perSecond(rate(base, newest, of)), whole(total)];
    }));
  }
}

const LIMITS = [
  ["Times that an upstream began to be refused", "corelane_upstream_breakers_opened_total"],
  ["Calls refused because their upstream kept failing", "corelane_calls_refused_total", "upstream"],
  ["Requests to upstreams that were sent again", "corelane_upstream_repeats_total"],
  ["Requests of upstreams that were declined", "corelane_upstream_questions_declined_total"],
  ["Times that a tool began to be refused", "corelane_breakers_opened_total"],
  ["Calls refused because their tool kept failing", "corelane_calls_refused_total", "breaker"],
];

export class Upstreams extends Card {
  constructor(parent) {
    super(parent, {
      title: "Upstreams and breakers",
      heads: ["Event", "Rate", "Total"],
      empty: "Empty: no tool and no upstream has been refused for failing, and nothing was sent to "
        + "an upstream twice, since the server started.",
      note: "A tool or an upstream that keeps failing is refused for a while, and the answers to "
        + "refused calls name it.",
    });
  }

  update({ newest, base }) {
    const rows = LIMITS.map(([event, name, reason]) => {
      const of = (frame) => frame.sum(name, reason ? { reason } : {}) ?? 0;
      return [event, perSecond(rate(base, newest, of)), whole(of(newest)), of(newest)];
    });
    this.show(rows.some(([, , , total]) => total > 0) ? rows.map((row) => row.slice(0, 3)) : []);
  }
}
