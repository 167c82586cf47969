"""`promptlift evaluate train-judge`: a judge for offline work, from preferences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from promptlift.cli import console
from promptlift.cli.asking import stages
from promptlift.errors import InputError


def train_judge_command(
    preferences: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="JSONL: prompt, answer_1, answer_2, label (1, 2, tie).")
    ],
    base: Annotated[str, typer.Option(help="The local model that reads answers: a GGUF, a folder or a hub id.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The judge's folder.")],
    layer: Annotated[int, typer.Option(min=1, help="Whose states are read; about two thirds of the layers is good.")],
    without_prompts_of: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Leave out prompts of this file: what the judge is measured on; repeat it."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the cross-validation's folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print judge.json.")] = False,
) -> None:
    """Train a judge: a scalar head on a local model's states, from preferences. Stopped, it goes on where it was.

    It tells nothing of a language or a task that its preferences do not hold: measure it with `evaluate judge` on
    prompts that it has not seen, before its figures are quoted.

    Examples:

        promptlift evaluate train-judge preferences.jsonl --base qwen.gguf --layer 16 --out my-judge

        promptlift evaluate judge --judge my-judge --labelled pandalm.jsonl --without-prompts-of preferences.jsonl
    """
    from promptlift.evaluation.judges.train import train_judge
    from promptlift.evaluation.judges.trained import describe
    from promptlift.evaluation.labelled import read_sets, select
    from promptlift.evaluation.prompts import read_prompts

    if out.exists() and not (out / "judge.json").is_file() and any(out.iterdir()):
        raise InputError(f"--out {out} is a folder of something else; name a new one")
    rows = read_sets(preferences)
    held = [p.prompt for file in without_prompts_of or [] for p in read_prompts(file)]
    rows = select(rows, held)
    with console.row_progress() as bar:
        found = train_judge(rows, base, layer, out, seed, progress=stages(bar))
    if as_json:
        print(json.dumps(describe(out), indent=2))
        return
    met = found.accuracy[found.strength]
    console.error_console().print(
        f"{out}: trained on {found.n} preferences of {found.prompts} prompts; meets {met:.1%} of those held out. "
        "How well it agrees with people: promptlift evaluate judge --judge "
        f"{out} --labelled FILE",
        soft_wrap=True,
    )
