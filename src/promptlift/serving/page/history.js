// Past prompts with what came of them, in this browser only.

import { local, readJson } from "/page/storage.js";
import { byId, make, oneLine, put, speak } from "/page/ui.js";

const KEY = "promptlift.history";
const MOST = 50;
const STATES = new Set(["whole", "cut", "stopped", "failed"]);
const LASTING = "Kept in this browser only, the last 50.";
const PASSING = "This browser keeps nothing for this page: the history is gone when you leave it.";
const FULL = "The browser’s storage is full: older prompts were dropped.";
const REFUSED = "The browser’s storage is full: the last prompt is gone when you leave the page.";

let entries = [];
let restore = () => {};
let current = null;

/** Show the list; `onRestore(entry)` is called when one is chosen. */
export function start(onRestore) {
  restore = onRestore;
  entries = stored();
  put(byId("history-note"), local.lasts ? LASTING : PASSING);
  draw();
  window.addEventListener("storage", (event) => {
    if (event.key !== KEY && event.key !== null) return; // Null: another tab cleared all.
    entries = stored();
    draw();
  });
  const dialog = byId("clear");
  byId("history-clear").addEventListener("click", () => {
    const { length } = entries;
    byId("clear-count").textContent = length === 1 ? "One prompt is in it." : `${length} prompts are in it.`;
    dialog.showModal();
  });
  byId("clear-no").addEventListener("click", () => dialog.close());
  byId("clear-yes").addEventListener("click", () => {
    dialog.close();
    entries = [];
    local.remove(KEY);
    put(byId("history-note"), local.lasts ? LASTING : PASSING);
    draw();
    byId("history-title").focus();
    speak("History deleted");
  });
}

/** Put `entry` on top, or in the place of the one with its id. */
export function keep(entry) {
  const at = entries.findIndex(({ id }) => id === entry.id);
  if (at >= 0) entries[at] = entry;
  else entries = [entry, ...entries].slice(0, MOST);
  write();
  mark(entry.id);
}

/** Write down a change of `entry`, unless it was deleted meanwhile. */
export function update(entry) {
  const at = entries.findIndex(({ id }) => id === entry.id);
  if (at < 0) return;
  entries[at] = entry;
  write();
}

/** Mark which entry the page shows, or none. */
export function mark(id) {
  current = id;
  draw();
}

/** Room is made by dropping the oldest, but never all of them for one that is too large itself. */
function write() {
  const fitting = [...entries];
  while (!local.write(KEY, JSON.stringify(fitting))) {
    fitting.pop();
    if (fitting.length > 0) continue;
    put(byId("history-note"), REFUSED);
    return;
  }
  if (fitting.length < entries.length) put(byId("history-note"), FULL);
  entries = fitting;
}

function remove(entry) {
  const at = entries.findIndex(({ id }) => id === entry.id);
  entries = entries.filter(({ id }) => id !== entry.id);
  write();
  draw();
  const next = byId("history").children[Math.min(at, entries.length - 1)];
  (next?.querySelector("button") ?? byId("history-title")).focus(); // The button that had the focus is gone.
  speak("Deleted");
}

function draw() {
  const focused = document.activeElement?.closest("#history button")?.dataset.of;
  byId("history-clear").hidden = entries.length === 0;
  byId("history").replaceChildren(
    ...(entries.length > 0 ? entries.map(item) : [make("li", { className: "hint" }, "Nothing yet.")]),
  );
  // Another tab, or a verdict that was saved, redraws the list under the hands of who walks through it.
  if (focused) byId("history").querySelector(`[data-of="${CSS.escape(focused)}"]`)?.focus();
}

function item(entry) {
  const title = oneLine(entry.prompt, 120);
  const when = new Date(entry.at);
  const time = make(
    "time",
    { dateTime: when.toISOString() },
    when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }),
  );
  const text = make("span", { className: "entry-prompt", dir: "auto" }, title);
  const open = make("button", { type: "button", className: "entry" }, text, time);
  if (entry.id === current) open.setAttribute("aria-current", "true");
  open.addEventListener("click", () => restore(entry));
  open.dataset.of = `open ${entry.id}`;
  const gone = make("button", { type: "button", className: "quiet remove" }, "✕");
  gone.dataset.of = `delete ${entry.id}`;
  gone.setAttribute("aria-label", `Delete ${oneLine(entry.prompt, 60)}`);
  gone.addEventListener("click", () => remove(entry));
  return make("li", {}, open, gone);
}

/** What the storage holds, without whatever is not an entry: people and older versions write there, too. */
function stored() {
  const rows = readJson(KEY, []);
  return (Array.isArray(rows) ? rows : []).filter(isEntry).slice(0, MOST);
}

function isEntry(row) {
  const texts = [row?.id, row?.prompt, row?.model, row?.rewrite?.rewrite];
  if (texts.some((text) => typeof text !== "string") || !Number.isFinite(new Date(row.at).getTime())) return false;
  return ["raw", "rewritten"].every((side) => {
    const outcome = row.answers?.[side];
    return outcome == null || (typeof outcome.text === "string" && STATES.has(outcome.state));
  });
}
