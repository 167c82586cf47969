"""What every target client does: answer a prompt, at once or piece by piece."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from promptlift.errors import TargetError


@dataclass(frozen=True)
class Answer:
    """A target's answer.

    Attributes:
        text: the answer alone; the thinking of a reasoning model is left out.
        tokens: how many were generated; None where the target did not say.
        cut: the answer ended at the token limit, or was cancelled.
        seconds: from the request to the last piece.
        prompt_tokens: how many were read; None where the target did not say.
    """

    text: str
    tokens: int | None
    cut: bool
    seconds: float
    prompt_tokens: int | None = None

    def describe(self) -> str:
        """Length and time in words: `57 tokens, 1.2 s, cut`."""
        parts = [] if self.tokens is None else [f"{self.tokens} token{'' if self.tokens == 1 else 's'}"]
        return ", ".join([*parts, f"{self.seconds:.1f} s", *(["cut"] if self.cut else [])])


@dataclass(frozen=True)
class Choice:
    """What an LLM takes when it is asked to reply with one of a few words.

    Attributes:
        probabilities: of each choice, as the first thing that it says; they add up to `coverage`, not to 1.
            None where the LLM does not tell probabilities.
        text: what it said.
        tokens: how many were generated; None where the LLM did not say.
        prompt_tokens: how many were read; None where the LLM did not say.
    """

    probabilities: dict[str, float] | None
    text: str
    tokens: int | None = None
    prompt_tokens: int | None = None

    @property
    def coverage(self) -> float:
        """The share of the probability that is on the choices; 0 where none is told."""
        return sum((self.probabilities or {}).values())


@dataclass(frozen=True)
class Ending:
    """What a client knows at the end of an answer."""

    tokens: int | None
    cut: bool
    prompt_tokens: int | None = None


class AnswerStream(Iterator[str]):
    """The pieces of an answer as they come; after the last one, `answer` is the whole.

    The request is sent at the first `next()`.
    """

    def __init__(self, pieces: Generator[str, None, Ending], stop: threading.Event) -> None:
        """Wrap a client's generator, which ends soon after `stop` is set."""
        self._pieces = pieces
        self._stop = stop
        self._came: list[str] = []
        self._started: float | None = None
        self._answer: Answer | None = None
        self._error: TargetError | None = None

    def __next__(self) -> str:
        """The next piece, never empty.

        Raises:
            TargetError: the target failed.
        """
        if self._started is None:
            self._started = time.perf_counter()
        if self._error is not None:
            raise self._error
        if self._answer is not None:
            raise StopIteration
        if self._stop.is_set():
            self._pieces.close()
            self._finish(Ending(None, True))
            raise StopIteration
        try:
            piece = next(self._pieces)
        except StopIteration as end:
            self._finish(end.value or Ending(None, True))  # no value: Ctrl-C ended it before
            raise StopIteration from None
        except TargetError as error:
            self._error = error
            raise
        self._came.append(piece)
        return piece

    def cancel(self) -> None:
        """Ask for an early end, from any thread: the iteration stops within about a piece."""
        self._stop.set()

    @property
    def answer(self) -> Answer:
        """The whole answer; the pieces that are still to come are fetched first."""
        for _ in self:
            pass
        assert self._answer is not None  # the iteration ends with an answer or an error
        return self._answer

    def _finish(self, ending: Ending) -> None:
        seconds = time.perf_counter() - (self._started or time.perf_counter())
        self._answer = Answer("".join(self._came), ending.tokens, ending.cut, seconds, ending.prompt_tokens)


class ChatClient(ABC):
    """A target: an LLM that answers prompts. Safe to use from several threads."""

    name: str
    """The target's name, for reports."""

    identity: str
    """Which model this is, for caches: the same text, the same model."""

    @abstractmethod
    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> AnswerStream:
        """The answer piece by piece; the arguments are those of `answer`."""

    def answer(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> Answer:
        """The whole answer to a prompt.

        Args:
            prompt: what the person says.
            max_tokens: the answer is cut after so many tokens.
            temperature: 0 takes the likeliest token each time.
            seed: of the sampling; None leaves it to the target.
            system: a system message, if any.

        Raises:
            TargetError: the target failed, or the prompt does not fit into its context.
        """
        return self.stream(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed, system=system).answer

    def choose(self, prompt: str, choices: Sequence[str], *, max_tokens: int = 16, system: str | None = None) -> Choice:
        """Which of a few words the LLM replies with, at temperature 0.

        Clients that can read token log-probabilities tell those; this one has the text alone.

        Args:
            prompt: what is asked; it should say that the reply is one of the choices.
            choices: words that differ in their first token.
            max_tokens: of the reply, where it must be read as text.
            system: a system message, if any.

        Raises:
            TargetError: the LLM failed, or the prompt does not fit into its context.
        """
        said = self.answer(prompt, max_tokens=max_tokens, system=system)
        return Choice(None, said.text, said.tokens, said.prompt_tokens)

    @abstractmethod
    def close(self) -> None:
        """Cancel what is in work and free the target; requests after it raise TargetError."""

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()


def first_token_choices(choices: Sequence[str], top: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The probabilities of the choices, from a reply's likeliest first tokens.

    A token counts for a choice that it begins, whatever its case and the white space before it: ` a` and `A` are
    both A. One that begins several choices counts for none.

    Args:
        choices: the words.
        top: (token, log-probability in nats).
    """
    found = dict.fromkeys(choices, 0.0)
    for token, logprob in top:
        said = token.strip().casefold()
        begun = [choice for choice in choices if said and choice.casefold().startswith(said)]
        if len(begun) == 1:
            found[begun[0]] += math.exp(logprob)
    return found


def messages(prompt: str, system: str | None) -> list[dict[str, str]]:
    """The chat messages of a request; lone surrogates, which JSON in UTF-8 can't hold, are replaced."""
    said = [("system", system), ("user", prompt)]
    return [{"role": role, "content": _valid(text)} for role, text in said if text is not None]


def one_line(text: str, limit: int = 200) -> str:
    """What a target said, fit for an error message: one line, no control codes, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _valid(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
