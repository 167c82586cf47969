"""What a check looks at: a prompt, a rewrite of it, and how the rewrite was made."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from promptlift.records import Strength
from promptlift.spans import literals, split

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?;:])[\"'”’)\]*]*\s+|\n+")
_SUFFIX = re.compile(r"(?:'s|’s|ing|ies|ied|ed|es|ly|er|s|e|y)$")


@dataclass(frozen=True)
class View:
    """One rewrite under examination. `finished` is False if it was cut at the token limit."""

    prompt: str
    rewrite: str
    strength: Strength
    finished: bool = True

    @property
    def appends(self) -> bool:
        """The rewrite must be the person's words and an addition, not a whole new prompt."""
        return self.strength != "full"

    @functools.cached_property
    def keeps_prompt(self) -> bool:
        """The rewrite begins with the person's own words, as a light one must."""
        return self.rewrite.startswith(self.prompt.rstrip())

    @functools.cached_property
    def added(self) -> str:
        """What the prompter wrote: the addition of a light or content rewrite, the whole of a full one."""
        if self.appends and self.keeps_prompt:
            return self.rewrite[len(self.prompt.rstrip()) :].strip()
        return self.rewrite.strip()

    @functools.cached_property
    def asked(self) -> str:
        """The last paragraph of what was written: in a guide, what is asked, said again."""
        return self.added.rpartition("\n\n")[2]

    @functools.cached_property
    def own(self) -> str:
        """`added` without the literals that the prompt holds too: what is the prompter's own voice."""
        text = self.added
        for span in sorted(set(literals(self.prompt)[:200]), key=len, reverse=True):
            if len(span) > 3:
                text = text.replace(span, " … ")
        return text

    @functools.cached_property
    def instruction(self) -> str:
        """The prompt without its passages: what asks, not what is asked about."""
        return split(self.prompt).shown

    @functools.cached_property
    def prompt_stems(self) -> frozenset[str]:
        """The stems of all words of the prompt."""
        return frozenset(stem(word) for word in words(self.prompt))


Check = Callable[[View], str | None]
"""A check: None if the rewrite passes, else one line that says what is wrong."""


def words(text: str) -> list[str]:
    """The words of a text, lower case."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text; a colon or semicolon ends one too."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def stem(word: str) -> str:
    """A crude stem: one ending off, at most six letters. Misspelt endings often fall away too."""
    short = _SUFFIX.sub("", word) if len(word) > 4 else word.removesuffix("s")
    return short[:6]


def snippet(text: str) -> str:
    """The start of a text, for a one-line detail."""
    line = " ".join(text[:200].split())
    return line if len(line) <= 60 else line[:57] + "..."
