"""The queue before the prompter: bounded in number and time, and grouped by target without starving any.

llama.cpp works fastest on requests with the same adapter. So the next job is one of the target that is being served,
up to RUN in a row if others wait; then it is the turn of the target whose first job has waited longest. So with t
targets, the first job of a target is overtaken by at most (t - 1) x RUN that came later.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from promptlift.errors import EngineError
from promptlift.records import Rewrite

RUN = 8
"""Jobs of one target in a row while others wait."""
_WEIGHT = 0.1
# A job is not begun if less than so many usual jobs' times are left: it would come too late. But one that still has
# half of its own time is always begun: else, once jobs were slow, none would show that they are fast again.
_WORTH, _FRESH = 1.5, 0.5


class OverloadedError(EngineError):
    """So many prompts wait that this one's turn would not come in time."""


class ExpiredError(EngineError):
    """The time was up before this prompt's turn came."""


@dataclass(eq=False)
class Job:
    """A prompt that waits; times are of `time.monotonic`."""

    prompt: str
    target: str | None
    strength: str | None
    expires: float
    on_piece: Callable[[str], None] | None = None
    done: asyncio.Future[Rewrite] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    came: float = field(default_factory=time.monotonic)


class Waiting:
    """Runs jobs, so many at once as there are slots. For one event loop."""

    def __init__(
        self, work: Callable[[Job], Awaitable[Rewrite]], slots: int, limit: int,
        on_wait: Callable[[float], None] = lambda seconds: None, run: int = RUN,
    ) -> None:  # fmt: skip
        """Nothing runs before `start`.

        Args:
            work: does one job.
            slots: jobs at once.
            limit: jobs that may wait.
            on_wait: told the seconds that each begun job has waited.
            run: jobs of one target in a row while others wait.
        """
        self._work, self._slots, self._limit, self._on_wait, self._run = work, slots, limit, on_wait, run
        self._lines: dict[str | None, deque[Job]] = {}
        self._current: str | None = None
        self._streak = 0
        self._running = 0
        self._usual: float | None = None
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self._slots)]

    async def close(self) -> None:
        """Stop; what waits is told that its time is up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in self._lines.values():
            for job in line:
                if not job.done.done():
                    job.done.set_exception(ExpiredError("the server is stopping"))
        self._lines = {}

    @property
    def waiting(self) -> int:
        """Jobs that were not begun."""
        return sum(len(line) for line in self._lines.values())

    @property
    def expected(self) -> float:
        """Seconds until a new job would be done, by what jobs took lately; 0 if nothing is before it."""
        waiting = self.waiting
        if self._usual is None or waiting + self._running < self._slots:
            return 0.0
        # those before it, of which the running ones are half done; its own time; and one more for what is uneven
        return ((waiting + self._running / 2) / self._slots + 2) * self._usual

    def put(self, job: Job) -> None:
        """Let a job wait.

        Raises:
            OverloadedError: too many wait, or its time would be up before its turn.
        """
        if self.waiting >= self._limit:
            raise OverloadedError(f"{self._limit} prompts wait already")
        if time.monotonic() + self.expected > job.expires:
            raise OverloadedError("its turn would come too late")
        self._lines.setdefault(job.target, deque()).append(job)
        self._more.set()

    async def _serve(self) -> None:
        while True:
            job = self._next()
            if job is None:
                self._more.clear()
                await self._more.wait()
                continue
            began = time.monotonic()
            self._on_wait(began - job.came)
            self._running += 1
            try:
                found = await self._work(job)
                if not job.done.done():
                    job.done.set_result(found)
            except asyncio.CancelledError:
                job.done.cancel()
                raise
            except Exception as error:
                if not job.done.done():
                    job.done.set_exception(error)
            else:
                self._learn(time.monotonic() - began)
            finally:
                self._running -= 1

    def _learn(self, seconds: float) -> None:
        self._usual = seconds if self._usual is None else (1 - _WEIGHT) * self._usual + _WEIGHT * seconds

    def _next(self) -> Job | None:
        """The job whose turn it is; those whose time is up are told so on the way."""
        while True:
            self._drop_expired()
            if not self._lines:
                return None
            if self._current not in self._lines or (self._streak >= self._run and len(self._lines) > 1):
                others = [target for target in self._lines if target != self._current or len(self._lines) == 1]
                self._current = min(others, key=lambda target: self._lines[target][0].came)
                self._streak = 0
            self._streak += 1
            line = self._lines[self._current]
            job = line.popleft()
            if not line:
                del self._lines[self._current]
            if not job.done.done():
                return job

    def _drop_expired(self) -> None:
        now, usual = time.monotonic(), self._usual or 0.0
        for target, line in list(self._lines.items()):
            kept: deque[Job] = deque()
            for job in line:
                if job.done.done():
                    continue
                if job.expires - now >= min(_WORTH * usual, _FRESH * (job.expires - job.came)):
                    kept.append(job)
                else:
                    job.done.set_exception(ExpiredError("its time is up"))
                    job.done.exception()  # whoever waited may have left: that is no mistake to be reported
            if kept:
                self._lines[target] = kept
            else:
                del self._lines[target]
