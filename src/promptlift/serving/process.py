"""The prompter in a process of its own (see `worker`): started, watched, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from promptlift.errors import EngineError, InputError
from promptlift.records import Rewrite

log = logging.getLogger("promptlift.serve")

COMMAND = (sys.executable, "-m", "promptlift.serving.worker")
LINE_LIMIT = 256 * 2**20
"""Bytes of a line; a rewrite is never near it."""
HANG_SECONDS = 30.0
"""A job that takes longer is taken for a hang: five tries on a slow machine take less."""
LOAD_SECONDS = 300.0
"""A first start prepares the engine-ready file, and may fetch the base."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the n-th start in a row that came to nothing."""
State = Literal["starting", "ready", "down"]


class PrompterGoneError(EngineError):
    """The prompter broke down while it worked, or is not there."""


@dataclass
class _Job:
    prompt: str
    done: asyncio.Future[Rewrite]
    on_piece: Callable[[str], None] | None


class PrompterProcess:
    """Rewrites in another process. For one event loop."""

    def __init__(
        self, settings: Mapping[str, Any], hang_seconds: float = HANG_SECONDS, command: Sequence[str] = COMMAND,
        pauses: Sequence[float] = PAUSES,
    ) -> None:  # fmt: skip
        """Nothing is started yet.

        Args:
            settings: for `Prompter.load`.
            hang_seconds: a job that takes longer is taken for a hang, and the process is killed.
            command: that speaks the worker's protocol.
            pauses: before each further start, the last one for all others.
        """
        self.name: str | None = None
        self.targets: list[str] = []
        self.starts = 0
        self._state: State = "starting"
        self._settings, self._hang, self._command, self._pauses = dict(settings), hang_seconds, tuple(command), pauses
        self._jobs: dict[int, _Job] = {}
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._care: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None

    @property
    def state(self) -> State:
        """Whether it can be asked."""
        return self._state

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            EngineError: it can't load; what it says.
        """
        self._first = asyncio.get_running_loop().create_future()
        self._care = asyncio.create_task(self._keep_alive())
        try:
            await asyncio.shield(self._first)
        except BaseException:
            await self.close()
            raise

    async def rewrite(
        self, prompt: str, target: str | None = None, strength: str | None = None,
        on_piece: Callable[[str], None] | None = None, seconds: float | None = None,
    ) -> Rewrite:  # fmt: skip
        """One prompt's rewrite.

        Raises:
            PrompterGoneError: the process is not there, broke down, hung, or said what it should not.
            InputError: the prompter has no such strength.
            EngineError: the engine failed on this prompt.
        """
        process = self._process
        if self._state != "ready" or process is None or process.stdin is None:
            raise PrompterGoneError(f"the prompter is {self._state}")
        number = next(self._numbers)
        job = _Job(prompt, asyncio.get_running_loop().create_future(), on_piece)
        self._jobs[number] = job
        row = {"id": number, "prompt": prompt, "target": target, "strength": strength, "seconds": seconds,
               "stream": on_piece is not None}  # fmt: skip
        try:
            async with asyncio.timeout(self._hang):
                process.stdin.write(json.dumps(row).encode() + b"\n")
                await process.stdin.drain()
                return await job.done
        except TimeoutError:
            self._kill(process, "it hung")
            raise PrompterGoneError("the prompter hung") from None
        except (OSError, RuntimeError):  # uvloop raises the latter on a pipe that is closed
            raise PrompterGoneError("the prompter is gone") from None
        finally:
            self._jobs.pop(number, None)

    async def close(self) -> None:
        """End the process: by its stdin, or by force."""
        self._state = "down"
        if self._care is not None:
            self._care.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._care
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(2):
                    await process.wait()
            except TimeoutError:
                self._kill(process, "it did not end")
                await process.wait()
        self._fail_jobs()

    async def _keep_alive(self) -> None:
        failed = 0
        while True:
            began = time.monotonic()
            why = await self._live()
            was_ready = self._state == "ready"
            self._state = "down"
            self._fail_jobs()
            if self._first is not None and not self._first.done():
                self._first.set_exception(EngineError(why))
                return
            failed = 0 if was_ready and time.monotonic() - began > 60 else failed + 1
            pause = self._pauses[min(failed, len(self._pauses)) - 1] if failed else self._pauses[0]
            log.error("prompter ended", extra={"why": why, "restart_in": pause})
            await asyncio.sleep(pause)

    async def _live(self) -> str:
        """One life of the process; returns what ended it."""
        self._state = "starting"
        self.starts += 1
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_LIMIT,
                start_new_session=True,  # Ctrl-C is for the server: it still finishes what it has
            )  # fmt: skip
        except OSError as error:
            return f"the prompter's process can't be started: {error}"
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(self._settings).encode() + b"\n")
            async with asyncio.timeout(LOAD_SECONDS):
                first = _row(await process.stdout.readline())
            if "failed" in first:
                return str(first["failed"])
            if not isinstance(first.get("ready"), str):
                return "the prompter's process ended before it was ready"
            self.name = first["ready"]
            self._state = "ready"
            if self._first is not None and not self._first.done():
                self._first.set_result(None)
            log.info("prompter ready", extra={"prompter": self.name})
            # its end, too: a child that it left behind may keep its pipes open
            reading = asyncio.ensure_future(self._listen(process.stdout))
            ending = asyncio.ensure_future(process.wait())
            try:
                await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((reading,), timeout=0.5)  # the last that it wrote
                if reading.done():
                    reading.result()
                    return "it closed its stdout"
                return f"its process ended with {ending.result()}"
            finally:
                reading.cancel()
                ending.cancel()
        except TimeoutError:
            return f"it was not ready after {LOAD_SECONDS:.0f} s"
        except (ValueError, OSError) as error:
            return f"it said what it should not: {type(error).__name__}"
        finally:
            self._kill(process, None)
            with contextlib.suppress(ProcessLookupError):
                await process.wait()

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            self._take(_row(line))

    def _take(self, row: dict[str, Any]) -> None:
        """Hand a line to the job that it is for; ValueError if it makes no sense."""
        if isinstance(targets := row.get("targets"), list):
            self.targets = [name for name in targets if isinstance(name, str)]
            return
        job = self._jobs.get(row["id"]) if isinstance(row.get("id"), int) else None
        if job is None:
            if isinstance(row.get("id"), int):
                return  # nobody waits for it any more
            raise ValueError("no id")
        if isinstance(piece := row.get("piece"), str):
            if job.on_piece is not None:
                job.on_piece(piece)
        elif job.done.done():
            pass
        elif "error" in row:
            job.done.set_exception((InputError if row.get("input") else EngineError)(str(row["error"])))
        else:
            job.done.set_result(_record(row.get("rewrite"), job.prompt))

    def _fail_jobs(self) -> None:
        for job in self._jobs.values():
            if not job.done.done():
                job.done.set_exception(PrompterGoneError("the prompter broke down"))
        self._jobs = {}

    def _kill(self, process: asyncio.subprocess.Process, why: str | None) -> None:
        if why is not None and process.returncode is None:
            log.error("prompter killed", extra={"why": why})
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # a session of its own: its children, too
            else:
                process.kill()


def _row(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line or b"{}")
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


_REASON = re.compile(r"[a-z-]{1,20}(:[a-z-]{1,20})?")
_FIELDS = {f.name for f in fields(Rewrite)}


def _record(row: Any, prompt: str) -> Rewrite:
    """A rewrite as the worker tells it; ValueError if it is none of this prompt."""
    if not isinstance(row, dict) or set(row) != _FIELDS or row["prompt"] != prompt:
        raise ValueError("no rewrite of this prompt")
    found = Rewrite(**row)
    sound = (
        isinstance(found.rewrite, str)
        and isinstance(found.changed, bool)
        and isinstance(found.seconds, int | float)
        and (found.reason is None or (isinstance(found.reason, str) and _REASON.fullmatch(found.reason) is not None))
        and found.changed == (found.reason is None)
        and (bool(found.rewrite.strip()) if found.changed else found.rewrite == prompt)
    )
    if not sound:
        raise ValueError("a rewrite that contradicts itself")
    return found
