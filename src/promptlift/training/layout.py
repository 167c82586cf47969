"""How pairs are laid out as training sequences of stage 1, and the settings that say so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptlift import template
from promptlift.errors import InputError
from promptlift.records import Pair, Strength

IGNORED = -100
"""The label of positions that do not count (PyTorch's `ignore_index`)."""


@dataclass(frozen=True)
class StageOneSettings:
    """Settings of stage 1; the defaults are the paper's where it gives any.

    `rank`, `epochs`: the paper's section 3. `targets`: module names that get a LoRA;
    "all-linear" takes every linear layer but the head. `decision_weight`: how many
    tokens the decision counts for in the loss. `least_changed`: the share of validation
    pairs to be changed that the calibrated threshold must still change.
    """

    strengths: tuple[Strength, ...] = ("light",)
    rank: int = 32
    alpha: int | None = None
    targets: tuple[str, ...] = ("all-linear",)
    dropout: float = 0.05
    epochs: float = 10.0
    learning_rate: float = 2e-4
    batch_size: int = 8
    max_tokens: int = 512
    validation: float = 0.1
    decision_weight: float = 4.0
    least_changed: float = 0.92
    seed: int = 0
    dtype: str = "bfloat16"


def tokens_of(tokenizer: Any, pair: Pair, strength: Strength) -> dict[str, list[int]]:
    """One training sequence: `input_ids` and `labels`, the prompt's labels ignored.

    The parts are tokenized one by one, as the engine sees them when it serves.
    """
    question = tokenizer(template.question(pair.prompt)).input_ids
    answer: list[int] = []
    completion = template.completion(pair, strength)
    if completion == template.NO:
        answer += tokenizer(template.NO, add_special_tokens=False).input_ids
    else:
        opening = template.opening(strength)
        written = completion[len(template.YES + opening) :]
        for part in (template.YES, opening, written):
            answer += tokenizer(part, add_special_tokens=False).input_ids
    answer.append(tokenizer.eos_token_id)
    return {"input_ids": question + answer, "labels": [IGNORED] * len(question) + answer}


def written_tokens(tokenizer: Any, pair: Pair, strength: Strength) -> tuple[list[int], int]:
    """A sequence of stage 2, and where what the prompter writes begins in it.

    The decision and the opening are forced when it serves, so they are given here, and only the
    tokens from that place on are learnt.

    Raises:
        ValueError: the pair has nothing to write.
    """
    if pair.is_identity:
        raise ValueError(f"pair {pair.id} leaves the prompt as it is")
    row = tokens_of(tokenizer, pair, strength)["input_ids"]
    given = list(tokenizer(template.question(pair.prompt)).input_ids)
    for part in (template.YES, template.opening(strength)):
        given += tokenizer(part, add_special_tokens=False).input_ids
    return row, len(given)


def rows_of(tokenizer: Any, pairs: Sequence[Pair], settings: StageOneSettings) -> list[dict[str, list[int]]]:
    """The sequences of all pairs in all strengths; what is longer than `max_tokens` is left out."""
    rows = [tokens_of(tokenizer, pair, strength) for pair in pairs for strength in _strengths(pair, settings)]
    return [row for row in rows if len(row["input_ids"]) <= settings.max_tokens]


def check_sides(pairs: Sequence[Pair], strengths: tuple[Strength, ...]) -> None:
    """Raise InputError for a pair whose side of one of the strengths can't be learnt."""
    for pair in pairs:
        for strength in strengths:
            try:
                template.completion(pair, strength)
            except ValueError as error:
                raise InputError(f"{error}; correct the pair, or train another side with --strengths") from None


def hash_pairs(pairs: Sequence[Pair]) -> str:
    """SHA-256 over the texts that training sees, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        texts = [pair.prompt, pair.optimized, pair.light]
        # these came later: without them, the hash is what it always was
        later = [side for side in (pair.optimized_content, pair.optimized_guide) if side]
        digest.update(json.dumps(texts + later).encode())
    return digest.hexdigest()


def _strengths(pair: Pair, settings: StageOneSettings) -> tuple[Strength, ...]:
    """An identity pair looks the same in every strength: one sequence is enough."""
    return settings.strengths[:1] if pair.is_identity else settings.strengths
