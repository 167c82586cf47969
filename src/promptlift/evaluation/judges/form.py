"""What can be counted in an answer: length, loops, lists, echoes of the prompt, refusals.

A small model's states say little of these that a linear head could find, and people's verdicts depend on them.
"""

from __future__ import annotations

import math
import re
import zlib

NAMES = (
    "words", "words squared", "characters", "variety", "repeated", "information", "list items", "paragraphs", "code",
    "ends", "empty", "prompt covered", "prompt copied", "echo", "part of prompt", "refusal", "short", "length gap",
    "stray marks", "other script",
)  # fmt: skip
"""Of the features, in their order."""

_WORD = re.compile(r"[a-z0-9']+")
_ITEM = re.compile(r"(?m)^\s*(?:[-*•]|\d+[.)])")
_REFUSAL = re.compile(r"\b(?:sorry|as an ai|i cannot|i can't|unable to)\b")
_STRAY = re.compile(r"noinput|###|instruction:|<[a-z/]+>")
_OTHER = re.compile(r"[^\x00-\x7f]")


def form_features(prompt: str, answer: str) -> list[float]:
    """The features of an answer, (len(NAMES),); none depends on the other answer."""
    low, text = answer.lower(), answer.strip()
    words, asked = _WORD.findall(low), _WORD.findall(prompt.lower())
    n, threes = len(words), list(zip(words, words[1:], words[2:], strict=False))
    wanted = set(zip(asked, asked[1:], asked[2:], strict=False))
    data = answer.encode("utf-8", "surrogatepass")
    length = math.log1p(n)
    return [
        length,
        length**2,
        math.log1p(len(answer)),
        len(set(words)) / max(1, n) ** 0.8,
        1 - len(set(threes)) / max(1, len(threes)),
        length * len(zlib.compress(data)) / max(1, len(data)),
        len(_ITEM.findall(answer)) ** 0.5,
        answer.count("\n\n") ** 0.5,
        float("```" in answer),
        float(bool(text) and text[-1] in ".!?\"')`"),
        float(n == 0),
        len(set(words) & set(asked)) / max(1, len(set(asked))),
        sum(three in wanted for three in threes) / max(1, len(threes)),
        float(text.lower() == prompt.strip().lower()),
        float(text in prompt),
        float(bool(_REFUSAL.search(low))),
        float(n <= 3),
        abs(length - math.log1p(len(asked))),
        float(bool(_STRAY.search(low))),
        len(_OTHER.findall(answer)) / max(1, len(answer)),
    ]
