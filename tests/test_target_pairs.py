"""A target's own pairs: what is kept, what is dropped and why, and that nothing is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted import ScriptedClient

from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient
from promptlift.data.generate import Seed
from promptlift.data.target_pairs import TargetPairSettings, target_pairs
from promptlift.records import Pair

SEEDS = [
    Seed(f"write a short poem about {what} in the rain", "poems") for what in ("a dog", "an old barn", "two ships")
]


def asked_of(text: str) -> str:
    return text.rsplit("Prompt:\n", 1)[-1]


def good(text: str) -> str:
    return f"Use vivid images of {asked_of(text).split('about ')[1].split(' in')[0]}, and end on a quiet line."


def ask(tmp_path: Path, client: ScriptedClient, budget: Budget | None = None) -> CachedClient:
    return CachedClient(client, AnswerCache(tmp_path / "answers.sqlite"), budget)


def test_what_passes_the_guard_becomes_a_pair_of_the_target(tmp_path: Path) -> None:
    found = target_pairs(ask(tmp_path, ScriptedClient(good)), "toy:1b", TargetPairSettings(), SEEDS)
    assert [pair.prompt for pair in found.pairs] == [seed.prompt for seed in SEEDS]
    assert all(pair.target == "toy:1b" and pair.light.startswith(pair.prompt) for pair in found.pairs)
    assert found.pairs[0].light.endswith("Use vivid images of a dog, and end on a quiet line.")
    assert not found.dropped and found.ended_by is None


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I'm sorry, but I can't assist with that.", "answered"),
        ("write a short poem about a dog in the rain", "parrot"),
        ("Use vivid images of it. " + "Think of every drop and every puddle. " * 12, "length"),
        ("Mention the year 1987 and Mr. Robert Fletcher.", "invented"),
        ("", "empty"),
    ],
)
def test_what_is_no_advice_is_dropped_after_all_tries(tmp_path: Path, reply: str, reason: str) -> None:
    client = ScriptedClient(lambda _: reply)
    found = target_pairs(ask(tmp_path, client), "toy", TargetPairSettings(tries=3), SEEDS[:1])
    assert not found.pairs and client.calls == 3
    assert [row["reason"].split(":")[0] for row in found.dropped] == [reason]


def test_a_later_try_may_pass(tmp_path: Path) -> None:
    replies = iter(["Sure! I am happy to help you with that.", "Use vivid images, and end on a quiet line."])
    client = ScriptedClient(lambda _: next(replies))
    found = target_pairs(ask(tmp_path, client), "toy", TargetPairSettings(concurrency=1), SEEDS[:1])
    assert len(found.pairs) == 1 and client.calls == 2


def test_what_is_said_of_every_prompt_is_dropped(tmp_path: Path) -> None:
    client = ScriptedClient(lambda _: "Use vivid images, and end on a quiet line.")
    found = target_pairs(ask(tmp_path, client), "toy", TargetPairSettings(repeats=2), SEEDS)
    assert len(found.pairs) == 2 and found.reasons() == {"repeated": 1}


def test_a_rerun_asks_nothing_and_concurrency_changes_nothing(tmp_path: Path) -> None:
    first, second = ScriptedClient(good), ScriptedClient(good)
    one = target_pairs(ask(tmp_path, first), "toy", TargetPairSettings(concurrency=1), SEEDS)
    many = target_pairs(ask(tmp_path, second), "toy", TargetPairSettings(concurrency=3), SEEDS)
    assert one.pairs == many.pairs and second.calls == 0


def test_a_spent_budget_ends_it_and_a_later_run_goes_on(tmp_path: Path) -> None:
    client = ScriptedClient(good)
    settings = TargetPairSettings(concurrency=1)
    part = target_pairs(ask(tmp_path, client, Budget(Limits(calls=2))), "toy", settings, SEEDS)
    assert part.ended_by is not None and len(part.pairs) == 2
    whole = target_pairs(ask(tmp_path, client), "toy", settings, SEEDS)
    assert len(whole.pairs) == 3 and client.calls == 3


def test_the_sides_are_those_that_are_asked_for(tmp_path: Path) -> None:
    def reply(text: str) -> str:
        return asked_of(text) + ", with vivid images and a quiet end" if "Rewrite it so" in text else good(text)

    settings = TargetPairSettings(strengths=("light", "full"))
    pair: Pair = target_pairs(ask(tmp_path, ScriptedClient(reply)), "toy", settings, SEEDS[:1]).pairs[0]
    assert pair.optimized == f"{SEEDS[0].prompt}, with vivid images and a quiet end" and "quiet line" in pair.light


def test_prompts_that_the_prompter_leaves_alone_are_not_asked(tmp_path: Path) -> None:
    client = ScriptedClient(good)
    target_pairs(ask(tmp_path, client), "toy", TargetPairSettings(), [Seed("   "), Seed("{name}"), SEEDS[0], SEEDS[0]])
    assert client.calls == 1
