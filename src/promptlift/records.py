"""The records that the stages exchange, and their JSONL.

One JSON object a line, UTF-8. Unknown keys are kept. A bad line is reported with its
file and number, never skipped in silence.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptlift.errors import InputError, RecordError

Strength = Literal["guide", "light", "content", "full"]
"""How much is changed: `guide` adds what a good answer of its kind has, and says again what is asked;
`light` adds how to answer; `content` adds what a great answer covers; `full` writes anew."""


@dataclass(frozen=True)
class Pair:
    """A raw prompt and its optimized prompt, in up to four strengths.

    `optimized` is a whole new prompt. `optimized_guide`, `optimized_light` and `optimized_content` keep
    the person's words and add to them: what a good answer of the kind has, and what is asked, said again last; how to
    answer; or what a great answer covers. All equal to `prompt` means: leave it alone (an identity pair).
    """

    id: str
    prompt: str
    optimized: str
    topic: str = ""
    source: str = ""
    optimized_light: str | None = None
    optimized_content: str | None = None
    optimized_guide: str | None = None
    target: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_identity(self) -> bool:
        """True if the best rewrite of this prompt is none."""
        return self.optimized == self.prompt and self.light == self.prompt

    @property
    def light(self) -> str:
        """The light side, or `optimized` where the pair has no light one."""
        return self.side("light")

    def side(self, strength: Strength) -> str:
        """The optimized prompt of one strength; `optimized` where the pair has no such side."""
        given = {
            "guide": self.optimized_guide, "light": self.optimized_light, "content": self.optimized_content,
        }.get(strength)  # fmt: skip
        return self.optimized if given is None else given

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Pair:
        """Build a pair from a JSON object; raise InputError that names the bad field."""
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        for name in ("id", "prompt", "optimized"):
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise InputError(f"field {name!r} must be a non-empty string, found {row.get(name)!r:.60}")
        for name in known - {"id", "prompt", "optimized"}:
            if row.get(name) is not None and not isinstance(row[name], str):
                raise InputError(f"field {name!r} must be a string, found {row[name]!r:.60}")
        values = {k: v for k, v in row.items() if k in known and v is not None}
        return cls(**values, extra={k: v for k, v in row.items() if k not in known})

    def to_json(self) -> dict[str, Any]:
        """The pair as a JSON object: unknown keys come last, fields that are None are left out."""
        row: dict[str, Any] = dataclasses.asdict(self)
        extra: dict[str, Any] = row.pop("extra")
        return {k: v for k, v in row.items() if v is not None} | extra


@dataclass(frozen=True)
class Rewrite:
    """What the prompter made of one prompt.

    `reason` is None for a changed prompt, else why it came back as it was: `identity`
    (the prompter's score says that it needs no help), `guard:<check>` (see
    `promptlift.guard`), `empty`, `too-long`, `tag`.
    """

    prompt: str
    rewrite: str
    changed: bool
    reason: str | None
    target: str | None
    prompter: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object, in the contract's key order."""
        return dataclasses.asdict(self)


def read_text(path: str | Path) -> str:
    """The whole of a UTF-8 file; a byte order mark is dropped.

    Raises:
        InputError: it can't be read, or is not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a JSONL file; blank lines are passed over.

    Raises:
        InputError: the file can't be opened.
        RecordError: a line is not UTF-8, not JSON, or not an object.
    """
    try:
        handle = Path(path).open("rb")  # noqa: SIM115 - closed by the `with` below
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from None
    with handle:
        for number, raw in enumerate(handle, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (UnicodeDecodeError, ValueError, RecursionError) as error:
                raise RecordError(f"{path}, line {number}: not JSON in UTF-8 ({error})") from None
            if not isinstance(row, dict):
                raise RecordError(f"{path}, line {number}: a JSON object is needed, found {type(row).__name__}")
            yield number, row


def read_pairs(path: str | Path) -> list[Pair]:
    """Read a file of pairs; a bad row or a repeated id raises RecordError with its line."""
    pairs: list[Pair] = []
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            pair = Pair.from_json(row)
        except InputError as error:
            raise RecordError(f"{path}, line {number}: {error}") from None
        if pair.id in seen:
            raise RecordError(f"{path}, line {number}: id {pair.id!r} stands in line {seen[pair.id]} already")
        seen[pair.id] = number
        pairs.append(pair)
    if not pairs:
        raise InputError(f"{path} holds no pairs")
    return pairs


def dump_line(row: dict[str, Any]) -> str:
    """One JSONL line; lone surrogates, which UTF-8 can't hold, are written as escapes."""
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(row, ensure_ascii=True)
    return text + "\n"


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows to a temporary file beside `path`, then rename it into place."""
    write_atomically(Path(path), "".join(dump_line(row) for row in rows).encode("utf-8"))


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: to a temporary name in the same folder, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
