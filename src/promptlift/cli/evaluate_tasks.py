"""`promptlift evaluate rouge`, `multiple-choice` and `ifeval`: scores by rule, raw against rewritten prompts."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
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
from promptlift.cli.rewrite import PrompterOption, UnprovenOption
from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.evaluation.tasks.paired import Rewritten, Task

SLOTS = 1
"""In a batch, greedy decoding differs by rounding: a second run would ask other prompts."""

Target = Annotated[str, typer.Option(help="The LLM that answers; its adapter is used where the prompter has one.")]
Model = Annotated[str | None, typer.Option(help="The model's name at --base-url.", show_default="the target's name")]
Gguf = Annotated[Path | None, typer.Option(help="The target as a local GGUF.")]
Out = Annotated[Path, typer.Option(metavar="RUN", help="The run's folder; gets tasks/TASK-TARGET.json.")]
N = Annotated[int | None, typer.Option("--n", min=1, help="How many, drawn by --seed.", show_default="all")]
Length = Annotated[int, typer.Option(min=1, help="Answers are cut after so many tokens.")]
Temperature = Annotated[float, typer.Option(min=0.0, max=2.0, help="Of the target.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the draw, the target's sampling and the intervals.")]
Rewrites = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help='Rewrites that you have already, JSONL {"id", "rewrite"}: no prompter runs.'),
]
NoAdapter = Annotated[bool, typer.Option("--no-adapter", help="Rewrite without the target's adapter.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Articles = Annotated[Path, typer.Option(metavar="FILE", help='JSONL: "article", "reference" (or "highlights").')]
Questions = Annotated[Path, typer.Option(metavar="FILE", help='JSONL: "question", "choices", "answer" (index).')]
Prompts = Annotated[
    Path, typer.Option(metavar="FILE", help='IFEval\'s JSONL: "prompt", "instruction_id_list", "kwargs".')
]


def rouge(
    target: Target, articles: Articles, out: Out, base_url: BaseUrl = None, model: Model = None, gguf: Gguf = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY", n: N = None, max_answer_tokens: Length = 256,
    temperature: Temperature = 0.0, seed: Seed = 0, concurrency: Concurrency = 4, max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None, max_usd: MaxUsd = None, prices: Prices = None, cache: CacheFile = None,
    prompter: PrompterOption = None, unproven: UnprovenOption = False, no_adapter: NoAdapter = False,
    rewrites: Rewrites = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare summaries that the target writes, asked raw and rewritten, by ROUGE-1, -2 and -L.

    Each article is asked about in one of 14 ways that people ask for a summary. The paper finds no difference here.

    Example:

        promptlift evaluate rouge --target smollm2 --articles cnndm.jsonl --n 50 --out runs/today
    """
    from promptlift.evaluation.tasks import rouge as found

    limits = (concurrency, cache, max_calls, max_tokens, max_usd, prices)
    where = (base_url, model, gguf, api_key_env)
    how = (max_answer_tokens, temperature, seed)
    _run(found.task, articles, n, target, where, how, limits, prompter, unproven, no_adapter, rewrites, out, as_json)


def multiple_choice(
    target: Target, questions: Questions, out: Out, base_url: BaseUrl = None, model: Model = None, gguf: Gguf = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY", n: N = None, max_answer_tokens: Length = 16,
    temperature: Temperature = 0.0, seed: Seed = 0, concurrency: Concurrency = 4, max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None, max_usd: MaxUsd = None, prices: Prices = None, cache: CacheFile = None,
    prompter: PrompterOption = None, unproven: UnprovenOption = False, no_adapter: NoAdapter = False,
    rewrites: Rewrites = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare the accuracy on multiple choice questions (MMLU), asked raw and rewritten: it must not fall.

    The letter that the target thinks likeliest is taken, at temperature 0; --max-answer-tokens counts where the
    target tells no probabilities, and its letter is read from its text.

    Example:

        promptlift evaluate multiple-choice --target qwen --gguf qwen.gguf --questions mmlu.jsonl --out runs/today
    """
    from promptlift.evaluation.tasks import multiple_choice as found

    limits = (concurrency, cache, max_calls, max_tokens, max_usd, prices)
    where = (base_url, model, gguf, api_key_env)
    if temperature:
        raise InputError(f"--temperature is {temperature:g}; multiple-choice takes the likeliest letter, only 0 works")
    how = (max_answer_tokens, temperature, seed)
    _run(found.task, questions, n, target, where, how, limits, prompter, unproven, no_adapter, rewrites, out, as_json)


def ifeval(
    target: Target, prompts: Prompts, out: Out, base_url: BaseUrl = None, model: Model = None, gguf: Gguf = None,
    api_key_env: ApiKeyEnv = "OPENAI_API_KEY", n: N = None, max_answer_tokens: Length = 1024,
    temperature: Temperature = 0.0, seed: Seed = 0, concurrency: Concurrency = 4, max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None, max_usd: MaxUsd = None, prices: Prices = None, cache: CacheFile = None,
    prompter: PrompterOption = None, unproven: UnprovenOption = False, no_adapter: NoAdapter = False,
    rewrites: Rewrites = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Compare how well instructions in prompts are followed (IFEval), asked raw and rewritten; rules score it.

    Example:

        promptlift evaluate ifeval --target gpt-4o-mini --base-url https://api.openai.com/v1 --prompts ifeval.jsonl --out runs/today
    """  # noqa: E501
    from promptlift.evaluation.tasks import ifeval as found

    limits = (concurrency, cache, max_calls, max_tokens, max_usd, prices)
    where = (base_url, model, gguf, api_key_env)
    how = (max_answer_tokens, temperature, seed)
    _run(found.task, prompts, n, target, where, how, limits, prompter, unproven, no_adapter, rewrites, out, as_json)


def _run(
    make: Callable[[Path, int | None, int], Task[Any]], file: Path, n: int | None, target: str,
    where: tuple[str | None, str | None, Path | None, str], how: tuple[int, float, int],
    limits: tuple[int, Path | None, int | None, int | None, float | None, str | None],
    prompter: str | None, unproven: bool, no_adapter: bool, rewrites: Path | None, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Read, rewrite, ask, score, write and tell: the same for every task."""
    from promptlift import __version__
    from promptlift.adapters import slug
    from promptlift.evaluation.folder import digest
    from promptlift.evaluation.tasks import paired, reading
    from promptlift.evaluation.tasks.summary import summarise

    base_url, model, gguf, key = where
    if base_url is not None and gguf is not None:
        raise InputError("say where the target is with one of: --gguf PATH, --base-url URL")
    slug(target)  # a bad name is told before the target is asked anything
    task = make(file, n, how[2])
    given = None if rewrites is None else reading.read_rewrites(rewrites, task.items)
    by: dict[str, Any] = {"prompter": None, "adapter": None, "rewrites": rewrites and rewrites.name}
    spec = str(gguf) if gguf is not None else (model or target)
    with asking(spec, base_url, key, *limits) as asked:
        if given is None:
            given, by = _rewritten(task, prompter, None if no_adapter else target, unproven)
        with console.row_progress() as bar:
            rows = paired.run(task, asked, given, paired.Asking(*how, limits[0]), reporter(bar, asked))
        result = summarise(task, rows, how[2]) | by | {"target": target, "model": asked.client.name}
    result |= {
        "max_answer_tokens": how[0], "temperature": how[1], "seed": how[2], "file": file.name,
        "prompts_hash": digest("\n".join(item.prompt for item in task.items)),
        "promptlift": __version__, "date": datetime.now(UTC).isoformat(timespec="seconds"), "command": _command(),
    }  # fmt: skip
    path = reading.write_result(out, result, rows)
    if as_json:
        print(json.dumps(result))
    else:
        _show(result)
    if not result["changed"]:
        why = ", ".join(f"{count} {reason}" for reason, count in result["unchanged_because"].items()) or "as given"
        console.error_console().print(f"no prompt was changed ({why}): raw and rewritten are the same", markup=False)
    console.error_console().print(f"{path}; {asked.budget.spent.describe()}", markup=False, soft_wrap=True)


def _rewritten(
    task: Task[Any], prompter: str | None, target: str | None, unproven: bool
) -> tuple[list[Rewritten], dict[str, Any]]:
    """The prompter's rewrites, through the target's adapter where there is one that is not worse than none."""
    from promptlift.evaluation.run import adapter_of
    from promptlift.evaluation.tasks import paired

    with console.loaded(prompter, None, SLOTS, unproven) as found, console.row_progress() as bar:
        adapter = None if target is None else adapter_of(found, target)
        made = paired.rewrites_by(found, [item.prompt for item in task.items], adapter, stages(bar))
        return made, {"prompter": found.name, "adapter": adapter, "unproven": unproven, "rewrites": None}


def _show(result: dict[str, Any]) -> None:
    print(
        f"{result['task']}, {result['target']}: {result['n']} of {result['items']} prompts, "
        f"{result['changed']} changed, {result['failed']} failed, {result['cut']} answers cut"
    )
    for metric, told in result["difference"].items():
        line = (
            f"{metric:<20} raw {result['raw'][metric]:.3f}  rewritten {result['rewritten'][metric]:.3f}  {_told(told)}"
        )
        on_changed = result["difference_on_changed"].get(metric)
        print(line + (f"  on changed {_told(on_changed)}" if on_changed else ""))
    if test := result.get("mcnemar"):
        print(
            f"right raw alone {test['only_raw']}, rewritten alone {test['only_rewritten']}, p {test['p']:.3f} (McNemar)"
        )


def _told(difference: dict[str, Any]) -> str:
    interval = difference["interval"]
    return f"{difference['mean']:+.3f}" + (f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else "")


def _command() -> str:
    """What was typed, as a shell takes it."""
    from promptlift.evaluation.run import without_login

    return without_login(shlex.join(["promptlift", *sys.argv[1:]]))
