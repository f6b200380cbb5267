// What was pushed, and how two versions differ.

import { h } from "./dom.js";
import { get, getIfThere, ROWS } from "./api.js";
import { clock, count, milliseconds, plural } from "./format.js";
import { badge, filters, heading, link, missing, table, time, types, version } from "./parts.js";

export const title = "History";
export const interval = 4000;

export function load({ key, type }, signal) {
  return getIfThere("history", { key, type, limit: ROWS }, { signal });
}

export function render(answer, parameters, { go }) {
  const { key = "", type = "" } = parameters;
  return [
    heading("History"),
    filters([
      { name: "key", label: "Group is", value: key, wide: true }, { name: "type", label: "Type", value: type, options: types },
    ], (values) => go("changes", values)),
    answer === null ? missing("This relay keeps no history of pushes, or knows nothing of that group.")
      : pushTable(answer.pushes.slice(0, ROWS)),
    answer?.pushes.length >= ROWS && h("p", { class: "more" }, `The newest ${ROWS}: name a group or a type for older ones.`),
  ];
}

const outcomes = { sent: "good", released: "good", unchanged: "off", replaced: "off", tried: "warn", rolled_back: "warn" };

/** Pushes, newest first. */
export function pushTable(pushes, { isOneKey = false } = {}) {
  return table("Pushes, newest first", [
    { name: "When" }, ...(isOneKey ? [] : [{ name: "Group" }]), { name: "Type" }, { name: "Version" },
    { name: "Changes" }, { name: "Outcome" }, { name: "Written", number: true, wide: true },
    { name: "Accepted", number: true, wide: true },
  ], pushes.map((push, index) => {
    const before = pushes.slice(index + 1).find((old) => old.key === push.key && old.type === push.type
      && old.version !== push.version);
    return {
      key: String(push.id),
      cells: [
        h("time", { datetime: push.at, title: `${push.at}, push ${push.id}` }, clock(push.at)),
        ...(isOneKey ? [] : [link(push.key, "group", { key: push.key })]), push.type,
        [version(push.version), " ", before && link("compare", "diff",
          { key: push.key, type: push.type, from: before.version, to: push.version })],
        changes(push), outcome(push), milliseconds(push.written_ms), milliseconds(push.acked_ms),
      ],
    };
  }), { empty: "No push so far." });
}

function changes(push) {
  const parts = [["added", "+", push.added], ["changed", "~", push.changed], ["removed", "−", push.removed]]
    .filter(([, , names]) => names?.length > 0);
  if (parts.length === 0) return h("span", { class: "quiet" }, "none");
  return h("details", null,
    h("summary", null, parts.map(([word, sign, names]) =>
      h("span", { class: `change ${word}`, title: word }, `${sign}${count(names.length)} `))),
    parts.map(([word, , names]) => [h("p", null, word), h("ul", { class: "names" }, names.slice(0, 100).map((name) =>
      h("li", null, word === "removed" ? name : link(name, "resource", { key: push.key, type: push.type, name }))))]),
    push.names_left_out > 0 && h("p", null, `and ${count(push.names_left_out)} more`));
}

function outcome(push) {
  const nacks = push.nacks ?? [];
  const rejections = push.nack_count ?? nacks.length;
  return [
    badge(outcomes[push.outcome] ?? "bad", String(push.outcome ?? "–").replaceAll("_", " ")),
    push.repeats > 0 && ` ${plural(push.repeats + 1, "time")} `, push.detail && h("span", { class: "quiet" }, push.detail),
    nacks.length > 0 && h("details", null, h("summary", null, badge("bad", `${plural(rejections, "client")} rejected it`)),
      h("ul", { class: "names" }, nacks.map(({ node, message }) =>
        h("li", null, link(node, "client", { node, key: push.key }), ": ", message)))),
  ];
}

/** How two versions of a type differ, down to the fields. */
export const diff = {
  title: "Difference",
  interval: 0,

  load({ key, type, from, to }, signal) {
    if (!key || !type) return null;
    // What cannot be compared, the relay says, and what can.
    return get("diff", { key, type, from, to }, { signal }).catch((error) => {
      if ([400, 404, 410].includes(error.status)) return { error: error.message };
      throw error;
    });
  },

  render(answer, parameters, { go }) {
    const { key, type, from, to } = parameters;
    return [
      heading("Difference"),
      filters([
        { name: "key", label: "Group", value: key, wide: true }, { name: "type", label: "Type", value: type, options: types },
        { name: "from", label: "From version", value: from }, { name: "to", label: "To version", value: to },
      ], (values) => go("diff", values)),
      answer === null ? missing("Say which type of which group; without versions it is the newest and the one before.")
        : answer.error ? missing(answer.error) : differences(answer, key, type),
    ];
  },
};

function differences({ from, to, added = [], removed = [], changed = [], left_out: left = {} }, key, type) {
  const list = (word, names) => names.length > 0 && h("section", { "aria-label": word },
    h("h2", null, `${word}, ${count(names.length + (left[word.toLowerCase()] ?? 0))}`),
    h("ul", { class: `names ${word.toLowerCase()}` }, names.slice(0, ROWS).map((name) =>
      h("li", null, word === "Added" ? link(name, "resource", { key, type, name }) : name))),
    names.length + (left[word.toLowerCase()] ?? 0) > ROWS && h("p", { class: "more" }, `The first ${ROWS}.`));
  return [
    h("p", { class: "lead" }, "From ", version(from), " to ", version(to)),
    added.length + removed.length + changed.length === 0 && h("p", null, "No resource differs."),
    list("Added", added), list("Removed", removed),
    changed.length > 0 && h("section", { "aria-label": "Changed" }, h("h2", null, `Changed, ${count(changed.length + (left.changed ?? 0))}`),
      changed.slice(0, ROWS).map(({ name, fields }) => h("article", { class: "changed", "data-key": name },
        h("h3", null, link(name, "resource", { key, type, name })),
        fields.length === 0 ? h("p", { class: "quiet" }, "Its fields are not shown: its type is unknown here, or secret.")
          : h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": `Fields of ${name}` },
          h("table", { class: "fields" },
            h("caption", { class: "unseen" }, `Fields of ${name} that differ`),
            h("thead", null, h("tr", null, ["Field", "Was", "Is"].map((text) => h("th", { scope: "col" }, text)))),
            h("tbody", null, fields.map((field) => h("tr", null,
              h("th", { scope: "row" }, h("code", null, field.path || "(all)")),
              h("td", null, value("was", field.from)), h("td", null, value("is", field.to)))))))))),
  ];
}

function value(kind, content) {
  if (content === null || content === undefined) return h("span", { class: "quiet" }, "not there");
  const text = typeof content === "string" ? content : JSON.stringify(content, null, 1);
  return h(kind === "was" ? "del" : "ins", null, text);
}
