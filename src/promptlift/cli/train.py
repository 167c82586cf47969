"""`promptlift train`: stage 1, from pairs to a prompter folder."""

from __future__ import annotations

import json
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from promptlift.cli import console


class StrengthsOption(StrEnum):
    """Which sides of the pairs are learnt."""

    guide = "guide"
    light = "light"
    content = "content"
    full = "full"
    both = "both"


class DtypeOption(StrEnum):
    """Number format of the base's weights while training."""

    bfloat16 = "bfloat16"
    float32 = "float32"


def train(
    pairs: Annotated[Path, typer.Argument(help="The pairs, JSONL.")],
    out: Annotated[Path, typer.Option(help="The prompter folder to write.")],
    base: Annotated[
        str, typer.Option(help="embedded, a GGUF, a folder, or a hub id of a causal LM (microsoft/phi-2, …).")
    ] = "embedded",
    strengths: Annotated[
        StrengthsOption, typer.Option(help="Which sides of the pairs are learnt.")
    ] = StrengthsOption.light,
    rank: Annotated[int, typer.Option(min=1, help="Of the LoRA.")] = 32,
    alpha: Annotated[int | None, typer.Option(min=1, help="Of the LoRA.", show_default="twice the rank")] = None,
    targets: Annotated[
        str, typer.Option(help="Modules that get a LoRA, by comma; all-linear: all of attention and MLP.")
    ] = "all-linear",
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9)] = 0.05,
    epochs: Annotated[float, typer.Option(min=0.01)] = 10.0,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 2e-4,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    max_tokens: Annotated[int, typer.Option(min=64, help="Longer pairs are left out.")] = 512,
    validation: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share held out, by cluster of similar prompts.")
    ] = 0.1,
    decision_weight: Annotated[float, typer.Option(min=0.0, help="How many tokens the decision counts for.")] = 4.0,
    least_changed: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the pairs to change that the threshold must change.")
    ] = 0.92,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    dtype: Annotated[DtypeOption, typer.Option(help="Of the base's weights.")] = DtypeOption.bfloat16,
    name: Annotated[str | None, typer.Option(help="Of the prompter.", show_default="the folder's name")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the checkpoints of a killed run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Train a prompter on pairs (stage 1). A killed run goes on when it is started again.

    Examples:

        promptlift train data/pairs/pairs.jsonl --out my-prompter

        promptlift train pairs.jsonl --base microsoft/phi-2 --out phi --epochs 10

        promptlift rewrite "explain recursion" --prompter my-prompter
    """
    from promptlift.records import read_pairs
    from promptlift.training.layout import StageOneSettings
    from promptlift.training.sft import train as run

    rows = read_pairs(pairs)
    given = {
        "strengths": ("light", "full") if strengths is StrengthsOption.both else (strengths.value,),
        "rank": rank, "alpha": alpha, "targets": tuple(t.strip() for t in targets.split(",")), "dropout": dropout,
        "epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size, "max_tokens": max_tokens,
        "validation": validation, "decision_weight": decision_weight, "least_changed": least_changed, "seed": seed,
        "dtype": dtype.value,
    }  # fmt: skip
    assert set(given) == {f.name for f in fields(StageOneSettings)}
    manifest = run(rows, base, out, StageOneSettings(**given), name, resume=not restart)  # type: ignore[arg-type]
    if as_json:
        print(json.dumps(manifest.metrics))
        return
    calibration = manifest.metrics["calibration"]
    console.error_console().print(
        f"{out}: validation loss "
        + ", ".join(f"{manifest.metrics[f'validation_loss_{s}']:.3f} ({s})" for s in manifest.strengths)
        + f"; changes {calibration['changed']:.0%} of the prompts to change, keeps {calibration['kept']:.0%} of others"
    )
