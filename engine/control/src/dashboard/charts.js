// Pictures of figures over time: lines and areas as SVG, a heat map on a canvas. Each has a
// heading, a summary in words and a table. Text comes in as text nodes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 150;
const ROWS_OF_TABLE = 20;

/** An element with properties (or attributes, for names with a dash) and children. */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Sets a text if it is another one, so that a selection lives. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A table whose rows are reused. A cell is a text, or a text and a class. */
export class Table {
  constructor(caption, heads) {
    this.body = el("tbody");
    this.head = el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)));
    this.table = el("table", {}, el("caption", { className: "hidden" }, caption),
      el("thead", {}, this.head), this.body);
    this.element = el("div", {
      className: "scroll", tabIndex: 0, role: "region", "aria-label": `Table: ${caption}`,
    }, this.table);
  }

  show(rows) {
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    for (const [at, cells] of rows.entries()) {
      const row = this.body.rows[at] ?? this.body.insertRow();
      for (const [column, cell] of cells.entries()) {
        if (!row.cells[column]) {
          const first = column === 0;
          const made = el(first ? "th" : "td", first ? { scope: "row" } : {}, el("bdi"));
          row.append(made);
        }
        setText(row.cells[column].firstChild, cell);
      }
    }
  }
}

/** A table behind "Show data", which is filled only while it is open. */
export class Data {
  constructor(caption, heads, rows) {
    this.table = new Table(caption, heads);
    this.rows = rows;
    this.element = el("details", {}, el("summary", {}, "Show data",
      el("span", { className: "hidden" }, `: ${caption}`)), this.table.element);
    this.element.addEventListener("toggle", () => this.update());
  }

  update() {
    if (this.element.open) this.table.show(this.rows());
  }
}

function ago(seconds) {
  if (seconds < 1) return "now";
  const minutes = seconds / 60;
  if (minutes >= 1 && minutes % 0.5 === 0) return `${minutes} min ago`;
  return `${Math.round(seconds)} s ago`;
}

/** The path of a value over time. It breaks where the value is unknown. */
export function path(points, range, now, value, y) {
  let text = "";
  let isDown = false;
  for (const point of points) {
    const figure = value(point);
    if (point.isGap || figure === null || figure === undefined) isDown = false;
    if (figure === null || figure === undefined) continue;
    const x = WIDTH * (1 - (now - point.at) / range);
    text += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y(figure).toFixed(1)}`;
    isDown = true;
  }
  return text;
}

/** The least "round" number that is not below `value`: its half is a round number as well. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 6, 8, 10].find((step) => step * power >= value * 0.999999);
}

/** The bounds of the axis of values and its position of a value. */
function scaleOf(values, { isLog, least, unit }) {
  const known = values.filter((value) => Number.isFinite(value));
  const top = Math.max(least, ...known);
  if (!isLog) {
    const power = unit ** Math.floor(Math.log(top) / Math.log(unit));
    const high = power * roundUp(top / power);
    return { low: 0, middle: high / 2, high, y: (it) => HEIGHT * (1 - Math.min(it, high) / high) };
  }
  const positive = known.filter((value) => value > 0);
  const last = Math.ceil(Math.log10(top));
  const first = Math.min(last - 1, Math.floor(Math.log10(Math.min(top, ...positive))));
  // The middle of an even number of decades is a power of ten.
  const decades = 2 * Math.ceil((last - first) / 2);
  const [low, middle, high] = [decades, decades / 2, 0].map((step) => 10 ** (last - step));
  const y = (it) => HEIGHT * (1 - Math.log10(Math.min(Math.max(it, low), high) / low) / decades);
  return { low, middle, high, y };
}

/** A picture with heading, summary, axes and table; `LineChart` and `HeatMap` fill it. */
class Figure {
  constructor(title, drawing, legend) {
    this.ys = [0, 1, 2].map(() => el("span"));
    this.xs = [0, 1, 2].map(() => el("span"));
    this.summary = el("p", { className: "summary" });
    this.plot = el("div", { className: "plot" },
      el("div", { className: "ys", "aria-hidden": "true" }, ...this.ys), drawing,
      el("div", { className: "xs", "aria-hidden": "true" }, ...this.xs));
    this.element = el("section", { className: "card" }, el("h2", {}, title), this.summary,
      legend, this.plot);
  }

  showTimes(range) {
    [range, range / 2, 0].forEach((seconds, at) => setText(this.xs[at], ago(seconds)));
  }
}

/**
 * Lines over time. `series` are { name, value(point) } with at most five entries, told apart by
 * dashes as well as by colour; `format` writes a value.
 */
export class LineChart extends Figure {
  constructor({ title, series, format, empty, isLog = false, least = 1, unit = 10 }) {
    const drawing = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true",
    });
    const values = series.map(() => el("b"));
    const legend = el("ul", { className: "legend" }, ...series.map(({ name }, at) => {
      const key = svg("svg", { class: "key", viewBox: "0 0 24 4", "aria-hidden": "true" });
      key.append(svg("path", { class: `line s${at}`, d: "M0 2H24" }));
      return el("li", {}, key, `${name} `, values[at]);
    }));
    super(title, drawing, legend);
    Object.assign(this, { series, format, empty, isLog, least, unit, values });
    for (const y of [0, HEIGHT / 2, HEIGHT]) {
      drawing.append(svg("path", { class: "grid", d: `M0 ${y}H${WIDTH}` }));
    }
    this.lines = series.map((_, at) => svg("path", { class: `line s${at}` }));
    drawing.append(...this.lines);
    this.points = [];
    const heads = ["Time", ...series.map(({ name }) => name)];
    this.data = new Data(title, heads, () => this.rows());
    this.element.append(this.data.element);
  }

  /** Writes the newest values; called for each frame. */
  showValues(points) {
    this.points = points;
    const last = points.at(-1);
    this.series.forEach(({ value }, at) => {
      setText(this.values[at], this.text(last && value(last)));
    });
  }

  text(value) {
    return value === null || value === undefined ? "–" : this.format(value);
  }

  draw(range, now) {
    const values = this.series.map(({ value }) => this.points.map(value));
    const known = values.flat().filter((value) => value !== null && value !== undefined);
    const isEmpty = !known.some((value) => value > 0);
    this.element.classList.toggle("empty", isEmpty);
    setText(this.summary, isEmpty ? this.empty : this.describe(values));
    const least = this.isLog && !isEmpty ? 0 : this.least;
    const scale = scaleOf(known, { isLog: this.isLog, least, unit: this.unit });
    this.series.forEach(({ value }, at) => {
      this.lines[at].setAttribute("d", path(this.points, range, now, value, scale.y));
    });
    [scale.high, scale.middle, scale.low].forEach((value, at) => {
      setText(this.ys[at], this.format(value));
    });
    this.showTimes(range);
  }

  describe(values) {
    const parts = this.series.map(({ name }, at) => {
      const known = values[at].filter((value) => value !== null && value !== undefined);
      if (known.length === 0) return `${name} unknown`;
      const [low, high] = [Math.min(...known), Math.max(...known)].map(this.format);
      return low === high ? `${name} ${low}` : `${name} ${low} to ${high}`;
    });
    return `In this time: ${parts.join("; ")}.`;
  }

  rows() {
    const step = Math.max(1, Math.ceil(this.points.length / ROWS_OF_TABLE));
    const chosen = this.points.filter((_, at) => (this.points.length - 1 - at) % step === 0);
    return chosen.reverse().map((point) => [
      new Date(point.time).toLocaleTimeString(),
      ...this.series.map(({ value }) => this.text(value(point))),
    ]);
  }
}

/** How often each latency came, over time: a column a slice of time, a row a bucket. */
export class HeatMap extends Figure {
  constructor({ title, format, empty }) {
    const canvas = el("canvas", { "aria-hidden": "true" });
    const scale = el("p", { className: "scale", "aria-hidden": "true" }, "few ",
      el("span", { className: "ramp" }), " many");
    super(title, canvas, scale);
    Object.assign(this, { canvas, format, empty, points: [], bounds: [] });
    this.data = new Data(title, ["Latency up to", "Operations", "Share"], () => this.rows());
    this.element.append(this.data.element);
  }

  showValues(points, bounds) {
    this.points = points.filter(({ heat }) => heat);
    if (bounds.length > 0) this.bounds = bounds;
  }

  totals() {
    return this.bounds.map((_, row) =>
      this.points.reduce((sum, { heat }) => sum + (heat[row] ?? 0), 0));
  }

  /** The range of rows that hold something, with one empty row around them. */
  used(totals) {
    const first = totals.findIndex((total) => total > 0);
    const last = totals.findLastIndex((total) => total > 0);
    return [Math.max(0, first - 1), Math.min(totals.length - 1, last + 1)];
  }

  draw(range, now) {
    const totals = this.totals();
    const all = totals.reduce((sum, total) => sum + total, 0);
    this.element.classList.toggle("empty", all === 0);
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((it) =>
      Math.max(1, Math.round(it * ratio)));
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    this.showTimes(range);
    if (all === 0) {
      setText(this.summary, this.empty);
      this.ys.forEach((label) => setText(label, ""));
      return;
    }
    const [first, last] = this.used(totals);
    this.paint(pen, { width, height, range, now, first, last });
    const most = totals.indexOf(Math.max(...totals));
    setText(this.summary, `${all.toLocaleString("en")} operations in this time, the most of them `
      + `(${((100 * totals[most]) / all).toFixed(0)} %) ${this.name(most)}.`);
    [last, Math.round((first + last) / 2), first].forEach((row, at) => {
      setText(this.ys[at], this.short(row));
    });
  }

  paint(pen, { width, height, range, now, first, last }) {
    const columns = Math.max(1, Math.min(range, Math.floor(width / 4)));
    const rows = last - first + 1;
    const cells = Array.from({ length: columns }, () => new Array(rows).fill(0));
    for (const { at, heat } of this.points) {
      const column = Math.min(columns - 1, Math.floor(columns * (1 - (now - at) / range)));
      if (column < 0) continue;
      for (let row = 0; row < rows; row++) cells[column][row] += heat[first + row] ?? 0;
    }
    const peak = Math.max(1, ...cells.flat());
    pen.fillStyle = getComputedStyle(this.canvas).color;
    const [step, tall] = [width / columns, height / rows];
    cells.forEach((cell, column) => cell.forEach((count, row) => {
      if (count === 0) return;
      pen.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / peak);
      const [left, right] = [column, column + 1].map((it) => Math.round(it * step));
      pen.fillRect(left, height - (row + 1) * tall + 1, right - left, Math.max(1, tall - 1));
    }));
    pen.globalAlpha = 1;
  }

  name(row) {
    const low = row > 0 ? this.format(this.bounds[row - 1]) : "";
    if (this.bounds[row] === Infinity) return `above ${low}`;
    const high = this.format(this.bounds[row]);
    return row > 0 ? `between ${low} and ${high}` : `below ${high}`;
  }

  short(row) {
    const isLast = this.bounds[row] === Infinity;
    return isLast ? `> ${this.format(this.bounds[row - 1])}` : this.format(this.bounds[row]);
  }

  rows() {
    const totals = this.totals();
    const all = totals.reduce((sum, total) => sum + total, 0);
    return totals.map((total, row) => [this.short(row), total.toLocaleString("en"),
      all === 0 ? "–" : `${((100 * total) / all).toFixed(1)} %`]);
  }
}
