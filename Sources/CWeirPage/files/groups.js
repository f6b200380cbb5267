// All groups.

import { rows, ROWS } from "./api.js";
import { count } from "./format.js";
import { filters, groupTable, heading, more, worries } from "./parts.js";

export const title = "Groups";
/** What is looked for among many is asked for less often. */
export const interval = ({ find, state }) => (find || state ? 10_000 : 4000);

export function load({ find, state, cursor }, signal) {
  const accepts = (key) => [key.key, key.upstream.name, key.upstream.server].some((text) =>
    String(text ?? "").includes(find ?? "")) && (!state || (state === "fine") === (worries(key).length === 0));
  return rows("keys", "keys", { cursor }, { signal, accepts: find || state ? accepts : null });
}

export function render(answer, parameters, { go }) {
  const { found } = answer;
  const { find = "", state = "" } = parameters;
  return [
    heading("Groups"),
    filters([
      { name: "find", label: "Contains", value: find, placeholder: "key or server", wide: true },
      { name: "state", label: "State", value: state, options: ["", "fine", "not fine"] },
    ], (values) => go("groups", values)),
    groupTable(`Groups, ${count(found.length)}`, found.slice(0, ROWS), {
      empty: find || state ? "No group is like that." : "No group yet.",
    }),
    more(answer, "groups", parameters),
  ];
}
