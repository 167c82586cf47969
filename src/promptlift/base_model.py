"""Load a base model into torch, to train it or to read with it: the embedded GGUF, any other GGUF, or transformers'."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.artifacts import BaseModelInfo, sha256_of
from promptlift.errors import ModelError
from promptlift.models import EMBEDDED, embedded_gguf

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LoadedBase:
    """A base model in memory, its tokenizer, and what the manifest says of it."""

    model: Any
    tokenizer: Any
    info: BaseModelInfo


def load_base(spec: str, dtype: torch.dtype, revision: str | None = None) -> LoadedBase:
    """Load a base.

    Args:
        spec: `embedded`, a path to a GGUF (dequantised here), a folder, or a hub id.
        dtype: of the weights in memory.
        revision: of a hub id; pinned in the manifest.

    Raises:
        ModelError: nothing that can be loaded stands there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    extra: dict[str, Any] = {}
    path = embedded_gguf() if spec == EMBEDDED else Path(spec).expanduser()
    try:
        if path.suffix == ".gguf":
            if not path.is_file():
                raise ModelError(f"base {spec!r}: there is no such file")
            where: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
            extra["quantization_config"] = GgufConfig(dequantize=True)  # packed weights can't be trained
            info = BaseModelInfo(
                kind="embedded" if spec == EMBEDDED else "gguf",
                name=EMBEDDED if spec == EMBEDDED else path.stem,
                sha256=sha256_of(path),
            )
        else:
            where = {"pretrained_model_name_or_path": spec, "revision": revision}
            info = BaseModelInfo(kind="transformers", name=spec, sha256=hash_of_weights(path), revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(**where, **extra, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"base {spec!r} can't be loaded: {reason}") from None
    if info.revision is None and info.kind == "transformers":
        info.revision = getattr(model.config, "_commit_hash", None)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.eos_token_id is None:
        raise ModelError(f"base {spec!r}: its tokenizer has no end-of-sequence token, and the prompter needs one")
    model.config.use_cache = False
    return LoadedBase(model, tokenizer, info)


def hash_of_weights(folder: Path) -> str | None:
    """SHA-256 over the hashes of the folder's safetensors files, or None for a hub id."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        return None
    return hashlib.sha256("".join(sha256_of(f) for f in files).encode()).hexdigest()
