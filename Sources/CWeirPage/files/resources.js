// Cached resources, and one of them as JSON.

import { h } from "./dom.js";
import { get, rows, ROWS } from "./api.js";
import { count, plural, shortType } from "./format.js";
import { filters, heading, link, missing, more, table, time, types, version } from "./parts.js";
import { tree } from "./json.js";
import { say } from "./dialogs.js";

export const title = "Resources";
/** Bodies are large: asked for once, and again when somebody says so. */
export const interval = 0;

export function load({ key, type, name, find, cursor }, signal) {
  if (!key && !type && !name) return null;
  const accepts = find ? (resource) => resource.name.includes(find) : null;
  return rows("config_dump", "resources", { key, type, name, cursor }, { signal, accepts });
}

export function render(answer, parameters, { go }) {
  const { find = "", key = "", type = "", name = "" } = parameters;
  const found = answer?.found ?? [];
  return [
    heading("Resources"),
    filters([
      { name: "key", label: "Group is", value: key }, { name: "type", label: "Type", value: type, options: types },
      { name: "name", label: "Name is", value: name },
      { name: "find", label: "Name contains", value: find, wide: true },
    ], (values) => go("resources", values)),
    answer === null ? missing("Say which group, type or name: a relay may hold a great many.")
      : table(`Resources, ${count(found.length)}`, [
        { name: "Name" }, { name: "Type" }, { name: "Group" }, { name: "Version", wide: true }, { name: "Changed", wide: true },
      ], found.slice(0, ROWS).map((resource) => {
        const short = shortType(resource.type_url);
        return {
          key: `${resource.key} ${short} ${resource.name}`,
          cells: [link(resource.name, "resource", { key: resource.key, type: short, name: resource.name }), short,
            link(resource.key, "group", { key: resource.key }), version(resource.version), time(resource.updated)],
        };
      }), { empty: "No resource is like that." }),
    answer && more(answer, "resources", parameters),
  ];
}

/** One resource, searched. */
export const resource = {
  title: "Resource",
  interval: 0,

  load({ key, type, name }, signal) {
    return get("config_dump", { key, type, name }, { signal });
  },

  render({ resources }, parameters, { go, refresh }) {
    const { name, find = "" } = parameters;
    return [
      heading(h("code", null, name),
        h("div", { class: "buttons" }, h("button", { type: "button", class: "quieter", onclick: refresh }, "Read again"))),
      resources.length === 0 && missing("There is no such resource now."),
      filters([{ name: "find", label: "Search in it", value: find, wide: true }],
        (values) => go("resource", { ...parameters, ...values })),
      resources.map((each) => body(each, find)),
    ];
  },
};

function body(each, find) {
  const short = shortType(each.type_url);
  const made = tree(each.resource, find);
  const hits = made.querySelectorAll("mark").length;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(JSON.stringify(each.resource, null, 2));
      say("Copied.");
    } catch {
      say("The browser does not let this page copy here.", "bad");
    }
  };
  return h("section", { "data-key": `${each.key} ${short} ${each.name} ${each.version} ${find}`, "aria-label": `${short} of ${each.key}` },
    h("p", { class: "lead" }, `${short} of `, link(each.key, "group", { key: each.key }), " · version ", version(each.version),
      " · changed ", time(each.updated), " ", h("button", { type: "button", class: "quieter", onclick: copy }, "Copy as JSON")),
    find && h("p", { role: "status" }, hits === 0 ? `"${find}" is nowhere in it.` : `${plural(hits, "place")} in it.`),
    made);
}
