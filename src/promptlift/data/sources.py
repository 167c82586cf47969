"""Where imported rows come from: each reader yields (where, row, what is wrong or None) and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from promptlift.data.rows import csv_records, numbered_lines, parse_object
from promptlift.errors import InputError, MissingExtraError
from promptlift.records import read_text

Format = Literal["auto", "jsonl", "csv", "bpo", "dspy", "hf"]
Record = tuple[str, dict[str, Any], str | None]
"""Where it stands, the row ({} if it can't be read), and what is wrong with it."""

_LISTS = ("data", "train", "rows", "examples", "items", "records")


def records(source: str, form: Format, split: str) -> Iterator[Record]:
    """The records of a source.

    Args:
        source: a file, a folder that `datasets` can load, or hf:org/name[:config].
        form: `auto` goes by the source's name, and by its content where that does not tell.
        split: which split of a dataset.

    Raises:
        InputError: the source can't be read, or is not of that format.
        MissingExtraError: `datasets` is needed and not installed.
    """
    if form == "hf" or source.startswith("hf:") or (form == "auto" and Path(source).is_dir()):
        yield from _dataset(source.removeprefix("hf:"), split)
        return
    path = Path(source)
    if form == "csv" or (form == "auto" and path.suffix.lower() in (".csv", ".tsv")):
        yield from ((f"line {number}", row, trouble) for number, row, trouble in csv_records(path))
    elif form == "dspy" or path.suffix.lower() == ".json":
        yield from _document(path)
    else:
        yield from _lines(path)


def _lines(path: Path) -> Iterator[Record]:
    """JSONL; a file that is one JSON array is taken for what it is, whatever its name."""
    lines = numbered_lines(path)
    first = next(lines, None)
    if first is not None and first[1].lstrip()[:1] == b"[":
        yield from _document(path)
        return
    for number, raw in ([first] if first else []) + list(lines):
        row, trouble = parse_object(raw)
        yield f"line {number}", _example(row), trouble


def _document(path: Path) -> Iterator[Record]:
    """A JSON document: an array of rows, a saved DSPy program, or an object that holds an array."""
    text = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "\n{" in text.strip():  # JSON lines under another name
            yield from ((f"line {n}", *parse_object(raw)) for n, raw in numbered_lines(path))
            return
        raise InputError(f"{path}: not JSON ({error})") from None
    found = list(_arrays(document))
    if not found:
        raise InputError(
            f"{path}: no rows found; an array of objects is needed, an object with one under "
            f"{', '.join(_LISTS)}, or a saved DSPy program with demos"
        )
    for where, rows in found:
        for number, row in enumerate(rows, 1):
            trouble = None if isinstance(row, dict) else f"an object is needed, found {type(row).__name__}"
            yield f"{where} {number}", _example(row) if isinstance(row, dict) else {}, trouble


def _arrays(document: Any) -> Iterator[tuple[str, list[Any]]]:
    """(what its items are called, the array) of every array of rows in a document."""
    if isinstance(document, list):
        yield "item", document
    elif isinstance(document, dict):
        demos = list(_demos(document, ""))
        yield from demos
        if not demos:
            yield from ((f"{name} item", document[name]) for name in _LISTS if isinstance(document.get(name), list))


def _demos(node: dict[str, Any], name: str) -> Iterator[tuple[str, list[Any]]]:
    """The demonstrations of every predictor of a saved DSPy program, however deep it is nested."""
    for key, value in node.items():
        if key == "demos" and isinstance(value, list):
            yield f"{name or 'program'} demo", value
        elif isinstance(value, dict):
            yield from _demos(value, f"{name}.{key}" if name else key)


def _example(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a DSPy Example that was dumped whole; any other row as it is."""
    store = row.get("_store")
    return store if isinstance(store, dict) else row


def _dataset(name: str, split: str) -> Iterator[Record]:
    """A dataset of the Hugging Face hub (org/name[:config]) or a local folder, without running its code."""
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("importing a dataset", "data") from None
    folder = Path(name)
    try:
        if any((folder / mark).is_file() for mark in ("state.json", "dataset_dict.json")):
            loaded = datasets.load_from_disk(name)
            if isinstance(loaded, datasets.DatasetDict):
                if split not in loaded:
                    raise InputError(f"{name} has no split {split!r}; it has: {', '.join(loaded)} (--split)")
                loaded = loaded[split]
        elif folder.is_dir():
            loaded = datasets.load_dataset(name, split=split)
        else:
            path, _, config = name.partition(":")
            loaded = datasets.load_dataset(path, config or None, split=split)
    except InputError:
        raise
    except Exception as error:  # `datasets` raises what a dozen libraries below it raise
        raise InputError(f"can't load the dataset {name!r}, split {split!r}: {' '.join(str(error).split())}") from error
    for number, row in enumerate(loaded, 1):
        yield f"row {number}", dict(row), None
