"""`data split`: every row in one part, no cluster in two, whatever the order."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from promptlift.data.parts import PARTS, read_rows, split_rows, write_parts
from promptlift.errors import InputError, RecordError
from promptlift.records import read_jsonl, write_jsonl
from promptlift.similarity import cluster


def some_rows(count: int, copies: int = 1) -> list[dict[str, Any]]:
    """Rows in families of `copies` near-duplicates."""
    return [
        {
            "id": f"r{n}-{c}",
            "prompt": hashlib.sha256(bytes([n])).hexdigest()[:20] + "?" * c,
            "optimized": "x",
            "mine": [n, c],
        }
        for n in range(count)
        for c in range(copies)
    ]


def names(part: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in part}


PROMPTS = st.lists(
    st.text(alphabet="abcdef ", min_size=1, max_size=20).filter(lambda text: text.strip()), min_size=1, max_size=20
)


@settings(deadline=None)
@given(
    PROMPTS, st.sampled_from([0.0, 0.1, 0.25, 0.4]), st.sampled_from([0.0, 0.1, 0.3]), st.integers(0, 3), st.randoms()
)
def test_every_row_is_in_one_part_and_no_cluster_in_two(
    prompts: list[str], validation: float, test: float, seed: int, shuffler: random.Random
) -> None:
    rows = [{"id": str(n), "prompt": prompt, "optimized": "x"} for n, prompt in enumerate(prompts)]
    parts = split_rows(rows, validation, test, seed)
    assert sorted(row["id"] for part in parts.values() for row in part) == sorted(row["id"] for row in rows)
    part_of = {row["id"]: name for name, part in parts.items() for row in part}
    labels = cluster(prompts)
    for row, label in zip(rows, labels, strict=True):
        for other, its in zip(rows, labels, strict=True):
            assert label != its or part_of[row["id"]] == part_of[other["id"]]
    assert len(parts["validation"]) <= round(validation * len(rows))
    assert len(parts["test"]) <= round(test * len(rows))
    shuffled = rows[:]
    shuffler.shuffle(shuffled)
    again = split_rows(shuffled, validation, test, seed)
    assert {name: names(part) for name, part in again.items()} == {name: names(part) for name, part in parts.items()}


def test_shares_are_met_and_the_seed_matters() -> None:
    rows = some_rows(60)
    parts = split_rows(rows, 0.1, 0.2)
    assert [len(parts[name]) for name in PARTS] == [42, 6, 12]
    assert names(split_rows(rows, 0.1, 0.2, seed=1)["test"]) != names(parts["test"])
    assert [row["id"] for row in parts["train"]] == [row["id"] for row in rows if row in parts["train"]], "file order"


def test_families_stay_together() -> None:
    parts = split_rows(some_rows(20, copies=3), 0.2, 0.2)
    families = [{row["id"].split("-")[0] for row in part} for part in parts.values()]
    assert not families[0] & families[1] and not families[0] & families[2] and not families[1] & families[2]
    assert all(families)


def test_unknown_keys_are_kept_and_files_are_not_overwritten(tmp_path: Path) -> None:
    rows = some_rows(30)
    parts = split_rows(rows)
    files = write_parts(parts, tmp_path / "out")
    back = [row for file in files.values() for _, row in read_jsonl(file)]
    assert sorted(map(json.dumps, back)) == sorted(map(json.dumps, rows))
    with pytest.raises(InputError, match="--force"):
        write_parts(parts, tmp_path / "out")
    write_parts(split_rows(rows, 0, 0), tmp_path / "out", force=True)
    assert (tmp_path / "out" / "test.jsonl").read_bytes() == b"", "nothing of the earlier split is left"


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.1), (0.9, 0.2)])
def test_shares_that_leave_nothing(validation: float, test: float) -> None:
    with pytest.raises(InputError, match="shares"):
        split_rows(some_rows(5), validation, test)


def test_bad_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_jsonl(path, [*some_rows(2), {"id": "r0-0", "prompt": "p", "optimized": "q"}])
    with pytest.raises(RecordError, match="line 3: id 'r0-0' stands in line 1 already"):
        read_rows(path)
    write_jsonl(path, [*some_rows(2), {"id": "x", "prompt": "p"}])
    with pytest.raises(RecordError, match="line 3: field 'optimized'"):
        read_rows(path)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_jsonl(path, some_rows(30))
    words = [sys.executable, "-m", "promptlift", "data", "split", str(path), "--out-dir", str(tmp_path / "out")]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {name: part["pairs"] for name, part in json.loads(done.stdout).items()} == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }
    again = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 1 and "--force" in again.stderr and len(again.stderr.splitlines()) == 1
