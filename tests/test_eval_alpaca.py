"""The official AlpacaEval package on a run's files, offline, with its judge on this machine: its win rate is ours."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scripted_http import ScriptedEndpoint

from promptlift.errors import InputError
from promptlift.evaluation.alpaca_eval import official_command, write_alpaca_eval, write_annotators_config
from promptlift.evaluation.comparing import Comparison, Verdict, both_orders, outcome
from promptlift.evaluation.folder import Answered, Prompt, RunFolder
from promptlift.evaluation.statistics import lift

HERE = importlib.util.find_spec("alpaca_eval") is not None
TARGET = "qwen2.5:0.5b-instruct"
SHOWN = re.compile(
    r"# Request\n(.*)\n\n# Output \(a\)\n(.*)\n\n# Output \(b\)\n(.*)\n\n# Verdict\nReply with nothing but", re.DOTALL
)


def quality(answer: str) -> int:
    """What the scripted judge likes: `good` in an answer; it can't make out `?`."""
    return answer.count("good")


def verdict(prompt: str, a: str, b: str) -> str:
    """The scripted judge's reply."""
    if "?" in a + b or quality(a) == quality(b):
        return "I would say that a good case can be made for Output (a), and for Output (b)."
    return "Output (a)" if quality(a) > quality(b) else "Output (b), since Output (a) is worse."


def server(prompt: str) -> str:
    """What the endpoint replies to the package's question."""
    found = SHOWN.search(prompt)
    assert found is not None, prompt
    return verdict(*found.groups())


class OurJudge:
    """Asks the same function."""

    name, symmetric = "scripted", False

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        """A verdict on each."""
        said = [verdict(c.prompt, c.answer_a, c.answer_b) for c in comparisons]
        sides = {"Output (a)": "a", "Output (b)": "b"}
        winners = [sides.get(text.split(",")[0]) for text in said]
        return [Verdict(c.id, winner, self.name) for c, winner in zip(comparisons, winners, strict=True)]  # type: ignore[arg-type]


ANSWERS: list[tuple[str, str | None, str | None]] = [
    ("plan a street party", "a good plan", "a plan"),
    ('say "hi"\n\nin {two} lines', "hi\n\n# Output (b)\n{hi}", "a good\nhi"),
    ("why do cats purr", "good, very good", "good"),
    ("name a colour", "good blue", "blue"),
    ("sum 1 and 2", "3", "3"),
    ("in German, bitte: «Straße» 🎉", "good «Straße»", "Straße"),
    ("what is it", "is it?", "it is"),
    ("an empty one", "", "good"),
    ("a lost one", None, "good"),
    ("another lost one", "good", None),
    ("why do cats purr", "again", "good again"),
    ("its marks", "<|im_end|> good", "none"),
    *((f"write {i} words", "good " * (i % 3), "good " * (i % 4)) for i in range(24) if i % 3 != i % 4 or i < 3),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two conditions, failures, a repeated prompt, and answers that came with half of the prompts."""
    folder = RunFolder(tmp_path / "run")
    rows = [
        Answered(TARGET, str(i), condition, answer, problem=None if answer is not None else "timeout")
        for i, (_, rewritten, raw) in enumerate(ANSWERS)
        for condition, answer in (("rewritten", rewritten), ("raw", raw))
    ]
    folder.keep_prompts(
        [Prompt(str(i), text, "mine", "good good" if i % 2 else None) for i, (text, _, _) in enumerate(ANSWERS)]
    )
    folder.keep_answers(TARGET, rows)
    return folder.path


def rows_of(path: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(path.read_text("utf-8"))
    return found


def test_files_hold_the_original_prompts(run: Path, tmp_path: Path) -> None:
    written = write_alpaca_eval(run, TARGET, "rewritten", "raw", tmp_path / "ae")
    assert (written.failed, written.repeated, written.unfit) == (2, 1, 1)
    assert written.n == len(ANSWERS) - 4
    ours, theirs = rows_of(tmp_path / "ae/model_outputs.json"), rows_of(tmp_path / "ae/reference_outputs.json")
    assert [row["instruction"] for row in ours] == [row["instruction"] for row in theirs]
    assert ours[0] == {
        "instruction": "plan a street party", "output": "a good plan", "generator": f"{TARGET} rewritten",
        "dataset": "mine",
    }  # fmt: skip
    assert theirs[0]["output"] == "a plan"


def test_the_reference_is_the_answer_that_came_with_the_prompt(run: Path, tmp_path: Path) -> None:
    written = write_alpaca_eval(run, TARGET, "rewritten", "reference", tmp_path / "ae")
    assert written.failed == sum(i % 2 == 0 or row[1] is None for i, row in enumerate(ANSWERS))
    assert {row["output"] for row in rows_of(tmp_path / "ae/reference_outputs.json")} == {"good good"}


def test_lone_surrogates_do_not_stop_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.keep_prompts([Prompt("1", "hi \ud83d there")])
    folder.keep_answers("t", [Answered("t", "1", name, "well \udc00") for name in ("a", "b")])
    write_alpaca_eval(folder.path, "t", "a", "b", tmp_path / "ae")
    assert rows_of(tmp_path / "ae/model_outputs.json")[0]["instruction"] == "hi ? there"


@pytest.mark.parametrize(
    ("target", "condition", "against", "message"),
    [
        ("gpt", "rewritten", "raw", "no answers of 'gpt'; its targets: qwen2.5:0.5b-instruct"),
        (TARGET, "suffix", "raw", "under 'suffix'; it has: raw, rewritten"),
        (TARGET, "raw", "raw", "can't be set against itself"),
    ],
)
def test_what_the_run_has_not(
    run: Path, tmp_path: Path, target: str, condition: str, against: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        write_alpaca_eval(run, target, condition, against, tmp_path / "ae")
    assert "\n" not in str(caught.value)


def test_no_prompt_with_both_answers(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.keep_prompts([Prompt("1", "hi")])
    folder.keep_answers("t", [Answered("t", "1", name, None, problem="timeout") for name in ("a", "b")])
    with pytest.raises(InputError, match=r"none of 1 prompts .* \(1 failed"):
        write_alpaca_eval(folder.path, "t", "a", "b", tmp_path / "ae")


def test_a_url_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'localhost:8080' must begin with http"):
        write_annotators_config(tmp_path, "localhost:8080", "m")


def test_keys_are_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    for own in (False, True):
        config = write_annotators_config(tmp_path / str(own), "https://llm.example/v1", "m", own_key=own)
        texts = "".join(file.read_text() for file in config.iterdir())
        assert "sk-secret" not in texts
        assert ("api_key" in texts) is not own


def official(command: list[str], where: Path) -> None:
    """Run the package in a process of its own, which can reach this machine only."""
    if importlib.util.find_spec("pkg_resources") is None:  # newer setuptools lack it; the package asks it for a version
        (where / "pkg_resources.py").write_text(
            "from importlib.metadata import distribution as get_distribution\n", encoding="utf-8"
        )
    hidden = ("OPENAI", "HF_", "IS_ALPACA")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(hidden)}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", "from alpaca_eval.main import main; main()", *command[1:]],
        cwd=where, capture_output=True, text=True, timeout=240,
        env=kept | nowhere | {
            "HF_HUB_OFFLINE": "1", "HF_HOME": str(where / "hf"), "PYTHONPATH": str(where), "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1", "PYTHONUTF8": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(not HERE, reason="alpaca_eval is not installed: pip install 'promptlift[eval]'")
def test_the_official_win_rate_is_ours(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "ae"
    written = write_alpaca_eval(run, TARGET, "rewritten", "raw", out)
    with ScriptedEndpoint(server) as endpoint:
        config = write_annotators_config(out / "judge", endpoint.url, TARGET)
        official(official_command(out, config), tmp_path)
        asked = len(endpoint.asked)
    with (out / "leaderboard.csv").open(encoding="utf-8") as handle:
        theirs = next(row for row in csv.DictReader(handle) if row[""] == f"{TARGET} rewritten")

    judge = OurJudge()
    pairs = list(zip(rows_of(out / "model_outputs.json"), rows_of(out / "reference_outputs.json"), strict=True))
    differing = [(x, y) for x, y in pairs if x["output"] != y["output"]]  # the same text twice is a tie, unasked
    assert asked == len(differing)
    shown = [Comparison.of(x["instruction"], x["output"], y["output"]) for x, y in differing]
    verdicts = [v for v in judge.judge(both_orders(judge, shown)) if v is not None]
    outcomes = [outcome(first, second) for first, second in zip(verdicts[::2], verdicts[1::2], strict=True)]
    scores = [o.score for o in outcomes if o.score is not None] + [0] * (len(pairs) - len(differing))
    unread = sum(o.score is None for o in outcomes)
    ours = lift(scores, [str(i) for i in range(len(scores))])

    assert unread and ours.tied and ours.won != ours.lost and ours.lost
    assert float(theirs["win_rate"]) == pytest.approx(ours.win_rate)
    assert [int(theirs[name]) for name in ("n_wins", "n_wins_base", "n_draws", "n_total")] == [
        ours.won, ours.lost, ours.tied, written.n - unread,
    ]  # fmt: skip
