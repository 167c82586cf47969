"""`promptlift serve` asked with what nobody should send: the checks of tests/test_serve_fuzz.py, for much longer.

    python benchmarks/serve_fuzz.py [--cases 5000] [--seed 1] [--only NAME …] [--out fuzz.json]

The whole server runs under uvicorn on real sockets, with a scripted prompter and an upstream that tells what reached
it. Each property is tried with `--cases` cases (those of the OpenAPI description: divided among its operations), drawn
anew for each `--seed`, but a fifth of them for broken HTTP, whose cases wait for limits of time. One that fails is made
small, reported with what to send, and the next one follows.

`outcomes` counts what came of the cases: the reasons of docs/serving.md, or statuses. `logged` counts what the server
logged as an error meanwhile, which should be nothing: what a client sends is no error of the server's. `grown_mb` is
what this process, of which the server is a part, holds more after a property than before. Needs the extras `serve` and
`dev`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import test_serve_fuzz as fuzz
import test_serve_security as security

KINDS = st.sampled_from(list(fuzz.KINDS.values()))
ODD = fuzz.nearly() | fuzz.damaged() | fuzz.ANY_BODY
SLOW = "broken HTTP"
Check = Callable[..., Any]


def properties(stack: fuzz.Stack, hasty: fuzz.Stack, trap: fuzz.Echo) -> dict[str, tuple[dict[str, Any], Check]]:
    """By name: what is drawn, and what must hold of it."""
    http = {"turns": fuzz.TURNS, "cuts": fuzz.CUTS}
    own = st.sampled_from(["/v1/rewrite", "/promptlift/votes"])
    names = st.sampled_from(list(fuzz.Settings.model_fields))
    return {
        "requests in good form": (
            {"asked": fuzz.requests(), **http},
            lambda asked, turns, cuts: fuzz.check_request(stack, asked, turns, cuts),
        ),
        "requests with wrong nodes": (
            {"one": fuzz.nearly(), **http},
            lambda one, turns, cuts: fuzz.check_body(stack, *one, turns, cuts),
        ),
        "bodies that are no requests": (
            {"one": fuzz.damaged() | fuzz.ANY_BODY, **http},
            lambda one, turns, cuts: fuzz.check_body(stack, *one, turns, cuts),
        ),
        "odd wishes": (
            {"wishes": fuzz.WISHES, "model": fuzz.TEXTS},
            lambda wishes, model: fuzz.check_wishes(stack, wishes, model),
        ),
        "own endpoints": (
            {"target": own, "body": fuzz.OWN_BODIES},
            lambda target, body: fuzz.check_own(stack, target, body),
        ),
        "paths": (
            {"start": security.STARTS, "segments": security.SEGMENTS},
            lambda start, segments: security.check_path(stack, start, segments),
        ),
        SLOW: (
            {"data": security.broken_requests()},
            lambda data: security.check_broken(hasty, trap, data),
        ),
        "parse any bytes": ({"kind": KINDS, "one": ODD}, lambda kind, one: fuzz.check_parse(kind, one[1])),
        "parse requests": (
            {"asked": fuzz.requests(), "new": st.lists(fuzz.TEXTS, max_size=3)},
            lambda asked, new: fuzz.check_texts(asked, new),
        ),
        "settings": (
            {"name": names, "value": fuzz.ODD_VALUES},
            lambda name, value: fuzz.check_settings({"upstream": fuzz.UPSTREAM, name: value}, None, {}),
        ),
    }


def resident_mb() -> float:
    """What this process holds; 0 where /proc is not."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    return 0.0


class Report:
    """Tries properties, and keeps what came of them."""

    def __init__(self, cases: int, seed: int, errors: list[str]) -> None:
        self.cases, self.seed, self.errors = cases, seed, errors
        self.found: dict[str, dict[str, Any]] = {}

    def options(self, cases: int) -> settings:
        return settings(
            max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False,
            phases=[Phase.generate, Phase.shrink], report_multiple_bugs=True,
        )  # fmt: skip

    def tried(self, name: str, drawn: dict[str, Any], check: Check) -> None:
        """One property, with its own strategies."""
        outcomes: Counter[str] = Counter()
        cases = self.cases // 5 if name == SLOW else self.cases

        @hypothesis.seed(self.seed)
        @self.options(cases)
        @given(**drawn)
        def case(**values: Any) -> None:
            outcomes["failed"] += 1
            outcome = str(check(**values))
            outcomes["failed"] -= 1
            outcomes[outcome] += 1

        self.noted(name, outcomes, case)

    def noted(self, name: str, outcomes: Counter[str], run: Callable[[], Any]) -> None:
        """Run something whose cases `outcomes` counts, and keep what came of it."""
        began, before, logged = time.monotonic(), resident_mb(), len(self.errors)
        failure = None
        try:
            run()
        except (Exception, BaseExceptionGroup) as error:  # schemathesis' groups are the latter
            notes = "\n".join(getattr(error, "__notes__", []))
            failure = f"{type(error).__name__}: {error}\n{notes}".strip()
        row = {
            "cases": sum(outcomes.values()), "seconds": round(time.monotonic() - began, 1), "failure": failure,
            "outcomes": {key: count for key, count in outcomes.most_common() if count},
            "logged": dict(Counter(line.splitlines()[0] for line in self.errors[logged:])),
            "grown_mb": round(resident_mb() - before, 1),
        }  # fmt: skip
        self.found[name] = row
        print(f"{name}: {row['cases']} cases, {row['seconds']} s{', FAILED' if failure else ''}", file=sys.stderr)


@contextlib.contextmanager
def servers(votes: str) -> Iterator[tuple[fuzz.Stack, fuzz.Stack, fuzz.Echo]]:
    """A server, one that waits for nobody, and an upstream that none of them knows."""
    with contextlib.ExitStack() as stack:
        trap = stack.enter_context(fuzz.Echo())
        patient = stack.enter_context(fuzz.running(max_body_mb=2, inspect_mb=1, votes=votes))
        yield patient, stack.enter_context(security.impatient()), trap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000, help="of each property")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="names of properties")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        fuzz.noted_errors() as errors,
        servers(f"{folder}/votes") as (stack, hasty, trap),
    ):
        report = Report(options.cases, options.seed, errors)
        wanted = options.only or None
        for name, (drawn, check) in properties(stack, hasty, trap).items():
            if wanted is None or name in wanted:
                report.tried(name, drawn, check)
        if wanted is None or "memory" in wanted:
            run = options.cases // 10
            machine = settings(report.options(run), stateful_step_count=30)
            counted = Counter({"runs of 30 steps": run})
            report.noted("memory", counted, lambda: run_state_machine_as_test(fuzz.MemoryMachine, settings=machine))
        if wanted is None or "description" in wanted:
            described(report, stack)
        security.is_well(stack)
        security.is_well(hasty)
        asked = {"upstream": len(stack.upstream.seen) + len(hasty.upstream.seen), "trap": trap.connections}
    found = {
        "seed": options.seed,
        "versions": {
            "python": platform.python_version(),
            **{n: importlib.metadata.version(n) for n in ("promptlift", "hypothesis", "schemathesis", "uvicorn")},
        },
        "cases": sum(row["cases"] for row in report.found.values()),
        "failed": [name for name, row in report.found.items() if row["failure"]],
        "asked": asked,
        "properties": report.found,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    sys.exit(1 if found["failed"] else 0)


def described(report: Report, stack: fuzz.Stack) -> None:
    """The OpenAPI description, by schemathesis; a vote is written to disk, and slows those after it."""
    operations = [one for one in fuzz.operations(stack) if fuzz.has_input(one)]
    for operation in operations:
        for positive in (True, False):
            few = min(200, report.cases) if operation.path == "/promptlift/votes" else report.cases // len(operations)
            seen: Counter[str] = Counter()
            name = f"{operation.label}, {'as described' if positive else 'not as described'}"
            report.noted(
                name, seen, lambda o=operation, p=positive, f=few, s=seen: fuzz.check_operation(
                    stack, o, p, report.options(f), seen=s, seed=report.seed
                ),
            )  # fmt: skip


if __name__ == "__main__":
    main()
