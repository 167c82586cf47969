"""The trunk's hidden states at the positions that stage 2 learns from, computed once and kept on disk.

    <cache>/features/<key>/
        features.bin        (n, d) in bfloat16 (or the trunk's own dtype), memory-mapped
        index.safetensors   goals (n,) int32: the token that comes next; offsets (rows + 1,)
        head.safetensors    H₀, and its bias
        state.json          what it is, and how many rows are done: a killed run goes on from there

The key is a hash over trunk, dtype, template, pairs and lengths: a later run on the same pairs needs
neither the trunk nor the tokenizer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from promptlift.errors import InputError
from promptlift.models import cache_folder
from promptlift.records import Pair, Strength, write_atomically
from promptlift.training.head import BaseHead
from promptlift.training.layout import hash_pairs, written_tokens
from promptlift.training.trunk import Trunk

FORMAT = 1
BATCH, PAD_TO, EVERY = 8, 64, 32
"""Rows at a time, what their lengths are padded to a multiple of, and batches between two saves."""


@dataclass(frozen=True)
class Features:
    """Hidden states and what comes next.

    Attributes:
        folder: where they are kept.
        values: (n, d), memory-mapped.
        goals: (n,) token ids.
        offsets: row k is values[offsets[k] : offsets[k + 1]].
        rows: which (pair id, strength) each row is.
        head: of the trunk.
    """

    folder: Path
    values: Tensor
    goals: Tensor
    offsets: list[int]
    rows: list[tuple[str, Strength]]
    head: BaseHead

    def positions(self, rows: Sequence[int]) -> Tensor:
        """Where the values and goals of some rows stand, one row after the other."""
        return torch.cat([torch.arange(self.offsets[k], self.offsets[k + 1]) for k in rows])


@dataclass(frozen=True)
class FeatureRequest:
    """What is to be computed: of which trunk, for which pairs and sides, up to which length."""

    trunk: str
    pairs: Sequence[Pair]
    strengths: tuple[Strength, ...]
    max_tokens: int = 512
    dtype: str = "bfloat16"

    @property
    def key(self) -> str:
        """20 hex digits over all that the features depend on."""
        parts = [FORMAT, self.trunk, self.dtype, self.max_tokens, self.strengths, hash_pairs(self.pairs)]
        return sha256(json.dumps([*parts, [p.id for p in self.pairs]]).encode()).hexdigest()[:20]


def features(
    request: FeatureRequest,
    load: Callable[[], Trunk],
    progress: Callable[[int, int], None] | None = None,
    cache: Path | None = None,
) -> Features:
    """The features of a set of pairs, from the cache or computed.

    Args:
        request: what is wanted.
        load: gives the trunk; only called if something has to be computed.
        progress: called with (rows done, rows in all) while the trunk runs.
        cache: instead of the user's.

    Raises:
        InputError: no pair has anything to learn, or none fits into `max_tokens`.
    """
    folder = features_folder(cache) / request.key
    if _state(folder).get("whole") is not True:
        _compute(folder, request, load(), progress)
    return read(folder)


def features_folder(cache: Path | None = None) -> Path:
    """Where features are kept; each folder in it may be deleted."""
    return (cache or cache_folder()) / "features"


def read(folder: Path) -> Features:
    """Open features that are whole; the hidden states stay on the disk until they are used."""
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    index, head = load_file(folder / "index.safetensors"), load_file(folder / "head.safetensors")
    n, d = state["n"], state["d"]
    flat = torch.from_file(str(folder / "features.bin"), shared=False, size=n * d, dtype=getattr(torch, state["dtype"]))
    return Features(
        folder=folder,
        values=flat.view(n, d),
        goals=index["goals"].long(),
        offsets=index["offsets"].tolist(),
        rows=[(row[0], row[1]) for row in state["rows"]],
        head=BaseHead(head["weight"], head.get("bias"), state["softcap"], state["scale"], tuple(state["fixed"])),
    )


def _state(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return {}


def _compute(folder: Path, request: FeatureRequest, trunk: Trunk, progress: Callable[[int, int], None] | None) -> None:
    sequences, rows = _sequences(request, trunk.tokenizer)
    lengths = [len(ids) - start for ids, start in sequences]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n, d = int(offsets[-1]), trunk.head.weight.shape[1]
    state: dict[str, Any] = {
        "format": FORMAT, "trunk": request.trunk, "n": n, "d": d, "dtype": request.dtype, "rows": rows,
        "softcap": trunk.head.softcap, "scale": trunk.head.scale, "fixed": list(trunk.head.fixed),
        "pairs": len(request.pairs), "whole": False, "done": 0,
    }  # fmt: skip
    before = _state(folder)
    if {**before, "done": 0} == json.loads(json.dumps(state)) and (folder / "features.bin").is_file():
        state["done"] = before["done"]
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        head = {"weight": trunk.head.weight} | ({} if trunk.head.bias is None else {"bias": trunk.head.bias})
        save_file({k: v.contiguous() for k, v in head.items()}, folder / "head.safetensors")
        goals = [token for ids, start in sequences for token in ids[start:]]
        save_file(
            {"goals": torch.tensor(goals, dtype=torch.int32), "offsets": torch.from_numpy(offsets)},
            folder / "index.safetensors",
        )
        with (folder / "features.bin").open("wb") as handle:
            handle.truncate(n * d * trunk.head.weight.element_size())
        _save_state(folder, state)
    values = torch.from_file(
        str(folder / "features.bin"), shared=True, size=n * d, dtype=getattr(torch, request.dtype)
    ).view(n, d)
    order = sorted(range(len(sequences)), key=lambda k: (len(sequences[k][0]), k))
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    for number, batch in enumerate(batches):
        if number < state["done"]:
            continue
        for k, hidden in zip(batch, hidden_states(trunk, [sequences[k] for k in batch]), strict=True):
            values[offsets[k] : offsets[k + 1]] = hidden
        if progress:
            progress(min((number + 1) * BATCH, len(order)), len(order))
        if (number + 1) % EVERY == 0:
            state["done"] = number + 1
            _save_state(folder, state)
    _save_state(folder, state | {"whole": True, "done": len(batches)})


def _save_state(folder: Path, state: dict[str, Any]) -> None:
    write_atomically(folder / "state.json", json.dumps(state).encode())


def _sequences(
    request: FeatureRequest, tokenizer: Any
) -> tuple[list[tuple[list[int], int]], list[tuple[str, Strength]]]:
    """The sequences that fit, each with the place where writing begins, and what they are."""
    found, rows = [], []
    for pair in request.pairs:
        for strength in () if pair.is_identity else request.strengths:
            ids, start = written_tokens(tokenizer, pair, strength)
            if len(ids) <= request.max_tokens:
                found.append((ids, start))
                rows.append((pair.id, strength))
    if not found:
        raise InputError(
            f"none of the {len(request.pairs)} pairs has a change to learn that fits into {request.max_tokens} tokens"
        )
    return found, rows


def hidden_states(trunk: Trunk, batch: Sequence[tuple[list[int], int]]) -> list[Tensor]:
    """For each (ids, start) the hidden states that predict ids[start:]: (len(ids) - start, d)."""
    longest = -(-max(len(ids) for ids, _ in batch) // PAD_TO) * PAD_TO
    pad = trunk.tokenizer.pad_token_id or 0
    padded = torch.full((len(batch), longest), pad, dtype=torch.long)
    mask = torch.zeros_like(padded)
    for k, (ids, _) in enumerate(batch):
        padded[k, : len(ids)] = torch.tensor(ids)
        mask[k, : len(ids)] = 1
    device = trunk.head.weight.device
    hidden = trunk.hidden(padded.to(device), mask.to(device)).cpu()
    return [hidden[k, start - 1 : len(ids) - 1] for k, (ids, start) in enumerate(batch)]
