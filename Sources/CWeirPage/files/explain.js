// Which key a node gets, and why.

import { get } from "./api.js";
import { filters, heading, missing } from "./parts.js";
import { explained } from "./clients.js";
import { h } from "./dom.js";

export const title = "Explain";
/** Asked once: what the rules say does not move by itself. */
export const interval = 0;

const fields = ["node.id", "node.cluster", "node.locality.region", "node.locality.zone", "node.user_agent_name",
  "peer.address", "peer.san", "type"];

export function load(parameters, signal) {
  const metadata = (parameters.metadata ?? "").split(/\s+/).filter((pair) => pair.includes("="))
    .map((pair) => [`node.metadata.${pair.slice(0, pair.indexOf("="))}`, pair.slice(pair.indexOf("=") + 1)]);
  const known = fields.filter((name) => parameters[name]).map((name) => [name, parameters[name]]);
  if (known.length + metadata.length === 0) return null;
  return get("explain", Object.fromEntries([...known, ...metadata]), { signal });
}

export function render(answer, parameters, { go }) {
  return [
    heading("Explain"),
    h("p", { class: "quiet" }, "Which key a node would get by the rules in force, and why the rules before did not match."),
    filters([
      ...fields.map((name) => ({ name, label: name, value: parameters[name] })),
      { name: "metadata", label: "node.metadata", value: parameters.metadata, placeholder: "tier=gold app.name=web", wide: true },
    ], (values) => go("explain", values)),
    answer === null ? missing("Fill in what the node says of itself.") : explained(answer),
  ];
}
