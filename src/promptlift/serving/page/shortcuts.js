// Keys, and the dialog that lists them.

import { byId } from "/page/ui.js";

const UNTYPED = new Set(["button", "checkbox", "radio", "reset", "submit"]);

/** True where a character goes into a field. */
function isTyping(target) {
  if (!(target instanceof Element)) return false;
  if (target instanceof HTMLInputElement) return !UNTYPED.has(target.type);
  return target.matches("textarea, select") || target.isContentEditable;
}

/**
 * Listen for the page's keys.
 *
 * `act` has `run()`, `stop()`, which is false if there was nothing to stop, `vote("a" | "b" | "tie")`, which is
 * false if no vote is open, and `singleKeys()`, whether keys without Ctrl are wanted.
 */
export function listen(act) {
  const help = byId("help");
  if (/Mac|iP(hone|ad|od)/.test(navigator.platform)) byId("run-keys").textContent = "⌘ Enter";
  const open = () => help.showModal();
  byId("help-open").addEventListener("click", open);
  byId("help-close").addEventListener("click", () => help.close());
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // Outside of it.
  }

  const single = { "?": open, 1: () => act.vote("a"), 2: () => act.vote("b"), 3: () => act.vote("tie") };
  document.addEventListener("keydown", (event) => {
    // A dialog has its own Esc; Enter that ends the composing of a character is not meant for the page.
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.altKey) {
      event.preventDefault();
      if (!event.repeat) act.run();
    } else if (event.key === "Escape") {
      if (act.stop()) event.preventDefault();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat) {
      if (!Object.hasOwn(single, event.key) || isTyping(event.target) || !act.singleKeys()) return;
      if (single[event.key]() !== false) event.preventDefault();
    }
  });
}
