"""The engine-ready GGUF of a prompter: its base with the LoRA merged and the head untied.

It is made at first use, some two seconds for the embedded base, and kept in the user's
cache. Merged, llama.cpp runs no LoRA of its own for stage 1, and an untied head can take
the LoRA of a target without changing the embedding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.artifacts import ADAPTER, ADAPTER_CONFIG, PrompterFolder, sha256_of
from promptlift.engines import inspect
from promptlift.engines.cache import KEY, stored
from promptlift.errors import EngineError, InputError, ModelError
from promptlift.models import cache_folder

if TYPE_CHECKING:
    import numpy.typing as npt
    from gguf.constants import GGMLQuantizationType

    from promptlift.engines.lora import Update
    from promptlift.engines.write import Part

BUILD = 1
"""Raised when the same inputs would give another file."""
QUANTIZATIONS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32}
"""What a file can be built in: llama.cpp's number for general.file_type."""
_NOT_COPIED = {"general.file_type", "general.alignment", "general.quantization_version"}
_PIECE = 1 << 20  # weights merged at a time: memory stays small whatever the tensor's size


def engine_gguf(
    folder: PrompterFolder,
    base: Path,
    *,
    cache: Path | None = None,
    quantization: str = "Q8_0",
    progress: Callable[[float], None] | None = None,
) -> Path:
    """The engine-ready GGUF of a prompter, built if the cache doesn't hold it whole.

    Norms and other vectors stay F32; a tensor whose rows don't fill the quantization's
    blocks becomes F16. Where the cache can't be written to, a folder of the user's own in
    the system's temporary folder serves instead.

    Args:
        folder: the prompter.
        base: its base's GGUF.
        cache: instead of `models.cache_folder()`; the file goes to its `engines`.
        quantization: one of QUANTIZATIONS.
        progress: called with the share that is written, up to 1.0; never if nothing is built.

    Raises:
        InputError: the quantization is unknown.
        ModelError: the base is no whole GGUF, or not the prompter's.
        EngineError: the LoRA doesn't fit the base, or the file can't be stored.
    """
    if quantization not in QUANTIZATIONS:
        raise InputError(f"quantization {quantization!r} is unknown; use one of {', '.join(QUANTIZATIONS)}")
    key = _key(folder, base, quantization)
    # The name comes from a manifest that anyone may have written: no separators, no leading dot.
    readable = re.sub(r"[^\w.-]+", "_", folder.manifest.name).lstrip(".")[:60] or "prompter"
    make = partial(_make, folder=folder, base=base, quantization=quantization, key=key, progress=progress)
    return stored((cache or cache_folder()) / "engines", f"{readable}-{key}.gguf", key, make)


def _key(folder: PrompterFolder, base: Path, quantization: str) -> str:
    """16 hex digits over all that the file is made from."""
    parts = [str(BUILD), quantization, _base_hash(folder) or _hash_of(base)]
    parts += [folder.manifest.files[ADAPTER], folder.manifest.files[ADAPTER_CONFIG]]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _base_hash(folder: PrompterFolder) -> str | None:
    """The base's hash as the manifest has it, if it is a GGUF's; the base is held to it when it is read."""
    info = folder.manifest.base
    return info.sha256 if info.kind != "transformers" else None


def _hash_of(base: Path) -> str:
    try:
        return sha256_of(base)
    except OSError as error:
        raise ModelError(f"base {str(base)!r} can't be read: {error.strerror or error}") from None


def _make(
    path: Path,
    *,
    folder: PrompterFolder,
    base: Path,
    quantization: str,
    key: str,
    progress: Callable[[float], None] | None,
) -> str:
    """Write the file; its SHA-256."""
    from gguf.constants import GGML_QUANT_VERSION, GGMLQuantizationType

    from promptlift.engines.lora import EMBEDDING, HEAD, can_untie, updates
    from promptlift.engines.write import field, write_gguf

    opened = inspect.read(base)
    expected, found = _base_hash(folder), _hash_of(base)
    if expected and expected != found:
        raise ModelError(f"{base} is another base: SHA-256 is {found[:12]}…, the prompter needs {expected[:12]}…")
    if opened.get("split.count", 1) != 1:
        raise ModelError(f"{base} is one part of several; join them with: llama-gguf-split --merge")
    lora = updates(folder, opened)
    wanted = GGMLQuantizationType[quantization]
    parts = [_part(opened, name, name, wanted, lora.get(name)) for name in opened.tensors]
    if can_untie(opened):
        parts.append(_part(opened, EMBEDDING, HEAD, wanted, lora.get(HEAD)))
    fields = [
        opened.raw("general.architecture"),
        field(KEY, key),
        field("promptlift.prompter", folder.version),
        field("promptlift.base_sha256", found),
        field("promptlift.build", BUILD),
        field("general.file_type", QUANTIZATIONS[quantization]),
        field("general.quantization_version", GGML_QUANT_VERSION),
    ]
    skipped = _NOT_COPIED | {"general.architecture"}
    fields += [opened.raw(k) for k in opened.fields if k not in skipped and not k.startswith(("promptlift.", "split."))]
    return write_gguf(path, fields, parts, progress)


def _part(base: inspect.Gguf, source: str, name: str, wanted: GGMLQuantizationType, update: Update | None) -> Part:
    """A tensor of the new file, made from the base's tensor `source`."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    from promptlift.engines.write import Part

    tensor = base.tensors[source]
    given = GGMLQuantizationType(tensor.kind)
    if given.name.startswith("I") and given.name[1:].isdigit():
        kind = given  # whole numbers, such as a table of indices
    elif len(tensor.shape) == 1:
        kind = GGMLQuantizationType.F32
    elif tensor.shape[-1] % GGML_QUANT_SIZES[wanted][0]:
        kind = GGMLQuantizationType.F16
    else:
        kind = wanted
    return Part(name, tensor.shape, kind, partial(_pieces, base.array(source), given, kind, update))


def _pieces(
    data: npt.NDArray[Any], given: GGMLQuantizationType, kind: GGMLQuantizationType, update: Update | None
) -> Iterator[npt.NDArray[Any]]:
    """A tensor's bytes, some rows at a time: dequantised, merged, quantised.

    One thread: gguf's numpy works on 16 rows at a time and holds the GIL in between, so
    that two threads were slower than one (2.0 s against 1.7 s for the embedded base).
    """
    from gguf import quants

    rows = data.reshape(-1, data.shape[-1])
    step = max(1, _PIECE // rows.shape[1])
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        if update is None and given == kind:
            yield piece
            continue
        try:
            weights = quants.dequantize(piece, given)
        except NotImplementedError:
            raise EngineError(f"the base is quantised to {given.name}, no type to merge into; use Q8_0") from None
        if update is not None:
            weights = weights + update.rows(start, start + len(piece))
        yield quants.quantize(weights, kind)
