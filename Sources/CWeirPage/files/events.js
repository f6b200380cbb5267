// What happens, as it happens.

import { h } from "./dom.js";
import { listen } from "./api.js";
import { clock, count } from "./format.js";
import { badge, filters, heading, link, missing, table, types, version } from "./parts.js";

export const title = "Events";
export const interval = 0;
/** Rows that are kept; older ones go. */
const ROWS = 500;

const kinds = { nack: "bad", hold: "bad", disconnect: "warn", ack: "good", push: "good", response: "off", request: "off",
  connect: "off", upstream: "warn" };

let rows = [];
let heard = 0;
let state = "";
let isPaused = false;

export function load() {
  return null;
}

/** Listens while the view is shown. `changed` draws it again, at most a few times a second. */
export async function follow({ key, node, type, kind }, signal, changed) {
  rows = [];
  heard = 0;
  state = "connecting";
  let due = null;
  const soon = () => {
    due ??= setTimeout(() => {
      due = null;
      if (!signal.aborted) changed();
    }, 200);
  };
  for (let wait = 500; !signal.aborted; wait = Math.min(2 * wait, 10_000)) {
    try {
      await listen("events", { key, node, type, kind }, { signal, opened: () => { state = "listening"; soon(); }, heard: (name, data) => {
        wait = 500;
        heard += 1;
        if (isPaused) return soon();
        rows.unshift({ number: heard, name, ...data });
        rows.length = Math.min(rows.length, ROWS);
        soon();
      } });
      state = "the relay ended it; trying again";
    } catch (error) {
      if (signal.aborted) return;
      state = error.status === 404 ? "none" : `${error.message}; trying again`;
      soon();
      if (error.status === 404) return;
    }
    soon();
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

export function render(_, parameters, { go, redraw }) {
  const { key = "", node = "", type = "", kind = "" } = parameters;
  const shown = rows.filter((row) => kind === "" || row.name === kind);
  const toggle = () => {
    isPaused = !isPaused;
    redraw();
  };
  return [
    heading("Events", h("div", { class: "buttons" },
      h("button", { type: "button", class: "quieter", "aria-pressed": String(isPaused), onclick: toggle },
        isPaused ? "Show what comes" : "Keep the list still"),
      h("button", { type: "button", class: "quieter", onclick: () => { rows = []; redraw(); } }, "Clear"))),
    filters([
      { name: "key", label: "Group is", value: key }, { name: "node", label: "Node is", value: node },
      { name: "type", label: "Type", value: type, options: types },
      { name: "kind", label: "Kind", value: kind, options: ["", ...Object.keys(kinds)] },
    ], (values) => go("events", values)),
    state === "none" ? missing("This relay has no live events.")
      : h("p", { class: "quiet" }, `${state} · ${count(heard)} heard`, heard > rows.length && ` · the last ${count(rows.length)} shown`,
        isPaused && " · the list is kept still: what comes now is counted only"),
    shown.length > 0 && table("Events, newest first", [
      { name: "Time" }, { name: "Kind" }, { name: "Node" }, { name: "Group", wide: true }, { name: "Type" },
      { name: "Version", wide: true }, { name: "Detail" },
    ], shown.map(rowOf), { name: "events" }),
  ];
}

function rowOf(row) {
  if (row.name === "dropped") {
    return { key: String(row.number), cells: [clock(row.at), badge("warn", "dropped"), null, null, null, null,
      `${count(row.count)} events were left out here: this page was too slow`] };
  }
  const rest = [row.push && `push ${row.push}`, row.nonce && `nonce ${row.nonce}`, row.detail].filter(Boolean).join(" · ");
  return { key: String(row.number), cells: [
    clock(row.at), badge(kinds[row.name] ?? "off", row.name),
    row.node && link(row.node, "client", { node: row.node, key: row.key }),
    row.key && link(row.key, "group", { key: row.key }), row.type, row.version && version(row.version), rest || null,
  ] };
}
