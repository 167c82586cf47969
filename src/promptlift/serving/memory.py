"""What was made of each prompt, and what was last sent of it: so a conversation's history stays the same bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

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
    """The entries used last, bounded in number and bytes. For one thread."""

    def __init__(self, entries: int, size: int) -> None:
        """It is empty.

        Args:
            entries: that are kept at most.
            size: bytes of their texts at most.
        """
        self._limit, self._size_limit = entries, size
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.size = 0
        self._version: str | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def version(self, prompter: str) -> None:
        """Forget all if the prompter is another one than before."""
        if self._version not in (None, prompter):
            self._kept.clear()
            self.size = 0
        self._version = prompter

    def get(self, key: str) -> Kept | None:
        """What is known; it counts as used."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: str, rewrite: Rewrite) -> None:
        """The prompter's word on a prompt."""
        self._put(key, replace(self._kept.get(key) or Kept(), rewrite=rewrite))

    def sent(self, key: str, raw: bool) -> None:
        """What went through: the prompt as it was for want of a rewrite, or the prompter's word."""
        before = self._kept.get(key)
        if before is None and not raw:
            return  # forgotten meanwhile; it will be computed again
        self._put(key, replace(before or Kept(), sent_raw=raw))

    def _put(self, key: str, kept: Kept) -> None:
        before = self._kept.pop(key, None)
        self.size += _size(kept) - (_size(before) if before else 0)
        self._kept[key] = kept
        while self._kept and (len(self._kept) > self._limit or self.size > self._size_limit):
            _, gone = self._kept.popitem(last=False)
            self.size -= _size(gone)


def _size(kept: Kept) -> int:
    # a record holds the prompt and the rewrite; a character may take four bytes
    texts = 0 if kept.rewrite is None else len(kept.rewrite.prompt) + len(kept.rewrite.rewrite)
    return _OVERHEAD + 4 * texts
