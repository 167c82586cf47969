"""`promptlift data`: check, split and import sets of pairs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptlift.cli import console
from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.data.check import CheckResult
    from promptlift.data.imports import Imported

LISTED = 20

app = typer.Typer(
    name="data",
    help="Make, check, split and import sets of pairs.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


class FormatOption(StrEnum):
    """What an imported source is."""

    auto = "auto"
    jsonl = "jsonl"
    csv = "csv"
    bpo = "bpo"
    dspy = "dspy"
    hf = "hf"


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pairs, JSONL.")],
    against: Annotated[
        Path | None,
        typer.Option(
            help="An evaluation file that no prompt may be near to: JSONL or CSV with a prompt, or plain lines."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Also write a page with plots.")] = None,
    no_quotas: Annotated[
        bool,
        typer.Option(
            "--no-quotas", help="Do not ask for many topics, identity pairs and the like: a small set of one domain."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what is wrong with a set of pairs, row by row and in sum. Exit 1 if a threshold is broken.

    Examples:

        promptlift data check data/pairs/pairs.jsonl

        promptlift data check pairs.jsonl --against evaluation.jsonl --html check.html

        promptlift data check law.jsonl --no-quotas --json > check.json
    """
    from promptlift.data.check import Thresholds, check_set

    thresholds = Thresholds().without_quotas() if no_quotas else Thresholds()
    with console.row_progress() as bar:
        task = bar.add_task("checking", total=None)
        result = check_set(file, against, thresholds, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        print(json.dumps(result.to_json()))
    else:
        _show(result)
    errors = console.error_console()
    for verdict in result.broken:
        errors.print(f"broken: {verdict.name}: {verdict.seen}, allowed {verdict.allowed}", markup=False, soft_wrap=True)
    if html is not None:
        from promptlift.data.report import write_report

        write_report(result, html, thresholds)
        errors.print(f"{html}: the page with plots", markup=False, soft_wrap=True)
    if result.broken:
        raise typer.Exit(1)


@app.command("split")
def split(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The pairs, JSONL.")],
    out_dir: Annotated[Path, typer.Option(help="Gets train.jsonl, validation.jsonl and test.jsonl.")],
    validation: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share wanted for validation.")] = 0.1,
    test: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share wanted for test.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw; the order of the rows plays no part.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier split.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Split a set into train, validation and test; near-duplicates stay in one part.

    Examples:

        promptlift data split pairs.jsonl --out-dir parts

        promptlift data split pairs.jsonl --out-dir parts --validation 0.05 --test 0.2 --seed 3
    """
    from promptlift.data.parts import read_rows, split_rows, write_parts

    rows = read_rows(file)
    parts = split_rows(rows, validation, test, seed)
    files = write_parts(parts, out_dir, force)
    if as_json:
        print(json.dumps({name: {"file": str(files[name]), "pairs": len(part)} for name, part in parts.items()}))
    else:
        for name, part in parts.items():
            print(f"{files[name]}: {len(part)} pairs ({len(part) / len(rows):.0%})")
    for name, share in (("validation", validation), ("test", test)):
        if share and not parts[name]:
            console.error_console().print(f"{name} is empty: no cluster of near-duplicates is as small as its share")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file, a folder of a dataset, or hf:org/name[:config].")
    ],
    out: Annotated[Path, typer.Option(help="Where the pairs go, JSONL.")],
    form: Annotated[
        FormatOption, typer.Option("--format", help="auto goes by the source's name and content.")
    ] = FormatOption.auto,
    prompt_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Holds the raw prompt.", show_default="the common names")
    ] = None,
    optimized_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Holds the optimized prompt.", show_default="the common names")
    ] = None,
    light_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Holds the light side, if there is one.")
    ] = None,
    topic_field: Annotated[str | None, typer.Option(metavar="NAME", help="Holds the topic.")] = None,
    topic: Annotated[str, typer.Option(help="Of the rows that have none.")] = "",
    split: Annotated[str, typer.Option(help="Which split of a dataset.")] = "train",
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was read and left out as JSON.")] = False,
) -> None:
    """Make pairs of what you have: CSV, JSON with other field names, BPO's, DSPy's, Hugging Face datasets.

    No row is lost in silence: what is left out is named on stderr, with its line and the reason.

    Examples:

        promptlift data import prompts.csv --out pairs.jsonl --prompt-field rough --optimized-field final

        promptlift data import program.json --format dspy --out pairs.jsonl --optimized-field better

        promptlift data import hf:org/name --out pairs.jsonl --split train
    """
    from promptlift.data.imports import Fields, import_pairs
    from promptlift.records import write_jsonl

    if out.suffix != ".jsonl":
        raise InputError(f"--out {str(out)!r} must end in .jsonl")
    if out.exists() and not force:
        raise InputError(f"{out} exists already; choose another name, or overwrite it with --force")
    fields = Fields(prompt_field, optimized_field, light_field, topic_field)
    made = import_pairs(source, form.value, fields, topic, split)
    _tell_skipped(made)
    if not made.pairs:
        raise InputError(f"{source}: no row could be used ({len(made.skipped)} left out); nothing was written")
    write_jsonl(out, [pair.to_json() for pair in made.pairs])
    if as_json:
        read = {"prompt": made.fields.prompt, "optimized": made.fields.optimized, "light": made.fields.light}
        left_out = [{"where": skipped.where, "reason": skipped.reason} for skipped in made.skipped]
        print(json.dumps({"file": str(out), "pairs": len(made.pairs), "fields": read, "skipped": left_out}))
        return
    told = f"{out}: {len(made.pairs)} pairs from {made.fields.prompt!r} and {made.fields.optimized!r}"
    told += f"; {made.renamed} got an id of their own, theirs stood there already" if made.renamed else ""
    console.error_console().print(f"{told}; next: promptlift data check {out}", markup=False, soft_wrap=True)


def _tell_skipped(made: Imported) -> None:
    errors = console.error_console()
    for skipped in made.skipped[:LISTED]:
        errors.print(console.printable(f"{skipped.where}: left out: {skipped.reason}"), markup=False, soft_wrap=True)
    if len(made.skipped) > LISTED:
        errors.print(f"… and {len(made.skipped) - LISTED} more")
    if made.skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in made.reasons().most_common())
        errors.print(console.printable(f"left out: {reasons}"), markup=False, soft_wrap=True)


def _show(result: CheckResult) -> None:
    """The sums as a table, then the first findings, errors before notes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Console(highlight=False)
    table = Table("", "seen", "allowed", "", title=f"{result.file}: {result.sums['pairs']} pairs", title_justify="left")
    for verdict in result.verdicts:
        mark = Text("ok", "green") if verdict.ok else Text("broken", "bold red")
        table.add_row(verdict.name, verdict.seen, verdict.allowed, mark)
    out.print(table)
    spread = Table("", *(f"{p}%" for p in (10, 25, 50, 75, 90)), title="Percentiles", title_justify="left")
    for label, key in (
        ("words of the prompts", "prompt_words"), ("words of the --against prompts", "against_words"),
        ("words that optimized adds", "words_added"), ("words that optimized_light adds", "words_added_light"),
        ("optimized to prompt, times", "ratio"),
    ):  # fmt: skip
        if result.sums[key]:
            spread.add_row(label, *(f"{value:g}" for value in result.sums[key].values()))
    out.print(spread)
    for title, key in (("topics", "topics"), ("commonest openings", "openings")):
        if result.sums[key]:
            told = ", ".join(f"{name or '(none)'} {count}" for name, count in result.sums[key].items())
            out.print(console.printable(f"{title}: {told}"), markup=False)
    for label, key in (("prompts", "prompts"), ("optimized", "rewrites"), ("--against", "evaluation")):
        if row := result.sums[key]:
            out.print(
                f"words of {label}: {row['words']:,}, {row['different']:,} different "
                f"(type-token ratio {row['type_token_ratio']:.3f}; per thousand words {row['per_thousand']:.3f})"
            )
    findings = sorted(result.findings, key=lambda finding: finding.level)
    for finding in findings[:LISTED]:
        side = f" {finding.side}" if finding.side else ""
        line = f"line {finding.line} {finding.id}: {finding.level}: {finding.check}{side}: {finding.detail}"
        out.print(console.printable(line), markup=False, soft_wrap=True)
    if len(findings) > LISTED:
        errors = sum(finding.level == "error" for finding in findings)
        out.print(
            f"… and {len(findings) - LISTED} more ({errors} errors and {len(findings) - errors} notes in all; "
            "--json or --html lists them)"
        )
