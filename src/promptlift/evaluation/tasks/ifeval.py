"""IFEval: prompts with instructions that a rule can check, asked raw and rewritten.

What must survive a rewrite is in the prompt itself (no commas, 300 words, a title in << >>), so a rewriter that loses
or blurs it shows here at once. Strict: the answer as it is. Loose: also without its first line, its last line or
both, and without asterisks: the best of eight. At prompt level all of a prompt's instructions must be kept; at
instruction level each counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.errors import InputError
from promptlift.evaluation.tasks.ifeval_rules import check_arguments, follows
from promptlift.evaluation.tasks.paired import Item, Reply, Row, Scores, Task, need
from promptlift.evaluation.tasks.reading import identity, read_items, sample, text_field

Instruction = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Constrained(Item):
    """A prompt and the instructions in it, each a kind and its arguments."""

    instructions: tuple[Instruction, ...] = ()


def task(path: str | Path, n: int | None = None, seed: int = 0) -> Task[Constrained]:
    """The prompts of a file in IFEval's form: JSONL of {"key" or "id", "prompt" or "instruction",
    "instruction_id_list": [..], "kwargs": [{..}, ..]}.

    Args:
        path: the file.
        n: how many prompts, drawn by the seed; None: all.
        seed: of the draw; a greater n adds prompts to those of a smaller.

    Raises:
        InputError: the file can't be read, or is empty.
        RecordError: a bad line, such as one with an instruction that is not known.
        MissingExtraError: scipy is not installed.
    """
    need("scipy")
    return Task(
        "ifeval", sample(read_items(path, _constrained), n, seed), score, weights=_weights, extra=_extra
    )  # fmt: skip


def kept(item: Constrained, answer: str, loose: bool = False) -> list[bool]:
    """Which of a prompt's instructions an answer keeps, in their order."""
    forms = variants(answer) if loose else [answer]
    return [any(follows(name, form, arguments) for form in forms) for name, arguments in item.instructions]


def variants(answer: str) -> list[str]:
    """The answer, and without first line, last line, both; each also without asterisks."""
    lines = answer.split("\n")
    forms = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*forms, *(form.replace("*", "") for form in forms)]


def score(item: Constrained, reply: Reply) -> Scores:
    """All kept (0 or 1) and the share kept, strict and loose."""
    scores: Scores = {}
    for name, loose in (("strict", False), ("loose", True)):
        found = kept(item, reply.text, loose)
        scores[f"prompt_{name}"] = float(all(found))
        scores[f"instruction_{name}"] = sum(found) / len(found)
    return scores


def _constrained(row: dict[str, Any], number: int) -> Constrained:
    names, given = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"field 'instruction_id_list' must be a list of strings, not empty, found {names!r:.60}")
    if not isinstance(given, list) or len(given) != len(names) or not all(isinstance(g, dict | None) for g in given):
        raise InputError(
            f"field 'kwargs' must be a list of {len(names)} objects, one an instruction, found {given!r:.60}"
        )
    checked = tuple((name, check_arguments(name, g or {})) for name, g in zip(names, given, strict=True))
    return Constrained(identity(row, number), text_field(row, "prompt", "instruction"), checked)


def _weights(item: Constrained) -> dict[str, float]:
    """At instruction level a prompt counts as often as it has instructions."""
    return dict.fromkeys(("instruction_strict", "instruction_loose"), float(len(item.instructions)))


def _extra(rows: Sequence[Row[Constrained]]) -> dict[str, Any]:
    """For each kind of instruction: how many, and how many were kept, strictly, raw and rewritten."""
    kinds: dict[str, dict[str, int]] = {}
    for row in rows:
        sides = [kept(row.item, side.reply.text) for side in (row.raw, row.rewritten)]
        for (name, _), raw, rewritten in zip(row.item.instructions, *sides, strict=True):
            counts = kinds.setdefault(name, {"n": 0, "raw": 0, "rewritten": 0})
            counts["n"] += 1
            counts["raw"] += raw
            counts["rewritten"] += rewritten
    return {"instructions": sum(k["n"] for k in kinds.values()), "kinds": dict(sorted(kinds.items()))}
