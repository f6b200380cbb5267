// Client streams, and one client with all that it asked for.

import { h } from "./dom.js";
import { get, getIfThere, rows, ROWS } from "./api.js";
import { count } from "./format.js";
import { badge, filters, heading, link, missing, more, table, time, version } from "./parts.js";

export const title = "Clients";
export const interval = ({ find, state }) => (find || state ? 10_000 : 4000);

const kinds = { acked: "good", sent: "warn", waiting: "warn", nacked: "bad" };
const words = { acked: "in sync", sent: "behind", waiting: "waiting", nacked: "rejecting" };

export function load({ key, node, find, state, cursor }, signal) {
  const accepts = (client) => [client.node, client.cluster, client.peer, client.key].some((text) =>
    String(text ?? "").includes(find ?? "")) && (!state || Object.values(client.types).some((type) => type.state === state));
  return rows("clients", "clients", { key, node, state, cursor }, { signal, accepts: find || state ? accepts : null });
}

export function render(answer, parameters, { go }) {
  const { found } = answer;
  const { key = "", node = "", find = "", state = "" } = parameters;
  return [
    heading("Clients"),
    filters([
      { name: "find", label: "Contains", value: find, placeholder: "node, cluster, address", wide: true },
      { name: "key", label: "Group is", value: key }, { name: "node", label: "Node is", value: node },
      { name: "state", label: "State", value: state, options: ["", "acked", "sent", "waiting", "nacked"] },
    ], (values) => go("clients", values)),
    clientTable(`Client streams, ${count(found.length)}`, found.slice(0, ROWS)),
    more(answer, "clients", parameters),
  ];
}

/** `isOneGroup`: all are of the group that is looked at. */
export function clientTable(caption, clients, { isOneGroup = false } = {}) {
  return table(caption, [
    { name: "Node" }, ...(isOneGroup ? [] : [{ name: "Group" }]), { name: "Protocol", wide: true }, { name: "Address", wide: true },
    { name: "Since", wide: true }, { name: "Types" },
  ], clients.map((client) => ({
    key: `${client.peer} ${client.node} ${client.service} ${client.since}`,
    cells: [
      link(client.node || "(no id)", "client", { node: client.node, key: client.key }),
      ...(isOneGroup ? [] : [link(client.key, "group", { key: client.key })]),
      `${client.service} ${client.protocol}`, h("code", null, client.peer), time(client.since),
      Object.entries(client.types).map(([type, state]) =>
        badge(kinds[state.state] ?? "off", type, words[state.state] ?? state.state)),
    ],
  })), { empty: "No client stream is like that." });
}

/** What the relay says of a connected client; where it looks at none, what its rules say of such a node. */
async function explanation({ node, cluster }, signal) {
  const ask = (query) => getIfThere("explain", query, { signal });
  const said = node ? await ask({ "node.id": node }) : null;
  return said?.clients ? said : ask({ "node.id": node, "node.cluster": cluster });
}

/** One client: every stream of its node id. */
export const client = {
  title: "Client",
  interval: 3000,

  async load({ node, key }, signal) {
    const answer = await get("clients", { node, key, limit: ROWS }, { signal });
    const streams = answer.clients.filter((stream) => stream.node === node);
    return { streams, why: streams.length > 0 ? await explanation(streams[0], signal) : null };
  },

  render({ streams, why }, { node }) {
    return [
      heading(h("code", null, node || "(no id)")),
      streams.length === 0 && missing("No stream of this node is open."),
      streams.map((stream) => streamOf(stream, (why?.clients ?? []).find((each) => each.peer === stream.peer))),
      why && h("section", { "aria-label": "Why this group" }, h("h2", null, "Why this group"), explained(why, streams[0]),
        h("p", { class: "more" }, link("Explain another node", "explain",
          { "node.id": node, "node.cluster": streams[0].cluster }))),
    ];
  },
};

/** `said`: what the relay explains of the stream, if it does. */
function streamOf(stream, said) {
  const types = Object.entries(stream.types);
  return h("section", { "data-key": `${stream.peer} ${stream.since}`, "aria-label": `Stream from ${stream.peer}` },
    h("h2", null, `${stream.service} ${stream.protocol} `, h("code", null, stream.peer)),
    h("p", { class: "lead" }, "Group ", link(stream.key, "group", { key: stream.key }), " · cluster ",
      h("code", null, stream.cluster || "–"), " · connected ", time(stream.since), " · ",
      link("Live events", "events", { node: stream.node })),
    types.filter(([, type]) => type.nack).map(([name, { nack }]) =>
      h("div", { class: "concerns", "data-key": `nack ${name}` },
        h("p", null, badge("bad", `${name} rejected`), " version ", version(nack.version), ", ", time(nack.at)),
        h("pre", { tabindex: "0" }, nack.message))),
    table("Types of this stream", [
      { name: "Type" }, { name: "State" }, { name: "Sent" }, { name: "Accepted" }, { name: "Subscribed" },
    ], types.map(([name, type]) => ({
      key: name,
      cells: [link(name, "resources", { key: stream.key, type: name }),
        [badge(kinds[type.state] ?? "off", words[type.state] ?? type.state), " ", said?.types[name]?.waiting?.detail],
        version(type.sent), version(type.acked), subscribed(stream.key, name, type.subscribed)],
    }))),
    said && lacking(said));
}

/** What a client asked for and does not have. */
function lacking(said) {
  const rows = Object.entries(said.types).flatMap(([type, { missing = [] }]) =>
    missing.map(({ name, reason, detail }) => ({ type, name, reason, detail })));
  if (rows.length === 0) return null;
  const all = Object.values(said.types).reduce((sum, { resources }) => sum + (resources?.missing ?? 0), 0);
  return [h("h3", null, `Missing, ${count(Math.max(all, rows.length))}`),
    table("What it asked for and does not have", [{ name: "Name" }, { name: "Type" }, { name: "Why" }],
      rows.slice(0, ROWS).map(({ type, name, reason, detail }) => ({
        key: `${type} ${name}`, cells: [name, type, [badge("warn", reason.replaceAll("_", " ")), " ", detail]],
      })))];
}

const NAMES = 300;

function subscribed(key, type, names) {
  if (names === "*") return "everything (*)";
  const item = (name) => h("li", null, name === "*" ? "everything (*)" : link(name, "resource", { key, type, name }));
  if (names.length <= 3) return h("ul", { class: "names" }, names.map(item));
  return h("details", null, h("summary", null, `${count(names.length)} names`),
    h("ul", { class: "names" }, names.slice(0, NAMES).map(item)),
    names.length > NAMES && h("p", { class: "more" }, `The first ${NAMES}.`));
}

/** What the rules say of a node. `stream`: what became of it in truth, if there is one. */
export function explained(why, stream) {
  const captures = Object.entries(why.captures ?? {});
  return [
    h("p", { class: "lead" }, why.key === null ? badge("bad", "no rule matches")
      : ["Key ", link(why.key, "group", { key: why.key }), " by rule ", h("code", null, why.rule ?? "–"), ", upstream ",
        h("code", null, why.upstream ?? "–")]),
    [why.denied, why.error].filter(Boolean).map((text) => h("p", { class: "note" }, text)),
    stream && why.key !== stream.key && h("p", { class: "note" },
      "Its stream is in another group: the rules look at more than its id and cluster, or have changed since it came."),
    captures.length > 0 && h("p", null, "Captured: ", captures.map(([name, value]) => [h("code", null, `${name}=${value}`), " "])),
    why.rejected?.length > 0 && table("Rules that did not match", [{ name: "Rule" }, { name: "Why not" }],
      why.rejected.map(({ rule, reason }, index) => ({ key: `${index} ${rule}`, cells: [h("code", null, rule), reason] }))),
  ];
}
