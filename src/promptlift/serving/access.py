"""Who may call: the key, the names this server is called by, web origins, and how many at once."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from promptlift.serving.errors import send_error
from promptlift.serving.headers import KEY, Headers
from promptlift.serving.metrics import Metrics
from promptlift.serving.settings import Settings

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Any]

OPEN = frozenset({"/", "/healthz", "/readyz", "/promptlift/info", "/favicon.ico"})
"""What needs no key: the page itself holds no secret, and whoever watches the process has none."""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Access:
    """Lets a request through to the application, or answers it."""

    def __init__(self, app: Application, settings: Settings, key: str | None, metrics: Metrics) -> None:
        """Wrap an application.

        Args:
            app: what a permitted request goes to.
            settings: hold names, origins and the limit.
            key: that clients must give; None for a server that needs none.
            metrics: for the requests in work.
        """
        self._app, self._metrics, self._limit = app, metrics, settings.max_requests
        self._key = None if key is None else key.encode()
        self._origins = {origin.rstrip("/").lower() for origin in settings.origins}
        self._hosts = {name.lower() for name in (*_LOOPBACK, _bracketed(settings.host), *settings.hosts)}
        self._running = 0

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request, if it may be served."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        self._running += 1
        self._metrics.in_flight.set(self._running)
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
            self._metrics.in_flight.set(self._running)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        if scope["method"] in ("CONNECT", "TRACE"):
            return 405, "method", f"{scope['method']} is not for this server"
        if any(n == b"transfer-encoding" and v.strip().lower() != b"chunked" for n, v in scope["headers"]):
            return 501, "transfer_encoding", "of transfer codings, only chunked is known"
        headers: Headers = scope["headers"]
        host = _value(headers, b"host").lower()
        # Without a key, a web page elsewhere could reach a loopback server by a name that it points there.
        if self._key is None and _name(host) not in self._hosts:
            return 403, "host", f"this server is not called {_name(host)[:80]!r}; name it with --allow-host"
        origin = _value(headers, b"origin").lower()
        same = origin in (f"http://{host}", f"https://{host}")
        if origin and not same and origin not in self._origins:
            return 403, "origin", "pages of other origins may not call this server; name them with --allow-origin"
        own_path = scope["path"] in OPEN or scope["path"].startswith("/page/")
        if self._key is not None and not own_path and not self._has_key(scope):
            return 401, "invalid_api_key", "this server needs its key, as Authorization: Bearer or X-Promptlift-Key"
        if self._running >= self._limit and scope["path"] not in OPEN:
            return 503, "overloaded", f"{self._limit} requests are in work; try again soon"
        return None

    def _has_key(self, scope: Scope) -> bool:
        """Whether the key was given; if as Authorization, it is noted that this header is not the upstream's."""
        assert self._key is not None
        headers: Headers = scope["headers"]
        scheme, _, given = _value(headers, b"authorization").partition(" ")
        bearer = scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._key)
        if bearer:
            scope.setdefault("state", {})["promptlift_key"] = True
        if any(name == KEY for name, _ in headers):
            return hmac.compare_digest(_value(headers, KEY).encode("latin-1"), self._key)
        return bearer


async def _answer(send: Any, status: int, code: str, message: str) -> None:
    kind = {401: "authentication_error", 403: "permission_error", 503: "server_error"}.get(
        status, "invalid_request_error"
    )
    headers = {401: [(b"www-authenticate", b"Bearer")], 503: [(b"retry-after", b"1")]}.get(status, [])
    await send_error(send, status, kind, code, message, headers)


def _value(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in headers if key == name), "")


def _name(host: str) -> str:
    """A Host header without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
