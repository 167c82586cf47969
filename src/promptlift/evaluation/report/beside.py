"""The tables on what stands beside the lift: tasks scored by rule, the judges, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from promptlift.evaluation.report.agreement import agreements
from promptlift.evaluation.report.figures import (
    DASH,
    Contrast,
    interval_of,
    number,
    percent,
    plain,
    scores_of,
    signed,
    span,
    tone_of,
    whole,
)  # fmt: skip
from promptlift.evaluation.report.load import Row, object_of, rows_of
from promptlift.evaluation.report.tables import Cell, Table, figure, pairs_of, trimmed


def task(rows: Sequence[Row]) -> Table:
    """One task's scores with raw and rewritten prompts, by target; units are the task's own."""
    name = str(rows[0].get("task") or "task")
    counts = ("failed", "cut", "changed")
    found = []
    for row in rows:
        for metric, raw, rewritten, difference, interval in scores_of(row):
            shown = DASH
            if difference is not None and interval is not None and number(row.get("n")) is not None:
                shown = f"{signed(difference, 3)} {span(interval, 3)}"
            changed = object_of(object_of(row.get("difference_on_changed")).get(metric))
            within, mean = interval_of(changed.get("interval")), number(changed.get("mean"))
            alone = DASH
            if within is not None and mean is not None:
                alone = f"{signed(mean, 3)} {span(within, 3)}, n {whole(changed.get('n'))}"
            cells = (plain(raw), plain(rewritten))
            found.append((
                Cell(str(row.get("target") or DASH)), Cell(metric), *map(figure, cells),
                figure(shown, tone_of(interval)), figure(alone),
                *(figure(whole(row.get(key))) for key in ("n", *counts)),
            ))  # fmt: skip
    columns = ("target", "metric", "raw", "rewritten", "difference, paired", "on the changed alone", "n", *counts)
    note = "Difference: rewritten less raw on the same items, 95% interval."
    return trimmed(Table(name, note, columns, found, 1))


def disagreement(outcomes: Sequence[Row]) -> Table:
    """Where judges disagree."""
    rows = [
        (
            Cell(" and ".join(found.judges)), Cell(found.target or "all targets"), figure(whole(found.n)),
            figure(percent(100 * found.same / found.n)), figure(plain(found.kappa, 2)), figure(whole(found.decided)),
            figure(percent(100 * found.same_winner / found.decided) if found.decided else DASH),
        )
        for found in agreements(outcomes)
    ]  # fmt: skip
    columns = ("judges", "target", "judged by both", "same outcome", "kappa", "decided by both", "same winner")
    note = "Outcomes on the same pairs of answers: won, tie or lost. Kappa: agreement beyond chance (Cohen's)."
    return Table("Where judges disagree", note, columns, rows, 1)


def answers(targets: Sequence[Row]) -> Table:
    """What went wrong with the answers, by target and condition."""
    counts = ("answers", "changed", "failed", "cut", "empty", "words")
    rows = [
        (Cell(str(target.get("name"))), Cell(str(row.get("name"))), *(figure(whole(row.get(key))) for key in counts))
        for target in targets
        for row in rows_of(target.get("conditions"))
    ]
    note = "Changed: asked with another prompt than raw. Cut: at the cap on the answer's length. Words: their mean."
    return Table("Answers", note, ("target", "condition", *counts), rows, 1)


def verdicts(contrasts: Sequence[Contrast]) -> Table:
    """What went wrong with the verdicts, by target and judge, over all contrasts."""
    counts = ("n", "same", "flipped", "one_order", "unjudged")
    rows = []
    for target, judge in pairs_of(contrasts):
        own = [c for c in contrasts if (c.target, c.judge) == (target, judge)]
        told = {key: [value for c in own if (value := getattr(c, key)) is not None] for key in counts}
        sums = (whole(sum(values)) if values else DASH for values in told.values())
        share = 100 * sum(told["flipped"]) / max(1.0, sum(told["n"])) if told["flipped"] and told["n"] else None
        rows.append((Cell(target), Cell(judge), *map(figure, sums), figure(percent(share))))
    names = ("verdicts", "same answers", "flipped", "one order", "unjudged", "flipped, of the verdicts")
    note = "Flipped: the winner changed with the order of the answers, and is a tie."
    return trimmed(Table("Verdicts", note, ("target", "judge", *names), rows, 1))


def judges(cards: Sequence[Row]) -> Table:
    """How far each judge agrees with people, and with itself."""
    shares = ("longer_wins", "flips", "ties", "unread", "prefers_longer", "humans_prefer_longer")
    rows = []
    for card in cards:
        for row in rows_of(card.get("sets")):
            within = interval_of(row.get("interval"))
            agreement = _share(row.get("agreement")) + (
                f" [{_share(within[0])}, {_share(within[1])}]" if within else ""
            )
            figures = (agreement, plain(row.get("kappa"), 2), *(_share(row.get(key)) for key in shares))
            who = (Cell(str(card.get("judge"))), Cell(str(row.get("name"))), figure(whole(row.get("n"))))
            rows.append((*who, *map(figure, figures), Cell(_others(row.get("published")))))
        if card.get("published"):
            others = Cell(_others(card["published"]))
            empty = [figure(DASH)] * (3 + len(shares))
            rows.append((Cell(str(card.get("judge"))), Cell("others, elsewhere"), *empty, others))
    names = ("always the longer", "flips", "ties", "unread", "prefers longer", "people prefer longer")
    columns = ("judge", "set", "n", "agrees with people", "kappa", *names, "other judges")
    note = "Agreement on the pairs that people decided; always the longer: what one would reach who takes the longer "
    return trimmed(
        Table("Judges against people", note + "answer. Flips: another winner in the other order.", columns, rows, 1)
    )


def trust(judge: str, cards: Sequence[Row]) -> str:
    """A judge's agreement with people on the largest set that it was measured on; empty if it was not measured."""
    sets = [row for card in cards if card.get("judge") == judge for row in rows_of(card.get("sets"))]
    if not sets:
        return ""
    best = max(sets, key=lambda row: number(row.get("n")) or 0)
    return (
        f"who agrees with people in {_share(best.get('agreement'))} of {best.get('name')} "
        f"(always the longer answer: {_share(best.get('longer_wins'))})"
    )


def _share(value: object) -> str:
    """A share from 0 to 1 as per cent; what is above 1 is per cent already."""
    found = number(value)
    return DASH if found is None else percent(found if abs(found) > 1 else 100 * found)


def _others(published: object) -> str:
    """What other judges reached: {name: share}, or a list of objects with a name and an agreement."""
    if isinstance(published, list):
        published = {str(row.get("name")): row.get("agreement") for row in rows_of(published)}
    return ", ".join(f"{name} {_share(value)}" for name, value in object_of(published).items()) or DASH
