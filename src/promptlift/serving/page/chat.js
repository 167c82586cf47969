// One answer of the LLM, streamed through promptlift's proxy with rewriting off.

import { Problem, ask, eventOf, isAbort, isJson, jsonOf, messageIn } from "/page/server.js";
import { messages } from "/page/sse.js";

const CUT = "Cut short: the connection ended before the answer did.";
const ENDS = {
  length: "It ended at the limit of tokens.",
  content_filter: "The upstream’s content filter ended it.",
};

/**
 * Ask for the answer to `prompt`. Never raises; the outcome is
 * `{text, state: "whole" | "cut" | "stopped" | "failed", note, model, seconds}`.
 *
 * `onText` gets each piece of text as it comes.
 */
export async function answer({ prompt, model, options, signal, onText }) {
  const outcome = { text: "", state: "whole", note: "", model: "", seconds: 0 };
  const started = performance.now();
  const add = (piece) => {
    outcome.text += piece;
    onText?.(piece);
  };
  try {
    const body = { ...(model && { model }), messages: [{ role: "user", content: prompt }], stream: true, ...options };
    const headers = { "X-Promptlift-Turns": "never" };
    const response = await ask("/v1/chat/completions", { body, headers, llm: true, signal });
    const end = isJson(response) ? await readWhole(response, outcome, add) : await readStream(response, outcome, add);
    judge(outcome, end);
  } catch (error) {
    if (isAbort(error)) Object.assign(outcome, { state: "stopped", note: "Stopped." });
    else if (error instanceof Problem) Object.assign(outcome, { state: "failed", note: error.message });
    else Object.assign(outcome, { state: "cut", note: CUT }); // The connection broke while it was read.
  }
  outcome.seconds = (performance.now() - started) / 1000;
  return outcome;
}

/** Where the upstream streamed: the reason why it ended, or null if it ended without one. */
async function readStream(response, outcome, add) {
  let end = null;
  for await (const data of messages(response.body)) {
    // Some upstreams give no reason but close properly, others give a reason and leave out [DONE].
    if (data === "[DONE]") return end ?? "stop";
    const chunk = eventOf(data);
    if (typeof chunk?.model === "string") outcome.model ||= chunk.model;
    const choice = firstChoice(chunk);
    if (!choice) continue; // Usage comes with an empty list of choices.
    const piece = textOf(choice.delta ?? choice.message);
    if (piece) add(piece);
    end = choice.finish_reason ?? end;
  }
  return end;
}

/** Where the upstream sent one JSON although a stream was asked for. */
async function readWhole(response, outcome, add) {
  const body = await jsonOf(response);
  if (body?.error) throw new Problem(messageIn(body));
  if (typeof body?.model === "string") outcome.model = body.model;
  const choice = firstChoice(body);
  if (!choice) throw new Problem("The upstream sent a reply without an answer.");
  add(textOf(choice.message ?? choice.delta));
  return choice.finish_reason ?? "stop";
}

function judge(outcome, end) {
  if (end === null) Object.assign(outcome, { state: "cut", note: CUT });
  else outcome.note = ENDS[end] ?? "";
  if (outcome.state === "whole" && !outcome.text.trim()) {
    Object.assign(outcome, { state: "failed", note: `The model sent no text. ${outcome.note}`.trim() });
  }
}

const firstChoice = (chunk) =>
  Array.isArray(chunk?.choices) ? chunk.choices.find((choice) => (choice?.index ?? 0) === 0) : undefined;

/** Content is a string, null, or a list of parts; a refusal is an answer, too. */
function textOf(message) {
  const { content, refusal } = message ?? {};
  if (typeof content === "string" && content) return content;
  if (Array.isArray(content)) {
    return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
  }
  return typeof refusal === "string" ? refusal : "";
}
