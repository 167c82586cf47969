"""`promptlift cache`: what is kept on this machine so that it need not be made again, and throwing it away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from promptlift.errors import InputError
from promptlift.models import cache_folder

KINDS = {
    "features": "hidden states that `adapt` trains on",
    "engines": "prompters, ready for llama.cpp",
    "adapters": "adapters, ready for llama.cpp",
    "target-pairs": "pairs that targets wrote for `adapt`",
    "answers": "what LLMs have answered: a rerun asks nothing twice",
}
"""What may be cleared; the embedded model and the paths of other bases stay."""


def cache(
    clear: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Throw away one kind: {', '.join(KINDS)}, or all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what is cached, and how much room it takes; or clear it. Everything in it can be made again.

    Examples:

        promptlift cache

        promptlift cache --clear features
    """
    if clear is not None and clear not in (*KINDS, "all"):
        raise InputError(f"--clear {clear!r}: one of {', '.join(KINDS)}, or all")
    for kind in KINDS if clear == "all" else [clear] if clear else []:
        for path in _files(kind):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    rows = [{"kind": kind, "megabytes": round(_size(kind) / 1e6, 1), "what": what} for kind, what in KINDS.items()]
    if as_json:
        print(json.dumps({"folder": str(cache_folder()), "kinds": rows}, indent=2))
        return
    table = Table("kind", "MB", "what", box=None, header_style="bold")
    for row in rows:
        table.add_row(str(row["kind"]), f"{row['megabytes']}", str(row["what"]))
    out = Console(highlight=False)
    out.print(table)
    out.print(f"\nin {cache_folder()}", soft_wrap=True)


def _files(kind: str) -> list[Path]:
    """The files and folders of a kind."""
    home = cache_folder()
    if kind == "answers":
        return sorted(home.glob("answers.sqlite*"))
    return [home / kind] if (home / kind).exists() else []


def _size(kind: str) -> int:
    found = 0
    for path in _files(kind):
        found += sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
    return found
