"""Comparisons that people have judged: what a judge is measured against.

Files differ in what they call things; each row is read by the fields that it holds:

    prompt      prompt, instruction
    answers     answer_1, answer_2; answer_a, answer_b; output_1, output_2
    label       majority, label: 1 or a, 2 or b, 0 or tie
    optional    id, set, subset

That takes the test set of PandaLM (`majority` of three annotators), LLMBar and the sets in its format, and plain rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptlift.errors import InputError, RecordError
from promptlift.records import read_jsonl

Label = Literal[0, 1, 2]
"""The better answer; 0 is a tie."""

PROMPTS = ("prompt", "instruction")
ANSWERS = (("answer_1", "answer_2"), ("answer_a", "answer_b"), ("output_1", "output_2"))
LABELS = ("majority", "label")
TOLD = {"gpt35_result": "gpt-3.5-turbo"}
"""Fields that hold another judge's verdict on the same row, and the name of that judge."""

_WORDS: dict[str, Label] = {"1": 1, "2": 2, "0": 0, "a": 1, "b": 2, "tie": 0}
_ADVERSARIAL = ("Neighbor", "GPTInst", "GPTOut", "Manual")
"""LLMBar's parts whose worse answer was written to look better."""


@dataclass(frozen=True)
class Labelled:
    """Two answers to one prompt, and which of them people call better.

    Attributes:
        id: of the row in its set.
        prompt: what both answers reply to.
        answer_1: one answer.
        answer_2: the other.
        label: the better answer; 0 is a tie.
        set: the name of the set, the file's unless the row says another.
        subset: a part of the set, with slashes for parts of parts; empty where there are none.
        told: what other judges said on this row, by their names; None where nothing could be read.
    """

    id: str
    prompt: str
    answer_1: str
    answer_2: str
    label: Label
    set: str
    subset: str = ""
    told: dict[str, Label | None] = field(default_factory=dict)

    @classmethod
    def from_json(cls, row: dict[str, Any], id: str, set: str) -> Labelled:
        """Build a record from a JSON object; `id` and `set` stand in where the row has none.

        Raises:
            InputError: a field is missing or holds something else; the message names it.
        """
        prompt = row.get(_one_of(row, PROMPTS))
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError(f"field {_one_of(row, PROMPTS)!r} must be a non-empty string, found {prompt!r:.60}")
        first, second = next((names for names in ANSWERS if names[0] in row), ANSWERS[0])
        label = _label(row.get(name := _one_of(row, LABELS)))
        if label is None:
            raise InputError(f"field {name!r} must be 1, 2, a, b, 0 or tie, found {row.get(name)!r:.60}")
        subset = str(row.get("subset") or "")
        if subset in _ADVERSARIAL:
            subset = f"Adversarial/{subset}"
        told = {judge: _label(row[name]) for name, judge in TOLD.items() if name in row}
        return cls(
            str(row.get("id", id)), prompt, _answer(row, first), _answer(row, second), label,
            str(row.get("set") or set), subset, told,
        )  # fmt: skip

    @property
    def groups(self) -> list[str]:
        """The names that the row counts under: its set, and each part of it that holds the row."""
        names = [self.set]
        for part in self.subset.split("/") if self.subset else ():
            names.append(f"{names[-1]}/{part}")
        return names

    def swapped(self) -> Labelled:
        """The same row with its answers in the other order, and every word on them turned with them."""
        turned: dict[Label | None, Label | None] = {1: 2, 2: 1}
        told = {name: turned.get(label, label) for name, label in self.told.items()}
        label: Label = 0 if self.label == 0 else 2 if self.label == 1 else 1
        return Labelled(self.id, self.prompt, self.answer_2, self.answer_1, label, self.set, self.subset, told)


def read_labelled(path: Path) -> list[Labelled]:
    """The rows of one JSONL file; the set is named as the file is.

    Raises:
        InputError: the file can't be read, or holds no rows.
        RecordError: a row that can't be used or repeats an id, by file and line.
    """
    rows: list[Labelled] = []
    seen: dict[tuple[str, str], int] = {}
    for number, row in read_jsonl(path):
        try:
            found = Labelled.from_json(row, f"{path.stem}-{number}", path.stem)
        except InputError as error:
            raise RecordError(f"{path}, line {number}: {error}") from None
        if (key := (found.set, found.id)) in seen:
            raise RecordError(f"{path}, line {number}: id {found.id!r} stands in line {seen[key]} already")
        seen[key] = number
        rows.append(found)
    if not rows:
        raise InputError(f"{path} holds no labelled comparisons; a row is {{prompt, answer_1, answer_2, label}}")
    return rows


def read_sets(paths: Iterable[Path]) -> list[Labelled]:
    """The rows of several files, in their order.

    Raises:
        InputError: see `read_labelled`; or two files hold a set of the same name.
    """
    rows: list[Labelled] = []
    homes: dict[str, Path] = {}
    for path in paths:
        found = read_labelled(path)
        for name in {row.set for row in found}:
            if name in homes:
                raise InputError(f"{path} and {homes[name]} both hold a set named {name!r}; rename one of the files")
            homes[name] = path
        rows += found
    return rows


def folded(prompt: str) -> str:
    """A prompt without what does not count when two are the same: case, and how much white space."""
    return " ".join(prompt.split()).casefold()


def select(rows: Sequence[Labelled], without: Collection[str]) -> list[Labelled]:
    """The rows whose prompt is none of `without`, whatever the case and white space.

    Raises:
        InputError: no row is left.
    """
    known = {folded(prompt) for prompt in without}
    kept = [row for row in rows if folded(row.prompt) not in known]
    if not kept:
        raise InputError(f"none of {len(rows)} labelled rows is left: every prompt stands in --without-prompts-of")
    return kept


def read_published(path: Path) -> dict[str, float]:
    """Published agreement with people: rows {"evaluator", "Human agreement": percent}, as AlpacaEval has them.

    A figure of 1 or less is no percentage (one row of theirs holds a share of something else), and is left out.

    Returns:
        Shares from 0 to 1, the best first.

    Raises:
        RecordError: a row without these fields, by file and line.
    """
    found: dict[str, float] = {}
    for number, row in read_jsonl(path):
        try:
            name, value = str(row["evaluator"]), float(row["Human agreement"])
        except (KeyError, TypeError, ValueError):
            raise RecordError(
                f'{path}, line {number}: "evaluator" and "Human agreement" in percent are needed, found {row!r:.80}'
            ) from None
        if value > 1:
            found[name] = value / 100
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _one_of(row: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in row), names[0])


def _label(value: Any) -> Label | None:
    """A label in any of its spellings; None if it is none."""
    return None if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())


def _answer(row: dict[str, Any], name: str) -> str:
    """An answer, which may be empty; PandaLM holds answers such as `true` that were read as JSON values."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InputError(f"field {name!r} must be a string, found {value!r:.60}")
