"""Tell a caller how far Trainer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class TrainerProgress(TrainerCallback):  # type: ignore[misc]
    """Reports ("training", steps done, steps in all)."""

    def __init__(self, progress: Callable[[str, int, int], None] | None) -> None:
        """Nothing is reported where `progress` is None."""
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One step more."""
        if self._progress:
            self._progress("training", state.global_step, state.max_steps)
