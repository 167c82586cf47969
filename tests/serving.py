"""A server of ours in a thread, an honest upstream that notes what it is asked, and a scripted prompter."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import uvicorn

from promptlift.serving.app import Server
from promptlift.serving.connections import uvicorn_settings
from promptlift.serving.run import KEEP_ALIVE_SECONDS, _listen, _loop_factory
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
    upstream: str,
    command: Sequence[str] = COMMAND,
    hang_seconds: float = 15.0,
    keep_alive: float = KEEP_ALIVE_SECONDS,
    **settings: Any,
) -> Iterator[Running]:
    """The whole server as `serving.run` runs it, but for the prompter's command, in a thread with a loop of its own."""
    found: list[tuple[Running, uvicorn.Server]] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    async def serve() -> None:
        server = Server(Settings(upstream=upstream, port=0, **settings), command, (0.05,), hang_seconds)
        with closing(_listen("127.0.0.1", 0)) as listening:
            await server.start()
            http = uvicorn.Server(uvicorn.Config(server, timeout_graceful_shutdown=1, **uvicorn_settings(keep_alive)))
            found.append((Running(f"http://127.0.0.1:{listening.getsockname()[1]}", server), http))
            ready.set()
            try:
                await http.serve(sockets=[listening])
            finally:
                await server.close()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    try:
        if found:
            yield found[0][0]
    finally:
        if found:
            found[0][1].should_exit = True
        thread.join()
        if failed:
            raise failed[0]
