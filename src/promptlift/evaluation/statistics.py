"""Lift and what belongs to it, from scores of 1 (won), 0 (tie) and -1 (lost). Libraries do the work.

Prompts are what is drawn: scores of one prompt (several samples, several judges) are one cluster.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from promptlift.errors import MissingExtraError

DRAWS = 10_000
"""Bootstrap samples."""
SEED = 0
CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Lift:
    """100 x (share won - share lost), with its interval.

    Attributes:
        n: scores.
        won: scores of 1.
        lost: scores of -1.
        tied: scores of 0.
        lift: from -100 to 100.
        interval: 95%, percentile bootstrap over prompts; all there is where there are fewer than two prompts.
        win_rate: percent, a tie is half a win.
        sign_p: two-sided exact sign test of won against lost, ties left out.
    """

    n: int
    won: int
    lost: int
    tied: int
    lift: float
    interval: tuple[float, float]
    win_rate: float
    sign_p: float


def lift(scores: Sequence[float], prompts: Sequence[str]) -> Lift:
    """The lift of scores, each of which belongs to a prompt.

    Raises:
        MissingExtraError: scipy is not installed.
        ValueError: there are no scores.
    """
    _need_scipy()
    import numpy as np
    from scipy.stats import binomtest

    values = np.asarray(scores, float)
    if not len(values):
        raise ValueError("no scores")
    won, lost = int((values > 0).sum()), int((values < 0).sum())
    low, high = interval(scores, prompts)
    return Lift(
        len(values), won, lost, len(values) - won - lost, 100 * float(values.mean()), (100 * low, 100 * high),
        50 * (1 + float(values.mean())), float(binomtest(won, won + lost).pvalue) if won + lost else 1.0,
    )  # fmt: skip


def interval(scores: Sequence[float], prompts: Sequence[str]) -> tuple[float, float]:
    """The 95% interval of the mean score: percentile bootstrap, drawing prompts with all their scores.

    The method is the percentile one: the mean of scores that are mostly equal has no use for BCa's correction,
    which fails where all are.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    _need_scipy()
    import numpy as np
    from scipy.stats import bootstrap

    _, cluster = np.unique(np.asarray(prompts, object).astype(str), return_inverse=True)
    sums, counts = np.bincount(cluster, np.asarray(scores, float)), np.bincount(cluster)
    if len(sums) < 2:
        return -1.0, 1.0
    found = bootstrap(
        (sums, counts), lambda s, c, axis: s.sum(axis=axis) / c.sum(axis=axis), paired=True, vectorized=True,
        n_resamples=DRAWS, confidence_level=CONFIDENCE, method="percentile", rng=np.random.default_rng(SEED), batch=500,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def length_controlled(
    scores: Sequence[float], lengths: Sequence[tuple[int, int]], prompts: Sequence[str]
) -> tuple[float, tuple[float, float]]:
    """The win rate, in percent, that answers of equal length would have, and its 95% interval.

    A logistic model of the win (a tie is half) on tanh of the standardised difference of the lengths, read off where
    that is zero: AlpacaEval 2's (Dubois et al. 2024, equation 2) without its per-item terms, which need a download.
    The interval is Wald's, with errors clustered by prompt; all there is where there are fewer than two prompts. Two
    half-weight ties at either end of the lengths keep the fit finite where one side wins all.

    Args:
        scores: as for `lift`.
        lengths: of the two answers, in words.
        prompts: whose scores they are.

    Raises:
        MissingExtraError: statsmodels is not installed.
    """
    _need_scipy()
    import numpy as np

    try:
        import statsmodels.api as sm
    except ImportError:
        raise MissingExtraError("the length-controlled win rate", "eval") from None
    difference = np.asarray([x - y for x, y in lengths], float)
    spread = difference.std() or 1.0
    wins = np.concatenate([(np.asarray(scores, float) + 1) / 2, [0.5, 0.5]])
    terms = sm.add_constant(np.concatenate([np.tanh(difference / spread), [1.0, -1.0]]), has_constant="add")
    weights = np.concatenate([np.ones(len(difference)), [0.5, 0.5]])
    _, groups = np.unique(np.asarray([*map(str, prompts), "\0", "\1"]), return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of weights beside clustered errors: these weights are meant
        model = sm.GLM(wins, terms, family=sm.families.Binomial(), freq_weights=weights)
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    centre, error = float(fit.params[0]), float(fit.bse[0])
    reach = 1.959964 * error if math.isfinite(error) and len(set(prompts)) > 1 else math.inf
    return 100 * _sigmoid(centre), (100 * _sigmoid(centre - reach), 100 * _sigmoid(centre + reach))


def prompts_needed(share_decided: float, lift_sought: float = 5.0) -> int:
    """How many prompts show a lift: two-sided 5%, power 80%, each prompt scored once.

    Args:
        share_decided: the share of prompts that are no tie, as seen so far; with the lift it gives the variance of a
            score. A lift can't be greater than this share, so a smaller one is taken for the lift.
        lift_sought: in points.

    Raises:
        MissingExtraError: statsmodels is not installed.
    """
    _need_scipy()
    try:
        from statsmodels.stats.power import NormalIndPower
    except ImportError:
        raise MissingExtraError("the power note", "eval") from None
    effect = lift_sought / 100
    spread = math.sqrt(max(share_decided, effect) - effect**2)
    # ratio=0 makes it the power of one sample
    needed = NormalIndPower().solve_power(effect / spread, power=POWER, alpha=1 - CONFIDENCE, ratio=0)
    return math.ceil(float(needed))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, value))))


def _need_scipy() -> None:
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise MissingExtraError("statistics", "eval") from None
