"""Choose the threshold of the decision to change a prompt, on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it does on the pairs that it was chosen on.

    `changed` is the share of the pairs to change that score at or above the threshold,
    `kept` the share of identity pairs below it.
    """

    threshold: float
    changed: float
    kept: float
    auc: float
    n_change: int
    n_identity: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, rounded to four digits."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def calibrate(scores: Sequence[float], is_identity: Sequence[bool], least_changed: float) -> Calibration:
    """The highest threshold that still changes `least_changed` of the pairs to be changed.

    Args:
        scores: P(change) of each pair, from 0 to 1.
        is_identity: True where the pair is to be left alone.
        least_changed: share from 0 to 1.

    Raises:
        ValueError: no pair to change is given.
    """
    from sklearn.metrics import roc_auc_score

    score, identity = np.asarray(scores, float), np.asarray(is_identity, bool)
    change = np.sort(score[~identity])
    if not len(change):
        raise ValueError("calibration needs at least one pair that is to be changed")
    threshold = float(change[int(np.floor(len(change) * (1 - least_changed)))])
    both = identity.any() and (~identity).any()
    return Calibration(
        threshold=threshold,
        changed=float((change >= threshold).mean()),
        kept=float((score[identity] < threshold).mean()) if identity.any() else 1.0,
        auc=float(roc_auc_score(~identity, score)) if both else float("nan"),
        n_change=len(change),
        n_identity=int(identity.sum()),
    )
