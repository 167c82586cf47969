"""A run, stage by stage: what is asked, the answers, the verdicts. Each stage leaves files that the next one reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptlift.errors import InputError
from promptlift.evaluation import conditions as made
from promptlift.evaluation.answers import AnswerSettings, answer_all
from promptlift.evaluation.conditions import Progress
from promptlift.evaluation.folder import Asked, Prompt, RunFolder, digest, slug
from promptlift.evaluation.judging import Contrast, Match, contrasts_of, judge_all, matches

if TYPE_CHECKING:
    from promptlift.chat.cached import CachedClient
    from promptlift.evaluation.comparing import Judge
    from promptlift.prompter import Prompter


def parse_conditions(given: Sequence[str]) -> dict[str, Path | None]:
    """`NAME` or `NAME=FILE` as conditions; `raw` is always among them.

    Raises:
        InputError: a name is not built in and has no file, or stands twice.
    """
    found: dict[str, Path | None] = {"raw": None}
    for text in given:
        name, equals, file = text.partition("=")
        if equals and (not name or not file or name in made.BUILT_IN or name == made.REFERENCE):
            raise InputError(f"--condition {text!r}: a name of your own and a file are needed: bpo=rewrites.jsonl")
        if not equals and name not in made.BUILT_IN:
            raise InputError(
                f"--condition {text!r}: it is none of {', '.join(made.BUILT_IN)}; rewrites of your own: NAME=FILE"
            )
        if name in found and name != "raw":
            raise InputError(f"--condition {name!r} stands twice")
        found[name] = Path(file) if equals else None
    return found


def default_conditions(target: str, prompter: Prompter) -> list[str]:
    """What is measured unless the user says otherwise: the rewrite and every control that there is."""
    names = ["raw", "rewritten", "suffix", "zero-shot"]
    if adapter_of(prompter, target) is not None:
        names.append("unadapted")
        if _other_adapter(prompter, target) is not None:
            names.append("wrong-adapter")
    return names


def prepare(
    run: RunFolder, target: str, prompts: Sequence[Prompt], wanted: dict[str, Path | None], prompter: Prompter | None,
    base: CachedClient | None, concurrency: int, progress: Progress,
) -> list[Asked]:  # fmt: skip
    """Make what the target is asked, and keep it in the run.

    Args:
        run: the folder.
        target: the target's name.
        prompts: the raw prompts.
        wanted: of `parse_conditions`.
        prompter: for the conditions that it makes; None if there are none.
        base: the untrained base, for `zero-shot`.
        concurrency: of the base.
        progress: called with a stage's name, what is done, and of how much.

    Raises:
        InputError: `wrong-adapter` is wanted, and there is no other adapter.
    """
    rows: list[Asked] = []
    keys: dict[str, str] = {}
    for name, file in wanted.items():
        if file is not None:
            rows += made.from_file(name, target, prompts, file)
        elif name == "raw":
            rows += made.unchanged(target, prompts)
        elif name == "suffix":
            rows += made.suffixed(target, prompts)
        elif name == "zero-shot":
            assert base is not None
            rows += made.zero_shot(target, prompts, base, concurrency, progress)
        else:
            assert prompter is not None
            adapter = {"rewritten": adapter_of(prompter, target), "unadapted": None}.get(name)
            if name == "wrong-adapter" and (adapter := _other_adapter(prompter, target)) is None:
                raise InputError(f"--condition wrong-adapter: {prompter.name} has no adapter of another target")
            key = rewriting_key(prompter, adapter, prompts)
            kept = _kept(run, target, name, key, prompts)
            rows += kept or made.rewritten(name, target, prompts, prompter, adapter, progress)
            keys[name] = key
    run.keep_asked(target, rows)
    run.keep_settings(rewriting=run.settings().get("rewriting", {}) | {target: keys})
    return rows


def rewriting_key(prompter: Prompter, adapter: str | None, prompts: Sequence[Prompt]) -> str:
    """A hash of what rewrites depend on: the prompter, what it may say, the adapter, the prompts."""
    through = prompter.adapter(adapter) if adapter is not None else None
    content = [prompter.name, prompter.folder.manifest.proven, through.version if through else None]
    return digest(json.dumps([*content, [p.prompt for p in prompts]]))


def _kept(run: RunFolder, target: str, name: str, key: str, prompts: Sequence[Prompt]) -> list[Asked]:
    """The rewrites that an earlier, killed call made: what was asked stays what is asked."""
    if run.settings().get("rewriting", {}).get(target, {}).get(name) != key:
        return []
    rows = {row.id: row for row in run.asked() if (row.target, row.condition) == (target, name)}
    return [rows[p.id] for p in prompts] if all(p.id in rows for p in prompts) else []


def answer(
    run: RunFolder, target: str, asked: Sequence[Asked], llm: CachedClient, settings: AnswerSettings, progress: Progress
) -> None:
    """Ask the target and keep its answers. What was asked before comes from the cache.

    Raises:
        BudgetError: the budget is spent; the answers that there are were kept.
        TargetError: the target does not answer at all.
    """
    rows, over = answer_all(asked, llm, settings, progress)
    run.keep_answers(target, rows)
    known = run.settings().get("targets", {})
    run.keep_settings(targets=known | {target: {"model": llm.client.name, **asdict(settings)}})
    if over is not None:
        raise over


def judge(
    run: RunFolder, targets: Sequence[str], who: Judge, wanted: Sequence[Contrast] | None, progress: Progress
) -> int:
    """Judge the answers of some targets and keep the outcomes; returns how many there are.

    Raises:
        BudgetError: the judge's budget is spent; what it said was kept.
    """
    found = [match for target in targets for match in run_matches(run, target, wanted)]
    rows, over = judge_all(found, who, progress)
    run.keep_outcomes(rows)
    if over is not None:
        raise over
    return len(rows)


def run_matches(run: RunFolder, target: str, wanted: Sequence[Contrast] | None) -> list[Match]:
    """The pairs of answers of a target that are compared; by default those of `contrasts_of`."""
    prompts, answers = run.prompts(), run.answers()
    names = [a.condition for a in answers if a.target == target]
    chosen = contrasts_of(names, any(p.reference for p in prompts)) if wanted is None else wanted
    return matches(target, prompts, answers, chosen)


def every_match(run: RunFolder) -> list[Match]:
    """All pairs of answers that any contrast of the run can compare."""
    found = []
    prompts, answers = run.prompts(), run.answers()
    for target in targets_of(run):
        names = dict.fromkeys([*(a.condition for a in answers if a.target == target), made.REFERENCE])
        found += matches(target, prompts, answers, [(x, y) for x in names for y in names if x != y])
    return found


def targets_of(run: RunFolder) -> list[str]:
    """The targets that the run has answers of."""
    return list(dict.fromkeys(row.target for row in run.answers()))


def remember_command(run: RunFolder, arguments: Sequence[str], **settings: Any) -> None:
    """Keep how the run was made; a command that was given before is not repeated."""
    commands = run.settings().get("commands", [])
    line = without_login(" ".join(json.dumps(a) if " " in a else a for a in ("promptlift", *arguments)))
    run.keep_settings(commands=[*(c for c in commands if c != line), line], **settings)


def without_login(command: str) -> str:
    """A command as it was typed, but for a name and password in a URL."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", command)


def adapter_of(prompter: Prompter, target: str) -> str | None:
    """The name of the adapter that serves a target; None if there is none, or one that is worse than none.

    Names are the same where they lie in the same folder: `qwen2.5:0.5b` and `qwen2.5-0.5b`.
    """
    own = next((name for name in prompter.targets if slug(name) == slug(target)), None)
    return own if own is not None and prompter.adapter(own) is not None else None


def _other_adapter(prompter: Prompter, target: str) -> str | None:
    others = (name for name in prompter.targets if slug(name) != slug(target))
    return next((name for name in others if prompter.adapter(name) is not None), None)
