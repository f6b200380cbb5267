// The page: which view is shown, when it is asked for anew, and the keyboard.

import { h, show } from "./dom.js";
import { address, get } from "./api.js";
import { span } from "./format.js";
import { badge, view } from "./parts.js";
import { help } from "./dialogs.js";
import * as overview from "./overview.js";
import * as groups from "./groups.js";
import * as group from "./group.js";
import * as clients from "./clients.js";
import * as resources from "./resources.js";
import * as changes from "./changes.js";
import * as events from "./events.js";
import * as explain from "./explain.js";

const views = {
  "": overview, groups, group, clients, client: clients.client, resources, resource: resources.resource,
  changes, diff: changes.diff, events, explain,
};
/** What the bar at the top leads to, by its key after `g`; `also`: the views that lie below it. */
const places = [
  { name: "", text: "Overview", key: "o" }, { name: "groups", text: "Groups", key: "g", also: ["group"] },
  { name: "clients", text: "Clients", key: "c", also: ["client"] },
  { name: "resources", text: "Resources", key: "r", also: ["resource"] },
  { name: "changes", text: "History", key: "h", also: ["diff"] }, { name: "events", text: "Events", key: "e" },
  { name: "explain", text: "Explain", key: "x" },
];

const main = document.getElementById("main");
const byID = (id) => document.getElementById(id);

/** The view that is shown: its name, parameters, newest answer, and what ends it. */
let current = null;
let status = {};
let isPaused = false;

function route() {
  const text = location.hash.startsWith("#/") ? location.hash.slice(2) : "";
  const [name, query = ""] = text.split(/\?(.*)/s);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  return views[name] ? { name, parameters } : { name: "", parameters: {} };
}

function go(name, parameters) {
  location.hash = address("/" + name, parameters);
}

// --- The view

async function enter() {
  const { name, parameters } = route();
  const isNew = current === null || current.name !== name;
  current?.end.abort();
  clearTimeout(current?.timer);
  const entered = { name, parameters, module: views[name], answer: undefined, end: new AbortController(), timer: null };
  current = entered;
  drawNavigation();
  document.title = `${entered.module.title} · weir`;
  if (isNew) main.replaceChildren(h("p", { class: "quiet" }, "Asking weir …"));
  await refresh();
  if (current !== entered) return;
  if (isNew && hasMoved) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  if (isNew) scrollTo(0, 0);
  entered.module.follow?.(parameters, entered.end.signal, draw);
}

/** The first view of a visit leaves the focus where the browser puts it. */
let hasMoved = false;

/** Asks for everything that is shown, shows it, and sets the time for the next. */
async function refresh() {
  const asked = current;
  clearTimeout(asked.timer);
  asked.timer = null;
  const { signal } = asked.end;
  try {
    const [answer] = await Promise.all([asked.module.load(asked.parameters, signal), look(signal)]);
    if (current !== asked) return;
    asked.answer = answer;
    trouble(null);
    draw();
  } catch (error) {
    if (signal.aborted || current !== asked) return;
    trouble(error.status === undefined ? `The page has a fault: ${error.message}` : error.message);
    if (asked.answer === undefined) show(main, h("p", { class: "quiet" }, "No answer yet."));
    if (error.status === undefined) console.error(error);
    // Who was asked for a token and gave none is not asked again and again.
    if (error.status === 401) return;
  }
  schedule(asked);
}

/** What the header and the footer show; answered without a worker. */
async function look(signal) {
  const [ready, live, server] = await Promise.all([
    get("ready", {}, { signal, also: [503] }), get("live", {}, { signal, also: [503] }), get("server_info", {}, { signal }),
  ]);
  status = { ready, live, server };
  drawStatus();
}

function schedule(asked) {
  clearTimeout(asked.timer);
  // What does not move by itself is asked for once; the header's own state all the same.
  const own = typeof asked.module.interval === "function" ? asked.module.interval(asked.parameters) : asked.module.interval;
  if (isPaused || document.hidden || current !== asked) return;
  const step = own && main.dataset.trouble !== "yes" ? refresh : () => keepLooking(asked);
  asked.timer = setTimeout(step, own || 5000);
}

async function keepLooking(asked) {
  if (main.dataset.trouble === "yes") return refresh();
  try {
    await look(asked.end.signal);
  } catch (error) {
    if (!asked.end.signal.aborted) trouble(error.message);
  }
  schedule(asked);
}

function draw() {
  const { module, answer, parameters } = current;
  if (answer === undefined) return;
  const tools = { go, refresh, redraw: draw, ready: status.ready };
  show(main, ...[module.render(answer, parameters, tools)].flat(2).filter(Boolean));
  main.dataset.view = current.name || "overview";
}

// --- Around it

function trouble(text) {
  main.dataset.trouble = text ? "yes" : "no";
  show(byID("trouble"), ...(text ? [h("p", null, text, " ", h("button", { type: "button", onclick: refresh }, "Try again"))] : []));
}

function drawNavigation() {
  show(byID("nav"), ...places.map(({ name, text, key, also = [] }) => h("li", null, h("a", {
    href: view(name, {}), "aria-current": name === current.name ? "page" : also.includes(current.name) ? "true" : null,
    title: `g ${key}`, "aria-keyshortcuts": `g ${key}`,
  }, text))));
}

function drawStatus() {
  const { ready, live, server } = status;
  const stuck = live.stuck ?? [];
  const kind = ready.state !== "LIVE" || stuck.length ? "bad" : ready.degraded.length ? "warn" : "good";
  const word = stuck.length ? "stuck" : ready.state !== "LIVE" ? ready.state.toLowerCase()
    : ready.degraded.length ? "degraded" : "live";
  show(byID("state"), badge(kind, word, [...stuck, ...ready.degraded].join("\n") || null));
  show(byID("server"), `weir ${server.version} · up ${span(server.uptime_seconds)} · ${server.workers} workers · process ${
    server.pid} · `, h("code", null, server.config), stuck.length ? ` · ${stuck.join("; ")}` : "");
}

const colours = ["auto", "light", "dark"];

function setColours(name) {
  document.documentElement.dataset.theme = name;
  const words = { auto: "as the system", light: "light", dark: "dark" };
  show(byID("theme"), name[0].toUpperCase() + name.slice(1));
  byID("theme").setAttribute("aria-label", `Colours: ${words[name]}`);
  try {
    localStorage.setItem("weir-theme", name);
  } catch { /* then it is for this visit */ }
}

function nextColours() {
  setColours(colours[(colours.indexOf(document.documentElement.dataset.theme) + 1) % colours.length]);
}

function storedColours() {
  try {
    return localStorage.getItem("weir-theme");
  } catch {
    return null;
  }
}

function togglePause() {
  isPaused = !isPaused;
  byID("pause").setAttribute("aria-pressed", String(isPaused));
  show(byID("pause"), isPaused ? "Paused" : "Pause");
  if (isPaused) clearTimeout(current.timer);
  else refresh();
}

// --- Keyboard

let isGoing = false;
let goingTimer = null;

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const inField = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && inField) return inField.blur();
  if (inField) return;
  if (isGoing) {
    isGoing = false;
    const place = places.find(({ key }) => key === event.key);
    if (place) {
      event.preventDefault();
      hasMoved = true;
      return go(place.name, {});
    }
  }
  const act = {
    g: () => {
      isGoing = true;
      clearTimeout(goingTimer);
      goingTimer = setTimeout(() => { isGoing = false; }, 1500);
    },
    "/": () => main.querySelector("form.filters input")?.focus(),
    j: () => step(1), k: () => step(-1), p: togglePause, t: nextColours, u: () => history.back(), "?": help,
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** The focus goes to the first link of the next row. */
function step(by) {
  const rows = [...main.querySelectorAll("tr[data-row]")].filter((row) => row.querySelector("a, button, summary"));
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  const target = next?.querySelector("a, button, summary");
  target?.focus();
  target?.scrollIntoView({ block: "nearest" });
}

// --- Start

setColours(colours.includes(storedColours()) ? storedColours() : "auto");
byID("theme").addEventListener("click", nextColours);
byID("pause").addEventListener("click", togglePause);
byID("help").addEventListener("click", help);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("keydown", pressed);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(current.timer);
  else if (!isPaused) refresh();
});
addEventListener("hashchange", () => {
  hasMoved = true;
  enter();
});
enter();
