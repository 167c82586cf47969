"""Figures of a run as they are printed, and the contrasts of its summary.

No lift is printed without its interval and its n: where one of them is missing, there is a dash.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from promptlift.evaluation.report.load import Row, object_of, rows_of

DASH = "–"
Tone = Literal["", "good", "bad", "even"]
SIGNS: dict[Tone, str] = {"good": "▲ better", "bad": "▼ worse", "even": "◇ not told apart", "": DASH}
"""How a tone is told without its colour."""


def number(value: object) -> float | None:
    """A finite number, or None for whatever else it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def interval_of(value: object) -> tuple[float, float] | None:
    """Two finite numbers, the lower first, or None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (min(low, high), max(low, high))


def whole(value: object) -> str:
    """A count, or a mean to one digit: `1,234`, `87.5`."""
    found = number(value)
    if found is None:
        return DASH
    return f"{found:,.0f}" if found == int(found) else f"{found:,.1f}"


def percent(value: float | None) -> str:
    """A rate in per cent."""
    return DASH if value is None else f"{value:.1f}%"


def plain(value: object, digits: int = 3) -> str:
    """A score as it is, to some digits."""
    found = number(value)
    return DASH if found is None else f"{found:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign."""
    shown = f"{value:+.{digits}f}".replace("-", "−")
    return shown.lstrip("+−") if not float(f"{value:.{digits}f}") else shown


def span(interval: tuple[float, float], digits: int = 1) -> str:
    """An interval of differences in brackets."""
    return f"[{signed(interval[0], digits)}, {signed(interval[1], digits)}]"


def chance(value: object) -> str:
    """A p-value to two digits."""
    found = number(value)
    return DASH if found is None else "<0.0001" if found < 0.0001 else f"{found:.2g}"


def tone_of(interval: tuple[float, float] | None) -> Tone:
    """What an interval of differences says: all above zero, all below, or neither."""
    if interval is None:
        return ""
    return "good" if interval[0] > 0 else "bad" if interval[1] < 0 else "even"


@dataclass(frozen=True)
class Contrast:
    """One condition's answers against another's, by one judge; rates are in per cent, lifts from -100 to 100."""

    target: str
    judge: str
    x: str
    y: str
    n: float | None
    same: float | None
    flipped: float | None
    unjudged: float | None
    won: float | None
    lost: float | None
    tied: float | None
    lift: float | None
    interval: tuple[float, float] | None
    win_rate: float | None
    sign_p: float | None
    lc_win_rate: float | None
    lc_interval: tuple[float, float] | None
    words: tuple[float | None, float | None]
    empty: float | None = None
    one_order: float | None = None
    changed: Contrast | None = None
    """The same without the pairs whose answers are equal."""

    @property
    def tone(self) -> Tone:
        """Better, worse or not told apart."""
        return "" if self.lift is None else tone_of(self.interval)

    @property
    def shown(self) -> str:
        """The lift with its interval and n; a dash where any of them is missing."""
        if self.lift is None or self.interval is None or self.n is None:
            return DASH
        return f"{signed(self.lift)} {span(self.interval)}, n {whole(self.n)}"

    @property
    def changed_shown(self) -> str:
        """The lift without the pairs whose answers are equal."""
        return DASH if self.changed is None else self.changed.shown

    @property
    def lc_shown(self) -> str:
        """The length-controlled win rate with its interval."""
        if self.lc_win_rate is None or self.lc_interval is None:
            return DASH
        return f"{percent(self.lc_win_rate)} [{percent(self.lc_interval[0])}, {percent(self.lc_interval[1])}]"

    @property
    def score(self) -> str:
        """The win rate with its n."""
        return DASH if self.win_rate is None or self.n is None else f"{percent(self.win_rate)}, n {whole(self.n)}"

    @property
    def split(self) -> str:
        """Won, tied, lost."""
        return f"{whole(self.won)} / {whole(self.tied)} / {whole(self.lost)}"

    def turned(self) -> Contrast:
        """The same, seen from the other condition."""

        def minus(pair: tuple[float, float] | None, one: float = 0) -> tuple[float, float] | None:
            return None if pair is None else (one - pair[1], one - pair[0])

        return dataclasses.replace(
            self, x=self.y, y=self.x, won=self.lost, lost=self.won, words=(self.words[1], self.words[0]),
            lift=None if self.lift is None else -self.lift, interval=minus(self.interval),
            win_rate=None if self.win_rate is None else 100 - self.win_rate,
            lc_win_rate=None if self.lc_win_rate is None else 100 - self.lc_win_rate,
            lc_interval=minus(self.lc_interval, 100), changed=self.changed and self.changed.turned(),
        )  # fmt: skip


def contrasts(summary: Row) -> list[Contrast]:
    """All contrasts of a summary, in its order."""
    counts = ("n", "same", "flipped", "unjudged", "won", "lost", "tied", "empty", "one_order")
    names = (*counts, "lift", "win_rate", "sign_p", "lc_win_rate")

    def build(target: str, row: Row) -> Contrast:
        words = row.get("words")
        mean = [number(one) for one in words] if isinstance(words, list) and len(words) == 2 else [None, None]
        return Contrast(
            target=target, judge=str(row.get("judge")), x=str(row.get("x")), y=str(row.get("y")),
            interval=interval_of(row.get("interval")), lc_interval=interval_of(row.get("lc_interval")),
            words=(mean[0], mean[1]), changed=build(target, row["changed"]) if object_of(row.get("changed")) else None,
            **{name: number(row.get(name)) for name in names},
        )  # fmt: skip

    return [
        build(str(target.get("name")), row)
        for target in rows_of(summary.get("targets"))
        for row in rows_of(target.get("contrasts"))
    ]


def between(found: list[Contrast], x: str, y: str) -> Iterator[Contrast]:
    """The contrasts of two conditions, each turned so that `x` comes first."""
    for contrast in found:
        if (contrast.x, contrast.y) == (x, y):
            yield contrast
        elif (contrast.x, contrast.y) == (y, x):
            yield contrast.turned()


def scores_of(task: Row) -> list[tuple[str, float | None, float | None, float | None, tuple[float, float] | None]]:
    """(metric, raw, rewritten, difference, its paired interval) of a task; units are the task's own."""
    raw, rewritten, apart = (object_of(task.get(key)) for key in ("raw", "rewritten", "difference"))

    def value(of: object) -> float | None:
        if isinstance(of, dict):
            return next((n for k in ("value", "mean", "difference") if (n := number(of.get(k))) is not None), None)
        return number(of)

    metrics = [name for name in raw if value(raw[name]) is not None and value(rewritten.get(name)) is not None]
    metrics = [name for name in metrics if name not in ("n", "failed", "cut", "changed")]
    found = []
    for name in metrics:
        before, after, told = value(raw[name]), value(rewritten[name]), apart.get(name)
        shared = apart.get("interval") if len(metrics) == 1 or apart.get("metric") == name else None
        inner = object_of(apart.get("interval")).get(name) or object_of(apart.get("intervals")).get(name)
        own = told.get("interval") if isinstance(told, dict) else apart.get(f"{name}_interval")
        difference = value(told)
        if difference is None and before is not None and after is not None:
            difference = after - before
        found.append((name, before, after, difference, interval_of(own or inner or shared)))
    return found
