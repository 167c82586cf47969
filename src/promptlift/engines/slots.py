"""Which request works in which slot of llama.cpp."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """Lends slots. Each keeps the adapter of its last lease, and is lent for the same one if it can be."""

    def __init__(self, slots: int) -> None:
        """All slots are free."""
        self._free: list[int] = list(range(slots))  # the one that was given back first stands first
        self._adapter: list[str | None] = [None] * slots
        self._waiting: deque[object] = deque()  # in the order in which they came: none is passed over
        self._changed = threading.Condition()
        self._closed = False

    def take(self, adapter: str | None) -> int:
        """A free slot, waiting for one: with this adapter's state if one is free, else the one unused longest."""
        with self._changed:
            ticket = object()
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._free and not self._closed and self._waiting[0] is ticket)
                # the youngest of those that had it: its state is the likeliest to be of use
                slot = next((s for s in reversed(self._free) if self._adapter[s] == adapter), self._free[0])
                self._free.remove(slot)
                self._adapter[slot] = adapter
                return slot
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()  # there may be a slot for the next one, too

    def give(self, slot: int) -> None:
        """A slot is free again."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    def adapter_of(self, slot: int) -> str | None:
        """The adapter that a slot was last lent for."""
        return self._adapter[slot]

    @contextmanager
    def all_slots(self) -> Iterator[None]:
        """Wait until no slot is lent, and lend none meanwhile; afterwards no slot has an adapter's state."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            try:
                self._changed.wait_for(lambda: len(self._free) == len(self._adapter))
                yield
                self._adapter = [None] * len(self._adapter)
            finally:
                self._closed = False
                self._changed.notify_all()
