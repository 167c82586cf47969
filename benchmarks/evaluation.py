"""From cached verdicts to the report: how long 10,000 judged comparisons take.

    python benchmarks/evaluation.py --prompts 1000 --out results/speed/evaluation.json

A run of made-up answers: 1,000 prompts, 2 targets, raw and five other conditions, each against raw, so 10,000 pairs of
answers, judged in both orders. The judge's 20,000 replies are put into the cache first; what is timed is a second,
fresh process's way from the cache over outcomes and summary to the report.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONDITIONS = ("rewritten", "unadapted", "suffix", "zero-shot", "wrong-adapter")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--words", type=int, default=200, help="of an answer, at most")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--stage", choices=["fill", "report"], help="for its own processes")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    if options.stage:
        return stage(options.stage, options.run)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        build(run, options.prompts, options.words)
        seconds = {}
        for name in ("fill", "report"):
            started = time.perf_counter()
            subprocess.run([sys.executable, __file__, "--stage", name, "--run", str(run)], check=True)
            seconds[name] = round(time.perf_counter() - started, 2)
        found = {
            "comparisons": 2 * len(CONDITIONS) * options.prompts,
            "orders": 2,
            "seconds_from_cache_to_report": seconds["report"],
            "seconds_first": seconds["fill"],
            "report_megabytes": round((run / "report.html").stat().st_size / 1e6, 1),
            "cores": os.cpu_count(),
        }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


def build(path: Path, prompts: int, words: int) -> None:
    """A run with prompts and answers that nobody wrote."""
    from promptlift.evaluation.folder import Answered, Asked, Prompt, RunFolder

    draw = random.Random(0)
    vocabulary = [f"word{k}" for k in range(2000)]

    def text(most: int) -> str:
        return " ".join(draw.choices(vocabulary, k=draw.randint(5, most)))

    run = RunFolder(path)
    rows = [Prompt(f"p{k}", text(40), f"source {k % 4}") for k in range(prompts)]
    run.keep_prompts(rows)
    for target in ("one", "two"):
        names = ("raw", *CONDITIONS)
        run.keep_asked(target, [Asked(target, p.id, n, p.prompt + n, n != "raw") for p in rows for n in names])
        run.keep_answers(target, [Answered(target, p.id, n, text(words), 10) for p in rows for n in names])


def stage(name: str, path: Path) -> None:
    """One pass from answers to the report; `fill` is the first, whose judge has to be asked."""
    from promptlift.chat.base import AnswerStream, ChatClient, Choice
    from promptlift.chat.cached import AnswerCache, CachedClient
    from promptlift.cli.evaluate import finish
    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.judges.llm import LlmJudge
    from promptlift.evaluation.run import judge

    class Coin(ChatClient):
        name = identity = "coin"

        def stream(self, prompt: str, **_: Any) -> AnswerStream:
            raise NotImplementedError

        def choose(self, prompt: str, choices: Any, **_: Any) -> Choice:
            if name == "report":
                raise AssertionError("asked twice")
            first = random.Random(prompt).random()
            return Choice({"A": first, "B": 1 - first}, "A", 1, 1)

        def close(self) -> None: ...

    cache = AnswerCache(path.parent / "cache.sqlite")
    if name == "fill":  # the cache waits for the disk at each answer, which is not what is measured
        cache._db.execute("PRAGMA synchronous=OFF")
    run = RunFolder(path)
    wanted = [(condition, "raw") for condition in CONDITIONS]
    judge(run, ["one", "two"], LlmJudge(CachedClient(Coin(), cache), concurrency=4), wanted, lambda *_: None)
    cache.close()
    finish(path, True, False)


if __name__ == "__main__":
    main()
