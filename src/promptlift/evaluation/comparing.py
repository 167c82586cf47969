"""Two answers to one prompt, and a judge's word on them: the records that judges meet on.

Which side is which condition is never part of a comparison: a judge can't see what is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Winner = Literal["a", "b", "tie"]


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt, in one order.

    Attributes:
        id: of this comparison in this order.
        prompt: the original prompt, whatever the answers were asked with.
        answer_a: shown first.
        answer_b: shown second.
    """

    id: str
    prompt: str
    answer_a: str
    answer_b: str

    @classmethod
    def of(cls, prompt: str, answer_a: str, answer_b: str) -> Comparison:
        """A comparison whose id is a hash of its texts: the same texts are judged once."""
        content = json.dumps([prompt, answer_a, answer_b]).encode()
        return cls(hashlib.sha256(content).hexdigest()[:16], prompt, answer_a, answer_b)

    def swapped(self) -> Comparison:
        """The same two answers in the other order."""
        return Comparison.of(self.prompt, self.answer_b, self.answer_a)


@dataclass(frozen=True)
class Verdict:
    """A judge's word on a comparison.

    Attributes:
        id: the comparison's.
        winner: None if the judge gave no verdict that could be read; such a verdict is counted, never guessed.
        judge: the judge's name.
        probability: that answer_a is better, where the judge tells it.
        problem: why there is no winner: what the judge said instead, or how it failed.
    """

    id: str
    winner: Winner | None
    judge: str
    probability: float | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; what is None is left out, but for the winner."""
        row = {"id": self.id, "winner": self.winner, "judge": self.judge}
        told = {"probability": self.probability, "problem": self.problem}
        return row | {name: value for name, value in told.items() if value is not None}


class Judge(Protocol):
    """Whoever tells which of two answers is better.

    Attributes:
        name: for reports.
        symmetric: the order of the answers can't matter, so one order is enough.
    """

    name: str
    symmetric: bool

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        """A verdict on each, in their order; None on those that were not begun because the budget was spent.

        Raises:
            PromptliftError: the judge can't work at all.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What two orders of one comparison come to, seen from its first answer.

    Attributes:
        score: 1 won, -1 lost, 0 tie; None if an order has no verdict.
        flipped: the orders named different winners; such a comparison is a tie.
        probability: that the first answer is better, the mean over the orders; None where not told.
    """

    score: int | None
    flipped: bool = False
    probability: float | None = None


def outcome(first: Verdict, second: Verdict | None) -> Outcome:
    """Join the verdicts on a comparison and on the swapped one.

    Args:
        first: on (x, y).
        second: on (y, x); None for a judge that is symmetric, or one that was shown one order only.
    """
    seen = [(first.winner, first.probability)]
    if second is not None:
        turned: dict[Winner | None, Winner | None] = {"a": "b", "b": "a"}
        other = None if second.probability is None else 1 - second.probability
        seen.append((turned.get(second.winner, second.winner), other))
    told = [p for _, p in seen if p is not None]
    probability = sum(told) / len(told) if len(told) == len(seen) else None
    winners: set[Winner | None] = {winner for winner, _ in seen}
    if None in winners:
        return Outcome(None, False, probability)
    if len(winners) > 1:
        return Outcome(0, True, probability)
    return Outcome({"a": 1, "b": -1, "tie": 0}[str(winners.pop())], False, probability)


def both_orders(judge: Judge, pairs: Iterable[Comparison]) -> list[Comparison]:
    """What a judge must be shown to judge these comparisons: both orders, but for a symmetric judge."""
    return [shown for pair in pairs for shown in ((pair,) if judge.symmetric else (pair, pair.swapped()))]
