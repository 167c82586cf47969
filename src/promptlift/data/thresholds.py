"""What a set must keep to, stated in one place, and the test of a set's sums against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Thresholds:
    """Bounds of a set. Shares are of its pairs, unless it says otherwise; None switches a bound off."""

    most_bad_rows: int | None = 0
    """Lines that are no pair."""
    most_lost_literals: int | None = 0
    """Sides that lack a literal of the prompt."""
    most_form_errors: int | None = 0
    """Sides with another tag, another beginning, too many words, or equal to the prompt on one side only."""
    most_judged_errors: float | None = 0.01
    """Share of pairs that answer, talk about the prompt, loop and so on: heuristics, which may err."""
    most_overlap: int | None = 0
    """Prompts near to one of the evaluation file."""
    most_duplicates: float | None = 0.05
    """Share of prompts near to an earlier one of the set."""
    most_one_opening: float | None = 0.08
    """Share of changed pairs whose `optimized` begins with the same two words."""
    most_words_added: float | None = 120.0
    """Words that `optimized` adds, at the 90th percentile of the changed pairs."""
    least_topics: int | None = 16
    most_one_topic: float | None = 0.12
    least_identity: float | None = 0.15
    """Share of pairs whose best rewrite is none."""
    least_literals: float | None = 0.12
    least_passages: float | None = 0.08
    least_commands: float | None = 0.05
    """Share of prompts that try to command the rewriter."""

    # What follows bounds one row, not a sum.
    words_added_by_one: int = 120
    similar: float = 0.5
    """Cosine from which two prompts of the set are near-duplicates."""
    similar_to_evaluation: float = 0.6
    """Cosine from which a prompt is near to one of the evaluation file."""

    def without_quotas(self) -> Thresholds:
        """The same without what a set must be composed of: for a small set of one domain."""
        return dataclasses.replace(
            self, least_topics=None, most_one_topic=None, least_identity=None, least_literals=None,
            least_passages=None, least_commands=None,
        )  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """One bound: the value seen and the value allowed, both as a reader takes them."""

    name: str
    seen: str
    allowed: str
    ok: bool

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        return dataclasses.asdict(self)


# (field of Thresholds, key of the sums, in words)
_BOUNDS = (
    ("most_bad_rows", "bad_rows", "bad rows"),
    ("most_lost_literals", "lost_literals", "sides that lost a literal"),
    ("most_form_errors", "form_errors", "sides of a wrong form"),
    ("most_judged_errors", "judged_share", "pairs that answer, loop, talk of the prompt …"),
    ("most_overlap", "overlap", "prompts near to an evaluation prompt"),
    ("most_duplicates", "duplicate_share", "near-duplicate prompts"),
    ("most_one_opening", "opening_share", "rewrites with the commonest opening"),
    ("most_words_added", "words_added_p90", "words added, 90th percentile"),
    ("least_topics", "topic_count", "topics"),
    ("most_one_topic", "topic_share", "pairs in the largest topic"),
    ("least_identity", "identity_share", "pairs to leave alone"),
    ("least_literals", "literal_share", "prompts with literals"),
    ("least_passages", "passage_share", "prompts with passages"),
    ("least_commands", "command_share", "prompts that command the rewriter"),
)


def judge(sums: Mapping[str, Any], thresholds: Thresholds) -> list[Verdict]:
    """Hold a set's sums against every bound that is on; a sum that is None was not measured."""
    verdicts = []
    for field, key, words in _BOUNDS:
        bound, seen = getattr(thresholds, field), sums[key]
        if bound is None or seen is None:
            continue
        most = field.startswith("most_")
        ok = seen <= bound if most else seen >= bound
        share = key.endswith("_share")
        verdicts.append(
            Verdict(words, _plain(seen, share), f"{'at most' if most else 'at least'} {_plain(bound, share)}", ok)
        )
    return verdicts


def _plain(value: float, share: bool) -> str:
    return f"{value:.1%}" if share else f"{value:g}"
