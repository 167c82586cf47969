"""What a run's folder holds, read for its report (docs/evaluation-run.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.errors import InputError
from promptlift.records import read_jsonl, read_text

FORMAT = 1
"""The newest format of summary.json that is understood."""

Row = dict[str, Any]
Key = tuple[str, str, str]
"""Target, id of the prompt, condition."""


@dataclass(frozen=True)
class Run:
    """A run as it was read; what is not in the folder is empty.

    Attributes:
        summary: summary.json.
        settings: run.json.
        outcomes: the lines of outcomes.jsonl.
        answers: the lines of answers.jsonl, without texts.
        tasks: what tasks/*.json tell, one for each target.
        judges: the judges' cards.
        prompts: by id, from texts/.
        asked: what the target was asked, from texts/.
        replies: what it answered, from texts/.
    """

    summary: Row
    settings: Row = field(default_factory=dict)
    outcomes: list[Row] = field(default_factory=list)
    answers: list[Row] = field(default_factory=list)
    tasks: list[Row] = field(default_factory=list)
    judges: list[Row] = field(default_factory=list)
    prompts: dict[str, Row] = field(default_factory=dict)
    asked: dict[Key, Row] = field(default_factory=dict)
    replies: dict[Key, Row] = field(default_factory=dict)

    @property
    def has_texts(self) -> bool:
        """True if the prompts and answers themselves were read."""
        return bool(self.prompts or self.asked or self.replies)


def load(run: Path, texts: bool) -> Run:
    """Read a run's folder; texts/ is not opened unless `texts`.

    Raises:
        InputError: summary.json is missing, or a file that is there can't be used.
        RecordError: a bad line of a JSONL file.
    """
    summary = _summary(run)
    where = run / "texts"
    return Run(
        summary=summary,
        settings=_object(run / "run.json") if (run / "run.json").exists() else {},
        outcomes=_lines(run / "outcomes.jsonl"),
        answers=_lines(run / "answers.jsonl"),
        tasks=_cards(run / "tasks", "task"),
        judges=_cards(run / "judges", "judge"),
        prompts={str(row.get("id")): row for row in _lines(where / "prompts.jsonl")} if texts else {},
        asked={key_of(row): row for row in _lines(where / "asked.jsonl")} if texts else {},
        replies={key_of(row): row for row in _lines(where / "answers.jsonl")} if texts else {},
    )


def key_of(row: Row) -> Key:
    """Target, id and condition of a line."""
    return str(row.get("target")), str(row.get("id")), str(row.get("condition"))


def rows_of(value: object) -> list[Row]:
    """The objects in a list; whatever else it is, there are none."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def object_of(value: object) -> Row:
    """An object as it is; whatever else it is becomes an empty one."""
    return value if isinstance(value, dict) else {}


def _summary(run: Path) -> Row:
    path = run / "summary.json"
    again = f"write it with: promptlift evaluate --out {run}"
    if not path.is_file():
        raise InputError(f"{run} holds no summary.json; {again}")
    try:
        summary = _object(path)
    except InputError as error:
        raise InputError(f"{error}; {again}") from None
    found = summary.get("format")
    if not isinstance(found, int) or found < 1:
        raise InputError(f"{path}: 'format' must be {FORMAT}, found {found!r:.40}; {again}")
    if found > FORMAT:
        raise InputError(f"{path} has format {found}, newer than {FORMAT}: upgrade promptlift, or {again}")
    if not rows_of(summary.get("targets")):
        raise InputError(f"{path}: 'targets' must list the targets, found {summary.get('targets')!r:.40}; {again}")
    return summary


def _object(path: Path) -> Row:
    value = _json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from None


def _lines(path: Path) -> list[Row]:
    return [row for _, row in read_jsonl(path)] if path.exists() else []


def _cards(folder: Path, name: str) -> list[Row]:
    """The objects of a folder's JSON files, by file name; a file may hold one, a list, or {"targets": [...]}."""
    found: list[Row] = []
    for path in sorted(folder.glob("*.json")):
        value = _json(path)
        if isinstance(value, dict) and name == "task" and rows_of(value.get("targets")):
            shared = {k: v for k, v in value.items() if k != "targets"}
            value = [shared | row for row in rows_of(value["targets"])]
        cards = [value] if isinstance(value, dict) else rows_of(value)
        if not cards:
            raise InputError(f"{path} must hold a JSON object, found {type(value).__name__}")
        found += [{name: path.stem} | card for card in cards]
    return found
