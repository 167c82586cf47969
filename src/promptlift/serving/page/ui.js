// Elements, words spoken to screen readers, and the clipboard.
//
// Text of a person, a model or a server gets into the page here and elsewhere by textContent and
// append(string) only, which make text nodes: whatever it holds stays text.

export const byId = (id) => document.getElementById(id);

/** A new element with `properties` set on it and `children` (nodes, or strings as text) in it. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Show `text` in `element`, or hide the element where there is none. */
export function put(element, text) {
  element.textContent = text ?? "";
  element.hidden = !text;
}

/** The line under the buttons: what goes on. Screen readers say it, so it changes per step, not per token. */
export function say(text) {
  byId("status").textContent = text;
}

/** For screen readers only. The same words twice are said twice: a no-break space makes them differ. */
export function speak(text) {
  const region = byId("spoken");
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

/** One line of at most `most` characters. */
export function oneLine(text, most = 300) {
  const line = String(text)
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  const characters = Array.from(line);
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : line;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "";
  return value < 0.1 ? "under 0.1 s" : `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

/** Make `button` copy what `text()` gives, and say so in `word` and aloud, where `what()` names it. */
export function wireCopy(button, text, what, word = button) {
  const label = word.textContent;
  let back = 0;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    word.textContent = copied ? "Copied" : "Can’t copy here";
    speak(copied ? `${what()} copied` : "The browser does not let this page copy");
    clearTimeout(back);
    back = setTimeout(() => {
      word.textContent = label;
    }, 2000);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Where the page comes over plain HTTP from another machine, there is no navigator.clipboard. */
function copyBySelection(text) {
  const focused = document.activeElement;
  const area = make("textarea", { value: text, className: "unseen", readOnly: true });
  document.body.append(area);
  area.select();
  let copied = false;
  try {
    copied = document.execCommand("copy");
  } catch {
    // Forbidden: the caller says so.
  }
  area.remove();
  focused?.focus();
  return copied;
}
