"""Judges: an LLM behind an endpoint or in a GGUF, a trained head on a local model, and whoever fills in a file.

with open_judge("gpt-4o-mini", base_url="https://api.openai.com/v1") as judge:
    verdicts = judge.judge(comparisons)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptlift.chat.budget import Budget
from promptlift.errors import InputError
from promptlift.evaluation.comparing import Judge

__all__ = ["open_judge"]


@contextmanager
def open_judge(
    spec: str,
    *,
    base_url: str | None = None,
    model: str | None = None,
    api_key_env: str = "OPENAI_API_KEY",
    cache: Path | None = None,
    concurrency: int = 4,
    budget: Budget | None = None,
    max_tokens: int = 16,
) -> Iterator[Judge]:
    """Open a judge.

    Args:
        spec: "longer" (the longer answer wins: a baseline), a path that ends in .gguf, a folder with judge.json (see
            `promptlift evaluate train-judge`), or the name of a model at `base_url`.
        base_url: an OpenAI-compatible endpoint.
        model: the model's name there, if not `spec`.
        api_key_env: the environment variable that holds its key.
        cache: the SQLite file that keeps its verdicts; the user's cache by default.
        concurrency: questions in work at once.
        budget: what it may spend.
        max_tokens: of a reply that must be read as text.

    Raises:
        TargetError: there is no such model.
        InputError: the trained judge's folder is damaged.
    """
    if spec == "longer":
        from promptlift.evaluation.judge_card import LongerWins

        yield LongerWins()
        return
    if base_url is None and Path(spec).is_dir():
        if not (Path(spec) / "judge.json").is_file():
            raise InputError(f"{spec} holds no judge.json; train a judge with: promptlift evaluate train-judge")
        from promptlift.evaluation.judges.trained import TrainedJudge

        yield TrainedJudge.load(Path(spec))
        return
    from promptlift.chat.cached import open_cached
    from promptlift.evaluation.judges.llm import LlmJudge

    how = {"base_url": base_url, "model": model, "api_key_env": api_key_env, "max_retries": 5}
    with open_cached(spec, cache, budget, **how, parallel=min(concurrency, 4)) as llm:
        yield LlmJudge(llm, spec if base_url else None, concurrency, max_tokens)
