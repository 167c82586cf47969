"""Accuracy on multiple choice questions, such as MMLU's, asked raw and rewritten: closed-ended prompts.

A rewrite can hardly help here, and must not hurt: the paper finds no gain. The letter is the likeliest of the
letters as the first thing that the target says; a target that tells no probabilities is read strictly, and an answer
that can't be read counts as wrong, and as unread.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.errors import InputError
from promptlift.evaluation.tasks.intervals import mcnemar_p
from promptlift.evaluation.tasks.paired import Item, Reply, Row, Scores, Side, Task, need
from promptlift.evaluation.tasks.reading import identity, read_items, sample, text_field

LAST_LINE = "Answer with the letter."
_SAID = re.compile(
    r"(?:[\s*_]*(?:the\s+)?(?:correct\s+|right\s+|best\s+)?(?:answer|option|choice)\s*(?:is)?[\s*_]*:?)?"
    r"[\s*_(\[\"']*(?P<letter>[A-Z])[*_\"']*(?:[.):\]](?:[\s*_\"'.)].*)?|\s+[-–]\s.*|\s*\n.*)?",
    re.DOTALL | re.IGNORECASE,
)
"""A letter alone, or one set apart from what comes after it; `A dog` and `A and B` are neither."""


@dataclass(frozen=True)
class Question(Item):
    """A question with lettered choices, and the letter of the right one."""

    letters: tuple[str, ...] = ()
    right: str = ""


def task(path: str | Path, n: int | None = None, seed: int = 0) -> Task[Question]:
    """The questions of a file: JSONL of {"id"?, "question", "choices": [..], "answer": index from 0, or letter}.

    Args:
        path: the file.
        n: how many questions, drawn by the seed; None: all.
        seed: of the draw; a greater n adds questions to those of a smaller.

    Raises:
        InputError: the file can't be read, or is empty; RecordError: a bad line.
        MissingExtraError: scipy is not installed.
    """
    need("scipy")
    return Task(
        "multiple-choice", sample(read_items(path, _question), n, seed), score,
        choices=lambda item: item.letters, details=_details, extra=_extra,
    )  # fmt: skip


def prompt_of(question: str, choices: Sequence[str]) -> str:
    """The raw prompt: question, lettered choices, and the line that asks for the letter."""
    lines = [f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, choices, strict=False)]
    return "\n".join([question, *lines, LAST_LINE])


def taken(reply: Reply, letters: Sequence[str]) -> str | None:
    """The letter that the target takes: the likeliest; where it tells no probabilities, the one it says, if clear."""
    told = reply.choice.probabilities if reply.choice else None
    if told and max(told.values()) > 0:
        return max(letters, key=lambda letter: told.get(letter, 0.0))
    return said(reply.text, letters)


def said(text: str, letters: Sequence[str]) -> str | None:
    """The letter that a text is, such as `B`, `(b)`, `B. Paris` or `The answer is B.`; None for anything else."""
    found = _SAID.fullmatch(text.strip())
    letter = found["letter"].upper() if found else None
    return letter if letter is not None and letter in letters else None


def score(item: Question, reply: Reply) -> Scores:
    """1 for the right letter, 0 for another or none."""
    return {"accuracy": float(taken(reply, item.letters) == item.right)}


def _question(row: dict[str, Any], number: int) -> Question:
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list) or not 2 <= len(choices) <= 26 or not all(isinstance(c, str) for c in choices):
        raise InputError(f"field 'choices' must be a list of 2 to 26 strings, found {choices!r:.60}")
    letters = tuple(string.ascii_uppercase[: len(choices)])
    if isinstance(answer, str) and answer.strip().upper() in letters:
        right = answer.strip().upper()
    elif isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        right = letters[answer]
    else:
        raise InputError(
            f"field 'answer' must be from 0 to {len(choices) - 1}, or A to {letters[-1]}, found {answer!r:.60}"
        )
    return Question(identity(row, number), prompt_of(text_field(row, "question"), choices), letters, right)


def _details(sides: Sequence[tuple[Question, Side]]) -> dict[str, Any]:
    """How the letters were had: `coverage` is the mean probability on the letters, None where none is told."""
    told = [side.reply.choice for _, side in sides if side.reply.choice and side.reply.choice.probabilities]
    return {
        "read_as_text": len(sides) - sum(choice.coverage > 0 for choice in told),
        "unread": sum(taken(side.reply, item.letters) is None for item, side in sides),
        "coverage": sum(choice.coverage for choice in told) / len(told) if told else None,
    }


def _extra(rows: Sequence[Row[Question]]) -> dict[str, Any]:
    """McNemar's test on the items that are right one way alone."""
    pairs = [(both[0]["accuracy"], both[1]["accuracy"]) for row in rows if (both := row.scored)]
    raw, rewritten = sum(a > b for a, b in pairs), sum(b > a for a, b in pairs)
    return {"mcnemar": {"only_raw": raw, "only_rewritten": rewritten, "p": mcnemar_p(raw, rewritten)}}
