// Asking weir: JSON by fetch, with a token where one is wanted. The token lives as long as this tab.

const TOKEN = "weir-token";
let prompt = null;
let asking = null;

/** An answer that is not what was asked for; `status` is 0 where there was none. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** `ask` is called when a token is missing or wrong; it resolves to a new one, or null. */
export function onTokenWanted(ask) {
  prompt = ask;
}

function token() {
  return sessionStorage.getItem(TOKEN);
}

/** One question for a token at a time, however many requests wait for it. */
function newToken(used) {
  if (token() !== used) return Promise.resolve(token());
  asking ??= prompt(used !== null).then((text) => {
    if (text) sessionStorage.setItem(TOKEN, text);
    return text;
  }).finally(() => { asking = null; });
  return asking;
}

/** A path with its query; empty values are left out. Relative, so that it works below a proxy's prefix as well. */
export function address(path, query = {}) {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(known).toString();
  return path + (text ? "?" + text : "");
}

async function send(path, options) {
  for (;;) {
    const used = token();
    const headers = { Accept: options.accept ?? "application/json" };
    if (used) headers.Authorization = "Bearer " + used;
    let answer;
    try {
      answer = await fetch(path, { method: options.method ?? "GET", headers, signal: options.signal, cache: "no-cache" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "weir does not answer");
    }
    if (answer.status !== 401) return answer;
    if (!await newToken(used)) throw new Refused(401, "weir wants a token");
  }
}

async function json(answer) {
  try {
    return await answer.json();
  } catch {
    throw new Refused(answer.status, `${answer.status} ${answer.statusText}: no JSON`);
  }
}

/** The JSON at a path. `also`: statuses beside 200 whose body is an answer, too. */
export async function get(path, query, { signal, also = [] } = {}) {
  const answer = await send(address(path, query), { signal });
  const body = await json(answer);
  if (answer.ok || also.includes(answer.status)) return body;
  throw new Refused(answer.status, body.error ?? `status ${answer.status}`);
}

/** The same; null where the relay has no such path, or knows nothing of what is asked. */
export async function getIfThere(path, query, options) {
  try {
    return await get(path, query, options);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** How many rows a view shows; and how many of them it asks for at once while it looks for some among many. */
export const ROWS = 200;
const SEARCHED = 1000;
const PAGES = 50;

/**
 * Rows of the list `name` at a path that `accepts` takes, page by page where the relay gives pages, until there are enough
 * to show. Without `accepts`: one page. `next`: the cursor of what was not looked at; `missing`: workers that did not answer.
 */
export async function rows(path, name, query, { signal, accepts = null }) {
  const found = [], missing = new Set();
  let { cursor } = query;
  for (let page = 0; page < (accepts ? PAGES : 1); page += 1) {
    const answer = await get(path, { ...query, limit: accepts ? SEARCHED : ROWS, cursor }, { signal });
    found.push(...(accepts ? answer[name].filter(accepts) : answer[name]));
    for (const worker of answer.missing_workers ?? []) missing.add(worker);
    cursor = answer.next_cursor;
    if (!cursor || found.length >= ROWS) break;
  }
  return { found, next: cursor, missing: [...missing] };
}

/** Has something changed. */
export async function post(path, query) {
  const answer = await send(address(path, query), { method: "POST" });
  const body = await json(answer);
  if (!answer.ok) throw new Refused(answer.status, body.error ?? `status ${answer.status}`);
  return body;
}

/**
 * Server-sent events, one call of `heard(name, data)` each, until `signal` says so or the server ends. By fetch, as
 * EventSource sends no token.
 */
export async function listen(path, query, { signal, opened, heard }) {
  const answer = await send(address(path, query), { signal, accept: "text/event-stream" });
  if (!answer.ok) throw new Refused(answer.status, (await json(answer)).error ?? `status ${answer.status}`);
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) tell(event, heard);
  }
}

function tell(text, heard) {
  let name = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  if (data.length === 0) return;
  try {
    heard(name, JSON.parse(data.join("\n")));
  } catch {
    heard(name, { detail: data.join("\n") });
  }
}
