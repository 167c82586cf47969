// A word diff: which words of one text are gone in another, and which are new.

const MOST_CELLS = 4_000_000; // Of the table below, 8 MB: prompts of some 2,000 words each.

/**
 * The way from `before` to `after`: `[{kind: "same" | "del" | "ins", text}, …]`.
 *
 * "same" and "del" in order are `before`, "same" and "ins" are `after`, to the character.
 */
export function diff(before, after) {
  const [old, fresh] = [tokens(before), tokens(after)];
  let head = 0;
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head += 1;
  let tail = 0;
  const most = Math.min(old.length, fresh.length) - head;
  while (tail < most && old[old.length - 1 - tail] === fresh[fresh.length - 1 - tail]) tail += 1;

  const parts = [];
  for (const token of old.slice(0, head)) parts.push({ kind: "same", text: token });
  parts.push(...middle(old.slice(head, old.length - tail), fresh.slice(head, fresh.length - tail)));
  for (const token of old.slice(old.length - tail)) parts.push({ kind: "same", text: token });
  return tidy(parts);
}

/** How many words are marked as `kind`. */
export function wordsOf(parts, kind) {
  const marked = parts.filter((part) => part.kind === kind).map((part) => part.text);
  return marked.flatMap((text) => text.match(/[\p{L}\p{N}][\p{L}\p{M}\p{N}'’_-]*/gu) ?? []).length;
}

/** Words, runs of white space, and single other characters: joined they are the text again. */
const tokens = (text) => text.match(/[\p{L}\p{M}\p{N}_]+|\s+|[^]/gu) ?? [];

/** By the longest common subsequence; all is replaced where the table for that would be too large. */
function middle(old, fresh) {
  const width = fresh.length + 1;
  if ((old.length + 1) * width > MOST_CELLS) {
    return [...old.map((text) => ({ kind: "del", text })), ...fresh.map((text) => ({ kind: "ins", text }))];
  }
  const common = new Uint16Array((old.length + 1) * width); // [i, j]: of old from i on, and fresh from j on.
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      common[i * width + j] =
        old[i] === fresh[j]
          ? common[(i + 1) * width + j + 1] + 1
          : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const parts = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      parts.push({ kind: "same", text: old[i] });
      i += 1;
      j += 1;
    } else if (j === fresh.length || (i < old.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      parts.push({ kind: "del", text: old[i] });
      i += 1;
    } else {
      parts.push({ kind: "ins", text: fresh[j] });
      j += 1;
    }
  }
  return parts;
}

/** Neighbours of one kind joined; between two changes, deletions first, and a lone space does not part them. */
function tidy(parts) {
  const joined = [];
  let [gone, added] = ["", ""];
  const flush = () => {
    if (gone) joined.push({ kind: "del", text: gone });
    if (added) joined.push({ kind: "ins", text: added });
    [gone, added] = ["", ""];
  };
  parts.forEach(({ kind, text }, at) => {
    if (kind === "del") gone += text;
    else if (kind === "ins") added += text;
    else if (gone && added && !text.trim() && (parts[at + 1]?.kind ?? "same") !== "same") {
      gone += text;
      added += text;
    } else {
      flush();
      const last = joined[joined.length - 1];
      if (last?.kind === "same") last.text += text;
      else joined.push({ kind, text });
    }
  });
  flush();
  return joined;
}
