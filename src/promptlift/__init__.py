"""promptlift: rewrites a rough prompt into one that your LLM answers better.

from promptlift import Prompter

with Prompter.load() as prompter:
    print(prompter.rewrite("explain recursion").rewrite)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptlift.errors import (
        ArtifactError,
        EngineError,
        InputError,
        MissingExtraError,
        ModelError,
        PromptliftError,
        RecordError,
        TargetError,
    )
    from promptlift.prompter import Prompter
    from promptlift.records import Pair, Rewrite

__version__ = "0.1.0"

__all__ = [
    "ArtifactError",
    "EngineError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Pair",
    "Prompter",
    "PromptliftError",
    "RecordError",
    "Rewrite",
    "TargetError",
    "__version__",
]

_HOMES = {"Prompter": "prompter", "Pair": "records", "Rewrite": "records"}


def __getattr__(name: str) -> Any:
    """Import public names at first use, so that `import promptlift` stays quick."""
    if name not in __all__:
        raise AttributeError(f"module 'promptlift' has no attribute {name!r}")
    return getattr(import_module(f"promptlift.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
