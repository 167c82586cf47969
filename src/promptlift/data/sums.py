"""What a set is in sum: its shares, lengths, openings and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptlift.data.traits import (
    commands_rewriter,
    has_literals,
    has_variables,
    opening,
    passage_tags,
    word_count,
)
from promptlift.guard.view import words
from promptlift.records import Pair

PERCENTILES = (10, 25, 50, 75, 90)
_LISTED = 12
_SEGMENT = 1000


@dataclass(frozen=True)
class Distributions:
    """Numbers to draw from: words a prompt has, words a side adds, and the similarity to the nearest other."""

    prompt_words: list[int]
    against_words: list[int]
    added_full: list[int]
    added_light: list[int]
    nearest_earlier: list[float]
    nearest_against: list[float]


def distributions(
    pairs: Sequence[Pair],
    against: Sequence[str],
    earlier: Sequence[tuple[int, float]],
    near: Sequence[tuple[int, float]],
) -> Distributions:
    """Collect what plots are drawn from; additions are those of the pairs to be changed."""
    return Distributions(
        [word_count(pair.prompt) for pair in pairs],
        [word_count(prompt) for prompt in against],
        [_added(pair, pair.optimized) for pair in pairs if not pair.is_identity],
        [_added(pair, pair.optimized_light) for pair in pairs if not pair.is_identity and pair.optimized_light],
        [value for index, value in earlier if index >= 0],
        [value for index, value in near if index >= 0],
    )


def sums_of(pairs: Sequence[Pair], against: Sequence[str]) -> dict[str, Any]:
    """The sums of a set; shares are from 0 to 1, and None where there is nothing to share."""
    changed = [pair for pair in pairs if not pair.is_identity]
    topics = Counter(pair.topic for pair in pairs if pair.topic)
    openings = Counter(opening(pair.optimized) for pair in changed)
    first = Counter(opening(pair.optimized, 1) for pair in changed)
    added = [_added(pair, pair.optimized) for pair in changed]
    light = [_added(pair, pair.optimized_light) for pair in changed if pair.optimized_light]
    ratios = [word_count(pair.optimized) / max(1, word_count(pair.prompt)) for pair in changed]
    added_spread = percentiles(added)
    return {
        "pairs": len(pairs),
        "changed": len(changed),
        "identity_share": _share(len(pairs) - len(changed), pairs),
        "literal_share": _share(sum(has_literals(pair.prompt) for pair in pairs), pairs),
        "variable_share": _share(sum(has_variables(pair.prompt) for pair in pairs), pairs),
        "passage_share": _share(sum(bool(passage_tags(pair.prompt)) for pair in pairs), pairs),
        "command_share": _share(sum(commands_rewriter(pair.prompt) for pair in pairs), pairs),
        "topic_count": len(topics) if pairs else None,
        "topic_share": _share(max(topics.values(), default=0), pairs),
        "topics": dict(topics.most_common()),
        "opening_share": _share(max(openings.values(), default=0), changed),
        "openings": dict(openings.most_common(_LISTED)),
        "first_words": dict(first.most_common(_LISTED)),
        "words_added_p90": added_spread and added_spread["90"],
        "words_added": added_spread,
        "words_added_light": percentiles(light),
        "ratio": percentiles(ratios),
        "prompt_words": percentiles([word_count(pair.prompt) for pair in pairs]),
        "against_words": percentiles([word_count(prompt) for prompt in against]),
        "prompts": vocabulary([pair.prompt for pair in pairs]),
        "rewrites": vocabulary([pair.optimized for pair in changed]),
        "evaluation": vocabulary(against),
    }


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """The percentiles of `PERCENTILES` by their number, to one decimal; None of nothing."""
    if not values:
        return None
    import numpy as np

    found = np.percentile(values, PERCENTILES)
    return {str(p): round(float(value), 1) for p, value in zip(PERCENTILES, found, strict=True)}


def vocabulary(texts: Sequence[str]) -> dict[str, Any] | None:
    """How many words, how many different ones, and their ratio; None of nothing.

    The plain type-token ratio falls with the size of a set. `per_thousand` is the mean of the
    ratios of each thousand words, which two sets can be compared by.
    """
    found = [word for text in texts for word in words(text)]
    if not found:
        return None
    segments = [found[at : at + _SEGMENT] for at in range(0, len(found) - _SEGMENT + 1, _SEGMENT)] or [found]
    return {
        "words": len(found),
        "different": len(set(found)),
        "type_token_ratio": round(len(set(found)) / len(found), 3),
        "per_thousand": round(sum(len(set(part)) / len(part) for part in segments) / len(segments), 3),
    }


def _added(pair: Pair, side: str | None) -> int:
    return word_count(side or "") - word_count(pair.prompt)


def _share(count: int, of: Sequence[object]) -> float | None:
    return count / len(of) if of else None
