"""`data import`: what people have becomes pairs, and no row is lost in silence."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.data.imports import Fields, import_pairs
from promptlift.errors import InputError
from promptlift.records import read_pairs, write_jsonl

ROWS = [
    {"prompt": "why does ice float", "optimized": "Explain why ice floats."},
    {"prompt": "names for a bakery", "optimized": "Suggest ten names for a bakery."},
]


def as_texts(made: Any) -> list[tuple[str, str]]:
    return [(pair.prompt, pair.optimized) for pair in made.pairs]


WANTED = [(row["prompt"], row["optimized"]) for row in ROWS]


@pytest.mark.parametrize(
    ("prompt", "optimized"),
    [
        ("prompt", "optimized_prompt"), ("instruction", "rewritten"), ("Raw Prompt", "Improved-Prompt"),
        ("question", "better_prompt"), ("input", "enhanced"), ("original_prompt", "rewritten_prompt"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_common_names_are_found(prompt: str, optimized: str, suffix: str, tmp_path: Path) -> None:
    rows = [{"note": "n", prompt: row["prompt"], optimized: row["optimized"]} for row in ROWS]
    path = tmp_path / f"s{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        write_jsonl(path, rows)
    made = import_pairs(str(path), topic="mine")
    assert as_texts(made) == WANTED and made.skipped == []
    assert {pair.topic for pair in made.pairs} == {"mine"}
    assert made.pairs[0].extra == {"note": "n"}
    assert made.pairs[0].source == path.name
    assert [pair.id for pair in made.pairs] == [pair.id for pair in import_pairs(str(path)).pairs], "ids are stable"


def test_answers_are_not_taken_for_prompts(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"instruction": "why does ice float", "output": "Because it is less dense."}])
    with pytest.raises(
        InputError, match="which field holds the optimized prompt.*instruction, output.*--optimized-field"
    ):
        import_pairs(str(tmp_path / "a.jsonl"))
    with pytest.raises(InputError, match="no field 'nope'"):
        import_pairs(str(tmp_path / "a.jsonl"), fields=Fields(optimized="nope"))
    made = import_pairs(str(tmp_path / "a.jsonl"), fields=Fields(optimized="output"))
    assert as_texts(made) == [("why does ice float", "Because it is less dense.")]


def test_bpo_keeps_the_answers(tmp_path: Path) -> None:
    row = {"prompt": "p one", "optimized_prompt": "Say p one.", "good_res": "g", "bad_res": "b"}
    write_jsonl(tmp_path / "bpo.jsonl", [row])
    (pair,) = import_pairs(str(tmp_path / "bpo.jsonl"), "bpo").pairs
    assert (pair.prompt, pair.optimized) == ("p one", "Say p one.")
    assert pair.extra == {"good_res": "g", "bad_res": "b"}


@pytest.mark.parametrize(
    "document",
    [
        [{"question": r["prompt"], "rewrite": r["optimized"]} for r in ROWS],
        [{"_store": {"question": r["prompt"], "rewrite": r["optimized"]}, "_input_keys": ["question"]} for r in ROWS],
        {"demos": [{"augmented": True, "question": r["prompt"], "rewrite": r["optimized"]} for r in ROWS]},
        {
            "rewriter.predict": {"traces": [], "demos": [{"question": ROWS[0]["prompt"], "rewrite": ROWS[0]["optimized"]}], "signature": {}},
            "second": {"predict": {"demos": [{"question": ROWS[1]["prompt"], "rewrite": ROWS[1]["optimized"]}]}},
            "metadata": {"dependency_versions": {"python": "3.11"}},
        },
    ],
)  # fmt: skip
def test_dspy(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "program.json"
    path.write_text(json.dumps(document))
    assert as_texts(import_pairs(str(path), "dspy")) == WANTED
    assert as_texts(import_pairs(str(path))) == WANTED
    path.write_text(json.dumps({"signature": {}}))
    with pytest.raises(InputError, match="no rows found"):
        import_pairs(str(path), "dspy")


def test_bad_rows_are_named_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    lines = [
        '{"prompt": "a b", "rewrite": "Say a b."}', "{broken", '{"prompt": "c d"}', '{"prompt": "  ", "rewrite": "x"}', "[1]",
        "", '{"prompt": "a b", "rewrite": "Say a b."}', '{"prompt": "e f", "rewrite": 7}', '{"prompt": "g h", "rewrite": "Say g h."}',
    ]  # fmt: skip
    path.write_text("\n".join(lines))
    made = import_pairs(str(path))
    assert [pair.prompt for pair in made.pairs] == ["a b", "g h"]
    assert [s.where for s in made.skipped] == [f"line {n}" for n in (2, 3, 4, 5, 7, 8)]
    assert made.skipped[4].reason == "the same pair again: line 1"
    assert made.reasons()["no text in 'rewrite'"] == 2
    assert sum(made.reasons().values()) + len(made.pairs) == sum(bool(line) for line in lines)


def test_csv_goes_on_after_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        'prompt,rewrite\n"a\nb",Say a b.\n"c"x,Say c.\nd,Say d.,more\n\ne,\nf,Say f.\n"never closed,Say g.\nh,Say h.\n'
    )
    made = import_pairs(str(path))
    assert as_texts(made) == [("a\nb", "Say a b."), ("f", "Say f.")]
    assert [s.where for s in made.skipped] == ["line 4", "line 5", "line 7", "line 9"]
    assert "it ends in line 10" in made.skipped[-1].reason


def test_ids_and_keys_are_kept(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "prompt": "a b", "optimized": "Say a b.", "topic": 3, "extra": 1, "source": None},
        {"id": 7, "prompt": "c d", "optimized": "Say c d.", "optimized_light": "c d\n\nBe brief and clear."},
    ]
    write_jsonl(tmp_path / "s.jsonl", rows)
    made = import_pairs(str(tmp_path / "s.jsonl"))
    first, second = made.pairs
    assert first.id == "7" and first.topic == "3" and first.extra == {"imported_extra": 1}
    assert made.renamed == 1 and second.id != "7" and second.extra == {"imported_id": 7}
    assert second.optimized_light == "c d\n\nBe brief and clear."


@pytest.mark.filterwarnings("default")  # the libraries below warn about themselves
def test_a_local_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([{"instruction": r["prompt"], "improved": r["optimized"]} for r in ROWS])
    table.save_to_disk(str(tmp_path / "one"))
    assert as_texts(import_pairs(str(tmp_path / "one"))) == WANTED
    datasets.DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(str(tmp_path / "two"))
    assert as_texts(import_pairs(str(tmp_path / "two"), split="test")) == WANTED[:1]
    with pytest.raises(InputError, match="no split 'dev'; it has: train, test"):
        import_pairs(str(tmp_path / "two"), split="dev")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="can't load the dataset"):
        import_pairs(str(tmp_path / "none"))


WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "prompt", "optimized", "topic", "k"]), WORDS | st.none() | st.integers()
        ),
        max_size=8,
    )
)
def test_every_row_is_a_pair_or_is_left_out_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("import") / "s.jsonl"
    write_jsonl(path, rows)
    try:
        made = import_pairs(str(path), fields=Fields("prompt", "optimized"))
    except InputError:
        return
    assert len(made.pairs) + len(made.skipped) == len(rows)
    assert len({pair.id for pair in made.pairs}) == len(made.pairs)
    if made.pairs:
        write_jsonl(path, [pair.to_json() for pair in made.pairs])
        assert read_pairs(path) == made.pairs
        assert import_pairs(str(path)).pairs == made.pairs, "pairs come through as they are"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "promptlift", "data", "import", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_command(tmp_path: Path) -> None:
    source, out = tmp_path / "s.jsonl", tmp_path / "out.jsonl"
    write_jsonl(source, [*ROWS, {"prompt": "no more"}])
    done = run(str(source), "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pairs"] == 2 and told["skipped"] == [{"where": "line 3", "reason": "no text in 'optimized': None"}]
    assert "line 3: left out: no text in 'optimized'" in done.stderr
    assert len(read_pairs(out)) == 2
    again = run(str(source), "--out", str(out))
    assert again.returncode == 1 and "--force" in again.stderr and len(again.stderr.splitlines()) == 1
    assert run(str(source), "--out", str(out), "--force").returncode == 0


def test_the_command_writes_nothing_when_nothing_is_left(tmp_path: Path) -> None:
    source, out = tmp_path / "s.jsonl", tmp_path / "out.jsonl"
    source.write_text("{broken\n[]\n")
    done = run(str(source), "--out", str(out))
    assert done.returncode == 1 and not out.exists()
    assert "no row could be used (2 left out)" in done.stderr.splitlines()[-1]
    assert run(str(tmp_path / "none.csv"), "--out", str(out)).returncode == 1
