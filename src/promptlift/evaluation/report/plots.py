"""The report's figures, as SVG that stands inside the page (see `promptlift.data.plots`)."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptlift.data.plots import INK, LIMIT, OTHER, SET, plain, svg_of
from promptlift.evaluation.report.figures import Contrast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#8c959d"
STYLES = ((SET, "o"), (OTHER, "s"), ("#2f9e7f", "D"), ("#a06fd0", "^"), (LIMIT, "v"), (GREY, "P"))
"""Colour and mark of each judge or condition in turn: colour is never alone."""
_LONGEST = 22
_TEXT = 10  # points: a phone shows a plot at three quarters of its size


def forest(name: str, rows: Sequence[tuple[str, Sequence[Contrast]]], judges: Sequence[str], reach: float) -> str:
    """Lifts with their intervals: a line for each label, on it a mark for each judge; `reach` is the axis's end."""
    step = 0.62 / max(1, len(judges))

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=0.7)
        seen = set()
        for place, (_, contrasts) in enumerate(rows):
            for contrast in contrasts:
                if contrast.lift is None or contrast.interval is None:
                    continue
                at = judges.index(contrast.judge)
                colour, mark = STYLES[at % len(STYLES)]
                y = place + (at - (len(judges) - 1) / 2) * step
                axes.plot(contrast.interval, (y, y), color=colour, linewidth=1.6, solid_capstyle="butt")
                label = None if at in seen else label_of(contrast.judge)
                axes.plot([contrast.lift], [y], mark, color=colour, markersize=4.8, label=label)
                seen.add(at)
        _lines(axes, [label for label, _ in rows])
        axes.set_xlim(-reach, reach)
        axes.set_xlabel("lift, 95% interval", fontsize=_TEXT)
        _legend(axes, len(seen))

    return _drawn(name, draw, 0.85 + len(rows) * (0.24 + 0.12 * len(judges)) + 0.2 * ((len(judges) + 1) // 2))


def splits(name: str, contrasts: Sequence[tuple[str, Contrast]]) -> str:
    """Shares won, tied and lost as lying bars, the lift with its interval and n above each."""

    def draw(axes: Axes) -> None:
        for place, (_, contrast) in enumerate(contrasts):
            parts = (contrast.won or 0, contrast.tied or 0, contrast.lost or 0)
            total, left = sum(parts) or 1, 0.0
            kinds = (("won", SET, ""), ("tied", GREY, "...."), ("lost", OTHER, "////"))
            for (label, colour, hatch), part in zip(kinds, parts, strict=True):
                share = 100 * part / total
                axes.barh(
                    place, share, 0.42, left=left, color=colour, alpha=0.55, hatch=hatch, edgecolor=INK,
                    linewidth=0.4, label=None if place else label,
                )  # fmt: skip
                left += share
            axes.text(0, place - 0.27, contrast.shown, va="bottom", ha="left", fontsize=_TEXT)
        _lines(axes, [label for label, _ in contrasts])
        axes.set_ylim(len(contrasts) - 0.55, -0.75)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the prompts", fontsize=_TEXT)
        _legend(axes, 3)

    return _drawn(name, draw, 0.95 + 0.62 * len(contrasts))


def scores(name: str, rows: Sequence[tuple[str, float, float, tuple[float, float] | None]]) -> str:
    """(label, raw, rewritten, interval of the paired difference): two marks each, the interval set off from raw."""

    def draw(axes: Axes) -> None:
        for place, (_, raw, rewritten, interval) in enumerate(rows):
            if interval is not None:
                ends = (raw + interval[0], raw + interval[1])
                axes.plot(ends, (place + 0.14, place + 0.14), color=SET, linewidth=1.6, solid_capstyle="butt")
            axes.plot([raw], [place - 0.14], "s", color=OTHER, markersize=5, label=None if place else "raw")
            axes.plot([rewritten], [place + 0.14], "o", color=SET, markersize=5, label=None if place else "rewritten")
        _lines(axes, [label for label, *_ in rows])
        axes.set_xlabel("score", fontsize=_TEXT)
        _legend(axes, 2)

    return _drawn(name, draw, 0.95 + 0.4 * len(rows))


def lengths(name: str, words: Mapping[str, Sequence[float]], most: float) -> str:
    """Words of the answers by condition: the middle half, the median, the 5th to the 95th percentile."""

    def draw(axes: Axes) -> None:
        line = {"color": INK, "linewidth": 0.8}
        axes.boxplot(
            [list(values) for values in words.values()], orientation="horizontal", whis=(5, 95), showfliers=False,
            patch_artist=True, widths=0.55, boxprops={"facecolor": SET + "73", "edgecolor": INK, "linewidth": 0.6},
            whiskerprops=line, capprops=line, medianprops={"color": INK, "linewidth": 1.8},
            positions=range(len(words)),
        )  # fmt: skip
        _lines(axes, list(words))
        axes.set_xlim(0, most)
        axes.set_xlabel("words of the answer", fontsize=_TEXT)

    return _drawn(name, draw, 0.75 + 0.27 * len(words))


def reach_of(contrasts: Sequence[Contrast]) -> float:
    """How far from 0 a plot of lifts must go, in tens, so that plots beside each other share an axis."""
    ends = [abs(end) for contrast in contrasts if contrast.interval for end in contrast.interval]
    return min(105.0, 10 * (max(ends, default=10) // 10 + 1))


def label_of(text: str) -> str:
    """Text as a plot can show it: no control characters, not too long, dollar signs as they are."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text).strip() or "(none)"
    return plain(shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…")


def told(rows: Sequence[tuple[str, Sequence[Contrast]]]) -> str:
    """A forest in words, for who can't see it."""
    parts = [
        f"{label}: {contrast.shown} by {contrast.judge}"
        for label, contrasts in rows
        for contrast in contrasts
        if contrast.lift is not None and contrast.interval is not None
    ]
    return "; ".join(parts)


def _lines(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), ["\n".join(label_of(part) for part in label.split("\n")) for label in labels])
    axes.tick_params(labelsize=_TEXT)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)


def _legend(axes: Axes, entries: int) -> None:
    if entries:
        axes.figure.legend(
            loc="outside lower center", ncols=min(entries, 3), frameon=False, labelcolor=INK, fontsize=_TEXT
        )


def _drawn(name: str, draw: Any, height: float) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may hold signs that matplotlib's font lacks; the page's has them
        return svg_of(name, draw, height)
