"""What a target is asked for each raw prompt: the prompt itself, its rewrites, and the controls.

A gain over the raw prompt alone proves little: a constant sentence may do as well, and so may any rewriting or any
adapter. Each control rules one of these out (DESIGN, section 8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import InputError, RecordError
from promptlift.evaluation.folder import Asked, Prompt
from promptlift.records import read_jsonl

if TYPE_CHECKING:
    from promptlift.chat.cached import CachedClient
    from promptlift.prompter import Prompter

SUFFIX = "Please answer in detail, with reasons and examples where they help."
"""The constant that a rewriter must beat."""

ZERO_SHOT = (
    "Improve the prompt below so that a chatbot gives a better answer to it. Keep its meaning and its language. "
    "Reply with the improved prompt alone; do not answer it.\n\nPrompt:\n{prompt}"
)
"""What the untrained base is asked in the control `zero-shot`."""

BUILT_IN = ("raw", "rewritten", "unadapted", "suffix", "zero-shot", "wrong-adapter")
REFERENCE = "reference"
"""Not asked: the answer that came with the prompt."""

Progress = Callable[[str, int, int], None]


def rewritten(
    name: str, target: str, prompts: Sequence[Prompt], prompter: Prompter, adapter: str | None, progress: Progress
) -> list[Asked]:
    """The prompts as a prompter rewrites them, through the adapter of that name or none."""
    made = []
    for rewrite in prompter.rewrite_many((p.prompt for p in prompts), adapter):
        made.append(rewrite)
        progress(f"rewriting: {name}", len(made), len(prompts))
    return [
        Asked(target, prompt.id, name, found.rewrite, found.changed, found.reason)
        for prompt, found in zip(prompts, made, strict=True)
    ]


def suffixed(target: str, prompts: Sequence[Prompt]) -> list[Asked]:
    """The prompts with a constant sentence behind them."""
    return [Asked(target, p.id, "suffix", f"{p.prompt}\n\n{SUFFIX}", True) for p in prompts]


def unchanged(target: str, prompts: Sequence[Prompt]) -> list[Asked]:
    """The raw prompts."""
    return [Asked(target, p.id, "raw", p.prompt, False) for p in prompts]


def zero_shot(
    target: str, prompts: Sequence[Prompt], base: CachedClient, concurrency: int, progress: Progress
) -> list[Asked]:
    """The prompts as an untrained LLM improves them, with no guard: what is said is taken, unless it is nothing.

    Raises:
        BudgetError: the budget is spent; what was written is in the cache.
    """
    from promptlift.chat.cached import PromptFailed, Question, work

    done = [0]

    def count() -> None:
        done[0] += 1
        progress("rewriting: zero-shot", done[0], len(prompts))

    def ask(prompt: Prompt) -> str:
        return base.ask(Question(ZERO_SHOT.format(prompt=prompt.prompt))).text.strip()

    found, over = work(prompts, ask, concurrency, count)
    if over is not None:
        raise over
    rows = []
    for prompt, text in zip(prompts, found, strict=True):
        if isinstance(text, str) and text:
            rows.append(Asked(target, prompt.id, "zero-shot", text, text != prompt.prompt))
        else:
            why = text.message if isinstance(text, PromptFailed) else "it wrote nothing"
            rows.append(Asked(target, prompt.id, "zero-shot", prompt.prompt, False, why))
    return rows


def from_file(name: str, target: str, prompts: Sequence[Prompt], path: Path) -> list[Asked]:
    """Rewrites from a file: another prompter's, another tool's, a person's.

    Each row holds a rewrite (`rewrite` or `optimized`), and the `id` of its prompt or the `prompt` itself. Output of
    `promptlift rewrite --input` and pairs are such files. Prompts without a row count as left alone.

    Raises:
        RecordError: a row has no rewrite, belongs to none of the prompts, or to one that has a row already.
    """
    by_id = {p.id for p in prompts}
    by_text: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts:
        by_text[prompt.prompt].append(prompt.id)
    found: dict[str, str] = {}
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        text = _first(row, ("rewrite", "optimized"))
        if text is None or not text.strip():
            raise RecordError(f"{where}: no text in 'rewrite' or 'optimized'; its keys are {', '.join(row)}")
        own, said = str(row.get("id")), str(row.get("prompt"))
        keys = by_text.get(said, [own] if own in by_id else [])
        if not keys:
            raise RecordError(
                f"{where}: neither its id {row.get('id')!r} nor its prompt is one of the {len(prompts)} of this run"
            )
        for key in [own] if own in keys else keys:
            if found.setdefault(key, text) != text:
                raise RecordError(f"{where}: prompt {key!r} has another rewrite already")
    if not found:
        raise InputError(f"{path} holds no rewrites")
    rows = []
    for prompt in prompts:
        text = found.get(prompt.id, prompt.prompt)
        rows.append(Asked(target, prompt.id, name, text, text != prompt.prompt, None if prompt.id in found else "none"))
    return rows


def _first(row: dict[str, Any], names: Sequence[str]) -> str | None:
    return next((row[name] for name in names if isinstance(row.get(name), str)), None)
