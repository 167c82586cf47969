"""Seeds or topics to pairs, through an LLM: draft, optimize, criticise, repair or drop.

Every question goes through a cache (`promptlift.chat.cached`), so a run that was killed or ran out of
budget goes on where it was when it is started again with the same settings.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptlift import guard
from promptlift.chat.cached import CachedClient, PromptFailed, Question, work
from promptlift.data import prompts
from promptlift.errors import BudgetError, InputError
from promptlift.records import Pair, Strength
from promptlift.spans import literals
from promptlift.template import QUALITIES, assemble

DRAFTS_PER_CALL = 5
ROUNDS = 3
"""How often drafts are asked for again where a topic has too few."""
_ADDITIONS: dict[Strength, tuple[str, ...]] = {"guide": prompts.GUIDE, "light": ("advise",)}
"""The sides that add to the prompt, where the setting of that name wants them, and what is asked for each."""
NOT_FOR_PAIRS = {"guard:invented", "guard:drift", "guard:conflict"}
"""Checks of the guard that a rich rewrite may fail: naming content is its job; the critic judges it."""


@dataclass(frozen=True)
class Seed:
    """A prompt to make a pair of, and what it is about."""

    prompt: str
    topic: str = ""


@dataclass(frozen=True)
class GenerateSettings:
    """How pairs are made.

    Attributes:
        n: how many pairs are wanted, where they are made from topics.
        topics: shared out evenly over the pairs.
        roughen: seeds are first typed again as a hasty person would.
        guide: also make the guide: what a good answer of the kind has, and what is asked, said again.
        light: also make the light side.
        critique: let the LLM criticise each rewrite, and repair it once.
        most: words that the rich side may add.
        temperature: of drafts; all else is asked at half of it.
        seed: of the manners of typing and of the sampling.
        concurrency: questions in work at once.
        similar: prompts closer than this are near-duplicates, and one is kept.
        max_tokens: of each reply.
    """

    n: int = 100
    topics: tuple[str, ...] = prompts.TOPICS
    roughen: bool = False
    guide: bool = True
    light: bool = True
    critique: bool = True
    most: int = 80
    temperature: float = 0.8
    seed: int = 0
    concurrency: int = 4
    similar: float = 0.5
    max_tokens: int = 700


@dataclass
class Generated:
    """What a run made.

    Attributes:
        pairs: in order, free of near-duplicates.
        dropped: {"prompt", "reason", "rewrite"?} of what was not kept.
        ended_by: the spent budget, if that ended the run.
    """

    pairs: list[Pair]
    dropped: list[dict[str, Any]] = field(default_factory=list)
    ended_by: BudgetError | None = None

    def reasons(self) -> Counter[str]:
        """How many were dropped for each reason."""
        return Counter(row["reason"].split(":")[0] for row in self.dropped)


Progress = Callable[[str, int, int], None]
"""Called with (stage, done, in all)."""


def generate(
    llm: CachedClient,
    settings: GenerateSettings,
    seeds: Sequence[Seed] = (),
    against: Sequence[str] = (),
    progress: Progress | None = None,
) -> Generated:
    """Make pairs.

    Args:
        llm: writes and criticises.
        settings: see there.
        seeds: prompts to start from; none: the LLM drafts them from `settings.topics`.
        against: prompts that no pair may be near to (an evaluation set).
        progress: told about the advance.

    Raises:
        InputError: there are neither seeds nor topics, or the LLM's drafts can't be read.
    """
    if not seeds and not settings.topics:
        raise InputError("nothing to start from: give seeds (--seeds FILE) or topics (--topics a,b,c)")
    dropped: list[dict[str, Any]] = []
    drafted, over = (list(seeds), None) if seeds else _draft(llm, settings, against, dropped, progress)
    if not drafted and over is None:
        raise InputError(f"{llm.client.name} wrote no draft that can be read; try a stronger LLM, or give --seeds FILE")
    chosen = list(drafted) if settings.roughen else distinct(drafted, against, settings.similar, dropped)
    done = StageCounter(progress, "pairs", len(chosen))
    made, later = work(chosen, lambda seed: _pair(llm, settings, seed), settings.concurrency, done)
    kept = distinct(gather(made, chosen, dropped), against, settings.similar, dropped)
    return Generated(kept, dropped, over or later)


def _draft(
    llm: CachedClient,
    settings: GenerateSettings,
    against: Sequence[str],
    dropped: list[dict[str, Any]],
    progress: Progress | None,
) -> tuple[list[Seed], BudgetError | None]:
    """Drafts from topics, near-duplicates left out, evenly over the topics."""
    share = -(-settings.n // len(settings.topics))
    found: dict[str, list[Seed]] = {topic: [] for topic in settings.topics}
    over: BudgetError | None = None
    for attempt in range(ROUNDS):
        wanted = [(t, k) for t, have in found.items() for k in range(-(-(share - len(have)) // DRAFTS_PER_CALL))]
        if not wanted or over is not None:
            break
        done = StageCounter(progress, "drafts", len(wanted))

        def draft(item: tuple[str, int], attempt: int = attempt) -> list[Seed]:
            topic, number = item
            rng = random.Random(f"{settings.seed}/{topic}/{attempt}/{number}")
            text = prompts.fill("draft", count=DRAFTS_PER_CALL, topic=topic, manner=rng.choice(prompts.MANNERS))
            reply = llm.ask(Question(text, 2 * settings.max_tokens, settings.temperature, seed=rng.randrange(2**31)))
            return [Seed(prompt, topic) for prompt in prompts.read_drafts(reply.text) if not reply.cut]

        replies, over = work(wanted, draft, settings.concurrency, done)
        failed = [reply for reply in replies if isinstance(reply, PromptFailed)]
        if failed and len(failed) == len(replies):
            raise InputError(f"no draft could be had: {failed[0].message}")
        fresh = [seed for reply in replies if isinstance(reply, list) for seed in reply]
        for seed in distinct([s for have in found.values() for s in have] + fresh, against, settings.similar, dropped):
            if seed not in found[seed.topic] and len(found[seed.topic]) < share:
                found[seed.topic].append(seed)
    rows = [seeds[k] for k in range(share) for seeds in found.values() if k < len(seeds)]
    return rows[: settings.n], over


def _pair(llm: CachedClient, settings: GenerateSettings, seed: Seed) -> Pair | dict[str, Any]:
    """One pair, or why there is none."""
    rng = random.Random(f"{settings.seed}/{seed.prompt}")

    def ask(name: str, **values: object) -> str:
        text = prompts.fill(name, most=settings.most, **values)
        return llm.ask(Question(text, settings.max_tokens, settings.temperature / 2, seed=rng.randrange(2**31))).text

    raw = seed.prompt
    if settings.roughen:
        raw = prompts.bare(ask("roughen", prompt=raw, manner=rng.choice(prompts.MANNERS)))
        if lost := set(literals(seed.prompt)) - set(literals(raw)):
            return {
                "prompt": seed.prompt,
                "reason": "literal: lost in roughening",
                "rewrite": raw,
                "lost": sorted(lost),
            }
    # A question of its own: offered as a way out of rewriting, small LLMs take it every time.
    if prompts.needs_no_help(ask("sort", prompt=raw)):
        return _record(llm, raw, raw, seed.topic, {"guide": raw, "light": raw})
    rich = prompts.bare(ask("optimize", prompt=raw))
    reason = fault(raw, rich, "full", settings.most)
    if settings.critique:
        faults = [(reason, "")] if reason else prompts.read_faults(ask("critique", prompt=raw, rewrite=rich))
        if faults is None:
            return {"prompt": raw, "reason": "critic: its reply can't be read", "rewrite": rich}
        if faults:
            told = "\n".join(f"{name}: {what}" if what else name for name, what in faults)
            rich = prompts.bare(ask("repair", prompt=raw, rewrite=rich, faults=told))
            reason = fault(raw, rich, "full", settings.most)
            left = None if reason else prompts.read_faults(ask("critique", prompt=raw, rewrite=rich))
            if not reason and left != []:
                reason = f"critic: {left[0][0]}" if left else "critic: its reply can't be read"
    if reason:
        return {"prompt": raw, "reason": reason, "rewrite": rich}
    sides: dict[Strength, str] = {}
    for strength, names in _ADDITIONS.items():
        if not getattr(settings, strength):
            continue
        written = QUALITIES.join(prompts.bare(ask(name, prompt=raw)) for name in names)
        sides[strength] = assemble(raw, written, strength)
        if reason := fault(raw, sides[strength], strength, settings.most):
            return {"prompt": raw, "reason": f"{strength}: {reason}", "rewrite": sides[strength]}
    return _record(llm, raw, rich, seed.topic, sides)


def prompt_hash(prompt: str) -> str:
    """What a pair's id is made of: the same prompt gets the same id in every run."""
    return hashlib.sha256(prompt.encode("utf-8", "replace")).hexdigest()[:12]


def fault(prompt: str, rewrite: str, strength: Strength, most: int) -> str | None:
    """What is wrong with one side of a pair, by the guard and the words added; None if nothing is."""
    allowed = NOT_FOR_PAIRS if strength == "full" else set()
    for name, detail in guard.explain(prompt, rewrite, strength=strength):
        if f"guard:{name}" not in allowed:
            return f"{name}: {detail}"
    added = len(rewrite.split()) - len(prompt.split())
    # A third more than was asked for: LLMs count badly.
    return f"length: adds {added} words, {most} are allowed" if added > most * 4 // 3 else None


def _record(llm: CachedClient, raw: str, rich: str, topic: str, sides: dict[Strength, str]) -> Pair:
    return Pair(
        f"gen-{prompt_hash(raw)}", raw, rich, topic, f"generated by {llm.client.name}",
        optimized_light=sides.get("light"), optimized_guide=sides.get("guide"),
    )  # fmt: skip


def distinct(items: Sequence[Any], against: Sequence[str], similar: float, dropped: list[dict[str, Any]]) -> list[Any]:
    """The items that are near to none before them, and to nothing in `against`."""
    from promptlift.similarity import nearest, pairs_alike

    texts = [item.prompt for item in items]
    out = {j: "duplicate" for i, j, _ in sorted(pairs_alike(texts, similar))}
    if against and texts:
        out |= {k: "evaluation" for k, (_, value) in enumerate(nearest(texts, against)) if value >= similar}
    for k, why in out.items():
        dropped.append({"prompt": texts[k], "reason": f"{why}: too near to another prompt"})
    return [item for k, item in enumerate(items) if k not in out]


def gather(
    made: Sequence[Pair | dict[str, Any] | PromptFailed | None], items: Sequence[Any], dropped: list[dict[str, Any]]
) -> list[Pair]:
    """The pairs among what was made of `items`; the rest goes to `dropped`, but for what a spent budget left undone."""
    pairs: list[Pair] = []
    for found, item in zip(made, items, strict=True):
        if isinstance(found, Pair):
            pairs.append(found)
        elif isinstance(found, PromptFailed):
            dropped.append({"prompt": item.prompt, "reason": f"llm: {found.message}"})
        elif found is not None:
            dropped.append(found)
    return pairs


class StageCounter:
    """Counts the items done and tells the caller's progress."""

    def __init__(self, progress: Progress | None, stage: str, total: int) -> None:
        self._progress, self._stage, self._total, self._done = progress, stage, total, 0

    def __call__(self) -> None:
        """One more is done."""
        self._done += 1
        if self._progress:
            self._progress(self._stage, self._done, self._total)
