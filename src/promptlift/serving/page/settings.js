// The fields beside the prompt: target, blind mode, options, keys; and what the server says about them.

import * as blind from "/page/blind.js";
import { info as askInfo, models } from "/page/server.js";
import { keepKey, keepSettings, keyFault, keyOf, settings } from "/page/storage.js";
import { byId, make, put } from "/page/ui.js";

const MOST_MODELS = 1000;
const AGAIN = 3000; // Milliseconds between two questions whether the prompter is there.
const STATES = { starting: "Prompter: starting…", ready: "Prompter: ready", down: "Prompter: down" };
const [model, maxTokens, temperature] = ["model", "max-tokens", "temperature"].map(byId);
const [blindSwitch, singleKeys] = ["blind", "single-keys"].map(byId);

let known = {}; // GET /promptlift/info
let timer = 0;
let modeChanged = () => {};

/** What each check of the guard stops a rewrite for, by name. */
export const meanings = () => known.checks ?? {};

export const modelName = () => model.value.trim();
export const setModel = (name) => {
  model.value = name;
};
export const isBlind = () => blindSwitch.checked && !blindSwitch.disabled;
export const hasSingleKeys = () => singleKeys.checked;

/** What is set of `max_tokens` and `temperature`. */
export function options() {
  const found = {};
  if (maxTokens.value !== "") found.max_tokens = maxTokens.valueAsNumber;
  if (temperature.value !== "") found.temperature = temperature.valueAsNumber;
  return found;
}

/** Fill the fields with what was kept, keep what is changed, ask the server; `onMode()` follows each change of mode. */
export function start(onMode) {
  modeChanged = onMode;
  const kept = settings();
  for (const [name, field] of Object.entries({ model, maxTokens, temperature })) {
    field.value = kept[name] ?? "";
    field.addEventListener("change", () => keepSettings({ [name]: field.value }));
  }
  blindSwitch.checked = kept.blind === true;
  blindSwitch.addEventListener("change", () => {
    keepSettings({ blind: blindSwitch.checked });
    modeChanged();
  });
  singleKeys.checked = kept.singleKeys !== false;
  singleKeys.addEventListener("change", () => keepSettings({ singleKeys: singleKeys.checked }));
  startKey("key", "promptlift’s key", refresh);
  startKey("llm-key", "The LLM’s key", refresh);
  // A field with a fault in closed settings could not be shown.
  const unfold = (event) => event.target.closest("details")?.setAttribute("open", "");
  byId("composer").addEventListener("invalid", unfold, true);
  void refresh();
}

function startKey(name, label, changed) {
  const field = byId(name);
  field.value = keyOf(name);
  const check = () => field.setCustomValidity(keyFault(field.value.trim(), label));
  check();
  field.addEventListener("input", () => {
    check();
    keepKey(name, field.value.trim());
  });
  field.addEventListener("change", changed);
}

/** Without its key the server would refuse to list models, and the browser would tell of an error. */
async function refresh() {
  await learn();
  if (!known.needs_key || keyOf("key")) await listModels();
}

async function learn() {
  clearTimeout(timer);
  const state = byId("state");
  let refused = false;
  try {
    known = (await askInfo()) ?? {};
    const name = known.state === "ready" && known.prompter ? ` (${known.prompter})` : "";
    write(state, `${STATES[known.state] ?? "Prompter: unknown"}${name}`);
    state.dataset.state = STATES[known.state] ? known.state : "down";
  } catch (error) {
    refused = error.status === 401;
    known = refused ? { needs_key: true } : {};
    write(state, refused ? "The server asks for its key" : error.message);
    state.dataset.state = "down";
  }
  showNeeds();
  // Without its key there is nothing to wait for: typing one asks again.
  if (known.state !== "ready" && !refused) timer = setTimeout(learn, AGAIN);
}

/** Only a change is written, as a screen reader says whatever is written there. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showNeeds() {
  const key = byId("key");
  key.required = Boolean(known.needs_key);
  put(
    byId("key-hint"),
    known.needs_key ? "This server asks for it." : "Leave it blank unless the server asks for one.",
  );
  if (known.needs_key && !key.value) byId("settings").open = true;

  const told = known.votes !== undefined;
  const taken = told && known.votes !== false && known.votes !== null;
  blindSwitch.disabled = !taken;
  blind.setTotal(known.votes);
  blind.setCommand(known.command);
  const off = told ? "Off: this server keeps no verdicts." : "Off until the server says that it keeps verdicts.";
  put(byId("blind-hint"), taken ? `You choose before you see which is which. ${blind.countInWords()}`.trim() : off);
  modeChanged();
}

async function listModels() {
  const hint = byId("model-hint");
  try {
    const names = (await models()).slice(0, MOST_MODELS);
    byId("models").replaceChildren(...names.map((value) => make("option", { value })));
    if (names.length === 1 && !model.value) [model.value] = names;
    put(hint, "");
  } catch (error) {
    put(hint, `The upstream’s models can’t be listed, so type a name. ${error.message}`);
  }
}
