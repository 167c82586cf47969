"""uvicorn's connections with limits that it has not: of a request's headers, in bytes and in time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

log = logging.getLogger("promptlift.serve")

HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long, or do not come; ignores offers to upgrade."""

    _bare = 0  # bytes since something was understood: a head, a piece of a body, an end
    _understood = False
    _replaying = False
    _patience: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first request must follow."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)
        # uvicorn tells the last request only, which is not the one that is being answered where several came at once
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Bytes; those that complete nothing are counted, and those of no request have their time."""
        self._unset_keepalive_if_required()
        self._understood = False
        rest = data
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                    self._ignore_upgrade()
        except httptools.HttpParserError:
            log.warning("invalid HTTP")
            self._refuse("Invalid HTTP request received.")
            return
        self._bare = 0 if self._understood else self._bare + len(data)
        if self._bare > HEADER_BYTES:
            self._refuse("Request headers are too long.")
        elif self._patience is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()  # the rest of a request that was answered already, or newlines

    def on_response_complete(self) -> None:
        """The next request on this connection is answered, if there is one."""
        self._answered = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()

    def on_message_begin(self) -> None:
        """A request begins, and its headers must be complete in time."""
        if not self._replaying:
            super().on_message_begin()
            self._understood = True
            self._wait()

    def on_url(self, url: bytes) -> None:
        """A piece of it."""
        if not self._replaying:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what comes after the body is none (RFC 9110, section 6.5.1), and is dropped."""
        if self._patience is not None and not self._replaying:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        if not self._replaying:
            self._stop_waiting()
            self._understood = True
            before = self.cycle
            super().on_headers_complete()
            if before is None or before.response_complete:
                self._answered = self.cycle

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        self._understood = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's end; one that offers an upgrade has its body still before it."""
        self._understood = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _ignore_upgrade(self) -> None:
        """Go on with HTTP/1.1, as a server may: the parser takes what follows for another protocol, another does not.

        Java's client offers h2c with each first request: https://github.com/Kludex/uvicorn/issues/2722
        """
        lengths = (b"content-length", b"transfer-encoding")
        lines = [name + b": " + value for name, value in self.headers if name in lengths]
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""]))
        self._replaying = False

    def _refuse(self, why: str) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()  # not into the middle of an answer
        else:
            self.send_400_response(why)

    def _wait(self) -> None:
        self._stop_waiting()
        self._bare = 0
        self._patience = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class QuietAborts(logging.Filter):
    """Drops uvicorn's complaint about answers that are cut short on purpose: the upstream's was."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for that one message."""
        return "returned without completing response" not in str(record.msg)


def uvicorn_settings(keep_alive: float) -> dict[str, Any]:
    """What every server of ours is run with: no header of its own, no second log."""
    return {
        "http": LimitedProtocol, "ws": "none", "access_log": False, "server_header": False, "date_header": False,
        "log_config": None, "timeout_keep_alive": keep_alive, "lifespan": "on", "proxy_headers": False,
    }  # fmt: skip
