"""A run in the files of the official AlpacaEval package, and a judge for it on your own server.

For example::

    written = write_alpaca_eval(Path("run"), "qwen", "rewritten", "raw", Path("ae"))
    config = write_annotators_config(Path("ae/judge"), "http://localhost:8080/v1", "my-model")
    subprocess.run(official_command(written.folder, config))      # leaderboard.csv and annotations.json in ae/

The package (0.6.6) imports pkg_resources, which setuptools has up to version 81. Nothing is downloaded: it would fetch
its own reference answers, and the difficulties of its own prompts for the length-controlled win rate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.errors import InputError
from promptlift.evaluation.folder import Answered, Prompt, RunFolder
from promptlift.records import write_atomically

MODEL_OUTPUTS = "model_outputs.json"
REFERENCE_OUTPUTS = "reference_outputs.json"
REFERENCE = "reference"
"""The condition whose answers came with the prompts."""

TEMPLATE = """\
<|im_start|>system
You compare two answers to one request, and name the better one.
<|im_end|>
<|im_start|>user
Below is a request, and two answers to it. Decide which of them the person who asked would rather have: the one that \
does what was asked, is right, and can be used as it is. A longer answer is not better for its length, and the order \
of the two means nothing.

# Request
{instruction}

# Output (a)
{output_1}

# Output (b)
{output_2}

# Verdict
Reply with nothing but the name of the better one: Output (a) or Output (b).
<|im_end|>
"""
"""What the judge is shown, in the package's form: it fills in the braces, and reads the ChatML marks as messages."""

_MARKS = ("{instruction}", "{output_1}", "{output_2}", "<|im_start|>", "<|im_end|>")
"""Texts that hold these are garbled by the package, which does not escape them."""

_VERDICT = r"(?is)\A\W*(?:output\W*{0}\b|{0}\)|{0}\W*\Z).*"
"""`Output (a)`, `(a)`, `a`, at the beginning of the reply; the rest is eaten, so that it is one verdict."""


@dataclass(frozen=True)
class Written:
    """What `write_alpaca_eval` wrote.

    Attributes:
        folder: that holds model_outputs.json and reference_outputs.json.
        n: prompts in both files.
        failed: prompts left out, because one of the two answers is missing.
        repeated: prompts left out, because the same prompt stands in the files already; the package joins by prompt.
        unfit: prompts left out, because a text holds one of the package's own marks.
    """

    folder: Path
    n: int
    failed: int
    repeated: int
    unfit: int


def write_alpaca_eval(run: Path, target: str, condition: str, against: str, out: Path) -> Written:
    """Write one contrast of a run for the official package; its win rate is that of `condition` over `against`.

    The instructions are the original prompts, whatever the answers were asked with, so that a judge sees what the
    person wanted.

    Args:
        run: the folder of an evaluation run, with its texts/.
        target: whose answers.
        condition: the model's side.
        against: the reference's side: another condition, or `reference`, the answers that came with the prompts.
        out: the folder for model_outputs.json and reference_outputs.json.

    Raises:
        InputError: the run holds no texts, no such target or condition, or no prompt with both answers.
        RecordError: a line of the run is damaged.
    """
    if condition == against:
        raise InputError(f"condition {condition!r} can't be set against itself; name two conditions")
    folder = RunFolder(run)
    prompts, answers = folder.prompts(), folder.answers()
    ours, theirs = (_answers(run, prompts, answers, target, name) for name in (condition, against))
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    seen: set[str] = set()
    failed = repeated = unfit = 0
    for prompt in prompts:
        if prompt.id not in ours or prompt.id not in theirs:
            failed += 1
        elif prompt.prompt in seen:
            repeated += 1
        elif any(mark in text for mark in _MARKS for text in (prompt.prompt, ours[prompt.id], theirs[prompt.id])):
            unfit += 1
        else:
            seen.add(prompt.prompt)
            for side, found, name in ((sides[0], ours, condition), (sides[1], theirs, against)):
                row = {"instruction": prompt.prompt, "output": found[prompt.id], "generator": f"{target} {name}"}
                side.append(row | ({"dataset": prompt.source} if prompt.source else {}))
    if not seen:
        raise InputError(f"{run}: none of {len(prompts)} prompts has an answer of {target!r} to {condition!r} and "
                         f"to {against!r} ({failed} failed, {unfit} hold the package's marks)")  # fmt: skip
    _write_json(out / MODEL_OUTPUTS, sides[0])
    _write_json(out / REFERENCE_OUTPUTS, sides[1])
    return Written(out, len(seen), failed, repeated, unfit)


def write_annotators_config(out: Path, base_url: str, model: str, *, own_key: bool = False) -> Path:
    """Write the folder that tells the package to judge with an OpenAI-compatible server.

    The package shows each pair in one order, drawn by the prompt, and keeps the verdicts in this folder: what was
    judged is not asked again.

    Args:
        out: the folder; it holds absolute paths, so write it anew where it is moved.
        base_url: such as http://localhost:8080/v1.
        model: its name there.
        own_key: the server wants a key, read from $OPENAI_API_KEY; otherwise the word `none` stands for it.

    Returns:
        The folder, absolute: the package's `annotators_config`.

    Raises:
        InputError: `base_url` is none.
    """
    if not base_url.startswith(("http://", "https://")):
        raise InputError(f"base url {base_url!r} must begin with http:// or https://, as http://localhost:8080/v1")
    out = out.resolve()
    client = {"base_url": base_url} | ({} if own_key else {"api_key": "none"})
    config = {
        f"{model} at {base_url}": {  # the package keeps verdicts by this name
            "prompt_template": str(out / "verdict.txt"),
            "fn_completions": "openai_completions",
            "completions_kwargs": {
                "model_name": model,
                "max_tokens": 16,
                "temperature": 0,
                "requires_chatml": True,  # by its own rule, a model with "instruct" in its name is no chat model
                "price_per_token": 0,
                "client_config_path": str(out / "client.yaml"),
            },
            "fn_completion_parser": "regex_parser",
            "completion_parser_kwargs": {"outputs_to_match": "MATCHES"},
            "batch_size": 1,
        }
    }
    # JSON is YAML; only the parser's keys must be numbers, which JSON does not have
    matches = ", ".join(f"{number}: '{_VERDICT.format(side)}'" for number, side in ((1, "a"), (2, "b")))
    text = json.dumps(config, indent=2).replace('"MATCHES"', f"{{{matches}}}")
    write_atomically(out / "verdict.txt", TEMPLATE.encode())
    write_atomically(out / "client.yaml", (json.dumps({"default": [client]}, indent=2) + "\n").encode())
    write_atomically(out / "configs.yaml", (text + "\n").encode())
    return out


def official_command(folder: Path, config: Path) -> list[str]:
    """The command that runs the official package on the two files, offline but for the judge's server.

    It asks for the plain win rate, for no leaderboard and for no length control, since the latter two are downloaded.

    Args:
        folder: that `write_alpaca_eval` filled; leaderboard.csv and annotations.json go there, too.
        config: the folder of `write_annotators_config`.
    """
    options = {
        "model_outputs": folder.resolve() / MODEL_OUTPUTS,
        "reference_outputs": folder.resolve() / REFERENCE_OUTPUTS,
        "annotators_config": config.resolve(),
        "output_path": folder.resolve(),
        "precomputed_leaderboard": None,
        "fn_metric": "get_winrate",
        "sort_by": "win_rate",
    }
    return ["alpaca_eval", "evaluate", *(f"--{name}={value}" for name, value in options.items())]


def _answers(
    run: Path, prompts: Sequence[Prompt], answers: Sequence[Answered], target: str, condition: str
) -> dict[str, str]:
    """The answers under one condition by the prompt's id; those that failed are not in it."""
    if condition == REFERENCE and any(prompt.reference is not None for prompt in prompts):
        return {prompt.id: prompt.reference for prompt in prompts if prompt.reference is not None}
    mine = [row for row in answers if row.target == target]
    if not mine:
        raise InputError(f"{run} holds no answers of {target!r}; its targets: {_list(row.target for row in answers)}")
    found = [row for row in mine if row.condition == condition]
    if not found:
        raise InputError(
            f"{run} holds no answers of {target!r} under {condition!r}; it has: {_list(row.condition for row in mine)}"
        )
    return {row.id: row.answer for row in found if row.answer is not None and row.problem is None}


def _list(names: Any) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _write_json(path: Path, rows: list[dict[str, Any]]) -> None:
    text = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode("utf-8", "replace"))  # lone surrogates, which no server takes, become ?
