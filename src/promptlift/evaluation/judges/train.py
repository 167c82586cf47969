"""Train a judge: from preferences to a scalar head on a local model's features.

The head is a logistic regression, without a constant, on the difference of two answers' features: Bradley and Terry's
model with a linear value. How much it is held back (C) is chosen by cross-validation in which no prompt stands on both
sides. The layer is the caller's choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import InputError, MissingExtraError
from promptlift.evaluation.judges.form import NAMES
from promptlift.evaluation.judges.trained import FORMAT, SETTINGS, WEIGHTS, identity_of, reader_of
from promptlift.evaluation.labelled import Labelled, folded
from promptlift.records import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Values of C (the inverse of the penalty, on standardised features) that are tried."""
FORM_WEIGHT = 10.0
"""How much less the features of form are held back than each of the many states; chosen on prompts of a source that was
not trained on."""
FOLDS = 5
LEAST = 50
"""Preferences without a tie that are needed."""


@dataclass(frozen=True)
class TrainedHead:
    """A head and what cross-validation says of it.

    Attributes:
        weights: (2 d + k,), of the features as they are.
        strength: the C that was chosen.
        accuracy: by C, the share of held-out preferences that were met, on prompts not trained on.
        n: preferences, without ties.
        prompts: different ones.
    """

    weights: NDArray[np.float32]
    strength: float
    accuracy: dict[float, float]
    n: int
    prompts: int


def train_judge(
    rows: Sequence[Labelled], base: str, layer: int, out: Path, seed: int = 0, note: dict[str, Any] | None = None,
    progress: Callable[[str, int, int], None] | None = None, cache: Path | None = None,
) -> TrainedHead:  # fmt: skip
    """Train a judge and write its folder.

    Args:
        rows: preferences; ties are left out.
        base: the local model: a GGUF, a folder or a hub id.
        layer: whose states are read, from 1.
        out: the judge's folder.
        seed: of the folds.
        note: what judge.json shall say besides.
        progress: called with a stage's name, what is done, and of how much.
        cache: of the features; in the user's cache by default.

    Raises:
        InputError: there are too few preferences, or of too few prompts.
        MissingExtraError: scikit-learn or torch is not installed.
        ModelError: the base can't be loaded.
    """
    from safetensors.numpy import save

    decided = [row for row in rows if row.label in (1, 2)]
    if len(decided) < LEAST or len({folded(row.prompt) for row in decided}) < FOLDS:
        raise InputError(
            f"there are {len(decided)} preferences without a tie, of {len({r.prompt for r in decided})} prompts; "
            f"{LEAST} of at least {FOLDS} prompts are needed"
        )
    file = Path(base).expanduser()
    digest = identity_of(base)
    reads = list(dict.fromkeys((row.prompt, answer) for row in decided for answer in (row.answer_1, row.answer_2)))
    reader = reader_of(base, digest, layer, cache)
    told = (lambda done, total: progress("reading answers", done, total)) if progress else None
    features = reader.features(reads, told)
    place = {read: k for k, read in enumerate(reads)}
    first = features[[place[row.prompt, row.answer_1] for row in decided]]
    second = features[[place[row.prompt, row.answer_2] for row in decided]]
    labels = [row.label == 1 for row in decided]
    found = fit(first - second, labels, [folded(row.prompt) for row in decided], seed)
    settings = {
        "format": FORMAT, "base": str(file.resolve()) if digest else base, "base_sha256": digest, "layer": layer,
        "strength": found.strength, "held_out_accuracy": found.accuracy[found.strength],
        "accuracy_by_strength": {f"{c:g}": a for c, a in found.accuracy.items()},
        "preferences": found.n, "prompts": found.prompts, "seed": seed,
        "data": hashlib.sha256(json.dumps([(r.id, r.label) for r in decided]).encode()).hexdigest(),
        **(note or {}),
    }  # fmt: skip
    write_atomically(out / WEIGHTS, save({"weights": found.weights}))
    write_atomically(out / SETTINGS, (json.dumps(settings, indent=2) + "\n").encode())
    return found


def fit(differences: NDArray[np.float32], labels: Sequence[bool], groups: Sequence[str], seed: int = 0) -> TrainedHead:
    """Fit the head.

    Args:
        differences: (n, 2 d + k), features of the first answer less those of the second.
        labels: whether the first is better.
        groups: the prompts; none stands on both sides of a fold.
        seed: of the folds.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold
    except ImportError:
        raise MissingExtraError("training a judge", "train") from None
    import numpy as np

    # no mean is taken off: a difference turned round must be its own negative
    scale = np.sqrt((differences.astype(np.float64) ** 2).mean(0)) + 1e-6
    scale[-len(NAMES) :] /= FORM_WEIGHT
    x, y = (differences / scale).astype(np.float32), np.asarray(labels, int)
    # both orders, or a lopsided set would need a constant
    turned = np.where(np.random.default_rng(seed).random(len(y)) < 0.5, 1, -1)
    x, y = x * turned[:, None].astype(np.float32), np.where(turned > 0, y, 1 - y)
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(x, y, numbers))

    def head(rows: Any, strength: float) -> Any:
        return LogisticRegression(C=strength, fit_intercept=False, max_iter=300, tol=1e-3).fit(x[rows], y[rows])

    accuracy = {
        strength: float(sum((head(t, strength).predict(x[h]) == y[h]).sum() for t, h in folds) / len(y))
        for strength in STRENGTHS
    }
    best = max(accuracy, key=lambda strength: accuracy[strength])
    weights = (head(np.arange(len(y)), best).coef_[0] / scale).astype(np.float32)
    return TrainedHead(weights, best, accuracy, len(y), len(names))
