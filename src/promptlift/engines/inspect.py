"""Read a GGUF: its metadata, and its tensors without copying them.

`gguf.GGUFReader` makes a numpy array of every word in the vocabulary, 3 s for the
embedded model; this reader skips over what nobody asks for, in some 0.05 s. It trusts
no length that the file states, so a damaged file is a one-line ModelError.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ALIGNMENT = 32
"""Of the tensors' starts, in bytes, where a file states none."""
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""GGUF's number of a value's type: its form for `struct`."""
_VERSIONS = (2, 3)


@dataclass(frozen=True)
class Field:
    """Where a key and its value lie in the file, in bytes from its start."""

    start: int
    value: int
    stop: int
    kind: int


@dataclass(frozen=True)
class Tensor:
    """A tensor as the file describes it; `shape` as numpy writes it: (rows, row length)."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


class Gguf:
    """An opened GGUF: `fields` and `tensors` by name; see `read`."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self._data = data
        self._at = 0
        self.fields: dict[str, Field] = {}
        self.tensors: dict[str, Tensor] = {}
        self._parse()

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a metadata key (a list for an array), or `default`.

        Raises:
            ModelError: the value is damaged.
        """
        field = self.fields.get(key)
        if field is None:
            return default
        self._at = field.value
        try:
            return self._value(field.kind)
        except ValueError as error:
            raise _broken(self.path, f"{key}: {error}") from None

    def raw(self, key: str) -> bytes:
        """A key and its value as they stand in the file, to be copied into another one."""
        field = self.fields[key]
        return self._data[field.start : field.stop]

    def array(self, name: str) -> npt.NDArray[np.uint8]:
        """A tensor's bytes, shape (…, bytes per row), not copied and not to be written to.

        Raises:
            ModelError: the file ends before the tensor does, or its type is unknown.
        """
        import numpy as np
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        tensor = self.tensors[name]
        try:
            block, size = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        except (ValueError, KeyError):
            raise ModelError(f"{self.path}: tensor {name} has an unknown type, {tensor.kind}") from None
        if tensor.shape[-1] % block:
            raise _broken(self.path, f"tensor {name} has rows of {tensor.shape[-1]}, no multiple of {block}")
        shape = (*tensor.shape[:-1], tensor.shape[-1] // block * size)
        count = 1
        for n in shape:
            count *= n  # Python's integers: a damaged shape must not overflow
        if tensor.start + count > len(self._data):
            raise _broken(self.path, f"it ends in tensor {name}")
        return np.frombuffer(self._data, np.uint8, count, tensor.start).reshape(shape)

    def _parse(self) -> None:
        if self._data[:4] != b"GGUF":
            raise ModelError(f"{self.path} is no GGUF: it begins with {self._data[:4]!r}")
        self._at = 4
        version = self._number("<I")
        if version not in _VERSIONS:
            raise ModelError(f"{self.path} is a GGUF of version {version}; this promptlift reads {_VERSIONS}")
        n_tensors, n_fields = self._number("<Q"), self._number("<Q")
        for _ in range(n_fields):
            start = self._at
            key = self._string()
            kind = self._number("<I")
            value = self._at
            self._skip(kind)
            self.fields[key] = Field(start, value, self._at, kind)
        found: list[tuple[str, tuple[int, ...], int, int]] = []
        for _ in range(n_tensors):
            name = self._string()
            n_dimensions = self._number("<I")
            if not 1 <= n_dimensions <= 4:
                raise ValueError(f"tensor {name!r:.60} has {n_dimensions} dimensions")
            shape = tuple(self._number("<Q") for _ in range(n_dimensions))[::-1]
            found.append((name, shape, self._number("<I"), self._number("<Q")))
        end = self._at
        alignment = self.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0:
            raise ValueError(f"general.alignment is {alignment!r:.60}")
        first = -(-end // alignment) * alignment
        self.tensors = {name: Tensor(name, shape, kind, first + at) for name, shape, kind, at in found}

    def _take(self, count: int) -> int:
        """Move over `count` bytes; their start."""
        start = self._at
        if start + count > len(self._data):
            raise ValueError("it ends in its header")
        self._at = start + count
        return start

    def _number(self, form: str) -> Any:
        return struct.unpack_from(form, self._data, self._take(struct.calcsize(form)))[0]

    def _string(self) -> str:
        length = self._number("<Q")
        start = self._take(length)
        return self._data[start : start + length].decode("utf-8")

    def _skip(self, kind: int) -> None:
        if kind == STRING:
            self._take(self._number("<Q"))
        elif kind == ARRAY:
            of, count = self._number("<I"), self._number("<Q")
            if of in SCALARS:
                self._take(count * struct.calcsize(SCALARS[of]))
            elif of == STRING:
                self._skip_strings(count)
            else:
                raise ValueError(f"an array of type {of}")
        else:
            self._take(struct.calcsize(self._form(kind)))

    def _skip_strings(self, count: int) -> None:
        # The vocabulary and its merges, 100,000 strings: the one loop where speed counts.
        data, at, end, length = self._data, self._at, len(self._data), struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > end:
                raise ValueError("it ends in its header")
            at += 8 + length(data, at)[0]
        self._at = at
        self._take(0)

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            of, count = self._number("<I"), self._number("<Q")
            return [self._value(of) for _ in range(count)]
        return self._number(self._form(kind))

    @staticmethod
    def _form(kind: int) -> str:
        if kind not in SCALARS:
            raise ValueError(f"a value of type {kind}")
        return SCALARS[kind]


def read(path: str | Path) -> Gguf:
    """Open a GGUF and read its header; tensors are checked when they are asked for.

    Raises:
        ModelError: the file can't be read, is no GGUF, or is cut short or damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as handle:
            if not path.stat().st_size:
                raise ModelError(f"{path} is empty, and no GGUF")
            data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror or error}") from None
    try:
        return Gguf(path, data)
    except (ValueError, OverflowError, struct.error) as error:
        raise _broken(path, str(error)) from None


def architecture(path: str | Path) -> str:
    """The model's architecture as llama.cpp names it, such as `llama` or `qwen2`; raises ModelError."""
    return architecture_of(read(path))


def architecture_of(gguf: Gguf) -> str:
    """The same, of an opened file."""
    name = gguf.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise ModelError(f"{gguf.path} names no general.architecture")
    return name


def chat_template(path: str | Path) -> str | None:
    """The model's chat template (Jinja), or None where it has none; raises ModelError."""
    template = read(path).get("tokenizer.chat_template")
    return template if isinstance(template, str) else None


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is a damaged GGUF: {why}; copy or fetch the model again")
