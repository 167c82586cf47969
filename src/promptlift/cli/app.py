"""The `promptlift` command: its commands, and how errors end it.

Exit 0: done. 1: a failure, said in one line on stderr. 2: wrong usage. 130: Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from promptlift import __version__
from promptlift.cli import (
    adapt,
    cache,
    compare,
    data,
    evaluate,
    evaluate_files,
    evaluate_judge,
    evaluate_tasks,
    evaluate_train_judge,
    generate,
    rewrite,
    serve,
    targets,
    train,
)
from promptlift.errors import PromptliftError

app = typer.Typer(
    name="promptlift",
    help="Rewrite a rough prompt into one that your LLM answers better.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("rewrite")(rewrite.rewrite)
app.command("compare")(compare.compare)
app.add_typer(targets.app)
app.command("train")(train.train)
app.command("adapt")(adapt.adapt)
evaluate.app.command("report")(evaluate_files.report)
evaluate.app.command("export-blind")(evaluate_files.export_blind)
evaluate.app.command("import-verdicts")(evaluate_files.import_verdicts)
evaluate.app.command("export-prompts")(evaluate_files.export_prompts)
evaluate.app.command("import-answers")(evaluate_files.import_answers)
evaluate.app.command("alpaca-eval")(evaluate_files.alpaca_eval)
evaluate.app.command("judge")(evaluate_judge.judge_command)
evaluate.app.command("train-judge")(evaluate_train_judge.train_judge_command)
evaluate.app.command("rouge")(evaluate_tasks.rouge)
evaluate.app.command("multiple-choice")(evaluate_tasks.multiple_choice)
evaluate.app.command("ifeval")(evaluate_tasks.ifeval)
app.add_typer(evaluate.app)
app.command("serve")(serve.serve)
app.command("cache")(cache.cache)
app.command("setup")(targets.setup)
app.command("demo")(compare.demo)
data.app.command("generate")(generate.generate)
data.app.command("from-preferences")(generate.from_preferences)
app.add_typer(data.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"promptlift {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
) -> None:
    """Rewrite a rough prompt into one that your LLM answers better."""


def main() -> None:
    """Run the command line; every failure that is not ours to mend is one line."""
    debug = "--debug" in sys.argv
    try:
        app()
    except PromptliftError as error:
        if debug:
            raise
        _fail(str(error))
    except OSError as error:
        if debug:
            raise
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}; free space or choose another place, then run it again")
    except KeyboardInterrupt:
        print("promptlift: stopped", file=sys.stderr)
        sys.exit(130)


def _fail(message: str) -> None:
    line = " ".join(message.split())
    print(f"promptlift: {line}", file=sys.stderr)
    sys.exit(1)
