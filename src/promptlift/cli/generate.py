"""`promptlift data generate` and `data from-preferences`: pairs through any LLM."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptlift.cli import console
from promptlift.cli.asking import (
    ApiKeyEnv,
    BaseUrl,
    CacheFile,
    Concurrency,
    MaxCalls,
    MaxTokens,
    MaxUsd,
    Prices,
    asking,
    reporter,
)
from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.chat.budget import Spent
    from promptlift.data.generate import Generated

Out = Annotated[Path, typer.Option(help="Where the pairs go, JSONL.")]
Llm = Annotated[str, typer.Option(help="The model's name at --base-url, a path to a GGUF, or smollm2 (built in).")]
Against = Annotated[Path | None, typer.Option(help="Prompts that no pair may be near to (your evaluation set).")]
Most = Annotated[int, typer.Option(min=5, help="Words that a rewrite may add.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite --out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was made, dropped and spent as JSON.")]
Seed = Annotated[int, typer.Option(min=0)]
Temperature = Annotated[float, typer.Option(min=0.0, max=2.0)]


def generate(
    out: Out,
    llm: Llm = "smollm2",
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    n: Annotated[int, typer.Option(min=1, help="How many pairs, if they are made from topics.")] = 100,
    topics: Annotated[str | None, typer.Option(help="By comma.", show_default="21 common ones")] = None,
    seeds: Annotated[Path | None, typer.Option(help="Prompts to start from: .jsonl, .csv, or plain lines.")] = None,
    seed_field: Annotated[str, typer.Option(help="Which field of --seeds holds the prompt.")] = "prompt",
    roughen: Annotated[
        bool, typer.Option("--roughen", help="First type the seeds again as hasty people would.")
    ] = False,
    guide: Annotated[bool, typer.Option(help="Also make the guide.")] = True,
    light: Annotated[bool, typer.Option(help="Also make the light side.")] = True,
    critique: Annotated[bool, typer.Option(help="Let the LLM criticise its rewrites, and repair them once.")] = True,
    most: Most = 80,
    against: Against = None,
    temperature: Temperature = 0.8,
    seed: Seed = 0,
    concurrency: Concurrency = 4,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    prices: Prices = None,
    cache: CacheFile = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make pairs from topics or from your own prompts, through any LLM.

    It drafts rough prompts as people type them, optimizes each, criticises the result, and repairs or drops it.
    Stopped or killed, it goes on where it was: nothing is asked twice. What was not kept, and why, goes to
    OUT.dropped.jsonl.

    Examples:

        promptlift data generate --out p.jsonl --llm gpt-4o-mini --base-url https://api.openai.com/v1 --max-calls 900

        promptlift data generate --out law.jsonl --llm qwen.gguf --topics "tenancy law,contract law" --n 50

        promptlift data generate --out mine.jsonl --llm qwen.gguf --seeds my-prompts.txt --roughen
    """
    from promptlift.batch import read_rows
    from promptlift.data.generate import GenerateSettings, Seed
    from promptlift.data.generate import generate as run
    from promptlift.data.prompts import TOPICS

    chosen = TOPICS if topics is None else tuple(t.strip() for t in topics.split(",") if t.strip())
    settings = GenerateSettings(n, chosen, roughen, guide, light, critique, most, temperature, seed, concurrency)
    starts = [] if seeds is None else [
        Seed(row[seed_field], str(row.get("topic") or "")) for row in read_rows(seeds, seed_field)
    ]  # fmt: skip
    avoid = _prompts_of(against)
    _check_out(out, force)
    with asking(llm, base_url, api_key_env, concurrency, cache, max_calls, max_tokens, max_usd, prices) as asked:
        with console.row_progress() as bar:
            made = run(asked, settings, starts, avoid, reporter(bar, asked))
        _finish(out, made, asked.budget.spent, as_json)


def from_preferences(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSONL: prompt, better, worse (or BPO's or TRL's names).")
    ],
    out: Out,
    llm: Llm = "smollm2",
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    most: Most = 80,
    against: Against = None,
    temperature: Temperature = 0.8,
    seed: Seed = 0,
    concurrency: Concurrency = 4,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    prices: Prices = None,
    cache: CacheFile = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make pairs from preferred answers: the prompt is told what made the better one better (BPO).

    Example:

        promptlift data from-preferences hh.jsonl --out pairs.jsonl --llm gpt-4o-mini --base-url https://api.openai.com/v1
    """
    from promptlift.data.generate import GenerateSettings
    from promptlift.data.preferences import from_preferences as run
    from promptlift.data.preferences import read_preferences

    settings = GenerateSettings(most=most, temperature=temperature, seed=seed, concurrency=concurrency)
    rows = read_preferences(source)
    avoid = _prompts_of(against)
    _check_out(out, force)
    with asking(llm, base_url, api_key_env, concurrency, cache, max_calls, max_tokens, max_usd, prices) as asked:
        with console.row_progress() as bar:
            made = run(asked, settings, rows, avoid, reporter(bar, asked))
        _finish(out, made, asked.budget.spent, as_json)


def _prompts_of(path: Path | None) -> list[str]:
    from promptlift.data.rows import read_prompts

    return [] if path is None else read_prompts(path)


def _check_out(out: Path, force: bool) -> None:
    if out.suffix != ".jsonl":
        raise InputError(f"--out {str(out)!r} must end in .jsonl")
    if out.exists() and not force:
        raise InputError(f"{out} exists already; choose another name, or overwrite it with --force")


def _finish(out: Path, made: Generated, spent: Spent, as_json: bool) -> None:
    """Write the pairs; a run that ended early leaves OUT.part, so that OUT is always whole."""
    from promptlift.records import write_jsonl

    part = out.with_name(out.name + ".part")
    target = out if made.ended_by is None else part
    write_jsonl(target, [pair.to_json() for pair in made.pairs])
    write_jsonl(out.with_name(out.stem + ".dropped.jsonl"), made.dropped)
    if target is out:
        part.unlink(missing_ok=True)
    reasons = dict(made.reasons().most_common())
    if as_json:
        counts = {"pairs": len(made.pairs), "identity": sum(p.is_identity for p in made.pairs), "dropped": reasons}
        print(json.dumps(counts | {"spent": asdict(spent), "whole": made.ended_by is None, "file": str(target)}))
    else:
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
        console.error_console().print(
            f"{target}: {len(made.pairs)} pairs, {sum(p.is_identity for p in made.pairs)} of them left as they are; "
            f"dropped: {told}; {spent.describe()}"
        )
    if made.ended_by is not None:
        raise made.ended_by
