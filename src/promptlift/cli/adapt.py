"""`promptlift adapt`: stage 2, from a target (or its pairs) to an adapter that is loaded by name."""

from __future__ import annotations

import json
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptlift import artifacts
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
    stages,
)
from promptlift.cli.rewrite import PrompterOption
from promptlift.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from promptlift.adapters import Adapter
    from promptlift.chat.cached import CachedClient
    from promptlift.data.generate import Generated, Seed
    from promptlift.data.target_pairs import TargetPairSettings
    from promptlift.records import Pair


class FormOption(StrEnum):
    """What is trained."""

    low_rank = "low-rank"
    full = "full"


def adapt(
    target: Annotated[str, typer.Option(help="The name that the adapter is used by, such as qwen2.5-coder:1.5b.")],
    base_url: BaseUrl = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name at --base-url.", show_default="the target's name")
    ] = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    gguf: Annotated[Path | None, typer.Option(help="The target as a local GGUF.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Pairs in the target's words that you have already.")] = None,
    save_pairs: Annotated[
        Path | None, typer.Option(help="Where the pairs go, JSONL.", show_default="user's cache")
    ] = None,
    seeds: Annotated[
        Path | None,
        typer.Option(help="Prompts that the target rewrites: .jsonl, .csv, plain lines.", show_default="built in"),
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="How many of the seeds are put to the target.")] = 600,
    tries: Annotated[int, typer.Option(min=1, max=20, help="Samples for each until one passes the guard.")] = 4,
    form: Annotated[
        FormOption, typer.Option(help="low-rank is small and runs everywhere; full is the paper's, for --engine torch.")
    ] = FormOption.low_rank,
    rank: Annotated[int, typer.Option(min=1, max=512, help="Of the head's update.")] = 16,
    linear_rank: Annotated[int, typer.Option(min=0, max=512, help="Of the linear layer's; 0 leaves it out.")] = 48,
    epochs: Annotated[float, typer.Option(min=0.01, help="At most; it stops when the held-out loss rises.")] = 3.0,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without a better held-out loss.")] = 2,
    learning_rate: Annotated[float | None, typer.Option(min=0.0, show_default="by form")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs in a step.")] = 8,
    vocabulary: Annotated[
        int, typer.Option(min=0, help="How many tokens the low-rank form adapts, the likeliest; 0: all.")
    ] = 16384,
    validation: Annotated[float, typer.Option(min=0.01, max=0.5, help="Share of the pairs held out.")] = 0.1,
    most_loss: Annotated[
        float, typer.Option(help="Leave out pairs stranger than this to the unadapted prompter, in nats a token.")
    ] = 4.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    concurrency: Concurrency = 4,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    prices: Prices = None,
    cache: CacheFile = None,
    prompter: PrompterOption = None,
    base: Annotated[
        str | None, typer.Option(help="The prompter's base, if not where its manifest says: a GGUF, folder, hub id.")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the checkpoints of a killed run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the adapter's manifest as JSON.")] = False,
) -> None:
    """Teach the prompter one target LLM (the paper's stage 2). Takes minutes; the trunk is not touched.

    The target rewrites seed prompts in its own words, what passes the guard is learnt, and the adapter is used at
    once by `promptlift rewrite --target NAME`. Stopped or killed, it goes on where it was: nothing is asked twice.

    Examples:

        promptlift adapt --target smollm2

        promptlift adapt --target qwen2.5-coder:1.5b --gguf qwen2.5-coder-1.5b.gguf

        promptlift adapt --target gpt-4o-mini --base-url https://api.openai.com/v1 --max-calls 2000

        promptlift adapt --target mine --pairs mine.jsonl --rank 32

        promptlift rewrite "plan a street party" --target mine
    """
    from promptlift import adapters
    from promptlift.chat import BUILTIN_TARGETS
    from promptlift.data.target_pairs import TargetPairSettings
    from promptlift.records import read_pairs
    from promptlift.training.adapt import adapt as run
    from promptlift.training.settings import StageTwoSettings

    adapters.slug(target)  # a bad name is told before the target is asked anything
    given = (pairs is not None) + (gguf is not None) + (base_url is not None)
    if given > 1 or (given == 0 and target not in BUILTIN_TARGETS):
        raise InputError("say where the target is with one of: --gguf PATH, --base-url URL, or --pairs FILE")
    folder = artifacts.load(prompter)
    adapters.place_of(folder, target)
    settings = StageTwoSettings(
        form=form.value, rank=rank, linear_rank=linear_rank, epochs=epochs, patience=patience,
        learning_rate=learning_rate, batch_size=batch_size, vocabulary=vocabulary, validation=validation,
        most_loss=most_loss, seed=seed,
    )  # fmt: skip
    if pairs is not None:
        rows, source = read_pairs(pairs), {"pairs": pairs.name}
    else:
        if find_spec("torch") is None:  # told now, and not after the target was asked for hours
            raise MissingExtraError("adapting (torch)", "train")
        how = TargetPairSettings(tuple(folder.manifest.strengths), tries, seed=seed, concurrency=concurrency)
        spec = str(gguf) if gguf is not None else (model or target)
        limits = (cache, max_calls, max_tokens, max_usd, prices)
        with asking(spec, base_url, api_key_env, concurrency, *limits) as asked:
            rows, source = _ask(asked, target, how, _seeds(seeds)[:n], save_pairs)
    with console.row_progress() as bar:
        found = run(folder, target, rows, settings, source=source, base=base, resume=not restart, progress=stages(bar))
    _finish(found, as_json)


def _ask(
    asked: CachedClient, target: str, how: TargetPairSettings, seeds: list[Seed], save: Path | None
) -> tuple[list[Pair], dict[str, Any]]:
    """The target's own pairs, and what the manifest says of them."""
    from promptlift.data.target_pairs import target_pairs
    from promptlift.training.adapt import LEAST

    with console.row_progress() as bar:
        made = target_pairs(asked, target, how, seeds, reporter(bar, asked))
    pairs = _keep(made, save, target)
    dropped = dict(made.reasons().most_common())
    console.error_console().print(
        f"{len(pairs)} pairs of {len(seeds)} prompts; dropped: {dropped}; {asked.budget.spent.describe()}"
    )
    if len(pairs) < LEAST:  # told here, where the reason is known: the LLM can't be reached, say
        why = made.dropped[-1]["reason"] if made.dropped else "none: there are too few prompts"
        raise InputError(
            f"{target} gave {len(pairs)} pairs, {LEAST} are needed; the last reason to drop one was {why}; "
            "--save-pairs FILE shows what it wrote, --seeds FILE and --n give it more prompts"
        )
    return pairs, {"model": asked.client.name, "seeds": len(seeds), "accepted": len(pairs), "dropped": dropped}


def _seeds(path: Path | None) -> list[Seed]:
    """The prompts that the target rewrites."""
    from importlib import resources

    from promptlift.batch import read_rows
    from promptlift.data.generate import Seed

    if path is not None:
        return [Seed(row["prompt"], str(row.get("topic") or "")) for row in read_rows(path, "prompt")]
    lines = (resources.files("promptlift.data") / "seeds.jsonl").read_text("utf-8").splitlines()
    return [Seed(**json.loads(line)) for line in lines]


def _keep(made: Generated, save: Path | None, target: str) -> list[Pair]:
    """Write the pairs down, and stop if the budget ended the run before all were made."""
    from promptlift.adapters import slug
    from promptlift.models import cache_folder
    from promptlift.records import write_jsonl

    path = save or cache_folder() / "target-pairs" / f"{slug(target)}.jsonl"
    write_jsonl(path, [pair.to_json() for pair in made.pairs])
    write_jsonl(path.with_name(path.stem + ".dropped.jsonl"), made.dropped)
    if made.ended_by is not None:
        raise made.ended_by
    return made.pairs


def _finish(found: Adapter, as_json: bool) -> None:
    manifest = found.manifest
    if as_json:
        print(manifest.model_dump_json(indent=2))
        return
    size = sum(file.stat().st_size for file in found.path.iterdir()) / 1e6
    console.error_console().print(
        f"{found.path}: {manifest.form}, {size:.1f} MB, {manifest.pairs} pairs, held-out loss "
        f"{manifest.loss_before:.3f} -> {manifest.loss_after:.3f}; what it is worth was not measured yet. "
        f'Use it: promptlift rewrite "..." --target {manifest.target}'
    )
