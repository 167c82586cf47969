"""Where stage 1 works, and the prompter folder that it leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from promptlift.artifacts import ADAPTER, ADAPTER_CONFIG, Manifest, sha256_of, write_manifest


def work_folder(out: Path, identity: dict[str, Any], resume: bool) -> Path:
    """The folder of checkpoints beside `out`, named by what is trained on what."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    work = out.parent / f".{out.name}.training-{key}"
    if work.exists() and not resume:
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    return work


def write_folder(model: Any, out: Path, manifest: Manifest) -> None:
    """Write the LoRA in fp16 beside its manifest; an older prompter there is replaced at the end."""
    from safetensors.torch import load_file, save_file

    fresh = out.parent / f".{out.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.save_pretrained(fresh)
    for extra in fresh.iterdir():
        if extra.name not in (ADAPTER, ADAPTER_CONFIG):
            extra.unlink() if extra.is_file() else shutil.rmtree(extra)
    config = json.loads((fresh / ADAPTER_CONFIG).read_text())
    config["base_model_name_or_path"] = manifest.base.name
    (fresh / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = load_file(fresh / ADAPTER)
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, fresh / ADAPTER, metadata={"format": "pt"})
    manifest.files = {n: sha256_of(fresh / n) for n in (ADAPTER, ADAPTER_CONFIG)}
    write_manifest(fresh, manifest)
    old = out.parent / f".{out.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
