"""What an engine does for the prompter: score the decision, and write the change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptlift.errors import EngineError

if TYPE_CHECKING:
    from promptlift.adapters import Adapter


class ContextOverflowError(EngineError):
    """The prompt has more tokens than a slot can hold."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: temperature 0 is greedy."""

    temperature: float = 0.0
    seed: int = 0
    top_p: float = 0.95


@dataclass(frozen=True)
class Written:
    """What the prompter wrote; `finished` is False if it was cut at the token limit."""

    text: str
    finished: bool
    tokens: int


class Engine(ABC):
    """Runs one prompter. Safe to call from several threads."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many prompts can be in work at once."""

    @property
    @abstractmethod
    def adapters(self) -> frozenset[str]:
        """The adapters that can be leased, by the versions that `add` was given."""

    @abstractmethod
    def add(self, adapters: Sequence[Adapter]) -> None:
        """Load adapters beside those that are there; work in hand is ended first, and none is lost.

        Raises:
            EngineError: this engine can't run one.
            ArtifactError: one doesn't fit the prompter.
        """

    @abstractmethod
    def lease(self, adapter: str | None = None) -> int:
        """Take a free slot, waiting for one if need be; give it back with `release`.

        What is scored and written in it goes through the adapter of that version, or none.
        """

    @abstractmethod
    def release(self, slot: int) -> None:
        """Give a slot back."""

    @abstractmethod
    def score(self, question: str, slot: int) -> float:
        """P(change), from 0 to 1: the share of YES in the mass of YES and NO after `question`."""

    @abstractmethod
    def write(
        self,
        prefix: str,
        slot: int,
        sampling: Sampling,
        max_tokens: int,
        on_text: Callable[[str], bool] | None = None,
        until: str | None = None,
    ) -> Written:
        """Continue `prefix` up to the end-of-sequence token.

        Args:
            prefix: the question, the decision and the opening.
            slot: a leased slot; it keeps the question's state from `score`.
            sampling: how tokens are chosen.
            max_tokens: the limit.
            on_text: called with each new piece of text; returning True stops the writing.
            until: a text that ends the writing as well, and is left out.
        """

    @abstractmethod
    def close(self) -> None:
        """Free the model; calls after it fail."""
