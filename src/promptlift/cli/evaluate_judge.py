"""`promptlift evaluate judge`: how well a judge agrees with people, before its figures are quoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    budget_of,
)

if TYPE_CHECKING:
    from rich.table import Table

    from promptlift.evaluation.judge_card import Interval, JudgeCard


def judge_command(
    judge: Annotated[
        str,
        typer.Option(help="A model's name at --base-url, a path to a GGUF, a trained judge's folder, or: longer."),
    ],
    labelled: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="Comparisons that people have judged, JSONL; can be given several times."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The run's folder; the card goes to RUN/judges/.")
    ] = None,
    without_prompts_of: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Leave out rows with a prompt of this file: what the judge was trained on."),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Other judges\' agreement, JSONL: "evaluator", "Human agreement".'),
    ] = None,
    base_url: BaseUrl = None,
    model: Annotated[
        str | None, typer.Option(help="The model's name at --base-url.", show_default="the judge's name")
    ] = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY",
    concurrency: Concurrency = 4,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_usd: MaxUsd = None,
    prices: Prices = None,
    cache: CacheFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Measure a judge against people: agreement, flips with the order, and its taste for length.

    A row holds a prompt, two answers and the label 1, 2 or 0 for a tie (prompt, answer_1, answer_2, label); PandaLM's
    and LLMBar's files are read as they are. The figure to look at is the margin: how much better the judge agrees
    with people than someone who always takes the longer answer.

    Examples:

        promptlift evaluate judge --judge longer --labelled pandalm_test.jsonl

        promptlift evaluate judge --judge qwen-7b.gguf --labelled pandalm_test.jsonl --labelled llmbar.jsonl --out run

        promptlift evaluate judge --judge gpt-4o --base-url https://api.openai.com/v1 --labelled my.jsonl --max-calls 99

        promptlift evaluate judge --judge my-judge/ --labelled pandalm_test.jsonl --without-prompts-of train.jsonl
    """
    from promptlift.data.rows import read_prompts
    from promptlift.evaluation.comparing import Comparison, both_orders
    from promptlift.evaluation.folder import slug
    from promptlift.evaluation.judge_card import judge_card
    from promptlift.evaluation.judges import open_judge
    from promptlift.evaluation.labelled import read_published, read_sets, select
    from promptlift.records import write_atomically

    budget = budget_of(max_calls, max_tokens, max_usd, prices)
    rows = read_sets(labelled)
    without = [] if without_prompts_of is None else read_prompts(without_prompts_of)
    known = {} if published is None else read_published(published)
    kept = select(rows, without)
    opened = open_judge(
        judge, base_url=base_url, model=model, api_key_env=api_key_env, cache=cache, concurrency=concurrency,
        budget=budget,
    )  # fmt: skip
    with opened as asked, console.row_progress() as bar:
        shown = both_orders(asked, [Comparison.of(row.prompt, row.answer_1, row.answer_2) for row in kept])
        task = bar.add_task(f"judging ({asked.name})", total=len(shown))
        card = judge_card(asked, rows, without=without, published=known, progress=lambda: bar.advance(task))
    text = json.dumps(card.to_json(), indent=2, ensure_ascii=False)
    if out is not None:
        file = out / "judges" / f"{slug(card.judge)}.json"
        write_atomically(file, (text + "\n").encode())
        console.error_console().print(f"{file} written; {budget.spent.describe()}")
    if as_json:
        print(text)
    else:
        _show(card)


def _show(card: JudgeCard) -> None:
    """The figures in percent, and how to read them."""
    from rich.console import Console

    out = Console(highlight=False)
    out.print(_table(card))
    out.print(
        "Percent, with 95% intervals. agreement: with people, on the rows that they decided; a tie, a flip or nothing "
        "readable counts half, in strict it counts as wrong. longer wins: that of who takes the longer answer. "
        "margin: the difference. longer: how often the longer one is preferred, by the judge / by people."
    )
    for found in card.sets:
        if found.unread:
            out.print(f"{found.name}: {_percent(found.unread)}% of the verdicts can't be read")
        if found.not_judged or found.left_out:
            out.print(
                f"{found.name}: {found.left_out} rows were left out, since the judge may know their prompts; "
                f"{found.not_judged} were not judged, since the budget was spent"
            )
        for other in found.published:
            out.print(
                f"{found.name}, the same rows: {other['name']} agrees in {_percent(other['agreement'])}% "
                f"(strict {_percent(other['strict'])}%, all rows {_percent(other['all_rows_agreement'])}%)"
            )
    if card.published:
        shown = [*list(card.published)[:5], *(name for name in ("humans", "longest") if name in card.published)]
        told = ", ".join(f"{name} {_percent(card.published[name])}%" for name in dict.fromkeys(shown))
        out.print(f"published, on other rows (all in --json): {told}")


def _table(card: JudgeCard) -> Table:
    from rich.table import Table

    table = Table(
        title=f"judge {card.judge}", title_justify="left", box=None, header_style="bold", padding=(0, 0, 0, 1)
    )
    table.add_column("set", overflow="fold", min_width=14)
    for name in ("decided\nof rows", "agreement", "strict", "longer\nwins", "margin", "flips", "longer"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in card.sets:
        table.add_row(
            found.name,
            f"{found.n_decided}\n{found.n}",
            _percent(found.agreement) + _within(found.interval),
            _percent(found.strict),
            _percent(found.longer_wins),
            _percent(found.margin, "+.1f") + _within(found.margin_interval, "+.1f"),
            _percent(found.flips),
            f"{_percent(found.prefers_longer, '.0f')} / {_percent(found.humans_prefer_longer, '.0f')}",
        )
    return table


def _percent(share: float | None, form: str = ".1f") -> str:
    return "-" if share is None else format(100 * share, form)


def _within(interval: Interval | None, form: str = ".1f") -> str:
    return "" if interval is None else "\n[{}, {}]".format(*(_percent(end, form) for end in interval))
