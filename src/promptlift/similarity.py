"""How alike two prompts are, by the letters that they share.

Vectors of character 3-5-grams within words, weighed by TF-IDF; the cosine is from 0 to 1. Typing
errors and endings cost little, and a prompt on another subject in the same form stays below `SIMILAR`.
All comparisons run in chunks of rows, so that memory grows with the number of prompts and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from promptlift.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIMILAR = 0.5
"""The cosine from which two prompts are near-duplicates, and so one cluster."""

_ROWS = 256


def cluster(prompts: Sequence[str], threshold: float = SIMILAR) -> list[int]:
    """The cluster number of each prompt: connected components of similar prompts, numbered as they appear.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if len(prompts) < 2:
        return list(range(len(prompts)))
    vectors = _vectors(prompts)
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    # the first prompt of each one's cluster; merged after every chunk, since the edges of a set that
    # was filled in from one template are quadratic
    first = np.arange(len(prompts))
    for start, block in _blocks(vectors, vectors):
        rows, columns = np.nonzero(block >= threshold)
        ends = (np.concatenate([rows + start, np.arange(len(prompts))]), np.concatenate([columns, first]))
        graph = csr_matrix((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(prompts), len(prompts)))
        _, labels = connected_components(graph, directed=False)
        _, firsts = np.unique(labels, return_index=True)
        first = firsts[labels]
    return [int(label) for label in np.unique(first, return_inverse=True)[1]]


def nearest(prompts: Sequence[str], others: Sequence[str]) -> list[tuple[int, float]]:
    """For each prompt the most similar one of `others`, as (index, similarity); (-1, 0.0) if there are none.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if not prompts or not others:
        return [(-1, 0.0)] * len(prompts)
    vectors = _vectors([*prompts, *others])
    return [
        (int(best), min(1.0, float(row[best])))
        for _, block in _blocks(vectors[: len(prompts)], vectors[len(prompts) :])
        for row, best in zip(block, block.argmax(axis=1), strict=True)
    ]


def nearest_earlier(prompts: Sequence[str]) -> list[tuple[int, float]]:
    """For each prompt the most similar one before it, as (index, similarity); (-1, 0.0) for the first.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if len(prompts) < 2:
        return [(-1, 0.0)] * len(prompts)
    vectors = _vectors(prompts)
    found: list[tuple[int, float]] = [(-1, 0.0)]
    for start, block in _blocks(vectors, vectors, earlier=True):
        for offset, row in enumerate(block):
            before = row[: start + offset]
            if len(before):
                best = int(before.argmax())
                found.append((best, min(1.0, float(before[best]))))
    return found


def pairs_alike(prompts: Sequence[str], threshold: float = SIMILAR) -> list[tuple[int, int, float]]:
    """Every two prompts at least `threshold` alike, as (index, later index, similarity).

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    if len(prompts) < 2:
        return []
    vectors = _vectors(prompts)
    found = []
    for start, block in _blocks(vectors, vectors, earlier=True):
        for row, column in zip(*(block >= threshold).nonzero(), strict=True):
            if column < start + row:
                found.append((int(column), int(start + row), min(1.0, float(block[row, column]))))
    return found


def _vectors(prompts: Sequence[str]) -> Any:
    """The TF-IDF vectors of prompts, a sparse matrix of a row each; texts without words get no weight."""
    try:
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise MissingExtraError("comparing prompts", "data") from None
    try:
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(prompts)
    except ValueError:  # scikit-learn's word for a set without a single n-gram: nothing but blanks
        return csr_matrix((len(prompts), 1))


def _blocks(left: Any, right: Any, earlier: bool = False) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """(first row, similarities) of a chunk of rows of `left` with `right`; `earlier`: with none after the chunk."""
    for start in range(0, left.shape[0], _ROWS):
        end = min(start + _ROWS, left.shape[0])
        yield start, (left[start:end] @ (right[:end] if earlier else right).T).toarray()
