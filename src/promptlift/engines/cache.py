"""Keep a file that is costly to make in the user's cache.

Two processes that start at once are safe: each writes under a name of its own and renames
the result. A lock on the folder, where the platform has one, saves the second its work.
A file is checked at every use by its size, the key inside and a stamp beside it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from promptlift.artifacts import sha256_of
from promptlift.engines import inspect
from promptlift.errors import EngineError, ModelError
from promptlift.models import CACHE_ENV
from promptlift.records import write_atomically

KEY = "promptlift.key"
"""The metadata key of a GGUF that says what it was made from."""
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_STALE = 3600.0  # seconds after which a temporary file belongs to a dead process
_PATIENCE = 120.0  # seconds to wait for another process's build before doing it ourselves


def stored(home: Path, name: str, key: str, make: Callable[[Path], str]) -> Path:
    """The file `name` from a folder, made if it isn't there whole.

    Where the folder can't be written to, one of the user's own in the system's temporary
    folder serves instead.

    Args:
        home: the folder; made if missing.
        name: of the file, a GGUF.
        key: that the file must carry as KEY.
        make: writes the file whole or not at all, and returns its SHA-256.

    Raises:
        EngineError: it can be stored in neither folder, or the disk is full.
    """
    try:
        return _kept(home, name, key, make)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise _cant_store(home, error) from None
        refused = error
    try:
        return _kept(_spare_folder() / home.name, name, key, make)
    except OSError as error:
        raise _cant_store(home, refused, f", nor to {tempfile.gettempdir()} ({error.strerror or error})") from None


def _kept(place: Path, name: str, key: str, make: Callable[[Path], str]) -> Path:
    """As `stored`, in one folder; OSError if it can't be written to."""
    path = place / name
    if _is_whole(path, key):
        return path
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    with _turn(place):
        if _is_whole(path, key):
            return path
        try:
            digest = make(path)
        except PermissionError:
            # Windows replaces no file that another process runs from; that one is as good as ours.
            if _is_whole(path, key):
                return path
            raise
        _write_stamp(path, digest)
    return path


def _is_whole(path: Path, key: str) -> bool:
    """True if the file is the one that was written, by size, key and stamp.

    A file with another time than its stamp's (copied into an image, or written to) is
    hashed: some 0.1 s, and only once where the stamp can be renewed.
    """
    try:
        stamp = json.loads(_stamp_of(path).read_text(encoding="utf-8"))
        found = path.stat()
        if found.st_size != stamp["size"] or inspect.read(path).get(KEY) != key:
            return False
        if found.st_mtime_ns != stamp["mtime_ns"]:
            if sha256_of(path) != stamp["sha256"]:
                return False
            _write_stamp(path, stamp["sha256"])
        return True
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return False


def _stamp_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.stamp")


def _write_stamp(path: Path, digest: str) -> None:
    # Without a stamp the file is only built again: no reason to fail.
    with contextlib.suppress(OSError):
        found = path.stat()
        stamp = {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": digest}
        write_atomically(_stamp_of(path), json.dumps(stamp).encode())


def _sweep(place: Path) -> None:
    """Remove what builds that were killed have left behind."""
    for left in place.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()


@contextlib.contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Wait, for a while, until no other process builds in this folder.

    Only to save work: where there are no locks (Windows, some network disks), or the
    other process is stopped, both build.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    # The folder itself is locked, so that no lock file is left behind.
    descriptor = os.open(place, os.O_RDONLY)
    try:
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        yield
    finally:
        os.close(descriptor)


def _spare_folder() -> Path:
    """A folder in the temporary one that nobody else can write to: others could plant a model there."""
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / "promptlift"  # each user has a temporary folder there
    folder = Path(tempfile.gettempdir()) / f"promptlift-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EACCES, f"{folder} is not this user's alone")
    return folder


def _cant_store(place: Path, error: OSError, also: str = "") -> EngineError:
    return EngineError(
        f"the engine's file can't be written to {place} ({error.strerror or error}){also}; "
        f"name another folder with {CACHE_ENV}"
    )
