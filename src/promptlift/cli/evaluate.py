"""`promptlift evaluate`: lift, measured: answers to raw and rewritten prompts and to the controls, judged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from promptlift.cli.rewrite import BaseOption, PrompterOption, UnprovenOption
from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.chat.budget import Budget
    from promptlift.chat.cached import CachedClient
    from promptlift.evaluation.answers import AnswerSettings
    from promptlift.evaluation.folder import Asked, Prompt, RunFolder
    from promptlift.prompter import Prompter

app = typer.Typer(
    name="evaluate",
    help="Measure what rewriting is worth to a target LLM: lift, with its interval.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)

Out = Annotated[Path, typer.Option("--out", metavar="RUN", help="The run's folder; it is made, or gone on with.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(help="A model at --judge-base-url, a .gguf, a trained judge's folder, or `longer` (a baseline)."),
]
JudgeUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint.")]
JudgeKeyEnv = Annotated[str, typer.Option(help="The environment variable that holds its key.")]
JudgeTokens = Annotated[int, typer.Option(min=1, help="Of a verdict in words; a reasoning judge needs 1000 or more.")]
Contrasts = Annotated[
    list[str] | None,
    typer.Option(
        "--contrast", metavar="X:Y", help="Which conditions are compared; repeat it.",
        show_default="each with raw, rewrites with suffix",
    ),
]  # fmt: skip
MANY_FLIPS = 0.5
"""Share of verdicts that flip with the order from which a judge is worth nothing."""
NoTexts = Annotated[bool, typer.Option("--no-texts", help="A report of ids and figures alone, fit to be published.")]


@app.callback()
def evaluate(
    context: typer.Context,
    out: Out = Path("lift"),
    target: Annotated[str | None, typer.Option(help="The LLM that answers; an adapter of this name is used.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Raw prompts: .jsonl, .csv, plain lines; ids, sources and references are kept.")
    ] = None,
    judge: JudgeOption = None,
    base_url: BaseUrl = None,
    model: Annotated[str | None, typer.Option(help="Its name at --base-url.", show_default="the target's name")] = None,
    gguf: Annotated[Path | None, typer.Option(help="The target as a local GGUF.")] = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    judge_base_url: JudgeUrl = None,
    judge_key_env: JudgeKeyEnv = "OPENAI_API_KEY",
    judge_max_tokens: JudgeTokens = 16,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=FILE]",
            show_default="all that there are",
            help="raw, rewritten, unadapted, suffix, zero-shot, wrong-adapter, or rewrites of your own; repeat it.",
        ),
    ] = None,
    contrast: Contrasts = None,
    n: Annotated[int | None, typer.Option(min=1, help="Draw so many prompts, by source.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The field of --prompts that holds reference answers.", show_default="found")
    ] = None,
    max_answer_tokens: Annotated[int, typer.Option(min=1, help="Answers are cut there; cut ones are counted.")] = 600,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="Of the answers; small LLMs loop at 0.")] = 0.7,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    concurrency: Concurrency = 4,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    prices: Prices = None,
    cache: CacheFile = None,
    prompter: PrompterOption = None,
    base_gguf: BaseOption = None,
    unproven: UnprovenOption = False,
    no_texts: NoTexts = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json.")] = False,
) -> None:
    """Measure lift: the target answers raw and rewritten prompts, a judge compares the answers in both orders.

    Stopped or killed, it goes on where it was: nothing is asked twice. Another judge looks at the same answers when
    it is run again with the same --out; another target joins the same report.

    Examples:

        promptlift evaluate --target gpt-4o-mini --base-url https://api.openai.com/v1 --prompts mine.jsonl \\
            --judge gpt-4o --judge-base-url https://api.openai.com/v1 --max-calls 2000 --out lift

        promptlift evaluate --target qwen --gguf qwen.gguf --prompts mine.txt --judge judge.gguf --out lift

        promptlift evaluate --out lift --judge my-judge

        promptlift evaluate report lift
    """
    if context.invoked_subcommand is not None:
        return
    from promptlift.evaluation.answers import AnswerSettings
    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.run import remember_command, targets_of

    run = RunFolder(out)
    if target is None and (prompts is not None or judge is None or not (out / "texts").is_dir()):
        raise InputError("say which LLM answers what: promptlift evaluate --target NAME --prompts FILE --judge NAME")
    limits = (cache, max_calls, max_tokens, max_usd, prices)
    if target is not None:
        rows = read_into(run, prompts, n, reference, seed)
        remember_command(run, sys.argv[1:], seed=seed, cores=os.cpu_count())
        settings = AnswerSettings(max_answer_tokens, temperature, seed, concurrency)
        with asking(str(gguf) if gguf else (model or target), base_url, api_key_env, concurrency, *limits) as llm:
            _answer(run, target, rows, condition, (prompter, base_gguf, unproven), llm, settings)
            _tell(f"{target}: {llm.budget.spent.describe()}")
            left = llm.budget
    else:
        left = None
        remember_command(run, sys.argv[1:])
    if judge is not None:
        with _judge(judge, judge_base_url, judge_key_env, judge_max_tokens, concurrency, limits, left) as who:
            _judge_all(run, [target] if target else targets_of(run), who, contrast)
    finish(out, not no_texts, as_json)


def finish(path: Path, texts: bool, as_json: bool) -> None:
    """Write summary and report, and say what came out."""
    import json

    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.report import write_report
    from promptlift.evaluation.summary import summarize

    summary = summarize(RunFolder(path))
    files = write_report(path, texts)
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    for target in summary["targets"]:
        for row in target["contrasts"]:
            if "lift" in row:
                low, high = row["interval"]
                print(
                    f"{target['name']}: {row['x']} over {row['y']}: "
                    f"lift {row['lift']:+.0f} ({low:+.0f} to {high:+.0f}), "
                    f"n {row['n']}, length-controlled win rate {row['lc_win_rate']:.0f}%, by {row['judge']}"
                )
        for judge in dict.fromkeys(row["judge"] for row in target["contrasts"]):
            rows = [row for row in target["contrasts"] if row["judge"] == judge]
            flipped, asked = sum(r["flipped"] for r in rows), sum(r["n"] - r["same"] - r["empty"] for r in rows)
            if asked and flipped > MANY_FLIPS * asked:
                _tell(
                    f"{judge} named another winner in the other order for {flipped} of {asked} pairs of "
                    f"{target['name']}: it can't tell these answers apart; take a stronger judge "
                    "(see promptlift evaluate judge)"
                )
    _tell(f"the report: {', '.join(map(str, files))}")


def read_into(run: RunFolder, file: Path | None, n: int | None, reference: str | None, seed: int) -> list[Prompt]:
    """Draw a file's prompts into the run; without a file, those that it has."""
    from promptlift.evaluation.prompts import draw, read_prompts

    if file is None:
        return run.prompts()
    rows = draw(read_prompts(file, reference), n, seed)
    run.keep_prompts(rows)
    return rows


def _answer(
    run: RunFolder, target: str, prompts: list[Prompt], given: list[str] | None,
    how: tuple[str | None, Path | None, bool], llm: CachedClient, settings: AnswerSettings,
) -> None:  # fmt: skip
    """Make what is asked, and ask it."""
    from promptlift.evaluation.run import answer

    asked = prepare_asked(run, target, prompts, given, how, settings.concurrency)
    with console.row_progress() as bar:
        answer(run, target, asked, llm, settings, reporter(bar, llm))


def prepare_asked(
    run: RunFolder, target: str, prompts: list[Prompt], given: list[str] | None,
    how: tuple[str | None, Path | None, bool], concurrency: int,
) -> list[Asked]:  # fmt: skip
    """What the target is asked, made with a prompter where a condition needs one."""
    from promptlift.evaluation.run import default_conditions, parse_conditions, prepare

    name, base, unproven = how
    wanted = parse_conditions(given) if given is not None else None
    needs = wanted is None or bool({"rewritten", "unadapted", "wrong-adapter", "zero-shot"} & set(wanted))
    if not needs:
        with console.row_progress() as bar:
            return prepare(run, target, prompts, wanted or {}, None, None, concurrency, stages(bar))
    # one slot: in a batch, greedy decoding differs by rounding, and a second run would ask other prompts
    with console.loaded(name, base, 1, unproven) as prompter:
        chosen = wanted or parse_conditions(default_conditions(target, prompter))
        run.keep_settings(prompter=prompter.name, unproven=unproven)
        with _untrained(prompter, base, "zero-shot" in chosen) as zero, console.row_progress() as bar:
            return prepare(run, target, prompts, chosen, prompter, zero, concurrency, stages(bar))


@contextmanager
def _untrained(prompter: Prompter, base: Path | None, wanted: bool) -> Iterator[CachedClient | None]:
    """The prompter's base as it was before training, asked in process; it costs nothing but time."""
    if not wanted:
        yield None
        return
    from promptlift.bases import base_gguf
    from promptlift.chat.cached import open_cached

    file = base_gguf(prompter.folder.manifest.base, base)
    with open_cached("untrained", gguf=file, parallel=4, context=4096) as client:
        yield client


@contextmanager
def _judge(
    spec: str, base_url: str | None, key_env: str, tokens: int, concurrency: int,
    limits: tuple[Path | None, int | None, int | None, float | None, str | None], spent: Budget | None,
) -> Iterator[Any]:  # fmt: skip
    """The judge, with what the target left of the budget."""
    from promptlift.cli.asking import budget_of
    from promptlift.evaluation.judges import open_judge

    budget = budget_of(*limits[1:])
    if spent is not None:
        budget.spent.calls, budget.spent.read, budget.spent.written = (
            spent.spent.calls,
            spent.spent.read,
            spent.spent.written,
        )
    with open_judge(
        spec, base_url=base_url, api_key_env=key_env, cache=limits[0], concurrency=concurrency, budget=budget,
        max_tokens=tokens,
    ) as who:  # fmt: skip
        yield who


def _judge_all(run: RunFolder, targets: list[str], who: Any, contrast: list[str] | None) -> None:
    from promptlift.evaluation.judging import parse_contrast
    from promptlift.evaluation.run import judge

    for target in targets:
        names = [row.condition for row in run.answers() if row.target == target]
        wanted = None if contrast is None else [parse_contrast(text, names) for text in contrast]
        with console.row_progress() as bar:
            judge(run, [target], who, wanted, stages(bar))


def _tell(text: str) -> None:
    console.error_console().print(text, highlight=False, soft_wrap=True)
