"""Write a GGUF tensor by tensor, whole or not at all.

`gguf.GGUFWriter` wants every metadata value decoded and holds all tensors in memory;
here metadata of another GGUF is copied as it stands, and tensors come in pieces.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from promptlift.engines.inspect import ALIGNMENT, SCALARS, STRING

TEMPORARY = ".tmp"
"""How the names of unfinished files end."""
_U32, _F32 = 4, 6


@dataclass(frozen=True)
class Part:
    """A tensor to be written: `shape` as numpy writes it, `pieces` gives its bytes in order."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    pieces: Callable[[], Iterable[npt.NDArray[Any]]]

    @property
    def nbytes(self) -> int:
        """Its size in the file, in bytes."""
        block: int
        size: int
        block, size = GGML_QUANT_SIZES[self.kind]
        return prod(self.shape) // block * size


def field(key: str, value: str | int | float) -> bytes:
    """A metadata key and its value, as a GGUF holds them: a string, a u32 or an f32."""
    if isinstance(value, str):
        return _string(key) + struct.pack("<I", STRING) + _string(value)
    kind = _F32 if isinstance(value, float) else _U32
    return _string(key) + struct.pack("<I", kind) + struct.pack(SCALARS[kind], value)


def write_gguf(
    path: Path, fields: Sequence[bytes], parts: Sequence[Part], progress: Callable[[float], None] | None = None
) -> str:
    """Write a GGUF to a temporary name in `path`'s folder, then rename it into place.

    Args:
        path: of the file; its folder must exist.
        fields: see `field`; the caller names no key twice.
        parts: the tensors, in the file's order.
        progress: called with the share that is written, up to 1.0.

    Returns:
        The SHA-256 of the file, as hex digits.

    Raises:
        OSError: it can't be stored; nothing is left behind.
    """
    digest = hashlib.sha256()
    total = sum(part.nbytes for part in parts) or 1
    done = 0
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            for data in _laid_out(fields, parts):
                handle.write(data)
                digest.update(data)
                if progress:
                    done += len(data)
                    progress(min(done / total, 1.0))
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _laid_out(fields: Sequence[bytes], parts: Sequence[Part]) -> Iterator[Any]:
    """The file's bytes: header, metadata, the list of tensors, the tensors."""
    header = [struct.pack("<4sIQQ", b"GGUF", 3, len(parts), len(fields)), *fields]
    at = 0
    for part in parts:
        shape = part.shape[::-1]  # GGUF names the row length first
        header.append(_string(part.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
        header.append(struct.pack("<IQ", part.kind, at))
        at += part.nbytes + _padding(part.nbytes)
    head = b"".join(header)
    yield head + bytes(_padding(len(head)))
    for part in parts:
        yield from _flat(part.pieces())
        yield bytes(_padding(part.nbytes))


def _flat(pieces: Iterable[npt.NDArray[Any]]) -> Iterator[bytes | memoryview]:
    for piece in pieces:
        # By way of uint8, because a memoryview of a float array counts numbers, not bytes.
        yield piece.reshape(-1).view(np.uint8).data


def _padding(size: int) -> int:
    return -size % ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data
