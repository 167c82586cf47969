"""The adapters of a prompter: one folder for each target, found by name.

    targets/<slug>/manifest.json          which target, which trunk, how it was trained, what it was worth
    targets/<slug>/adapter.safetensors    low-rank: linear.A, linear.B, head.A, head.B, and head.ids where
                                          only some tokens are adapted: head.B has a row for each
                                          full: linear.weight, linear.bias, head.weight

They stand in the prompter's own folder, and for a prompter that comes with the package also in the
user's data folder, where `promptlift adapt` puts new ones; the user's own is taken first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from promptlift.artifacts import BUILTIN, MANIFEST, PrompterFolder, check_hash, read_manifest, write_manifest
from promptlift.errors import ArtifactError, InputError, TargetError
from promptlift.records import Strength

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

FORMAT = 1
TENSORS = "adapter.safetensors"
DATA_ENV = "PROMPTLIFT_DATA"
Form = Literal["low-rank", "full"]
Standing = Literal["unmeasured", "better", "worse"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,79}")
_ASIDE = ".old"
_AGAIN = "adapt again with: promptlift adapt"
_NEEDED: dict[Form, tuple[str, ...]] = {
    "low-rank": ("linear.A", "linear.B", "head.A", "head.B"),
    "full": ("linear.weight", "linear.bias", "head.weight"),
}


class AdapterManifest(BaseModel):
    """manifest.json of an adapter."""

    model_config = ConfigDict(extra="allow")

    format: int
    target: str
    form: Form
    rank: int = Field(description="r_h of the low-rank form; 0 for the full one")
    linear_rank: int = Field(description="r_w of the low-rank form; 0 for the full one")
    trunk: str = Field(description="hash over base, stage 1 LoRA and template: whose hidden states it was trained on")
    strengths: list[Strength]
    fixed: list[int] = Field(description="ids of the decision tokens, which it leaves alone")
    standing: Standing = Field("unmeasured", description="`worse`: not used unless asked for")
    why: str | None = Field(None, description="in one line, what the standing rests on")
    proven: list[str] = Field(default_factory=list, description="as in the prompter's manifest")
    pairs: int
    loss_before: float = Field(description="held-out nats a token, unadapted")
    loss_after: float
    created: str
    training: dict[str, Any] = {}
    data_sha256: str | None = None
    source: dict[str, Any] = {}
    files: dict[str, str]


@dataclass(frozen=True)
class Adapter:
    """A checked adapter folder."""

    path: Path
    manifest: AdapterManifest

    @property
    def version(self) -> str:
        """The target's name and the first digits of the tensors' hash."""
        return f"{self.manifest.target}@{self.manifest.files[TENSORS][:12]}"

    def tensors(self) -> dict[str, Matrix]:
        """Its matrices as float32, and the ids of the adapted tokens as they stand.

        Raises:
            ArtifactError: the file can't be read, or lacks one.
        """
        import numpy as np
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        file = self.path / TENSORS
        try:
            found = {
                key: tensor if key == "head.ids" else tensor.astype(np.float32)
                for key, tensor in load_file(file).items()
            }
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise ArtifactError(f"{file} can't be read: {error}; {_AGAIN}") from None
        if missing := [name for name in _NEEDED[self.manifest.form] if name not in found]:
            raise ArtifactError(f"{file} lacks {', '.join(missing)}; {_AGAIN}")
        return found


def fold(tensors: dict[str, Matrix], head: Matrix, fixed: list[int]) -> tuple[Matrix, Matrix]:
    """A low-rank adapter as one LoRA on the head: down (r_h + r_w, d) and up (v, r_h + r_w).

    ΔH = [B_h | H₀B_w + B_h(A_h B_w)] · [A_h ; A_w] (DESIGN, section 3), zero for tokens that it does not adapt.

    Args:
        tensors: as `Adapter.tensors` gives them.
        head: H₀, (v, d).
        fixed: rows that stay the base's.
    """
    import numpy as np

    linear_a, linear_b = tensors["linear.A"], tensors["linear.B"]
    head_a, head_b = tensors["head.A"], tensors["head.B"]
    rows = tensors["head.ids"].astype(np.int64) if "head.ids" in tensors else np.arange(len(head))
    up = np.zeros((len(head), len(head_a) + len(linear_a)), np.float32)
    up[rows] = np.concatenate([head_b, head[rows] @ linear_b + head_b @ (head_a @ linear_b)], axis=1)
    up[fixed] = 0
    return np.concatenate([head_a, linear_a]), up


def slug(target: str) -> str:
    """The folder's name of a target; names that no file system takes are written with dashes.

    Raises:
        InputError: the name holds something else than letters, digits and . _ : / @ + -
    """
    if not _NAME.fullmatch(target):
        raise InputError(
            f"target name {target!r}: letters, digits and . _ : / @ + - are allowed, up to 80, as in qwen2.5-coder:1.5b"
        )
    return re.sub(r"[^A-Za-z0-9._-]", "-", target)


def data_folder() -> Path:
    """Where what the user has made is kept: `$PROMPTLIFT_DATA`, or the platform's own place."""
    if given := os.environ.get(DATA_ENV):
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("promptlift"))


def homes(folder: PrompterFolder) -> list[Path]:
    """The folders that hold a prompter's adapters: new ones go to the first."""
    own = folder.path / "targets"
    if folder.path.parent == BUILTIN:
        return [data_folder() / "prompters" / folder.path.name / "targets", own]
    return [own]


def paths(folder: PrompterFolder) -> dict[str, Path]:
    """The adapters at hand by target, unread but for the name; a broken one is there under its folder's name."""
    found: dict[str, Path] = {}
    for home in reversed(homes(folder)):
        for file in sorted(home.glob(f"*/{MANIFEST}")):
            if _stands(file.parent):
                found[_target_of(file)] = file.parent
    return dict(sorted(found.items()))


def _stands(at: Path) -> bool:
    """False for a folder that is not finished, or that was put aside and has a successor."""
    if not at.name.startswith("."):
        return True
    return at.name.endswith(_ASIDE) and not at.with_name(at.name[1 : -len(_ASIDE)]).exists()


def _target_of(file: Path) -> str:
    return _named(file) or file.parent.name


def _named(file: Path) -> str | None:
    """The target that a manifest names; None where it can't be read."""
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["target"]
        return name if isinstance(name, str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find(folder: PrompterFolder, target: str) -> Adapter:
    """The adapter of a target, checked.

    Raises:
        TargetError: there is none.
        ArtifactError: it is damaged, newer, or belongs to another prompter.
    """
    known = paths(folder)
    at = known.get(target) or next((p for p in known.values() if p.name == target), None)
    if at is None:
        raise TargetError(
            f"{_none_for(folder, target, known)}; "
            f"make one with: promptlift adapt --target {target} --gguf MODEL.gguf (or --base-url URL)"
        )
    return load(at, folder)


def _none_for(folder: PrompterFolder, target: str, known: dict[str, Path]) -> str:
    return f"{folder.manifest.name} has no adapter for target {target!r}; it has: {', '.join(known) or 'none'}"


def load(path: Path, folder: PrompterFolder) -> Adapter:
    """Read and check an adapter's folder: format, fields, trunk, and the hash of the tensors."""
    manifest = read_manifest(path, AdapterManifest, FORMAT, _AGAIN)
    if manifest.trunk != folder.trunk:
        raise ArtifactError(
            f"{path} belongs to another prompter: its trunk is {manifest.trunk}, "
            f"{folder.manifest.name}'s is {folder.trunk}; {_AGAIN}"
        )
    check_hash(path / TENSORS, manifest.files, _AGAIN)
    return Adapter(path, manifest)


def place_of(folder: PrompterFolder, target: str) -> Path:
    """The folder that a target's new adapter goes to.

    Raises:
        InputError: the name can't be used, or another target has the same folder: a:b and a-b.
    """
    at = homes(folder)[0] / slug(target)
    other = _named(at / MANIFEST)
    if other is not None and other != target:
        raise InputError(
            f"target {target!r} would take the folder of target {other!r}, {at.name}: choose another name, or first "
            f"run: promptlift targets remove {other}"
        )
    return at


def place(folder: PrompterFolder, target: str, make: Path) -> Path:
    """Put a finished adapter folder in its place; killed at any moment, it leaves the old one or the new one.

    Args:
        folder: whose adapter it is.
        target: its name.
        make: the finished folder; it must stand beside its place, on the same file system.

    Raises:
        InputError: as `place_of`.
    """
    at = place_of(folder, target)
    old = at.with_name(f".{at.name}{_ASIDE}")
    if at.exists():
        shutil.rmtree(old, ignore_errors=True)
        at.rename(old)
    make.rename(at)
    shutil.rmtree(old, ignore_errors=True)
    return at


def mark(folder: PrompterFolder, target: str, standing: Standing, why: str | None) -> Adapter:
    """Write down what an adapter was measured to be worth; one that is worse than none is not used by default.

    Raises:
        TargetError, ArtifactError: as `find`; one that comes with the package can't be marked.
    """
    found = find(folder, target)
    if found.path.is_relative_to(BUILTIN) and not os.access(found.path, os.W_OK):
        raise TargetError(f"the adapter for {target!r} comes with the package and can't be marked: {found.path}")
    manifest = found.manifest.model_copy(update={"standing": standing, "why": why})
    write_manifest(found.path, manifest)
    return Adapter(found.path, manifest)


def remove(folder: PrompterFolder, target: str) -> Path:
    """Delete the user's adapter of a target; those that come with the package stay.

    Raises:
        TargetError: there is none, or it comes with the package.
    """
    known = paths(folder)
    if target not in known:
        raise TargetError(_none_for(folder, target, known))
    at = known[target]
    if at.is_relative_to(BUILTIN):
        raise TargetError(f"the adapter for {target!r} comes with the package and can't be removed: {at}")
    # what a killed `place` has put aside must not come back in its stead
    shutil.rmtree(at.with_name(f".{at.name}{_ASIDE}"), ignore_errors=True)
    gone = at.with_name(f".{at.name.strip('.')}.removed")
    shutil.rmtree(gone, ignore_errors=True)
    at.rename(gone)
    shutil.rmtree(gone)
    return at
