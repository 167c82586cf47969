"""Pairs from what people have: CSV, JSON with other field names, BPO's, DSPy's, Hugging Face datasets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlift.data.sources import Format, Record, records
from promptlift.errors import InputError
from promptlift.records import Pair

PROMPT_NAMES = (
    "prompt", "raw_prompt", "raw", "rough", "original_prompt", "original", "instruction", "question", "query", "input",
    "user_prompt", "before",
)  # fmt: skip
"""Where a raw prompt may stand, most likely first."""

OPTIMIZED_NAMES = (
    "optimized", "optimised", "optimized_prompt", "optimised_prompt", "rewritten", "rewritten_prompt", "rewrite",
    "improved", "improved_prompt", "better_prompt", "enhanced", "enhanced_prompt", "refined", "refined_prompt",
    "revised", "revised_prompt", "after",
)  # fmt: skip
"""Where its optimized prompt may stand. Not `output` or `response`: those are mostly answers."""

LIGHT_NAMES = ("optimized_light", "light")
_OPTIONAL = ("topic", "source", "target")
_PROBE = 100


@dataclass(frozen=True)
class Fields:
    """The names that the texts have in a source; None: the common ones are tried."""

    prompt: str | None = None
    optimized: str | None = None
    light: str | None = None
    topic: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A record that is no pair: where it stands and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """What an import made: the pairs, every record that it left out, and the fields it read."""

    pairs: list[Pair]
    skipped: list[Skipped]
    fields: Fields
    renamed: int = field(default=0)
    """Rows whose id was there already, and which got one of their own."""

    def reasons(self) -> Counter[str]:
        """How many records were left out for which reason; what differs from row to row is cut off."""
        return Counter(skipped.reason.split(":")[0].split(" (")[0] for skipped in self.skipped)


def import_pairs(
    source: str, form: Format = "auto", fields: Fields | None = None, topic: str = "", split: str = "train"
) -> Imported:
    """Read pairs from a source of another form. Keys that are not a pair's are kept.

    Args:
        source: a file, a folder, or hf:org/name[:config].
        form: `auto` finds out.
        fields: what the texts are called there.
        topic: for the rows that have none.
        split: of a dataset.

    Raises:
        InputError: the source can't be read, or no field fits.
        MissingExtraError: `datasets` is needed and not installed.
    """
    found = list(records(source, form, split))
    if form == "bpo":
        given = fields or Fields()
        fields = dataclasses.replace(given, optimized=given.optimized or "optimized_prompt")
    names = find_fields([row for _, row, trouble in found if trouble is None], fields or Fields(), source)
    return _pairs(found, names, topic, _origin(source))


def find_fields(rows: Sequence[dict[str, Any]], given: Fields, source: str) -> Fields:
    """The fields to read: those that are given, else the first common names that rows hold text under.

    Raises:
        InputError: there is no such field; the message names those that there are.
    """
    probe = rows[:_PROBE]
    there = list(dict.fromkeys(key for row in probe for key in row if isinstance(key, str)))
    if not rows:
        return given

    def find(wanted: str | None, names: Iterable[str], option: str, taken: str | None = None) -> str | None:
        if wanted is not None:
            if wanted not in (key for row in rows for key in row):
                raise InputError(
                    f"{source} has no field {wanted!r}; its fields are {', '.join(there) or 'none'} ({option})"
                )
            return wanted
        plain = {key.strip().lower().replace("-", "_").replace(" ", "_"): key for key in reversed(there)}
        texts = (plain[name] for name in names if name in plain and plain[name] != taken)
        return next((key for key in texts if any(_text(row.get(key)) for row in probe)), None)

    optimized = find(given.optimized, OPTIMIZED_NAMES, "--optimized-field")
    prompt = find(given.prompt, PROMPT_NAMES, "--prompt-field", optimized)
    for what, name, option in (
        ("raw prompt", prompt, "--prompt-field"),
        ("optimized prompt", optimized, "--optimized-field"),
    ):
        if name is None:
            raise InputError(
                f"{source}: which field holds the {what}? Its fields are {', '.join(there) or 'none'}; "
                f"name it with: {option} NAME"
            )
    return Fields(
        prompt,
        optimized,
        find(given.light, LIGHT_NAMES, "--light-field"),
        find(given.topic, ("topic",), "--topic-field"),
    )


def _pairs(found: Sequence[Record], names: Fields, topic: str, origin: str) -> Imported:
    pairs: list[Pair] = []
    skipped: list[Skipped] = []
    seen: dict[tuple[str, str, str], str] = {}
    ids: set[str] = set()
    renamed = 0
    for where, row, trouble in found:
        prompt, optimized = (_text(row.get(name or "")) for name in (names.prompt, names.optimized))
        if trouble is None and not (prompt and optimized):
            empty = names.optimized if prompt else names.prompt
            trouble = f"no text in {empty!r}: {row.get(empty or '')!r:.60}"
        if trouble is not None:
            skipped.append(Skipped(where, trouble))
            continue
        light = _text(row.get(names.light or ""))
        content = (prompt, optimized, light)
        if content in seen:
            skipped.append(Skipped(where, f"the same pair again: {seen[content]}"))
            continue
        seen[content] = where
        given = row.get("id")
        name = str(given).strip() if isinstance(given, str | int) else ""
        if name in ids:
            name = ""
            renamed += 1
        name = name or _content_id(content)
        ids.add(name)
        pairs.append(_pair(row, names, name, content, topic, origin))
    return Imported(pairs, skipped, names, renamed)


def _pair(
    row: dict[str, Any], names: Fields, name: str, content: tuple[str, str, str], topic: str, origin: str
) -> Pair:
    """The pair of a row; what its own keys hold besides is kept, under another name where a pair needs theirs."""
    read = {names.prompt, names.optimized, names.light, names.topic}
    extra: dict[str, Any] = {}
    known = {f.name for f in dataclasses.fields(Pair)}
    for key, value in row.items():
        if key in read or key in _OPTIONAL or (key == "id" and str(value).strip() == name):
            continue
        extra[f"imported_{key}" if key in known else str(key)] = _json(value)
    values = {key: _word(row.get(key)) for key in _OPTIONAL if key not in read}
    if names.topic is not None:
        values["topic"] = _word(row.get(names.topic))
    prompt, optimized, light = content
    return Pair(
        id=name, prompt=prompt, optimized=optimized, optimized_light=light or None,
        topic=values.get("topic") or topic, source=values.get("source") or origin, target=values.get("target") or None,
        extra=extra,
    )  # fmt: skip


def _text(value: Any) -> str:
    """A text that is not blank, as it stands there; anything else is none."""
    return value if isinstance(value, str) and value.strip() else ""


def _word(value: Any) -> str:
    """A label, which may have been a number; a list or an object is put into JSON rather than lost."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int | float) else json.dumps(_json(value), ensure_ascii=False)


def _json(value: Any) -> Any:
    """A value that JSON can hold: datasets also have dates and bytes."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value


def _content_id(content: tuple[str, str, str]) -> str:
    """Stable: the same texts get the same id in every import."""
    return "i-" + hashlib.sha256("\0".join(content).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _origin(source: str) -> str:
    """What `source` says of rows that do not say it themselves: no path of this machine."""
    return source if source.startswith("hf:") else source.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
