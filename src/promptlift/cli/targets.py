"""`promptlift targets`, `targets remove`, `targets mark`, `promptlift setup`: what is installed, and preparing it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from promptlift import adapters, artifacts, bases, models
from promptlift.cli import console
from promptlift.cli.rewrite import BaseOption, PrompterOption
from promptlift.errors import ModelError, PromptliftError

app = typer.Typer(name="targets", invoke_without_command=True)


@app.callback()
def targets(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    prompter: PrompterOption = None,
) -> None:
    """List the prompters, the targets they are adapted to, and the target that is built in.

    Examples:

        promptlift targets

        promptlift targets remove my-target
    """
    if context.invoked_subcommand is not None:
        return
    folders = [artifacts.load(prompter)] if prompter else [artifacts.load(name) for name in artifacts.builtin_names()]
    rows = [_describe(folder) for folder in folders]
    try:
        embedded: str | None = str(models.embedded_gguf(fetch=False))
    except ModelError:
        embedded = None
    if as_json:
        print(json.dumps({"prompters": rows, "local_targets": {"smollm2": embedded}}, indent=2))
        return
    out = Console(highlight=False)
    table = Table("prompter", "base", "strengths", "folder", box=None, header_style="bold")
    for row in rows:
        table.add_row(row["prompter"], row["base"], ", ".join(row["strengths"]), row["folder"])
    out.print(table)
    for row in rows:
        out.print()
        _show_adapters(out, row)
    state = embedded or "not fetched yet: promptlift setup"
    out.print(f"\nLLM on this machine: smollm2 ({state})", soft_wrap=True)
    out.print("other LLMs: promptlift compare PROMPT --target MODEL.gguf, or --target MODEL --base-url URL")


def _show_adapters(out: Console, row: dict[str, Any]) -> None:
    if not row["adapters"]:
        out.print(f"{row['prompter']} is adapted to no target yet: promptlift adapt --target NAME --gguf MODEL.gguf")
        return
    table = Table(box=None, header_style="bold")
    for name in ("target", "form", "rank", "MB", "pairs", "held-out loss", "made", "used"):
        table.add_column(name, no_wrap=True)
    notes = []
    for found in row["adapters"]:
        if "error" in found:
            table.add_row(found["target"], *[""] * 6, "no")
            notes.append(f"{found['target']}: {found['error']}")
            continue
        table.add_row(
            found["target"], found["form"], f"{found['rank']}+{found['linear_rank']}", f"{found['megabytes']:.1f}",
            str(found["pairs"]), f"{found['loss_before']:.2f} > {found['loss_after']:.2f}", found["created"],
            {"worse": "no", "unmeasured": "unmeasured", "better": "yes"}[found["standing"]],
        )  # fmt: skip
        if found["why"]:
            notes.append(f"{found['target']}, {found['standing']} than none: {found['why']}")
    out.print(table)
    for note in notes:
        out.print(note, style="dim", soft_wrap=True)


@app.command("remove")
def remove(
    target: Annotated[str, typer.Argument(help="The adapter's name.")],
    prompter: PrompterOption = None,
) -> None:
    """Delete an adapter that you have made.

    Example:

        promptlift targets remove my-target
    """
    gone = adapters.remove(artifacts.load(prompter), target)
    console.error_console().print(f"removed {gone}")


class StandingOption(StrEnum):
    """What an adapter was measured to be worth."""

    unmeasured = "unmeasured"
    better = "better"
    worse = "worse"


@app.command("mark")
def mark(
    target: Annotated[str, typer.Argument(help="The adapter's name.")],
    standing: Annotated[StandingOption, typer.Argument(help="worse: it is not used unless --unproven asks for it.")],
    why: Annotated[str | None, typer.Option(help="What that rests on, in one line.")] = None,
    prompter: PrompterOption = None,
) -> None:
    """Write down what an adapter was measured to be worth. One that is worse than none is not used by default.

    Example:

        promptlift targets mark my-target worse --why "lift -12 (-20 to -4), n = 100"
    """
    found = adapters.mark(artifacts.load(prompter), target, standing.value, why)
    console.error_console().print(f"{target}: {found.manifest.standing}")


def setup(prompter: PrompterOption = None, base_gguf: BaseOption = None) -> None:
    """Fetch the base model and prepare the prompter, so that the first rewrite is quick.

    Examples:

        promptlift setup

        promptlift setup --prompter my-prompter

        promptlift setup --prompter my-prompter --base-gguf its-base.gguf
    """
    notes = console.error_console()
    folder = artifacts.load(prompter)
    info = folder.manifest.base
    if info.kind == "embedded":
        with notes.status("fetching the embedded model (98 MB)"):
            base = bases.base_gguf(info, base_gguf)
    else:
        try:
            base = bases.base_gguf(info, base_gguf)
        except ModelError:
            if base_gguf is not None or info.hub is None:
                raise
            base = bases.fetch_base(info)
        bases.remember_base(info, base)
    with console.loaded(prompter, base_gguf, slots=1) as found:
        notes.print(f"ready: {found.name}, base {base}")


def _describe(folder: artifacts.PrompterFolder) -> dict[str, Any]:
    manifest = folder.manifest
    found = [_describe_adapter(folder, target) for target in adapters.paths(folder)]
    return {
        "prompter": folder.version,
        "base": manifest.base.name,
        "strengths": list(manifest.strengths),
        "threshold": manifest.threshold,
        "targets": [row["target"] for row in found],
        "adapters": found,
        "folder": str(folder.path),
    }


def _describe_adapter(folder: artifacts.PrompterFolder, target: str) -> dict[str, Any]:
    """One adapter; a broken one is told, and hides none of the others."""
    try:
        found = adapters.find(folder, target)
    except PromptliftError as error:
        return {"target": target, "error": str(error)}
    m = found.manifest
    return {
        "target": target, "base": folder.manifest.base.name, "form": m.form, "rank": m.rank,
        "linear_rank": m.linear_rank, "megabytes": (found.path / adapters.TENSORS).stat().st_size / 1e6,
        "pairs": m.pairs, "loss_before": m.loss_before, "loss_after": m.loss_after, "created": m.created,
        "standing": m.standing, "why": m.why, "folder": str(found.path),
    }  # fmt: skip
