// One group: its types, what is held, its earlier states, its clients, and what an operator can do.

import { h } from "./dom.js";
import { get, getIfThere } from "./api.js";
import { bytes, count, plural } from "./format.js";
import { badge, heading, lasting, link, missing, sync, table, time, version } from "./parts.js";
import { clientTable } from "./clients.js";
import { pushTable } from "./changes.js";
import { act } from "./dialogs.js";

export const title = "Group";
export const interval = 3000;
const CLIENTS = 50;

export async function load({ key }, signal) {
  const [keys, clients, history] = await Promise.all([
    get("keys", { key }, { signal }), get("clients", { key, limit: CLIENTS }, { signal }),
    getIfThere("history", { key, limit: 20 }, { signal }),
  ]);
  return { group: keys.keys.find((group) => group.key === key), clients: clients.clients, next: clients.next_cursor, history };
}

export function render({ group, clients, next, history }, { key }, { refresh }) {
  if (!group) {
    return [heading("Group ", h("code", null, key)),
      missing("There is no such group now. It is forgotten some time after its last client has gone.")];
  }
  const types = Object.entries(group.types);
  const past = types.flatMap(([type, state]) => (state.history ?? []).map((entry) => ({ type, state, entry })));
  return [
    heading(h("code", null, key),
      h("div", { class: "buttons" },
        button("Refresh …", "The upstream is asked for everything again. Clients hear only of what is different.",
          "refresh", { key }, refresh),
        button("Evict …", "The group is forgotten, and its streams at the upstream end. Refused while clients use it.",
          "evict", { key }, refresh))),
    h("p", { class: "lead" },
      badge(group.upstream.state === "connected" ? "good" : "bad", group.upstream.state), " ",
      `${group.upstream.name} `, h("code", null, group.upstream.server ?? ""), " · ", `${plural(group.streams, "stream")} `,
      group.stale && badge("warn", "stale", "not confirmed by the upstream since the start"),
      "· ", link("Resources", "resources", { key }), " · ", link("Live events", "events", { key })),
    types.map(([type, state]) => holdNote(key, type, state, refresh)),
    h("section", { "aria-labelledby": "types" }, h("h2", { id: "types" }, "Types"), typeTable(key, types, refresh)),
    h("section", { "aria-labelledby": "clients" }, h("h2", { id: "clients" }, "Clients"),
      clientTable("Clients of this group", clients.slice(0, CLIENTS), { isOneGroup: true }),
      (next || clients.length > CLIENTS) && h("p", { class: "more" },
        `The first ${CLIENTS}. `, link("All of them", "clients", { key }))),
    h("section", { "aria-labelledby": "pushes" }, h("h2", { id: "pushes" }, "Pushes"),
      history === null ? missing("This relay keeps no history of pushes.")
        : pushTable(history.pushes.slice(0, 20), { isOneKey: true })),
    past.length > 0 && h("section", { "aria-labelledby": "past" },
      h("h2", { id: "past" }, "Earlier states"), pastTable(key, past, refresh)),
  ];
}

function button(text, what, command, query, refresh, kind = "quieter") {
  const name = text.replace(" …", "");
  const act_ = async () => {
    const title = `${name} ${query.type ? `${query.type} of ` : ""}${query.key}`;
    if (await act({ title, text: what, path: `keys/${command}`, query, button: name })) refresh();
  };
  return h("button", { type: "button", class: kind, onclick: act_ }, text);
}

function holdNote(key, type, { held, rollout, version: served }, refresh) {
  return [
    held && h("section", { class: "concerns", "aria-label": `${type} is held`, "data-key": `held ${type}` },
      h("p", null, badge("bad", `${type} held: ${held.reason}`), " for ", lasting(held.since), ": ", held.detail),
      h("p", null, "Clients are given ", version(served), "; held back: ", version(held.version),
        `, ${count(held.changes)} resources differ. `,
        button("Release …", "Clients are given the newest state, whatever held it.", "release", { key, type }, refresh,
          "main"))),
    rollout && h("p", { class: "note", "data-key": `rollout ${type}` }, badge("warn", `${type} rollout`), " version ",
      version(rollout.version), ` went to ${count(rollout.first)} streams first: ${count(rollout.accepted)} accepted, `,
      `${count(rollout.rejected)} rejected.`),
  ];
}

function typeTable(key, types, refresh) {
  return table("Types of this group", [
    { name: "Type" }, { name: "Version" }, { name: "Resources", number: true, wide: true }, { name: "Size", number: true, wide: true },
    { name: "Subscriptions" }, { name: "Changed", wide: true }, { name: "Operator" },
  ], types.map(([type, state]) => ({
    key: type,
    cells: [
      link(type, "resources", { key, type }),
      version(state.version), count(state.resources), bytes(state.bytes), sync(state), time(state.updated),
      h("span", { class: "buttons" },
        state.held
          ? button("Release …", "Clients are given the newest state, whatever held it.", "release", { key, type }, refresh)
          : button("Hold …", "Clients of this type stay at what they have, whatever the upstream says, until it is released.",
            "hold", { key, type }, refresh)),
    ],
  })), { empty: "Nobody has asked for anything yet." });
}

function pastTable(key, past, refresh) {
  return table("Earlier states that can be gone back to", [
    { name: "Type" }, { name: "Version" }, { name: "Resources", number: true }, { name: "Changed", wide: true },
    { name: "Operator" },
  ], past.map(({ type, state, entry }) => ({
    key: `${type} ${entry.version} ${entry.updated}`,
    cells: [type, version(entry.version), count(entry.resources), time(entry.updated),
      h("span", { class: "buttons" },
        link("Compare", "diff", { key, type, from: entry.version, to: state.version }),
        button("Roll back …", `Clients are taken to version ${entry.version} and kept there until it is released.`,
          "rollback", { key, type, to: entry.version }, refresh))],
  })));
}
