// Small plots of the last minutes, as SVG. No scales to read closely: the words beside them have the numbers.

import { h, s } from "./dom.js";
import { count, milliseconds } from "./format.js";

const WIDTH = 300;
const HEIGHT = 64;
/** The plot always spans as long, so that it does not stretch while it fills. */
const SECONDS = 300;

/** Marks are stretched to the width that there is; `labels`, `[y, text]`, are not. */
function frame(label, labels, ...marks) {
  return s("svg", { class: "plot", role: "img", "aria-label": label },
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", width: "100%", height: "100%" }, ...marks),
    labels.filter(([y]) => y > 8).map(([y, text]) => s("text", { x: 4, y: `${(100 * y / HEIGHT).toFixed(1)}%`, dy: "-2" }, text)));
}

function panel(title, now, svg, legend) {
  return h("figure", { class: "panel", "data-key": title },
    h("figcaption", null, h("span", { class: "title" }, title), h("span", { class: "now" }, now)),
    svg,
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, "5 min ago"), h("span", null, legend), h("span", null, "now")));
}

/** One path of vertical strokes, one for each second with something in it. */
function strokes(kind, spans) {
  return s("path", { class: `stroke ${kind}`, "vector-effect": "non-scaling-stroke",
    d: spans.map(([x, from, to]) => `M${x.toFixed(1)} ${from.toFixed(1)}V${to.toFixed(1)}`).join("") || null });
}

/** Where second `index` of `length` lies: the last at the right edge. */
function place(index, length) {
  return WIDTH - (length - index - 0.5) * WIDTH / SECONDS;
}

function grid(lines) {
  return lines.map((y) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y, "vector-effect": "non-scaling-stroke" }));
}

/** Counts for each second: `series` is `[{kind, name, values}]`, drawn over each other, the first below. */
export function rates(title, series) {
  const top = Math.max(1, ...series.flatMap(({ values }) => values));
  const height = (value) => (HEIGHT - 3) * Math.sqrt(value / top);
  const drawn = series.map(({ kind, values }) => strokes(kind, values
    .map((value, index) => [place(index, values.length), HEIGHT, HEIGHT - Math.max(2, height(value)), value])
    .filter(([, , , value]) => value > 0)));
  const last = (values) => values.slice(-10).reduce((sum, value) => sum + value, 0) / Math.max(1, Math.min(10, values.length));
  const now = series.map(({ kind, name, values }) => {
    const rate = last(values);
    return h("span", { class: `key ${kind}` }, `${rate >= 10 || rate === 0 ? count(Math.round(rate)) : rate.toFixed(1)}/s ${name}`);
  });
  const label = `${title}, the last five minutes. ` + series.map(({ name, values }) =>
    `${name}: ${count(values.reduce((sum, value) => sum + value, 0))} in all, at most ${count(Math.max(0, ...values))} in one second`).join("; ");
  return panel(title, now, frame(label, [], ...drawn), `peak ${count(top)}/s`);
}

const FASTEST = 0.1;

/** Spans of time for each second, `[median, 99th percentile]` in milliseconds or null, on a logarithmic scale. */
export function latencies(title, values) {
  const known = values.filter(Boolean);
  const slowest = Math.max(100, ...known.map(([, high]) => high));
  const decades = Math.log10(slowest / FASTEST);
  const y = (ms) => HEIGHT - 2 - (HEIGHT - 4) * Math.min(1, Math.max(0, Math.log10(Math.max(ms, FASTEST) / FASTEST) / decades));
  const all = values.map((value, index) => value && [place(index, values.length), y(value[0]), y(value[1])]).filter(Boolean);
  const lines = [1, 10, 100, 1000, 10_000].filter((ms) => ms < slowest);
  const newest = known.at(-1);
  const worst = Math.max(0, ...known.map(([, high]) => high));
  const now = newest
    ? h("span", { class: "key good" }, `${milliseconds(newest[0])} median, ${milliseconds(newest[1])} p99`)
    : h("span", { class: "quiet" }, "no push in five minutes");
  const label = newest
    ? `${title}, the last five minutes. Newest median ${milliseconds(newest[0])}, 99th percentile ${milliseconds(newest[1])}; `
      + `slowest ${milliseconds(worst)}`
    : `${title}: no push in the last five minutes`;
  return panel(title, now, frame(label, lines.map((ms) => [y(ms), milliseconds(ms)]), ...grid(lines.map(y)),
    strokes("range", all.map(([x, low, high]) => [x, low + 0.8, Math.min(high, low - 0.8)])),
    strokes("median", all.map(([x, low]) => [x, low - 1.2, low + 1.2]))),
  newest ? `slowest ${milliseconds(worst)}` : "");
}
