"""The prompts of a run: read from a file, and drawn by source."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from pathlib import Path

from promptlift.batch import read_rows
from promptlift.errors import RecordError
from promptlift.evaluation.folder import Prompt, digest
from promptlift.records import read_jsonl, read_text

FIELDS = ("prompt", "instruction", "question")
REFERENCES = ("reference", "output_text_davinci_003", "output")


def read_prompts(path: Path, reference: str | None = None) -> list[Prompt]:
    """Prompts with ids: JSONL or CSV (under `prompt`, `instruction` or `question`), or plain lines.

    Rows without an id get one from their text. `source` (or `dataset`) is kept for drawing and for the report, and a
    `reference` answer for the paper's score.

    Args:
        path: the file.
        reference: the field that holds the reference answer; by default the first of REFERENCES that is there.

    Raises:
        InputError: the file can't be read or holds no prompts.
        RecordError: a row has no prompt, or an id stands twice.
    """
    field = "prompt"
    if path.suffix == ".jsonl":
        _, first = next(read_jsonl(path), (0, {}))
        field = next((name for name in FIELDS if isinstance(first.get(name), str)), "prompt")
    elif path.suffix == ".csv":
        header = next(csv.reader(read_text(path).splitlines(keepends=True)), [])
        field = next((name for name in FIELDS if name in header), "prompt")
    found: dict[str, Prompt] = {}
    for number, row in enumerate(read_rows(path, field), 1):
        text = row[field]
        nameless = row.get("id") in (None, "")
        key = digest(text) if nameless else str(row["id"])
        if key in found:
            if nameless:
                continue  # the same text twice
            raise RecordError(f"{path}: id {key!r} of prompt {number} stands twice; each prompt needs its own")
        named = [row.get(name) for name in ((reference,) if reference else REFERENCES)]
        answer = next((text for text in named if isinstance(text, str) and text.strip()), None)
        found[key] = Prompt(key, text, str(row.get("source") or row.get("dataset") or ""), answer)
    if reference and not any(p.reference for p in found.values()):
        raise RecordError(f"{path}: no row has text in field {reference!r}; name the right one with --reference")
    return list(found.values())


def draw(prompts: list[Prompt], n: int | None, seed: int) -> list[Prompt]:
    """Some of the prompts, as many from each source as its share asks for; in the file's order.

    The same prompts, n and seed give the same ones. Largest remainders fill up to n.
    """
    if n is None or n >= len(prompts):
        return prompts
    groups: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        groups[prompt.source].append(prompt)
    shares = {source: n * len(rows) / len(prompts) for source, rows in groups.items()}
    counts = {source: int(share) for source, share in shares.items()}
    for source in sorted(shares, key=lambda s: (counts[s] - shares[s], s))[: n - sum(counts.values())]:
        counts[source] += 1
    chosen: set[str] = set()
    for source, rows in groups.items():
        random_of = random.Random(f"{seed}:{source}")
        chosen |= {p.id for p in random_of.sample(sorted(rows, key=lambda p: p.id), counts[source])}
    return [p for p in prompts if p.id in chosen]
