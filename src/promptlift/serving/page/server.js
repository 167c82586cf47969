// Requests to promptlift, and what went wrong with them in one line.

import { keyHeader } from "/page/storage.js";
import { messages } from "/page/sse.js";
import { oneLine } from "/page/ui.js";

/** Something that a person is told in one line. */
export class Problem extends Error {
  constructor(line, status = 0) {
    super(oneLine(line));
    this.status = status;
  }
}

export const isAbort = (error) => error?.name === "AbortError";

/** The message in an error object of OpenAI's form, or of one of the forms that other servers use. */
export function messageIn(value) {
  for (const found of [value?.error?.message, value?.error, value?.message, value?.detail]) {
    if (typeof found === "string" && found.trim()) return found;
  }
  return value?.error ? JSON.stringify(value.error) : "";
}

/** Ask, and give the response if its status is 2xx. `llm` says that the LLM's key goes with it. */
export async function ask(path, { body, headers = {}, llm = false, signal } = {}) {
  const how = { headers: { ...headers, ...credentials(llm) }, signal, credentials: "omit", cache: "no-store" };
  if (body !== undefined) {
    how.method = "POST";
    how.headers["Content-Type"] = "application/json";
    how.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, how);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem("The server can’t be reached. Does promptlift still run?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

function credentials(llm) {
  const headers = {};
  const own = keyHeader("key", "promptlift’s key");
  const upstream = llm ? keyHeader("llm-key", "The LLM’s key") : "";
  if (own) headers["X-Promptlift-Key"] = own;
  if (upstream) headers.Authorization = `Bearer ${upstream}`;
  return headers;
}

async function refusal(response) {
  let detail = "";
  try {
    const text = await response.text();
    try {
      detail = messageIn(JSON.parse(text));
    } catch {
      detail = text.trimStart().startsWith("<") ? "" : text; // A gateway's HTML page tells a person nothing.
    }
  } catch (error) {
    if (isAbort(error)) throw error; // Else the body is lost, and the status has to do.
  }
  const hint = response.status === 401 || response.status === 403 ? " (see the keys under Settings)" : "";
  return new Problem(`${response.status} ${oneLine(detail, 240) || response.statusText}${hint}`, response.status);
}

/** The JSON of a response. */
export async function jsonOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem("The server’s reply is cut short or no JSON.");
  }
}

export const isJson = (response) => /\bjson\b/i.test(response.headers.get("Content-Type") ?? "");

/** The event in `data` of a stream; raises the error that it carries. */
export function eventOf(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    throw new Problem("The server sent an event that is no JSON.");
  }
  if (event?.error) throw new Problem(messageIn(event));
  return event;
}

export const info = async () => jsonOf(await ask("/promptlift/info"));

/** Names of the upstream's models. */
export async function models() {
  const { data } = await jsonOf(await ask("/v1/models", { llm: true }));
  return (Array.isArray(data) ? data : []).map((row) => row?.id).filter((id) => typeof id === "string");
}

export const sendVote = async (vote) => jsonOf(await ask("/promptlift/votes", { body: vote }));

/** The record of one rewrite; `onPiece` gets the preview as it is written. */
export async function rewrite({ prompt, model, signal, onPiece }) {
  const body = { prompt, ...(model && { model }), stream: true };
  const response = await ask("/v1/rewrite", { body, signal });
  let record = null;
  if (isJson(response)) {
    record = (await jsonOf(response)).rewrites?.[0];
  } else {
    try {
      for await (const data of messages(response.body)) {
        if (data === "[DONE]") break;
        const event = eventOf(data);
        if (typeof event?.piece === "string") onPiece(event.piece);
        record = event?.rewrite ?? record;
      }
    } catch (error) {
      if (isAbort(error) || error instanceof Problem) throw error;
      // The connection broke: told below, unless the record was there already.
    }
  }
  if (typeof record?.rewrite !== "string") {
    throw new Problem("The rewrite was cut short: the connection ended before it was whole.");
  }
  return { ...record, changed: Boolean(record.changed) && record.rewrite !== prompt };
}
