"""Checks of a rewrite's outer form: its length, and whether it is a whole, sound text."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from promptlift.guard.view import View, sentences, snippet, words
from promptlift.guard.vocabulary import STOP

_LIGHT_WORDS, _GUIDE_WORDS = (4, 60), (4, 90)
_SHRINK, _SHRINK_FROM, _GROW = 0.6, 8, 150
_RUN = re.compile(r"([^\s\d.\-=_*#~])\1{5,}|([.\-=_*#~])\2{11,}")
_STUTTER = re.compile(r"\b(\w{1,40})(?:[\s,.]{1,3}\1\b){2,}", re.IGNORECASE)
_SPACELESS = re.compile("[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
# What tokenizers and wrong encodings leave behind.
_DEBRIS = re.compile(
    r"[\u0120\u2581](?=\w)|\u010a|(?<=\w)[\u0120\u2581]|<0x[0-9A-F]{2}>|\u00e2\u20ac.|"
    r"\u00c3[\u0080-\u00bf\u00a9\u00a8]|\\u[0-9a-f]{4}|(?<=\w)##\w"
)
# Typing no one who writes well does: "the the", "and .", ",,", "..", "by which."
_SLIPS = re.compile(
    r"\b(?P<twice>the|an?|and|or|of|to|for|with|from|by|as|your|their|then|about|into|which|each|it|be|at|"
    r"how)\s(?P=twice)\b"
    r"|\b(?:the|an?|your|my) ?[,;!?](?=\s|$)|\b(?:the|an|and|or|your|my|because|than|into) ?\.(?=\s|$)|,\s?,|"
    r"(?<![.…])\.\.(?!\.)(?=\s|$)|\s[.,](?=\s|$)"
    r"|\b(?:by|of|with|for|in|to|from|at) (?:which|whom|whose|that|the)[.!?]*$|\b(?:examples?|sort|kind|part|form|"
    r"use) of[.!?]*$|;\s?[,;]|,\s?[.;](?=\s|$)"
)
_BROKEN = re.compile("[\ufffd\ufffe\uffff\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]")
_DANGLING = frozenset(
    """and or but nor the a an of to with for in on at by from as that which who because including such like into than
    if when while your my our their its is are was be then e.g i.e about between also where how what""".split()
)  # fmt: skip
_MARKERS = re.compile(r"(?m)(?<![\w(])(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})\)|[:;]-?[()]|\d\"|(?<=\s)'(?=\d0s)")
_PAIRS = (("(", ")"), ("[", "]"), ("{", "}"), ("“", "”"), ("«", "»"))
_END = re.compile(r"[.!?…。！？:\"'”’»)\]}>*`]$|[^\w\s,;(\[{–-]$")


def length(view: View) -> str | None:
    """An addition has 4 to 60 words, a guide up to 90; a full rewrite neither shrinks nor swells much."""
    count = _count(view.added)
    if view.appends:
        low, high = _GUIDE_WORDS if view.strength == "guide" else _LIGHT_WORDS
        if view.keeps_prompt and not low <= count <= high:
            return f"adds {count} words, {low} to {high} are allowed"
        return None
    before = _count(view.prompt)
    if before >= _SHRINK_FROM and count < _SHRINK * before:
        return f"shrinks from {before} words to {count}, below {_SHRINK}"
    if count < min(3, before):
        return f"has only {count} words"
    if count - before > _GROW:
        return f"adds {count - before} words, at most {_GROW} are allowed"
    return None


def _count(text: str) -> int:
    """Words; in scripts that put no spaces between them, two characters are about a word."""
    return len(text.split()) + len(_SPACELESS.findall(text)) // 2


def degenerate(view: View) -> str | None:
    """It loops, is cut off, or is not sound text."""
    if not view.finished:
        return "was cut at the token limit"
    text = view.added
    if not text:
        return "is empty"
    return _unsound(view, text) or _loops(view, text) or _cut_off(view, text) or _unbalanced(view, text)


def _unsound(view: View, text: str) -> str | None:
    broken = _BROKEN.search(text)
    if broken and broken[0] not in view.prompt:
        return f"holds a broken character, U+{ord(broken[0]):04X}"
    debris = _DEBRIS.search(text)
    if debris and debris[0] not in view.prompt:
        return f"holds debris of a tokenizer or encoding: {debris[0]!r}"
    for slip in itertools.islice(_SLIPS.finditer(text), 100):
        if slip[0].strip() not in view.prompt and not view.prompt.rstrip().endswith(text[-12:]):
            return f"is not sound text: {text[max(0, slip.start() - 15) : slip.end() + 5]!r}"
    dense = [char for char in text if not char.isspace()]
    letters = sum(char.isalpha() or ord(char) > 0x300 for char in dense)
    if letters < 0.5 * len(dense):
        before = [char for char in view.prompt if not char.isspace()]
        if sum(char.isalpha() for char in before) >= 0.6 * len(before):
            return "is mostly not letters"
    return None


def _loops(view: View, text: str) -> str | None:
    run = _RUN.search(text)
    if run and run[0][:6] not in view.prompt:
        return f"repeats the character {run[0][0]!r}"
    stutter = _STUTTER.search(text)
    if stutter and stutter[0].lower() not in view.prompt.lower():
        return f"repeats the word {stutter[1][:20]!r}"
    said = Counter(" ".join(words(part)) for part in sentences(text))
    before = Counter(" ".join(words(part)) for part in sentences(view.prompt))
    for part, count in said.items():
        if count > max(1, before[part]) and part.count(" ") >= 3:
            return f"repeats a sentence: {snippet(part)}"
    found, known = words(text), words(view.prompt)
    if view.appends and (echo := _echo(found, set(known))):
        return f"says {echo!r} again and again"
    for size, limit in ((2, 4 if view.appends else 7), (3, 4), (4, 3), (7, 2)):
        grams = Counter(zip(*(found[start:] for start in range(size)), strict=False))
        old = Counter(zip(*(known[start:] for start in range(size)), strict=False))
        for gram, count in grams.items():
            if count >= limit and count > old[gram] + 1 and len(set(gram)) > 1 and not _DANGLING.issuperset(gram):
                return f"repeats {snippet(' '.join(gram))!r} {count} times"
    return None


def _echo(found: list[str], known: set[str]) -> str | None:
    """A content word of its own that comes back within four words, or stands there four times."""
    seen: dict[str, list[int]] = {}
    for at, word in enumerate(found):
        if word not in STOP and word not in known and len(word) > 3 and word != "step":
            seen.setdefault(word, []).append(at)
    for word, places in seen.items():
        pairs = [b - a for a, b in itertools.pairwise(places)]
        # two apart is an idiom: "step by step", "word for word"
        if len(places) > 3 or any(gap in (1, 3, 4) for gap in pairs):
            return word
    return None


def _cut_off(view: View, text: str) -> str | None:
    if view.prompt.rstrip().endswith(text[-12:]):
        return None  # it ends as the prompt does
    last = words(text[-80:])[-1:]
    if text[-1] in ",;(–-[{" or (text[-1].isalpha() and last and last[0] in _DANGLING):
        return f"ends in mid-phrase: …{text[-30:]!r}"
    if view.appends and not _END.search(text[-3:]):
        return f"ends without a full stop: …{text[-30:]!r}"
    return None


def _unbalanced(view: View, text: str) -> str | None:
    bare, before = _MARKERS.sub("", text), _MARKERS.sub("", view.prompt)
    for left, right in _PAIRS:
        # an item "a)" or a smiley may or may not have a partner: one reading must balance
        uneven = all(part.count(left) != part.count(right) for part in (text, bare))
        if uneven and before.count(left) == before.count(right):
            return f"has {text.count(left)} {left} and {text.count(right)} {right}"
    for mark in '"`':
        if bare.count(mark) % 2 and not before.count(mark) % 2:
            return f"has an odd number of {mark}"
    return None
