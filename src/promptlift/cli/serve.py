"""`promptlift serve`: an OpenAI-compatible server in front of an LLM."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from promptlift.cli import console
from promptlift.cli.rewrite import BaseOption, PrompterOption, StrengthOption


class TurnsOption(StrEnum):
    """Which user turns of a conversation are rewritten."""

    first = "first"
    every = "every"
    never = "never"


def serve(
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="The LLM's base URL, such as http://localhost:11434/v1.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="The adapter for models that have none of their own name.", show_default="none")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file of settings.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8800")] = None,
    turns: Annotated[TurnsOption | None, typer.Option(help="User turns to rewrite.", show_default="first")] = None,
    deadline: Annotated[
        float | None, typer.Option(help="Seconds a request waits for its rewrite.", show_default="1.5")
    ] = None,
    upstream_key_env: Annotated[
        str | None,
        typer.Option(help="Variable with the LLM's key.", show_default="the client's own header is sent on"),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            help="Variable with this server's key; needed beyond loopback.", show_default="PROMPTLIFT_API_KEY"
        ),
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="Another name of this server; repeat it.")] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="A web origin that may call it; repeat it.")] = None,
    unproven: Annotated[
        bool | None,
        typer.Option("--unproven", help="Also give advice, and use adapters, that were not measured to help."),
    ] = None,
    strength: Annotated[
        StrengthOption | None, typer.Option(help="Of the rewrites.", show_default="the prompter's first")
    ] = None,
    slots: Annotated[int | None, typer.Option(help="Prompts rewritten at once.", show_default="1")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the prompter.", show_default="all cores but one")] = None,
    votes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Of the page's votes.", show_default="the user's data folder")
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="No page at /.")] = False,
    log_prompts: Annotated[
        bool | None, typer.Option("--log-prompts", help="Write prompts and rewrites to the log.")
    ] = None,
    prompter: PrompterOption = None,
    base_gguf: BaseOption = None,
) -> None:
    """Put promptlift in front of an LLM: point any OpenAI client at it, and prompts are rewritten on their way.

    Every setting can also stand in the TOML file, or in the environment as PROMPTLIFT_SERVE_… (upper case); see
    docs/serving.md. A page to try it is at /.

    Examples:

        promptlift serve --upstream http://localhost:11434/v1

        OPENAI_API_KEY=… promptlift serve --upstream https://api.openai.com/v1 --upstream-key-env OPENAI_API_KEY

        promptlift serve --config promptlift.toml --port 9000
    """
    from promptlift.errors import MissingExtraError
    from promptlift.serving.settings import load_settings

    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "httptools", "msgspec", "prometheus_client")):
        raise MissingExtraError("serve", "serve")
    flags: dict[str, Any] = {
        "upstream": upstream, "target": target, "host": host, "port": port, "turns": turns and turns.value,
        "deadline": deadline, "upstream_key_env": upstream_key_env, "api_key_env": api_key_env,
        "hosts": allow_host or None, "origins": allow_origin or None, "unproven": unproven or None,
        "strength": strength and strength.value, "slots": slots, "threads": threads, "votes": votes and str(votes),
        "page": False if no_page else None, "log_prompts": log_prompts or None, "prompter": prompter,
        "base_gguf": base_gguf and str(base_gguf),
    }  # fmt: skip
    settings = load_settings(flags, config)
    from promptlift.serving.logs import set_up
    from promptlift.serving.run import run

    set_up()
    err = console.error_console()

    def ready(url: str) -> None:
        page = f"; a page to try it: {url}/" if settings.page else ""
        err.print(f"promptlift: {url}/v1 in front of {settings.upstream}{page}", soft_wrap=True, markup=False)

    err.print("promptlift: loading the prompter", markup=False)
    run(settings, ready)
