"""Run a server until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from promptlift.errors import InputError
from promptlift.serving.app import Server
from promptlift.serving.connections import uvicorn_settings
from promptlift.serving.settings import Settings

log = logging.getLogger("promptlift.serve")

KEEP_ALIVE_SECONDS = 75.0


def run(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; running answers are finished first, for as long as the settings allow.

    Args:
        settings: checked.
        ready: told the server's URL when it takes requests.

    Raises:
        InputError: the address is taken or can't be had, or a key is missing.
        EngineError: the prompter can't be loaded.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, ready))


async def _serve(settings: Settings, ready: Callable[[str], None]) -> None:
    server = Server(settings)
    listening = _listen(settings.host, settings.port)
    try:
        await server.start()
        config = uvicorn.Config(
            server, timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            **uvicorn_settings(KEEP_ALIVE_SECONDS),
        )  # fmt: skip
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        ready(f"http://{host}:{listening.getsockname()[1]}")
        await _Uvicorn(config).serve(sockets=[listening])
        log.info("stopped")
    finally:
        listening.close()
        await server.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn ends the process by the signal that stopped it; here there is something to close after it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end serving; a second Ctrl-C does not wait for what is running."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, proto)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
        found.setblocking(False)
    except OSError as error:
        raise InputError(f"can't listen on {host}:{port}: {error.strerror or error}; choose another --port") from None
    return found


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return asyncio.new_event_loop
    return uvloop.new_event_loop
