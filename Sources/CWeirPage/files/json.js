// A JSON value as a tree that opens and closes, with what is searched for marked.

import { h } from "./dom.js";
import { plural } from "./format.js";

/** Values beyond which a tree is no help any more, and slow: then it is plain text. */
const VALUES_MAX = 20_000;
/** Up to so many, everything is open at first; beyond, only the upper levels. */
const OPEN_MAX = 500;
const OPEN_DEPTH = 4;

function size(value) {
  if (value === null || typeof value !== "object") return 1;
  let sum = 1;
  for (const each of Object.values(value)) {
    sum += size(each);
    if (sum > VALUES_MAX) break;
  }
  return sum;
}

/** `text` with every place where `find` stands in a mark. */
export function marked(text, find) {
  if (!find) return [text];
  const parts = [];
  const lower = text.toLowerCase(), wanted = find.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    if (at > from) parts.push(text.slice(from, at));
    parts.push(h("mark", null, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

function contains(value, find) {
  const wanted = find.toLowerCase();
  if (value === null || typeof value !== "object") return String(value).toLowerCase().includes(wanted);
  return Object.entries(value).some(([name, each]) =>
    (!Array.isArray(value) && name.toLowerCase().includes(wanted)) || contains(each, find));
}

function scalar(value, find) {
  const kind = value === null ? "null" : typeof value;
  return h("span", { class: `json-${kind}` }, ...marked(JSON.stringify(value), find));
}

function member(name, value, depth, find, isSmall) {
  const label = name === null ? null : [h("span", { class: "json-name" }, ...marked(name, find)), ": "];
  if (value === null || typeof value !== "object") return h("div", { class: "json-line" }, label, scalar(value, find));
  const entries = Object.entries(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? "[]" : "{}";
  if (entries.length === 0) return h("div", { class: "json-line" }, label, open + close);
  const isOpen = isSmall || (depth < OPEN_DEPTH && entries.length <= OPEN_MAX) || Boolean(find && contains(value, find));
  return h("details", { open: isOpen, class: "json-node" },
    h("summary", null, label, open,
      h("span", { class: "json-size" }, ` ${plural(entries.length, isList ? "value" : "field")} `, close)),
    h("div", { class: "json-inner" },
      entries.map(([key, each]) => member(isList ? null : key, each, depth + 1, find, isSmall))),
    h("div", { class: "json-close" }, close));
}

/** The tree, or plain text where it would be too large. */
export function tree(value, find = "") {
  const values = size(value);
  if (values > VALUES_MAX) {
    return h("pre", { class: "json", tabindex: "0" }, ...marked(JSON.stringify(value, null, 2), find));
  }
  return h("div", { class: "json", tabindex: "0", role: "group", "aria-label": "JSON" }, member(null, value, 0, find, values <= OPEN_MAX));
}
