// Writes figures for people. An unknown figure is a dash.

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
// Characters that show nothing or turn the text around them.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const NAME_MAX = 80;

const known = (write) => (value) => (Number.isFinite(value) ? write(value) : "–");

export const whole = known((value) => Math.round(value).toLocaleString("en"));

export const perSecond = known((value) => {
  const digits = value > 0 && value < 10 ? 1 : 0;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })}/s`;
});

export const percent = known((value) => {
  return `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
});

/** A duration in seconds, with three digits. */
export function duration(seconds) {
  if (seconds === Infinity) return "> 300 s";
  if (!Number.isFinite(seconds)) return "–";
  if (seconds === 0) return "0 s";
  const [factor, unit] = seconds < 0.001 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  return `${Number((seconds * factor).toPrecision(3))} ${unit}`;
}

export const bytes = known((value) => {
  const power = value < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  const shown = value / 1024 ** power;
  const digits = shown < 10 ? 1 : 0;
  return `${shown.toLocaleString("en", { maximumFractionDigits: digits })} ${BYTES[power]}`;
});

/** How long the server has run. */
export function age(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const [days, hours, minutes] = [seconds / 86400, seconds / 3600, seconds / 60].map(Math.floor);
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

/** A name that others chose: bounded, and with nothing in it that hides or turns text. */
export function plainName(name) {
  const head = [...name.slice(0, 2 * NAME_MAX)].slice(0, NAME_MAX).join("");
  const rest = name.length > head.length ? `… (${whole(name.length)} characters)` : "";
  const code = (it) => `\\u${it.codePointAt(0).toString(16).padStart(4, "0")}`;
  return head.replace(INVISIBLE, code) + rest;
}
