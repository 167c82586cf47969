"""The queue, the memory's use, and the prompter's process, each by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import ADVICE, COMMAND

from promptlift.errors import EngineError
from promptlift.records import Rewrite
from promptlift.serving.lifting import Lifter
from promptlift.serving.memory import Memory
from promptlift.serving.process import PrompterGoneError, PrompterProcess
from promptlift.serving.waiting import ExpiredError, Job, OverloadedError, Waiting


def rewrite_of(prompt: str, target: str | None = None) -> Rewrite:
    return Rewrite(prompt, prompt + ADVICE, True, None, target, "scripted@1", 0.0)


def job(prompt: str, target: str | None = None, seconds: float = 60.0) -> Job:
    return Job(prompt, target, None, time.monotonic() + seconds)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60), st.integers(1, 5), st.integers(1, 3))
def test_the_queue_does_each_job_once_and_starves_no_target(targets: list[str], run: int, slots: int) -> None:
    async def scenario() -> list[str]:
        order: list[tuple[str, str | None]] = []

        async def work(one: Job) -> Rewrite:
            order.append((one.prompt, one.target))
            return rewrite_of(one.prompt)

        queue = Waiting(work, slots, 100, run=run)
        jobs = [job(str(n), target) for n, target in enumerate(targets)]
        for one in jobs:
            queue.put(one)
        queue.start()
        await asyncio.gather(*(one.done for one in jobs))
        await queue.close()
        assert sorted(int(prompt) for prompt, _ in order) == list(range(len(targets)))
        for name in set(targets):  # within a target, first come first served
            mine = [int(prompt) for prompt, target in order if target == name]
            assert mine == sorted(mine)
        return [str(target) for _, target in order]

    served = asyncio.run(scenario())
    for start in range(len(served)):
        streak = served[start : start + run + 1]
        if len(streak) == run + 1 and len(set(streak)) == 1:
            # a longer streak only where nobody else was waiting any more
            assert set(served[start + run :]) == {streak[0]}


def test_the_queue_is_bounded_in_number_and_time() -> None:
    async def scenario() -> None:
        going = asyncio.Event()

        async def work(one: Job) -> Rewrite:
            await going.wait()
            return rewrite_of(one.prompt)

        queue = Waiting(work, 1, 2)
        queue.start()
        first = job("0")
        queue.put(first)
        await until(lambda: queue.waiting == 0)
        late = job("1", seconds=0.05)
        queue.put(late)
        queue.put(job("2"))
        with pytest.raises(OverloadedError, match="2 prompts wait"):
            queue.put(job("3"))
        await asyncio.sleep(0.06)
        going.set()
        assert (await first.done).rewrite == "0" + ADVICE
        with pytest.raises(ExpiredError):
            await late.done
        await until(lambda: queue.waiting == 0)
        # what a job takes is known now: one that can't be done in time is not let in
        queue._usual = 10.0
        going.clear()
        queue.put(job("4"))
        with pytest.raises(OverloadedError, match="too late"):
            queue.put(job("5", seconds=5))
        going.set()
        await queue.close()

    asyncio.run(scenario())


class Scripted:
    """In the place of the prompter's process."""

    name = "scripted@1"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[str], Awaitable[Rewrite]] | None = None

    async def rewrite(self, one: Job) -> Rewrite:
        self.asked.append(one.prompt)
        return await self.answer(one.prompt) if self.answer else rewrite_of(one.prompt)


def lifter_of(scripted: Scripted, entries: int = 100) -> tuple[Lifter, Waiting]:
    waiting = Waiting(scripted.rewrite, 1, 64)
    prompter: Any = scripted
    return Lifter(prompter, waiting, Memory(entries, 10**6), None), waiting


def test_the_same_prompt_is_rewritten_once() -> None:
    async def scenario() -> None:
        scripted = Scripted()
        lifter, waiting = lifter_of(scripted)
        waiting.start()
        found = await asyncio.gather(*(lifter.lift("a", None, 5) for _ in range(10)))
        assert {one.text for one in found} == {"a" + ADVICE} and scripted.asked == ["a"]
        await lifter.lift("a", None, 5, answered=True)
        assert scripted.asked == ["a"]
        await lifter.lift("a", "other", 5)
        assert scripted.asked == ["a", "a"]
        scripted.name = "scripted@2"  # another prompter: what the old one made is forgotten
        await lifter.lift("a", None, 5)
        assert scripted.asked == ["a", "a", "a"]
        await waiting.close()

    asyncio.run(scenario())


def test_what_comes_late_is_kept_for_the_next_request() -> None:
    async def scenario() -> None:
        scripted = Scripted()
        going = asyncio.Event()

        async def answer(prompt: str) -> Rewrite:
            await going.wait()
            return rewrite_of(prompt)

        scripted.answer = answer
        lifter, waiting = lifter_of(scripted)
        waiting.start()
        assert (await lifter.lift("a", None, 0.02)).reason == "deadline"
        going.set()
        await until(lambda: len(lifter.memory) == 1 and not lifter._jobs)
        assert (await lifter.lift("a", None, 0.02, answered=True)).reason == "earlier"
        assert (await lifter.lift("a", None, 0.02)).text == "a" + ADVICE
        assert (await lifter.lift("a", None, 0.02, answered=True)).text == "a" + ADVICE
        assert scripted.asked == ["a"]
        await waiting.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("error", "reason"), [(EngineError("x"), "prompter"), (PrompterGoneError("x"), "prompter")])
def test_a_failure_gives_the_prompt_as_it_was(error: Exception, reason: str) -> None:
    async def scenario() -> None:
        scripted = Scripted()

        async def answer(prompt: str) -> Rewrite:
            raise error

        scripted.answer = answer
        lifter, waiting = lifter_of(scripted)
        waiting.start()
        found = await lifter.lift("a", None, 5)
        assert (found.text, found.reason) == ("a", reason)
        scripted.answer = None
        assert (await lifter.lift("a", None, 5)).text == "a" + ADVICE
        await waiting.close()

    asyncio.run(scenario())


def test_the_process_comes_back() -> None:
    async def scenario() -> None:
        process = PrompterProcess({}, hang_seconds=1.0, command=COMMAND, pauses=(0.01,))
        await process.start()
        assert process.name == "scripted@1" and (await process.rewrite("a")).rewrite == "a" + ADVICE
        pieces: list[str] = []
        await process.rewrite("a", on_piece=pieces.append)
        assert pieces == ["Be vivid."]
        for word in ("!die", "!garbage", "!hang", "!foreign"):
            starts = process.starts
            with pytest.raises(PrompterGoneError):
                await process.rewrite(f"a {word}")
            await until(lambda before=starts: process.starts > before and process.state == "ready")  # type: ignore[misc]
        with pytest.raises(EngineError, match="it failed"):
            await process.rewrite("a !fail")
        running = process._process
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        await running.wait()
        await until(lambda: process.state == "ready" and process._process is not running)
        assert (await process.rewrite("b", "one")).target == "one"
        await process.close()
        with pytest.raises(PrompterGoneError, match="down"):
            await process.rewrite("a")

    asyncio.run(scenario())


def test_several_jobs_in_work_fail_together_and_none_hangs() -> None:
    async def scenario() -> None:
        process = PrompterProcess({}, hang_seconds=5.0, command=COMMAND, pauses=(0.01,))
        await process.start()
        jobs = [asyncio.ensure_future(process.rewrite(f"{n} !slow")) for n in range(3)]
        jobs.append(asyncio.ensure_future(process.rewrite("!die")))
        found = await asyncio.gather(*jobs, return_exceptions=True)
        assert isinstance(found[0], Rewrite) and isinstance(found[-1], PrompterGoneError)
        await process.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ((sys.executable, "-c", 'print(\'{"failed": "no base"}\')'), "no base"),
        ((sys.executable, "-c", ""), "ended before it was ready"),
        ((sys.executable, "-c", "print('hello')"), "said what it should not"),
        (("/nowhere/python",), "can't be started"),
    ],
)
def test_a_prompter_that_can_not_start_is_told(command: tuple[str, ...], message: str) -> None:
    async def scenario() -> None:
        process = PrompterProcess({}, command=command)
        with pytest.raises(EngineError, match=message):
            await process.start()

    asyncio.run(scenario())
