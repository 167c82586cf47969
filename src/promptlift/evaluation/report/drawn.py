"""Which figures a run's page has, and what each shows in words."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator

from promptlift.evaluation.report import plots
from promptlift.evaluation.report.figures import Contrast, between, contrasts, number, scores_of
from promptlift.evaluation.report.load import Row, Run, key_of
from promptlift.evaluation.report.tables import conditions_of

Figure = tuple[str, str, str]
"""Title, SVG, what it shows in words."""


def figures_of(run: Run) -> Iterator[tuple[str, list[Figure]]]:
    """(place in the page, its figures) of a run, empty where there is nothing to show.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found = contrasts(run.summary)
    yield "adapted", _adapted(found)
    yield "controls", _controls(found)
    yield "rouge", _rouge([row for row in run.tasks if str(row["task"]).startswith("rouge")])
    yield "lengths", _lengths(run)


def _adapted(found: list[Contrast]) -> list[Figure]:
    rows = [(f"{c.target}\n{c.judge}", c) for c in between(found, "rewritten", "unadapted")]
    if not rows:
        return []
    text = "How often the answer to the adapted prompt won, tied or lost against that to the unadapted one."
    return [
        _named(
            "Adapted against unadapted", plots.splits("adapted", rows), text, plots.told([(t, [c]) for t, c in rows])
        )
    ]


def _controls(found: list[Contrast]) -> list[Figure]:
    judges = list(dict.fromkeys(c.judge for c in found))
    shown = [c for c in found if "raw" in (c.x, c.y) and "reference" not in (c.x, c.y)]
    figures = []
    for place, target in enumerate(dict.fromkeys(c.target for c in shown)):
        own = [c for c in shown if c.target == target]
        rows = [(name, list(between(own, name, "raw"))) for name in conditions_of(own) if name != "raw"]
        svg = plots.forest(f"controls-{place}", rows, judges, plots.reach_of(shown))
        title = f"Lift over raw: {target}"
        figures.append(_named(title, svg, "A line that crosses 0 tells nothing apart.", plots.told(rows)))
    return figures


def _rouge(tasks: list[Row]) -> list[Figure]:
    rows = [
        (f"{metric}\n{task.get('target') or ''}".strip(), raw, rewritten, interval)
        for task in tasks
        for metric, raw, rewritten, _, interval in scores_of(task)
        if raw is not None and rewritten is not None
    ]
    if not rows:
        return []
    text = "Overlap of the summaries with the reference; the line is the paired difference, set off from raw."
    return [_named("Figure 3. ROUGE", plots.scores("rouge", rows), text, "The table below has the figures.")]


def _lengths(run: Run) -> list[Figure]:
    """Words of the answers; where answers.jsonl tells none, as the outcomes tell them."""
    words: dict[tuple[str, str, str], float] = {}
    for row in run.outcomes:
        for side in ("x", "y"):
            told = number(row.get(f"words_{side}"))
            if told is not None:
                words[str(row.get("target")), str(row.get("id")), str(row.get(side))] = told
    for row in run.answers:
        told = number(row.get("words"))
        if told is not None and not row.get("problem"):
            words[key_of(row)] = told
    by: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (target, _, condition), told in sorted(words.items()):
        by[target][condition].append(told)
    order = conditions_of(contrasts(run.summary))
    most = 1.08 * max((_late(values) for of in by.values() for values in of.values()), default=0) or 1
    figures = []
    for place, (target, of) in enumerate(by.items()):
        names = [name for name in order if name in of] + sorted(set(of) - set(order))
        svg = plots.lengths(f"lengths-{place}", {name: of[name] for name in names}, most)
        spread = "Box: the middle half; line in it: the median; whiskers: 5th to 95th percentile."
        means = "; ".join(f"{name} {sum(of[name]) / len(of[name]):.0f}" for name in names)
        figures.append(_named(f"Lengths: {target}", svg, f"Mean words of an answer: {means}.", spread))
    return figures


def _named(title: str, svg: str, text: str, details: str) -> Figure:
    """A figure whose drawing tells its content to who can't see it."""
    label = html.escape(f"{title}. {details}")
    return title, re.sub(r'aria-label="[^"]*"', lambda _: f'aria-label="{label}"', svg, count=1), text


def _late(values: list[float]) -> float:
    """The 95th percentile, roughly: where the whiskers end."""
    return sorted(values)[min(len(values) - 1, int(0.96 * len(values)))]
