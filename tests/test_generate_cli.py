"""`data generate` and `from-preferences` end to end, against a real HTTP server in the place of the LLM."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_http import ScriptedEndpoint

RICH = "Cover what it is for, the usual mistakes and one way to check the result."


def replies(text: str) -> str:
    """What an LLM says that does its work."""
    raw = text.rsplit("Prompt:\n", 1)[-1].split("\n\nRewrite:")[0].split("\n\nBetter")[0].strip()
    if "two answers to the same prompt" in text:
        return "It names the causes."
    if text.startswith("What does the prompt below"):
        return "FACT" if "closed" in raw else "TEXT"
    rewrites = text.startswith("A person is about") and "Rewrite it so" in text
    if rewrites or text.startswith("Rewrite the prompt below"):
        return f"{raw}\n{RICH}"
    if "one sentence of 5 to 20" in text:
        return "Give the steps in order, the most important first."
    if "Say again in one sentence" in text:
        return f"Explain {raw}."
    if "What does a good answer" in text:
        return "A good repair guide gives the steps in order and says how to check the result."
    return "OK"


@pytest.fixture
def llm() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint(replies) as found:
        yield found


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.txt"
    lines = [f"{hashlib.sha256(str(k).encode()).hexdigest()[:24]} how do i repair this thing {k}" for k in range(12)]
    path.write_text("\n".join([*lines, "is a closed question closed"]) + "\n")
    return path


def _command(url: str, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "promptlift", "data", *more, "--base-url", url, "--llm", "m",
            "--cache", str(folder / "cache.sqlite")]  # fmt: skip


def _run(url: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(url, folder, *more), capture_output=True, text=True, check=False)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_seeds_become_a_file_of_pairs_that_train_can_read(llm: ScriptedEndpoint, seeds: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    done = _run(llm.url, tmp_path, "generate", "--seeds", str(seeds), "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["pairs"], told["identity"], told["whole"]) == (13, 1, True)
    assert told["spent"]["calls"] == len(llm.asked) == 12 * 6 + 1
    assert told["spent"]["read"] == 100 * len(llm.asked)
    from promptlift.records import read_pairs

    assert [p.prompt for p in read_pairs(out)] == seeds.read_text().splitlines()
    assert all(row["optimized"].endswith(RICH) for row in _rows(out)[:12])
    again = _run(llm.url, tmp_path, "generate", "--seeds", str(seeds), "--out", str(out))
    assert again.returncode == 1 and "--force" in again.stderr and again.stderr.count("\n") == 1


def test_killed_and_started_again_it_asks_nothing_twice(llm: ScriptedEndpoint, seeds: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    more = ("generate", "--seeds", str(seeds), "--out", str(out), "--concurrency", "2")
    llm.delay = 0.05
    running = subprocess.Popen(_command(llm.url, tmp_path, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(llm.asked) < 15:
        time.sleep(0.01)
        assert running.poll() is None
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(0.2)  # what is in the server's hands ends there
    llm.delay = 0.0
    before = len(llm.asked)
    assert not out.exists()
    done = _run(llm.url, tmp_path, *more)
    assert done.returncode == 0, done.stderr
    assert len(_rows(out)) == 13
    # At most the answers that were on their way when it was killed are asked for again.
    assert len(llm.asked) - len(set(llm.asked)) <= 2 and before < len(llm.asked)


def test_a_spent_budget_leaves_a_part_and_says_how_to_go_on(llm: ScriptedEndpoint, seeds: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    more = ("generate", "--seeds", str(seeds), "--out", str(out))
    done = _run(llm.url, tmp_path, *more, "--max-usd", "0.01", "--usd-per-million", "10,20")
    assert done.returncode == 1 and "--max-usd 0.01 is reached" in done.stderr
    assert not out.exists() and len(_rows(tmp_path / "pairs.jsonl.part")) < 13
    assert _run(llm.url, tmp_path, *more).returncode == 0
    assert len(_rows(out)) == 13 and not (tmp_path / "pairs.jsonl.part").exists()
    assert len(llm.asked) == len(set(llm.asked))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--max-usd", "1"), "--usd-per-million"),
        (("--max-usd", "1", "--usd-per-million", "a,b"), "two prices"),
        (("--out", "pairs.csv"), "must end in .jsonl"),
    ],
)
def test_wrong_options_are_one_line(
    llm: ScriptedEndpoint, seeds: Path, tmp_path: Path, more: tuple[str, ...], told: str
) -> None:
    done = _run(llm.url, tmp_path, "generate", "--seeds", str(seeds), "--out", str(tmp_path / "p.jsonl"), *more)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr


def test_an_endpoint_that_is_not_there_is_told_and_nothing_is_written(seeds: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    done = _run("http://127.0.0.1:9/v1", tmp_path, "generate", "--topics", "chess", "--n", "2", "--out", str(out))
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr
    assert not out.exists()


def test_preferences_become_pairs(llm: ScriptedEndpoint, tmp_path: Path) -> None:
    source = tmp_path / "preferences.jsonl"
    source.write_text(json.dumps({"prompt": "why do my roses wilt", "good_res": "because …", "bad_res": "no"}) + "\n")
    out = tmp_path / "pairs.jsonl"
    done = _run(llm.url, tmp_path, "from-preferences", str(source), "--out", str(out))
    assert done.returncode == 0, done.stderr
    (row,) = _rows(out)
    assert row["optimized"].endswith(RICH) and row["lesson"] == "It names the causes."
