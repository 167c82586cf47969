"""Every error that promptlift raises on purpose.

    PromptliftError                 caught by the command line: one line, exit 1
    ├── InputError                  a prompt, file or option that can't be used
    │   └── RecordError             a bad line of a JSONL file, named by file and number
    ├── ArtifactError               a prompter folder that is cut short, foreign or newer
    ├── ModelError                  a base model that is missing or has the wrong hash
    ├── EngineError                 the engine failed while it ran
    ├── TargetError                 an unknown target, or one that does not answer
    ├── BudgetError                 the calls, tokens or money allowed are spent
    └── MissingExtraError           an optional dependency is not installed

Each message is one line: what failed, the value seen, what is allowed, what to do next.
"""

from __future__ import annotations


class PromptliftError(Exception):
    """Base of all errors that promptlift raises on purpose."""


class InputError(PromptliftError):
    """A prompt, file or option that can't be used."""


class RecordError(InputError):
    """A line of a JSONL file that can't be read, named by file and line number."""


class ArtifactError(PromptliftError):
    """A prompter folder that is incomplete, foreign, newer or damaged."""


class ModelError(PromptliftError):
    """A base model that can't be found, fetched or trusted."""


class EngineError(PromptliftError):
    """The engine that runs the prompter failed."""


class TargetError(PromptliftError):
    """A target that is not known, or that does not answer."""


class BudgetError(PromptliftError):
    """The calls, tokens or money that were allowed are spent; nothing that was paid for is lost."""


class MissingExtraError(PromptliftError):
    """An optional dependency is missing; the message names the install command."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'promptlift[{extra}]'")
