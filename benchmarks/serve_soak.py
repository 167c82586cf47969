"""`promptlift serve` with more clients than its prompter can serve: what it gets done, its time, its memory.

    python benchmarks/serve_soak.py [--minutes 10] [--slots 1] [--threads 2] [--unproven] [--out soak.json]

A real server with the embedded prompter stands before the paced upstream (`paced_upstream.py`), and `--clients` clients
each ask for the next answer when they have the last one, every other one as a stream; as the upstream gives a whole
answer at once, a client then waits for as long as a stream takes. No prompt comes twice: they are those of the pairs,
each with a number in words, in one shuffled order. Every answer is checked to its end.

The prompter is saturated: what it can't take is sent on as it is. A request is *decided* if the prompter had its say
(rewritten, or a reason other than `deadline`, `overloaded` and `prompter`). `done_ratio` is decided requests a second
over the rewrites a second of `Prompter` alone, which is measured in a process of its own before and after. Its clients,
the upstream and the server share the machine's cores with the prompter; `cores` tells how much each took.
`done_ratio_same_mix` is how much of the slots' time those decisions would have taken alone, by their outcomes: long
prompts miss the deadline more often, so that the decided ones are not quite the same mix. `begun_in_vain` is the share
of those that the prompter began whose answer came too late.

Memory is sampled every 5 s, after `--warm` seconds; the server's own memory of rewrites fills meanwhile (`entries`,
`--memory` bounds it). Linux only: from /proc. Needs the extra `serve`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import math
import os
import platform
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift import Prompter
from promptlift.records import read_pairs

PAIRS = Path(__file__).parent.parent / "data/pairs/pairs.jsonl"
GOALS = {"errors": 0, "done_ratio": 0.8, "beyond_deadline_ms_p99": 50}
FAILED_OPEN = ("deadline", "overloaded", "prompter")
DECIDED = re.compile(r"rewritten|identity|unproven|guard:[a-z]+|empty|too-long|tag|no-instruction")
EVERY = 5.0
"""Seconds between samples of memory."""
_DIGITS = "zero one two three four five six seven eight nine".split()
_LOOPBACK = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}


def prompts(first: int = 0, holding: str = "") -> Iterator[str]:
    """Prompts without end, all different, from some number on.

    Those of the pairs that hold a pattern, without those whose passages are cut out.
    """
    known = [pair.prompt for pair in read_pairs(PAIRS) if "<passage-" not in pair.prompt]
    known = [prompt for prompt in known if re.search(holding, prompt, re.IGNORECASE)]
    random.Random(0).shuffle(known)
    for number in itertools.count(first):
        in_words = " ".join(_DIGITS[int(digit)] for digit in f"{number:06d}")
        yield f"{known[number % len(known)]}\n\n(number {in_words})"


# One client.


@dataclass(frozen=True)
class Answer:
    """What came back; times in seconds of `time.perf_counter`.

    Attributes:
        asked: when the request was sent.
        head: when the answer's head was there.
        first: when the first piece of the answer's text was there.
        outcome: `rewritten`, or the reason why not.
        milliseconds: that rewriting took, as the server tells.
        problem: what is wrong with it; None if it is complete and right.
    """

    asked: float
    head: float = 0.0
    first: float = 0.0
    outcome: str = ""
    milliseconds: float = 0.0
    problem: str | None = None


class Client:
    """One connection, kept open. For one thread."""

    def __init__(self, port: int, chunks: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._chunks = chunks

    def ask(self, prompt: str, stream: bool, headers: dict[str, str] | None = None) -> Answer:
        """Ask, and read the answer to its end."""
        messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": prompt}]
        request = {"model": "paced", "messages": messages, "max_tokens": self._chunks, "stream": stream}
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer x", **(headers or {})}
        first, text = 0.0, b""
        asked = time.perf_counter()
        try:
            self._connection.request("POST", "/v1/chat/completions", body, headers)
            reply = self._connection.getresponse()
            head = time.perf_counter()
            while piece := reply.read1(65536):
                first = first or time.perf_counter()
                text += piece
            reply.close()  # it was read to its end, which http.client does not always notice
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Answer(asked, problem=f"no answer: {type(error).__name__}")
        told, reason = reply.headers.get("x-promptlift"), reply.headers.get("x-promptlift-reason")
        outcome = reason or told or ""
        problem = _problem(reply.status, text, stream, self._chunks)
        if problem is None and (
            told not in ("rewritten", "unchanged") or (told == "rewritten") == (reason is not None)
        ):
            problem = f"X-Promptlift is {told}, with reason {reason}"
        return Answer(asked, head, first, outcome, float(reply.headers.get("x-promptlift-ms", 0)), problem)

    def close(self) -> None:
        self._connection.close()


def _problem(status: int, text: bytes, stream: bool, chunks: int) -> str | None:
    """What is wrong with an answer of the paced upstream."""
    if status != 200:
        return f"status {status}: {text[:200].decode(errors='replace')}"
    try:
        if stream:
            *events, end, rest = text.split(b"\n\n")
            if end != b"data: [DONE]" or rest:
                return "no [DONE] at the end"
            rows = [json.loads(event.removeprefix(b"data: "))["choices"][0] for event in events]
            content = "".join(row["delta"].get("content", "") for row in rows)
        else:
            rows = json.loads(text)["choices"]
            content = rows[0]["message"]["content"]
        numbers = list(map(int, content.split()))
        if rows[-1]["finish_reason"] != "stop":
            return "it has no end"
    except (ValueError, KeyError, IndexError):
        return f"it can't be read: {text[-200:].decode(errors='replace')}"
    if numbers[::2] != list(range(chunks)) or numbers[1::2] != sorted(numbers[1::2]):
        return "chunks are missing or out of order"
    return None


# The processes.


@contextlib.contextmanager
def paced_upstream(*flags: str) -> Iterator[tuple[str, int]]:
    """The fake LLM: its base URL, and its process."""
    command = [sys.executable, str(Path(__file__).with_name("paced_upstream.py")), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.wait()


class Served:
    """A running `promptlift serve`."""

    def __init__(self, upstream: str, flags: Sequence[str], log: Path, memory: int | None = None) -> None:
        """Start it, and wait until its prompter is ready."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "promptlift",
            "serve",
            "--upstream",
            upstream,
            "--port",
            str(self.port),
            *flags,
        ]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTLIFT_SERVE_")}
        if memory is not None:
            env["PROMPTLIFT_SERVE_MEMORY"] = str(memory)
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env=env | _LOOPBACK)
        self.pid = self._process.pid
        try:
            patience = time.monotonic() + 330
            while time.monotonic() < patience:
                with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                    if json.loads(self.get("/readyz"))["prompter"] == "ready":
                        return
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
            sys.exit(
                f"the server was never ready; the end of what it wrote:\n{log.read_text(errors='replace')[-3000:]}"
            )
        except BaseException:
            self._process.kill()
            raise

    def get(self, path: str) -> str:
        """What it says there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def metrics(self) -> dict[str, float]:
        """promptlift's own metrics that have no labels."""
        return {
            name.removeprefix("promptlift_"): float(value)
            for name, value in re.findall(r"^(promptlift_\w+) (\S+)$", self.get("/metrics"), re.MULTILINE)
        }

    def worker(self) -> int | None:
        """The prompter's process."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                own = int(stat.read_text().rpartition(")")[2].split()[1]) == self.pid
                if own and b"promptlift.serving.worker" in stat.with_name("cmdline").read_bytes():
                    return int(stat.parent.name)
        return None

    def complaints(self) -> dict[str, int]:
        """What it logged as a warning or an error, and whatever is not its log."""
        found: Counter[str] = Counter()
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                if line.strip() and not line.startswith("promptlift: "):
                    found[line[:200]] += 1
                continue
            if row["level"] != "info":
                found[f"{row['level']}: {row['event']}{' ' + row['why'] if 'why' in row else ''}"] += 1
        return dict(found)

    def stop(self) -> dict[str, Any]:
        """End it as a person would; its exit status, and how long that took."""
        began = time.perf_counter()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return {"status": code, "seconds": round(time.perf_counter() - began, 2)}


@contextlib.contextmanager
def served(upstream: str, flags: Sequence[str], log: Path, memory: int | None = None) -> Iterator[Served]:
    """A server that is stopped in any case."""
    server = Served(upstream, flags, log, memory)
    try:
        yield server
    finally:
        server.stop()


# /proc.


def memory_of(pid: int | None) -> dict[str, float]:
    """Megabytes of a process that are in memory: all, and without files that are mapped."""
    found = {"rss": float("nan"), "anonymous": float("nan")}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            for name, key in (("rss", "VmRSS:"), ("anonymous", "RssAnon:")):
                if line.startswith(key):
                    found[name] = int(line.split()[1]) / 1024
    return found


def cpu_of(pid: int | None) -> float:
    """Seconds that a process has taken."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy() -> float:
    """Seconds that all cores together were busy, or taken by another machine."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def trend(times: list[float], values: list[float]) -> float | None:
    """The slope of the line through the samples, a minute."""
    return round(60 * statistics.linear_regression(times, values).slope, 3) if len(times) > 2 else None


# The prompter alone.


def bare(options: argparse.Namespace) -> dict[str, Any]:
    """Rewrites a second of a `Prompter`, as many at once as it has slots."""
    source, lock = prompts(options.first), threading.Lock()
    outcomes: list[tuple[str, float]] = []
    spent: list[float] = []

    def work(prompter: Prompter) -> None:
        began = time.perf_counter()
        while time.perf_counter() < ends:
            with lock:
                prompt = next(source)
            found = prompter.rewrite(prompt)
            outcomes.append((found.reason or "rewritten", found.seconds))
        spent.append(time.perf_counter() - began)

    with Prompter.load(slots=options.slots, threads=options.threads, unproven=options.unproven) as prompter:
        list(prompter.rewrite_many(itertools.islice(source, 4 * options.slots)))
        before, started = busy() - cpu_of(os.getpid()), time.perf_counter()
        ends = started + options.bare
        threads = [threading.Thread(target=work, args=(prompter,)) for _ in range(options.slots)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        others = (busy() - cpu_of(os.getpid()) - before) / (time.perf_counter() - started)
    seconds: dict[str, list[float]] = defaultdict(list)
    for outcome, taken in outcomes:
        seconds[outcome].append(taken)
    return {
        "per_s": round(len(outcomes) * options.slots / sum(spent), 3),
        "n": len(outcomes),
        "outcomes": {outcome: len(taken) for outcome, taken in sorted(seconds.items())},
        "mean_s": {outcome: round(statistics.mean(taken), 4) for outcome, taken in sorted(seconds.items())},
        "others_cores": round(max(0.0, others), 2),
    }


def bare_apart(options: argparse.Namespace, first: int) -> dict[str, Any]:
    """`bare` in a process of its own."""
    command = [sys.executable, __file__, "--bare", str(options.bare_seconds), "--first", str(first)]
    command += engine_flags(options)
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def engine_flags(options: argparse.Namespace) -> list[str]:
    """What server and bare prompter are told in the same way."""
    flags = ["--slots", str(options.slots)]
    flags += ["--threads", str(options.threads)] if options.threads else []
    return [*flags, "--unproven"] if options.unproven else flags


# The soak.


class Soak:
    """Clients at work, and what they saw."""

    def __init__(self, port: int, options: argparse.Namespace) -> None:
        self._options, self._port = options, port
        self._source, self._lock = enumerate(prompts()), threading.Lock()
        self._ends = time.perf_counter() + options.warm + 60 * options.minutes
        self.answers: list[tuple[bool, Answer]] = []
        self._threads = [threading.Thread(target=self._client, args=(k,)) for k in range(options.clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def end(self) -> None:
        """Ask no more."""
        self._ends = 0.0

    def _client(self, place: int) -> None:
        options = self._options
        client = Client(self._port, options.chunks)
        time.sleep(options.stream_seconds * place / options.clients)
        while time.perf_counter() < self._ends:
            with self._lock:
                number, prompt = next(self._source)
            stream = (number + place) % 2 == 0
            answer = client.ask(prompt, stream)
            if answer.problem is None and not (DECIDED.fullmatch(answer.outcome) or answer.outcome in FAILED_OPEN):
                answer = Answer(answer.asked, problem=f"unexpected reason {answer.outcome!r}")
            self.answers.append((stream, answer))
            if answer.problem is not None or not stream:
                time.sleep(options.stream_seconds)
        client.close()


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """The server's part of the report."""
    pace = ["--streams", str(options.clients), "--chunks", str(options.chunks)]
    pace += ["--rate", str(options.clients * options.chunks / options.stream_seconds)]
    flags = [*engine_flags(options), "--deadline", str(options.deadline)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, upstream_pid = stack.enter_context(paced_upstream(*pace))
        server = stack.enter_context(served(upstream, flags, folder / "log", options.memory))
        worker = server.worker()
        pids = {"server": server.pid, "prompter": worker, "upstream": upstream_pid, "clients": os.getpid()}
        run = Soak(server.port, options)
        stack.callback(run.end)
        run.start()
        time.sleep(options.warm)

        def cpu() -> dict[str, float]:
            return {name: cpu_of(pid) for name, pid in pids.items()} | {"all": busy()}

        started, before, known = time.perf_counter(), cpu(), server.metrics()
        files = [_open_files(server.pid)]
        samples: list[tuple[float, dict[str, float], dict[str, float]]] = []
        for number in range(max(2, round(60 * options.minutes / EVERY))):
            time.sleep(max(0.0, started + number * EVERY - time.perf_counter()))
            samples.append((time.perf_counter() - started, memory_of(server.pid), memory_of(worker)))
        time.sleep(max(0.0, started + 60 * options.minutes - time.perf_counter()))
        ended, after = time.perf_counter(), cpu()
        samples.append((ended - started, memory_of(server.pid), memory_of(worker)))
        begun = server.metrics()["queue_seconds_count"] - known["queue_seconds_count"]
        files.append(_open_files(server.pid))
        run.end()
        run.join()
        left = server.metrics()
        same_worker = server.worker() == worker
        complaints = server.complaints()
        stopped = server.stop()
    cores = {name: (value - before[name]) / (ended - started) for name, value in after.items()}
    cores["others"] = 2 * cores["all"] - sum(cores.values())
    report = answers_report(run.answers, started, ended, options.deadline)
    return {
        **report,
        "begun_by_prompter": round(begun),
        "begun_in_vain": round(1 - report["decided"] / begun, 3) if begun else None,
        "memory_mb": {
            name: {kind: _growth([(s[0], s[place][kind]) for s in samples]) for kind in ("rss", "anonymous")}
            for place, name in ((1, "server"), (2, "prompter"))
        },
        "entries": [round(known["memory_entries"]), round(left["memory_entries"])],
        "entries_mb": [round(m["memory_bytes"] / 2**20, 2) for m in (known, left)],
        "open_files": files,
        "cores": {name: round(value, 3) for name, value in cores.items()},
        "left_over": {name: left[name] for name in ("queue", "buffered_bytes", "clients_gone_total")},
        "prompter_starts": round(left["prompter_starts"]),
        "same_prompter_process": same_worker,
        "complaints_in_log": complaints,
        "stopped": stopped,
    }


def answers_report(seen: list[tuple[bool, Answer]], started: float, ended: float, deadline: float) -> dict[str, Any]:
    """Of the answers whose head came between two times; problems are those of all."""
    counted = [(stream, a) for stream, a in seen if a.problem is None and started <= a.head < ended]
    outcomes = Counter(a.outcome for _, a in counted)
    decided = [a for _, a in counted if a.outcome not in FAILED_OPEN]
    late = [a.milliseconds - 1000 * deadline for _, a in counted]
    seconds = ended - started
    return {
        "seconds": round(seconds, 1),
        "requests_of_all_time": len(seen),
        "errors": sum(a.problem is not None for _, a in seen),
        "problems": dict(Counter(a.problem for _, a in seen if a.problem is not None)),
        "streams": sum(stream for stream, _ in counted),
        "whole_answers": sum(not stream for stream, _ in counted),
        "outcomes": dict(outcomes.most_common()),
        "decided": len(decided),
        "decided_per_s": round(len(decided) / seconds, 3),
        "failed_open_per_s": {name: round(outcomes[name] / seconds, 3) for name in FAILED_OPEN},
        "saturated": sum(outcomes[name] for name in FAILED_OPEN) > 0.05 * len(counted),
        "added_ms": {
            "all": spread([a.milliseconds for _, a in counted]),
            "decided": spread([a.milliseconds for a in decided]),
            "rewritten": spread([a.milliseconds for a in decided if a.outcome == "rewritten"]),
            **{name: spread([a.milliseconds for _, a in counted if a.outcome == name]) for name in FAILED_OPEN},
        },
        "beyond_deadline_ms": {
            "p99": spread(late)["p99"],
            "max": round(max(late, default=0.0), 1),
            "by_10_or_more": sum(value >= 10 for value in late),
            "by_50_or_more": sum(value >= 50 for value in late),
        },
    }


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Percentiles."""
    ranked = sorted(values)
    if not ranked:
        return {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    at = {f"p{share}": ranked[math.ceil(share * len(ranked) / 100) - 1] for share in (50, 95, 99)}
    return {"n": len(ranked), **{name: round(value, 2) for name, value in at.items()}, "max": round(ranked[-1], 2)}


def _growth(samples: list[tuple[float, float]]) -> dict[str, Any]:
    times, values = [s for s, _ in samples], [v for _, v in samples]
    half = len(samples) // 2
    return {
        "start": round(values[0], 1),
        "end": round(values[-1], 1),
        "most": round(max(values), 1),
        "per_min": trend(times, values),
        "per_min_last_half": trend(times[half:], values[half:]),
        "each_min": [round(v, 1) for v in values[:: round(60 / EVERY)]],
    }


def _open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def same_mix(outcomes: dict[str, int], seconds: float, slots: int, alone: list[dict[str, Any]]) -> float:
    """The share of the slots' time that such outcomes take where the prompter is alone."""
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for one in alone:
        for outcome, number in one["outcomes"].items():
            count[outcome] += number
            spent[outcome] += number * one["mean_s"][outcome]
    usual = spent.total() / count.total()
    needed = sum(
        number * (spent[outcome] / count[outcome] if outcome in count else usual)
        for outcome, number in outcomes.items()
        if outcome not in FAILED_OPEN
    )
    return round(needed / (slots * seconds), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="that count, after --warm")
    parser.add_argument("--warm", type=float, default=60, help="seconds before that")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--slots", type=int, default=1, help="of the server and of the prompter alone")
    parser.add_argument("--threads", type=int, help="of the same; all cores by default")
    parser.add_argument("--unproven", action="store_true", help="of the same: rewrites most prompts")
    parser.add_argument("--deadline", type=float, default=1.5, help="seconds a request waits for its rewrite")
    parser.add_argument("--memory", type=int, help="rewrites that the server remembers; its own default")
    parser.add_argument("--chunks", type=int, default=20, help="of an answer")
    parser.add_argument("--stream-seconds", type=float, default=1.0, help="that a streamed answer takes")
    parser.add_argument("--bare-seconds", type=float, default=60, help="of the prompter alone, before and after")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bare", type=float, help="for its own process: seconds of the prompter alone")
    parser.add_argument("--first", type=int, default=0, help="for its own process: the first prompt's number")
    options = parser.parse_args()
    if options.bare is not None:
        print(json.dumps(bare(options)))
        return
    found: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
            "processor": platform.machine(), "load_before": round(os.getloadavg()[0], 2),
        },
        "setting": {
            name: getattr(options, name)
            for name in ("minutes", "warm", "clients", "slots", "threads", "unproven", "deadline", "memory", "chunks",
                         "stream_seconds", "bare_seconds")
        },
        "goals": GOALS,
    }  # fmt: skip
    alone = [bare_apart(options, 0)]
    seen = soak(options)
    alone.append(bare_apart(options, 500_000))
    per_s = statistics.mean(one["per_s"] for one in alone)
    found["done_ratio"] = round(seen["decided_per_s"] / per_s, 3)
    found["done_ratio_same_mix"] = same_mix(seen["outcomes"], seen["seconds"], options.slots, alone)
    found["alone"] = {"per_s": round(per_s, 3), "before": alone[0], "after": alone[1]}
    found["served"] = seen
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
