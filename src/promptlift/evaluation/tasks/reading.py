"""Reading the files of the tasks, and writing their results without texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from promptlift.adapters import slug
from promptlift.errors import InputError, RecordError
from promptlift.evaluation.folder import RunFolder, digest
from promptlift.evaluation.tasks.paired import Item, Rewritten, Row, Side
from promptlift.records import read_jsonl, write_atomically, write_jsonl

Kind = TypeVar("Kind", bound=Item)


def read_items(path: str | Path, make: Callable[[dict[str, Any], int], Kind]) -> list[Kind]:
    """One item for each line of a JSONL file.

    Args:
        path: the file.
        make: an item from a row and its place, from 0; its InputError is told with file and line.

    Raises:
        InputError: the file can't be read, or holds nothing.
        RecordError: a line is bad, or its id stands in an earlier line.
    """
    items: list[Kind] = []
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            item = make(row, len(items))
        except InputError as error:
            raise RecordError(f"{path}, line {number}: {error}") from None
        if item.id in seen:
            raise RecordError(f"{path}, line {number}: id {item.id!r} stands in line {seen[item.id]} already")
        seen[item.id] = number
        items.append(item)
    if not items:
        raise InputError(f"{path} holds no rows; at least one is needed")
    return items


def text_field(row: dict[str, Any], name: str, other: str | None = None) -> str:
    """A non-empty text of a row, under a name or a second one; InputError if there is none."""
    value = row.get(name)
    if value is None and other is not None:
        value = row.get(other)
    if not isinstance(value, str) or not value.strip():
        names = repr(name) if other is None else f"{name!r} (or {other!r})"
        raise InputError(f"field {names} must be a non-empty string, found {value!r:.60}")
    return value


def identity(row: dict[str, Any], number: int) -> str:
    """A row's id or key, or its place in the file, from 1."""
    value = row.get("id", row.get("key", number + 1))
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f"field 'id' must be a string or a whole number, found {value!r:.60}")
    return str(value)


def sample(items: Sequence[Kind], n: int | None, seed: int) -> list[Kind]:
    """`n` items drawn by a seed, in the file's order; a greater n adds to the draw of a smaller one."""
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    return [items[k] for k in sorted(order[:n])]


def read_rewrites(path: str | Path, items: Sequence[Item]) -> list[Rewritten]:
    """The rewrites that a file gives: JSONL of {"id", "rewrite"}, one for each item, more are passed over.

    Raises:
        InputError: the file can't be read, or an item has no rewrite there.
        RecordError: a line is bad.
    """

    def make(row: dict[str, Any], number: int) -> Item:
        return Item(identity(row, number), text_field(row, "rewrite", "optimized"))

    found = {item.id: item.prompt for item in read_items(path, make)}
    missing = [item.id for item in items if item.id not in found]
    if missing:
        raise InputError(f"{path} has no rewrite of {len(missing)} of {len(items)} prompts, such as {missing[0]!r}")
    return [Rewritten(found[item.id]) for item in items]


def write_result(run: Path, result: dict[str, Any], rows: Sequence[Row[Kind]]) -> Path:
    """Write a task's result on one target into a run's folder, over an earlier one of the two.

        RUN/tasks/TASK-TARGET.json          the result
        RUN/tasks/TASK-TARGET.rows.jsonl    scores and hashes by item, without texts
        RUN/texts/TASK-TARGET.jsonl         prompts and answers; RUN/texts/.gitignore keeps them out of git

    Args:
        run: the run's folder.
        result: of `summarise`, with "target".
        rows: of `run`.

    Raises:
        InputError: the target's name can't be part of a file's.
        OSError: the folder can't be written.
    """
    name = f"{result['task']}-{slug(result['target'])}"
    RunFolder(run).write_texts(
        f"{name}.jsonl", ({"id": r.item.id, "raw": _text(r.raw), "rewritten": _text(r.rewritten)} for r in rows)
    )
    write_jsonl(run / "tasks" / f"{name}.rows.jsonl", (_hashed(row) for row in rows))
    path = run / "tasks" / f"{name}.json"  # last: where it is, the others are
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())
    return path


def _hashed(row: Row[Kind]) -> dict[str, Any]:
    told: dict[str, Any] = {"id": row.item.id, "changed": row.changed, "reason": row.reason}
    for name, side in (("raw", row.raw), ("rewritten", row.rewritten)):
        reply = side.reply
        told[name] = {"prompt": digest(side.prompt), "answer": None, "scores": side.scores}
        if reply.failed is None:
            told[name] |= {"answer": digest(reply.text), "cut": reply.cut, "words": len(reply.text.split())}
        if reply.failed is not None or reply.empty:
            told[name]["problem"] = "failed" if reply.failed is not None else "empty"
        if reply.choice is not None and reply.choice.probabilities is not None:
            told[name]["probabilities"] = reply.choice.probabilities
    return told


def _text(side: Side) -> dict[str, Any]:
    return {"prompt": side.prompt, "answer": side.reply.text, "problem": side.reply.failed}
