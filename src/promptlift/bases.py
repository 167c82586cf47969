"""The GGUF of a prompter's base: the embedded one, a path that was given, or a file of the Hugging Face hub.

`promptlift setup --base-gguf PATH` remembers the path in the user's cache by the file's hash.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from promptlift.artifacts import BaseModelInfo, sha256_of
from promptlift.errors import MissingExtraError, ModelError
from promptlift.models import cache_folder, embedded_gguf


def base_gguf(info: BaseModelInfo, given: str | Path | None = None) -> Path:
    """The base's GGUF, its hash checked; nothing but the embedded one is fetched here.

    Args:
        info: which base, from the manifest.
        given: where it is, if the caller knows.

    Raises:
        ModelError: the base is not at hand, or another file stands there.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ModelError(f"base {str(given)!r}: there is no such file")
        _check(info, path)
        return path
    if info.kind == "embedded":
        return embedded_gguf()
    found = _remembered(info) or _in_hub_cache(info)
    if found is None:
        fetch = f"fetch it ({info.hub.repo}) with: promptlift setup --prompter NAME; " if info.hub else ""
        raise ModelError(
            f"this prompter's base, {info.name!r} ({info.kind}), is not on this machine; {fetch}"
            "say where its GGUF is with: --base-gguf PATH (for good: promptlift setup --prompter NAME --base-gguf PATH)"
        )
    _check(info, found)
    return found


def fetch_base(info: BaseModelInfo) -> Path:
    """Download the base from the Hugging Face hub, with its own progress bar and cache, and check it.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelError: the base is of no hub, or can't be had.
    """
    if info.hub is None:
        raise ModelError(f"base {info.name!r} is of no hub; say where its GGUF is with: --base-gguf PATH")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingExtraError(f"fetching {info.hub.repo}", "hub") from None
    try:
        path = Path(hf_hub_download(info.hub.repo, info.hub.file))
    except Exception as error:  # a dozen kinds, of three libraries
        line = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{info.hub.repo}/{info.hub.file} can't be fetched: {line}; download it yourself and give --base-gguf PATH"
        ) from None
    _check(info, path)
    return path


def _in_hub_cache(info: BaseModelInfo) -> Path | None:
    if info.hub is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    found = try_to_load_from_cache(info.hub.repo, info.hub.file)
    return Path(found) if isinstance(found, str) else None


def remember_base(info: BaseModelInfo, path: Path) -> None:
    """Keep where a checked base is, so that it need not be given again."""
    if (link := _link(info)) is not None:
        with contextlib.suppress(OSError):  # a read-only cache: the path is asked for again
            link.parent.mkdir(parents=True, exist_ok=True)
            link.write_text(os.fspath(path.resolve()), encoding="utf-8")


def _link(info: BaseModelInfo) -> Path | None:
    return cache_folder() / "bases" / f"{info.sha256[:16]}.path" if info.sha256 else None


def _remembered(info: BaseModelInfo) -> Path | None:
    link = _link(info)
    if link is None or not link.is_file():
        return None
    path = Path(link.read_text(encoding="utf-8"))
    return path if path.is_file() else None


def _check(info: BaseModelInfo, path: Path) -> None:
    """Hash the file; a stamp beside the link says that this very file was hashed before."""
    if info.kind == "transformers" or not info.sha256:
        return
    link, stat = _link(info), path.stat()
    stamp = link.with_suffix(".stamp") if link is not None and link.is_file() else None
    known = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    with contextlib.suppress(OSError):
        if stamp is not None and stamp.read_text(encoding="utf-8") == known:
            return
    if (found := sha256_of(path)) != info.sha256:
        raise ModelError(f"{path} is another base: SHA-256 is {found[:12]}…, the prompter needs {info.sha256[:12]}…")
    if stamp is not None:
        with contextlib.suppress(OSError):
            stamp.write_text(known, encoding="utf-8")
