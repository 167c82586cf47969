"""One target asked with raw and with rewritten prompts, each answer scored; `summary` has the differences.

An item counts only if both of its prompts were answered. One whose request failed (the LLM was out of reach, the
prompt too long for it) is left out on both sides and counted as failed; an empty answer, and one cut at the token
limit, are scored as they are, and counted.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from promptlift.chat.cached import PromptFailed, Question, work
from promptlift.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from promptlift.chat.base import Choice
    from promptlift.chat.cached import CachedClient
    from promptlift.prompter import Prompter

Scores = dict[str, float]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Item:
    """One thing to ask; `prompt` is the raw prompt, and a task's own fields say how an answer to it is scored."""

    id: str
    prompt: str


@dataclass(frozen=True)
class Rewritten:
    """What the target is asked instead of a raw prompt, and the prompter's reason to leave it as it was."""

    text: str
    reason: str | None = None


@dataclass(frozen=True)
class Reply:
    """What the target said to one prompt; `failed` is the error of a request without an answer."""

    text: str = ""
    cut: bool = False
    failed: str | None = None
    choice: Choice | None = None

    @property
    def empty(self) -> bool:
        """It was answered, with nothing but white space."""
        return self.failed is None and not self.text.strip()


@dataclass(frozen=True)
class Side:
    """A prompt, the reply, and the reply's scores; None if the request failed."""

    prompt: str
    reply: Reply
    scores: Scores | None


Kind = TypeVar("Kind", bound=Item)


@dataclass(frozen=True)
class Row(Generic[Kind]):
    """An item with both of its sides."""

    item: Kind
    raw: Side
    rewritten: Side
    reason: str | None = None

    @property
    def changed(self) -> bool:
        """The rewritten prompt is another than the raw one."""
        return self.raw.prompt != self.rewritten.prompt

    @property
    def scored(self) -> tuple[Scores, Scores] | None:
        """Both sides' scores, where both have some."""
        if self.raw.scores is None or self.rewritten.scores is None:
            return None
        return self.raw.scores, self.rewritten.scores


@dataclass(frozen=True)
class Task(Generic[Kind]):
    """What is asked, and how an answer is scored.

    Attributes:
        name: of the result's file.
        items: at least one.
        score: an answer's scores by metric, each higher for better; the same metrics for every item.
        choices: the words that an item is answered with, for log-probabilities; None: free text.
        weights: how much an item counts for a metric; 1 where it is not named.
        details: what else is told of one side's scored rows.
        extra: what else is told of the scored rows.
    """

    name: str
    items: Sequence[Kind]
    score: Callable[[Kind, Reply], Scores]
    choices: Callable[[Kind], Sequence[str]] | None = None
    weights: Callable[[Kind], Mapping[str, float]] = field(default=lambda _: {})
    details: Callable[[Sequence[tuple[Kind, Side]]], dict[str, Any]] = field(default=lambda _: {})
    extra: Callable[[Sequence[Row[Kind]]], dict[str, Any]] = field(default=lambda _: {})


@dataclass(frozen=True)
class Asking:
    """How the target is asked; `seed` is that of the sampling. Log-probabilities are taken at temperature 0."""

    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    concurrency: int = 4


def need(package: str) -> None:
    """Raise MissingExtraError unless a package of the extra `eval` can be imported; told before anything is asked."""
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError(f"this evaluation ({package})", "eval")


def rewrites_by(
    prompter: Prompter, prompts: Sequence[str], adapter: str | None = None, progress: Progress | None = None
) -> list[Rewritten]:
    """Rewrite each prompt greedily, equal ones once, through the adapter of a target if one is named.

    Raises:
        TargetError: the prompter has no such adapter.
        EngineError: the engine failed.
    """
    once = list(dict.fromkeys(prompts))
    found: dict[str, Rewritten] = {}
    for done, made in enumerate(prompter.rewrite_many(once, adapter), 1):
        found[made.prompt] = Rewritten(made.rewrite, made.reason)
        if progress:
            progress("rewriting", done, len(once))
    return [found[prompt] for prompt in prompts]


def run(
    task: Task[Kind],
    llm: CachedClient,
    rewrites: Sequence[Rewritten],
    how: Asking | None = None,
    progress: Progress | None = None,
) -> list[Row[Kind]]:
    """Ask the raw and the rewritten prompt of every item, equal prompts once, and score the answers.

    Args:
        task: what is asked.
        llm: the target.
        rewrites: one for each item, in their order.
        how: the target's settings.
        progress: called with the stage's name, how much is done, and how much there is.

    Raises:
        InputError: there is not one rewrite for each item, or no item.
        BudgetError: the budget is spent; the answers so far are in the cache.
    """
    how = how or Asking()
    if not task.items or len(rewrites) != len(task.items):
        raise InputError(f"{task.name}: {len(rewrites)} rewrites for {len(task.items)} prompts; one for each is needed")
    choices = [tuple(task.choices(item)) if task.choices else () for item in task.items]
    pairs = list(zip(task.items, rewrites, choices, strict=True))
    wanted = list(dict.fromkeys((text, c) for item, new, c in pairs for text in (item.prompt, new.text)))
    done = Counter[str]()

    def tell() -> None:
        done["asked"] += 1
        if progress:
            progress("asking", done["asked"], len(wanted))

    made, over = work(wanted, lambda what: _ask(llm, *what, how), how.concurrency, tell)
    if over is not None:
        raise over
    replies = dict(zip(wanted, (_reply(one) for one in made), strict=True))

    def side(item: Kind, prompt: str, choice: tuple[str, ...]) -> Side:
        reply = replies[prompt, choice]
        return Side(prompt, reply, None if reply.failed is not None else task.score(item, reply))

    return [Row(item, side(item, item.prompt, c), side(item, new.text, c), new.reason) for item, new, c in pairs]


def _ask(llm: CachedClient, prompt: str, choices: tuple[str, ...], how: Asking) -> Reply:
    if choices:
        said = llm.choose(Question(prompt, how.max_tokens), choices)
        return Reply(said.text, choice=said)
    answer = llm.ask(Question(prompt, how.max_tokens, how.temperature, how.seed))
    return Reply(answer.text, answer.cut)


def _reply(made: Reply | PromptFailed | None) -> Reply:
    if isinstance(made, PromptFailed):
        return Reply(failed=made.message)
    return made or Reply(failed="not asked")
