"""Where judges disagree: their outcomes on the same pairs of answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from promptlift.evaluation.report.load import Row

Outcomes = tuple[int, int]
"""The score that each of two judges gave one pair of answers: 1, 0 or -1."""


@dataclass(frozen=True)
class Agreement:
    """Two judges on the same pairs of answers of one target.

    Attributes:
        target: its name; "" for all targets together.
        judges: the two.
        n: pairs on which both gave a verdict; answers that are the same are left out, as no judge saw them.
        same: pairs with the same outcome out of won, tie, lost.
        kappa: Cohen's, unweighted, over those three; None where chance alone makes them agree.
        decided: pairs on which both named a winner.
        same_winner: of those, the pairs on which they named the same.
    """

    target: str
    judges: tuple[str, str]
    n: int
    same: int
    kappa: float | None
    decided: int
    same_winner: int


def agreements(outcomes: Sequence[Row]) -> list[Agreement]:
    """Every two judges of a run, by target and, where there are several targets, over all of them."""
    scores: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for row in outcomes:
        if row.get("score") in (1, 0, -1) and not row.get("same"):
            key, score = tuple(str(row.get(name)) for name in ("target", "id", "x", "y")), int(row["score"])
            if key[2] > key[3]:  # the same pair may be told from either side
                key, score = (key[0], key[1], key[3], key[2]), -score
            scores[str(row.get("judge"))][key] = score
    targets = sorted({key[0] for of in scores.values() for key in of})
    found = []
    for one, other in combinations(sorted(scores), 2):
        shared = sorted(scores[one].keys() & scores[other].keys())
        for target in [*targets, ""] if len(targets) > 1 else targets:
            pairs = [(scores[one][key], scores[other][key]) for key in shared if target in ("", key[0])]
            if pairs:
                found.append(_agreement(target, (one, other), pairs))
    return sorted(found, key=lambda row: (row.target == "", row.target, row.judges))


def kappa(pairs: Sequence[Outcomes]) -> float | None:
    """Cohen's kappa, unweighted; None without pairs, or where both always say the same one thing."""
    if not pairs:
        return None
    seen = sum(a == b for a, b in pairs) / len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[value] * second[value] for value in first) / len(pairs) ** 2
    return None if chance == 1 else (seen - chance) / (1 - chance)


def _agreement(target: str, judges: tuple[str, str], pairs: list[Outcomes]) -> Agreement:
    decided = [(a, b) for a, b in pairs if a and b]
    return Agreement(
        target, judges, len(pairs), sum(a == b for a, b in pairs), kappa(pairs),
        len(decided), sum(a == b for a, b in decided),
    )  # fmt: skip
