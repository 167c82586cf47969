"""What a proxy adds to an LLM's stream: time to the first byte, time of each chunk, throughput, CPU.

    python benchmarks/proxy.py --proxy promptlift --out results/speed/proxy.json
    python benchmarks/proxy.py --proxy promptlift --proxy litellm --litellm-python OTHER_VENV/bin/python
    python benchmarks/proxy.py --proxy 'mine=./proxy --upstream {upstream} --port {port}' --proxy http://127.0.0.1:80/v1

`--streams` clients in one process each keep one stream open and start the next when it has ended. They ask the paced
upstream (`paced_upstream.py`) itself, then each proxy before it, and so on in turn, `--rounds` times, so that a slow
machine slows all. A proxy is `promptlift` (with `--turns never`, so that only passing through is measured), `litellm`,
an address, or a command that takes `{upstream}` and `{port}`; NAME= before it is what it is called in the report.

The upstream, the clients and the proxy share the machine's cores. A block in which other processes took more than
`--noise` cores is measured again, `--repeats` times at most. Linux only: CPU times come from /proc. Needs the extra
`serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools
from paced_upstream import MODEL, run

GOALS = {"added_first_byte_ms_p50": 8, "added_first_byte_ms_p99": 30, "throughput_ratio": 0.95}
_CONTENT = re.compile(rb'"content": ?"(\d+) (\d+) ')
_LOCAL = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
_LITELLM = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # no keys to check: the fastest it can be
}


# The clients, a process of their own.


class Clients:
    """All clients of a block, and what they saw. Times are of the system's monotonic clock, in ns."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.chunks, self.period = options.chunks, options.streams / options.rate
        self.first: list[int] = []
        self.chunk: list[int] = []
        self.late: list[int] = []
        self.received = self.streams = 0
        self.failed: Counter[str] = Counter()
        url = urlsplit(options.ask)
        self.address = (url.hostname or "127.0.0.1", url.port or 80)
        messages = [
            {"role": "system", "content": "You are a helpful assistant. Answer in a few short paragraphs."},
            {"role": "user", "content": "help me plan a birthday party for my dad, he is turning 60, budget is small"},
        ]
        request = {"model": MODEL, "messages": messages, "max_tokens": options.chunks, "temperature": 0.7}
        body = json.dumps({**request, "stream": True, "stream_options": {"include_usage": True}}).encode()
        head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: text/event-stream\r\n"
        head += "Authorization: Bearer x\r\nContent-Type: application/json\r\nUser-Agent: clients/1\r\n"
        self.request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def block(self, options: argparse.Namespace) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        duration = self.chunks * self.period
        begin = time.monotonic_ns() + int((duration + options.warm) * 1e9)
        self.window = (begin, begin + int(options.seconds * 1e9))
        self.patience = 30 + 3 * duration
        draw = random.Random(options.seed)
        clients = [Client(self, loop) for _ in range(options.streams)]
        for client in clients:  # spread over a stream's length, at random phases
            loop.call_later(draw.uniform(0, duration), client.go)
        await asyncio.gather(*(client.over for client in clients))
        return {
            "first": self.first,
            "chunk": self.chunk,
            "late": self.late,
            "chunks_per_s": self.received / options.seconds,
            "streams": self.streams,
            "failed": self.failed,
            "cpu_s": time.process_time(),
        }


class Client(asyncio.Protocol):
    """One client and its connection, which is kept while the server keeps it."""

    def __init__(self, clients: Clients, loop: asyncio.AbstractEventLoop) -> None:
        self.clients, self.loop = clients, loop
        self.over = loop.create_future()
        self.transport: Any = None
        self.open = False
        self.timer: asyncio.TimerHandle | None = None

    def go(self) -> None:
        """The next stream, unless the time is up."""
        if time.monotonic_ns() > self.clients.window[1]:
            if self.transport:
                self.transport.close()
            if not self.over.done():
                self.over.set_result(None)
        elif self.transport is None:
            self.connecting = self.loop.create_task(self._connect())
        else:
            self._ask()

    async def _connect(self) -> None:
        try:
            await self.loop.create_connection(lambda: self, *self.clients.address)
        except OSError as error:
            self._end(f"connecting: {error.strerror}")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.open:
            self._end("the connection was lost")
        elif not self.over.done():
            self.loop.call_later(self.pause, self.go)

    def _ask(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.open, self.begun, self.ended = True, False, False
        self.numbers: list[int] = []
        self.rest = b""
        self.timer = self.loop.call_later(self.clients.patience, self._end, "no end in time")
        self.asked = time.monotonic_ns()
        self.transport.write(self.clients.request)

    def data_received(self, data: bytes) -> None:
        self.now = time.monotonic_ns()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"no HTTP: {error}")

    def on_body(self, body: bytes) -> None:
        clients, now = self.clients, self.now
        begin, end = clients.window
        if not self.begun:
            self.begun = True
            if begin <= self.asked < end and self.parser.get_status_code() == 200:
                clients.first.append(now - self.asked)
        whole, mark, rest = (self.rest + body).rpartition(b"\n")
        self.rest = rest
        if not mark:
            return
        for number, sent in _CONTENT.findall(whole):
            k, at = int(number), int(sent)
            if not self.numbers:
                self.start = at
            self.numbers.append(k)
            if begin <= now < end:
                clients.received += 1
                clients.chunk.append(now - at)
                clients.late.append(at - self.start - int(k * clients.period * 1e9))
        if b"data: [DONE]" in whole:
            self.ended = True

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status != 200:
            self._end(f"status {status}: {self.rest[:200].decode(errors='replace')}")
        elif self.numbers != list(range(self.clients.chunks)):
            self._end("chunks are missing or out of order")
        elif not self.ended:
            self._end("no [DONE]")
        else:
            self._end()

    def _end(self, failure: str = "") -> None:
        self.open = False
        self.pause = 0.2 if failure else 0
        self.clients.streams += 1
        if failure:
            self.clients.failed[failure] += 1
        if self.timer:
            self.timer.cancel()
        if not self.transport:
            self.loop.call_later(self.pause, self.go)
        elif failure or not self.parser.should_keep_alive():
            self.transport.abort()  # the next stream is asked for once the connection is closed
        else:
            self.go()


# The processes that are measured.


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, any_status: bool) -> None:
    """Until it answers; a proxy whose readiness has no address of its own may answer anything."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(1200):
        if process.poll() is not None:
            break
        try:
            with opener.open(url, timeout=5):
                return
        except urllib.error.HTTPError:
            if any_status:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"{url} was never ready; the end of what it wrote:\n{log.read_text(errors='replace')[-3000:]}")


@contextlib.contextmanager
def _started(command: list[str], ready: str, log: Path, env: dict[str, str], any_status: bool) -> Iterator[int]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **_LOCAL, **env}, start_new_session=True
        )
    try:
        _wait(ready, process, log, any_status)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            print(f"{command[0]} did not stop when asked to; it is killed", file=sys.stderr)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def subject(what: str, upstream: str, options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, int | None]]:
    """A proxy's base URL, and the process to stop, if it is ours."""
    port = str(_free_port())
    base, env = f"http://127.0.0.1:{port}", {}
    if what.startswith("http://"):
        yield what.rstrip("/"), None
        return
    if what == "promptlift":
        command = [sys.executable, "-m", "promptlift", "serve", "--upstream", upstream, "--port", port]
        command += ["--turns", "never"]
        ready = "/readyz"
    elif what == "litellm":
        config = folder / "litellm.yaml"  # JSON is YAML
        entry = {"model": f"openai/{MODEL}", "api_base": upstream, "api_key": "x"}
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": entry}]}))
        command = [options.litellm_python, "-c", "from litellm import run_server; run_server()"]
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", port]
        command += ["--num_workers", str(options.litellm_workers), "--telemetry", "False"]
        ready, env = "/health/liveliness", _LITELLM
    else:
        command = [part.format(upstream=upstream, port=port) for part in shlex.split(what)]
        ready = "/v1/models"
    log = folder / f"{port}.log"
    with _started(command, base + ready, log, env, ready == "/v1/models") as pid:
        yield f"{base}/v1", pid


# CPU, from /proc.


def _cpu_of(root: int) -> float:
    """Seconds of a process, its children that are over, and those that are not."""
    parent, spent = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parent[int(stat.parent.name)] = int(fields[1])
            spent[int(stat.parent.name)] = sum(map(int, fields[11:15]))
    wanted, total = {root}, 0
    while wanted:
        total += sum(spent.get(pid, 0) for pid in wanted)
        wanted = {pid for pid, above in parent.items() if above in wanted}
    return total / os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """Seconds that all cores together were busy, or taken by another machine."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


# The measurement.


def block(url: str, pids: dict[str, int | None], options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What a fresh process of clients saw at this address, and the cores that each process took meanwhile."""
    command = [sys.executable, __file__, "--ask", url, "--seed", str(seed)]
    for name in ("streams", "rate", "chunks", "seconds", "warm"):
        command += [f"--{name}", str(getattr(options, name))]

    def spent() -> dict[str, float]:
        known = {name: _cpu_of(pid) for name, pid in pids.items() if pid}
        return {**known, "ours": _cpu_of(os.getpid()), "busy": _busy()}

    started, before = time.monotonic(), spent()
    with tempfile.TemporaryDirectory() as folder:
        seen_file = Path(folder) / "seen.json"
        subprocess.run([*command, "--out", str(seen_file)], check=True)
        seen = json.loads(seen_file.read_text())
    seconds = time.monotonic() - started
    cores = {name: (value - before[name]) / seconds for name, value in spent().items()}
    seen["others"] = max(0.0, cores.pop("busy") - cores.pop("ours"))
    seen["cores"] = {**cores, "clients": seen.pop("cpu_s") / seconds}
    seen["load"] = os.getloadavg()[0]
    return dict(seen)


def wait_until_quiet(options: argparse.Namespace) -> None:
    """Until others leave the cores alone for three seconds, but not for ever."""
    ends = time.monotonic() + options.wait
    while time.monotonic() < ends:
        before = _busy() - _cpu_of(os.getpid())
        time.sleep(3)
        if (_busy() - _cpu_of(os.getpid()) - before) / 3 <= options.noise:
            return


def _ms(samples: list[int]) -> dict[str, Any]:
    """Percentiles in ms of samples in ns."""
    ranked = sorted(samples)
    if not ranked:
        return {"n": 0, "p50": None, "p99": None, "max": None}
    at = {name: ranked[min(len(ranked) - 1, int(share * len(ranked)))] for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"n": len(ranked), **{k: round(v / 1e6, 3) for k, v in at.items()}, "max": round(ranked[-1] / 1e6, 3)}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def report(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """One subject's blocks as one."""
    failed: Counter[str] = Counter()
    for one in blocks:
        failed.update(one["failed"])
    streams = sum(one["streams"] for one in blocks)
    return {
        "first_byte_ms": _ms([t for one in blocks for t in one["first"]]),
        "chunk_ms": _ms([t for one in blocks for t in one["chunk"]]),
        "chunks_per_s": round(_mean([one["chunks_per_s"] for one in blocks]), 2),
        "streams": streams,
        "complete": streams - sum(failed.values()),
        "errors": dict(failed),
        "cores": {name: round(_mean([one["cores"][name] for one in blocks]), 3) for name in blocks[0]["cores"]},
        "blocks": [
            {
                "first_byte_ms": [_ms(one["first"])[p] for p in ("p50", "p99")],
                "chunk_ms": [_ms(one["chunk"])[p] for p in ("p50", "p99")],
                "chunks_per_s": round(one["chunks_per_s"], 2),
                "upstream_late_ms_p99": _ms(one["late"])["p99"],
                "others_cores": round(one["others"], 3),
                "load": round(one["load"], 2),
            }
            for one in blocks
        ],
    }


def added(direct: dict[str, Any], proxy: dict[str, Any]) -> dict[str, Any]:
    """A proxy's figures less those without it."""
    found = {
        f"added_{what}_ms_{p}": round(proxy[f"{what}_ms"][p] - direct[f"{what}_ms"][p], 3)
        for what in ("first_byte", "chunk")
        for p in ("p50", "p99")
        if proxy[f"{what}_ms"]["n"]
    }
    return {**found, "throughput_ratio": round(proxy["chunks_per_s"] / direct["chunks_per_s"], 4)}


def versions(options: argparse.Namespace) -> dict[str, str]:
    found = {}
    for name in ("promptlift", "uvicorn", "starlette", "httpx2", "httptools", "uvloop"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if any(named(one)[1] == "litellm" for one in options.proxy):
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        reply = subprocess.run([options.litellm_python, "-c", code], capture_output=True, text=True)
        if reply.returncode:
            sys.exit(f"LiteLLM is not installed for {options.litellm_python}; install 'litellm[proxy]' there")
        found["litellm"] = reply.stdout.strip()
    return found


def named(proxy: str) -> tuple[str, str]:
    """What it is called, and what it is."""
    found = re.match(r"([\w .+-]+)=(.*)", proxy)
    return (found[1], found[2]) if found else (proxy, proxy)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "processor": platform.machine(),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": versions(options),
        "setting": {
            n: getattr(options, n) for n in ("streams", "rate", "chunks", "seconds", "warm", "rounds", "noise")
        },
    }
    command = [sys.executable, str(Path(__file__).with_name("paced_upstream.py")), "--rate", str(options.rate)]
    command += ["--streams", str(options.streams)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = _free_port()
        upstream = f"http://127.0.0.1:{port}/v1"
        command += ["--port", str(port)]
        pid = stack.enter_context(_started(command, f"{upstream}/models", folder / "upstream.log", {}, False))
        subjects: dict[str, tuple[str, int | None]] = {"direct": (upstream, None)}
        for proxy in options.proxy:
            name, what = named(proxy)
            subjects[name] = stack.enter_context(subject(what, upstream, options, folder))
        kept: dict[str, list[dict[str, Any]]] = {name: [] for name in subjects}
        repeated = 0
        for number in range(options.rounds):
            for name, (url, own) in subjects.items():
                while True:
                    wait_until_quiet(options)
                    seen = block(url, {"upstream": pid, "proxy": own}, options, number)
                    print(f"round {number + 1}, {name}: {json.dumps(report([seen])['blocks'][0])}", file=sys.stderr)
                    told_apart = own is not None or name == "direct"
                    if not told_apart or seen["others"] <= options.noise or repeated == options.repeats:
                        break
                    repeated += 1
                    print("again: others took too much of the machine", file=sys.stderr)
                kept[name].append(seen)
    found["blocks_repeated"] = repeated
    found["direct"] = report(kept["direct"])
    found["goals"] = GOALS
    found["proxies"] = {}
    for name in list(subjects)[1:]:
        one = report(kept[name])
        found["proxies"][name] = {**added(found["direct"], one), **one}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", action="append", default=[], help="may be given several times")
    parser.add_argument("--litellm-python", default=sys.executable, help="an interpreter that has litellm[proxy]")
    parser.add_argument("--litellm-workers", type=int, default=1)
    parser.add_argument("--streams", type=int, default=50, help="clients at once")
    parser.add_argument("--rate", type=float, default=1000, help="chunks a second of all streams together")
    parser.add_argument("--chunks", type=int, default=40, help="of a stream")
    parser.add_argument("--seconds", type=float, default=15, help="of a block that count")
    parser.add_argument("--warm", type=float, default=2, help="seconds of a block before that, once all streams run")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--noise", type=float, default=0.2, help="cores that others may take")
    parser.add_argument("--repeats", type=int, default=20, help="of blocks in which they took more, in all")
    parser.add_argument("--wait", type=float, default=60, help="seconds before a block for others to finish, at most")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ask", help="for its own process of clients")
    parser.add_argument("--seed", type=int, default=0, help="for its own process of clients")
    options = parser.parse_args()
    if options.ask:
        gc.disable()
        options.out.write_text(json.dumps(run(_block(options))))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped
    text = json.dumps(measure(options), indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


async def _block(options: argparse.Namespace) -> dict[str, Any]:
    return await Clients(options).block(options)


if __name__ == "__main__":
    main()
