"""`promptlift rewrite`: one prompt, or a file of them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from promptlift.cli import console
from promptlift.records import Rewrite, Strength

if TYPE_CHECKING:
    from promptlift.prompter import Prompter

BATCH_SLOTS = 8


class StrengthOption(StrEnum):
    """How much is rewritten."""

    guide = "guide"
    light = "light"
    content = "content"
    full = "full"


PrompterOption = Annotated[
    str | None, typer.Option("--prompter", metavar="NAME|FOLDER", help="Which prompter rewrites.", show_default="tiny")
]
BaseOption = Annotated[
    Path | None, typer.Option("--base-gguf", metavar="PATH", help="The base's GGUF, if it is not the embedded one.")
]

UnprovenOption = Annotated[
    bool,
    typer.Option("--unproven", help="Also give advice, and use adapters, that were not measured to help."),
]


class EngineOption(StrEnum):
    """What runs the prompter."""

    llama_cpp = "llama.cpp"
    torch = "torch"


EngineChoice = Annotated[
    EngineOption, typer.Option("--engine", help="torch is slow, and runs adapters of the full form as well.")
]


def rewrite(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from stdin.")] = None,
    target: Annotated[
        str | None, typer.Option(help="The adapter of the LLM that will answer (see: promptlift targets).")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=20, help="How many different rewrites to show.")] = 1,
    strength: Annotated[
        StrengthOption | None,
        typer.Option(
            help="guide adds what a good answer has and says again what is asked, light adds how to answer, content "
            "what a great answer covers, full writes a new prompt.",
            show_default="what the prompter was trained for first",
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 always picks the likeliest word.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The same prompt, target and seed give the same rewrite.")] = 0,
    diff: Annotated[bool, typer.Option("--diff", help="Mark what changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A file of prompts: .jsonl, .csv, or plain lines.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where they go: .jsonl or .csv.")
    ] = None,
    field: Annotated[str, typer.Option(help="Which field of the file holds the prompt.")] = "prompt",
    restart: Annotated[bool, typer.Option("--restart", help="Forget what a killed run left of this output.")] = False,
    unproven: UnprovenOption = False,
    engine: EngineChoice = EngineOption.llama_cpp,
    prompter: PrompterOption = None,
    base_gguf: BaseOption = None,
) -> None:
    """Rewrite a prompt into one that your LLM answers better.

    The result goes to stdout. A prompt that needs no help comes back as it was, with the reason on stderr.

    Examples:

        promptlift rewrite "explain recursion"

        pbpaste | promptlift rewrite - --diff

        promptlift rewrite "plan a street party" --target qwen2.5-coder:1.5b

        promptlift rewrite --input prompts.jsonl --output rewritten.jsonl
    """
    if source or output:
        if prompt is not None or source is None or output is None:
            raise typer.BadParameter("--input and --output go together, and without a PROMPT")
        _batch(
            source,
            output,
            target,
            strength,
            temperature,
            seed,
            field,
            restart,
            as_json,
            unproven,
            engine,
            prompter,
            base_gguf,
        )
        return
    text = console.read_prompt(prompt)
    with console.loaded(prompter, base_gguf, 1, unproven, engine.value) as found:
        _tell_unused(found, target)
        if n > 1:
            results = found.candidates(
                text, n, target, strength=strength_of(strength), temperature=temperature or 0.8, seed=seed
            )
        else:
            results = [found.rewrite(text, target, strength=strength_of(strength), temperature=temperature, seed=seed)]
    _show(results, n, diff, as_json)


def _tell_unused(found: Prompter, target: str | None) -> None:
    """Say so where the target's adapter was found to be worse than none."""
    if target is not None and found.adapter(target) is None:
        console.error_console().print(
            f"the adapter for {target} is not used, it was measured to be worse than none (--unproven uses it)",
            style="dim",
        )


def strength_of(strength: StrengthOption | None) -> Strength | None:
    """The strength that was asked for, if one was."""
    return None if strength is None else strength.value


def _show(results: list[Rewrite], n: int, diff: bool, as_json: bool) -> None:
    if as_json:
        rows = [r.to_json() for r in results]
        print(json.dumps(rows if n > 1 else rows[0], ensure_ascii=True, indent=2))
        return
    out = Console(highlight=False, soft_wrap=True)
    for number, result in enumerate(results, 1):
        if n > 1:
            out.print(f"[bold]{'' if number == 1 else chr(10)}{number}.[/bold]")
        if diff and result.changed:
            out.print(console.difference(result.prompt, result.rewrite))
        else:
            out.print(console.printable(result.rewrite), markup=False)
        if not result.changed:
            console.error_console().print(
                f"left as it was: {console.why(result.reason)} ({result.reason})", style="dim"
            )


def _batch(
    source: Path, output: Path, target: str | None, strength: StrengthOption | None, temperature: float, seed: int,
    field: str, restart: bool, as_json: bool, unproven: bool,
    engine: EngineOption, prompter: str | None, base_gguf: Path | None,
) -> None:  # fmt: skip
    from promptlift.batch import BatchSettings, check_output, read_rows, rewrite_file

    # Say what is wrong with the files before the model is loaded.
    check_output(source, output)
    read_rows(source, field)
    settings = BatchSettings(target, strength_of(strength), temperature, seed, field)
    with (
        console.loaded(prompter, base_gguf, BATCH_SLOTS, unproven, engine.value) as found,
        console.row_progress() as bar,
    ):
        _tell_unused(found, target)
        task = bar.add_task("rewriting", total=None)
        try:
            counts = rewrite_file(
                found, source, output, settings,
                progress=lambda done, total: bar.update(task, completed=done, total=total), restart=restart,
            )  # fmt: skip
        except KeyboardInterrupt:
            console.error_console().print(f"stopped; what is done is in {output}.part: run the same command to go on")
            raise
    if as_json:
        print(json.dumps({"output": str(output), **counts}))
    else:
        console.error_console().print(
            f"{counts['rows']} prompts, {counts['changed']} changed, {counts['resumed']} from an earlier run: {output}"
        )
