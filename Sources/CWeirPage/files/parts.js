// Pieces that several views are made of.

import { h, s } from "./dom.js";
import { ago, count } from "./format.js";
import { address, ROWS } from "./api.js";

/** The address of a view: `#/group?key=web`. */
export function view(name, parameters) {
  return "#/" + address(name, parameters);
}

export function link(text, name, parameters, attributes = {}) {
  return h("a", { href: view(name, parameters), ...attributes }, text);
}

/** A word with a colour and a shape of its own: `good`, `warn`, `bad` or `off`; `meaning` is for those who see neither. */
export function badge(kind, text, meaning) {
  return h("span", { class: `badge ${kind}`, title: meaning }, text, meaning && h("span", { class: "unseen" }, `: ${meaning}`));
}

/** A version or another long word, cut where its column ends, whole in its title. */
export function version(text) {
  if (text === null || text === undefined || text === "") return h("span", { class: "quiet" }, "–");
  return h("code", { class: "version", title: text }, text);
}

/** For how long something has been so. */
export function lasting(text) {
  return h("time", { datetime: text, title: text }, ago(text).replace(/ ago$/, ""));
}

export function time(text) {
  return text ? h("time", { datetime: text, title: text }, ago(text)) : h("span", { class: "quiet" }, "–");
}

/**
 * A table with a caption and headers. `columns`: `{name, wide, number}`, where wide ones are left out on a phone; `rows`:
 * `{key, cells}`, the first cell of which heads its row; `empty`: what stands in place of no rows; `name`: a class.
 */
export function table(caption, columns, rows, { empty = "Nothing here.", name } = {}) {
  if (rows.length === 0) return h("p", { class: "quiet" }, empty);
  const kind = (column) => [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;
  return h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": caption },
    // The roles are said once more for browsers that forget them where the rows are no table for the eye.
    h("table", { class: `rows ${name ?? ""}`.trim(), role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) =>
        h("th", { scope: "col", role: "columnheader", class: kind(column) }, column.name)))),
      h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row", "data-key": row.key, "data-row": true },
        row.cells.map((cell, index) => index === 0
          ? h("th", { scope: "row", role: "rowheader", class: kind(columns[index]) }, cell)
          : h("td", { role: "cell", class: kind(columns[index]), "data-label": columns[index].name }, cell)))))));
}

/** How the subscriptions stand, as a bar and in words. */
export function sync({ acked = 0, pending = 0, nacked = 0 }, { words = true, least = 5 } = {}) {
  const total = acked + pending + nacked;
  if (total === 0) return h("span", { class: "quiet" }, "no clients");
  const text = [
    acked && `${count(acked)} in sync`, pending && `${count(pending)} behind`, nacked && `${count(nacked)} rejecting`,
  ].filter(Boolean).join(", ");
  return h("span", { class: "sync", title: text },
    bar([["good", acked], ["warn", pending], ["bad", nacked]], total, least),
    words ? h("span", { class: "words" }, text) : h("span", { class: "unseen" }, text));
}

/** Parts of a whole beside each other; one that is not nothing has `least` percent, so that it is seen. */
function bar(parts, total, least) {
  const wide = parts.map(([kind, number]) => [kind, number > 0 ? Math.max(least, 100 * number / total) : 0]);
  const scale = 100 / wide.reduce((sum, [, width]) => sum + width, 0);
  let x = 0;
  return s("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    wide.map(([kind, width]) => {
      const rect = width > 0 && s("rect", { class: kind, x, y: 0, width: width * scale, height: 8 });
      x += width * scale;
      return rect;
    }));
}

/** The sums over a group's types. */
export function totals(key) {
  const sums = { acked: 0, pending: 0, nacked: 0 };
  for (const type of Object.values(key.types)) for (const name of Object.keys(sums)) sums[name] += type[name] ?? 0;
  return sums;
}

/** What is wrong with a group, worst first, as badges. */
export function worries(key) {
  const types = Object.entries(key.types);
  const badges = [];
  const rejected = types.filter(([, type]) => type.nacked > 0).map(([name]) => name);
  if (rejected.length) badges.push(badge("bad", `rejected: ${rejected.join(" ")}`));
  for (const [name, type] of types) {
    if (type.held) badges.push(badge("bad", `held: ${name} (${type.held.reason})`, type.held.detail));
    if (type.rollout) badges.push(badge("warn", `rollout: ${name}`));
  }
  if (key.upstream.state !== "connected") badges.push(badge("warn", "no upstream"));
  if (key.stale) badges.push(badge("warn", "stale", "not confirmed by the upstream since the start"));
  return badges;
}

/** Groups as a table; used at a glance and in whole. */
export function groupTable(caption, keys, options) {
  return table(caption, [
    { name: "Group" }, { name: "Upstream", wide: true }, { name: "Streams", number: true }, { name: "Subscriptions" },
    { name: "Resources", number: true, wide: true }, { name: "Newest change", wide: true }, { name: "State" },
  ], keys.map((key) => ({
    key: key.key,
    cells: [
      link(key.key, "group", { key: key.key }),
      [key.upstream.name, " ", h("span", { class: "quiet" }, key.upstream.server ?? "")],
      count(key.streams),
      sync(totals(key), { words: false }),
      count(Object.values(key.types).reduce((sum, type) => sum + type.resources, 0)),
      time(Object.values(key.types).map((type) => type.updated).filter(Boolean).sort().pop()),
      worries(key).length ? worries(key) : badge("good", "fine"),
    ],
  })), options);
}

/** A form of fields that are kept in the view's address. `fields`: `{name, label, value, list, wide}`. */
export function filters(fields, submitted) {
  const submit = (event) => {
    event.preventDefault();
    const values = Object.fromEntries(fields.map(({ name }) => [name, event.currentTarget.elements[name].value.trim()]));
    submitted(values);
  };
  return h("form", { class: "filters", role: "search", onsubmit: submit },
    fields.map((field) => h("label", { class: field.wide ? "wider" : null, "data-key": field.name },
      h("span", null, field.label),
      field.options
        ? h("select", { name: field.name, onchange: (event) => event.currentTarget.form.requestSubmit() },
          field.options.map((option) => h("option", { value: option, selected: option === field.value },
            option === "" ? "any" : option)))
        : h("input", { name: field.name, value: field.value ?? "", type: "search", autocomplete: "off",
          spellcheck: "false", placeholder: field.placeholder ?? "" }))),
    h("button", { type: "submit" }, "Apply"));
}

export const types = ["", "lds", "rds", "cds", "eds", "srds", "vhds", "sds", "ecds", "rtds", "leds"];

/** Says what of the rows that `rows` found is not shown, and leads to those that follow, where the relay gives pages. */
export function more({ found, next, missing }, name, parameters) {
  return [
    missing.length > 0 && h("p", { class: "note" },
      `Worker ${missing.join(", ")} does not answer: what it has is not here.`),
    following(found.length, next, name, parameters),
  ];
}

function following(all, next, name, parameters) {
  const shown = Math.min(all, ROWS);
  if (next) {
    return h("p", { class: "more" }, `${count(shown)} shown. `,
      link("Next page", name, { ...parameters, cursor: next }, { rel: "next" }));
  }
  return all > shown
    ? h("p", { class: "more" }, `${count(shown)} of ${count(all)} shown: narrow it down by the fields above.`) : null;
}

export function heading(text, ...rest) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, text), ...rest);
}

/** Where the relay has no such path. */
export function missing(what) {
  return h("p", { class: "note" }, what);
}
