"""A request through the server: read, looked at, lifted, sent on, and its answer's bytes handed back.

Whatever fails before the upstream fails open: the body that came is the body that is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from promptlift.serving import headers as head
from promptlift.serving.bodies import Body, parse
from promptlift.serving.errors import send_error
from promptlift.serving.headers import Headers, Wishes
from promptlift.serving.lifting import Lifted, Lifter
from promptlift.serving.metrics import Metrics
from promptlift.serving.routing import target_for
from promptlift.serving.settings import Settings
from promptlift.serving.upstream import Answer, Upstream, UpstreamError

log = logging.getLogger("promptlift.serve")

Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[dict[str, Any]], Any]

# By the end of the path: some upstreams have more before it (Azure's deployments), or no /v1.
_KINDS = (("/chat/completions", "chat"), ("/completions", "completions"), ("/responses", "responses"))
_REFUSALS = (400, 413, 422)
_MB = 2**20
_LARGE = 2**18
"""Bytes of a body that is read beside the event loop."""
_TEXTS = 256
"""Of one request that are rewritten, as many as `POST /v1/rewrite` takes; each is a task."""
_SMALL = 2**20
"""Bytes of a body that is passed on as it is, and yet read to its end before."""


class _ClientGoneError(Exception):
    """The client closed the connection."""


class _RefusedError(Exception):
    """The request is answered with an error of our own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class _Work:
    """One request on its way."""

    kind: str = "other"
    model: str = ""
    reason: str | None = None
    changed: bool = False
    milliseconds: float = 0.0
    lifted: list[Lifted] = field(default_factory=list)
    status: int = 0
    started: float = field(default_factory=time.perf_counter)
    first_byte: float | None = None
    problem: str | None = None
    looked_at: bool = False
    complete: bool = False


class Proxy:
    """An ASGI application for all that is not promptlift's own."""

    def __init__(
        self, settings: Settings, lifter: Lifter, upstream: Upstream, metrics: Metrics, upstream_key: str | None
    ) -> None:
        """The parts are started and closed by their owner."""
        self._settings, self._lifter, self._upstream, self._metrics = settings, lifter, upstream, metrics
        self._key = None if upstream_key is None else f"Bearer {upstream_key}".encode()
        self._buffered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        posted = scope["path"] if scope["method"] == "POST" else ""
        work = _Work(next((kind for end, kind in _KINDS if posted.endswith(end)), "other"))
        try:
            await self._serve(scope, receive, send, work)
        except _ClientGoneError:
            work.problem = "client gone"
            self._metrics.gone.inc()
        except _RefusedError as error:
            if work.status == 0:
                await _error(send, error.status, error.code, str(error), work)
        except UpstreamError as error:
            self._metrics.upstream_errors.labels(error.code).inc()
            work.problem = error.code
            if work.status == 0:
                await _error(send, error.status, f"upstream_{error.code}", str(error), work)
            # else: what was begun ends here, and uvicorn closes the connection: the client sees the same cut
        finally:
            self._tell(scope, work)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, work: _Work) -> None:
        given: Headers = scope["headers"]
        if any(part in (b"..", b".") for part in _segments(scope["raw_path"])):
            raise _RefusedError(400, "path", "a path must not hold . or ..")
        if not scope["raw_path"].startswith(b"/"):
            raise _RefusedError(400, "path", "a path begins with /")
        asked = head.wishes(given)
        own_key = scope.get("state", {}).get("promptlift_key", False)
        headers = head.to_upstream(given, self._upstream.host, self._key, keep_authorization=not own_key)
        place = self._upstream.place(scope["raw_path"], scope["query_string"])
        stream = _Body(receive, self._settings.max_body_mb * _MB, self._settings.body_seconds)
        body, parsed = await self._read(scope, stream, work)
        async with _until_gone(receive, stream.ended, work):
            new, turns = await self._lift(parsed, asked, work)
            if isinstance(body, bytes) and new is not None:
                answer = await self._upstream.send(scope["method"], place, headers, new)
                if answer.status in _REFUSALS:
                    await answer.close()
                    work.changed, work.reason = False, "refused"
                    for prompt, target in turns:
                        self._lifter.refused(prompt, target)
                    answer = await self._upstream.send(scope["method"], place, headers, body)
            else:
                if not isinstance(body, bytes):
                    headers += [(n, v) for n, v in given if n == b"content-length"]
                answer = await self._upstream.send(scope["method"], place, headers, body)
            try:
                await self._hand_back(answer, send, asked, work)
            finally:
                await answer.close()

    async def _read(self, scope: Scope, stream: _Body, work: _Work) -> tuple[bytes | AsyncIterator[bytes], Body | None]:
        """The body: whole and looked at where it may hold a prompt, else as a stream."""
        length = _length(scope["headers"])
        if length is not None and length > self._settings.max_body_mb * _MB:
            raise _RefusedError(413, "too_large", f"a body may have {self._settings.max_body_mb} MB")
        encoded = any(n == b"content-encoding" and v.lower() != b"identity" for n, v in scope["headers"])
        if work.kind == "other" or encoded:
            work.reason = "encoded" if encoded and work.kind != "other" else None
            if (length or 0) > _SMALL:
                return stream.pieces, None
            # whole, as it can then be sent again where a connection turns out to be dead
            small = b""
            async for piece in stream.pieces:
                small += piece
                if len(small) > _SMALL:
                    return _joined(small, stream), None
            return small, None
        read = bytearray()
        try:
            async for piece in stream.pieces:
                read += piece
                self._count(len(piece))
                over = self._buffered > self._settings.buffer_mb * _MB
                if over or len(read) > self._settings.inspect_mb * _MB:
                    work.reason = "overloaded" if over else "too-large"
                    return _joined(bytes(read), stream), None
            whole = bytes(read)
            if len(whole) > _LARGE:
                return whole, await asyncio.to_thread(parse, work.kind, whole)
            return whole, parse(work.kind, whole)
        finally:
            self._count(-len(read))

    def _count(self, size: int) -> None:
        self._buffered += size
        self._metrics.buffered.set(self._buffered)

    async def _lift(
        self, body: Body | None, asked: Wishes, work: _Work
    ) -> tuple[bytes | None, list[tuple[str, str | None]]]:
        """The body with rewritten texts, or None; and the texts that were rewritten, with their targets."""
        if body is None:
            return None, []
        work.model, work.looked_at = body.model, True
        began = time.perf_counter()
        try:
            places, reason = self._places(body, asked)
            target = target_for(self._settings, self._lifter.prompter.targets, body.model, asked.target)
            if reason is not None or target is False:
                work.reason = reason or "off"
                return None, []
            ends = time.monotonic() + self._settings.deadline
            lifted = await asyncio.gather(
                *(
                    self._lifter.lift(
                        body.turns[n].text, target, max(0.0, ends - time.monotonic()), body.turns[n].answered
                    )
                    for n in places
                )
            )
            work.lifted = list(lifted)
            texts = {n: one.text for n, one in zip(places, lifted, strict=True) if one.reason is None}
            work.changed = bool(texts)
            work.reason = None if texts else next((one.reason for one in reversed(lifted) if one.reason), None)
            for one in lifted:
                self._metrics.rewrites.labels("unchanged" if one.reason else "rewritten", one.reason or "").inc()
            return (body.replaced(texts) if texts else None), [(body.turns[n].text, target) for n in texts]
        except Exception as error:  # fails open, whatever it is: the upstream works
            log.error("lifting failed", exc_info=error)
            work.reason, work.changed = "prompter", False
            return None, []
        finally:
            work.milliseconds = 1000 * (time.perf_counter() - began)
            self._metrics.rewrite_seconds.labels("rewritten" if work.changed else "unchanged").observe(
                work.milliseconds / 1000
            )
            if not work.lifted and work.reason is not None:
                self._metrics.rewrites.labels("unchanged", work.reason).inc()

    def _places(self, body: Body, asked: Wishes) -> tuple[list[int], str | None]:
        """Which turns are to be rewritten, or why none is."""
        turns = asked.turns or self._settings.turns
        if not asked.valid:
            return [], "header"
        if turns == "never":
            return [], "off"
        if body.reason is not None:
            return [], body.reason
        if turns == "first" and body.rest:
            return [], "turn"
        places = [0] if turns == "first" and not body.separate else list(range(len(body.turns)))
        fit = [n for n in places if body.turns[n].reason is None]
        if len(fit) > _TEXTS and body.separate:
            return [], "too-large"
        # of a conversation the first ones, so that what was sent before stays as it was
        return fit[:_TEXTS], None if fit else body.turns[places[-1]].reason

    async def _hand_back(self, answer: Answer, send: Send, asked: Wishes, work: _Work) -> None:
        if not 200 <= answer.status <= 599:
            raise UpstreamError(502, "broken", f"the upstream answered with status {answer.status}")
        if answer.status >= 400:
            self._metrics.upstream_errors.labels(f"status_{answer.status // 100}xx").inc()
        headers = head.to_client(answer.headers, answer.status)
        if work.kind != "other":
            shown = next((one.text for one in reversed(work.lifted) if one.reason is None), None)
            headers += head.outcome(
                work.changed, work.reason, work.milliseconds, self._lifter.prompter.name,
                shown if asked.show and work.changed else None,
            )  # fmt: skip
        work.status = answer.status
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for piece in answer.pieces():
            if work.first_byte is None:
                work.first_byte = time.perf_counter() - work.started
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        work.complete = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _tell(self, scope: Scope, work: _Work) -> None:
        seconds = time.perf_counter() - work.started
        self._metrics.requests.labels(work.kind, f"{work.status // 100}xx" if work.status else "none").inc()
        self._metrics.request_seconds.observe(seconds)
        if work.first_byte is not None:
            self._metrics.first_byte_seconds.observe(work.first_byte)
        told: dict[str, Any] = {
            "method": scope["method"], "path": scope["path"][:200], "status": work.status or None,
            "model": work.model[:100] or None, "outcome": "rewritten" if work.changed else None, "reason": work.reason,
            "lift_ms": round(work.milliseconds, 1) if work.looked_at else None, "ms": round(1000 * seconds, 1),
            "first_byte_ms": None if work.first_byte is None else round(1000 * work.first_byte, 1),
            "problem": work.problem,
        }  # fmt: skip
        if self._settings.log_prompts and (records := [one.rewrite for one in work.lifted if one.rewrite]):
            told["prompts"] = [record.prompt for record in records]
            told["rewrites"] = [record.rewrite for record in records if record.changed]
        log.info("request", extra=told)


class _Body:
    """A request's body as it comes, within a size and a time."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive, self._limit, self._seconds = receive, limit, seconds
        self.ended = asyncio.Event()
        self.pieces = self._pieces()
        """To be gone through once; whoever stops can go on later."""

    async def _pieces(self) -> AsyncIterator[bytes]:
        size = 0
        ends = time.monotonic() + self._seconds
        more = True
        while more:
            try:
                async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                    message = await self._receive()
            except TimeoutError:
                raise _RefusedError(408, "slow", "the body did not come in time") from None
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            if size > self._limit:
                raise _RefusedError(413, "too_large", f"a body may have {self._limit // _MB} MB")
            if not more:
                self.ended.set()
            if piece:
                yield piece


async def _joined(read: bytes, rest: _Body) -> AsyncIterator[bytes]:
    yield read
    async for piece in rest.pieces:
        yield piece


@contextlib.asynccontextmanager
async def _until_gone(receive: Receive, body_ended: asyncio.Event, work: _Work) -> AsyncIterator[None]:
    """Ends what is within when the client leaves; while its body is read, reading it tells."""
    task = asyncio.current_task()
    assert task is not None
    left = False

    async def watch() -> None:
        nonlocal left
        await body_ended.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        if not work.complete:  # at the end of an answer the server says "disconnect", too
            left = True
            task.cancel()

    watching = asyncio.ensure_future(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise _ClientGoneError from None
        raise
    finally:
        watching.cancel()


async def _error(send: Send, status: int, code: str, message: str, work: _Work) -> None:
    """An answer of our own, in OpenAI's form."""
    kind = "upstream_error" if code.startswith("upstream_") else "invalid_request_error"
    work.status, work.problem = status, work.problem or code
    # after these the rest of the body is not read
    headers = [(b"connection", b"close")] if status in (408, 413) else []
    await send_error(send, status, kind, code, message, headers)


def _segments(raw_path: bytes) -> list[bytes]:
    decoded = raw_path.lower().replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"/").replace(b"\\", b"/")
    return [part.split(b";")[0] for part in decoded.split(b"/")]  # Tomcat reads /..;x/ as /../


def _length(headers: Headers) -> int | None:
    value = next((v for n, v in headers if n == b"content-length"), b"")
    return int(value) if value.isdigit() else None


def _chunked(headers: Headers) -> bool:
    return any(n == b"transfer-encoding" for n, _ in headers)
