"""Rewrite a file of prompts: resumable after a kill, no row lost, none done twice.

Finished rows go to `OUTPUT.part` as they come, one JSONL line each after a header that
says what is made of what; the output takes its name only when every row is there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptlift.errors import InputError, RecordError
from promptlift.prompter import Prompter
from promptlift.records import Strength, dump_line, read_jsonl, read_text, write_atomically

OUTPUT_SUFFIXES = (".jsonl", ".csv")


@dataclass(frozen=True)
class BatchSettings:
    """What is made of every prompt of the file."""

    target: str | None = None
    strength: Strength | None = None
    temperature: float = 0.0
    seed: int = 0
    field: str = "prompt"


def read_rows(path: Path, field: str) -> list[dict[str, Any]]:
    """The rows of a JSONL, CSV or plain-lines file; each holds a string under `field`.

    Raises:
        InputError: the file can't be read.
        RecordError: a row has no such field, by file and line.
    """
    if path.suffix == ".jsonl":
        rows = list(read_jsonl(path))
    elif path.suffix == ".csv":
        rows = list(_read_csv(path))
    else:
        rows = [(n, {field: line}) for n, line in enumerate(_text_of(path).split("\n"), 1) if line.strip()]
    for number, row in rows:
        if not isinstance(row.get(field), str):
            names = ", ".join(str(k) for k in row if k is not None) or "none"
            raise RecordError(
                f"{path}, line {number}: no text in field {field!r}; the row's fields are {names}; "
                "name the right one with: --field NAME"
            )
    if not rows:
        raise InputError(f"{path} holds no prompts")
    return [row for _, row in rows]


def check_output(source: Path, output: Path) -> None:
    """Raise InputError if the rewrites of `source` can't go to `output`."""
    if output.suffix not in OUTPUT_SUFFIXES:
        raise InputError(f"output {str(output)!r} must end in .jsonl or .csv: a rewrite holds line breaks")
    if output.resolve() == source.resolve():
        raise InputError(f"output and input are the same file: {source}")


def rewrite_file(
    prompter: Prompter,
    source: Path,
    output: Path,
    settings: BatchSettings,
    progress: Callable[[int, int], None] | None = None,
    restart: bool = False,
) -> dict[str, int]:
    """Rewrite every prompt of `source` into `output`; go on where a killed run stopped.

    Args:
        prompter: a loaded prompter; as many rows are in work at once as it has slots.
        source: JSONL, CSV, or plain lines (any other suffix).
        output: JSONL or CSV; each row keeps its own fields and gets the rewrite's.
        settings: the same for every row.
        progress: called with (rows done, rows in all).
        restart: forget what an earlier run left.

    Returns:
        How many rows there are, how many were changed, and how many came from an earlier run.

    Raises:
        InputError: a file can't be read, or an earlier run made something else.
        RecordError: a row has no prompt.
    """
    check_output(source, output)
    rows = read_rows(source, settings.field)
    prompts = [row[settings.field] for row in rows]
    key = hashlib.sha256(json.dumps(prompts).encode()).hexdigest()
    adapter = prompter.adapter(settings.target) if settings.target is not None else None
    header = {"promptlift_batch": {**asdict(settings), "prompter": prompter.name, "prompts": key}}
    if adapter is not None:
        header["promptlift_batch"]["adapter"] = adapter.version
    part = output.with_name(output.name + ".part")
    if restart:
        part.unlink(missing_ok=True)
    done = _resume(part, header)
    earlier = len(done)
    if progress:
        progress(earlier, len(rows))
    with part.open("ab") as handle:
        if not earlier and part.stat().st_size == 0:
            handle.write(dump_line(header).encode())
        results = prompter.rewrite_many(
            prompts[earlier:],
            settings.target,
            strength=settings.strength,
            temperature=settings.temperature,
            seed=settings.seed,
        )
        for result in results:
            made = result.to_json()
            made.pop("prompt")
            handle.write(dump_line(made).encode())
            handle.flush()
            done.append(made)
            if progress:
                progress(len(done), len(rows))
        os.fsync(handle.fileno())
    merged = [{**row, **made} for row, made in zip(rows, done, strict=True)]
    write_atomically(output, _encode(merged, output.suffix))
    part.unlink()
    return {"rows": len(rows), "changed": sum(bool(m["changed"]) for m in done), "resumed": earlier}


def _resume(part: Path, header: dict[str, Any]) -> list[dict[str, Any]]:
    """The finished rows of an earlier run; a last line that was cut short is cut off."""
    if not part.exists():
        part.parent.mkdir(parents=True, exist_ok=True)
        return []
    data = part.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with part.open("r+b") as handle:
            handle.truncate(len(whole))
    lines = [row for _, row in read_jsonl(part)]
    if lines and lines[0] != header:
        raise InputError(
            f"{part} was made from other prompts or with other settings; finish that run as it was started, "
            "or start over with: --restart"
        )
    return lines[1:]


def _encode(rows: list[dict[str, Any]], suffix: str) -> bytes:
    if suffix == ".jsonl":
        return "".join(dump_line(row) for row in rows).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _text_of(path: Path) -> str:
    return read_text(path).replace("\r\n", "\n")


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.DictReader(io.StringIO(_text_of(path)), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise RecordError(f"{path}, line {reader.line_num}: not CSV ({error})") from None
