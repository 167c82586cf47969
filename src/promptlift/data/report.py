"""The result of a check as one page that needs nothing but itself."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from promptlift.data import plots
from promptlift.data.check import CheckResult
from promptlift.data.sums import PERCENTILES
from promptlift.data.thresholds import Thresholds
from promptlift.errors import MissingExtraError
from promptlift.records import write_atomically

MOST_LISTED = 500
"""Findings that a page lists; the rest are counted."""


def write_report(result: CheckResult, path: Path, thresholds: Thresholds) -> None:
    """Write the page.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    page = render(result, thresholds).encode("utf-8", "backslashreplace")  # lone surrogates are no UTF-8
    write_atomically(path, page)


def render(result: CheckResult, thresholds: Thresholds) -> str:
    """The page as text; all text of the set is escaped.

    Raises:
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise MissingExtraError("the page with plots", "data") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((resources.files("promptlift.data") / "report.html.j2").read_text("utf-8"))
    errors = sum(finding.level == "error" for finding in result.findings)
    return template.render(
        result=result,
        sums=result.sums,
        errors=errors,
        notes=len(result.findings) - errors,
        findings=sorted(result.findings, key=lambda f: f.level)[:MOST_LISTED],
        figures=[(title, Markup(svg), text) for title, svg, text in _figures(result, thresholds)],
        percentiles=PERCENTILES,
        lengths=_lengths(result),
        vocabularies=[
            (label, result.sums[key])
            for label, key in (("prompts", "prompts"), ("optimized", "rewrites"), ("--against", "evaluation"))
            if result.sums[key]
        ],
        shares=[
            (label, f"{result.sums[key]:.1%}")
            for label, key in (
                ("to leave alone (identity)", "identity_share"),
                ("with literals", "literal_share"),
                ("with template variables", "variable_share"),
                ("with passages", "passage_share"),
                ("commands to the rewriter", "command_share"),
            )
            if result.sums[key] is not None
        ],
    )


def _lengths(result: CheckResult) -> list[tuple[str, dict[str, float]]]:
    """The rows of the table of percentiles that have any."""
    rows = (
        ("words of the prompts", "prompt_words"),
        ("words of the others (--against)", "against_words"),
        ("words that optimized adds", "words_added"),
        ("words that optimized_light adds", "words_added_light"),
        ("optimized to prompt, times", "ratio"),
    )
    return [(label, result.sums[key]) for label, key in rows if result.sums[key]]


def _figures(result: CheckResult, thresholds: Thresholds) -> list[tuple[str, str, str]]:
    """(title, SVG, what it shows in words) of every plot that has something to show."""
    drawn, sums = result.distributions, result.sums
    found: list[tuple[str, str, str]] = []

    def add(title: str, svg: str, text: str) -> None:
        found.append((title, svg, text))

    if drawn.prompt_words:
        text = "Words of the raw prompts" + (" beside the evaluation file's." if drawn.against_words else ".")
        add("Lengths", plots.lengths(drawn.prompt_words, drawn.against_words), text)
    if drawn.added_full:
        svg = plots.additions(drawn.added_full, drawn.added_light, thresholds.words_added_by_one)
        add("Words added", svg, "By the sides of the pairs that change the prompt.")
    if drawn.nearest_earlier:
        svg = plots.similarities(drawn.nearest_earlier, drawn.nearest_against, thresholds.similar)
        add("Similarity", svg, "Of each prompt to the nearest earlier one, and to the nearest evaluation prompt.")
    if sums["topics"]:
        topics = _first(sums["topics"], 30)
        svg = plots.bars("topics", topics, sums["pairs"], thresholds.most_one_topic, "% of the pairs")
        add("Topics", svg, f"{sums['topic_count']} topics; the line is the most that one may have.")
    if sums["openings"]:
        svg = plots.bars(
            "openings", sums["openings"], sums["changed"], thresholds.most_one_opening, "% of the pairs to change"
        )
        add("Openings", svg, "The commonest first two words of optimized; the line is the most allowed.")
    return found


def _first(counts: dict[str, Any], most: int) -> dict[str, int]:
    return dict(list(counts.items())[:most])
