"""Set aside what a prompt is *about*, so that only the instruction is rewritten.

    "summarize this:\\n\\n<500 words>"  →  shown:    "summarize this:\\n\\n<passage-1/>"
                                         passages: ("<500 words>",)

Set aside are fenced blocks, Markdown tables, what stands between triple quotes, blocks that
look like code, and long text that a shorter instruction before or after it points at. A
prompt that is all instruction stays whole, however long: when unsure, nothing is set aside.
All passages are whole lines, so that a tag stands on a line of its own (DESIGN.md, section 6).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from promptlift.pointers import looks_like_code, peel

_TAG = re.compile(r"<passage-([0-9]{1,6})/>")
_FENCE = re.compile(r"[ \t]{0,12}(`{3,}|~{3,})")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-{2,}[ \t:|-]*")
_TRIPLE = ('"""', "'''")
_LONG = 40
_CODE_LINES = 4


@dataclass(frozen=True)
class Split:
    """A prompt with its passages set aside.

    `shown` holds the n-th passage as `<passage-n/>` on a line of its own; `passages` are the
    exact texts; `has_tag` is True if the prompt held such a tag already, and then nothing is
    set aside.
    """

    shown: str
    passages: tuple[str, ...] = ()
    has_tag: bool = False


def split(prompt: str) -> Split:
    """Set aside the passages of a prompt; `join(s, s.shown)` is the prompt again."""
    if _TAG.search(prompt):
        return Split(prompt, has_tag=True)
    lines = prompt.split("\n")
    taken = _fixed(lines)
    for start, end in _gaps(taken, len(lines)):
        taken += _about(lines, start, end)
    taken.sort()
    if not any(_has_letter(lines, start, end) for start, end in _gaps(taken, len(lines))):
        return Split(prompt)  # no instruction is left to rewrite
    shown: list[str] = []
    passages: list[str] = []
    at = 0
    for start, end in taken:
        passage = "\n".join(lines[start:end])
        body = passage.removesuffix("\r")
        passages.append(body)
        shown += lines[at:start]
        shown.append(f"<passage-{len(passages)}/>" + passage[len(body) :])
        at = end
    return Split("\n".join(shown + lines[at:]), tuple(passages))


def join(split_result: Split, text: str) -> str:
    """Put the passages back in place of their tags, byte for byte.

    A tag without a passage stays as it is. A text that lost a tag lost the passage: the
    guard's `literal` check must see `text` before it is joined.
    """
    if split_result.has_tag:
        return text

    def passage(match: re.Match[str]) -> str:
        number = int(match[1])
        return split_result.passages[number - 1] if 1 <= number <= len(split_result.passages) else match[0]

    return _TAG.sub(passage, text)


def fences(text: str) -> list[tuple[int, int]]:
    """(start, end) of every closed fenced block, without its last line break."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return [(starts[first], starts[end] - 1) for first, end in _fenced(lines)]


def _fenced(lines: list[str]) -> list[tuple[int, int]]:
    """(first, end) of the lines of every closed fence; after one left open there are no more."""
    found: list[tuple[int, int]] = []
    opened, mark = -1, ""
    for number, line in enumerate(lines):
        match = _FENCE.match(line)
        if opened < 0:
            # a fence that closes on its own line is inline code
            if match and (match[1][0] == "~" or "`" not in line[match.end() :]):
                opened, mark = number, match[1]
        elif match and match[1].startswith(mark) and not line[match.end() :].strip():
            found.append((opened, number + 1))
            opened = -1
    return found


def _fixed(lines: list[str]) -> list[tuple[int, int]]:
    """Fences, then what stands between triple quotes, then tables: set aside at any length."""
    found = _fenced(lines)
    for finder in (_triple_quoted, _tables):
        for start, end in _gaps(sorted(found), len(lines)):
            found += finder(lines, start, end)
    return sorted(found)


def _gaps(taken: list[tuple[int, int]], total: int) -> list[tuple[int, int]]:
    """The ranges of lines between the (sorted) taken ones."""
    edges = [0, *(edge for pair in sorted(taken) for edge in pair), total]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def _triple_quoted(lines: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Blocks from a line that ends in triple quotes to one that starts or ends with them.

    The quotes are set aside with the text where they stand alone; else they stay shown.
    """
    found: list[tuple[int, int]] = []
    opened, mark = -1, ""
    for number in range(start, end):
        text = lines[number].strip()
        if opened < 0:
            for quote in _TRIPLE:
                if text.count(quote) == 1 and (text.startswith(quote) or text.endswith(quote)):
                    opened, mark = number, quote
        elif mark in text:
            inside = not lines[opened].strip().startswith(mark)
            first = opened + inside
            last = number if (inside and text == mark) or not text.endswith(mark) else number + 1
            if first < last:
                found.append((first, last))
            opened = -1
    return found


def _tables(lines: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Markdown tables: a head, a rule of dashes, and the rows below."""
    found: list[tuple[int, int]] = []
    number = start + 1
    while number < end:
        head, rule = lines[number - 1], lines[number].rstrip()
        if "|" in head and "|" in rule and _TABLE_RULE.fullmatch(rule):
            last = number + 1
            while last < end and "|" in lines[last]:
                last += 1
            found.append((number - 1, last))
            number = last
        number += 1
    return found


def _about(lines: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Blocks that look like code, and long text that an instruction beside it points at."""
    code = [run for run in _code_runs(lines, start, end) if run[1] - run[0] < end - start or start > 0]
    if code:
        return code
    blocks = list(_blocks(lines, start, end))
    kept = peel(["\n".join(lines[first:last]) for first, last in blocks], _LONG)
    return [] if kept is None else [(blocks[kept[0]][0], blocks[kept[1] - 1][1])]


def _blocks(lines: list[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Paragraphs; a first line that ends in a colon is one by itself."""
    first = -1
    for number in range(start, end):
        if not lines[number].strip():
            if first >= 0:
                yield first, number
            first = -1
        elif first < 0:
            if lines[number].rstrip().endswith(":"):
                yield number, number + 1
            else:
                first = number
    if first >= 0:
        yield first, end


def _code_runs(lines: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """Runs of at least four lines that look like code; blank lines may stand between them."""
    found: list[tuple[int, int]] = []
    first, last, count = -1, -1, 0
    for number in range(start, end + 1):
        line = lines[number] if number < end else "."
        if number < end and looks_like_code(line):
            first, last, count = (number if first < 0 else first), number + 1, count + 1
        elif number < end and first >= 0 and (not line.strip() or (line[:1] in " \t" and number - last < 2)):
            continue  # a blank or indented line within code
        else:
            if count >= _CODE_LINES:
                found.append((first, last))
            first, count = -1, 0
    return found


def _has_letter(lines: list[str], start: int, end: int) -> bool:
    """True if these lines hold a letter or digit."""
    return any(char.isalnum() for line in lines[start:end] for char in line)
