"""The LLM's server: one request there, its answer's bytes back."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from promptlift.serving.headers import Headers

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 4.0
"""An idle connection is closed after so long: before the other side does, whose usual 5 s would race with a request."""
IDLE_CONNECTIONS = 256
_NO_ANSWER = "without sending a response"


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

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Headers = list(response.headers.raw)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, still compressed if they are.

        Raises:
            UpstreamError: it was cut short.
        """
        stream: Any = self._response.stream
        try:
            async for piece in stream:
                yield piece
        except httpx2.HTTPError as error:
            raise UpstreamError(502, "cut", f"the upstream's answer was cut short: {type(error).__name__}") from None

    async def close(self) -> None:
        """Give the connection back, or end it if the answer is not read to its end."""
        await self._response.stream.aclose()  # type: ignore[union-attr]


class Upstream:
    """Connections to the one server that was named at the start: no client can choose another."""

    def __init__(self, base_url: str, timeout: float) -> None:
        """Nothing is connected before the first request.

        Args:
            base_url: what `/v1` of this server stands for.
            timeout: seconds until the next byte of an answer.
        """
        self._base = httpx2.URL(base_url)
        path = self._base.raw_path.rstrip(b"/")
        self._paths = {True: path, False: path.removesuffix(b"/v1")}
        self._timeout = {"connect": CONNECT_SECONDS, "read": timeout, "write": timeout, "pool": timeout}
        # The transport and not a client: no cookies are kept, no redirects followed, no header added.
        self._transport = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(
                max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=IDLE_SECONDS
            ),
            proxy=_proxy(self._base),
        )
        self.host = self._base.netloc

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

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
        whole = isinstance(body, bytes)
        while True:
            fresh = False

            async def trace(event: str, info: dict[str, Any]) -> None:
                nonlocal fresh
                fresh = fresh or event == "connection.connect_tcp.started"

            extensions = {"timeout": self._timeout, "trace": trace, "target": place}
            request = _request(method, self._base, headers, body, extensions)
            try:
                return Answer(await self._transport.handle_async_request(request))
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError) as error:
                # A connection that was kept open, and that the other side closed just now: the request was not
                # served. On a new one, or where an answer had begun, it may have been, and is not repeated.
                began = isinstance(error, httpx2.RemoteProtocolError) and _NO_ANSWER not in str(error)
                if whole and not fresh and not began:
                    continue
                raise UpstreamError(502, "broken", f"the upstream broke off: {type(error).__name__}") from None
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                raise UpstreamError(
                    502, "unreachable", f"the upstream can't be reached: {type(error).__name__}"
                ) from None
            except httpx2.TimeoutException:
                raise UpstreamError(504, "timeout", "the upstream did not answer in time") from None
            except (httpx2.HTTPError, ValueError) as error:
                raise UpstreamError(502, "broken", f"the upstream failed: {type(error).__name__}") from None


def _request(
    method: str, url: httpx2.URL, headers: Headers, body: bytes | AsyncIterator[bytes], extensions: dict[str, Any]
) -> httpx2.Request:
    if isinstance(body, bytes):
        length = (
            [(b"content-length", str(len(body)).encode())] if body or method not in ("GET", "HEAD", "OPTIONS") else []
        )
        stream: Any = httpx2.ByteStream(body)
    else:
        length = [] if any(name == b"content-length" for name, _ in headers) else [(b"transfer-encoding", b"chunked")]
        stream = _Stream(body)
    return httpx2.Request(method, url, headers=[*headers, *length], stream=stream, extensions=extensions)


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


def _proxy(url: httpx2.URL) -> str | None:
    """The proxy that the environment names for this host, as other clients take it."""
    if urllib.request.proxy_bypass(url.host):
        return None
    found = urllib.request.getproxies()
    return found.get(url.scheme) or found.get("all")
