"""How much may be asked of an LLM: calls, tokens, money. Never overstepped, also with many threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from promptlift.errors import BudgetError

CHARACTERS_PER_TOKEN = 3
"""A cautious guess, for a prompt's tokens before the endpoint has counted them."""


@dataclass(frozen=True)
class Limits:
    """What a run may spend; None: no limit.

    Attributes:
        calls: requests that reach the LLM; what the cache answers is free.
        tokens: read and written together.
        usd: money, at the prices below.
        usd_per_million_read: price of a million prompt tokens.
        usd_per_million_written: price of a million answer tokens.
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    usd_per_million_read: float = 0.0
    usd_per_million_written: float = 0.0

    def cost(self, read: int, written: int) -> float:
        """USD for so many tokens."""
        return (read * self.usd_per_million_read + written * self.usd_per_million_written) / 1e6


@dataclass
class Spent:
    """What a run has used so far. `guessed` counts the calls whose tokens the LLM did not tell."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    read: int = 0
    written: int = 0
    usd: float = 0.0
    guessed: int = 0

    def describe(self) -> str:
        """In words: `12 calls, 3 from cache, 4,512 tokens, $0.02`."""
        parts = [f"{self.calls:,} calls", f"{self.cached:,} from cache", f"{self.read + self.written:,} tokens"]
        if self.usd:
            parts.append(f"${self.usd:.2f}")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)


@dataclass
class Budget:
    """Reserves before a call what it may cost at most, and books after it what it did cost."""

    limits: Limits = field(default_factory=Limits)
    spent: Spent = field(default_factory=Spent)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _calls: int = 0
    _read: int = 0
    _written: int = 0

    def reserve(self, prompt: str, max_tokens: int) -> int:
        """Set aside one call; returns the guess of the prompt's tokens, to be given to `settle`.

        Raises:
            BudgetError: it could overstep a limit.
        """
        read = len(prompt) // CHARACTERS_PER_TOKEN + 16
        with self._lock:
            now, limits = self.spent, self.limits
            reads, writes = now.read + self._read + read, now.written + self._written + max_tokens
            for name, value, limit in (
                ("calls", now.calls + self._calls + 1, limits.calls),
                ("tokens", reads + writes, limits.tokens),
                ("usd", limits.cost(reads, writes), limits.usd),
            ):
                if limit is not None and value > limit:
                    raise BudgetError(
                        f"--max-{name} {limit} is reached ({now.describe()}): what is done is kept; "
                        "run it again with a higher limit to go on"
                    )
            self._calls, self._read, self._written = self._calls + 1, self._read + read, self._written + max_tokens
        return read

    def settle(self, guess: int, max_tokens: int, read: int | None, written: int | None, failed: bool = False) -> None:
        """Book a call; what the LLM did not count is booked as it was guessed."""
        with self._lock:
            self._calls, self._read, self._written = self._calls - 1, self._read - guess, self._written - max_tokens
            self.spent.calls += 1
            self.spent.failed += failed
            if not failed:
                self.spent.guessed += read is None or written is None
                self.spent.read += guess if read is None else read
                self.spent.written += max_tokens if written is None else written
            self.spent.usd = self.limits.cost(self.spent.read, self.spent.written)

    def found(self) -> None:
        """Count an answer that came from the cache."""
        with self._lock:
            self.spent.cached += 1
