"""A judge that was trained: a scalar head on a local model's features of an answer.

The head gives each answer a value; of two answers, the one of higher value is better, with the probability that
Bradley and Terry's model gives. The order of the answers can't matter, and an answer is read once however often it
is compared.

    <folder>/judge.json          the base and its hash, layer, how the head was trained, what it is worth
             head.safetensors    weights (2 d + k,)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import ArtifactError
from promptlift.evaluation.comparing import Comparison, Verdict, Winner
from promptlift.evaluation.judges.features import FeatureCache, Reader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
SETTINGS, WEIGHTS = "judge.json", "head.safetensors"
AT_ONCE = 256
"""Comparisons that are read between two signs of progress."""
TIE = 0.02
"""A probability so near to a half is a tie."""


class TrainedJudge:
    """A head, and the model whose features it reads."""

    symmetric = True

    def __init__(self, name: str, reader: Reader, weights: NDArray[np.float32]) -> None:
        """Join a reader and a head.

        Args:
            name: for reports.
            reader: makes the features.
            weights: (2 d + k,), of the features; a constant would cancel.
        """
        self.name, self._reader, self._weights = name, reader, weights

    @classmethod
    def load(cls, folder: Path, base: str | None = None, cache: Path | None = None) -> TrainedJudge:
        """Open a judge that `promptlift evaluate train-judge` made.

        Args:
            folder: of the judge.
            base: where the base is, if it was moved.
            cache: of the features; in the user's cache by default.

        Raises:
            ArtifactError: the folder is damaged, newer, or its base is another one.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            settings = json.loads((folder / SETTINGS).read_bytes())
            if settings["format"] > FORMAT:
                raise ArtifactError(
                    f"{folder} has format {settings['format']}; this promptlift reads {FORMAT}: upgrade it"
                )
            weights = load_file(folder / WEIGHTS)["weights"]
            spec, expected, layer = base or settings["base"], settings["base_sha256"], int(settings["layer"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder} can't be read ({error}); train it again with: promptlift evaluate train-judge"
            ) from None
        found = identity_of(spec)
        if expected and found is None:
            raise ArtifactError(f"{folder}: its base {spec} is not there; train it again, or put it back")
        if expected and found != expected:
            raise ArtifactError(f"{folder}: {spec} is another base: SHA-256 {found!s:.12}…, expected {expected:.12}…")
        return cls(f"trained:{folder.name}", reader_of(spec, expected, layer, cache), weights)

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> list[Verdict | None]:
        """A verdict on each; see Judge."""
        found: list[Verdict | None] = []
        for start in range(0, len(comparisons), AT_ONCE):
            for verdict in self._some(comparisons[start : start + AT_ONCE]):
                found.append(verdict)
                if progress:
                    progress()
        return found

    def _some(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        reads = list(dict.fromkeys((c.prompt, answer) for c in comparisons for answer in (c.answer_a, c.answer_b)))
        values = dict(zip(reads, (self._reader.features(reads) @ self._weights).tolist(), strict=True))
        found = []
        for shown in comparisons:
            gap = values[shown.prompt, shown.answer_a] - values[shown.prompt, shown.answer_b]
            first = 1 / (1 + math.exp(-max(-50.0, min(50.0, gap))))
            winner: Winner = "tie" if abs(first - 0.5) < TIE else ("a" if first > 0.5 else "b")
            found.append(Verdict(shown.id, winner, self.name, first))
        return found


def reader_of(base: str, sha256: str | None, layer: int, cache: Path | None = None) -> Reader:
    """A reader with the user's cache of features."""
    from promptlift.models import cache_folder

    return Reader(base, sha256 or base, layer, FeatureCache(cache or cache_folder() / "judge-features.sqlite"))


def identity_of(base: str) -> str | None:
    """SHA-256 of a base that lies on this machine, a file or a folder of safetensors; None for a hub id."""
    from promptlift.artifacts import sha256_of
    from promptlift.base_model import hash_of_weights

    path = Path(base).expanduser()
    return sha256_of(path) if path.is_file() else hash_of_weights(path)


def describe(folder: Path) -> dict[str, Any]:
    """What judge.json says."""
    return dict(json.loads((folder / SETTINGS).read_bytes()))
