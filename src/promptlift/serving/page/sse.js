// Server-Sent Events out of a response's bytes, however they are cut.

/** Lines in, events out, after the HTML standard: LF, CRLF or CR, comments, several `data` lines an event. */
export class EventParser {
  #rest = "";
  #data = [];

  /** The data of each event that `text` completes. */
  push(text) {
    const found = [];
    this.#rest += text;
    let start = 0;
    for (;;) {
      const end = this.#lineEnd(start);
      if (end === null) break;
      this.#line(this.#rest.slice(start, end.at), found);
      start = end.next;
    }
    this.#rest = this.#rest.slice(start);
    return found;
  }

  /** What an event without its blank line held when the stream ended, or null. */
  end() {
    const found = [];
    this.#line(this.#rest.replace(/\r$/, ""), found);
    this.#line("", found);
    this.#rest = "";
    return found.length > 0 ? found[found.length - 1] : null;
  }

  #lineEnd(start) {
    for (let at = start; at < this.#rest.length; at += 1) {
      if (this.#rest[at] === "\n") return { at, next: at + 1 };
      if (this.#rest[at] !== "\r") continue;
      // A CR at the very end may be the first half of a CRLF whose LF is still on its way.
      if (at + 1 === this.#rest.length) return null;
      return { at, next: this.#rest[at + 1] === "\n" ? at + 2 : at + 1 };
    }
    return null;
  }

  #line(line, found) {
    if (line === "") {
      if (this.#data.length > 0) found.push(this.#data.join("\n"));
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    if (name !== "data") return; // A comment (empty name), or a field that no server of ours needs.
    const value = colon < 0 ? "" : line.slice(colon + 1);
    this.#data.push(value.startsWith(" ") ? value.slice(1) : value);
  }
}

/** The data of each event in `body`, a stream of bytes. Leaving the loop early cancels the stream. */
export async function* messages(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
    yield* parser.push(decoder.decode());
    // Some servers leave out the last blank line. A whole event is taken, half of one is not.
    const tail = parser.end();
    if (tail !== null && isWhole(tail)) yield tail;
  } finally {
    reader.cancel().catch(() => {}); // After an error there is nothing left to cancel.
  }
}

function isWhole(data) {
  if (data === "[DONE]") return true;
  try {
    JSON.parse(data);
    return true;
  } catch {
    return false;
  }
}
