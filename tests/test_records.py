"""Records and their JSONL: nothing is lost, and a bad line is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import InputError, RecordError
from promptlift.records import Pair, dump_line, read_jsonl, read_pairs, write_atomically, write_jsonl

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(ANY_TEXT, VALUES, max_size=4), max_size=5))
def test_jsonl_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    write_jsonl(path, rows)
    assert [row for _, row in read_jsonl(path)] == rows


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_a_record_is_one_line(row: dict[str, str]) -> None:
    line = dump_line(row)
    assert line.count("\n") == 1
    assert json.loads(line) == row
    line.encode("utf-8")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 2: not JSON"),
        (b"[1]", "line 2: a JSON object is needed, found list"),
        (b"\xff\xfe", "line 2: not JSON in UTF-8"),
        (b'{"id": "b", "prompt": "x"}', "line 2: field 'optimized' must be a non-empty string"),
        (b'{"id": "b", "prompt": 3, "optimized": "x"}', "line 2: field 'prompt' must be a non-empty string, found 3"),
        (b'{"id": "b", "prompt": "p", "optimized": "x", "topic": 1}', "line 2: field 'topic' must be a string"),
        (b'{"id": "a", "prompt": "p", "optimized": "x"}', "line 2: id 'a' stands in line 1 already"),
        (b"[" * 100_000, "line 2: not JSON"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b'{"id": "a", "prompt": "p", "optimized": "o"}\n' + line + b"\n")
    with pytest.raises(RecordError) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, [{"id": "a", "prompt": "p", "optimized": "o", "mood": [1]}])
    assert read_pairs(path)[0].extra == {"mood": [1]}


def test_a_missing_or_empty_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        read_pairs(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(tmp_path / "empty.jsonl")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_identity_needs_both_sides() -> None:
    assert Pair("1", "p", "p", optimized_light="p").is_identity
    assert Pair("1", "p", "p").is_identity
    assert not Pair("1", "p", "q", optimized_light="p").is_identity
    assert not Pair("1", "p", "p", optimized_light="p\n\nMore.").is_identity
