"""Which adapter serves a target in a running prompter, loaded when it is first asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from promptlift import adapters
from promptlift.artifacts import MANIFEST, PrompterFolder
from promptlift.engines.base import Engine


class TargetAdapters:
    """Looks adapters up by target and loads them into the engine. Thread-safe.

    A folder is read again when its manifest has changed, so an adapter that is made or replaced while a
    long-lived process runs is used at the next request.
    """

    def __init__(self, folder: PrompterFolder, engine: Engine, unproven: bool = False) -> None:
        """Nothing is loaded yet.

        Args:
            folder: the prompter.
            engine: runs it.
            unproven: also use adapters that were found to be worse than none, and advice of every kind from all.
        """
        self._folder, self._engine, self._unproven = folder, engine, unproven
        self._known: dict[str, tuple[list[tuple[Path, int, int]], adapters.Adapter]] = {}
        self._lock = threading.Lock()

    def ready(self, target: str) -> adapters.Adapter | None:
        """The target's adapter, loaded in the engine; None if it was found to be worse than none.

        Raises:
            TargetError: there is none.
            ArtifactError: it is damaged, newer, or belongs to another prompter.
            EngineError: the engine can't run it.
        """
        with self._lock:
            found = self._current(target)
        if found.manifest.standing == "worse" and not self._unproven:
            return None
        if found.version not in self._engine.adapters:
            self._engine.add([found])
        return found

    def _current(self, target: str) -> adapters.Adapter:
        known = self._known.get(target)
        if known is not None and self._stamps(known[1].path) == known[0]:
            return known[1]
        found = adapters.find(self._folder, target)
        if self._unproven:
            found = replace(found, manifest=found.manifest.model_copy(update={"proven": []}))
        self._known[target] = (self._stamps(found.path), found)
        return found

    def _stamps(self, path: Path) -> list[tuple[Path, int, int]]:
        """Of an adapter's folder, and of those that would be taken in its stead: the user's own comes first."""
        return [_stamp(at) for at in (path, *(home / path.name for home in adapters.homes(self._folder)))]


def _stamp(path: Path) -> tuple[Path, int, int]:
    """What changes when an adapter's folder is replaced."""
    try:
        stat = (path / MANIFEST).stat()
    except OSError:
        return path, 0, 0
    return path, stat.st_mtime_ns, stat.st_ino
