// Elements from plain calls, and one tree made equal to another in place. Text is only ever text: there is no way in here
// by which a name from outside could become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) on(node, name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An element: `h("a", {href: "#/"}, "text", other)`; `onclick: function` listens; empty children are left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Listeners hang on a table of the node's, so that `morph` can hand them over.
const listeners = new WeakMap();

function dispatch(event) {
  listeners.get(event.currentTarget)?.[event.type]?.(event);
}

function on(node, type, listener) {
  if (!listeners.has(node)) listeners.set(node, {});
  listeners.get(node)[type] = listener;
  node.addEventListener(type, dispatch);
}

// What belongs to whoever looks, not to the data: whether a detail is open, what stands in a field.
const kept = { DETAILS: ["open"] };

function isAlike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName
    && (a.dataset?.key ?? null) === (b.dataset?.key ?? null);
}

/** Makes `old` like `made`, touching only what differs: focus, selection and scrolling stay where they are. */
export function morph(old, made) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  const own = kept[old.nodeName] ?? [];
  const before = old.getAttribute("value");
  for (const { name } of [...old.attributes]) {
    if (!made.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...made.attributes]) {
    if (old.getAttribute(name) !== value && !own.includes(name)) old.setAttribute(name, value);
  }
  // A field follows the view's address, but not under the hands of who types.
  if (old.nodeName === "INPUT" && before !== old.getAttribute("value") && old !== document.activeElement) old.value = made.value;
  if (old.nodeName === "OPTION") old.selected = made.selected;
  for (const [type, listener] of Object.entries(listeners.get(made) ?? {})) on(old, type, listener);
  morphChildren(old, [...made.childNodes]);
}

function morphChildren(parent, wanted) {
  const keyed = new Map(), keys = new Set(wanted.map((made) => made.dataset?.key));
  for (const child of [...parent.children]) {
    const { key } = child.dataset;
    if (key === undefined) continue;
    // What goes, goes first: then what stays need not be moved, which would cost it the focus.
    if (!keys.has(key)) child.remove();
    else if (!keyed.has(key)) keyed.set(key, child);
  }
  let place = parent.firstChild;
  for (const made of wanted) {
    const key = made.dataset?.key;
    const found = key === undefined ? place : keyed.get(key) ?? place;
    keyed.delete(key);
    if (found && isAlike(found, made)) {
      if (found === place) place = place.nextSibling;
      else parent.insertBefore(found, place);
      morph(found, made);
    } else {
      parent.insertBefore(made, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** Puts `nodes` in place of what `parent` holds, in the same careful way. */
export function show(parent, ...nodes) {
  const holder = h("div", null, ...nodes);
  morphChildren(parent, [...holder.childNodes]);
}
