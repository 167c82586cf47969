"""uvicorn's connections with limits that it has not: of a request's headers, in bytes and in time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 64 * 1024
HEADER_SECONDS = 30.0


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long, or do not come."""

    _header_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there: its first request must follow."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; as long as no request's headers are complete, they are counted."""
        super().data_received(data)
        if self._patience is None:
            return
        self._header_bytes += len(data)
        if self._header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("Request headers are too long.")

    def on_message_begin(self) -> None:
        """A request begins, and its headers must be complete in time."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_waiting()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._header_bytes = 0
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
