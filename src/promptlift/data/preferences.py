"""Pairs from preferences: what made the better answer better, said in the prompt (BPO, section 3.2).

(prompt, better answer, worse answer) ──lesson──► what made it better ──apply──► optimized prompt
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.chat.cached import CachedClient, Question, work
from promptlift.data import prompts
from promptlift.data.generate import (
    Generated,
    GenerateSettings,
    Progress,
    StageCounter,
    distinct,
    fault,
    gather,
    prompt_hash,
)
from promptlift.errors import RecordError
from promptlift.records import Pair, read_jsonl

_FIELDS = {
    "prompt": ("prompt", "instruction", "question", "input"),
    "better": ("better", "chosen", "good_res", "preferred"),
    "worse": ("worse", "rejected", "bad_res", "other"),
}
SHOWN = 6000
"""Characters of an answer that are shown to the LLM."""


@dataclass(frozen=True)
class Preference:
    """Two answers to a prompt, of which people preferred the first."""

    prompt: str
    better: str
    worse: str
    topic: str = ""


def read_preferences(path: str | Path) -> list[Preference]:
    """Read preferences; the field names of BPO's data and of TRL's preference format are known.

    `chosen` and `rejected` may be texts or chats, of which the last message counts.

    Raises:
        InputError: the file can't be read.
        RecordError: a row lacks one of the three texts.
    """
    found = []
    for number, row in read_jsonl(path):
        values = {}
        for name, fields in _FIELDS.items():
            text = next((t for t in (_text(row.get(f)) for f in fields) if t), None)
            if text is None:
                raise RecordError(f"{path}, line {number}: no text in any of the fields {', '.join(fields)}")
            values[name] = text
        topic = row.get("topic")
        found.append(Preference(**values, topic=topic if isinstance(topic, str) else ""))
    return found


def from_preferences(
    llm: CachedClient,
    settings: GenerateSettings,
    preferences: Sequence[Preference],
    against: Sequence[str] = (),
    progress: Progress | None = None,
) -> Generated:
    """Make a pair of each preference; what the guard stops is repaired once or dropped.

    Args:
        llm: says what made the better answer better, and writes the prompt.
        settings: `most`, `temperature`, `seed`, `concurrency`, `similar`, `max_tokens` count.
        preferences: see read_preferences.
        against: prompts that no pair may be near to.
        progress: told about the advance.
    """
    dropped: list[dict[str, Any]] = []
    chosen = distinct(preferences, against, settings.similar, dropped)
    made, over = work(
        chosen, lambda item: _pair(llm, settings, item), settings.concurrency,
        StageCounter(progress, "pairs", len(chosen)),
    )  # fmt: skip
    return Generated(gather(made, chosen, dropped), dropped, over)


def _pair(llm: CachedClient, settings: GenerateSettings, item: Preference) -> Pair | dict[str, Any]:
    rng = random.Random(f"{settings.seed}/{item.prompt}")

    def ask(name: str, **values: object) -> str:
        text = prompts.fill(name, most=settings.most, prompt=item.prompt, **values)
        question = Question(text, settings.max_tokens, settings.temperature / 2, seed=rng.randrange(2**31))
        return prompts.bare(llm.ask(question).text)

    lesson = ask("lesson", better=item.better[:SHOWN], worse=item.worse[:SHOWN])
    rich = ask("apply", lesson=lesson)
    reason = fault(item.prompt, rich, "full", settings.most)
    if reason:
        rich = ask("repair", rewrite=rich, faults=reason)
        reason = fault(item.prompt, rich, "full", settings.most)
    if reason:
        return {"prompt": item.prompt, "reason": reason, "rewrite": rich}
    source = f"preferences, {llm.client.name}"
    return Pair(f"pref-{prompt_hash(item.prompt)}", item.prompt, rich, item.topic, source, extra={"lesson": lesson})


def _text(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    return value.strip() if isinstance(value, str) else ""
