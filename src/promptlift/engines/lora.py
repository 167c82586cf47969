"""A prompter's LoRA in the terms of its base's GGUF: names, row order, scale.

PEFT trains on the layout of transformers. A GGUF names its tensors otherwise, and for
the llama architecture it holds the rows of Q and K in another order, because llama.cpp
rotates neighbouring rows where transformers rotates the two halves of a head.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from promptlift.artifacts import ADAPTER, ADAPTER_CONFIG, PrompterFolder
from promptlift.engines.inspect import Gguf, Tensor, architecture_of, read
from promptlift.errors import EngineError

HEAD, EMBEDDING = "output.weight", "token_embd.weight"
_PERMUTED = frozenset({"llama"})
_STRAIGHT = frozenset({"gemma", "gemma2", "gemma3", "phi2", "phi3", "qwen2", "qwen3"})
_PREFIX, _A, _B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
# What else PEFT's LoRA can do, none of which is a plain W + s·B·A: the option and its harmless values.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "use_dora": (False, None),
    "fan_in_fan_out": (False, None),
    "modules_to_save": (None, []),
    "layer_replication": (None, []),
    "alpha_pattern": (None, {}),
}


@dataclass(frozen=True)
class Update:
    """What a LoRA adds to one tensor: scale · b @ a.

    `a` is (rank, row length), `b` is (rows, rank), both float32, rows in the GGUF's order.
    """

    a: npt.NDArray[np.float32]
    b: npt.NDArray[np.float32]
    scale: float

    def rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """The addition to the rows from `start` to `stop`: (stop - start, row length)."""
        # Not `@`: on a busy machine BLAS waits for its own threads longer than this whole product
        # takes (15 ms against 1.4 ms), and its sums depend on how many threads there are.
        product: npt.NDArray[np.float32] = np.einsum("or,ri->oi", self.b[start:stop], self.a)
        return product * np.float32(self.scale)


def can_untie(base: Gguf) -> bool:
    """True if the base has no head of its own and llama.cpp would take one for its architecture."""
    if HEAD in base.tensors or EMBEDDING not in base.tensors:
        return False
    names = _names(base)
    return names is not None and names.get_name("lm_head") is not None


def updates(folder: PrompterFolder, base: Gguf) -> dict[str, Update]:
    """A prompter's LoRA, by the names of the base's tensors.

    Raises:
        EngineError: the LoRA does more than W + s·B·A, or doesn't fit this base.
    """
    config, tensors = _stored(folder)
    architecture = architecture_of(base)
    if architecture not in _PERMUTED | _STRAIGHT:
        known = ", ".join(sorted(_PERMUTED | _STRAIGHT))
        raise EngineError(f"{base.path} is of architecture {architecture!r}; a LoRA can be merged into {known}")
    names, untied = _names(base), can_untie(base)
    found: dict[str, Update] = {}
    for key in sorted(k for k in tensors if k.endswith(_A)):
        module = key.removeprefix(_PREFIX).removesuffix(_A)
        a, b = tensors[key], tensors[key.removesuffix(_A) + _B]
        stem = names.get_name(module) if names else None
        name = f"{stem}.weight" if stem else None
        tensor = base.tensors.get(EMBEDDING if name == HEAD and untied else name or "")
        if name is None or tensor is None:
            raise EngineError(
                f"the LoRA of {folder.path} changes {module}, which {base.path.name} ({architecture}) holds under "
                f"no name of its own ({name or 'unknown'}): fused, or another base; train on other modules"
            )
        _check_shapes(module, a, b, tensor)
        if architecture in _PERMUTED:
            b = _permuted(b, module, base)
        scale = config["lora_alpha"] / (math.sqrt(len(a)) if config.get("use_rslora") else len(a))
        found[name] = Update(a, b, scale)
    return found


def lora_gguf(folder: PrompterFolder, base: Path, out: Path) -> Path:
    """Write a prompter's LoRA as a llama.cpp adapter in float32, to be loaded beside its base.

    Args:
        folder: the prompter.
        base: its base's GGUF; for a LoRA on a tied head, one with the head untied.
        out: the file to write.

    Raises:
        EngineError: the LoRA doesn't fit the base, or `out` can't be written.
        ModelError: the base is no whole GGUF.
    """
    from gguf.constants import GGMLQuantizationType

    from promptlift.engines.write import Part, field, write_gguf

    opened = read(base)
    found = updates(folder, opened)
    if HEAD in found and HEAD not in opened.tensors:
        raise EngineError(f"{base} has no {HEAD} that a LoRA could be loaded for; use a GGUF with its head untied")
    alpha = float(_stored(folder)[0]["lora_alpha"])
    parts = []
    for name, update in sorted(found.items()):
        # llama.cpp scales by alpha / rank; any other scale (rsLoRA's) goes into B.
        b = update.b * np.float32(update.scale * len(update.a) / alpha)
        for suffix, matrix in ((".lora_a", update.a), (".lora_b", b)):
            parts.append(Part(name + suffix, matrix.shape, GGMLQuantizationType.F32, partial(iter, (matrix,))))
    fields = [
        field("general.architecture", architecture_of(opened)),
        field("general.type", "adapter"),
        field("general.name", folder.version),
        field("adapter.type", "lora"),
        field("adapter.lora.alpha", alpha),
    ]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_gguf(out, fields, parts)
    except OSError as error:
        raise EngineError(f"the adapter can't be written to {out}: {error.strerror or error}") from None
    return out


def _stored(folder: PrompterFolder) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """PEFT's settings, and its tensors as float32."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder.path / ADAPTER
    try:
        config: dict[str, Any] = json.loads((folder.path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        loaded = load_file(file)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise EngineError(f"the LoRA in {folder.path} can't be read (fp16 or fp32 is needed): {error}") from None
    for option, harmless in _PLAIN.items():
        if option in config and config[option] not in harmless:
            raise EngineError(f"{folder.path / ADAPTER_CONFIG}: {option}={config[option]!r:.60} can't be merged")
    if not isinstance(config.get("lora_alpha"), int | float) or not config["lora_alpha"] > 0:
        raise EngineError(f"{folder.path / ADAPTER_CONFIG}: lora_alpha is {config.get('lora_alpha')!r:.60}")
    for key, tensor in loaded.items():
        twin = key.removesuffix(_A) + _B if key.endswith(_A) else key.removesuffix(_B) + _A
        if twin not in loaded or tensor.ndim != 2:
            raise EngineError(f"{file}: tensor {key} is no half of a LoRA")
        if not np.isfinite(tensor).all():
            raise EngineError(f"{file}: tensor {key} holds numbers that are not finite; train again")
    if not loaded:
        raise EngineError(f"{file} holds no LoRA")
    return config, {key: tensor.astype(np.float32) for key, tensor in loaded.items()}


def _names(base: Gguf) -> Any:
    """gguf's map from transformers' names to the GGUF's, or None for an unknown architecture."""
    from gguf import get_tensor_name_map
    from gguf.constants import MODEL_ARCH_NAMES

    arch = next((a for a, name in MODEL_ARCH_NAMES.items() if name == architecture_of(base)), None)
    return get_tensor_name_map(arch, _whole(base, "block_count")) if arch is not None else None


def _check_shapes(module: str, a: npt.NDArray[Any], b: npt.NDArray[Any], tensor: Tensor) -> None:
    if (b.shape[0], a.shape[1]) != tensor.shape or a.shape[0] != b.shape[1]:
        raise EngineError(
            f"the LoRA of {module} is {b.shape} @ {a.shape}, the base's {tensor.name} is {tensor.shape}: another base"
        )


def _permuted(b: npt.NDArray[np.float32], module: str, base: Gguf) -> npt.NDArray[np.float32]:
    """The rows of Q's or K's B in the GGUF's order, as llama.cpp's converter orders W."""
    if not module.endswith((".q_proj", ".k_proj")):
        return b
    heads = _whole(base, "attention.head_count")
    if module.endswith(".k_proj"):
        heads = _whole(base, "attention.head_count_kv", heads)
    if len(b) % (2 * heads):
        raise EngineError(f"the LoRA of {module} has {len(b)} rows, which {heads} heads can't share")
    # (head, half, row of the half, rank) -> (head, row of the half, half, rank)
    return np.ascontiguousarray(b.reshape(heads, 2, -1, b.shape[1]).swapaxes(1, 2).reshape(b.shape))


def _whole(base: Gguf, key: str, default: int | None = None) -> int:
    value = base.get(f"{architecture_of(base)}.{key}", default)
    if not isinstance(value, int) or value < 1:
        raise EngineError(f"{base.path} says {value!r:.60} for {key}; a whole number is needed")
    return value
