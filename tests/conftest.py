"""The shipped prompter, loaded once: tests of the whole run on what users get."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptlift import Prompter


@pytest.fixture(scope="session")
def prompter() -> Iterator[Prompter]:
    """The default prompter on the embedded model (fetched once into the user's cache), advice of every kind."""
    with Prompter.load(slots=4, unproven=True) as loaded:
        yield loaded
