"""Pairs in a target's own words: the target itself says how its prompts should be optimized (the paper's stage 2).

Each seed prompt is put to the target until what it writes passes the guard, at most `tries` times.
Weak targets answer the prompt instead, or say the same of every prompt: both are dropped, and counted.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptlift.chat.cached import CachedClient, PromptFailed, Question, work
from promptlift.data import prompts
from promptlift.data.generate import Generated, Progress, Seed, StageCounter, fault, gather, prompt_hash
from promptlift.errors import TargetError
from promptlift.records import Pair, Strength
from promptlift.rewriting import prepare
from promptlift.template import QUALITIES, assemble

TEMPLATES: dict[Strength, tuple[str, ...]] = {
    "guide": prompts.GUIDE, "light": ("suggest",), "content": ("cover",), "full": ("optimize",),
}  # fmt: skip
"""What is asked for each side."""
MOST_WORDS: dict[Strength, int] = {"light": 30, "guide": 70}
"""Words that advice on form may have (what is longer answers, or names content), and a guide."""
FIRST = 8
"""Seeds that are asked about first: if the target fails at each, the others are not tried."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class TargetPairSettings:
    """How a target's own pairs are made.

    Attributes:
        strengths: the sides that are asked for; those that the prompter knows.
        tries: samples for each prompt and side until one passes the guard.
        most: words that the content and the full side may add.
        parrot: the share of an addition's words that may stand in the prompt.
        repeats: how often the same addition may come; what comes more often says nothing of its prompt.
        temperature: of the first sample; later ones take at least 0.7.
        seed: of the sampling.
        concurrency: questions in work at once.
        max_tokens: of each reply.
    """

    strengths: tuple[Strength, ...] = ("light",)
    tries: int = 4
    most: int = 60
    parrot: float = 0.7
    repeats: int = 5
    temperature: float = 0.4
    seed: int = 0
    concurrency: int = 4
    max_tokens: int = 256


def target_pairs(
    target: CachedClient,
    name: str,
    settings: TargetPairSettings,
    seeds: Sequence[Seed],
    progress: Progress | None = None,
) -> Generated:
    """Ask a target for its own pairs.

    Args:
        target: the LLM.
        name: what its pairs carry as `target`.
        settings: see there.
        seeds: raw prompts; those that the prompter would not rewrite, or that came before, are passed over.
        progress: told about the advance.

    Returns:
        A pair for each seed whose sides all pass; why the others did not.

    Raises:
        TargetError: the target failed at the first seeds and answered nothing: it can't be reached, say.
    """
    once = {seed.prompt: seed for seed in reversed(seeds)}  # the first of the same, in the last one's place
    usable = [seed for seed in reversed(once.values()) if prepare(seed.prompt, ["en"])[1] is None]
    done = StageCounter(progress, "pairs", len(usable))

    def job(seed: Seed) -> Pair | dict[str, Any]:
        return _pair(target, name, settings, seed)

    made, over = work(usable[:FIRST], job, settings.concurrency, done)
    failed = [found for found in made if isinstance(found, PromptFailed)]
    if len(failed) == FIRST and target.budget.spent.calls == target.budget.spent.failed:
        raise TargetError(failed[0].message)
    if over is None:
        more, over = work(usable[FIRST:], job, settings.concurrency, done)
        made += more
    dropped: list[dict[str, Any]] = []
    kept = _varied(gather(made, usable[: len(made)], dropped), settings, dropped)
    return Generated(kept, dropped, over)


def _pair(target: CachedClient, name: str, settings: TargetPairSettings, seed: Seed) -> Pair | dict[str, Any]:
    sides: dict[Strength, str] = {}
    for strength in settings.strengths:
        found, reason = _side(target, settings, seed.prompt, strength)
        if reason is not None:
            return {"prompt": seed.prompt, "reason": reason, "rewrite": found}
        sides[strength] = found
    return Pair(
        id=f"{prompt_hash(seed.prompt)}-{name}",
        prompt=seed.prompt,
        optimized=sides.get("full", next(iter(sides.values()))),
        topic=seed.topic,
        source=f"written by {name}",
        optimized_light=sides.get("light"),
        optimized_content=sides.get("content"),
        optimized_guide=sides.get("guide"),
        target=name,
    )


def _side(
    target: CachedClient, settings: TargetPairSettings, prompt: str, strength: Strength
) -> tuple[str, str | None]:
    """One side, and why the last of the samples was not good enough, if none was."""
    rng = random.Random(f"{settings.seed}/{strength}/{prompt}")
    asked = [prompts.fill(name, prompt=prompt, most=settings.most) for name in TEMPLATES[strength]]
    rewrite, reason = "", "empty: nothing was written"
    for attempt in range(settings.tries):
        temperature = settings.temperature if attempt == 0 else max(settings.temperature, 0.7)
        answers = [
            target.ask(Question(text, settings.max_tokens, temperature, seed=rng.randrange(2**31))) for text in asked
        ]
        parts = [prompts.bare(answer.text) for answer in answers]
        if not all(parts):
            continue
        written = QUALITIES.join(parts)
        rewrite = assemble(prompt, written, strength)
        cut = any(answer.cut for answer in answers)
        found = "cut: at the token limit" if cut else _fault(settings, prompt, written, rewrite, strength)
        if found is None:
            return rewrite, None
        reason = found
    return rewrite, reason


def _fault(settings: TargetPairSettings, prompt: str, written: str, rewrite: str, strength: Strength) -> str | None:
    most = MOST_WORDS.get(strength, settings.most)
    if reason := fault(prompt, rewrite, strength, most):
        return reason
    said, had = _WORD.findall(written.lower()), set(_WORD.findall(prompt.lower()))
    if strength in ("light", "content") and sum(word in had for word in said) > settings.parrot * len(said):
        return "parrot: says the prompt again"
    return None


def _varied(pairs: list[Pair], settings: TargetPairSettings, dropped: list[dict[str, Any]]) -> list[Pair]:
    """The pairs but for additions that come again and again."""
    first = settings.strengths[0]
    said = [" ".join(_WORD.findall(pair.side(first).removeprefix(pair.prompt).lower())) for pair in pairs]
    count, seen, kept = Counter(said), Counter[str](), []
    for pair, text in zip(pairs, said, strict=True):
        seen[text] += 1
        if seen[text] > settings.repeats:
            reason = f"repeated: said of {count[text]} prompts"
            dropped.append({"prompt": pair.prompt, "reason": reason, "rewrite": pair.side(first)})
        else:
            kept.append(pair)
    return kept
