"""What a report tells, from outcomes and answers: summary.json of a run."""

from __future__ import annotations

import os
import platform
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from importlib import metadata
from typing import Any

from promptlift import __version__
from promptlift.evaluation.folder import Answered, Asked, RunFolder, digest
from promptlift.evaluation.statistics import length_controlled, lift, prompts_needed

PACKAGES = ("xllamacpp", "openai", "scipy", "statsmodels", "torch")


def summarize(run: RunFolder) -> dict[str, Any]:
    """Compute summary.json's content and write it.

    Raises:
        InputError: the run is damaged or has no prompts.
        MissingExtraError: scipy or statsmodels is not installed.
    """
    settings, prompts = run.settings(), run.prompts()
    answers, asked, outcomes = run.answers(), run.asked(), run.outcomes()
    texts = {p.id: digest(p.prompt) for p in prompts}
    drawn = list({texts[p.id]: p for p in prompts}.values())  # of votes on several answers to a prompt, it stands once
    named = (*(settings.get("targets") or {}), *(row.target for row in answers), *(row["target"] for row in outcomes))
    targets = dict.fromkeys(named)
    decided = [abs(row["score"]) for row in outcomes if row["score"] is not None]
    share = sum(decided) / len(decided) if decided else None
    found: dict[str, Any] = {
        "format": 1,
        "name": settings.get("name") or run.path.name,
        "date": settings.get("date") or date.today().isoformat(),
        "versions": versions(),
        "commands": settings.get("commands", []),
        "seed": settings.get("seed"),
        "cores": settings.get("cores") or os.cpu_count(),
        "prompts": {
            "n": len(drawn),
            "hash": settings.get("prompts_hash"),
            "sources": dict(Counter(p.source for p in drawn).most_common()),
            "words": _quartiles([len(p.prompt.split()) for p in drawn]),
        },
        "targets": [
            {
                "name": name,
                "model": ((settings.get("targets") or {}).get(name) or {}).get("model"),
                "conditions": conditions_of(name, answers, asked),
                "contrasts": contrasts(name, outcomes, texts),
            }
            for name in targets
        ],
        "power": None if share is None else {"share_decided": share, "prompts_for_5": prompts_needed(share)},
    }
    run.write_summary(found)
    return found


def contrasts(
    target: str, outcomes: Sequence[dict[str, Any]], texts: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The figures of each contrast of a target, by judge; ids that have the same of `texts` count as one prompt."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in outcomes:
        if row["target"] == target:
            groups[row["judge"], row["x"], row["y"]].append(row)
    found = []
    for (judge, x, y), rows in groups.items():
        read = [row for row in rows if row["score"] is not None]
        counts = {
            "judge": judge, "x": x, "y": y, "n": len(read), "same": sum(row["same"] for row in rows),
            "empty": sum(bool(row.get("empty")) for row in rows), "flipped": sum(row["flipped"] for row in rows),
            "one_order": sum((row["first"] is None) != (row["second"] is None) for row in rows),
            "unjudged": len(rows) - len(read),
            "problems": dict(Counter(row["problem"] for row in rows if row.get("problem")).most_common(5)),
        }  # fmt: skip
        found.append(counts | (figures(read, texts) if read else {}))
    return found


def figures(rows: Sequence[dict[str, Any]], texts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Lift, length-controlled win rate and lengths of some outcomes, each with its interval.

    Args:
        rows: of outcomes.jsonl.
        texts: what stands for the text of a prompt, by id: the same text under several ids is one prompt.
    """
    scores, ids = [row["score"] for row in rows], _prompts_of(rows, texts)
    words = [(row["words_x"], row["words_y"]) for row in rows]
    lc, reach = length_controlled(scores, words, ids)
    plain = asdict(lift(scores, ids)) | {"lc_win_rate": lc, "lc_interval": reach}
    plain["words"] = [sum(w[side] for w in words) / len(words) for side in (0, 1)]
    changed = [row for row in rows if not row["same"]]
    if changed and len(changed) < len(rows):
        plain["changed"] = asdict(lift([r["score"] for r in changed], _prompts_of(changed, texts)))
    return {name: _rounded(value) for name, value in plain.items()}


def _prompts_of(rows: Sequence[dict[str, Any]], texts: Mapping[str, str] | None) -> list[str]:
    return [(texts or {}).get(str(row["id"]), str(row["id"])) for row in rows]


def conditions_of(target: str, answers: Sequence[Answered], asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """Counts of each condition of a target: what was changed, failed, cut, empty."""
    changed = Counter(row.condition for row in asked if row.target == target and row.changed)
    groups: dict[str, list[Answered]] = defaultdict(list)
    for row in answers:
        if row.target == target:
            groups[row.condition].append(row)
    return [
        {
            "name": name, "answers": sum(r.answer is not None for r in rows), "changed": changed[name],
            "failed": sum(r.answer is None for r in rows), "cut": sum(r.cut for r in rows),
            "empty": sum(r.answer is not None and not r.answer.strip() for r in rows),
            "words": _rounded(sum(r.words for r in rows) / (sum(r.answer is not None for r in rows) or 1)),
            "problems": dict(Counter(r.problem for r in rows if r.problem).most_common(5)),
        }
        for name, rows in groups.items()
    ]  # fmt: skip


def versions() -> dict[str, str]:
    """Of what a figure may depend on."""
    found = {"promptlift": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _quartiles(counts: list[int]) -> list[int]:
    ordered = sorted(counts) or [0]
    return [ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))] for part in (0.25, 0.5, 0.75)]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
