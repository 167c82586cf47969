"""`promptlift evaluate`'s files: the report, and judges and targets that are reached by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from promptlift.cli import console
from promptlift.cli.evaluate import Contrasts, JudgeUrl, NoTexts, finish, prepare_asked, read_into
from promptlift.cli.rewrite import BaseOption, PrompterOption, UnprovenOption

if TYPE_CHECKING:
    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.judging import Match

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Target = Annotated[str | None, typer.Option(help="One target of the run.", show_default="all")]
OneTarget = Annotated[str, typer.Option(help="The target's name.")]


def report(run: Run, no_texts: NoTexts = False) -> None:
    """Write summary.json, report.md and report.html of a run anew.

    Examples:

        promptlift evaluate report lift

        promptlift evaluate report results/first-lift --no-texts
    """
    finish(run, not no_texts, False)


def export_blind(
    run: Run,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the reader's files go.")],
    name: Annotated[str, typer.Option(help="Of this export; the verdicts are read back by it.")] = "blind",
    target: Target = None,
    contrast: Contrasts = None,
    one_order: Annotated[
        list[str] | None, typer.Option(metavar="X:Y", help="Show one random order of this contrast; repeat it.")
    ] = None,
    parts: Annotated[int, typer.Option(min=1, help="Files; with 2 or more, one reader sees one order only.")] = 1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Write comparisons for whoever judges by hand: both orders, shuffled, nothing that tells which is which.

    The key that joins verdicts and conditions stays in the run's folder: give away --to alone.

    Example:

        promptlift evaluate export-blind lift --to for-the-reader --contrast rewritten:raw --parts 2
    """
    from promptlift.errors import InputError
    from promptlift.evaluation.by_file import export_blind as export
    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.judging import parse_contrast

    if run.resolve() in (to.resolve(), *to.resolve().parents):
        raise InputError(f"--to {to} lies in the run's folder, which holds the key; choose a place outside of {run}")
    folder = RunFolder(run)
    single = {parse_contrast(text, _conditions(folder)) for text in one_order or []}
    count = export(folder, name, _matches(folder, target, contrast), to, seed, single, parts)
    _tell(
        f"{to}: {count} comparisons; read the verdicts back with: promptlift evaluate import-verdicts {run} FILE "
        f"--name {name} --judge WHO"
    )


def import_verdicts(
    run: Run,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help='JSONL: {"id": …, "winner": "a"|"b"|"tie"}.')],
    judge: Annotated[str, typer.Option(help="Who judged, for the report.")],
    name: Annotated[str, typer.Option(help="Of the export.")] = "blind",
    no_texts: NoTexts = False,
) -> None:
    """Read verdicts back, check that they belong to the export, join the key, and write the report.

    Example:

        promptlift evaluate import-verdicts lift verdicts-1.jsonl verdicts-2.jsonl --judge "a colleague"
    """
    from promptlift.evaluation.by_file import import_verdicts as read
    from promptlift.evaluation.folder import RunFolder
    from promptlift.evaluation.run import every_match

    folder = RunFolder(run)
    found = read(folder, name, judge, files, every_match(folder))
    folder.keep_outcomes(found.rows)
    console.error_console().print(
        f"{found.verdicts} verdicts, {found.repeated} given twice, {found.missing} comparisons without one"
    )
    finish(run, not no_texts, False)


def export_prompts(
    run: Run,
    target: OneTarget,
    prompts: Annotated[Path, typer.Option(help="Raw prompts: .jsonl, .csv, plain lines.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the target's prompts go, JSONL.")],
    condition: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=FILE]", help="As for evaluate; repeat it.", show_default="all")
    ] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Draw so many prompts, by source.")] = None,
    reference: Annotated[str | None, typer.Option(help="The field of reference answers.", show_default="found")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    prompter: PrompterOption = None,
    base_gguf: BaseOption = None,
    unproven: UnprovenOption = False,
) -> None:
    """Write what a target is to be asked, for one that can be used by hand only (a chat window).

    Examples:

        promptlift evaluate export-prompts lift --target chat --prompts mine.txt --to ask.jsonl

        promptlift evaluate import-answers lift answers.jsonl --target chat
    """
    from promptlift.evaluation.by_file import export_prompts as export
    from promptlift.evaluation.folder import RunFolder

    folder = RunFolder(run)
    rows = read_into(folder, prompts, n, reference, seed)
    prepare_asked(folder, target, rows, condition, (prompter, base_gguf, unproven), 4)
    count = export(folder, target, to)
    _tell(
        f'{to}: {count} prompts. Answers go to a file of {{"id": …, "answer": …}}, and back with: '
        f"promptlift evaluate import-answers {run} FILE --target {target}"
    )


def import_answers(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help='JSONL: {"id": …, "answer": …}.')],
    target: OneTarget,
) -> None:
    """Read the answers of a target that was asked by hand.

    Example:

        promptlift evaluate import-answers lift answers.jsonl --target chat
    """
    from promptlift.evaluation.by_file import import_answers as read
    from promptlift.evaluation.folder import RunFolder

    count, missing = read(RunFolder(run), target, file)
    _tell(f"{count} answers, {missing} prompts without one; judge them with: promptlift evaluate --out {run} --judge …")


def alpaca_eval(
    run: Run,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the package's files go.")],
    target: OneTarget,
    condition: Annotated[str, typer.Option(help="Whose answers are the model's.")] = "rewritten",
    against: Annotated[str, typer.Option(help="Whose are the reference's: raw, reference, …")] = "raw",
    judge: Annotated[
        str | None, typer.Option(help="Also write a judge for the package: a model at --judge-base-url.")
    ] = None,
    judge_base_url: JudgeUrl = None,
    judge_has_key: Annotated[bool, typer.Option("--judge-has-key", help="Its key is in $OPENAI_API_KEY.")] = False,
) -> None:
    """Write a run's answers for the official `alpaca_eval` package, and say how to run it.

    Examples:

        promptlift evaluate alpaca-eval lift --target gpt-4o-mini --to ae

        promptlift evaluate alpaca-eval lift --target qwen --against reference --to ae --judge mine \\
            --judge-base-url http://localhost:8080/v1
    """
    from promptlift.errors import InputError
    from promptlift.evaluation.alpaca_eval import official_command, write_alpaca_eval, write_annotators_config

    if (judge is None) != (judge_base_url is None):
        raise InputError("--judge and --judge-base-url belong together: a model, and the server that has it")
    written = write_alpaca_eval(run, target, condition, against, to)
    _tell(
        f"{to}: {written.n} prompts; left out: {written.failed} that lack an answer, {written.repeated} that stand "
        f"twice, {written.unfit} that the package can't hold"
    )
    if judge is not None and judge_base_url is not None:
        config = write_annotators_config(to / "judge", judge_base_url, judge, own_key=judge_has_key)
        print(" ".join(official_command(to, config)))
    else:
        print(f"alpaca_eval --model_outputs {to}/model_outputs.json --reference_outputs {to}/reference_outputs.json")


def _conditions(run: RunFolder) -> list[str]:
    return [row.condition for row in run.answers()]


def _tell(text: str) -> None:
    console.error_console().print(text, soft_wrap=True, markup=False)


def _matches(run: RunFolder, target: str | None, contrast: list[str] | None) -> list[Match]:
    from promptlift.evaluation.judging import parse_contrast
    from promptlift.evaluation.run import run_matches, targets_of

    found = []
    for name in [target] if target else targets_of(run):
        wanted = None if contrast is None else [parse_contrast(text, _conditions(run)) for text in contrast]
        found += run_matches(run, name, wanted)
    return found
