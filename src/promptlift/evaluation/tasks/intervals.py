"""The statistics of paired scores: a bootstrap interval of the mean difference, and McNemar's exact test."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from promptlift.evaluation.tasks.paired import need

RESAMPLES = 9999

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


def mean_interval(
    differences: Sequence[float], weights: Sequence[float] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, list[float] | None]:
    """The mean of paired differences and its 95% interval, by a bootstrap over items.

    The interval is bias-corrected and accelerated (BCa); where that is not defined, it is of percentiles. The same
    numbers and seed give the same interval. Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993.

    Args:
        differences: one for each item, in the order of the items; at least one.
        weights: how much each item counts; None: all the same.
        seed: of the resampling.
        resamples: how many.

    Returns:
        The mean, and [low, high]: None for a single item, and the mean twice where all differences are the same.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    need("scipy")
    import numpy as np
    from scipy import stats

    d = np.asarray(differences, dtype=np.float64)
    w = np.ones_like(d) if weights is None else np.asarray(weights, dtype=np.float64)

    def mean(values: Numbers, by: Numbers, axis: int = -1) -> Any:
        return (values * by).sum(axis=axis) / by.sum(axis=axis)

    middle = float(mean(d, w))
    if len(d) < 2:
        return middle, None
    if np.ptp(d) == 0.0:
        return middle, [middle, middle]
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # scipy warns where BCa is not defined; the loop goes on then
            found = stats.bootstrap(
                (d, w), mean, paired=True, vectorized=True, n_resamples=resamples, confidence_level=0.95,
                batch=max(1, 2_000_000 // len(d)), method=method, rng=np.random.default_rng(seed),
            ).confidence_interval  # fmt: skip
        if np.isfinite([found.low, found.high]).all():
            break
    return middle, [float(found.low), float(found.high)]


def mcnemar_p(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test: how odd it is that right-by-one-only falls so unevenly.

    Args:
        only_first: items that are right the first way alone.
        only_second: items that are right the second way alone.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    need("scipy")
    from scipy import stats

    both = only_first + only_second
    return 1.0 if both == 0 else float(stats.binomtest(only_second, both, 0.5).pvalue)
