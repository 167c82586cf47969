"""`promptlift compare` and `promptlift demo`: the target's answers to both prompts."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.rule import Rule

from promptlift.cli import console
from promptlift.cli.rewrite import BaseOption, PrompterOption, StrengthOption, UnprovenOption, strength_of

DEMO = (
    ("a poem", "write a poem about the last train home"),
    ("a role to play", 'pretend you are the ghost of platform 9, someone asks for the "23:47" to Leeds'),
    ("a closed question, to leave alone", "What is 17 * 24? Just the number."),
)  # fmt: skip


def compare(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from stdin.")],
    target: Annotated[
        str, typer.Option(help="smollm2 (built in), a path to a GGUF, or the model's name at --base-url.")
    ] = "smollm2",
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible endpoint, such as http://localhost:8080/v1.")
    ] = None,
    api_key_env: Annotated[str, typer.Option(help="The environment variable that holds its key.")] = "OPENAI_API_KEY",
    max_tokens: Annotated[int, typer.Option(min=1, help="Of each answer.")] = 512,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="Of the answers.")] = 0.0,
    strength: Annotated[
        StrengthOption | None,
        typer.Option(help="Of the rewrite.", show_default="what the prompter was trained for first"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    unproven: UnprovenOption = False,
    prompter: PrompterOption = None,
    base_gguf: BaseOption = None,
) -> None:
    """Show a target's answers to the raw and to the rewritten prompt, side by side.

    Examples:

        promptlift compare "why do cats purr"

        promptlift compare "why do cats purr" --target qwen.gguf

        promptlift compare "why do cats purr" --target gpt-4o-mini --base-url https://api.openai.com/v1
    """
    from promptlift.chat import open_target
    from promptlift.compare import side_by_side

    text = console.read_prompt(prompt)
    with open_target(target, base_url=base_url, api_key_env=api_key_env) as client:
        with console.loaded(prompter, base_gguf, slots=1, unproven=unproven) as found:
            result = found.rewrite(text, strength=strength_of(strength), seed=seed)
        out = Console(highlight=False)
        if not as_json:
            _print_change(out, result.prompt, result.rewrite, result.reason)
        shown = Console(file=io.StringIO()) if as_json else out
        raw, lifted = side_by_side(
            client, result.prompt, result.rewrite, shown, max_tokens=max_tokens, temperature=temperature, seed=seed
        )
    if as_json:
        row = {"rewrite": result.to_json(), "answer": asdict(raw), "answer_to_rewrite": asdict(lifted)}
        print(json.dumps(row, indent=2))


def demo(prompter: PrompterOption = None) -> None:
    """Rewrite three prompts, and show the built-in target's answers to one of them.

    Example:

        promptlift demo
    """
    from promptlift.chat import open_target
    from promptlift.compare import side_by_side

    out = Console(highlight=False)
    with console.loaded(prompter, None, slots=1) as found:
        results = [found.rewrite(text) for _, text in DEMO]
    for (kind, _), result in zip(DEMO, results, strict=True):
        out.print(Rule(f"{kind} ({result.seconds:.1f} s)", align="left", style="dim"))
        _print_change(out, result.prompt, result.rewrite, result.reason)
    out.print(Rule("SmolLM2-135M answers the first one: raw and rewritten", align="left", style="dim"))
    with open_target("smollm2") as client:
        side_by_side(client, results[0].prompt, results[0].rewrite, out, max_tokens=200)


def _print_change(out: Console, before: str, after: str, reason: str | None) -> None:
    out.print("[bold]before[/bold] ", end="")
    out.print(console.printable(before), markup=False, soft_wrap=True)
    out.print("[bold]after[/bold]  ", end="")
    if before == after:
        out.print(f"the same: {console.why(reason)}\n", style="dim", soft_wrap=True)
    else:
        out.print(console.difference(before, after), soft_wrap=True)
        out.print()
