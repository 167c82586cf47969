"""A server of ours in a thread, an honest upstream that notes what it is asked, and a scripted prompter."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import uvicorn

from promptlift.serving.app import Server
from promptlift.serving.connections import uvicorn_settings
from promptlift.serving.settings import Settings

ADVICE = "\n\nBe vivid."
# Speaks the protocol of promptlift.serving.worker; a word in the prompt tells it how to behave.
SCRIPT = """
import json, os, sys, time
sys.stdin.readline()
print(json.dumps({"ready": "scripted@1"}), flush=True)
print(json.dumps({"targets": ["one", "two"]}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    prompt = job["prompt"]
    if "!die" in prompt: os._exit(3)
    if "!hang" in prompt: time.sleep(3600)
    if "!slow" in prompt: time.sleep(0.4)
    if "!garbage" in prompt: print("no json", flush=True); continue
    if "!fail" in prompt: print(json.dumps({"id": job["id"], "error": "it failed", "input": False}), flush=True); continue
    same = "!same" in prompt
    row = {"prompt": prompt, "rewrite": prompt if same else prompt + "\\n\\nBe vivid.", "changed": not same,
           "reason": "identity" if same else None, "target": job["target"], "prompter": "scripted@1", "seconds": 0.0}
    if "!foreign" in prompt: row["prompt"] = "another"
    if job["stream"]: print(json.dumps({"id": job["id"], "piece": "Be vivid."}), flush=True)
    print(json.dumps({"id": job["id"], "rewrite": row}), flush=True)
"""
COMMAND = (sys.executable, "-c", SCRIPT)


class Seen(NamedTuple):
    """A request as the upstream got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    """Answers each request with what `reply` gives for it: status and body; notes them all."""

    def __init__(self, reply: Callable[[Seen], tuple[int, bytes]] | None = None) -> None:
        self.seen: list[Seen] = []
        self.reply = reply or (lambda seen: (200, b'{"ok": true}'))
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                upstream.seen.append(seen)
                status, data = upstream.reply(seen)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Own", "kept")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PUT = _any

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Running(NamedTuple):
    """A server that takes requests."""

    url: str
    server: Server


@contextmanager
def running(
    upstream: str, command: Sequence[str] = COMMAND, hang_seconds: float = 15.0, **settings: Any
) -> Iterator[Running]:
    """The whole server under uvicorn, in a thread with an event loop of its own."""
    started, stop, found = threading.Event(), asyncio.Event(), []
    failure: list[BaseException] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        server = Server(Settings(upstream=upstream, port=0, **settings), command, (0.05,), hang_seconds)
        await server.start()
        http = uvicorn.Server(uvicorn.Config(server, port=0, **uvicorn_settings(75.0)))
        http.capture_signals = _no_signals  # type: ignore[method-assign]
        task = asyncio.create_task(http.serve())
        while not http.started:
            await asyncio.sleep(0.01)
        port = http.servers[0].sockets[0].getsockname()[1]
        found.append(Running(f"http://127.0.0.1:{port}", server))
        started.set()
        await stop.wait()
        http.should_exit = True
        await task
        await server.close()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        if failure:
            raise failure[0]
        yield found[0]
    finally:
        if loops and not failure:
            loops[0].call_soon_threadsafe(stop.set)
        thread.join()
        if failure:
            raise failure[0]


@contextmanager
def _no_signals() -> Iterator[None]:
    yield
