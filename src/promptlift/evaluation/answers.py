"""A target's answers to what it is asked: each text once, kept as they come, failures counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from promptlift.chat.base import Answer
from promptlift.chat.cached import CachedClient, PromptFailed, Question, work
from promptlift.errors import BudgetError, TargetError
from promptlift.evaluation.conditions import Progress
from promptlift.evaluation.folder import Answered, Asked

Item = TypeVar("Item")
Made = TypeVar("Made")

PROBE = 5
"""If each of so many first questions fails, the LLM is taken for dead: none further is asked."""


@dataclass(frozen=True)
class AnswerSettings:
    """How answers are asked for; the same for every condition.

    Attributes:
        max_tokens: an answer is cut there; how many were is reported.
        temperature: 0 takes the likeliest token each time; small models then loop.
        seed: the same for all conditions of a prompt.
        concurrency: questions in work at once.
        system: a system message, if any.
    """

    max_tokens: int = 600
    temperature: float = 0.7
    seed: int = 0
    concurrency: int = 4
    system: str | None = None


def answer_all(
    asked: Sequence[Asked], target: CachedClient, settings: AnswerSettings, progress: Progress
) -> tuple[list[Answered], BudgetError | None]:
    """Ask the target; conditions with the same text share one answer.

    Returns:
        An Answered for each of `asked` that was begun, and the BudgetError that ended the work early, if one did.

    Raises:
        TargetError: the first questions all failed.
    """
    texts = list(dict.fromkeys(row.text for row in asked))
    done = [0]

    def count() -> None:
        done[0] += 1
        progress("answering", done[0], len(texts))

    def ask(text: str) -> Answer:
        how = (settings.max_tokens, settings.temperature, settings.seed, settings.system)
        return target.ask(Question(text, *how))

    replies, over = ask_all(texts, ask, settings.concurrency, count)
    by_text = dict(zip(texts, replies, strict=True))
    rows = []
    for row in asked:
        found = by_text[row.text]
        if isinstance(found, PromptFailed):
            rows.append(Answered(row.target, row.id, row.condition, None, problem=found.message))
        elif found is not None:
            rows.append(Answered(row.target, row.id, row.condition, found.text, found.tokens, found.cut))
    return rows, over


def ask_all(
    items: Sequence[Item], job: Callable[[Item], Made], concurrency: int, progress: Callable[[], None] | None = None
) -> tuple[list[Made | PromptFailed | None], BudgetError | None]:
    """Run `promptlift.chat.cached.work`, but give up if the LLM fails on all of the first items.

    Raises:
        TargetError: it does.
    """
    first, over = work(items[:PROBE], job, min(concurrency, PROBE), progress)
    failed = [found for found in first if isinstance(found, PromptFailed)]
    if failed and len(failed) == len(first):
        raise TargetError(
            f"{failed[0].message} (the first {len(failed)} questions all failed, so no further was asked)"
        )
    if over is not None:
        return [*first, *[None] * len(items[PROBE:])], over
    rest, over = work(items[PROBE:], job, concurrency, progress)
    return [*first, *rest], over
