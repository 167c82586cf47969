"""An LLM that is asked nothing twice: answers are kept in SQLite by content, within a budget.

The cache is also what makes long jobs resume: started again after a kill, a job asks the same
things in the same order, and finds the answers that it already has.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from promptlift.chat import open_target
from promptlift.chat.base import Answer, ChatClient, Choice
from promptlift.chat.budget import Budget
from promptlift.errors import BudgetError, InputError, TargetError
from promptlift.models import cache_folder

Item = TypeVar("Item")
Made = TypeVar("Made")
Reply = TypeVar("Reply", Answer, Choice)


@dataclass(frozen=True)
class Question:
    """One request to an LLM; see `ChatClient.answer`."""

    prompt: str
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    system: str | None = None


class AnswerCache:
    """Answers by the hash of model and question. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            InputError: it is no SQLite file, or can't be written.
        """
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
            # No WAL: to switch to it takes a lock that does not wait, and two processes that start at once collide.
            self._db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except (sqlite3.Error, OSError) as error:
            raise InputError(f"the cache {path} can't be used ({error}); move it away, or name another") from None

    def get(self, key: str) -> dict[str, Any] | None:
        """The fields of what is kept under `key`, if there is something."""
        with self._lock:
            row = self._db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer's fields; it is on the disk when this returns."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(answer)))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


@contextmanager
def open_cached(
    spec: str, cache: Path | None = None, budget: Budget | None = None, **how: Any
) -> Iterator[CachedClient]:
    """An LLM that is asked nothing twice.

    Args:
        spec: of `promptlift.chat.open_target`.
        cache: the SQLite file; in the user's cache by default.
        budget: what may be spent.
        how: the other arguments of `open_target`.

    Raises:
        InputError: the cache can't be used.
        TargetError: there is no such LLM.
    """
    kept = AnswerCache(cache or cache_folder() / "answers.sqlite")
    try:
        with open_target(spec, **how) as client:
            yield CachedClient(client, kept, budget)
    finally:
        kept.close()


class CachedClient:
    """Asks a client within a budget, and remembers."""

    def __init__(self, client: ChatClient, cache: AnswerCache, budget: Budget | None = None) -> None:
        """The client, cache and budget stay the caller's to close."""
        self.client, self._cache, self.budget = client, cache, budget or Budget()

    def ask(self, question: Question) -> Answer:
        """The answer, from the cache or the LLM. Safe from several threads.

        Raises:
            BudgetError: the LLM would have to be asked, and the budget is spent.
            TargetError: the LLM failed; nothing is kept.
        """

        def call() -> Answer:
            return self.client.answer(
                question.prompt, max_tokens=question.max_tokens, temperature=question.temperature,
                seed=question.seed, system=question.system,
            )  # fmt: skip

        return self._kept(asdict(question), question, call, Answer)

    def choose(self, question: Question, choices: Sequence[str]) -> Choice:
        """Which of a few words the LLM takes, from the cache or the LLM; see `ChatClient.choose` and `ask`."""

        def call() -> Choice:
            return self.client.choose(question.prompt, choices, max_tokens=question.max_tokens, system=question.system)

        return self._kept({**asdict(question), "choices": list(choices)}, question, call, Choice)

    def _kept(self, content: dict[str, Any], question: Question, call: Callable[[], Reply], kind: type[Reply]) -> Reply:
        key = hashlib.sha256(json.dumps([self.client.identity, content], sort_keys=True).encode()).hexdigest()
        if (kept := self._cache.get(key)) is not None:
            self.budget.found()
            return kind(**kept)
        guess = self.budget.reserve(question.prompt + (question.system or ""), question.max_tokens)
        try:
            reply = call()
        except BaseException:
            self.budget.settle(guess, question.max_tokens, None, None, failed=True)
            raise
        self._cache.put(key, asdict(reply))
        self.budget.settle(guess, question.max_tokens, reply.prompt_tokens, reply.tokens)
        return reply


def work(
    items: Iterable[Item],
    job: Callable[[Item], Made],
    concurrency: int,
    progress: Callable[[], None] | None = None,
) -> tuple[list[Made | PromptFailed | None], BudgetError | None]:
    """Run a job that asks LLMs on each item, several at once, in the items' order.

    A job that fails with TargetError yields a PromptFailed in its place. When the budget is spent,
    None stands for the items that are not begun, and for those that could not be ended.

    Args:
        items: what there is to do.
        job: must be safe from several threads.
        concurrency: how many jobs run at once.
        progress: called after each item, from any thread.

    Returns:
        What the jobs made, one for each item, and the BudgetError that ended the work early, if one did.
    """
    stop = threading.Event()

    def run(item: Item) -> Made | PromptFailed | BudgetError | None:
        if stop.is_set():
            return None
        try:
            made: Made | PromptFailed = job(item)
        except BudgetError as error:
            stop.set()
            return error
        except TargetError as error:
            made = PromptFailed(str(error))
        if progress:
            progress()
        return made

    pool = ThreadPoolExecutor(concurrency)
    try:
        found = list(pool.map(run, items))
    except BaseException:  # Ctrl-C: what is in flight ends, the rest is not begun
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    over = next((f for f in found if isinstance(f, BudgetError)), None)
    return [None if isinstance(f, BudgetError) else f for f in found], over


@dataclass(frozen=True)
class PromptFailed:
    """Stands for an item whose LLM failed."""

    message: str
