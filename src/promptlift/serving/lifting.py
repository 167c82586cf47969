"""One text in, one text out: from memory, or by the prompter within the time there is, or as it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from promptlift.errors import EngineError, InputError
from promptlift.records import Rewrite
from promptlift.serving.memory import Memory, key_of
from promptlift.serving.process import PrompterProcess
from promptlift.serving.waiting import ExpiredError, Job, OverloadedError, Waiting


@dataclass(frozen=True)
class Lifted:
    """What is sent of a text.

    Attributes:
        text: to be sent.
        reason: why it is as it was; None if it is rewritten.
        rewrite: the prompter's record, where there is one.
    """

    text: str
    reason: str | None
    rewrite: Rewrite | None = None


class Lifter:
    """Joins memory, queue and prompter. For one event loop; it never raises for a text."""

    def __init__(self, prompter: PrompterProcess, waiting: Waiting, memory: Memory, strength: str | None) -> None:
        """All parts are started by their owner.

        Args:
            prompter: rewrites.
            waiting: the queue before it; its work is `prompter.rewrite`.
            memory: of earlier rewrites.
            strength: of the rewrites; None for the prompter's first.
        """
        self.prompter, self.waiting, self.memory = prompter, waiting, memory
        self._strength = strength
        self._jobs: dict[str, Job] = {}

    async def lift(self, prompt: str, target: str | None, seconds: float, answered: bool = False) -> Lifted:
        """What to send of a text.

        Args:
            prompt: the text.
            target: the adapter's name.
            seconds: that there are.
            answered: it went through before, and should go through in the same way.
        """
        key = key_of(prompt, target, self._strength)
        if self.prompter.name is not None:
            self.memory.version(self.prompter.name)
        kept = self.memory.get(key)
        if answered and kept is not None and kept.sent_raw:
            return Lifted(prompt, "earlier")
        if kept is not None and kept.rewrite is not None:
            found = kept.rewrite
        else:
            try:
                made = await _within(seconds, lambda ends: asyncio.shield(self._job(key, prompt, target, ends).done))
            except InputError:
                made = "prompter"
            if isinstance(made, str):
                self.memory.sent(key, raw=True)
                return Lifted(prompt, made)
            found = made
        self.memory.sent(key, raw=False)
        return Lifted(found.rewrite, found.reason, found)

    def refused(self, prompt: str, target: str | None) -> None:
        """The upstream did not take the rewrite: what went through is the prompt as it was."""
        self.memory.sent(key_of(prompt, target, self._strength), raw=True)

    async def rewrite(
        self, prompt: str, target: str | None, strength: str | None, seconds: float,
        on_piece: Callable[[str], None] | None = None,
    ) -> Lifted:  # fmt: skip
        """A rewrite for its own sake; past the memory where it is to be seen being written.

        Raises:
            InputError: the prompter has no such strength.
        """
        if on_piece is None and strength in (None, self._strength):
            return await self.lift(prompt, target, seconds)

        def begin(ends: float) -> asyncio.Future[Rewrite]:
            job = Job(prompt, target, strength or self._strength, ends, on_piece)
            self.waiting.put(job)
            return job.done

        found = await _within(seconds, begin)
        if isinstance(found, str):
            return Lifted(prompt, found)
        if strength in (None, self._strength):
            self.memory.keep(key_of(prompt, target, self._strength), found)
        return Lifted(found.rewrite, found.reason, found)

    def _job(self, key: str, prompt: str, target: str | None, expires: float) -> Job:
        """The job on this text: one that is in work already, or a new one."""
        job = self._jobs.get(key)
        if job is not None:
            job.expires = max(job.expires, expires)
            return job
        job = Job(prompt, target, self._strength, expires)
        self.waiting.put(job)
        self._jobs[key] = job
        job.done.add_done_callback(lambda done: self._finished(key, done))
        return job

    def _finished(self, key: str, done: asyncio.Future[Rewrite]) -> None:
        self._jobs.pop(key, None)
        # even where nobody waits any more: the next request for it finds the rewrite
        if not done.cancelled() and done.exception() is None:
            self.memory.keep(key, done.result())


async def _within(seconds: float, begin: Callable[[float], asyncio.Future[Rewrite]]) -> Rewrite | str:
    """What a job gives in so many seconds, or the reason why it gives nothing; `begin` is told when its time is up."""
    try:
        async with asyncio.timeout(seconds):
            return await begin(time.monotonic() + seconds)
    except (TimeoutError, ExpiredError):
        return "deadline"
    except OverloadedError:
        return "overloaded"
    except EngineError:
        return "prompter"
