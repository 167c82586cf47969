"""Load a prompter once, then rewrite prompts: one, many, or as a stream."""

from __future__ import annotations

import asyncio
import queue
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from promptlift import adapters, artifacts, spans, template
from promptlift.bases import base_gguf as base_gguf_of
from promptlift.engines.base import Engine, Sampling
from promptlift.errors import InputError
from promptlift.records import Rewrite, Strength
from promptlift.rewriting import Outcome, clean, leased, rewrite_prompt
from promptlift.target_adapters import TargetAdapters


class Prompter:
    """A small LM that rewrites prompts. Thread-safe; load it once and keep it.

    Example:
        >>> from promptlift import Prompter
        >>> with Prompter.load() as prompter:  # doctest: +SKIP
        ...     print(prompter.rewrite("explain recursion").rewrite)
    """

    def __init__(self, folder: artifacts.PrompterFolder, engine: Engine, unproven: bool = False) -> None:
        """Join a checked folder and a running engine; most callers want `Prompter.load`."""
        self.folder = folder
        self.engine = engine
        self._adapters = TargetAdapters(folder, engine, unproven)
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def load(
        cls,
        path_or_name: str | Path | None = None,
        *,
        slots: int = 4,
        base_gguf: str | Path | None = None,
        threads: int | None = None,
        unproven: bool = False,
        engine: Literal["llama.cpp", "torch"] = "llama.cpp",
        progress: Callable[[float], None] | None = None,
    ) -> Self:
        """Load a prompter, preparing its engine-ready file on first use (a few seconds).

        Args:
            path_or_name: a prompter folder, the name of a built-in one, or None for the default.
            slots: how many prompts can be in work at once.
            base_gguf: the base's GGUF, where it is not the embedded one.
            threads: of the computation; all cores by default.
            unproven: give advice of every kind, also of those that measurements have not shown to help, and use
                adapters that were found to be worse than none.
            engine: what runs it; torch is slow, and runs adapters of the full form as well.
            progress: called with the share done, from 0 to 1, while the file is prepared.

        Raises:
            ArtifactError: the folder is missing, damaged, or newer than this promptlift.
            ModelError: the base can't be had.
            EngineError: the engine-ready file can't be made or loaded.
        """
        from promptlift.engines.build import engine_gguf
        from promptlift.engines.llama import LlamaEngine

        if slots < 1:
            raise InputError(f"slots is {slots}; it must be 1 or more")
        folder = artifacts.load(path_or_name)
        if unproven:
            folder = replace(
                folder, manifest=folder.manifest.model_copy(update={"proven": [], "guide": artifacts.GuideLimits()})
            )
        if engine == "torch":
            from promptlift.engines.torch import TorchEngine

            return cls(folder, TorchEngine(folder, base=None if base_gguf is None else str(base_gguf)), unproven)
        base = base_gguf_of(folder.manifest.base, base_gguf)
        return cls(folder, LlamaEngine(engine_gguf(folder, base, progress=progress), slots, threads), unproven)

    @property
    def name(self) -> str:
        """Name and version of the prompter, as rewrites carry it."""
        return self.folder.version

    @property
    def targets(self) -> list[str]:
        """The targets that this prompter has an adapter for, those added since it was loaded among them."""
        return list(adapters.paths(self.folder))

    def adapter(self, target: str) -> adapters.Adapter | None:
        """The adapter that rewrites for a target go through; None if it was found to be worse than none.

        Raises:
            TargetError: there is no adapter for it.
            ArtifactError: it is damaged, newer, or belongs to another prompter.
        """
        return self._adapters.ready(target)

    def rewrite(
        self,
        prompt: str,
        target: str | None = None,
        *,
        strength: Strength | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        seconds: float | None = None,
    ) -> Rewrite:
        """Rewrite one prompt; a prompt that needs no help comes back as it was, with the reason.

        Args:
            prompt: any text that a person may type.
            target: the LLM that will answer, for the adapter of that name; None: the prompter as it is. An
                adapter that was found to be worse than none is not used (see `adapter`).
            strength: `guide` keeps the words, adds what a good answer of the kind has and says again what is
                asked, `light` adds how to answer, `content` what a great answer covers, `full` writes a new
                prompt; None: what the prompter was trained for first.
            temperature: 0 is greedy. The same prompt, target, strength, temperature and
                seed give the same rewrite.
            seed: of the sampling.
            seconds: after which no further try is begun where the guard stopped one.

        Raises:
            InputError: an argument is out of its range.
            TargetError: there is no such adapter.
            EngineError: the engine failed, or the seconds were over.
        """
        started = time.perf_counter()
        ends = None if seconds is None else time.monotonic() + seconds
        how = self._check(strength, temperature)
        adapter = self._adapter_for(target, how)
        sampling = Sampling(temperature, seed)
        manifest = self.folder.manifest
        found = rewrite_prompt(self.engine, manifest, prompt, how, sampling, adapter=adapter, ends=ends)
        return self._record(prompt, found, target, started)

    def candidates(
        self, prompt: str, n: int, target: str | None = None, *, strength: Strength | None = None,
        temperature: float = 0.8, seed: int = 0,
    ) -> list[Rewrite]:  # fmt: skip
        """Up to `n` different rewrites: the greedy one first, then sampled ones; at least one record."""
        if n < 1:
            raise InputError(f"n is {n}; it must be 1 or more")
        first = self.rewrite(prompt, target, strength=strength, seed=seed)
        found = {first.rewrite: first}
        if not first.changed and first.reason is not None and not first.reason.startswith("guard:"):
            return [first]
        for attempt in range(1, 3 * n):
            if len(found) >= n:
                break
            other = self.rewrite(prompt, target, strength=strength, temperature=temperature, seed=seed + 1000 * attempt)
            if other.changed:
                found.setdefault(other.rewrite, other)
        changed = [r for r in found.values() if r.changed]
        return changed or [first]

    def rewrite_many(
        self,
        prompts: Iterable[str],
        target: str | None = None,
        *,
        strength: Strength | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Iterator[Rewrite]:
        """Rewrite many prompts, as many at once as there are slots; the results keep the order."""
        self._adapter_for(target, self._check(strength, temperature))

        def one(prompt: str) -> Rewrite:
            return self.rewrite(prompt, target, strength=strength, temperature=temperature, seed=seed)

        yield from _in_order(self._threads(), one, prompts, ahead=4 * self.engine.slots)

    def stream(
        self,
        prompt: str,
        target: str | None = None,
        *,
        strength: Strength | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Iterator[str | Rewrite]:
        """The rewrite's text piece by piece as it is written, then the Rewrite.

        The pieces are a preview: the guard can only judge the whole, so the last item
        decides. It may differ from what was shown.
        """
        how = self._check(strength, temperature)
        adapter = self._adapter_for(target, how)
        started = time.perf_counter()
        pieces: queue.SimpleQueue[str | BaseException | Rewrite] = queue.SimpleQueue()
        stopped = False

        def show(piece: str) -> bool:
            pieces.put(piece)
            return stopped

        def work() -> None:
            try:
                sampling = Sampling(temperature, seed)
                found = rewrite_prompt(self.engine, self.folder.manifest, prompt, how, sampling, show, adapter)
                pieces.put(self._record(prompt, found, target, started))
            except BaseException as error:  # raised again in the consumer's thread
                pieces.put(error)

        self._threads().submit(work)
        try:
            while True:
                item = pieces.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, Rewrite):
                    return
        finally:
            stopped = True

    async def arewrite(
        self, prompt: str, target: str | None = None, *, strength: Strength | None = None,
        temperature: float = 0.0, seed: int = 0,
    ) -> Rewrite:  # fmt: skip
        """`rewrite` without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads(),
            lambda: self.rewrite(prompt, target, strength=strength, temperature=temperature, seed=seed),
        )

    async def arewrite_many(
        self, prompts: Iterable[str], target: str | None = None, *, strength: Strength | None = None,
        temperature: float = 0.0, seed: int = 0,
    ) -> list[Rewrite]:  # fmt: skip
        """`rewrite_many` without blocking the event loop; the whole list, in order."""
        return list(
            await asyncio.gather(
                *(self.arewrite(p, target, strength=strength, temperature=temperature, seed=seed) for p in prompts)
            )
        )

    async def astream(
        self, prompt: str, target: str | None = None, *, strength: Strength | None = None,
        temperature: float = 0.0, seed: int = 0,
    ) -> AsyncIterator[str | Rewrite]:  # fmt: skip
        """`stream` without blocking the event loop."""
        items = self.stream(prompt, target, strength=strength, temperature=temperature, seed=seed)
        try:
            while (item := await asyncio.to_thread(next, items, None)) is not None:
                yield item
        finally:
            items.close()  # type: ignore[attr-defined]

    def score(self, prompt: str) -> float:
        """P(change): how sure the prompter is that advice would help, from 0 to 1."""
        with leased(self.engine) as slot:
            return self.engine.score(template.question(clean(spans.split(prompt).shown)), slot)

    def close(self) -> None:
        """Free the engine and the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _record(self, prompt: str, found: Outcome, target: str | None, started: float) -> Rewrite:
        return Rewrite(
            prompt=prompt,
            rewrite=prompt if found.text is None else found.text,
            changed=found.text is not None,
            reason=found.reason,
            target=target,
            prompter=self.name,
            seconds=round(time.perf_counter() - started, 4),
        )

    def _adapter_for(self, target: str | None, strength: Strength) -> adapters.Adapter | None:
        """The adapter for a request; one that did not learn its strength is not used."""
        found = None if target is None else self._adapters.ready(target)
        return found if found and strength in found.manifest.strengths else None

    def _check(self, strength: Strength | None, temperature: float) -> Strength:
        """The strength to be used, or the error that says which argument can't be."""
        if strength is None:
            strength = self.folder.manifest.strengths[0]
        if strength not in self.folder.manifest.strengths:
            raise InputError(
                f"{self.folder.manifest.name} was not trained for strength {strength!r}; "
                f"it knows: {', '.join(self.folder.manifest.strengths)}"
            )
        if not 0 <= temperature <= 2:
            raise InputError(f"temperature is {temperature}; it must be from 0 to 2")
        return strength

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.engine.slots, thread_name_prefix="rewrite")
        return self._pool


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[str], Rewrite], prompts: Iterable[str], ahead: int
) -> Iterator[Rewrite]:
    """Map in threads, in order, holding at most `ahead` prompts at once: inputs may be endless."""
    waiting: deque[Future[Rewrite]] = deque()
    try:
        for prompt in prompts:
            waiting.append(pool.submit(work, prompt))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
