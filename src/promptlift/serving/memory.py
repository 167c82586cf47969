"""What was made of each prompt, and what was last sent of it: so a conversation's history stays the same bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from promptlift.records import Rewrite

# What an entry costs beside its texts, roughly: key, record, links.
_OVERHEAD = 1000


@dataclass(frozen=True)
class Kept:
    """What is known of a prompt.

    Attributes:
        rewrite: what the prompter made of it; None if it has not yet.
        sent_raw: it last went through as it was because the rewrite did not come.
    """

    rewrite: Rewrite | None = None
    sent_raw: bool = False


def key_of(prompt: str, target: str | None, strength: str | None) -> str:
    """What a prompt is remembered by; the prompter is the same for as long as the memory."""
    whole = "\0".join((target or "", strength or "", prompt))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class Memory:
    """The rewrites used last, bounded in number and bytes, and as many marks of what went raw. For one thread.

    The marks are apart: under overload there is one for each request, and they must not push the rewrites out.
    """

    def __init__(self, entries: int, size: int) -> None:
        """It is empty.

        Args:
            entries: that are kept at most.
            size: bytes of their texts at most.
        """
        self._limit, self._size_limit = entries, size
        self._rewrites: OrderedDict[str, Rewrite] = OrderedDict()
        self._raw: OrderedDict[str, None] = OrderedDict()
        self.size = 0
        self._version: str | None = None

    def __len__(self) -> int:
        return len(self._rewrites)

    def version(self, prompter: str) -> None:
        """Forget all if the prompter is another one than before."""
        if self._version not in (None, prompter):
            self._rewrites.clear()
            self._raw.clear()
            self.size = 0
        self._version = prompter

    def get(self, key: str) -> Kept | None:
        """What is known; it counts as used."""
        rewrite, raw = self._rewrites.get(key), key in self._raw
        if rewrite is None and not raw:
            return None
        if rewrite is not None:
            self._rewrites.move_to_end(key)
        if raw:
            self._raw.move_to_end(key)
        return Kept(rewrite, raw)

    def keep(self, key: str, rewrite: Rewrite) -> None:
        """The prompter's word on a prompt."""
        before = self._rewrites.pop(key, None)
        self.size -= _size(before) if before else 0
        if _size(rewrite) > self._size_limit:
            return  # it alone would push all others out
        self.size += _size(rewrite)
        self._rewrites[key] = rewrite
        while self._rewrites and (len(self._rewrites) > self._limit or self.size > self._size_limit):
            _, gone = self._rewrites.popitem(last=False)
            self.size -= _size(gone)

    def sent(self, key: str, raw: bool) -> None:
        """What went through: the prompt as it was for want of a rewrite, or the prompter's word."""
        self._raw.pop(key, None)
        if raw:
            self._raw[key] = None
            if len(self._raw) > self._limit:
                self._raw.popitem(last=False)


def _size(rewrite: Rewrite) -> int:
    # a record holds the prompt and the rewrite; a character may take four bytes
    return _OVERHEAD + 4 * (len(rewrite.prompt) + len(rewrite.rewrite))
