"""The page at `/`, and the endpoints that it and whoever runs the server need."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from promptlift import __version__, guard
from promptlift.serving.lifting import Lifter
from promptlift.serving.metrics import Metrics
from promptlift.serving.settings import Settings
from promptlift.serving.votes import Vote, Votes

FILES = Path(__file__).parent / "page"
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-cache",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_TEXT = 1_000_000


class VoteRequest(BaseModel):
    """Which of two answers was better; they were shown without telling which is which."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200)
    prompt: str = Field(min_length=1, max_length=_TEXT)
    rewrite: str = Field(min_length=1, max_length=_TEXT)
    answer_raw: str = Field(max_length=_TEXT)
    answer_rewritten: str = Field(max_length=_TEXT)
    winner: Literal["raw", "rewritten", "tie"]
    first: Literal["raw", "rewritten"] = Field(description="whose answer stood on the left")


def operations(lifter: Lifter, metrics: Metrics) -> APIRouter:
    """Health, readiness and metrics."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz", summary="It takes requests; without its prompter they go through as they are")
    async def readyz() -> dict[str, str]:
        return {"status": "ok", "prompter": lifter.prompter.state}

    @routes.get("/metrics", summary="Prometheus", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        metrics.queue.set(lifter.waiting.waiting)
        metrics.memory.set(len(lifter.memory))
        metrics.memory_bytes.set(lifter.memory.size)
        metrics.prompter_up.set(lifter.prompter.state == "ready")
        metrics.prompter_starts.set(lifter.prompter.starts)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def page(settings: Settings, lifter: Lifter, votes: Votes, needs_key: bool) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter(tags=["page"])
    meanings = _meanings()

    @routes.get("/promptlift/info", summary="What the page needs to know")
    async def info() -> dict[str, Any]:
        kept = await asyncio.to_thread(lambda: votes.count) if settings.page else False
        return {
            "version": __version__, "prompter": lifter.prompter.name, "state": lifter.prompter.state,
            "targets": lifter.prompter.targets, "turns": settings.turns, "needs_key": needs_key,
            "votes": kept, "command": votes.command, "checks": meanings,
        }  # fmt: skip

    if not settings.page:
        return routes

    @routes.post("/promptlift/votes", summary="Save a blind verdict")
    async def vote(given: VoteRequest) -> dict[str, Any]:
        try:
            key, count = await asyncio.to_thread(votes.add, Vote(**given.model_dump()))
        except OSError as error:
            raise HTTPException(503, f"the vote can't be saved: {error.strerror or error}") from None
        return {"id": key, "votes": count, "command": votes.command}

    @routes.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(FILES / "index.html", media_type="text/html", headers=SECURITY)

    @routes.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        at = FILES / name
        # a plain name, and one of ours: nothing else on this disk can be had
        if not re.fullmatch(r"[a-z0-9-]+\.[a-z]+", name) or at.suffix not in _TYPES or not at.is_file():
            raise HTTPException(404, f"no file {name[:80]!r}")
        return FileResponse(at, media_type=_TYPES[at.suffix], headers=SECURITY)

    return routes


def _meanings() -> dict[str, str]:
    """What each check means, as the guard's own description tells."""
    found = re.findall(r"^ {4}(\w+) {2,}(.+)$", guard.__doc__ or "", re.MULTILINE)
    return {name: text for name, text in found if name in guard.CHECKS}
