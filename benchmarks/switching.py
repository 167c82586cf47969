"""Adapters in llama.cpp, in process: what one costs while it writes, and what changing the target costs.

    python benchmarks/switching.py --targets qwen2.5-coder:0.5b qwen2.5-coder:1.5b

Ratios measured side by side: the same prompts, alternating.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from promptlift import adapters, artifacts, template
from promptlift.bases import base_gguf
from promptlift.engines.base import Sampling
from promptlift.engines.build import engine_gguf
from promptlift.engines.llama import LlamaEngine

PROMPTS = [
    "plan a street party for 40 people", "explain how tides work to a sailor", "names for a bakery by the sea",
    "my boss never answers my mails, what can i do", "write a poem about the last train home",
    "compare oil and gas heating for an old house", "a training plan for a first 10 km run", "why is the sky blue",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs=2, required=True)
    parser.add_argument("--prompter")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = artifacts.load(options.prompter)
    gguf = engine_gguf(folder, base_gguf(folder.manifest.base))
    chosen = [adapters.find(folder, name) for name in options.targets]
    found: dict[str, Any] = {"cores": os.cpu_count()}
    found |= decoding(gguf, chosen[0], options.rounds)
    found |= switching(gguf, chosen, options.rounds)
    found |= adding(gguf, chosen)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def decoding(gguf: Path, adapter: adapters.Adapter, rounds: int) -> dict[str, Any]:
    """Tokens a second, 64 forced, with an adapter and without, turn by turn."""
    engine = LlamaEngine(gguf, slots=2, adapters=[adapter])
    speeds: dict[str | None, list[float]] = {None: [], adapter.version: []}
    prefix = template.question(PROMPTS[0]) + template.YES + template.opening("light")
    for _ in range(rounds * 3):
        for version, kept in speeds.items():
            slot = engine.lease(version)
            request = {"prompt": prefix, "n_predict": 64, "ignore_eos": True, "temperature": 0, "id_slot": slot}
            reply = engine._complete(request)
            engine.release(slot)
            kept.append(reply["timings"]["predicted_per_second"] if "timings" in reply else 0.0)
    engine.close()
    with_it, without = (statistics.median(speeds[v]) for v in (adapter.version, None))
    return {
        "tokens_per_s_with": round(with_it, 1),
        "tokens_per_s_without": round(without, 1),
        "with_over_without": round(with_it / without, 3),
    }


def switching(gguf: Path, chosen: list[adapters.Adapter], rounds: int) -> dict[str, Any]:
    """Milliseconds of a request (score and 8 tokens) that alternates between targets, over one that does not."""
    seconds: dict[str, float] = {}
    for name, slots, versions in (
        ("same_target", 2, [chosen[0].version]),
        ("switching_pinned", 2, [c.version for c in chosen]),
        ("same_target_one_slot", 1, [chosen[0].version]),
        ("switching_unpinned", 1, [c.version for c in chosen]),
    ):
        engine = LlamaEngine(gguf, slots=slots, adapters=chosen)
        for version in versions:
            _request(engine, version, PROMPTS[0])
        times = []
        for k in range(rounds * len(PROMPTS)):
            begun = time.perf_counter()
            _request(engine, versions[k % len(versions)], PROMPTS[(k // len(versions)) % len(PROMPTS)])
            times.append(time.perf_counter() - begun)
        engine.close()
        seconds[name] = statistics.median(times) * 1000
    return {f"{name}_ms": round(value, 1) for name, value in seconds.items()} | {
        "pinned_extra_ms": round(seconds["switching_pinned"] - seconds["same_target"], 1),
        "unpinned_extra_ms": round(seconds["switching_unpinned"] - seconds["same_target_one_slot"], 1),
    }


def adding(gguf: Path, chosen: list[adapters.Adapter]) -> dict[str, Any]:
    """Milliseconds to add an adapter to a running engine."""
    engine = LlamaEngine(gguf, slots=4, adapters=chosen[:1])
    begun = time.perf_counter()
    engine.add(chosen[1:])
    found = (time.perf_counter() - begun) * 1000
    engine.close()
    return {"hot_add_ms": round(found)}


def _request(engine: LlamaEngine, version: str, prompt: str) -> None:
    slot = engine.lease(version)
    question = template.question(prompt)
    engine.score(question, slot)
    engine.write(question + template.YES + template.opening("light"), slot, Sampling(), 8)
    engine.release(slot)


if __name__ == "__main__":
    main()
