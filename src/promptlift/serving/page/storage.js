// What the browser keeps: settings for good, keys for this tab only. Storage may be off or full.

const SETTINGS = "promptlift.settings";

/** One of the browser's storages; in memory where it is switched off. */
class Store {
  #memory = new Map();
  #area = null;

  constructor(name) {
    try {
      const area = window[name]; // Reading it raises where site data is blocked.
      area.setItem("promptlift.probe", "");
      area.removeItem("promptlift.probe");
      this.#area = area;
    } catch (error) {
      // Full is not off: what is there can be read, and room can be made.
      if (error?.name === "QuotaExceededError") this.#area = window[name];
    }
  }

  /** False where nothing outlives the page. */
  get lasts() {
    return this.#area !== null;
  }

  read(key) {
    if (!this.#area) return this.#memory.get(key) ?? null;
    try {
      return this.#area.getItem(key);
    } catch {
      return null;
    }
  }

  /** True if it is kept; false if there is no room for it. */
  write(key, text) {
    if (!this.#area) {
      this.#memory.set(key, text);
      return true;
    }
    try {
      this.#area.setItem(key, text);
      return true;
    } catch {
      return false;
    }
  }

  remove(key) {
    this.#memory.delete(key);
    try {
      this.#area?.removeItem(key);
    } catch {
      // Switched off meanwhile: nothing is kept then.
    }
  }
}

export const local = new Store("localStorage");
const tab = new Store("sessionStorage");

/** JSON of `local`, or `fallback` if there is none or it is broken. */
export function readJson(key, fallback) {
  try {
    return JSON.parse(local.read(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** The settings: `{model, maxTokens, temperature, blind, singleKeys}`, each of them optional. */
export function settings() {
  const found = readJson(SETTINGS, {});
  return typeof found === "object" && !Array.isArray(found) ? found : {};
}

export const keepSettings = (changed) => local.write(SETTINGS, JSON.stringify({ ...settings(), ...changed }));

/** Keep the key of field `name` ("key" or "llm-key") until the tab is closed; an empty one is forgotten. */
export function keepKey(name, key) {
  if (key) tab.write(`promptlift.${name}`, key);
  else tab.remove(`promptlift.${name}`);
}

export const keyOf = (name) => tab.read(`promptlift.${name}`) ?? "";

/** The key if a header can carry it, and what is wrong with the typed one otherwise. */
export const keyFault = (key, label) =>
  /^[\x21-\x7e]*$/.test(key) ? "" : `${label} holds a space or a character that no key has.`;

export function keyHeader(name, label) {
  const key = keyOf(name);
  return keyFault(key, label) ? "" : key;
}
