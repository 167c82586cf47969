"""Split pairs into training and validation by clusters of similar prompts.

A random split would put near-copies of training prompts into validation, and the
validation loss would then reward memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from promptlift.records import Pair
from promptlift.similarity import cluster


def split(pairs: Sequence[Pair], validation: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs; no cluster stands in both, and each side keeps its order.

    Args:
        pairs: at least two clusters of them for a validation set to exist.
        validation: the share wanted for validation, from 0 to below 1.
        seed: of the order in which clusters are drawn.
    """
    labels = cluster([pair.prompt for pair in pairs])
    wanted = round(len(pairs) * validation)
    chosen: set[int] = set()
    count = 0
    for label in np.random.default_rng(seed).permutation(sorted(set(labels))):
        size = labels.count(int(label))
        if count + size <= wanted:
            chosen.add(int(label))
            count += size
    train = [pair for pair, label in zip(pairs, labels, strict=True) if label not in chosen]
    held_out = [pair for pair, label in zip(pairs, labels, strict=True) if label in chosen]
    return train, held_out
