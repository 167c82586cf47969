"""Which adapter rewrites for a model."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from promptlift.adapters import slug
from promptlift.errors import InputError
from promptlift.serving.settings import Settings


def target_for(settings: Settings, known: Sequence[str], model: str, wished: str | None) -> str | Literal[False] | None:
    """The adapter's name; None for the prompter as it is; False where the model's prompts are to be left alone.

    By the request's header, then by the mapping: the exact name, else the first pattern that fits; then an adapter
    of the model's own name, then the default target. A name that no adapter has gives None.

    Args:
        settings: hold the mapping and the default.
        known: the adapters that there are.
        model: of the request.
        wished: of the request's header.
    """
    found: str | bool | None = wished
    if found is None:
        found = settings.targets.get(model)
    if found is None:
        found = next((to for name, to in settings.targets.items() if fnmatchcase(model, name)), None)
    if found is False:
        return False
    named = [found] if isinstance(found, str) else [model, settings.target]
    places = {_slug(name): name for name in known}
    return next((places[_slug(name)] for name in named if name and _slug(name) in places), None)


def _slug(name: str) -> str | None:
    """Names are the same where their folders are: `qwen2.5:0.5b` and `qwen2.5-0.5b`; None for what can't be one."""
    try:
        return slug(name)
    except InputError:
        return None
