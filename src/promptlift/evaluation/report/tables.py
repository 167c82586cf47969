"""The tables of a report on lift, the same for the page and for Markdown; the others are in `beside`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlift.evaluation.report.figures import DASH, SIGNS, Contrast, Tone, between, chance, percent, whole

CONTROLS = ("suffix", "zero-shot", "wrong-adapter")
ORDER = ("raw", "rewritten", "unadapted", *CONTROLS, "reference")
"""Conditions in the order in which they are shown; others follow by name."""


@dataclass(frozen=True)
class Cell:
    """One cell; `tone` colours it, `number` sets it to the right."""

    text: str
    tone: Tone = ""
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption and a line on how to read it; the page puts its first `grouped` cells above the rows."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]] = field(default_factory=list)
    grouped: int = 0


def headline(contrasts: Sequence[Contrast]) -> Table:
    """Table 1: each target's score with raw and rewritten prompts, and both head to head."""
    pairs = pairs_of(contrasts)
    scored = any(contrast.y == "reference" or contrast.x == "reference" for contrast in contrasts)
    scores = ("raw against reference", "rewritten against reference") if scored else ()
    columns = ("target", "judge", *scores, "lift of rewritten over raw", "", "LC win rate", "won / tied / lost")
    rows = []
    for target, judge in pairs:
        own = [c for c in contrasts if (c.target, c.judge) == (target, judge)]
        head = next(between(own, "rewritten", "raw"), None)
        against = [next(between(own, x, "reference"), None) for x in ("raw", "rewritten")] if scored else []
        if head or any(against):
            cells = [figure(c.score if c else DASH) for c in against]
            rows.append((Cell(target), Cell(judge), *cells, *_lift(head)))
    note = "Head to head on the same prompts: 100 × (share won − share lost), 95% interval, n. "
    note += "LC win rate: as if both answers had the same length. "
    note += "Scores are win rates against the reference answers; a tie is half a win." if scored else ""
    return Table("Table 1. Raw and rewritten prompts", note.strip(), columns, rows, 1)


def adapted(contrasts: Sequence[Contrast]) -> Table:
    """Figure 2: prompts by the target's adapter against those without one."""
    rows = [(Cell(c.target), Cell(c.judge), *_lift(c)) for c in between(list(contrasts), "rewritten", "unadapted")]
    columns = ("target", "judge", "lift of adapted over unadapted", "", "LC win rate", "won / tied / lost")
    note = "The rewrite by this target's adapter against that by the prompter without one."
    return Table("Figure 2. Adapted and unadapted prompts", note, columns, rows, 1)


def controls(contrasts: Sequence[Contrast]) -> Table:
    """Each condition's lift over raw, and what is left of the lift where rewritten meets it."""
    rows = []
    for target, judge in pairs_of(contrasts):
        own = [c for c in contrasts if (c.target, c.judge) == (target, judge)]
        for name in conditions_of(own):
            over, left = next(between(own, name, "raw"), None), next(between(own, "rewritten", name), None)
            if name not in ("raw", "reference") and (over or left):
                left = None if name == "rewritten" else left
                cells = [figure(c.shown if c else DASH, c.tone if c else "") for c in (over, left)]
                rows.append((Cell(target), Cell(judge), Cell(name), *cells))
    note = "A rewriter that does no better than a fixed suffix, an untrained base or a wrong adapter earns nothing."
    columns = ("target", "judge", "condition", "its lift over raw", "lift of rewritten over it")
    return Table("Controls", note, columns, rows, 2)


def every(contrasts: Sequence[Contrast]) -> Table:
    """Every contrast of the run with all its figures."""
    counts = ("n", "same", "empty", "flipped", "one_order", "unjudged", "won", "tied", "lost")
    rows = []
    for c in contrasts:
        words = f"{whole(c.words[0])} / {whole(c.words[1])}"
        rest = (c.shown, c.changed_shown, percent(c.win_rate), chance(c.sign_p), c.lc_shown, words)
        numbers = [*(whole(getattr(c, key)) for key in counts), *rest]
        rows.append((Cell(c.target), Cell(c.judge), Cell(f"{c.x} against {c.y}"), *map(figure, numbers)))
    names = [name.replace("_", " ") for name in counts]
    last = ("lift", "lift without the same", "win rate", "sign test p", "LC win rate", "words")
    note = "Same: both answers are equal, a tie without a judge. Flipped: the winner changed with the order, a tie. "
    note += "One order: a verdict in one order alone. Unjudged: no verdict, not in n."
    return trimmed(Table("Every contrast", note, ("target", "judge", "contrast", *names, *last), rows, 2))


def facts(rows: Iterable[tuple[str, Any]], title: str) -> Table:
    """Names and values; those without a value are left out."""
    found = [(Cell(name), Cell(_any(value))) for name, value in rows if value not in (None, "", {}, [])]
    return Table(title, "", ("what", "value"), found)


def pairs_of(contrasts: Sequence[Contrast]) -> list[tuple[str, str]]:
    """(target, judge) in the summary's order."""
    return list(dict.fromkeys((c.target, c.judge) for c in contrasts))


def conditions_of(contrasts: Sequence[Contrast]) -> list[str]:
    """The conditions that were compared, as they are shown."""
    names = {name for c in contrasts for name in (c.x, c.y)}
    return [name for name in ORDER if name in names] + sorted(names - set(ORDER))


def trimmed(table: Table) -> Table:
    """A table without the columns in which no row has anything."""
    kept = [n for n, _ in enumerate(table.columns) if not table.rows or any(row[n].text != DASH for row in table.rows)]
    rows = [tuple(row[n] for n in kept) for row in table.rows]
    return Table(table.title, table.note, tuple(table.columns[n] for n in kept), rows, table.grouped)


def _lift(contrast: Contrast | None) -> tuple[Cell, ...]:
    """Lift, what it says, LC win rate, split."""
    if contrast is None:
        return (figure(DASH), Cell(DASH), figure(DASH), figure(DASH))
    tone = contrast.tone if contrast.shown != DASH else ""
    return (figure(contrast.shown), Cell(SIGNS[tone], tone), figure(contrast.lc_shown), figure(contrast.split))


def figure(text: str, tone: Tone = "") -> Cell:
    """A cell that holds a figure."""
    return Cell(text, tone, number=True)


def _any(value: object) -> str:
    """Any value of JSON in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_any(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_any, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
