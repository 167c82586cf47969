"""An upstream that breaks as it is told, a client that tells a cut from an end, and our server between the two.

    Reply      what the upstream does with one request, and what an honest client sees of it
    Hostile    the upstream: raw sockets in a thread of its own; it notes the bytes of each request
    Client     one connection to our server: raw bytes there, an answer back, as strict as HTTP is
    Served     our server as `promptlift serve` runs it, in a process of its own, with the hostile prompter

A request says by its header `X-Case` which reply it is to get. Run as a program, this file is the server's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal

PROMPTER = Path(__file__).with_name("hostile_prompter.py")
PATIENCE = 20.0
"""Seconds until something that was waited for counts as not happening: a busy machine is slow, a hang is for ever."""
TEXT = "Grüße – 你好, 世界 🌍🚲 naïve ‘quotes’ "
"""Every length that UTF-8 has: a cut within it is a cut in the middle of a character."""

Headers = list[tuple[bytes, bytes]]


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait for a condition, and return what it gave.

    Raises:
        AssertionError: it did not come true.
    """
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        await asyncio.sleep(0.005)
    return found


# What the upstream does.


class Do(Enum):
    """What an upstream does beside sending bytes and being slow."""

    BODY = auto()  # read the request's body to its end
    CLOSE = auto()  # end the connection after what was sent
    RESET = auto()  # end it with a reset, which may overtake what was sent
    HOLD = auto()  # nothing, until the other side leaves
    GATE = auto()  # nothing, until the test opens the gate


_READ_AHEAD = 2**17
"""Bytes: a request's head, and not more of a body that no step reads."""
Step = bytes | float | Do
"""Bytes are sent, so many seconds waited."""


@dataclass(frozen=True)
class Reply:
    """What is done with a request, and what of it must arrive.

    Attributes:
        steps: done in this order; without CLOSE or RESET the connection is kept.
        status: of the answer; None if there is none that could be handed on.
        body: of the answer, before a cut.
        whole: it is not cut.
        exact: all of the body arrives; after a reset it need not.
        headers: that must arrive, in this order.
    """

    steps: tuple[Step, ...]
    status: int | None = 200
    body: bytes = b""
    whole: bool = True
    exact: bool = True
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def then(self, *steps: Step) -> Reply:
        """With further steps."""
        return replace(self, steps=(*self.steps, *steps))


def head(status: int | bytes, *lines: bytes) -> bytes:
    """The head of an answer."""
    first = status if isinstance(status, bytes) else b"HTTP/1.1 %d Some Reason" % status
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


def sized(body: bytes, status: int = 200, *lines: bytes, kind: bytes = b"application/json") -> Reply:
    """A body whose length is told."""
    first = head(status, b"content-type: " + kind, b"content-length: %d" % len(body), *lines)
    named = tuple(_named(line) for line in lines)
    return Reply((Do.BODY, first + body), status, body, headers=((b"content-type", kind), *named))


def chunked(pieces: Sequence[bytes], *lines: bytes, status: int = 200, kind: bytes = b"text/event-stream") -> Reply:
    """A body in chunks, each sent by itself."""
    first = head(status, b"content-type: " + kind, b"transfer-encoding: chunked", *lines)
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    named = tuple(_named(line) for line in lines)
    return Reply(
        (Do.BODY, first, *chunks, b"0\r\n\r\n"), status, b"".join(pieces), headers=((b"content-type", kind), *named)
    )


def at_once(reply: Reply) -> Reply:
    """The same reply, all that it sends in one piece."""
    sent = [step for step in reply.steps if isinstance(step, bytes)]
    return replace(reply, steps=(*(s for s in reply.steps if s is Do.BODY), b"".join(sent)))


def cut_after(reply: Reply, size: int, end: Do = Do.CLOSE) -> Reply:
    """The same reply, which ends after so many bytes of what it sends: in the head, there is no answer."""
    kept: list[Step] = []
    for step in reply.steps:
        if isinstance(step, bytes):
            kept.append(step[:size])
            size -= len(step)
        else:
            kept.append(step)
        if size <= 0:
            break
    sent = b"".join(step for step in kept if isinstance(step, bytes))
    first, mark, rest = sent.partition(b"\r\n\r\n")
    kept.append(end)
    if not mark:
        return Reply(tuple(kept), None)
    body = _unchunked(rest) if b"transfer-encoding" in first else rest
    whole = body == reply.body and (b"transfer-encoding" not in first or rest.endswith(b"\r\n0\r\n\r\n"))
    return replace(reply, steps=tuple(kept), body=body, whole=whole, exact=end is Do.CLOSE)


def events(draw: random.Random, count: int = 6) -> bytes:
    """A stream of Server-Sent Events as an LLM's server writes them."""
    rows = [{"choices": [{"delta": {"content": TEXT[draw.randrange(20) :]}}], "n": n} for n in range(count)]
    return (
        b"".join(b"data: %b\n\n" % json.dumps(row, ensure_ascii=False).encode() for row in rows) + b"data: [DONE]\n\n"
    )


def cut_anywhere(data: bytes, draw: random.Random, count: int) -> list[bytes]:
    """The data in pieces; one cut at least is in the middle of a character, if there is one of several bytes."""
    places = {draw.randrange(1, len(data)) for _ in range(count)} if len(data) > 1 else set()
    inside = [n for n, byte in enumerate(data) if byte & 0xC0 == 0x80]
    if inside:
        places.add(draw.choice(inside))
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def zipped(body: bytes) -> bytes:
    """gzip, the same bytes each time."""
    return gzip.compress(body, mtime=0)


def _named(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()


def _unchunked(data: bytes) -> bytes:
    """What of chunks is there, the last of them cut."""
    found = b""
    while data:
        size, mark, data = data.partition(b"\r\n")
        if not mark:
            break
        found, data = found + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return found


# The upstream.


@dataclass
class Request:
    """A request as the upstream got it.

    Attributes:
        case: which reply it asked for.
        method, target, headers: as they stood there, names in lower case.
        body: as far as it was read, without the marks of chunks.
        complete: it was read to its end.
        connection: its number.
        came: when its head was there.
        reused: another request came on this connection before it.
        begun: when the first byte of an answer was sent.
        done: the reply's steps are over.
        left: when the other side was seen to leave before that.
    """

    case: str
    method: str
    target: bytes
    headers: Headers
    connection: int
    came: float
    reused: bool
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    begun: float | None = None
    done: bool = False
    left: float | None = None

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for known, value in self.headers if known == name]


@dataclass
class Plan:
    """What is done with the requests of a case.

    Attributes:
        reply: to them all,
        refusal: but to those whose body is not `original`, if there is such a reply,
        stale: and to those that come on a connection that another request came on before.
        gate: opened by the test.
    """

    reply: Reply
    refusal: Reply | None = None
    original: bytes = b""
    stale: Reply | None = None
    gate: threading.Event = field(default_factory=threading.Event)


class _LeftError(Exception):
    """The other side closed the connection."""


class Hostile:
    """The upstream, until the `with` block ends."""

    def __init__(self) -> None:
        """It listens from here on."""
        self.plans: dict[str, Plan] = {}
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.problems: list[str] = []
        self._loop, self._started = asyncio.new_event_loop(), threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._started.wait()

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def plan(
        self, case: str, reply: Reply, refusal: Reply | None = None, original: bytes = b"", stale: Reply | None = None
    ) -> Plan:
        """What is to be done with the requests of a case."""
        self.plans[case] = found = Plan(reply, refusal, original, stale)
        return found

    def of(self, case: str) -> list[Request]:
        """The requests of a case that came so far."""
        return [request for request in self.requests if request.case == case]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._started.set()
        server = await asyncio.start_server(self._connection, sock=self._listening, limit=_READ_AHEAD)
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports are closed by now, and say so in the loop's next round

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # what is sent is there when the step is over: asyncio does so itself only for sockets that name the protocol
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self.open += 1
        number = self.connections
        request: Request | None = None
        try:
            while (request := await _head(reader, number, reused=request is not None)) is not None:
                self.requests.append(request)
                if not await self._reply(request, reader, writer):
                    break
                request.done = True
        except (_LeftError, OSError, asyncio.IncompleteReadError):
            if request is not None:
                request.left = time.monotonic()
        except asyncio.CancelledError:
            pass
        except Exception as error:  # a fault of this file's, which must not pass for one of the server's
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            self._tasks.discard(task)
            self.open -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _reply(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what the case says; False if the connection is over."""
        plan = self.plans.get(request.case)
        if plan is None:
            plan = Plan(sized(b'{"error": "no such case"}', 404))
        reply = plan.reply
        if plan.stale is not None and request.reused:
            reply = plan.stale
        elif plan.refusal is not None:
            await _body(request, reader)
            reply = reply if request.body == plan.original else plan.refusal
        for step in reply.steps:
            if isinstance(step, bytes):
                request.begun = request.begun or time.monotonic()
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                ends = time.monotonic() + step
                await _wait(lambda ends=ends: time.monotonic() >= ends, reader)  # type: ignore[misc]
            elif step is Do.BODY:
                await _body(request, reader)
            elif step is Do.GATE:
                await _wait(plan.gate.is_set, reader)
            elif step is Do.HOLD:
                await _wait(lambda: False, reader)
            else:
                request.done = True
                await _end(writer, step)
                return False
        return True


async def _wait(over: Callable[[], bool], reader: asyncio.StreamReader) -> None:
    """Until something is so, or the other side left. It is not read from: what comes may be the next request."""
    while not over():
        if reader.at_eof() or reader.exception() is not None:
            raise _LeftError
        await asyncio.sleep(0.005)


async def _end(writer: asyncio.StreamWriter, how: Do) -> None:
    if how is Do.RESET:
        # no lingering: what was not sent is dropped, and the other side gets a reset
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
    else:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader, connection: int, reused: bool) -> Request | None:
    """A request's line and headers; None if the connection ended between two requests."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return None
    method, target, _ = lines[0].split(b" ")
    headers = [_named(line) for line in lines[1:] if line]
    case = next((value for name, value in headers if name == b"x-case"), b"").decode()
    return Request(case, method.decode(), target, headers, connection, time.monotonic(), reused)


async def _body(request: Request, reader: asyncio.StreamReader) -> None:
    if request.complete:
        return
    if request.values(b"transfer-encoding"):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            request.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
    else:
        rest = int(next(iter(request.values(b"content-length")), b"0"))
        while rest:
            piece = await reader.read(min(rest, 2**16))
            if not piece:
                raise _LeftError
            request.body += piece
            rest -= len(piece)
    request.complete = True


# The client.


@dataclass
class Answer:
    """What a client saw.

    Attributes:
        status: None as long as there is no head.
        body: as far as it came, without the marks of chunks.
        end: `whole`; `cut`: the connection ended before the answer did; `none`: nothing came before it ended.
    """

    status: int | None = None
    headers: Headers = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    end: Literal["whole", "cut", "none", "open"] = "open"

    def value(self, name: bytes) -> str | None:
        """A header's value."""
        return next((value.decode("latin-1") for known, value in self.headers if known == name), None)

    @property
    def outcome(self) -> str | None:
        """`rewritten`, or why not."""
        return self.value(b"x-promptlift-reason") or self.value(b"x-promptlift")


class Client:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.answer = Answer()
        """The last one, as far as it has come."""

    @classmethod
    async def open(cls, port: int, receive_buffer: int | None = None) -> Client:
        """Connect."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer or 2**20)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        """Write bytes; a server that does not want them any more has said or will say why."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def pieces(self, method: str = "POST") -> AsyncIterator[bytes]:
        """Read an answer: its head is there with the first piece, which is empty."""
        self.answer = answer = Answer()
        try:
            await self._read_head()
            yield b""
            async for piece in self._read_body(method):
                answer.body += piece
                yield piece
            answer.end = "whole"
        except (asyncio.IncompleteReadError, ConnectionError):
            answer.end = "none" if answer.status is None else "cut"

    async def read(self, method: str = "POST") -> Answer:
        """Read an answer to its end.

        Raises:
            TimeoutError: it has none.
        """
        async with asyncio.timeout(PATIENCE):
            async for _ in self.pieces(method):
                pass
        return self.answer

    async def ended(self) -> bool:
        """Whether the server closes the connection, without a further byte."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True

    def leave(self, reset: bool = False) -> None:
        """Close the connection."""
        if reset:
            self._writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        self._writer.transport.abort()

    async def _read_head(self) -> None:
        while True:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            status = int(lines[0].split(b" ")[1])
            if status >= 200:
                break
        self.answer.headers = [_named(line) for line in lines[1:] if line]
        self.answer.status = status

    async def _read_body(self, method: str) -> AsyncIterator[bytes]:
        lengths = [value for name, value in self.answer.headers if name == b"content-length"]
        coded = [value for name, value in self.answer.headers if name == b"transfer-encoding"]
        assert len(lengths) + len(coded) <= 1, "a body's end must be told in one way"
        if method == "HEAD" or self.answer.status in (204, 304):
            return
        if coded:
            assert coded == [b"chunked"]
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                async for piece in self._so_many(size):
                    yield piece
                assert await self._reader.readexactly(2) == b"\r\n"
            assert await self._reader.readexactly(2) == b"\r\n"
        elif lengths:
            async for piece in self._so_many(int(lengths[0])):
                yield piece
        else:
            while piece := await self._reader.read(2**16):
                yield piece

    async def _so_many(self, rest: int) -> AsyncIterator[bytes]:
        while rest:
            piece = await self._reader.read(min(rest, 2**16))
            if not piece:
                raise asyncio.IncompleteReadError(b"", rest)
            rest -= len(piece)
            yield piece


def request(
    case: str, body: bytes = b"", target: bytes = b"/v1/chat/completions", method: bytes = b"POST",
    headers: Sequence[bytes] = (), coding: Sequence[bytes] | None = None,
) -> bytes:  # fmt: skip
    """A request's bytes; with `coding`, the pieces of its body, it is sent in chunks."""
    lines = [b"%b %b HTTP/1.1" % (method, target), b"host: localhost", b"x-case: " + case.encode(), *headers]
    if coding is not None:
        lines.append(b"transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in coding if piece) + b"0\r\n\r\n"
    elif body or method == b"POST":
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def ask(port: int, data: bytes, method: str = "POST") -> Answer:
    """One request on a connection of its own."""
    client = await Client.open(port)
    try:
        sending = asyncio.ensure_future(client.send(data))  # an answer may come before the request is sent
        answer = await client.read(method)
        sending.cancel()
        return answer
    finally:
        client.leave()


# The server.


class Served:
    """The server's process. Start it with `serving`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log
        self.pid = process.pid
        url = str(self._line()["url"])
        self.port = int(url.rpartition(":")[2])

    def inside(self) -> dict[str, Any]:
        """Of the server's event loop: its `tasks`; the `worker`, its `state` and `starts`; whether the queue is `idle`;
        `buffered` bytes; requests `in_flight`."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"tell\n")
        return self._line()

    def sockets(self) -> int:
        """Open sockets."""
        return sum(target.startswith("socket:") for target in self.files())

    def files(self) -> list[str]:
        """What its file descriptors are open on."""
        found = []
        for one in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(one))
        return found

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def logged(self) -> list[dict[str, Any]]:
        """The log's rows; a line that is no JSON is {"raw": line}."""
        return [_row(line) for line in self.log.read_text(errors="replace").splitlines()]

    def mishaps(self) -> list[str]:
        """What the log holds that is no answer to a fault of others: a traceback, an unhandled error."""
        known = ("request", "prompter ready", "prompter ended", "prompter killed", "stopped")
        return [json.dumps(row)[:600] for row in self.logged() if row.get("event") not in known]

    async def ready(self) -> dict[str, Any]:
        """Wait until the prompter is; what `inside` tells then."""
        return await until(lambda: (found := self.inside())["state"] == "ready" and found)

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        there, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert there, "the server's event loop does not answer"
        line = self.process.stdout.readline()
        assert line, f"the server ended: {self.log.read_text(errors='replace')[-2000:]}"
        return json.loads(line)


@contextlib.contextmanager
def serving(upstream: str, folder: Path, hang_seconds: float = 15.0, **settings: Any) -> Iterator[Served]:
    """The server, before an upstream; it is told to stop at the end, and must.

    Args:
        upstream: its base URL.
        folder: where its log and what its prompter keeps lie.
        hang_seconds: of the prompter.
        settings: of the server.
    """
    log = folder / "log.jsonl"
    given = {"port": 0, "upstream": upstream, "page": False, "drain_seconds": 10.0, **settings}
    # no proxy and no setting of whoever runs this
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("PROMPTLIFT_")}
    command = [sys.executable, __file__, json.dumps(given), str(hang_seconds), str(folder)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=env, bufsize=0
        )
    try:
        yield Served(process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text(errors="replace")[-2000:]
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {"raw": line}


def main() -> None:
    """The server's process: what `promptlift serve` runs, but for the prompter and for telling of itself."""
    from promptlift.serving import logs, run
    from promptlift.serving.app import Server
    from promptlift.serving.settings import Settings

    settings, hang_seconds, folder = Settings(**json.loads(sys.argv[1])), float(sys.argv[2]), sys.argv[3]

    class Watched(Server):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings, (sys.executable, str(PROMPTER), folder), (0.05,), hang_seconds)

        async def start(self) -> None:
            await super().start()
            loop = asyncio.get_running_loop()
            threading.Thread(target=_listen, args=(self, loop), daemon=True).start()

    def _listen(server: Watched, loop: asyncio.AbstractEventLoop) -> None:
        for _ in sys.stdin:
            loop.call_soon_threadsafe(_tell, server)
        os.kill(os.getpid(), signal.SIGKILL)  # whoever started this is gone

    def _tell(server: Watched) -> None:
        process = server.prompter._process
        row = {
            "tasks": sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks()),  # type: ignore[union-attr]
            "worker": None if process is None or process.returncode is not None else process.pid,
            "state": server.prompter.state,
            "starts": server.prompter.starts,
            "idle": server.waiting.waiting + server.waiting._running == 0,
            "buffered": server.metrics.buffered._value.get(),
            "in_flight": server.metrics.in_flight._value.get(),
        }
        print(json.dumps(row), flush=True)

    logs.set_up()
    run.Server = Watched  # type: ignore[misc, assignment]
    run.run(settings, lambda url: print(json.dumps({"url": url}), flush=True))


if __name__ == "__main__":
    main()
