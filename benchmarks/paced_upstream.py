"""An LLM that writes nothing new, on time: a fake OpenAI-compatible upstream for measuring what stands before it.

    python benchmarks/paced_upstream.py --port 9000 [--rate 1000] [--streams 50] [--chunks 40] [--delay 0]

`--streams` streams at once make `--rate` chunks a second together. A stream's first chunk is sent as soon as its
request is read (plus `--delay`), chunk k is due k periods later, whatever became of those before it. The content of a
chunk is "NUMBER SENT_NS ": its place in the stream, and when it was sent by the system's monotonic clock, which is one
for all processes. `max_tokens` in a request is how many chunks are wanted. Without `"stream": true` the answer comes at
once.

It answers POST /v1/chat/completions and GET /v1/models, and prints its address when it listens. It needs httptools
(extra `serve`), and takes uvloop where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import time
from dataclasses import dataclass
from typing import Any

import httptools

MODEL = "paced"
_HEAD = {"id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "created": 1741570283, "model": MODEL}
_CHUNK = {**_HEAD, "object": "chat.completion.chunk", "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_STREAM += b"transfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Pace:
    """Seconds from one chunk of a stream to its next, chunks of a stream, seconds before its first."""

    period: float
    chunks: int
    delay: float


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + json.dumps({**_CHUNK, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


_FIRST = _event({"role": "assistant", "content": "%d %d ", "refusal": "null"}).replace(b'"null"', b"null")
_NEXT = _event({"content": "%d %d "})


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _last(count: int, usage: bool) -> bytes:
    """What ends a stream of so many chunks."""
    events = _framed(_event({}, "stop"))
    if usage:
        spent = {**_CHUNK, "choices": [], "usage": _usage(count)}
        events += _framed(b"data: " + json.dumps(spent, separators=(",", ":")).encode() + b"\n\n")
    return events + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 30, "completion_tokens": count, "total_tokens": 30 + count}


class Connection(asyncio.Protocol):
    """One connection of a client: its requests are answered one after the other."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._reply(b"400 Bad Request", {"error": {"message": str(error), "type": "invalid_request_error"}})
            self.transport.close()

    def on_message_begin(self) -> None:
        self.path, self.body = b"", b""

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.path == b"/v1/models":
            models = [{"id": MODEL, "object": "model", "created": 1741570283, "owned_by": "nobody"}]
            return self._reply(b"200 OK", {"object": "list", "data": models})
        if self.path != b"/v1/chat/completions":
            message = f"no such path: {self.path.decode(errors='replace')}"
            return self._reply(b"404 Not Found", {"error": {"message": message, "type": "invalid_request_error"}})
        try:
            request = json.loads(self.body)
            self.chunks = int(request.get("max_tokens") or self.pace.chunks)
            streamed = request.get("stream") is True
            usage = bool((request.get("stream_options") or {}).get("include_usage"))
        except (ValueError, TypeError, AttributeError) as error:
            return self._reply(b"400 Bad Request", {"error": {"message": str(error), "type": "invalid_request_error"}})
        if not streamed:
            return self._whole()
        self.sent, self.last = 0, _last(self.chunks, usage)
        self.start = self.loop.time() + self.pace.delay
        if self.pace.delay:
            self.timer = self.loop.call_at(self.start, self._send)
        else:
            self._send()

    def _send(self) -> None:
        """All that is due by now, and an appointment for the next."""
        out = b"" if self.sent else _STREAM
        due = int((self.loop.time() - self.start) / self.pace.period + 1e-6) + 1  # the timer may be early by a rounding
        for number in range(self.sent, min(max(due, self.sent + 1), self.chunks)):
            out += _framed((_NEXT if number else _FIRST) % (number, time.monotonic_ns()))
            self.sent = number + 1
        if due > self.chunks:
            self.timer = None
            self.transport.write(out + self.last)
            return
        self.transport.write(out)
        self.timer = self.loop.call_at(self.start + self.sent * self.pace.period, self._send)

    def _whole(self) -> None:
        content = "".join(f"{k} {time.monotonic_ns()} " for k in range(self.chunks))
        message = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        self._reply(
            b"200 OK", {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(self.chunks)}
        )

    def _reply(self, status: bytes, value: object) -> None:
        body = json.dumps(value).encode()
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        self.transport.write(head + body)


async def serve(port: int, pace: Pace) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pace), "127.0.0.1", port, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def run(work: Any) -> Any:
    """The coroutine's result, in uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--rate", type=float, default=1000, help="chunks a second of all streams together")
    parser.add_argument("--streams", type=int, default=50, help="how many share that rate")
    parser.add_argument("--chunks", type=int, default=40, help="of a stream, where the request has no max_tokens")
    parser.add_argument("--delay", type=float, default=0, help="seconds from a request to its first chunk")
    options = parser.parse_args()
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        run(serve(options.port, Pace(options.streams / options.rate, options.chunks, options.delay)))


if __name__ == "__main__":
    main()
