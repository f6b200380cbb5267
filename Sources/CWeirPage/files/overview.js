// The state of the whole relay at a glance.

import { h } from "./dom.js";
import { get } from "./api.js";
import { bytes, count, plural } from "./format.js";
import { badge, groupTable, heading, lasting, link, sync, table, time } from "./parts.js";
import { latencies, rates } from "./plots.js";
import { act } from "./dialogs.js";

export const title = "Overview";
export const interval = 2000;

export async function load(_, signal) {
  const [overview, activity, upstreams] = await Promise.all(
    ["overview", "activity", "upstreams"].map((path) => get(path, {}, { signal })));
  return { overview, activity, upstreams: upstreams.upstreams };
}

export function render({ overview, activity, upstreams }, _, { ready, refresh }) {
  return [
    heading("Overview", h("button", { type: "button", class: "quieter", onclick: () => drain(refresh) }, "Drain …")),
    concerns(overview, ready),
    figures(overview),
    plots(activity),
    h("section", { "aria-labelledby": "upstreams" },
      h("h2", { id: "upstreams" }, "Upstreams"), upstreamTable(upstreams)),
    h("section", { "aria-labelledby": "attention" },
      h("h2", { id: "attention" }, "Groups to look at"),
      groupTable("Groups to look at, the worst first", overview.attention, {
        empty: overview.groups === 0 ? "No group yet: none of the clients that have come needs one, or none has come."
          : "Nothing to look at: every group is in sync.",
      }),
      overview.concerns > overview.attention.length
        && h("p", { class: "more" }, `The worst ${overview.attention.length} of ${count(overview.concerns)}.`),
      h("p", { class: "more" }, link("All groups", "groups"))),
  ];
}

/** Holds that have a line each. */
const HOLDS = 5;

/** What somebody should know at once. Holds have lines of their own, with the way to where they are let go. */
function concerns(overview, ready) {
  const told = (ready?.degraded ?? []).filter((text) => !/ is held \(/.test(text) && !/^\d+ more holds$/.test(text));
  const { nacked } = overview.subscriptions;
  const lines = [
    ...told.map((text) => h("li", { "data-key": text }, badge("bad", "degraded"), " ", text)),
    ...overview.held.slice(0, HOLDS).map(({ key, type, held }) => h("li", { "data-key": `${type} ${key}` },
      badge("bad", `held: ${held.reason}`), " ",
      link(`${type} of ${key}`, "group", { key }), " for ", lasting(held.since), ": ", held.detail)),
    overview.holds > HOLDS && h("li", { "data-key": "holds" }, badge("bad", "held"), " ",
      link(`${count(overview.holds - HOLDS)} more`, "groups", { state: "not fine" })),
    nacked > 0 && h("li", { "data-key": "nacks" }, badge("bad", "rejected"), " ",
      `${plural(nacked, "subscription")} rejected what was sent last: `, link("which clients", "clients", { state: "nacked" })),
  ].filter(Boolean);
  if (lines.length === 0) return null;
  return h("section", { class: "concerns", "aria-label": "What is wrong" }, h("ul", null, lines));
}

function figures({ groups, streams, resources, bytes: size, stale_groups: stale, subscriptions }) {
  const figure = (name, value, note) => h("div", { class: "figure", "data-key": name },
    h("dt", null, name), h("dd", null, value, note && h("small", null, note)));
  const { acked, pending, nacked } = subscriptions;
  return h("section", { "aria-label": "Figures" },
    h("dl", { class: "figures" },
      figure("Groups", count(groups), stale > 0 && ` ${count(stale)} stale`),
      figure("Client streams", count(streams)),
      figure("In sync", count(acked)),
      figure("Behind", h("span", { class: pending > 0 ? "warn" : null }, count(pending))),
      figure("Rejecting", h("span", { class: nacked > 0 ? "bad" : null }, count(nacked))),
      figure("Resources", count(resources), ` ${bytes(size)}`)),
    acked + pending + nacked > 0 && h("div", { class: "whole" }, sync(subscriptions, { words: false, least: 0.5 })),
    h("p", { class: "quiet small" }, "In sync, behind and rejecting count subscriptions: a type on a client's stream."));
}

function plots(activity) {
  return h("section", { class: "plots", "aria-label": "The last five minutes" },
    rates("Responses sent", [
      { kind: "good", name: "sent", values: activity.responses }, { kind: "bad", name: "rejected", values: activity.nacks },
    ]),
    rates("Pushes", [{ kind: "good", name: "pushes", values: activity.pushes }]),
    latencies("Time until the last client is written", activity.push_ms),
    latencies("Time until the last client has accepted", activity.convergence_ms));
}

function upstreamTable(upstreams) {
  const kinds = { connected: "good", failed: "bad", connecting: "warn", idle: "off" };
  return table("Upstreams and their servers", [
    { name: "Upstream" }, { name: "Server" }, { name: "State" }, { name: "Since", wide: true },
    { name: "Streams", number: true, wide: true }, { name: "Last error", wide: true },
  ], upstreams.flatMap((upstream) => upstream.servers.map((server, index) => ({
    key: `${upstream.name} ${server.address}`,
    cells: [
      [upstream.name, " ", h("span", { class: "quiet" }, upstream.protocol)],
      h("code", null, server.address),
      badge(kinds[server.state] ?? "off", server.state),
      time(server.connected_since),
      index === 0 ? count(upstream.streams) : "",
      server.last_error || h("span", { class: "quiet" }, "–"),
    ],
  }))), { empty: "No upstream has been needed yet." });
}

async function drain(refresh) {
  const done = await act({
    title: "Drain this relay", button: "Drain", word: "drain", path: "drain",
    text: "It says it is not ready, asks every client to go elsewhere, and takes no new connection. "
      + "This cannot be taken back: the process has to be started again.",
  });
  if (done) refresh();
}
