"""All parts of the server as one ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from promptlift import __version__
from promptlift.adapters import data_folder
from promptlift.engines.server import usable_cores
from promptlift.errors import PromptliftError
from promptlift.serving import pages, rewrites
from promptlift.serving.access import Access
from promptlift.serving.described import describe
from promptlift.serving.errors import error
from promptlift.serving.lifting import Lifter
from promptlift.serving.memory import Memory
from promptlift.serving.metrics import Metrics
from promptlift.serving.process import COMMAND, HANG_SECONDS, PAUSES, PrompterProcess
from promptlift.serving.proxy import Proxy
from promptlift.serving.rewrites import AsciiJson
from promptlift.serving.settings import Settings
from promptlift.serving.upstream import Upstream
from promptlift.serving.votes import Votes
from promptlift.serving.waiting import Job, Waiting

OWN = frozenset({"/", "/v1/rewrite", "/healthz", "/readyz", "/metrics", "/openapi.json"})
"""Paths of promptlift's own, beside those under /page/ and /promptlift/."""
OWN_BODY = 16 * 2**20
"""Bytes of a body that promptlift's own endpoints take."""


class Server:
    """The parts, and the application made of them. Start and close it in the event loop that serves it."""

    def __init__(
        self, settings: Settings, command: Sequence[str] = COMMAND, pauses: Sequence[float] = PAUSES,
        hang_seconds: float = HANG_SECONDS,
    ) -> None:  # fmt: skip
        """Join the parts; nothing runs yet.

        Args:
            settings: checked.
            command: of the prompter's process.
            pauses: before the prompter is started again.
            hang_seconds: after which it is killed.

        Raises:
            InputError: a key that is needed is not in the environment.
        """
        key, upstream_key = settings.api_key(), settings.upstream_key()
        self.settings, self.metrics = settings, Metrics()
        load = {
            "prompter": settings.prompter, "base_gguf": settings.base_gguf, "slots": settings.slots,
            "threads": settings.threads or max(1, usable_cores() - 1), "unproven": settings.unproven,
        }  # fmt: skip
        self.prompter = PrompterProcess(load, hang_seconds, command, pauses)
        self.waiting = Waiting(self._rewrite, settings.slots, settings.queue, self.metrics.queue_seconds.observe)
        memory = Memory(settings.memory, settings.memory_mb * 2**20)
        self.lifter = Lifter(self.prompter, self.waiting, memory, settings.strength)
        self.upstream = Upstream(settings.upstream, settings.upstream_timeout)
        votes = Votes(Path(settings.votes).expanduser() if settings.votes else data_folder() / "votes")
        self._own = self._own_endpoints(votes, key is not None)
        self._proxy = Proxy(settings, self.lifter, self.upstream, self.metrics, upstream_key)
        guarded: Any = Access(self._route, settings, key, self.metrics)
        if settings.origins:
            guarded = CORSMiddleware(
                guarded, allow_origins=settings.origins, allow_methods=["*"], allow_headers=["*"],
                expose_headers=["x-promptlift", "x-promptlift-reason", "x-promptlift-ms", "x-promptlift-rewrite"],
            )  # fmt: skip
        self._guarded = guarded

    async def start(self) -> None:
        """Start the prompter and wait until it is ready.

        Raises:
            EngineError: it can't be loaded.
        """
        await self.prompter.start()
        self.waiting.start()

    async def close(self) -> None:
        """Stop all parts."""
        await self.waiting.close()
        await self.prompter.close()
        await self.upstream.close()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await self._guarded(scope, receive, send)

    async def _rewrite(self, job: Job) -> Any:
        seconds = max(0.0, job.expires - time.monotonic())
        return await self.prompter.rewrite(job.prompt, job.target, job.strength, job.on_piece, seconds)

    async def _route(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        if path in OWN or path.startswith(("/page/", "/promptlift/")):
            await self._own(scope, _limited(receive, self.settings.body_seconds), send)
        elif path == "/favicon.ico":
            await Response(status_code=204)(scope, receive, send)
        else:
            await self._proxy(scope, receive, send)

    def _own_endpoints(self, votes: Votes, needs_key: bool) -> FastAPI:
        app = FastAPI(
            title="promptlift", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False,
            description="An OpenAI-compatible server that rewrites prompts on their way. Paths that are not listed "
            "here are passed through to the upstream.",
        )  # fmt: skip
        app.include_router(rewrites.router(self.settings, self.lifter))
        app.include_router(pages.operations(self.lifter, self.metrics))
        app.include_router(pages.page(self.settings, self.lifter, votes, needs_key))

        @app.exception_handler(RequestValidationError)
        async def invalid(request: Request, found: RequestValidationError) -> Response:
            kind = request.headers.get("content-type", "")
            if request.method == "POST" and "json" not in kind.lower():
                line = f"the body is {kind[:80] or 'of no type'}; send JSON, as content-type: application/json"
                return _error(415, line, "invalid_request_error", None)
            first = found.errors()[0]
            where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
            return _error(400, f"{where}: {first['msg']}", "invalid_request_error", where)

        @app.exception_handler(HTTPException)
        async def failed(request: Request, found: HTTPException) -> Response:
            return _error(found.status_code, str(found.detail), "invalid_request_error", None, found.headers)

        @app.exception_handler(PromptliftError)
        async def ours(request: Request, found: PromptliftError) -> Response:
            return _error(400, str(found), "invalid_request_error", None)

        @app.exception_handler(Exception)
        async def unforeseen(request: Request, found: Exception) -> Response:
            return _error(500, "promptlift failed; its log says where", "server_error", None)

        describe(app)
        return app


def _error(status: int, message: str, kind: str, param: str | None, headers: Any = None) -> Response:
    return AsciiJson(error(message, kind, param), status_code=status, headers=headers)


def _limited(receive: Any, seconds: float) -> Any:
    """A body for our own endpoints, which hold it whole: only so much of it, and in so many seconds."""
    size, more = 0, True
    ends = asyncio.get_running_loop().time() + seconds

    async def counted() -> Any:
        nonlocal size, more
        try:
            async with asyncio.timeout_at(ends if more else None):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the body did not come in time", {"connection": "close"}) from None
        more = message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > OWN_BODY:
            raise HTTPException(413, f"a body may have {OWN_BODY // 2**20} MB", {"connection": "close"})
        return message

    return counted


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
