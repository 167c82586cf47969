"""What rewriting adds to the time to an answer's first token, beside the rewriting itself.

    python benchmarks/serve_first_token.py [--rewritten 40] [--others 40] [--unproven] [--out serve-first-token.json]

One client asks a real `promptlift serve` before the paced upstream, which answers at once: each prompt with rewriting
on, and twice with it off (`X-Promptlift-Turns: never`), in an order that changes from prompt to prompt. From sending a
request to its answer's first text, `on - off` less the time that `X-Promptlift-Ms` tells is what rewriting costs beside
itself; `off - off` is what the measuring itself is worth. Prompts are taken until there are enough of both kinds, those
that are rewritten and those that are not: by turns from all and from those that ask for something vivid, of which the
default prompter rewrites more (about one in ten). Needs the extra `serve`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from serve_soak import FAILED_OPEN, Answer, Client, paced_upstream, prompts, served, spread

GOALS = {"beside_rewriting_ms_p50": 10, "beside_rewriting_ms_p95": 10}
CHUNKS = 3
OFF = {"X-Promptlift-Turns": "never"}
VIVID = r"\b(poem|story|scene|describe)"
ORDERS = list(itertools.permutations(("on", "off", "off again")))


def ask(client: Client, prompt: str, on: bool) -> Answer:
    answer = client.ask(prompt, stream=True, headers=None if on else OFF)
    if answer.problem is not None or (answer.outcome == "off") == on:
        sys.exit(f"with rewriting {'on' if on else 'off'}: {answer.problem or answer.outcome}")
    return answer


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The report, but for what it was measured on."""
    flags = ["--slots", "1", *(["--threads", str(options.threads)] if options.threads else [])]
    flags += ["--unproven"] if options.unproven else []
    wanted = {"rewritten": options.rewritten, "others": options.others}
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    outcomes: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # a stream's chunks are 1 ms apart: the next request does not wait for them
        upstream, _ = stack.enter_context(paced_upstream("--streams", "1", "--rate", "1000"))
        server = stack.enter_context(served(upstream, flags, folder / "log"))
        client = Client(server.port, CHUNKS)
        stack.callback(client.close)
        source, vivid = prompts(), prompts(500_000, VIVID)
        for prompt in itertools.islice(source, 5):
            ask(client, prompt, True)
            ask(client, prompt, False)
        for number in range(options.most):
            prompt = next(vivid if number % 2 or len(rows["others"]) >= wanted["others"] else source)
            seen = {}
            for kind in ORDERS[number % len(ORDERS)]:
                time.sleep(options.pause)
                seen[kind] = ask(client, prompt, kind == "on")
            took = {kind: 1000 * (answer.first - answer.asked) for kind, answer in seen.items()}
            outcome = seen["on"].outcome
            outcomes[outcome] += 1
            row = took | {"rewriting": seen["on"].milliseconds}
            if outcome in FAILED_OPEN:  # the prompter is still at work, and should not be for the next one
                rows["failed open"].append(row)
                time.sleep(1)
                continue
            rows["rewritten" if outcome == "rewritten" else "others"].append(row)
            if all(len(rows[kind]) >= number for kind, number in wanted.items()):
                break
        complaints = server.complaints()
    told = {name: report(kept) for name, kept in rows.items()}
    beside = report(list(itertools.chain.from_iterable(rows.values())))["beside_rewriting_ms"]
    return {
        "beside_rewriting_ms_p50": beside["p50"],
        "beside_rewriting_ms_p95": beside["p95"],
        "outcomes": dict(outcomes.most_common()),
        **told,
        "complaints_in_log": complaints,
    }


def report(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Milliseconds, of one kind of prompts."""
    off = [statistics.mean((row["off"], row["off again"])) for row in rows]
    return {
        "on_ms": spread([row["on"] for row in rows]),
        "off_ms": spread(off),
        "rewriting_ms": spread([row["rewriting"] for row in rows]),
        "beside_rewriting_ms": spread(
            [row["on"] - without - row["rewriting"] for row, without in zip(rows, off, strict=True)]
        ),
        "off_less_off_ms": spread([abs(row["off"] - row["off again"]) for row in rows]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewritten", type=int, default=40, help="prompts at least")
    parser.add_argument("--others", type=int, default=40, help="prompts at least")
    parser.add_argument("--most", type=int, default=1000, help="prompts of both kinds at most")
    parser.add_argument("--unproven", action="store_true", help="of the server: rewrites most prompts")
    parser.add_argument("--threads", type=int, help="of the server; all cores by default")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds before each request")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "processor": platform.machine(), "load_before": round(os.getloadavg()[0], 2),
        },
        "setting": {n: getattr(options, n) for n in ("rewritten", "others", "unproven", "threads", "pause")},
        "goals": GOALS,
    }  # fmt: skip
    found |= measure(options)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
