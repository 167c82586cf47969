"""How good is a judge? Its verdicts against people's, on comparisons that people have judged.

The headline is the agreement, as AlpacaEval counts it: the share of the rows on which people decided where the judge
names the same answer; where it names none (a tie, a flip with the order, nothing that can be read) it is right by
half. `strict` counts those as wrong. Both mean little without `longer_wins`: what one gets who always takes the longer
answer, by the same rule on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptlift.errors import InputError, MissingExtraError
from promptlift.evaluation.comparing import Comparison, Judge, Verdict, both_orders, outcome
from promptlift.evaluation.labelled import Label, Labelled, folded, select
from promptlift.evaluation.statistics import interval

HEADLINE = "agreement: ties, flips and what can't be read count half; strict: they count as wrong"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Interval = tuple[float, float]


class LongerWins:
    """The baseline: the answer with more characters is the better one."""

    name = "longer"
    symmetric = True

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        """A verdict on each; answers of one length tie."""
        verdicts = []
        for shown in comparisons:
            more = len(shown.answer_a) - len(shown.answer_b)
            verdicts.append(Verdict(shown.id, "a" if more > 0 else "b" if more < 0 else "tie", self.name))
            if progress:
                progress()
        return verdicts


@dataclass(frozen=True)
class SetCard:
    """A judge's figures on one set, all shares from 0 to 1; None where there is nothing to count.

    Attributes:
        name: of the set, or `set/subset`.
        n: rows that were judged.
        n_decided: those on which people decided.
        agreement: the headline, see the module.
        interval: of the agreement, 95%, bootstrap over prompts.
        strict: the agreement where no verdict is wrong.
        all_rows_agreement: the share of all rows with the same of three words: first, second, tie.
        kappa: Cohen's, over those three words, on the rows with a verdict, each in both orders; 0 is chance, 1 perfect.
        flips: the share whose verdict turned with the order.
        ties: the share that the judge calls a tie in both orders.
        unread: the share without a verdict that can be read.
        prefers_longer: of the judge's decided verdicts on answers of different length, the share for the longer.
        humans_prefer_longer: the same of people's.
        longer_wins: the agreement of `LongerWins`.
        margin: the agreement above that.
        margin_interval: of the margin, 95%, paired by row, bootstrap over prompts.
        left_out: rows that were not asked, because their prompt was one of `without`.
        not_judged: rows that were not asked, because the budget was spent.
        published: the same figures of judges whose verdicts came with the rows.
    """

    name: str
    n: int
    n_decided: int
    agreement: float | None
    interval: Interval | None
    strict: float | None
    all_rows_agreement: float | None
    kappa: float | None
    flips: float | None
    ties: float | None
    unread: float | None
    prefers_longer: float | None
    humans_prefer_longer: float | None
    longer_wins: float | None
    margin: float | None
    margin_interval: Interval | None
    left_out: int = 0
    not_judged: int = 0
    published: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class JudgeCard:
    """How well a judge agrees with people.

    Attributes:
        judge: its name.
        symmetric: one order was asked, because the order can't matter.
        sets: each set, and behind it its subsets.
        published: the agreement of others with people, from a file: on other rows, so only a yardstick.
    """

    judge: str
    symmetric: bool
    sets: list[SetCard]
    published: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The card as a JSON object; `headline` says how to read the agreement."""
        return {
            "judge": self.judge, "symmetric": self.symmetric, "headline": HEADLINE,
            "sets": [asdict(card) for card in self.sets], "published": self.published,
        }  # fmt: skip


@dataclass(frozen=True)
class _Judged:
    row: Labelled
    score: int | None
    flipped: bool


def judge_card(
    judge: Judge,
    rows: Sequence[Labelled],
    *,
    without: Collection[str] = (),
    published: Mapping[str, float] | None = None,
    progress: Callable[[], None] | None = None,
) -> JudgeCard:
    """Let a judge judge what people have judged, in both orders, and compare.

    Args:
        judge: it sees neither labels nor sets.
        rows: of one or several sets.
        without: prompts whose rows are left out, whatever their case and white space: those it was trained on.
        published: other judges' agreement with people, by name, shares from 0 to 1.
        progress: called after each comparison, `len(both_orders(...))` times.

    Raises:
        InputError: no row is left, or none was judged.
        MissingExtraError: scipy is not installed.
        PromptliftError: the judge can't work at all.
    """
    if find_spec("scipy") is None:  # told now, and not after the judge was asked for hours
        raise MissingExtraError("a judge's card (scipy)", "eval")
    kept = select(rows, without)
    shown = [Comparison.of(row.prompt, row.answer_1, row.answer_2) for row in kept]
    verdicts = iter(judge.judge(both_orders(judge, shown), progress))
    judged: list[_Judged] = []
    skipped: list[Labelled] = []
    for row in kept:
        first = next(verdicts)
        second = None if judge.symmetric else next(verdicts)
        if first is None or (second is None and not judge.symmetric):
            skipped.append(row)
            continue
        found = outcome(first, second)
        judged.append(_Judged(row, found.score, found.flipped))
    if not judged:
        raise InputError(f"the judge {judge.name!r} judged none of {len(kept)} rows: raise --max-calls, or its kin")
    cards = []
    for name in dict.fromkeys(name for row in kept for name in row.groups):
        mine = [one for one in judged if name in one.row.groups]
        total = sum(name in row.groups for row in rows)
        missing = sum(name in row.groups for row in skipped)
        cards.append(_set_card(name, mine, total - missing - len(mine), missing))
    return JudgeCard(judge.name, judge.symmetric, cards, dict(published or {}))


def _set_card(name: str, judged: Sequence[_Judged], left: int, missing: int) -> SetCard:
    people = _sides([one.row.label for one in judged])
    said = np.array([0 if one.score is None else one.score for one in judged], dtype=np.int64)
    read = np.array([one.score is not None for one in judged], dtype=bool)
    flipped = np.array([one.flipped for one in judged], dtype=bool)
    more = np.sign([len(one.row.answer_1) - len(one.row.answer_2) for one in judged]).astype(np.int64)
    prompts = np.unique([folded(one.row.prompt) for one in judged], return_inverse=True)[1].reshape(-1)
    decided = people != 0
    credit, longer = _credit(said, people), _credit(more, people)
    published = []
    for other in dict.fromkeys(other for one in judged for other in one.row.told):
        theirs = [one.row.told.get(other) for one in judged]
        told = _sides([label or 0 for label in theirs])
        readable = np.array([label is not None for label in theirs], dtype=bool)
        published.append({"name": other, **_agreement(told, readable, people)})
    figures = _agreement(said, read, people)
    return SetCard(
        name=name, n=len(judged), n_decided=int(decided.sum()), **figures,
        interval=_interval(credit[decided], prompts[decided]),
        kappa=_kappa(said[read], people[read]),
        flips=_mean(flipped), ties=_mean(read & ~flipped & (said == 0)), unread=_mean(~read),
        prefers_longer=_mean((said == more)[(said != 0) & (more != 0)]),
        humans_prefer_longer=_mean((people == more)[decided & (more != 0)]),
        longer_wins=_mean(longer[decided]), margin=_mean((credit - longer)[decided]),
        margin_interval=_interval((credit - longer)[decided], prompts[decided]),
        left_out=left, not_judged=missing, published=published,
    )  # fmt: skip


def _sides(labels: Sequence[Label]) -> Ints:
    """1 for the first answer, -1 for the second, 0 for a tie: as in an outcome."""
    return np.array([{0: 0, 1: 1, 2: -1}[label] for label in labels], dtype=np.int64)


def _credit(said: Ints, people: Ints) -> Floats:
    """What each verdict is worth, where people decided: 1 right, 0 wrong, half if it names no answer."""
    return (1 + said * people) / 2


def _agreement(said: Ints, read: NDArray[np.bool_], people: Ints) -> dict[str, float | None]:
    decided = people != 0
    return {
        "agreement": _mean(_credit(said, people)[decided]),
        "strict": _mean((said == people)[decided]),
        "all_rows_agreement": _mean((said == people) & read),
    }


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _kappa(said: Ints, people: Ints) -> float | None:
    """Cohen's kappa: the agreement above chance, as a share of what is possible; None where chance is all.

    Each row counts in both orders, since which of its answers stands first means nothing.
    """
    if not len(said):
        return None
    ties, theirs = float((said == 0).mean()), float((people == 0).mean())
    chance = ties * theirs + (1 - ties) * (1 - theirs) / 2
    return None if chance > 1 - 1e-12 else (float((said == people).mean()) - chance) / (1 - chance)


def _interval(values: Floats, prompts: Ints) -> Interval | None:
    """95% of the mean; whole prompts are drawn, since the rows of one prompt are alike."""
    return None if len(np.unique(prompts)) < 2 else interval(values.tolist(), [str(prompt) for prompt in prompts])
