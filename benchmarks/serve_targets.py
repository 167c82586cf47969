"""Requests for several targets at once: what their mixture costs, and whether any waits too long.

    python benchmarks/serve_targets.py [--slots 1 2 4] [--prompts 96] [--rounds 6] [--out serve-targets.json]

In process, without HTTP: the server's queue (`Waiting`) before the server's prompter process. A block is `--prompts`
prompts, a third for each target; `--waiting` of them are always there (the next is put as one is done), until none is
left. In every block it is the same prompts for the same targets, only in another order:

    one          one target after the other: what a server of one target does
    interleaved  the targets in turn, and the queue in turn, too (run=1): as they come; llama.cpp batches what it can
    grouped      the targets in turn, and the queue with its own `run`

The ratios are of the blocks' times, side by side, in an order that changes from round to round. A job is overtaken by
those that came later and were begun earlier; none starves if that is never more than `run` for each other target, for
each `run` jobs of its own target before it. `same_text` is the share of prompts whose rewrite is that of `one`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import platform
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_soak import prompts

from promptlift.records import Rewrite
from promptlift.serving.process import PrompterProcess
from promptlift.serving.waiting import RUN, Job, Waiting

TARGETS = ("qwen2.5-coder:0.5b", "qwen2.5-coder:1.5b", "smollm2")
GOALS = {"interleaved_over_one": 0.6, "grouped_over_one": 0.8, "none_starved": True}
ENDLESS = 10**9
Asked = list[tuple[str, str]]


@dataclass
class Seen:
    """One job's way through the queue; times of `time.monotonic`, places in the order of coming and of beginning."""

    target: str
    came: float
    ahead: int
    begun: float = 0.0
    ended: float = 0.0
    place: int = 0
    text: str = ""
    reason: str | None = None


class Block:
    """The prompts of one block through a queue of its own."""

    def __init__(self, prompter: PrompterProcess, slots: int, run: int) -> None:
        self._prompter = prompter
        self._waiting = Waiting(self._work, slots, ENDLESS, run=run)
        self._seen: dict[Job, Seen] = {}
        self._places = itertools.count()

    async def _work(self, job: Job) -> Rewrite:
        seen = self._seen[job]
        seen.begun, seen.place = time.monotonic(), next(self._places)
        found = await self._prompter.rewrite(job.prompt, job.target, job.strength)
        seen.ended, seen.text, seen.reason = time.monotonic(), found.rewrite, found.reason
        return found

    async def go(self, asked: Asked, waiting: int) -> tuple[float, list[Seen]]:
        """Seconds, and each job, in the order of `asked`."""
        self._waiting.start()
        room = asyncio.Semaphore(waiting)
        jobs: list[Job] = []
        started = time.monotonic()
        for prompt, target in asked:
            await room.acquire()
            job = Job(prompt, target, None, math.inf)
            ahead = sum(seen.target == target and not seen.begun for seen in self._seen.values())
            self._seen[job] = Seen(target, job.came, ahead)
            job.done.add_done_callback(lambda _: room.release())
            self._waiting.put(job)
            jobs.append(job)
        await asyncio.gather(*(job.done for job in jobs))  # raises what the prompter raised
        seconds = time.monotonic() - started
        await self._waiting.close()
        return seconds, [self._seen[job] for job in jobs]


def waits(seen: list[Seen], run: int) -> dict[str, Any]:
    """How long jobs of each target waited, and how many overtook them."""
    found: dict[str, dict[str, float]] = {}
    starved = 0
    targets = {one.target for one in seen}
    for target in sorted(targets):
        mine = [(n, one) for n, one in enumerate(seen) if one.target == target]
        overtaken = []
        for n, one in mine:
            overtaken.append(sum(other.place < one.place for other in seen[n + 1 :]))
            starved += overtaken[-1] > (len(targets) - 1) * run * (1 + one.ahead // run)
        found[target] = {
            "longest_s": max(one.begun - one.came for _, one in mine),
            "mean_s": statistics.mean(one.begun - one.came for _, one in mine),
            "most_overtaken": max(overtaken),
        }
    return {"by_target": found, "starved": starved}


async def measure(slots: int, options: argparse.Namespace) -> dict[str, Any]:
    """All blocks with so many slots."""
    settings = {"unproven": True, "slots": slots, "threads": options.threads}
    prompter = PrompterProcess(settings, hang_seconds=60)
    await prompter.start()
    try:
        source = prompts()
        for target in TARGETS:  # each is loaded when it is first asked for
            await asyncio.gather(*(prompter.rewrite(next(source), target) for _ in range(2 * slots)))
        ways = {"one": ENDLESS, "interleaved": 1, "grouped": RUN}
        blocks: dict[str, list[tuple[float, list[Seen]]]] = defaultdict(list)
        for number in range(options.rounds):
            mixed = [(next(source), TARGETS[k % len(TARGETS)]) for k in range(options.prompts)]
            order = sorted(range(len(mixed)), key=lambda k: TARGETS.index(mixed[k][1]))
            names = list(ways)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                asked = [mixed[k] for k in order] if name == "one" else mixed
                seconds, seen = await Block(prompter, slots, ways[name]).go(asked, options.waiting)
                if name == "one":
                    back = dict(zip(order, seen, strict=True))
                    blocks["one, as mixed"].append((seconds, [back[k] for k in range(len(mixed))]))
                blocks[name].append((seconds, seen))
    finally:
        await prompter.close()
    same = blocks.pop("one, as mixed")
    return report(blocks, [seen for _, seen in same], ways, prompter.starts)


def report(
    blocks: dict[str, list[tuple[float, list[Seen]]]], alone: list[list[Seen]], ways: dict[str, int], starts: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    total = {name: sum(seconds for seconds, _ in kept) for name, kept in blocks.items()}
    for name in ("interleaved", "grouped"):
        each = [a / b for (a, _), (b, _) in zip(blocks["one"], blocks[name], strict=True)]
        found[f"{name}_over_one"] = round(total["one"] / total[name], 3)
        found[f"{name}_over_one_each_round"] = [round(ratio, 3) for ratio in each]
    for name, kept in blocks.items():
        jobs = sum(len(seen) for _, seen in kept)
        told = [waits(seen, ways[name]) for _, seen in kept]
        texts = zip(kept, alone, strict=True)
        pairs = [(a.text, b.text) for (_, seen), once in texts for a, b in zip(seen, once, strict=True)]
        found[name] = {
            "per_s": round(jobs / total[name], 3),
            "seconds_each_round": [round(seconds, 2) for seconds, _ in kept],
            "longest_wait_s": round(max(t["longest_s"] for one in told for t in one["by_target"].values()), 2),
            "starved": sum(one["starved"] for one in told),
            "waits": {target: _join([one["by_target"][target] for one in told]) for target in TARGETS},
            "outcomes": dict(Counter(one.reason or "rewritten" for _, seen in kept for one in seen).most_common()),
        }
        if name != "one":
            found[name]["same_text"] = round(sum(a == b for a, b in pairs) / len(pairs), 3)
    return {**found, "none_starved": not any(found[name]["starved"] for name in blocks), "prompter_starts": starts}


def _join(told: Sequence[dict[str, float]]) -> dict[str, float]:
    return {
        "longest_s": round(max(one["longest_s"] for one in told), 2),
        "mean_s": round(statistics.mean(one["mean_s"] for one in told), 2),
        "most_overtaken": max(one["most_overtaken"] for one in told),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, help="of the prompter; all cores by default")
    parser.add_argument("--prompts", type=int, default=96, help="of a block")
    parser.add_argument("--waiting", type=int, default=24, help="prompts that are always there")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "processor": platform.machine(), "load_before": round(os.getloadavg()[0], 2),
        },
        "setting": {name: getattr(options, name) for name in ("threads", "prompts", "waiting", "rounds")}
        | {"targets": TARGETS, "run": RUN},
        "goals": GOALS,
    }  # fmt: skip
    for slots in options.slots:
        found[f"slots {slots}"] = asyncio.run(measure(slots, options))
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
