"""A target's answers to what it is asked: each text once, kept as they come, failures counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptlift.chat.base import Answer
from promptlift.chat.cached import CachedClient, PromptFailed, Question, work
from promptlift.errors import BudgetError, TargetError
from promptlift.evaluation.conditions import Progress
from promptlift.evaluation.folder import Answered, Asked

PROBE = 5
"""If each of so many first questions fails, the target is taken for dead: none further is asked."""


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

    first, over = work(texts[:PROBE], ask, min(settings.concurrency, PROBE), count)
    if len(first) == PROBE and all(isinstance(found, PromptFailed) for found in first):
        raise TargetError(f"{first[0].message} (the first {PROBE} questions all failed, so no further was asked)")  # type: ignore[union-attr]
    rest: list[Answer | PromptFailed | None] = [None] * len(texts[PROBE:])
    if over is None:
        rest, over = work(texts[PROBE:], ask, settings.concurrency, count)
    by_text = dict(zip(texts, [*first, *rest], strict=True))
    rows = []
    for row in asked:
        found = by_text[row.text]
        if isinstance(found, PromptFailed):
            rows.append(Answered(row.target, row.id, row.condition, None, problem=found.message))
        elif found is not None:
            rows.append(Answered(row.target, row.id, row.condition, found.text, found.tokens, found.cut))
    return rows, over
