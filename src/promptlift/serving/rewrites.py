"""POST /v1/rewrite: the rewrite alone, of one or many prompts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from promptlift.errors import InputError
from promptlift.guard import CHECKS
from promptlift.records import Rewrite, Strength
from promptlift.serving.errors import error
from promptlift.serving.lifting import Lifted, Lifter
from promptlift.serving.routing import target_for
from promptlift.serving.settings import Settings

PROMPTS = 256
"""In one request."""
CHARACTERS = 1_000_000
SECONDS = 60.0
"""A prompt that was sent here alone waits so long, not for the deadline of requests that are to be answered."""


class RewriteRequest(BaseModel):
    """What to rewrite, and for whom."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: (
        Annotated[str, Field(max_length=CHARACTERS)]
        | Annotated[list[Annotated[str, Field(max_length=CHARACTERS)]], Field(min_length=1, max_length=PROMPTS)]
    ) = Field(description="one prompt, or many", examples=["write a poem about the last train home"])
    target: str | None = Field(None, max_length=200, description="the adapter's name")
    model: str | None = Field(None, max_length=200, description="the LLM's name, which the server maps to an adapter")
    strength: Strength | None = Field(None, description="of the rewrite")
    stream: bool = Field(False, description="Server-Sent Events as it is written")


class CheckResult(BaseModel):
    """A check of the guard; `passed` is null if it was not run, as an earlier one failed."""

    name: str
    passed: bool | None


class RewriteRecord(BaseModel):
    """What the prompter made of one prompt, as `promptlift rewrite --json` tells it."""

    prompt: str
    rewrite: str
    changed: bool
    reason: str | None
    target: str | None
    prompter: str
    seconds: float
    checks: list[CheckResult]


class RewriteResponse(BaseModel):
    """The rewrites, in the order of the prompts."""

    rewrites: list[RewriteRecord]


class AsciiJson(Response):
    """JSON with escapes: it holds whatever a prompt holds, lone surrogates too."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def router(settings: Settings, lifter: Lifter) -> APIRouter:
    """The endpoint, for an application."""
    routes = APIRouter()

    @routes.post(
        "/v1/rewrite",
        response_model=RewriteResponse,
        summary="Rewrite prompts",
        tags=["promptlift"],
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def rewrite(asked: RewriteRequest) -> Response:
        """Rewrite one or many prompts. What can't be rewritten comes back as it was, with the reason."""
        target = target_for(settings, lifter.prompter.targets, asked.model or "", asked.target)
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        job = _Asked(lifter, target or None, asked.strength, target is False)
        if asked.stream:
            return StreamingResponse(
                _events(job, prompts), media_type="text/event-stream", headers={"cache-control": "no-store"}
            )
        return AsciiJson({"rewrites": [row async for row in job.records(prompts)]})

    return routes


class _Asked:
    def __init__(self, lifter: Lifter, target: str | None, strength: Strength | None, off: bool) -> None:
        self._lifter, self._target, self._strength, self._off = lifter, target, strength, off

    async def records(self, prompts: list[str]) -> AsyncIterator[dict[str, Any]]:
        # One at a time: many prompts of one client shall not fill the queue before all others.
        for prompt in prompts:
            yield await self.record(prompt)

    async def record(self, prompt: str, pieces: asyncio.Queue[str | None] | None = None) -> dict[str, Any]:
        began = time.perf_counter()
        if self._off:
            found = Lifted(prompt, "off")
        else:
            on_piece = None if pieces is None else pieces.put_nowait
            found = await self._lifter.rewrite(prompt, self._target, self._strength, SECONDS, on_piece)
        row = found.rewrite or Rewrite(
            prompt, prompt, False, found.reason, self._target, self._lifter.prompter.name or "",
            round(time.perf_counter() - began, 4),
        )  # fmt: skip
        return row.to_json() | {"checks": checks_of(row)}


async def _events(job: _Asked, prompts: list[str]) -> AsyncIterator[bytes]:
    for index, prompt in enumerate(prompts):
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        task = asyncio.ensure_future(job.record(prompt, pieces))
        task.add_done_callback(lambda _, pieces=pieces: pieces.put_nowait(None))  # type: ignore[misc]
        try:
            while (piece := await pieces.get()) is not None:
                yield _event({"index": index, "piece": piece})
            yield _event({"index": index, "rewrite": await task})
        except InputError as problem:
            yield _event(error(str(problem), "invalid_request_error"))
            return
        finally:
            task.cancel()
    yield b"data: [DONE]\n\n"


def _event(row: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(row)}\n\n".encode()


def checks_of(record: Rewrite) -> list[dict[str, Any]]:
    """The guard's checks of what was written, by the reason: they run in order and end at the first that fails."""
    if record.reason == "guard:language":
        return []  # the prompt's own language, as a rule: nothing was written
    failed = (record.reason or "").removeprefix("guard:") if (record.reason or "").startswith("guard:") else None
    if not record.changed and failed not in CHECKS:
        return []
    names = list(CHECKS)
    stop = len(names) if failed is None else names.index(failed)
    return [{"name": n, "passed": True if i < stop else False if i == stop else None} for i, n in enumerate(names)]
