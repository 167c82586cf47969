"""Train, validation and test parts of a set, by clusters of near-duplicates.

Which part a row goes to depends on the rows and the seed, not on their order: clusters are drawn in the
order of a hash of what they hold. Near-duplicates never stand on both sides of a split, where a test
would reward memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptlift.errors import InputError, RecordError
from promptlift.records import Pair, read_jsonl, write_jsonl
from promptlift.similarity import SIMILAR, cluster

PARTS = ("train", "validation", "test")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of pairs as they stand there, with all keys.

    Raises:
        InputError: the file can't be read, or holds no pairs.
        RecordError: a row is no pair, or repeats an id, by line.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            name = Pair.from_json(row).id
        except InputError as error:
            raise RecordError(
                f"{path}, line {number}: {error}; all that is wrong: promptlift data check {path}"
            ) from None
        if name in seen:
            raise RecordError(f"{path}, line {number}: id {name!r} stands in line {seen[name]} already")
        seen[name] = number
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no pairs")
    return rows


def split_rows(
    rows: Sequence[dict[str, Any]],
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    similar: float = SIMILAR,
) -> dict[str, list[dict[str, Any]]]:
    """Every row in exactly one part, in the order in which the rows came.

    Args:
        rows: each has a text under `prompt`.
        validation: the share wanted for validation; a part is never larger than its share.
        test: the share wanted for test.
        seed: of the order in which clusters are drawn.
        similar: the cosine from which prompts are near-duplicates.

    Raises:
        InputError: the shares leave nothing to train on.
        MissingExtraError: scikit-learn is not installed.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise InputError(
            f"validation {validation:g} and test {test:g} must be shares of 0 or more that leave something to train on"
        )
    keys = [json.dumps(row, sort_keys=True) for row in rows]
    members: dict[int, list[int]] = {}
    for index, label in enumerate(cluster([row["prompt"] for row in rows], similar)):
        members.setdefault(label, []).append(index)
    drawn = sorted(
        members.values(),
        key=lambda indices: hashlib.sha256("\n".join([str(seed), *sorted(keys[i] for i in indices)]).encode()).digest(),
    )
    room = {"validation": round(len(rows) * validation), "test": round(len(rows) * test)}
    part_of = ["train"] * len(rows)
    for indices in drawn:
        part = next((name for name, left in room.items() if len(indices) <= left), None)
        if part is not None:
            room[part] -= len(indices)
            for index in indices:
                part_of[index] = part
    return {name: [row for row, part in zip(rows, part_of, strict=True) if part == name] for name in PARTS}


def write_parts(parts: Mapping[str, Sequence[dict[str, Any]]], folder: Path, force: bool = False) -> dict[str, Path]:
    """Write `train.jsonl`, `validation.jsonl` and `test.jsonl`, all three, an empty part too.

    So no file of an earlier split can stand beside those of this one.

    Raises:
        InputError: one of them exists, and `force` is False.
    """
    files = {name: folder / f"{name}.jsonl" for name in PARTS}
    there = [str(file) for file in files.values() if file.exists()]
    if there and not force:
        raise InputError(f"{there[0]} exists already; choose another folder, or overwrite it with --force")
    for name, file in files.items():
        write_jsonl(file, parts[name])
    return files
