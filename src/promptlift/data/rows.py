"""Reading a set that may be broken: every bad line is a finding, and the reading goes on."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promptlift.errors import InputError, RecordError
from promptlift.records import Pair, read_jsonl, read_text

PROMPT_FIELDS = ("prompt", "instruction", "raw_prompt", "question", "query", "text", "input")
"""Where the prompt of an evaluation file may stand, most likely first."""

Side = Literal["", "optimized", "optimized_light", "optimized_content", "optimized_guide"]
Level = Literal["error", "note"]


@dataclass(frozen=True)
class Finding:
    """Something wrong with one row, or worth a look.

    `check` is the name of what was looked for, `level` is `error` or `note`; `side` is the field of
    the pair that it stands in, "" for the row as a whole.
    """

    line: int
    id: str
    check: str
    detail: str
    side: Side = ""
    level: Level = "error"

    def to_json(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Reading:
    """What a file of pairs holds: (line, pair) of the good rows, and a finding for each bad one."""

    rows: list[tuple[int, Pair]]
    bad: list[Finding]


def read_set(path: Path) -> Reading:
    """Read a JSONL file of pairs to its end, whatever its lines hold.

    Raises:
        InputError: the file can't be read, or there is not one line in it.
    """
    rows: list[tuple[int, Pair]] = []
    bad: list[Finding] = []
    seen: dict[str, int] = {}
    for number, raw in numbered_lines(path):
        row, trouble = parse_object(raw)
        name = str(row["id"]) if isinstance(row.get("id"), str | int) else ""
        if trouble is None:
            try:
                pair = Pair.from_json(row)
            except InputError as error:
                trouble = str(error)
        if trouble is None and name in seen:
            trouble = f"id {name!r} stands in line {seen[name]} already"
        if trouble is not None:
            bad.append(Finding(number, name, "row", trouble))
            continue
        seen[name] = number
        rows.append((number, pair))
    if not rows and not bad:
        raise InputError(f"{path} holds no pairs")
    return Reading(rows, bad)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of all lines of a file that are not blank; a byte order mark is dropped.

    Raises:
        InputError: the file can't be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if raw.strip():
            yield number, raw


def parse_object(raw: bytes) -> tuple[dict[str, Any], str | None]:
    """The JSON object of a line, and what is wrong with the line, or None."""
    try:
        row = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return {}, f"not JSON in UTF-8 ({error})"
    if not isinstance(row, dict):
        return {}, f"a JSON object is needed, found {type(row).__name__}"
    return row, None


def csv_records(path: Path) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    """(line, row, what is wrong or None) of a CSV file with a header; it goes on after a bad row.

    The delimiter is a comma, semicolon or tab: the one that the header holds most of.

    Raises:
        InputError: the file can't be read, or is not UTF-8.
    """
    text = read_text(path)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    header_line = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=max(",;\t", key=header_line.count))
    header: list[str] | None = None
    while True:
        start = lines.line_num + 1
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, {}, f"not CSV: {error}; it ends in line {lines.line_num}"
            continue
        if header is None:
            header = [name.strip() for name in cells]
        elif len(cells) > len(header):
            yield start, {}, f"{len(cells)} cells under a header of {len(header)}"
        elif any(cell.strip() for cell in cells):
            yield start, {name: cell for name, cell in zip(header, cells, strict=False) if cell}, None


def read_prompts(path: Path) -> list[str]:
    """The prompts of an evaluation file: JSONL or CSV with a field of `PROMPT_FIELDS`, or plain lines.

    Raises:
        InputError: the file can't be read, or holds no prompts.
        RecordError: a row has no prompt, by file and line.
    """
    rows: Iterator[tuple[int, dict[str, Any]]]
    if path.suffix == ".jsonl":
        rows = read_jsonl(path)
    elif path.suffix in (".csv", ".tsv"):
        rows = _sound(path)
    else:
        rows = ((number, {"prompt": _decoded(path, number, raw)}) for number, raw in numbered_lines(path))
    prompts = []
    for number, row in rows:
        found = next(
            (row[name] for name in PROMPT_FIELDS if isinstance(row.get(name), str) and row[name].strip()), None
        )
        if found is None:
            raise RecordError(
                f"{path}, line {number}: no prompt found; it must stand in a field named {' or '.join(PROMPT_FIELDS)}; "
                f"the row's fields are {', '.join(map(str, row)) or 'none'}"
            )
        prompts.append(found)
    if not prompts:
        raise InputError(f"{path} holds no prompts")
    return prompts


def _sound(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row, trouble in csv_records(path):
        if trouble is not None:
            raise RecordError(f"{path}, line {number}: {trouble}")
        yield number, row


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}, line {number}: not UTF-8 text ({error.reason})") from None
