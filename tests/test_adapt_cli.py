"""`promptlift adapt`, `targets` and `cache` end to end, on a tiny prompter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_hf import one_thread, taught_pairs, tiny_model  # noqa: F401
from typer.testing import CliRunner

from promptlift.cli.app import app
from promptlift.records import write_jsonl

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("default")]  # training libraries warn


@pytest.fixture(scope="module")
def prompter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny prompter folder, trained for a few steps."""
    from promptlift.training.layout import StageOneSettings
    from promptlift.training.sft import train

    home = tmp_path_factory.mktemp("prompter")
    settings = StageOneSettings(rank=2, epochs=1, max_tokens=256, validation=0.2, dtype="float32")
    train(taught_pairs(26, identities=6), str(tiny_model(home / "base")), home / "toy", settings)
    return home / "toy"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "pairs.jsonl", [pair.to_json() for pair in taught_pairs(40)])
    return tmp_path / "pairs.jsonl"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTLIFT_DATA", str(tmp_path / "data"))


def run(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)


def test_pairs_to_an_adapter_that_is_listed_used_marked_and_removed(prompter: Path, pairs: Path) -> None:
    few = ("--rank", "2", "--linear-rank", "2", "--epochs", "2", "--most-loss", "99", "--vocabulary", "64")
    done = run("adapt", "--target", "my:llm", "--pairs", pairs, "--prompter", prompter, *few, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["target"] == "my:llm" and made["loss_after"] < made["loss_before"] and made["standing"] == "unmeasured"

    listed = json.loads(run("targets", "--prompter", prompter, "--json").stdout)["prompters"][0]
    assert listed["targets"] == ["my:llm"] and listed["adapters"][0]["form"] == "low-rank"
    assert "my:llm" in run("targets", "--prompter", prompter).stdout

    written = run(
        "rewrite", "Plan a party", "--prompter", prompter, "--engine", "torch", "--target", "my:llm", "--json"
    )
    assert written.exit_code == 0, written.output
    assert json.loads(written.stdout)["target"] == "my:llm"

    run("targets", "mark", "my:llm", "worse", "--why", "lift -9", "--prompter", prompter)
    told = run("rewrite", "Plan a party", "--prompter", prompter, "--engine", "torch", "--target", "my:llm")
    assert "is not used" in told.stderr and "lift -9" in run("targets", "--prompter", prompter).stdout

    assert run("targets", "remove", "my:llm", "--prompter", prompter).exit_code == 0
    gone = run("rewrite", "Plan a party", "--prompter", prompter, "--engine", "torch", "--target", "my:llm")
    assert "no adapter for target 'my:llm'" in str(gone.exception) and "promptlift adapt" in str(gone.exception)


def test_the_features_are_found_again_until_they_are_cleared(prompter: Path, pairs: Path, tmp_path: Path) -> None:
    common = ("--pairs", pairs, "--prompter", prompter, "--epochs", "1", "--most-loss", "99", "--rank", "2")
    assert run("adapt", "--target", "a", *common).exit_code == 0
    folders = list((tmp_path / "cache" / "features").iterdir())
    assert run("adapt", "--target", "b", *common, "--form", "full").exit_code == 0
    assert list((tmp_path / "cache" / "features").iterdir()) == folders
    before = {row["kind"]: row["megabytes"] for row in json.loads(run("cache", "--json").stdout)["kinds"]}
    assert before["features"] > 0 and run("cache", "--clear", "features").exit_code == 0
    assert not (tmp_path / "cache" / "features").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("adapt", "--target", "x"), "say where the target is"),
        (("adapt", "--target", "x", "--gguf", "m.gguf", "--base-url", "http://localhost:1/v1"), "say where"),
        (("adapt", "--target", "../x", "--gguf", "m.gguf"), "target name '../x'"),
        (("cache", "--clear", "all-of-it"), "--clear 'all-of-it'"),
        (("targets", "remove", "nobody"), "no adapter for target 'nobody'"),
    ],
)
def test_wrong_usage_is_one_line(words: tuple[str, ...], told: str) -> None:
    found = run(*words)
    assert told in str(found.exception) and "\n" not in str(found.exception)


def test_too_few_pairs_are_told(prompter: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "few.jsonl", [pair.to_json() for pair in taught_pairs(6)])
    found = run("adapt", "--target", "few", "--pairs", tmp_path / "few.jsonl", "--prompter", prompter)
    assert found.exit_code == 1 and "pairs" in str(found.exception)
