// Questions that must be answered first: a token, a confirmation, and the list of shortcuts.

import { h } from "./dom.js";
import { address, onTokenWanted, post } from "./api.js";

/**
 * Shows a dialog until it is closed; resolves to the value of the button that was used, or "". `leave`: what the button
 * that does nothing says.
 */
function open(title, content, leave, ...buttons) {
  return new Promise((resolve) => {
    const isOnly = buttons.length === 0;
    // Not one that submits: Enter in a field means the others.
    const leaving = h("button", { type: "button", class: isOnly ? "main" : null, autofocus: isOnly || !content.some(isField),
      onclick: () => dialog.close("") }, leave);
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" },
      h("form", { method: "dialog" },
        h("h2", { id: "dialog-title" }, title), content,
        h("div", { class: "buttons" }, leaving, buttons)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function isField(node) {
  return node instanceof HTMLLabelElement;
}

onTokenWanted(async (wasWrong) => {
  const field = h("input", { type: "password", name: "token", autocomplete: "off", autofocus: true, required: true });
  const answer = await open("A token, please", [
    h("p", null, wasWrong ? "That token is not among those that weir knows." : "This debug endpoint asks for a token."),
    h("label", null, h("span", null, "Token"), field),
    h("p", { class: "quiet" }, "Kept for this tab only, until it is closed."),
  ], "Cancel", h("button", { value: "use", class: "main" }, "Use it"));
  return answer === "use" ? field.value.trim() : null;
});

/** Says below the page what became of something. */
export function say(text, kind = "good") {
  const place = document.getElementById("said");
  place.replaceChildren(h("p", { class: kind }, text));
  clearTimeout(say.timer);
  say.timer = setTimeout(() => place.replaceChildren(), 8000);
}

/**
 * Asks whether something is to be done, and does it. `word`: what must be typed first, for what cannot be taken back.
 * Resolves to whether it was done.
 */
export async function act({ title, text, path, query = {}, button, word }) {
  const field = word && h("input", { name: "word", autocomplete: "off", pattern: word, required: true, autofocus: true });
  const answer = await open(title, [
    h("p", null, text),
    h("p", null, h("code", null, `POST /${address(path, query)}`)),
    field && h("label", null, h("span", null, `Type "${word}" to go on`), field),
  ].filter(Boolean), "Leave it", h("button", { value: "do", class: "danger" }, button));
  if (answer !== "do") return false;
  try {
    await post(path, query);
    say(`${title}: done.`);
    return true;
  } catch (error) {
    say(`${title}: ${error.message}`, "bad");
    return false;
  }
}

const shortcuts = [
  ["g o", "overview"], ["g g", "groups"], ["g c", "clients"], ["g r", "resources"], ["g h", "history of pushes"],
  ["g e", "live events"], ["g x", "explain: which key a node gets"],
  ["/", "to the first field"], ["j k", "down and up in a table"], ["Enter", "follow the link in focus"],
  ["p", "pause, and go on"], ["u", "up: back to where you came from"], ["t", "colours: system, light, dark"],
  ["Esc", "leave a field, close a dialog"], ["?", "this list"],
];

export function help() {
  if (document.querySelector("dialog[open]")) return;
  open("Keyboard", [h("dl", { class: "shortcuts" }, shortcuts.map(([keys, what]) => [
    h("dt", null, keys.split(" ").map((key) => h("kbd", null, key))), h("dd", null, what),
  ]))], "Close");
}
