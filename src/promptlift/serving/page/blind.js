// Blind A/B: two answers without a word on whose they are, a verdict, and its way to the server.

import { sendVote } from "/page/server.js";
import { byId, put, say } from "/page/ui.js";

const SIDES = { a: 0, b: 1 };
const VERDICTS = {
  raw: "You preferred the answer to your own prompt",
  rewritten: "You preferred the answer to the rewrite",
  tie: "A tie",
};

/** The two sides in a random order: the first is answer A, on the left. */
export function shuffled() {
  const [coin] = crypto.getRandomValues(new Uint8Array(1));
  return coin % 2 === 0 ? ["raw", "rewritten"] : ["rewritten", "raw"];
}

/** True if both answers came whole: only then a verdict says something about the prompts. */
export const canVote = ({ raw, rewritten }) => raw?.state === "whole" && rewritten?.state === "whole";

let open = null; // {entry, order, reveal} while a verdict is waited for
let shown = null; // the entry whose verdict is in the page
let total = null; // verdicts that the server holds, as far as it told

export function setTotal(count) {
  total = Number.isInteger(count) ? count : total;
}

export function setCommand(command) {
  if (typeof command === "string" && command) byId("verdict-command").textContent = command;
}

/** Take buttons and verdict away. */
export function clear() {
  open = null;
  shown = null;
  byId("vote").hidden = true;
  byId("verdict").hidden = true;
}

/** Ask for a verdict on `entry`, whose answers stand in `order`. `reveal()` is called once it is given or waived. */
export function ask(entry, order, reveal) {
  clear();
  open = { entry, order, reveal };
  byId("vote").hidden = false;
}

export const isOpen = () => open !== null;

/** "a", "b" or "tie"; null shows what is what without a verdict. False if none is asked for. */
export function vote(choice) {
  if (!open) return false;
  const { entry, order, reveal } = open;
  open = null;
  byId("vote").hidden = true;
  if (choice === null) {
    reveal();
    say("Shown without a verdict.");
    byId("answers-title").focus();
    return true;
  }
  entry.winner = order[SIDES[choice]] ?? "tie";
  entry.first = order[0];
  entry.saved = false;
  reveal();
  show(entry);
  say("Your verdict is below the answers.");
  byId("verdict-title").focus();
  void save(entry);
  return true;
}

/** The verdict of an entry; one that was not saved can be sent again. */
export function show(entry) {
  shown = entry;
  byId("verdict").hidden = false;
  byId("verdict-title").textContent = `${VERDICTS[entry.winner]}.`;
  byId("verdict-saved").textContent = entry.saved ? "Saved." : "";
  put(byId("verdict-failed"), "");
  byId("verdict-retry").hidden = true;
}

/** Offer to send a verdict that an earlier visit could not save. */
export function offerRetry(entry) {
  if (!Object.hasOwn(VERDICTS, entry.winner)) return;
  show(entry);
  if (entry.saved) return;
  put(byId("verdict-failed"), "This verdict was not saved.");
  byId("verdict-retry").hidden = false;
}

async function save(entry) {
  const { model, prompt, rewrite, answers, winner, first } = entry;
  const retry = byId("verdict-retry");
  retry.hidden = true;
  put(byId("verdict-failed"), "");
  byId("verdict-saved").textContent = "Saving…";
  try {
    const reply = await sendVote({
      model: model || answers.raw.model || answers.rewritten.model || "unnamed", // The server wants a name.
      prompt,
      rewrite: rewrite.rewrite,
      answer_raw: answers.raw.text,
      answer_rewritten: answers.rewritten.text,
      winner,
      first,
    });
    entry.saved = true;
    setTotal(reply?.votes);
    setCommand(reply?.command);
    saved.dispatchEvent(new CustomEvent("saved", { detail: entry }));
    if (shown === entry) byId("verdict-saved").textContent = `Saved. ${countInWords()}`.trim();
  } catch (error) {
    if (shown !== entry) return; // It is marked as unsaved in the history.
    byId("verdict-saved").textContent = "";
    put(byId("verdict-failed"), `The verdict was not saved: ${error.message}`);
    retry.hidden = false;
  }
}

export function countInWords() {
  if (total === null) return "";
  return total === 1 ? "One verdict so far." : `${total} verdicts so far.`;
}

/** Tells by an event "saved", with the entry as its detail, that the server has a verdict. */
export const saved = new EventTarget();

byId("vote-a").addEventListener("click", () => vote("a"));
byId("vote-b").addEventListener("click", () => vote("b"));
byId("vote-tie").addEventListener("click", () => vote("tie"));
byId("vote-skip").addEventListener("click", () => vote(null));
byId("verdict-retry").addEventListener("click", () => {
  byId("verdict-title").focus(); // The button that has the focus goes away.
  if (shown) void save(shown);
});
