"""`adapt`, `targets` and `cache` end to end: a tiny prompter, a real HTTP server in the place of the target."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch")

from scripted_http import ScriptedEndpoint
from tiny import tiny_llama_gguf, tiny_prompter_folder
from tiny_hf import one_thread  # noqa: F401

from promptlift import adapters, artifacts
from promptlift.adapters import Adapter
from promptlift.cli import main
from promptlift.cli.cache import KINDS
from promptlift.data.target_pairs import FIRST
from promptlift.records import Pair, read_pairs, write_jsonl

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("default")]  # training libraries warn

THINGS = "tides rainbows glass bread salt rope wool iron paper clouds bridges violins".split()
PEOPLE = "beginners children experts teachers parents students artists farmers engineers travellers".split()
FORMS = "Use a table|Give short steps|Give one example for each part|Use plain words|Give a list of causes".split("|")
KEY = "sk-0123456789-not-for-files"
QUICK = ("--rank", "2", "--linear-rank", "2", "--epochs", "1", "--validation", "0.2", "--most-loss", "20")
"""Random weights find every text strange."""


class Place(NamedTuple):
    """Where a tiny prompter and its base are, and pairs for it."""

    home: Path
    prompter: Path
    base: Path
    pairs: Path

    def adapt(self, *words: str) -> list[str]:
        """The words of a quick `promptlift adapt`."""
        return ["adapt", *QUICK, "--prompter", str(self.prompter), "--base", str(self.base), *words]

    def rewrite(self, *words: str) -> list[str]:
        """The words of a `promptlift rewrite`."""
        where = ("--prompter", str(self.prompter), "--base-gguf", str(self.base))
        return ["rewrite", "explain how tides work", *words, *where]

    def find(self, target: str) -> Adapter:
        """An adapter of the prompter."""
        return adapters.find(artifacts.load(self.prompter), target)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("adapt")
    base = tiny_llama_gguf(home / "base.gguf")
    tiny_prompter_folder(home / "prompter", base, threshold=0.0)
    pairs = [
        Pair(str(k), prompt, f"{prompt}\n\nGive reasons, and say what {PEOPLE[k % 10]} get wrong.")
        for k, prompt in enumerate(prompts(30))
    ]
    write_jsonl(home / "pairs.jsonl", [pair.to_json() for pair in pairs])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTLIFT_CACHE", str(home / "cache"))
        patch.setenv("PROMPTLIFT_DATA", str(home / "data"))
        patch.setenv("COLUMNS", "200")
        patch.setenv("OPENAI_API_KEY", KEY)
        yield Place(home, home / "prompter", base, home / "pairs.jsonl")


def prompts(n: int) -> list[str]:
    """Prompts that no two of are near to each other."""
    return [
        f"explain how {THINGS[k % 12]} {hashlib.sha256(str(k).encode()).hexdigest()[:20]} came to be" for k in range(n)
    ]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process: torch is loaded once."""

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["promptlift", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


def fails(done: Done, *says: str, code: int = 1) -> None:
    """It ended in one line that holds `says`, below the progress."""
    assert done.code == code and done.out == "" and "Traceback" not in done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("promptlift: "), done.err
    for part in says:
        assert part in last, last


@pytest.fixture(scope="module")
def adapted(place: Place) -> dict[str, Any]:
    """What a process prints that adapts to `mine` from a file of pairs."""
    done = subprocess.run(
        [sys.executable, "-m", "promptlift", *place.adapt("--target", "mine", "--pairs", str(place.pairs), "--json")],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "training" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# --- from a file -----------------------------------------------------------------------


def test_adapt_prints_the_manifest_alone(place: Place, adapted: dict[str, Any]) -> None:
    assert adapted == json.loads((place.prompter / "targets" / "mine" / "manifest.json").read_text())
    assert (adapted["target"], adapted["form"], adapted["rank"], adapted["pairs"]) == ("mine", "low-rank", 2, 30)
    assert adapted["loss_after"] < adapted["loss_before"]
    assert adapted["source"] == {"pairs": "pairs.jsonl"} and adapted["standing"] == "unmeasured"
    assert adapted["strengths"] == ["light"]
    assert sorted(at.name for at in (place.prompter / "targets" / "mine").iterdir()) == [
        "adapter.safetensors",
        "manifest.json",
    ]
    assert not [at.name for at in (place.prompter / "targets").iterdir() if at.name.startswith(".")]


def test_the_adapter_is_used_by_name(place: Place, adapted: dict[str, Any], run: Run) -> None:
    done = run(*place.rewrite("--target", "mine", "--json"))
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["target"] == "mine" and row["rewrite"].startswith("explain how tides work")


def test_targets_lists_it(place: Place, adapted: dict[str, Any], run: Run) -> None:
    done = run("targets", "--prompter", str(place.prompter))
    assert done.code == 0
    for part in ("mine", "low-rank", "2+2", "30", "unmeasured", adapted["created"], f"{adapted['loss_after']:.2f}"):
        assert part in done.out, part
    row = listed(place, run, "mine")
    assert row["form"] == "low-rank" and row["base"] == "base" and row["pairs"] == 30
    assert row["folder"] == str(place.prompter / "targets" / "mine")


def listed(place: Place, run: Run, target: str) -> dict[str, Any]:
    """What `targets --json` says of one target."""
    (prompter,) = json.loads(run("targets", "--json", "--prompter", str(place.prompter)).out)["prompters"]
    assert target in prompter["targets"]
    (found,) = (row for row in prompter["adapters"] if row["target"] == target)
    return dict(found)


def test_a_broken_adapter_is_listed_with_the_reason(place: Place, adapted: dict[str, Any], run: Run) -> None:
    bad = place.prompter / "targets" / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text('{"format": 1, "target": "bad"')
    done = run("targets", "--prompter", str(place.prompter))
    assert "can't be read" in done.out and "mine" in done.out
    assert sorted(listed(place, run, "bad")) == ["error", "target"]
    fails(run(*place.rewrite("--target", "bad")), "can't be read", "promptlift adapt")
    fails(run("targets", "mark", "bad", "worse", "--prompter", str(place.prompter)), "can't be read")
    assert run("targets", "remove", "bad", "--prompter", str(place.prompter)).code == 0
    assert not bad.exists()


def test_an_adapter_marked_as_worse_than_none_is_told_and_not_used(
    place: Place, adapted: dict[str, Any], run: Run
) -> None:
    def mark(*words: str) -> Done:
        return run("targets", "mark", "mine", *words, "--prompter", str(place.prompter))

    assert mark("worse", "--why", "lift -3.0 against none").code == 0
    row = listed(place, run, "mine")
    assert (row["standing"], row["why"]) == ("worse", "lift -3.0 against none")
    assert "mine, worse than none: lift -3.0 against none" in run("targets", "--prompter", str(place.prompter)).out
    done = run(*place.rewrite("--target", "mine"))
    assert done.code == 0 and "the adapter for mine is not used" in done.err and "--unproven" in done.err
    done = run(*place.rewrite("--target", "mine", "--unproven"))
    assert done.code == 0 and "is not used" not in done.err
    assert mark("odd").code == 2
    assert mark("unmeasured").code == 0
    assert place.find("mine").manifest.model_dump(mode="json") == adapted
    fails(
        run("targets", "mark", "nobody", "worse", "--prompter", str(place.prompter)), "no adapter for target 'nobody'"
    )


def test_the_full_form_is_run_by_torch_alone(place: Place, adapted: dict[str, Any], run: Run) -> None:
    done = run(*place.adapt("--target", "paper", "--pairs", str(place.pairs), "--form", "full"))
    assert done.code == 0, done.err
    assert listed(place, run, "paper")["form"] == "full"
    fails(run(*place.rewrite("--target", "paper")), "'paper' has the full form", "--engine torch")
    done = run(*place.rewrite("--target", "paper", "--engine", "torch", "--json"))
    assert done.code == 0 and json.loads(done.out)["target"] == "paper", done.err


def test_the_features_are_kept_and_shown_and_cleared(place: Place, adapted: dict[str, Any], run: Run) -> None:
    def kept() -> dict[str, float]:
        found = json.loads(run("cache", "--json").out)
        assert found["folder"] == str(place.home / "cache")
        return {row["kind"]: row["megabytes"] for row in found["kinds"]}

    assert list(kept()) == list(KINDS) and kept()["features"] >= 0.1
    again = run(*place.adapt("--target", "again", "--pairs", str(place.pairs)))
    assert again.code == 0 and "features" not in again.err.split("training")[0], "the trunk does not run again"
    assert "Use it: promptlift rewrite" in again.err and again.err.split()[-2:] == ["--target", "again"]
    assert again.out == ""
    assert place.find("again").manifest.loss_after == adapted["loss_after"], "the same pairs and seed, the same adapter"
    shown = run("cache")
    assert shown.code == 0 and "hidden states" in shown.out and str(place.home / "cache") in shown.out
    assert run("cache", "--clear", "features").code == 0
    assert kept()["features"] == 0 and not (place.home / "cache" / "features").exists()
    other = place.home / "cache" / "target-pairs"
    other.mkdir(exist_ok=True)
    assert run("cache", "--clear", "all").code == 0
    assert sum(kept().values()) == 0 and not other.exists()
    assert place.find("again")


def test_what_was_made_can_be_removed(place: Place, adapted: dict[str, Any], run: Run) -> None:
    assert run(*place.adapt("--target", "short:lived", "--pairs", str(place.pairs))).code == 0
    assert (place.prompter / "targets" / "short-lived").is_dir()
    fails(run(*place.adapt("--target", "short/lived", "--pairs", str(place.pairs))), "folder of target 'short:lived'")
    done = run("targets", "remove", "short:lived", "--prompter", str(place.prompter))
    assert done.code == 0 and done.out == "" and "removed" in done.err
    fails(run("targets", "remove", "short:lived", "--prompter", str(place.prompter)), "no adapter for target", "mine")
    assert place.find("mine")


def test_pairs_that_are_all_strange_say_what_to_change(place: Place, run: Run) -> None:
    done = run(*place.adapt("--target", "odd", "--pairs", str(place.pairs), "--most-loss", "2"))
    fails(done, "0 of 30 pairs can be learnt from, 20 are needed", "raise --most-loss (now 2.0)")
    few = place.home / "few.jsonl"
    few.write_text("".join(place.pairs.read_text().splitlines(keepends=True)[:10]))
    fails(run(*place.adapt("--target", "odd", "--pairs", str(few))), "20 are needed")
    assert "odd" not in adapters.paths(artifacts.load(place.prompter))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("adapt", "--target", "x", "--gguf", "a.gguf", "--pairs", "{pairs}"), "with one of: --gguf PATH, --base-url URL, or --pairs FILE"),
        (("adapt", "--target", "x", "--gguf", "a.gguf", "--base-url", "http://127.0.0.1:9/v1"), "with one of:"),
        (("adapt", "--target", "x"), "with one of:"),
        (("adapt", "--target", "a b", "--pairs", "{pairs}"), "target name 'a b': letters, digits"),
        (("adapt", "--target", "../x", "--pairs", "{pairs}"), "target name '../x'"),
        (("adapt", "--target", "x", "--pairs", "none.jsonl"), "can't read none.jsonl"),
        (("adapt", "--target", "x", "--gguf", "none.gguf"), "none.gguf"),
        (("adapt", "--target", "x", "--base-url", "http://127.0.0.1:9/v1", "--max-usd", "1"), "--usd-per-million"),
        (("adapt", "--target", "x", "--base-url", "http://127.0.0.1:9/v1", "--seeds", "none.txt"), "can't read none.txt"),
        (("targets", "remove", "nobody"), "no adapter for target 'nobody'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(place: Place, run: Run, words: tuple[str, ...], says: str) -> None:
    done = run(*(word.format(pairs=place.pairs) for word in words), "--prompter", str(place.prompter))
    fails(done, says)
    assert len(done.err.strip().splitlines()) == 1


def test_a_kind_of_cache_that_is_unknown_is_one_line(run: Run) -> None:
    done = run("cache", "--clear", "everything")
    fails(done, "--clear 'everything': one of features, engines, adapters, target-pairs, answers, or all")
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words", [("--form", "huge"), ("--rank", "0"), ("--n", "0"), ("--tries", "99"), ("--nonsense",)]
)
def test_options_out_of_range_are_exit_2(place: Place, run: Run, words: tuple[str, ...]) -> None:
    done = run(*place.adapt("--target", "x", "--pairs", str(place.pairs)), *words)
    assert done.code == 2 and done.out == "" and words[0] in done.err


# --- from the target -------------------------------------------------------------------


def replies(text: str) -> str:
    """How a target would like to be asked; now and then it answers the prompt instead."""
    if "explain how rope" in text:
        return "Rope is made of fibres."
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return f"{FORMS[number % 5]}, and end with the one thing that {PEOPLE[number // 5 % 10]} mostly get wrong."


@pytest.fixture
def target() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(replies) as found:
        yield found


def test_a_target_is_asked_once_and_learnt(place: Place, target: ScriptedEndpoint, run: Run, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("\n".join(prompts(36)) + "\n")
    words = place.adapt("--target", "remote:1", "--base-url", target.url, "--model", "m", "--seeds", str(seeds),
                        "--tries", "2", "--cache", str(tmp_path / "answers.sqlite"))  # fmt: skip
    fails(run(*words, "--max-calls", "5"), "--max-calls 5 is reached", "run it again with a higher limit")
    assert len(target.asked) == 5
    kept = place.home / "cache" / "target-pairs" / "remote-1.jsonl"
    assert 0 < len(read_pairs(kept)) <= 5
    assert "remote:1" not in adapters.paths(artifacts.load(place.prompter))

    done = run(*words)
    assert done.code == 0, done.err
    assert "33 pairs of 36 prompts; dropped: {'answered': 3}" in done.err
    assert len(target.asked) == len(set(target.asked)) == 33 + 2 * 3
    adapter = place.find("remote:1")
    assert adapter.manifest.pairs == 33
    source = adapter.manifest.source
    assert (source["seeds"], source["accepted"], source["dropped"]) == (36, 33, {"answered": 3})
    pairs = read_pairs(kept)
    assert {pair.target for pair in pairs} == {"remote:1"} and len(pairs) == 33
    dropped = [json.loads(line) for line in kept.with_name("remote-1.dropped.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in dropped] == [p for p in prompts(36) if "rope" in p]

    again = run(*words, "--json", "--save-pairs", str(tmp_path / "more" / "saved.jsonl"))
    assert again.code == 0, again.err
    assert len(target.asked) == 39, "a rerun asks nothing"
    assert json.loads(again.out)["data_sha256"] == adapter.manifest.data_sha256
    assert read_pairs(tmp_path / "more" / "saved.jsonl") == pairs
    assert place.find("remote:1").manifest.loss_after == adapter.manifest.loss_after

    files = [at for folder in (place.home, tmp_path) for at in folder.rglob("*") if at.is_file()]
    assert not [at for at in files if KEY.encode() in at.read_bytes()], "the key reaches no file"
    assert KEY not in done.err + again.err + again.out


def test_a_target_that_refuses_is_told_with_the_reason(
    place: Place, target: ScriptedEndpoint, run: Run, tmp_path: Path
) -> None:
    target.status = 401
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("\n".join(prompts(2)) + "\n")
    done = run(*place.adapt("--target", "gone", "--base-url", target.url, "--seeds", str(seeds)))
    fails(done, "gone gave 0 pairs, 20 are needed", "llm:", "refuses the key", "OPENAI_API_KEY")
    assert KEY not in done.err


def test_a_target_that_fails_at_the_first_seeds_is_not_asked_about_the_others(
    place: Place, target: ScriptedEndpoint, run: Run, tmp_path: Path
) -> None:
    target.status = 401
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("\n".join(prompts(40)) + "\n")
    words = place.adapt("--target", "gone", "--base-url", target.url, "--seeds", str(seeds))
    done = run(*words, "--cache", str(tmp_path / "answers.sqlite"))
    fails(done, "refuses the key", "OPENAI_API_KEY")
    assert len(target.asked) == FIRST
    assert KEY not in done.err and "gone" not in adapters.paths(artifacts.load(place.prompter))


@pytest.mark.parametrize("source", ["--base-url", "--gguf"])
def test_a_missing_torch_is_told_before_the_target_is_asked(
    place: Place, target: ScriptedEndpoint, run: Run, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    where = {"--base-url": target.url, "--gguf": "none.gguf"}[source]
    done = run(*place.adapt("--target", "late", source, where))
    fails(done, "adapting (torch) needs the extra 'train': pip install 'promptlift[train]'")
    assert len(done.err.strip().splitlines()) == 1 and target.asked == []


def test_a_target_that_only_answers_is_told_with_the_reason(
    place: Place, target: ScriptedEndpoint, run: Run, tmp_path: Path
) -> None:
    seeds = tmp_path / "seeds.txt"
    seeds.write_text("\n".join(f"explain how rope is made in {k}" for k in range(25)) + "\n")
    done = run(*place.adapt("--target", "weak", "--base-url", target.url, "--seeds", str(seeds), "--tries", "1"))
    fails(done, "weak gave 0 pairs, 20 are needed", "answered", "--save-pairs")
    assert "weak" not in adapters.paths(artifacts.load(place.prompter))
