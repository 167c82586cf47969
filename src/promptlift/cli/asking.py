"""What the commands that ask an LLM share: its options, its cache and budget, and the bar that shows both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, TaskID

from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.chat.budget import Budget
    from promptlift.chat.cached import CachedClient

BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint, such as https://api.openai.com/v1.")]
ApiKeyEnv = Annotated[str, typer.Option(help="The environment variable that holds its key.")]
Concurrency = Annotated[int, typer.Option(min=1, max=256, help="Questions in work at once.")]
MaxCalls = Annotated[int | None, typer.Option(min=0, help="Stop before the LLM is called more often.")]
MaxTokens = Annotated[int | None, typer.Option(min=0, help="Stop before more tokens are read and written.")]
MaxUsd = Annotated[float | None, typer.Option(min=0.0, help="Stop before it costs more; needs --usd-per-million.")]
Prices = Annotated[
    str | None, typer.Option("--usd-per-million", metavar="READ,WRITTEN", help="Prices of a million tokens: 0.15,0.60.")
]
CacheFile = Annotated[
    Path | None, typer.Option("--cache", metavar="FILE", help="Where answers are kept.", show_default="user's cache")
]

PATIENCE = 600.0
"""Seconds that a whole answer may take: a local endpoint with many questions in work is slow on each."""


@contextmanager
def asking(
    llm: str, base_url: str | None, api_key_env: str, concurrency: int, cache: Path | None,
    max_calls: int | None, max_tokens: int | None, max_usd: float | None, prices: str | None,
) -> Iterator[CachedClient]:  # fmt: skip
    """The LLM with its cache and budget."""
    from promptlift.chat.cached import open_cached

    budget = budget_of(max_calls, max_tokens, max_usd, prices)
    how = {"base_url": base_url, "api_key_env": api_key_env, "timeout": PATIENCE, "max_retries": 5}
    with open_cached(llm, cache, budget, **how, parallel=min(concurrency, 8)) as asked:
        yield asked


def budget_of(max_calls: int | None, max_tokens: int | None, max_usd: float | None, prices: str | None) -> Budget:
    """The budget that the options set.

    Raises:
        InputError: the prices are missing or no numbers.
    """
    from promptlift.chat.budget import Budget, Limits

    if max_usd is not None and prices is None:
        raise InputError(
            "--max-usd needs the prices of your LLM: add --usd-per-million READ,WRITTEN, such as 0.15,0.60"
        )
    read, written = _prices(prices)
    return Budget(Limits(max_calls, max_tokens, max_usd, read, written))


def _prices(prices: str | None) -> tuple[float, float]:
    if prices is None:
        return 0.0, 0.0
    try:
        read, written = (float(part) for part in prices.split(","))
        if min(read, written) < 0:
            raise ValueError
    except ValueError:
        raise InputError(f"--usd-per-million {prices!r}: two prices are needed, read and written: 0.15,0.60") from None
    return read, written


def reporter(bar: Progress, llm: CachedClient) -> Callable[[str, int, int], None]:
    """Shows each stage as a bar, with what was spent so far."""
    return stages(bar, lambda: f" ({llm.budget.spent.describe()})")


def stages(bar: Progress, note: Callable[[], str] = str) -> Callable[[str, int, int], None]:
    """Shows each stage as a bar of its own; `note` stands behind its name."""
    tasks: dict[str, TaskID] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total, description=stage + note())

    return report
