"""The plots of a report, as SVG to stand inside a page.

Text and axes take the page's colour (`currentColor`), bars have mid-tones and the ground is clear, so that
one drawing does for a light and a dark page. The same numbers give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptlift.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SET, OTHER, LIMIT = "#3f8fd2", "#d98032", "#c8504f"
INK = "#010203"  # replaced by currentColor
_WIDTH = 4.4  # inches: narrow, so that it is drawn at its own size on a phone
_LONGEST = 150
_LABEL = 28


def lengths(prompts: Sequence[int], against: Sequence[int]) -> str:
    """How long the prompts are, beside those of the evaluation file: shares by words."""
    step = 10
    edges = list(range(0, _LONGEST + step + 1, step))
    series = [("this set", prompts, SET)] + ([("--against", against, OTHER)] if against else [])

    def draw(axes: Axes) -> None:
        for label, values, colour in series:
            shares = [1 / len(values)] * len(values) if values else []
            clipped = [min(value, _LONGEST + 1) for value in values]
            axes.hist(clipped, edges, weights=shares, label=label, color=colour, alpha=0.55)
        axes.set_xlabel(f"words of the prompt (the last bar: over {_LONGEST})")
        axes.set_ylabel("share")
        if against:
            axes.legend(frameon=False, labelcolor=INK)

    return svg_of("lengths", draw)


def additions(full: Sequence[int], light: Sequence[int], most: int) -> str:
    """How many words the sides add, with the most that one may."""

    def draw(axes: Axes) -> None:
        values = [*full, *light, 0]
        low, high = max(-60, min(values)), min(max(*values, 10), 2 * most)
        edges = [low + (high - low) * part / 30 for part in range(31)]
        for label, numbers, colour in (("optimized", full, SET), ("optimized_light", light, OTHER)):
            if numbers:
                axes.hist([min(max(n, low), high) for n in numbers], edges, label=label, color=colour, alpha=0.55)
        if high >= most:
            axes.axvline(most, color=LIMIT, linestyle="--", linewidth=1.2, label=f"at most {most}")
        axes.set_xlabel("words added")
        axes.set_ylabel("pairs to change")
        if full or light:
            axes.legend(frameon=False, labelcolor=INK)

    return svg_of("additions", draw)


def bars(name: str, counts: Mapping[str, int], total: int, limit: float | None, what: str) -> str:
    """Shares of `total` as lying bars, the largest on top, with a line at the limit (a share)."""
    names = [text if len(text) <= _LABEL else text[: _LABEL - 1] + "…" for text in counts]
    shares = [100 * count / max(1, total) for count in counts.values()]

    def draw(axes: Axes) -> None:
        places = list(range(len(names)))
        axes.barh(places, shares, color=SET, alpha=0.75)
        axes.set_yticks(places, [plain(text) or "(none)" for text in names])
        axes.invert_yaxis()
        axes.margins(y=0.01)
        if limit is not None:
            axes.axvline(100 * limit, color=LIMIT, linestyle="--", linewidth=1.2)
        axes.set_xlabel(what)

    return svg_of(name, draw, height=max(1.4, 0.9 + 0.19 * len(names)))


def similarities(earlier: Sequence[float], against: Sequence[float], similar: float) -> str:
    """How near each prompt is to the nearest earlier one, and to the nearest evaluation prompt."""

    def draw(axes: Axes) -> None:
        edges = [part / 25 for part in range(26)]
        series = (("earlier in this set", earlier, SET), ("--against", against, OTHER))
        for label, values, colour in series:
            if values:
                axes.hist(values, edges, label=label, color=colour, alpha=0.55)
        axes.axvline(similar, color=LIMIT, linestyle="--", linewidth=1.2, label="near-duplicate")
        axes.set_yscale("symlog", linthresh=10)
        axes.set_xlabel("similarity to the nearest other prompt")
        axes.set_ylabel("prompts")
        axes.legend(frameon=False, labelcolor=INK)

    return svg_of("similarities", draw)


def plain(text: str) -> str:
    """Text as it is: matplotlib takes what stands between dollar signs for mathematics."""
    return text.replace("$", r"\$")


def svg_of(name: str, draw: Any, height: float = 2.6) -> str:
    """A drawing on one pair of axes as an SVG element for a page.

    Args:
        name: unique in the page; its ids begin with it.
        draw: called with the axes.
        height: in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the page with plots", "data") from None
    style = {
        "svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 8.5,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(out.getvalue(), name)


def _for_page(svg: str, name: str) -> str:
    """The bare element, in the page's colour, with ids that no other plot of the page has."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1).strip()
