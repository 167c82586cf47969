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
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promptlift import template
from promptlift.errors import ArtifactError
from promptlift.records import Strength, write_atomically

FORMAT = 1
MANIFEST, ADAPTER, ADAPTER_CONFIG = "manifest.json", "adapter_model.safetensors", "adapter_config.json"
BUILTIN = Path(__file__).parent / "prompters"
DEFAULT = "tiny"
_AGAIN = "train or copy the prompter again"
_Kind = TypeVar("_Kind", bound=BaseModel)


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

    @property
    def spec(self) -> str:
        """What `training.base.load_base` finds it by, if nobody says where it is."""
        return "embedded" if self.kind == "embedded" else self.name


class GuideLimits(BaseModel):
    """What a guide of this prompter may hold, as far as measurements have shown it to do no harm."""

    model_config = ConfigDict(extra="forbid")

    qualities: bool = Field(default=True, description="what a good answer of the kind has, before what is asked")
    said_again: float = Field(
        default=0.0, ge=0.0, le=1.0, description="least share of the prompt's content words in it"
    )
    own_words: float = Field(
        default=0.0, ge=0.0, le=1.0, description="least share of its words that are the prompt's, in order"
    )


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
    guide: GuideLimits = GuideLimits()
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
        said: list[Any] = [self.manifest.threshold, self.manifest.proven]
        if self.manifest.guide != GuideLimits():
            said.append(self.manifest.guide.model_dump())
        limits = hashlib.sha256(json.dumps(said).encode()).hexdigest()
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


def read_manifest(folder: Path, kind: type[_Kind], newest: int, again: str, missing: str | None = None) -> _Kind:
    """The manifest of a prompter or of an adapter, with its format and fields checked.

    Args:
        folder: where it stands.
        kind: what it must hold.
        newest: the format up to which it can be read.
        again: how the user gets a whole one, for the error.
        missing: the error where there is none, if it is to be another than that it can't be read.

    Raises:
        ArtifactError: it is missing, damaged, or of a newer format.
    """
    file = folder / MANIFEST
    try:
        row = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if missing and isinstance(error, FileNotFoundError):
            raise ArtifactError(missing) from None
        raise ArtifactError(f"{file} can't be read: {error}; {again}") from None
    found = row.get("format") if isinstance(row, dict) else None
    if isinstance(found, int) and found > newest:
        raise ArtifactError(
            f"{file} has format {found}, this promptlift reads up to {newest}: pip install --upgrade promptlift"
        )
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise ArtifactError(f"{file}: {where}: {first['msg']}; {again}") from None


def check_hash(file: Path, files: dict[str, str], again: str) -> None:
    """Hold a file to the hash that the manifest's `files` has for its name.

    Raises:
        ArtifactError: it is missing, cut short or changed.
    """
    if not file.is_file():
        raise ArtifactError(f"{file} is missing; {again}")
    if (actual := sha256_of(file)) != files.get(file.name):
        raise ArtifactError(
            f"{file} is cut short or changed: SHA-256 is {actual[:12]}…, "
            f"{MANIFEST} says {str(files.get(file.name))[:12]}…; {again}"
        )


def load(path_or_name: str | Path | None = None) -> PrompterFolder:
    """Read and check a prompter folder.

    Raises:
        ArtifactError: the folder is missing, cut short, damaged, or of a newer format.
    """
    folder = locate(path_or_name)
    file = folder / MANIFEST
    missing = f"{folder} is no prompter folder: {MANIFEST} is missing"
    manifest = read_manifest(folder, Manifest, FORMAT, _AGAIN, missing)
    if manifest.template != template.VERSION:
        raise ArtifactError(
            f"{file} was trained with template {manifest.template}, this promptlift has {template.VERSION}: "
            "train again with: promptlift train"
        )
    for name in (ADAPTER, ADAPTER_CONFIG):
        if name not in manifest.files:
            raise ArtifactError(f"{file} names no hash for {name}; {_AGAIN}")
        check_hash(folder / name, manifest.files, _AGAIN)
    return PrompterFolder(folder, manifest)


def write_manifest(folder: Path, manifest: BaseModel) -> None:
    """Write manifest.json atomically: it comes last, so a folder without it is not finished."""
    write_atomically(folder / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode("utf-8"))
