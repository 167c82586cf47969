"""Split pairs into training and validation by clusters of similar prompts.

A random split would put near-copies of training prompts into validation, and the
validation loss would then reward memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from promptlift.records import Pair

SIMILAR = 0.5
"""Cosine similarity of character 3-5-grams (TF-IDF) from which two prompts are one cluster."""


def cluster(prompts: Sequence[str], threshold: float = SIMILAR) -> list[int]:
    """The cluster number of each prompt: connected components of similar prompts."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components
    from sklearn.feature_extraction.text import TfidfVectorizer

    if len(prompts) < 2:
        return list(range(len(prompts)))
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(prompts)
    similarity = (vectors @ vectors.T).tocoo()
    near = similarity.data >= threshold
    graph = csr_matrix((similarity.data[near], (similarity.row[near], similarity.col[near])), shape=similarity.shape)
    return [int(label) for label in connected_components(graph, directed=False)[1]]


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
