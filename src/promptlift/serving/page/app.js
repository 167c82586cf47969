// The page's flow: a prompt is rewritten, both are answered, and what came of it is kept.

import * as answers from "/page/answers.js";
import * as blind from "/page/blind.js";
import { answer } from "/page/chat.js";
import * as history from "/page/history.js";
import * as rewriteView from "/page/rewrite-view.js";
import { isAbort, rewrite } from "/page/server.js";
import * as settings from "/page/settings.js";
import * as shortcuts from "/page/shortcuts.js";
import { byId, say, seconds } from "/page/ui.js";

const ONE_ONLY = "Nothing was changed, so there is one answer only.";

let running = null; // The AbortController of what goes on; whoever holds another one has been replaced.

const composer = byId("composer");
const prompt = byId("prompt");

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  void run(event.submitter?.id !== "rewrite-only");
});
byId("stop").addEventListener("click", stop);
blind.saved.addEventListener("saved", ({ detail }) => history.update(detail));
history.start(restore);
shortcuts.listen({
  run: () => composer.requestSubmit(byId("run")),
  stop,
  vote: blind.vote,
  singleKeys: settings.hasSingleKeys,
});
settings.start(showMode);

/** A rewrite on its own would tell what blind mode hides. */
function showMode() {
  byId("rewrite-only").disabled = settings.isBlind();
}

function busy(control) {
  running = control;
  const button = byId("stop");
  if (!control && document.activeElement === button) prompt.focus();
  button.hidden = !control;
}

function stop() {
  if (!running) return false;
  running.abort();
  return true;
}

/** The page without any result. */
function clear() {
  running?.abort();
  busy(null);
  rewriteView.clear();
  answers.clear();
  blind.clear();
}

async function run(withAnswers) {
  clear();
  history.mark(null);
  const control = new AbortController();
  busy(control);
  const entry = {
    id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, // Plain HTTP has no randomUUID.
    at: new Date().toISOString(),
    prompt: prompt.value,
    model: settings.modelName(),
    rewrite: null,
    answers: { raw: null, rewritten: null },
  };
  const isBlind = withAnswers && settings.isBlind();
  if (isBlind) hide();
  try {
    entry.rewrite = await rewritten(entry, control, isBlind);
    if (running !== control) return;
    if (withAnswers) await answered(entry, control, isBlind);
    else tellRewrite(entry);
  } catch (error) {
    if (running !== control) return;
    if (isBlind) answers.clear();
    if (isAbort(error)) {
      rewriteView.clear();
      say("Stopped.");
    } else {
      rewriteView.showError(error.message);
      say("Rewriting failed.");
    }
  }
  if (running !== control) return;
  busy(null);
  if (entry.rewrite && !blind.isOpen()) history.keep(entry);
}

/** The keys for voting need the focus out of the prompt; and nothing tells how far each answer is. */
function hide() {
  answers.open(["Answer A", "Answer B"], { waiting: "Shown when both are there." });
  byId("answers-title").focus();
}

async function rewritten(entry, control, isBlind) {
  say(isBlind ? "Rewriting, then asking for both answers…" : "Rewriting…");
  if (!isBlind) rewriteView.writing();
  const onPiece = (piece) => !isBlind && running === control && rewriteView.addPiece(piece);
  const record = await rewrite({ prompt: entry.prompt, model: entry.model, signal: control.signal, onPiece });
  if (running === control && !isBlind) rewriteView.showRecord(entry.prompt, record, settings.meanings());
  return record;
}

function tellRewrite({ rewrite: record }) {
  const time = seconds(record.seconds);
  say(`${record.changed ? "Rewritten" : "Left as it was"}${time ? ` in ${time}` : ""}.`);
}

async function answered(entry, control, isBlind) {
  const { changed } = entry.rewrite;
  if (isBlind && changed) return answeredBlind(entry, control);
  if (isBlind) rewriteView.showRecord(entry.prompt, entry.rewrite, settings.meanings());
  const sides = changed ? ["raw", "rewritten"] : ["raw"];
  const panes = answers.open(
    sides.map((side) => answers.TITLES[side]),
    { note: changed ? "" : ONE_ONLY },
  );
  say(changed ? "Asking for both answers…" : "Left as it was. Asking for the answer…");
  await askAll(entry, sides, control, {
    onText: (at, piece) => panes[at].add(piece),
    onEnd: (at, outcome) => panes[at].finish(outcome),
  });
  if (running === control) say(ending(entry, sides));
  return undefined;
}

/** Nothing is shown before both answers are there, so that neither speed nor length gives a hint. */
async function answeredBlind(entry, control) {
  const order = blind.shuffled();
  await askAll(entry, ["raw", "rewritten"], control);
  if (running !== control) return;
  const titles = ["Answer A", "Answer B"];
  const panes = answers.open(titles);
  const reveal = () => {
    panes.forEach((pane, at) => {
      pane.title = `${titles[at]}: ${order[at] === "raw" ? "to your prompt" : "to the rewrite"}`;
      pane.finish(entry.answers[order[at]]);
    });
    rewriteView.showRecord(entry.prompt, entry.rewrite, settings.meanings());
    history.keep(entry);
  };
  if (!blind.canVote(entry.answers)) {
    reveal();
    say(`${ending(entry, order)} No verdict: it takes two whole answers.`);
    return;
  }
  panes.forEach((pane, at) => pane.show(entry.answers[order[at]]));
  blind.ask(entry, order, reveal);
  const title = byId("answers-title");
  if (document.activeElement === title) title.scrollIntoView(); // Only then there is something to scroll to.
  say("Both answers are there. Which is better?");
}

/** Ask for the answers of `sides` at once, and put the outcomes into the entry. */
async function askAll(entry, sides, control, { onText, onEnd } = {}) {
  const texts = { raw: entry.prompt, rewritten: entry.rewrite.rewrite };
  await Promise.all(
    sides.map(async (side, at) => {
      const outcome = await answer({
        prompt: texts[side],
        model: entry.model,
        options: settings.options(),
        signal: control.signal,
        onText: onText && ((piece) => running === control && onText(at, piece)),
      });
      if (running !== control) return;
      entry.answers[side] = outcome;
      onEnd?.(at, outcome);
    }),
  );
}

function ending(entry, sides) {
  const states = sides.map((side) => entry.answers[side].state);
  if (states.includes("stopped")) return "Stopped.";
  const bad = states.filter((state) => state !== "whole").length;
  if (bad === 0) return sides.length === 1 ? "The answer is there." : "Both answers are there.";
  return bad === sides.length ? "No answer came whole." : "One of the answers did not come whole.";
}

/** Show what the history holds of an earlier prompt. */
function restore(entry) {
  clear();
  prompt.value = entry.prompt;
  settings.setModel(entry.model);
  rewriteView.showRecord(entry.prompt, entry.rewrite, settings.meanings());
  const sides = ["raw", "rewritten"].filter((side) => entry.answers[side]);
  if (sides.length > 0) {
    const panes = answers.open(sides.map((side) => answers.TITLES[side]));
    sides.forEach((side, at) => panes[at].finish(entry.answers[side]));
  }
  if (entry.winner) blind.offerRetry(entry);
  history.mark(entry.id);
  say(`From ${new Date(entry.at).toLocaleString()}.`);
  byId("rewrite-title").focus();
}
