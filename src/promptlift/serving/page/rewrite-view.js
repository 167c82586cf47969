// The card of a rewrite: the text with its changes marked, why it was left alone, and the guard's checks.

import { diff, wordsOf } from "/page/diff.js";
import { byId, make, put, seconds, wireCopy } from "/page/ui.js";

const REASONS = {
  identity: "It needs no help: closed-ended, or good as it is.",
  unproven: "The advice for it is of a kind that measurements have not shown to help.",
  empty: "There are no words to go by.",
  "no-instruction": "There are no words to go by, as in numbers, code or variables alone.",
  "too-long": "It is too long, even with pasted text set aside.",
  tag: "It holds a <passage-n/> tag, which promptlift uses itself.",
  deadline: "The rewrite did not come in time.",
  overloaded: "Too many prompts wait already.",
  prompter: "The prompter is broken, or not there yet.",
  off: "Rewriting is switched off for this model.",
  encoded: "The request was compressed.",
  "too-large": "The request is larger than is inspected.",
};
const MARKS = { same: "span", del: "del", ins: "ins" };
const STATES = [
  { of: true, mark: "✓", word: "passed", name: "passed", before: "would stop it: " },
  { of: false, mark: "✗", word: "failed", name: "failed", before: "stopped it: " },
  { of: null, mark: "–", word: "not run", name: "idle", before: "would stop it: " },
];

let shown = null; // {record, parts}
const preview = document.createTextNode("");

wireCopy(byId("rewrite-copy"), () => shown?.record.rewrite ?? "", () => "Rewrite");
byId("marks").addEventListener("change", draw);

/** Take the card away, and all that was in it: nothing of a hidden rewrite is to be found in the page. */
export function clear() {
  shown = null;
  preview.data = "";
  byId("rewrite").hidden = true;
  for (const id of ["rewrite-badge", "rewrite-time", "rewrite-reason", "rewrite-error", "rewrite-count"]) {
    put(byId(id), "");
  }
  byId("rewrite-text").replaceChildren();
  byId("checks-list").replaceChildren();
  byId("checks-summary").textContent = "";
  for (const id of ["rewrite-text", "rewrite-copy", "marks-label", "checks"]) byId(id).hidden = true;
}

/** An empty card that `addPiece` fills. */
export function writing() {
  clear();
  byId("rewrite").hidden = false;
  put(byId("rewrite-time"), "being written, not checked yet");
  byId("rewrite-text").replaceChildren(preview);
  byId("rewrite-text").setAttribute("aria-busy", "true");
}

export function addPiece(piece) {
  byId("rewrite-text").hidden = false;
  preview.appendData(piece);
}

export function showError(line) {
  clear();
  byId("rewrite").hidden = false;
  put(byId("rewrite-error"), line);
}

/** Show the record of POST /v1/rewrite; `meanings` is what each check stops a rewrite for, by name. */
export function showRecord(prompt, record, meanings) {
  clear();
  shown = { record, parts: diff(prompt, record.rewrite) };
  byId("rewrite").hidden = false;
  const badge = byId("rewrite-badge");
  put(badge, record.changed ? "Changed" : "Left as it was");
  badge.classList.toggle("changed", record.changed);
  const took = seconds(record.seconds);
  put(byId("rewrite-time"), [took, record.prompter].filter(Boolean).join(" · "));
  put(byId("rewrite-reason"), record.changed ? "" : inWords(record, meanings));
  byId("marks-label").hidden = !record.changed;
  if (record.changed) put(byId("rewrite-count"), countOf(shown.parts));
  byId("rewrite-copy").hidden = false;
  byId("rewrite-text").hidden = false;
  byId("rewrite-text").removeAttribute("aria-busy");
  draw();
  showChecks(Array.isArray(record.checks) ? record.checks : [], meanings);
}

function draw() {
  if (!shown) return;
  const marked = byId("marks").checked
    ? shown.parts.map(({ kind, text }) => make(MARKS[kind], {}, text))
    : [shown.record.rewrite];
  byId("rewrite-text").replaceChildren(...marked);
}

function countOf(parts) {
  const [added, gone] = [wordsOf(parts, "ins"), wordsOf(parts, "del")];
  const words = (number) => `${number} ${number === 1 ? "word" : "words"}`;
  if (added && gone) return `${words(added)} added, ${gone} removed`;
  return gone ? `${words(gone)} removed` : `${words(added)} added`;
}

function inWords(record, meanings) {
  const reason = String(record.reason ?? "");
  if (!reason.startsWith("guard:")) return REASONS[reason] ?? (reason ? `Reason: ${reason}` : "No reason was given.");
  const name = reason.slice("guard:".length);
  if (name === "language") return "It is not English; this prompter knows English only.";
  const meaning = meanings?.[name] ? ` (${meanings[name]})` : "";
  return `What the prompter wrote did not pass the guard’s check “${name}”${meaning}, five times over.`;
}

/** Each check with its mark, a word for those who do not see the mark, and what it looks for. */
function showChecks(checks, meanings) {
  byId("checks").hidden = checks.length === 0;
  const failed = checks.filter((check) => check?.passed === false).map((check) => `“${check.name}”`);
  const passed = checks.filter((check) => check?.passed === true).length;
  byId("checks-summary").textContent =
    failed.length > 0
      ? `Guard: stopped by ${failed.join(", ")}`
      : `Guard: ${passed === checks.length ? `all ${passed}` : `${passed} of ${checks.length}`} checks passed`;
  byId("checks-list").replaceChildren(
    ...checks.map((check) => {
      const state = STATES.find(({ of }) => of === check?.passed) ?? STATES[2];
      const item = make("li", { className: state.name });
      const mark = make("span", { className: "mark" }, state.mark);
      mark.setAttribute("aria-hidden", "true");
      item.append(mark, make("b", {}, String(check?.name)), make("span", { className: "word" }, ` ${state.word}`));
      const meaning = meanings?.[check?.name];
      if (meaning) item.append(make("span", { className: "hint" }, state.before, make("bdi", {}, meaning)));
      return item;
    }),
  );
}
