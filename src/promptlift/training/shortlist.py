"""The tokens that a low-rank adapter adapts, and the mass of all others as a constant.

Most of a vocabulary gets next to no probability anywhere in a set of rewrites. So only the likeliest tokens,
and those that the pairs hold, are adapted; the others keep the base's logits, whose mass is computed once for
each position. The softmax then runs over a twelfth of the vocabulary, and the loss is still the exact one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from promptlift.training.features import Features
from promptlift.training.head import BaseHead
from promptlift.training.head_loss import chunk_of

LOOKED_AT = 2048
"""Positions, evenly spread, whose probabilities say which tokens have mass."""


@dataclass(frozen=True)
class BaseMass:
    """What the unadapted head says of each position.

    Attributes:
        losses: (n,) cross-entropy of the goal, in nats.
        ids: the shortlist's tokens, ascending; None: the whole vocabulary.
        tail: (n,) log of the mass outside of the shortlist, or None.
    """

    losses: Tensor
    ids: Tensor | None
    tail: Tensor | None


def base_mass(
    found: Features, size: int | None, training: Sequence[int], progress: Callable[[int, int], None] | None = None
) -> BaseMass:
    """One pass of the base's head over the features, kept beside them.

    Args:
        found: the features.
        size: of the shortlist, raised to the number of different goals where there are more; None: no shortlist.
        training: the rows whose goals and probabilities the shortlist is made from.
        progress: called with (positions done, positions in all).
    """
    vocabulary = len(found.head.weight)
    if size is not None and size >= vocabulary:
        size = None
    key = hashlib.sha256(json.dumps([2, size, [] if size is None else list(training)]).encode()).hexdigest()[:8]
    file = found.folder / f"mass-{key}.safetensors"
    if file.is_file():
        kept = load_file(file)
        return BaseMass(kept["losses"], kept.get("ids"), kept.get("tail"))
    ids = None if size is None else _likeliest(found, size, training)
    made = _pass(found, ids, progress)
    tensors = {"losses": made.losses} | ({} if ids is None or made.tail is None else {"ids": ids, "tail": made.tail})
    _save(tensors, file)
    return made


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    part = file.with_suffix(".tmp")
    save_file(tensors, part)
    part.replace(file)


@torch.no_grad()
def _likeliest(found: Features, size: int, training: Sequence[int]) -> Tensor:
    """All goals of the training rows, and of the other tokens those with the most probability there."""
    head = found.head
    at = found.positions(training)
    some = at[:: max(1, len(at) // LOOKED_AT)]
    mass = torch.zeros(len(head.weight))
    for part in torch.split(some, chunk_of(head.weight)):
        mass += base_logits(head, found.values[part]).softmax(dim=1).sum(dim=0)
    mass[found.goals[at]] = torch.inf
    wanted = max(size, int(mass.isinf().sum()))
    return mass.topk(min(wanted, len(mass))).indices.sort().values


@torch.no_grad()
def _pass(found: Features, ids: Tensor | None, progress: Callable[[int, int], None] | None) -> BaseMass:
    losses, tails = [], []
    n, step = len(found.goals), chunk_of(found.head.weight)
    for start in range(0, n, step):
        logits = base_logits(found.head, found.values[start : start + step])
        goals = found.goals[start : start + step]
        whole = logits.logsumexp(dim=1)
        losses.append(whole - logits.gather(1, goals[:, None])[:, 0])
        if ids is not None:
            short = logits[:, ids].logsumexp(dim=1)
            # log(exp(whole) - exp(short)); the floor keeps rounding from making it -inf or nan
            tails.append(whole + torch.log((-torch.expm1((short - whole).clamp(max=0))).clamp(min=1e-12)))
        if progress:
            progress(min(start + step, n), n)
    return BaseMass(torch.cat(losses), ids, torch.cat(tails) if tails else None)


def base_logits(head: BaseHead, values: Tensor) -> Tensor:
    """The unadapted logits (n, v), float32 or float64."""
    logits = values @ head.weight.T
    if head.bias is not None:
        logits = logits + head.bias
    return head.read(logits if logits.dtype == torch.float64 else logits.float())
