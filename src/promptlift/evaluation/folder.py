"""The folder of a run (docs/evaluation-run.md): where things lie, and how they are joined by target and judge."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from promptlift.errors import InputError, RecordError
from promptlift.records import dump_line, read_jsonl, write_atomically, write_jsonl

Row = TypeVar("Row")
Said = TypeVar("Said", bound="Asked | Answered")


@dataclass(frozen=True)
class Prompt:
    """A raw prompt of the run.

    Attributes:
        id: of the user's file, or its place in it.
        prompt: as the person typed it.
        source: where it is from, for the report.
        reference: an answer that came with it.
    """

    id: str
    prompt: str
    source: str = ""
    reference: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a target is asked under one condition."""

    target: str
    id: str
    condition: str
    text: str
    changed: bool
    reason: str | None = None


@dataclass(frozen=True)
class Answered:
    """A target's answer under one condition; `problem` says why there is none."""

    target: str
    id: str
    condition: str
    answer: str | None
    tokens: int | None = None
    cut: bool = False
    problem: str | None = None

    @property
    def words(self) -> int:
        """Length of the answer."""
        return len((self.answer or "").split())


def digest(text: str) -> str:
    """What stands for a text in a folder that is published."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


class RunFolder:
    """Reads and writes a run's files. Every write is whole or not at all."""

    def __init__(self, path: Path) -> None:
        """Nothing is made before the first write."""
        self.path = path
        self.texts = path / "texts"

    def settings(self) -> dict[str, Any]:
        """run.json; {} before the first run.

        Raises:
            InputError: it is damaged.
        """
        return self._json("run.json")

    def keep_settings(self, **new: Any) -> None:
        """Set keys of run.json."""
        self._write_json("run.json", self.settings() | new)

    def prompts(self) -> list[Prompt]:
        """The run's prompts.

        Raises:
            InputError: the run has none yet.
            RecordError: a line is damaged.
        """
        file = self.texts / "prompts.jsonl"
        if not file.exists():
            raise InputError(
                f"{self.path} holds no prompts; begin with: promptlift evaluate --target NAME --prompts FILE "
                f"--out {self.path}"
            )
        return _rows(file, lambda row: Prompt(**row))

    def keep_prompts(self, prompts: list[Prompt]) -> None:
        """Begin the run with these prompts, or check that it was begun with them.

        Raises:
            InputError: the run has others.
        """
        mark, known = _mark(prompts), self.settings().get("prompts_hash")
        if known not in (None, mark):
            raise InputError(
                f"{self.path} was begun with other prompts ({known}, now {mark}); name another folder with --out"
            )
        self._write_prompts(prompts)

    def add(self, target: str, prompt: Prompt, asked: list[Asked], answers: list[Answered]) -> None:
        """Let the run grow, or begin it, by a prompt, what a target is asked and what it answers.

        A prompt whose id is known stays as it is; other rows replace those of the same id and condition.

        Raises:
            RecordError: a line that is there is damaged.
        """
        known = self.prompts() if (self.texts / "prompts.jsonl").exists() else []
        self._write_prompts(known if prompt.id in {p.id for p in known} else [*known, prompt])
        every_asked, before = _joined(self.asked(), asked), self.answers()
        self.write_texts("asked.jsonl", (vars(row) for row in every_asked))
        self._drop_stale(target, [row for row in before if row.target == target], answers)
        self._write_answers(_joined(before, answers), every_asked)

    def _write_prompts(self, prompts: list[Prompt]) -> None:
        self.write_texts("prompts.jsonl", ({k: v for k, v in vars(p).items() if v is not None} for p in prompts))
        self.keep_settings(format=1, prompts_hash=_mark(prompts))

    def asked(self) -> list[Asked]:
        """What the targets are asked."""
        return _rows(self.texts / "asked.jsonl", lambda row: Asked(**row))

    def keep_asked(self, target: str, rows: list[Asked]) -> None:
        """Replace what one target is asked."""
        others = [row for row in self.asked() if row.target != target]
        self.write_texts("asked.jsonl", (vars(row) for row in [*others, *rows]))

    def answers(self) -> list[Answered]:
        """The answers that there are."""
        return _rows(self.texts / "answers.jsonl", lambda row: Answered(**row))

    def keep_answers(self, target: str, rows: list[Answered]) -> None:
        """Replace one target's answers, with and without their texts.

        Outcomes on an answer that reads otherwise now are dropped: nobody judged it.
        """
        before = self.answers()
        self._drop_stale(target, [row for row in before if row.target == target], rows)
        self._write_answers([*(row for row in before if row.target != target), *rows], self.asked())

    def _write_answers(self, rows: list[Answered], asked: list[Asked]) -> None:
        self.write_texts("answers.jsonl", (vars(row) for row in rows))
        texts = {(row.target, row.id, row.condition): row.text for row in asked}
        write_jsonl(self.path / "answers.jsonl", (self._without_texts(row, texts) for row in rows))

    def _drop_stale(self, target: str, before: list[Answered], now: list[Answered]) -> None:
        said = {(row.id, row.condition): row.answer for row in before if row.answer is not None}
        answered = [((row.id, row.condition), row.answer) for row in now if row.answer is not None]
        other = {key for key, text in answered if said.get(key, text) != text}
        judged = self.outcomes() if other else []
        kept = [r for r in judged if r["target"] != target or not other & {(r["id"], r["x"]), (r["id"], r["y"])}]
        if len(kept) < len(judged):
            write_jsonl(self.path / "outcomes.jsonl", kept)

    @staticmethod
    def _without_texts(row: Answered, texts: dict[tuple[str, str, str], str]) -> dict[str, Any]:
        asked = texts.get((row.target, row.id, row.condition))
        return {
            "target": row.target, "id": row.id, "condition": row.condition,
            "asked": None if asked is None else digest(asked),
            "answer": None if row.answer is None else digest(row.answer),
            "words": row.words, "tokens": row.tokens, "cut": row.cut, "problem": row.problem,
        }  # fmt: skip

    def outcomes(self) -> list[dict[str, Any]]:
        """The judged pairs of answers."""
        return _rows(self.path / "outcomes.jsonl", dict)

    def keep_outcomes(self, rows: list[dict[str, Any]]) -> None:
        """Add outcomes; those on the same pair by the same judge are replaced."""
        new = {_pair(row): row for row in rows}
        kept = [row for row in self.outcomes() if _pair(row) not in new]
        write_jsonl(self.path / "outcomes.jsonl", [*kept, *new.values()])

    def write_texts(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Write JSONL under texts/, which git leaves alone: prompts and answers may be others' property."""
        ignore = self.texts / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n")
        write_atomically(self.texts / name, "".join(dump_line(row) for row in rows).encode("utf-8"))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write summary.json."""
        self._write_json("summary.json", summary)

    def _json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.exists():
            return {}
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{file} can't be read ({error}); name another folder with --out") from None
        if not isinstance(found, dict):
            raise InputError(f"{file} holds {type(found).__name__}, not an object; name another folder with --out")
        return found

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        write_atomically(self.path / name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _mark(prompts: Iterable[Prompt]) -> str:
    return digest(json.dumps([[p.id, p.prompt] for p in prompts]))


def _joined(before: list[Said], new: list[Said]) -> list[Said]:
    return list({(row.target, row.id, row.condition): row for row in (*before, *new)}.values())


def _pair(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("target", "judge", "id", "x", "y"))


def _rows(file: Path, build: Callable[[dict[str, Any]], Row]) -> list[Row]:
    if not file.exists():
        return []
    found = []
    for number, row in read_jsonl(file):
        try:
            found.append(build(row))
        except (TypeError, ValueError) as error:
            raise RecordError(f"{file}, line {number}: not a row of a run ({error})") from None
    return found
