"""From answers to outcomes: which answers are compared, both orders, and what they come to.

Answers that are the same text tie without a judge. An empty answer loses to one that is not: nobody needs to be asked,
and what a judge makes of nothing says nothing. Both are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from promptlift.errors import BudgetError, InputError
from promptlift.evaluation.comparing import Comparison, Judge, Outcome, Verdict, both_orders, outcome
from promptlift.evaluation.conditions import REFERENCE, Progress
from promptlift.evaluation.folder import Answered, Prompt

Contrast = tuple[str, str]
"""Two conditions, of which the first is to show what it is worth."""


@dataclass(frozen=True)
class Match:
    """Two answers to one prompt that are to be compared."""

    target: str
    prompt: Prompt
    x: str
    y: str
    answer_x: str
    answer_y: str

    @property
    def comparison(self) -> Comparison:
        """As a judge sees it, x's answer first."""
        return Comparison.of(self.prompt.prompt, self.answer_x, self.answer_y)

    def settled(self) -> int | None:
        """The score that needs no judge: 0 for the same text, 1 or -1 where only one side says something."""
        x, y = self.answer_x.strip(), self.answer_y.strip()
        if x == y:
            return 0
        return None if x and y else (1 if x else -1)


def contrasts_of(conditions: Iterable[str], references: bool) -> list[Contrast]:
    """What is compared unless the user says otherwise.

    Every condition against the raw prompt; what rewrites against the constant suffix; adapted against not; and both
    raw and rewritten against the references, where there are some (the paper's table 1).
    """
    names = list(dict.fromkeys(conditions))
    found = [(name, "raw") for name in names if name != "raw"]
    own = [n for n in names if n not in ("raw", "suffix", "zero-shot", "wrong-adapter")]
    if "suffix" in names:
        found += [(name, "suffix") for name in own]
    if {"rewritten", "unadapted"} <= set(names):
        found.append(("rewritten", "unadapted"))
    if references:
        found += [(name, REFERENCE) for name in ("raw", *own) if name in names]
    return found


def parse_contrast(text: str, conditions: Iterable[str]) -> Contrast:
    """`x:y` as a contrast.

    Raises:
        InputError: it is not of this form, or names a condition that the run does not have.
    """
    known = [*dict.fromkeys(conditions), REFERENCE]
    x, colon, y = text.partition(":")
    if not colon or x == y or x not in known or y not in known:
        raise InputError(
            f"--contrast {text!r}: two conditions of this run are needed, as X:Y; it has {', '.join(known)}"
        )
    return x, y


def matches(
    target: str, prompts: Sequence[Prompt], answers: Sequence[Answered], contrasts: Sequence[Contrast]
) -> list[Match]:
    """The pairs of answers to be compared; prompts that lack an answer on either side have none."""
    texts = {(a.id, a.condition): a.answer for a in answers if a.target == target}
    texts |= {(p.id, REFERENCE): p.reference for p in prompts}
    found = []
    for x, y in contrasts:
        for prompt in prompts:
            one, other = texts.get((prompt.id, x)), texts.get((prompt.id, y))
            if one is not None and other is not None:
                found.append(Match(target, prompt, x, y, one, other))
    return found


def judge_all(
    found: Sequence[Match], judge: Judge, progress: Progress
) -> tuple[list[dict[str, Any]], BudgetError | None]:
    """Outcomes of all matches, as rows of outcomes.jsonl.

    Returns:
        The rows of what was judged, and a BudgetError where the judge's budget ended it early.
    """
    open_pairs = list(dict.fromkeys(m.comparison for m in found if m.settled() is None))
    shown = list(dict.fromkeys(both_orders(judge, open_pairs)))
    done = [0]

    def count() -> None:
        done[0] += 1
        progress(f"judging: {judge.name}", done[0], len(shown))

    verdicts = {c.id: v for c, v in zip(shown, judge.judge(shown, count), strict=True) if v is not None}
    return rows_of(found, verdicts, judge.name, judge.symmetric), (
        None if len(verdicts) == len(shown) else BudgetError("the budget ended before all was judged: run it again")
    )


def rows_of(
    found: Iterable[Match], verdicts: dict[str, Verdict], judge: str, one_order: bool | Callable[[Match], bool]
) -> list[dict[str, Any]]:
    """Join verdicts (by comparison id) with the matches; a match whose verdicts are not all there has no row.

    Args:
        found: the matches.
        verdicts: by the id of the comparison.
        judge: its name.
        one_order: one order is enough; for some matches, if it is a function.
    """
    rows = []
    for match in found:
        settled, pair = match.settled(), match.comparison
        first, second = verdicts.get(pair.id), verdicts.get(pair.swapped().id)
        single = one_order(match) if callable(one_order) else one_order
        if settled is not None:
            rows.append(_row(match, judge, Outcome(settled), None, None, None))
            continue
        if single and first is None and second is not None:
            result = outcome(second, None)
            turned = Outcome(
                None if result.score is None else -result.score, False,
                None if result.probability is None else 1 - result.probability,
            )  # fmt: skip
            rows.append(_row(match, judge, turned, None, second, second.problem))
        elif first is not None and (single or second is not None):
            second = None if single else second
            problem = first.problem or (second.problem if second else None)
            rows.append(_row(match, judge, outcome(first, second), first, second, problem))
    return rows


def _row(
    match: Match, judge: str, result: Outcome, first: Verdict | None, second: Verdict | None, problem: str | None
) -> dict[str, Any]:
    settled = {0: "same"}.get(result.score or 0, "empty") if first is None and second is None else None
    named = {"a": "x", "b": "y", "tie": "tie"}
    turned = {"a": "y", "b": "x", "tie": "tie"}
    row = {
        "target": match.target, "judge": judge, "id": match.prompt.id, "x": match.x, "y": match.y,
        "score": result.score, "flipped": result.flipped,
        "probability": None if result.probability is None else round(result.probability, 4),
        "first": named.get(first.winner or "") if first else None,
        "second": turned.get(second.winner or "") if second else None,
        "words_x": len(match.answer_x.split()), "words_y": len(match.answer_y.split()),
        "same": settled == "same",
    }  # fmt: skip
    if settled == "empty":
        row["empty"] = True
    if problem:
        row["problem"] = problem
    return row
