"""Table 2: prompt by prompt, both prompts, both answers, and what the judges said of them."""

from __future__ import annotations

from typing import Any

from promptlift.evaluation.report.figures import number
from promptlift.evaluation.report.load import Key, Row, Run, key_of, rows_of

WORST = 10
"""Cases that the Markdown names."""


def cases_of(run: Run) -> dict[str, Any]:
    """What table 2 shows, as JSON that stands inside the page.

    Without the texts of a run it holds ids, hashes and figures.

    Returns:
        {"texts", "targets": [names], "judges": [names], "prompts": {id: {"text", "source"}}, "cases": [...]}, the
        worst case first. A case is {"target", "id", "sides": [raw, rewritten], "verdicts": [{"judge", "score",
        "raw", "rewritten", "verdicts", ...}]}; "target" and "judge" are places in the lists; "raw" and "rewritten"
        count the verdicts that each side won out of "verdicts".
    """
    targets = [str(target.get("name")) for target in rows_of(run.summary.get("targets"))]
    judged: dict[tuple[str, str], list[Row]] = {}
    judges: list[str] = []
    for row in run.outcomes:
        if {row.get("x"), row.get("y")} == {"raw", "rewritten"}:
            judged.setdefault((str(row.get("target")), str(row.get("id"))), []).append(row)
            judges.append(str(row.get("judge")))
    judges = sorted(set(judges))
    targets += sorted({target for target, _ in judged} - set(targets))
    told = {key_of(row): row for row in run.answers}
    cases = [
        {
            "target": targets.index(target),
            "id": id,
            "sides": [_side(run, (target, id, condition), told) for condition in ("raw", "rewritten")],
            "verdicts": sorted(
                (_verdict(row, judges.index(str(row.get("judge"))), run.has_texts) for row in rows),
                key=lambda verdict: int(verdict["judge"]),
            ),
        }
        for (target, id), rows in judged.items()
    ]
    shown = {id for _, id in judged}
    prompts = {
        id: {"text": str(row.get("prompt") or ""), "source": str(row.get("source") or "")}
        for id, row in run.prompts.items()
        if id in shown
    }
    cases.sort(key=lambda case: (*badness(case), case["target"], case["id"]))
    return {"texts": run.has_texts, "targets": targets, "judges": judges, "prompts": prompts, "cases": cases}


def badness(case: dict[str, Any]) -> tuple[float, float, float]:
    """A key that puts the worst case first and what no judge scored last."""
    scores = [verdict["score"] for verdict in case["verdicts"] if verdict["score"] is not None]
    if not scores:
        return (2.0, 0.0, 0.0)
    won = [verdict["rewritten"] - verdict["raw"] for verdict in case["verdicts"]]
    likely = [verdict["probability"] for verdict in case["verdicts"] if verdict["probability"] is not None]
    return sum(scores) / len(scores), float(sum(won)), sum(likely) / len(likely) if likely else 0.5


def _side(run: Run, key: Key, told: dict[Key, Row]) -> dict[str, Any]:
    """One condition of a case; what is not known is left out."""
    row = told.get(key, {})
    side: dict[str, Any] = {"words": number(row.get("words")), "cut": row.get("cut") or None}
    if run.has_texts:
        asked, reply = run.asked.get(key, {}), run.replies.get(key, {})
        side |= {name: asked.get(name) for name in ("text", "changed", "reason")}
        side |= {name: reply.get(name) for name in ("answer", "problem")}
    else:
        side |= {"asked": row.get("asked"), "answered": row.get("answer")}
    return {name: value for name, value in side.items() if value is not None}


def _verdict(row: Row, judge: int, texts: bool) -> dict[str, Any]:
    """One judge's outcome, seen from the rewritten prompt's answer."""
    sign, rewritten, raw = (1, "x", "y") if row.get("x") == "rewritten" else (-1, "y", "x")
    named = [winner for winner in (row.get("first"), row.get("second")) if winner in ("x", "y", "tie")]
    score, likely = row.get("score"), number(row.get("probability"))
    verdict: dict[str, Any] = {
        "judge": judge,
        "score": sign * score if score in (1, 0, -1) else None,
        "rewritten": named.count(rewritten),
        "raw": named.count(raw),
        "verdicts": len(named),
        "probability": likely if sign == 1 or likely is None else 1 - likely,
        "flipped": bool(row.get("flipped")),
        "same": bool(row.get("same")),
        "empty": bool(row.get("empty")),
    }
    if texts and row.get("problem"):  # a judge may have said back what it was shown
        verdict["problem"] = str(row["problem"])
    return verdict
