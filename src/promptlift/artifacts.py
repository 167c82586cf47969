"""The prompter folder: what stage 1 writes and the engine loads.

    manifest.json               format, base, template, training, calibration, metrics
    adapter_config.json         the stage 1 LoRA, in PEFT's own format
    adapter_model.safetensors

Loading checks the format, the template, and the hash of every file before anything
runs. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptlift import template
from promptlift.errors import ArtifactError
from promptlift.records import Strength, write_atomically

FORMAT = 1
MANIFEST, ADAPTER, ADAPTER_CONFIG = "manifest.json", "adapter_model.safetensors", "adapter_config.json"
BUILTIN = Path(__file__).parent / "prompters"
DEFAULT = "tiny"


class HubFile(BaseModel):
    """A file of the Hugging Face hub."""

    repo: str
    file: str


class BaseModelInfo(BaseModel):
    """Which model the LoRA belongs to."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["embedded", "gguf", "transformers"]
    name: str
    sha256: str | None = Field(None, description="of the GGUF, or of the safetensors files in order")
    revision: str | None = None
    hub: HubFile | None = None
    """Where the GGUF can be fetched."""


class Manifest(BaseModel):
    """manifest.json of a prompter folder."""

    model_config = ConfigDict(extra="allow")

    format: int
    name: str
    base: BaseModelInfo
    template: int
    strengths: list[Strength]
    languages: list[str]
    threshold: float = Field(ge=0.0, le=1.0, description="the least score at which a prompt is changed")
    proven: list[str] = Field(
        default_factory=list,
        description="patterns of the advice that measurements have not shown to harm; empty: all advice is given",
    )
    training: dict[str, Any] = {}
    data_sha256: str | None = None
    metrics: dict[str, Any] = {}
    licence: str | None = None
    files: dict[str, str] = Field(description="file name: SHA-256")


@dataclass(frozen=True)
class PrompterFolder:
    """A checked prompter folder."""

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """Name and the first digits of the LoRA's hash: changes when the prompter, or what it may say, does."""
        limits = hashlib.sha256(json.dumps([self.manifest.threshold, self.manifest.proven]).encode()).hexdigest()
        return f"{self.manifest.name}@{self.manifest.files[ADAPTER][:12]}-{limits[:4]}"

    @property
    def trunk(self) -> str:
        """16 hex digits that change when the prompter's hidden states do: base, LoRA, template."""
        info = self.manifest.base
        parts = [info.sha256 or f"{info.name}@{info.revision}", str(self.manifest.template)]
        parts += [self.manifest.files[ADAPTER], self.manifest.files[ADAPTER_CONFIG]]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def builtin_names() -> list[str]:
    """The prompters that come with the package."""
    return sorted(p.parent.name for p in BUILTIN.glob(f"*/{MANIFEST}"))


def locate(path_or_name: str | Path | None) -> Path:
    """The folder of a prompter, from a path, the name of a built-in one, or None for the default.

    Raises:
        ArtifactError: there is no such prompter.
    """
    wanted = str(path_or_name or DEFAULT)
    if wanted in builtin_names():
        return BUILTIN / wanted
    if Path(wanted).is_dir():
        return Path(wanted)
    raise ArtifactError(
        f"no prompter {wanted!r}: neither a folder nor one of {', '.join(builtin_names()) or 'none built in'}; "
        "make one with: promptlift train PAIRS.jsonl --out FOLDER"
    )


def load(path_or_name: str | Path | None = None) -> PrompterFolder:
    """Read and check a prompter folder.

    Raises:
        ArtifactError: the folder is missing, cut short, damaged, or of a newer format.
    """
    folder = locate(path_or_name)
    file = folder / MANIFEST
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is no prompter folder: {MANIFEST} is missing") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} can't be read: {error}; train or copy the prompter again") from None
    found = row.get("format") if isinstance(row, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise ArtifactError(
            f"{file} has format {found}, this promptlift reads up to {FORMAT}: pip install --upgrade promptlift"
        )
    try:
        manifest = Manifest.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise ArtifactError(f"{file}: {where}: {first['msg']}; train or copy the prompter again") from None
    if manifest.template != template.VERSION:
        raise ArtifactError(
            f"{file} was trained with template {manifest.template}, this promptlift has {template.VERSION}: "
            "train again with: promptlift train"
        )
    for name in (ADAPTER, ADAPTER_CONFIG):
        if name not in manifest.files:
            raise ArtifactError(f"{file} names no hash for {name}; train or copy the prompter again")
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder / name} is missing; train or copy the prompter again")
        if (actual := sha256_of(folder / name)) != manifest.files[name]:
            raise ArtifactError(
                f"{folder / name} is cut short or changed: SHA-256 is {actual[:12]}…, "
                f"{MANIFEST} says {manifest.files[name][:12]}…; train or copy the prompter again"
            )
    return PrompterFolder(folder, manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json atomically: it comes last, so a folder without it is not finished."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / MANIFEST, text.encode("utf-8"))
