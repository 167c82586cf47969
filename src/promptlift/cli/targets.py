"""`promptlift targets` and `promptlift setup`: what is installed, and preparing it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from promptlift import artifacts, bases, models
from promptlift.cli import console
from promptlift.cli.rewrite import BaseOption, PrompterOption
from promptlift.errors import ModelError


def targets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    prompter: PrompterOption = None,
) -> None:
    """List the prompters, the targets they are adapted to, and the target that is built in.

    Example:

        promptlift targets
    """
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
    table = Table("prompter", "base", "strengths", "adapted to", "folder", box=None, header_style="bold")
    for row in rows:
        table.add_row(
            row["prompter"], row["base"], ", ".join(row["strengths"]), ", ".join(row["targets"]) or "none yet",
            row["folder"],
        )  # fmt: skip
    out.print(table)
    state = embedded or "not fetched yet: promptlift setup"
    out.print(f"\ntarget on this machine: smollm2 ({state})", soft_wrap=True)
    out.print("other targets: promptlift compare PROMPT --target MODEL.gguf, or --target MODEL --base-url URL")


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
    return {
        "prompter": folder.version,
        "base": manifest.base.name,
        "strengths": list(manifest.strengths),
        "threshold": manifest.threshold,
        "targets": sorted(p.parent.name for p in folder.path.glob(f"targets/*/{artifacts.MANIFEST}")),
        "folder": str(folder.path),
    }
