"""What the result of a task tells: means of both sides, and their paired differences with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from promptlift.errors import TargetError
from promptlift.evaluation.tasks.intervals import mean_interval
from promptlift.evaluation.tasks.paired import Item, Row, Scores, Side, Task

Kind = TypeVar("Kind", bound=Item)


def summarise(task: Task[Kind], rows: Sequence[Row[Kind]], seed: int = 0) -> dict[str, Any]:
    """What a result's JSON tells of the scores.

    Args:
        task: whose rows these are.
        rows: what `run` returned.
        seed: of the bootstrap.

    Returns:
        `n` items scored, `failed` left out, `cut` answers, `changed` prompts; `raw` and `rewritten` with the mean of
        each metric; `difference` (rewritten - raw) and `difference_on_changed` with {"mean", "interval", "n"} for
        each metric, where the interval covers 95%, or is None for fewer than two items; `answers` with what went
        wrong on either side.

    Raises:
        TargetError: no item was answered both ways.
    """
    kept = [row for row in rows if row.scored is not None]
    if not kept:
        first = next((s.reply.failed for row in rows for s in (row.raw, row.rewritten) if s.reply.failed), "no items")
        raise TargetError(
            f"{task.name}: none of {len(rows)} prompts was answered raw and rewritten; the first: {first}"
        )
    changed = [row for row in kept if row.changed]
    reasons = Counter(row.reason for row in rows if row.reason is not None and not row.changed)
    return {
        "task": task.name, "items": len(rows), "n": len(kept), "failed": len(rows) - len(kept),
        "cut": sum(side.reply.cut for row in kept for side in (row.raw, row.rewritten)),
        "changed": len(changed), "unchanged_because": dict(reasons.most_common()),
        "raw": _means(task, kept, 0), "rewritten": _means(task, kept, 1),
        "difference": _differences(task, kept, seed), "difference_on_changed": _differences(task, changed, seed),
        "answers": {
            "raw": _answers([row.raw for row in rows]) | task.details([(row.item, row.raw) for row in kept]),
            "rewritten": _answers([row.rewritten for row in rows])
            | task.details([(row.item, row.rewritten) for row in kept]),
        },
        **task.extra(kept),
    }  # fmt: skip


def _means(task: Task[Kind], kept: Sequence[Row[Kind]], which: int) -> Scores:
    """Each metric's mean over the rows that are scored on both sides."""
    return {
        metric: math.fsum(scores[which][metric] * w for scores, w in weighted) / math.fsum(w for _, w in weighted)
        for metric, weighted in _by_metric(task, kept).items()
    }


def _answers(sides: Sequence[Side]) -> dict[str, Any]:
    """What went wrong, and the mean words, over all answers of a side."""
    answered = [side.reply for side in sides if side.reply.failed is None]
    return {
        "failed": len(sides) - len(answered), "empty": sum(reply.empty for reply in answered),
        "cut": sum(reply.cut for reply in answered),
        "words": sum(len(reply.text.split()) for reply in answered) / max(1, len(answered)),
    }  # fmt: skip


def _by_metric(task: Task[Kind], rows: Iterable[Row[Kind]]) -> dict[str, list[tuple[tuple[Scores, Scores], float]]]:
    found: dict[str, list[tuple[tuple[Scores, Scores], float]]] = {}
    for row in rows:
        if (both := row.scored) is not None:
            weights = task.weights(row.item)
            for metric in both[0]:
                found.setdefault(metric, []).append((both, weights.get(metric, 1.0)))
    return found


def _differences(task: Task[Kind], rows: Sequence[Row[Kind]], seed: int) -> dict[str, dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for metric, weighted in _by_metric(task, rows).items():
        differences = [new[metric] - raw[metric] for (raw, new), _ in weighted]
        mean, interval = mean_interval(differences, [w for _, w in weighted], seed)
        told[metric] = {"mean": mean, "interval": interval, "n": len(differences)}
    return told
