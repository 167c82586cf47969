"""A target's adapter as llama.cpp takes it: one LoRA on `output.weight`, folded and kept in the user's cache."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from promptlift.adapters import TENSORS, Adapter, fold
from promptlift.engines import inspect
from promptlift.engines.cache import KEY, stored
from promptlift.engines.lora import HEAD
from promptlift.errors import ArtifactError, EngineError
from promptlift.models import cache_folder

if TYPE_CHECKING:
    from promptlift.engines.write import Part

BUILD = 2
"""Raised when the same inputs would give another file."""
_ROWS = 4096


def adapter_gguf(adapter: Adapter, engine_file: Path, *, cache: Path | None = None) -> Path:
    """The adapter's GGUF for an engine-ready prompter, made if the cache doesn't hold it whole.

    Args:
        adapter: of the low-rank form.
        engine_file: the prompter's, whose head is H₀ (see `engines.build`).
        cache: instead of the user's; the file goes to its `adapters`.

    Raises:
        EngineError: the form is full, or the file can't be stored.
        ArtifactError: the tensors don't fit the head.
    """
    if adapter.manifest.form != "low-rank":
        raise EngineError(
            f"the adapter for {adapter.manifest.target!r} has the full form, which llama.cpp can't load: "
            "use --engine torch, or adapt again with --form low-rank"
        )
    engine = inspect.read(engine_file)
    parts = [str(BUILD), str(engine.get(KEY)), adapter.manifest.files[TENSORS], str(adapter.manifest.fixed)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    readable = re.sub(r"[^\w.-]+", "_", adapter.manifest.target).lstrip(".")[:60] or "target"
    make = partial(_make, adapter=adapter, engine=engine, key=key)
    return stored((cache or cache_folder()) / "adapters", f"{readable}-{key}.gguf", key, make)


def _make(path: Path, *, adapter: Adapter, engine: inspect.Gguf, key: str) -> str:
    from promptlift.engines.write import field, write_gguf

    tensors = adapter.tensors()
    head = head_weight(engine)
    v, d = head.shape
    if not _fits(tensors, adapter.manifest.fixed, v, d):
        raise ArtifactError(
            f"{adapter.path / TENSORS} does not fit the prompter's head of {v} tokens and {d} numbers; "
            "adapt again with: promptlift adapt"
        )
    down, up = fold(tensors, head, adapter.manifest.fixed)
    parts = [_part(".lora_a", down), _part(".lora_b", up)]
    fields = [
        engine.raw("general.architecture"),
        field("general.type", "adapter"),
        field("general.name", adapter.version),
        field("adapter.type", "lora"),
        field("adapter.lora.alpha", float(len(down))),
        field(KEY, key),
    ]
    return write_gguf(path, fields, parts)


def _fits(tensors: dict[str, npt.NDArray[Any]], fixed: list[int], v: int, d: int) -> bool:
    """True if an adapter can be folded into a head of (v, d)."""
    ids = tensors.get("head.ids", np.arange(v))
    r_h, r_w = (len(tensors[name]) if tensors[name].ndim else 0 for name in ("head.A", "linear.A"))
    wanted = {"head.A": (r_h, d), "linear.A": (r_w, d), "linear.B": (d, r_w), "head.B": (ids.size, r_h)}
    return (
        ids.ndim == 1
        and ids.dtype.kind in "iu"
        and all(tensors[name].shape == shape for name, shape in wanted.items())
        and all(0 <= int(token) < v for token in (*ids, *fixed))
    )


def _part(suffix: str, matrix: npt.NDArray[np.float32]) -> Part:
    """A factor in Q8_0 where its rows fill the blocks, else in fp16: a big vocabulary's is read for each token."""
    from gguf import quants
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    from promptlift.engines.write import Part

    kind = GGMLQuantizationType.Q8_0
    if matrix.shape[1] % GGML_QUANT_SIZES[kind][0]:
        kind = GGMLQuantizationType.F16
    data = quants.quantize(matrix, kind)
    return Part(HEAD + suffix, matrix.shape, kind, partial(iter, (data,)))


def head_weight(engine: inspect.Gguf) -> npt.NDArray[np.float32]:
    """H₀ of an engine-ready file, (v, d) float32."""
    from gguf import quants
    from gguf.constants import GGMLQuantizationType

    if HEAD not in engine.tensors:
        raise EngineError(f"{engine.path} has no head of its own that an adapter could be loaded for")
    kind = GGMLQuantizationType(engine.tensors[HEAD].kind)
    data: Any = engine.array(HEAD)
    shape = engine.tensors[HEAD].shape
    found = np.empty(shape, np.float32)
    for start in range(0, shape[0], _ROWS):
        found[start : start + _ROWS] = quants.dequantize(data[start : start + _ROWS], kind)
    return found
