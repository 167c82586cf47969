"""The LLM's server: one request there, its answer's bytes back."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2

from promptlift.serving.headers import Headers

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 4.0
"""An idle connection is closed after so long: before the other side does, whose usual 5 s would race with a request."""
IDLE_CONNECTIONS = 256
WRITE_SECONDS = 60.0
"""An upstream that takes no byte of a body for so long takes none any more; the client may be gone, unnoticed."""


@dataclass
class _Exchange:
    """What happened on the wire for one request.

    Attributes:
        connected: on a new connection.
        answered: the first byte of an answer came.
    """

    connected: bool = False
    answered: bool = False


_exchange: ContextVar[_Exchange | None] = ContextVar("exchange", default=None)
_FAILURES = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, httpcore2.ProxyError)


class UpstreamError(Exception):
    """The upstream gave no answer.

    Attributes:
        status: for the client, 502 or 504.
        code: what happened, in one word.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Answer:
    """An upstream's answer whose body is still to come; close it."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._stream: Any = response.stream
        self.status = response.status
        self.headers: Headers = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, still compressed if they are.

        Raises:
            UpstreamError: it was cut short.
        """
        try:
            async for piece in self._stream:
                yield piece
        except _FAILURES as error:
            raise UpstreamError(502, "cut", f"the upstream's answer was cut short: {type(error).__name__}") from None

    async def close(self) -> None:
        """Give the connection back, or end it if the answer is not read to its end, or more came than the answer."""
        state = getattr(getattr(getattr(self._stream, "_stream", None), "_connection", None), "_h11_state", None)
        if state is not None and state.trailing_data[0]:
            state.send_failed()  # it would be taken for the next request's answer
        await self._stream.aclose()


class Upstream:
    """Connections to the one server that was named at the start: no client can choose another."""

    def __init__(self, base_url: str, timeout: float) -> None:
        """Nothing is connected before the first request.

        Args:
            base_url: what `/v1` of this server stands for.
            timeout: seconds until the next byte of an answer.
        """
        self._base = httpx2.URL(base_url)
        self._origin = (self._base.raw_scheme, self._base.raw_host, self._base.port)
        path = self._base.raw_path.rstrip(b"/")
        self._paths = {True: path, False: path.removesuffix(b"/v1")}
        write = min(timeout, WRITE_SECONDS)
        self._timeout = {"connect": CONNECT_SECONDS, "read": timeout, "write": write, "pool": timeout}
        # The pool under httpx2 and not its client: no cookies are kept, no redirects followed, no header added.
        self._kept = _pool(self._base, IDLE_CONNECTIONS)
        self._fresh = _pool(self._base, 0)
        self.host = self._base.netloc

    async def close(self) -> None:
        """Close all connections."""
        await self._kept.aclose()
        await self._fresh.aclose()

    def place(self, raw_path: bytes, query: bytes) -> bytes:
        """Where a path of this server lies: `/v1/x` under the base, others beside its `/v1`; the bytes as they came."""
        in_v1 = raw_path == b"/v1" or raw_path.startswith(b"/v1/")
        path = self._paths[in_v1] + (raw_path[3:] if in_v1 else raw_path)
        return (path or b"/") + (b"?" + query if query else b"")

    async def send(self, method: str, place: bytes, headers: Headers, body: bytes | AsyncIterator[bytes]) -> Answer:
        """Send a request and wait for the head of its answer.

        Args:
            method: HTTP's.
            place: of `place`.
            headers: complete but for the body's length.
            body: its bytes, or an iterator, which can be sent once.

        Raises:
            UpstreamError: there is no answer.
        """
        for pool in (self._kept, self._fresh):
            _exchange.set(exchange := _Exchange())
            try:
                return Answer(await pool.handle_async_request(self._request(method, place, headers, body)))
            except (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError) as error:
                # A connection that was kept open, and that the other side closed just now: the request was not
                # served. On a new one, or where an answer had begun, it may have been, and is not repeated; nor is it
                # a second time, as it may be the request itself that the other side breaks at.
                if isinstance(body, bytes) and not exchange.connected and not exchange.answered:
                    continue
                raise UpstreamError(502, "broken", f"the upstream broke off: {type(error).__name__}") from None
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                raise UpstreamError(
                    502, "unreachable", f"the upstream can't be reached: {type(error).__name__}"
                ) from None
            except httpcore2.TimeoutException:
                raise UpstreamError(504, "timeout", "the upstream did not answer in time") from None
            except (*_FAILURES, ValueError) as error:
                raise UpstreamError(502, "broken", f"the upstream failed: {type(error).__name__}") from None
        raise AssertionError("a new connection is not one that was kept")

    def _request(
        self, method: str, place: bytes, headers: Headers, body: bytes | AsyncIterator[bytes]
    ) -> httpcore2.Request:
        scheme, host, port = self._origin
        length: Headers = []
        if not isinstance(body, bytes):
            told = any(name == b"content-length" for name, _ in headers)
            length = [] if told else [(b"transfer-encoding", b"chunked")]
        elif body or method not in ("GET", "HEAD", "OPTIONS"):
            length = [(b"content-length", str(len(body)).encode())]
        url = httpcore2.URL(scheme=scheme, host=host, port=port, target=place)
        return httpcore2.Request(
            method, url, headers=[*headers, *length], content=body, extensions={"timeout": self._timeout}
        )


def _pool(url: httpx2.URL, idle: int) -> httpcore2.AsyncConnectionPool:
    """Connections of which so many may stay open, through the proxy that the environment names."""
    limits: dict[str, Any] = {
        "ssl_context": httpx2.create_ssl_context() if url.scheme == "https" else None,
        "max_connections": None, "max_keepalive_connections": idle, "keepalive_expiry": IDLE_SECONDS,
        "network_backend": _Backend(),
    }  # fmt: skip
    proxy = _proxy(url)
    if proxy is None:
        return httpcore2.AsyncConnectionPool(**limits)
    named = httpx2.Proxy(url=proxy)
    at = httpcore2.URL(
        scheme=named.url.raw_scheme, host=named.url.raw_host, port=named.url.port, target=named.url.raw_path
    )
    return httpcore2.AsyncHTTPProxy(proxy_url=at, proxy_auth=named.raw_auth, **limits)


class _Backend(httpcore2.AnyIOBackend):
    """Notes what happens on the wire."""

    async def connect_tcp(self, *given: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        if (exchange := _exchange.get()) is not None:
            exchange.connected = True
        return _Wire(await super().connect_tcp(*given, **options))


class _Wire(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self.write, self.aclose = stream.write, stream.aclose  # type: ignore[method-assign]

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        found = await self._stream.read(max_bytes, timeout)
        if found and (exchange := _exchange.get()) is not None:
            exchange.answered = True
        return found

    def get_extra_info(self, info: str) -> Any:
        found = self._stream.get_extra_info(info)
        if info == "is_readable" and not found:
            # asked of an idle connection: what came after an answer may be in memory already
            inner = getattr(self._stream, "_stream", None)
            return bool(getattr(getattr(inner, "_protocol", None), "read_queue", None))
        return found

    async def start_tls(self, *given: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _Wire(await self._stream.start_tls(*given, **options))


def _proxy(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for this host, as other clients take it."""
    if urllib.request.proxy_bypass(url.host):
        return None
    found = urllib.request.getproxies()
    return found.get(url.scheme) or found.get("all")
