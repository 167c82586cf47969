// The LLM's answers, side by side: a pane each.

import { byId, make, put, seconds, wireCopy } from "/page/ui.js";

export const TITLES = { raw: "Answer to your prompt", rewritten: "Answer to the rewrite" };

/** One answer in the page. */
class Pane {
  #root = byId("pane").content.firstElementChild.cloneNode(true);
  #title = this.#root.querySelector("h3");
  #facts = this.#root.querySelector(".facts");
  #text = this.#root.querySelector(".text");
  #error = this.#root.querySelector(".error");
  #note = this.#root.querySelector(".note");
  #copy = this.#root.querySelector(".copy");
  #copied = make("span", { className: "unseen" });
  #came = document.createTextNode("");

  constructor(title, waiting) {
    this.#text.append(this.#came);
    this.#text.hidden = true;
    put(this.#note, waiting);
    // Buttons that all say "Copy" are told apart by the title, for those who do not see where they stand.
    const word = make("span", {}, "Copy");
    this.#copy.append(word, this.#copied);
    wireCopy(this.#copy, () => this.#came.data, () => this.title, word);
    this.title = title;
  }

  get root() {
    return this.#root;
  }

  get title() {
    return this.#title.textContent;
  }

  set title(title) {
    this.#title.textContent = title;
    this.#copied.textContent = ` ${title}`;
  }

  /** The answer goes on with `piece`. */
  add(piece) {
    this.#text.hidden = false;
    this.#text.setAttribute("aria-busy", "true");
    put(this.#note, "");
    this.#came.appendData(piece);
  }

  /** The answer as it is now that nothing more comes. */
  finish(outcome) {
    this.show(outcome);
    const failed = outcome.state === "failed" || outcome.state === "cut";
    put(this.#error, failed ? outcome.note : "");
    put(this.#note, failed ? "" : outcome.note);
    this.#facts.textContent = outcome.state === "failed" ? "" : seconds(outcome.seconds);
  }

  /** The answer's text only, without what may tell whose it is. */
  show(outcome) {
    this.#came.data = outcome.text;
    this.#text.hidden = !outcome.text;
    this.#text.removeAttribute("aria-busy");
    this.#copy.hidden = !outcome.text;
    put(this.#note, "");
  }
}

/** Take the answers away. */
export function clear() {
  byId("answers").hidden = true;
  byId("panes").replaceChildren();
  put(byId("answers-note"), "");
}

/** Show an empty pane for each title; they stand in that order. */
export function open(titles, { note = "", waiting = "Waiting for the model." } = {}) {
  clear();
  const panes = titles.map((title) => new Pane(title, waiting));
  byId("panes").append(...panes.map((pane) => pane.root));
  put(byId("answers-note"), note);
  byId("answers").hidden = false;
  return panes;
}
