"""Pairs in a target's own words: the fake stands only at the seam to the LLM."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedClient

from promptlift import guard
from promptlift.chat.base import AnswerStream, Ending
from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient
from promptlift.data.generate import Generated, Seed
from promptlift.data.target_pairs import FIRST, TargetPairSettings, target_pairs
from promptlift.errors import TargetError
from promptlift.records import Pair, read_pairs, write_jsonl

RAW = "how do i keep tomato plants from getting blight"
ADVICE = "Give the steps in order, the most important first."
POINTS = "Cover spacing, watering and what to do at the first spots."
FULL = "How do I keep tomato plants from getting blight? Cover spacing, watering and the first spots."
THINGS = "tides rainbows glass bread salt rope wool iron paper clouds bridges violins compasses candles".split()
FORMS = "Use a table|Give short steps|Give one example for each part|Use plain words|Give a list of causes".split("|")
PEOPLE = "beginners children experts teachers parents students artists farmers engineers travellers".split()


def suggests(text: str) -> str:
    """One sentence for a prompt, another one for most others."""
    number = int(hashlib.sha256(_prompt_of(text).encode()).hexdigest(), 16)
    return f"{FORMS[number % 5]}, and end with the one thing that {PEOPLE[number // 5 % 10]} mostly get wrong."


def _prompt_of(text: str) -> str:
    return text.rsplit("Prompt:\n", 1)[1]


def asked(
    reply: Callable[[str], str | Exception], cache: Path | None = None, **limits: int
) -> tuple[CachedClient, ScriptedClient]:
    client = ScriptedClient(reply)
    kept = AnswerCache(cache or Path(":memory:"))
    return CachedClient(client, kept, Budget(Limits(**limits))), client


def made(
    reply: Callable[[str], str | Exception], seeds: Sequence[str] = (RAW,), how: TargetPairSettings | None = None
) -> Generated:
    llm, _ = asked(reply)
    return target_pairs(llm, "tiny:1", how or TargetPairSettings(concurrency=1), [Seed(p, "topic") for p in seeds])


def seeds_of(n: int) -> list[Seed]:
    return [Seed(f"explain how {THINGS[k % 14]} came to be in the year {1000 + k}") for k in range(n)]


# --- one prompt ------------------------------------------------------------------------


def test_what_passes_the_guard_becomes_a_pair_of_the_target() -> None:
    (pair,) = made(lambda text: ADVICE).pairs
    assert (pair.prompt, pair.target, pair.topic) == (RAW, "tiny:1", "topic")
    assert pair.optimized_light == pair.optimized == f"{RAW}\n\n{ADVICE}"
    assert pair.optimized_content is None and pair.source == "written by tiny:1"
    assert pair.id.endswith("-tiny:1")


def test_the_two_parts_of_a_guide_are_asked_for_one_by_one() -> None:
    how = TargetPairSettings(strengths=("guide",), concurrency=1, tries=1)
    quality = "A good gardening answer gives the steps in order and says how to check them."
    asking = "Explain how to keep tomato plants from getting blight."

    def reply(text: str) -> str:
        return asking if text.startswith("A person will send you the prompt below. Say again") else quality

    (pair,) = made(reply, how=how).pairs
    assert pair.optimized_guide == pair.optimized == f"{RAW}\n\n{quality}\n\n{asking}"
    assert pair.optimized_light is None
    assert made(lambda text: quality, how=how).reasons() == {"answered": 1}  # nothing is asked in it


def test_all_sides_that_the_prompter_knows_are_asked_for() -> None:
    def reply(text: str) -> str:
        assert text.endswith(RAW)
        return FULL if "Rewrite it so" in text else POINTS if "two to four points" in text else ADVICE

    how = TargetPairSettings(("light", "content", "full"), concurrency=1)
    (pair,) = made(reply, how=how).pairs
    assert pair.optimized == FULL
    assert pair.optimized_light == f"{RAW}\n\n{ADVICE}"
    assert pair.optimized_content is not None and pair.optimized_content.endswith(POINTS)
    found = made(lambda text: reply(text) if "points" not in text else "", how=how)
    assert found.pairs == [] and found.reasons() == {"empty": 1}, "a pair has all sides or none"


@pytest.mark.parametrize("around", ['"{}"', "```\n{}\n```", "Here is the sentence:\n\n{}", "  {}\n"])
def test_what_models_put_around_it_is_taken_off(around: str) -> None:
    (pair,) = made(lambda text: around.format(ADVICE)).pairs
    assert pair.optimized_light == f"{RAW}\n\n{ADVICE}"


LONG = "Give the steps in order, from the choice of the plants in spring to the last harvest in autumn, "
BAD = {
    "an answer": ("Tomato blight is caused by a fungus that spreads in wet weather.", "answered"),
    "a refusal": ("I'm sorry, but I can't help with that request.", "answered"),
    "talk about prompts": ("Make this prompt clearer and more specific for the assistant.", "meta"),
    "the prompt again": ("Keep tomato plants from getting blight, and how.", "parrot"),
    "too long": (LONG + "and say for each of them why it matters, what it costs, how long it takes and how often it is done.", "length"),
    "too short": ("Use short words.", "length"),
    "invented": ("Give the advice of Dr. Miriam Hollander from her book of 1987.", "invented"),
    "nothing": ("", "empty"),
    "blanks": (" \n ", "empty"),
    "another language": ("Donnez les étapes dans l'ordre, la plus importante d'abord, avec un exemple.", "language"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_advice_is_dropped_with_the_reason_after_all_tries(name: str) -> None:
    text, reason = BAD[name]
    llm, client = asked(lambda _: text)
    found = target_pairs(llm, "t", TargetPairSettings(tries=3, concurrency=1), [Seed(RAW)])
    assert found.pairs == [] and found.ended_by is None
    (dropped,) = found.dropped
    assert dropped["prompt"] == RAW and dropped["reason"].split(":")[0] == reason
    assert dropped["rewrite"] == (f"{RAW}\n\n{text}" if text.strip() else "")
    assert client.calls == 3


class Cutting(ScriptedClient):
    """Every answer ends at the token limit."""

    def stream(
        self, prompt: str, *, max_tokens: int = 512, temperature: float = 0.0, seed: int | None = None,
        system: str | None = None,
    ) -> AnswerStream:  # fmt: skip
        """The advice, cut."""

        def pieces() -> Iterator[str]:
            yield ADVICE
            return Ending(max_tokens, True, 20)

        return AnswerStream(pieces(), threading.Event())  # type: ignore[arg-type]


def test_what_is_cut_at_the_token_limit_is_dropped() -> None:
    llm = CachedClient(Cutting(lambda _: ""), AnswerCache(Path(":memory:")))
    found = target_pairs(llm, "t", TargetPairSettings(concurrency=1), [Seed(RAW)])
    assert found.pairs == [] and found.reasons() == {"cut": 1}


@pytest.mark.parametrize("good", [1, 2, 4])
def test_it_is_asked_until_something_passes(good: int) -> None:
    llm, client = asked(lambda _: ADVICE if client.calls >= good else "Blight is a fungus.")
    assert len(target_pairs(llm, "t", TargetPairSettings(concurrency=1), [Seed(RAW)]).pairs) == 1
    assert client.calls == good


def test_samples_differ_in_seed_and_the_later_ones_are_warmer() -> None:
    seen: list[tuple[float, int | None]] = []

    class Noting(ScriptedClient):
        def stream(
            self, prompt: str, *, temperature: float = 0.0, seed: int | None = None, **more: object
        ) -> AnswerStream:  # type: ignore[override]
            seen.append((temperature, seed))
            return super().stream(prompt, temperature=temperature, seed=seed)

    for _ in range(2):
        llm = CachedClient(Noting(lambda _: "No."), AnswerCache(Path(":memory:")))
        target_pairs(llm, "t", TargetPairSettings(concurrency=1, temperature=0.2), [Seed(RAW)])
    assert seen[:4] == seen[4:]
    assert [temperature for temperature, _ in seen[:4]] == [0.2, 0.7, 0.7, 0.7]
    assert len({seed for _, seed in seen}) == 4


def test_prompts_that_are_not_rewritten_are_passed_over_and_the_same_is_asked_once() -> None:
    llm, client = asked(suggests)
    seeds = [
        "",
        "2+2",
        "wie geht es dir heute mein Freund",
        RAW,
        RAW,
        "explain <passage-1/>",
        "explain how tides work",
        RAW,
    ]
    found = target_pairs(llm, "t", TargetPairSettings(), [Seed(p) for p in seeds])
    assert sorted(pair.prompt for pair in found.pairs) == ["explain how tides work", RAW]
    assert client.calls == 2 and found.dropped == []


def test_an_llm_that_fails_for_one_prompt_costs_that_one_alone() -> None:
    found = made(lambda t: TargetError("429") if "rope" in t else suggests(t), [s.prompt for s in seeds_of(14)])
    assert len(found.pairs) == 13 and found.reasons() == {"llm": 1}


@pytest.mark.parametrize("concurrency", [1, 4, 32])
def test_a_target_that_fails_at_the_first_seeds_is_given_up(concurrency: int) -> None:
    llm, client = asked(lambda _: TargetError("it can't be reached"))
    with pytest.raises(TargetError, match="^it can't be reached$"):
        target_pairs(llm, "t", TargetPairSettings(concurrency=concurrency), seeds_of(40))
    assert client.calls == FIRST


@pytest.mark.parametrize("answered", [0, FIRST - 1])
def test_a_target_that_answers_one_of_the_first_seeds_is_asked_on(answered: int) -> None:
    seeds = [seed.prompt for seed in seeds_of(40)]
    found = made(lambda t: ADVICE if _prompt_of(t) == seeds[answered] else TargetError("503"), seeds)
    assert [pair.prompt for pair in found.pairs] == [seeds[answered]] and found.reasons() == {"llm": 39}


def test_an_answer_that_is_no_pair_is_an_answer_too() -> None:
    replies = iter(["Blight is a fungus."])  # the second sample fails
    found = made(lambda _: next(replies, TargetError("503")), [seed.prompt for seed in seeds_of(10)])
    assert found.pairs == [] and found.reasons() == {"llm": 10}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=120), st.sampled_from([text for text, _ in BAD.values()] + [ADVICE, FULL])), max_size=6),
    st.sampled_from(["light", "content", "full"]),
    st.integers(1, 4),
)  # fmt: skip
def test_any_reply_gives_a_sound_pair_or_a_reason(replies: list[str], strength: str, tries: int) -> None:
    left = iter(replies)
    how = TargetPairSettings((strength,), tries, concurrency=1)  # type: ignore[arg-type]
    found = made(lambda _: next(left, ""), how=how)
    assert len(found.pairs) + len(found.dropped) == 1
    for pair in found.pairs:
        side = pair.side(strength)  # type: ignore[arg-type]
        assert side != RAW and not pair.is_identity and pair.target == "tiny:1"
        assert strength == "full" or side.startswith(RAW + "\n\n")
        assert strength == "full" or guard.check(RAW, side, strength=strength) is None  # type: ignore[arg-type]
    for row in found.dropped:
        assert row["prompt"] == RAW and ":" in row["reason"]


# --- many prompts ----------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_what_is_said_of_many_prompts_is_kept_a_few_times(most: int) -> None:
    said = ["Give the steps in order.", "give the  STEPS, in order!"]
    prompts = [seed.prompt for seed in seeds_of(20)]

    def reply(text: str) -> str:
        number = prompts.index(_prompt_of(text))
        return suggests(text) if number >= 8 else said[number % 2]

    for concurrency in (1, 4):
        how = TargetPairSettings(repeats=most, concurrency=concurrency)
        found = made(reply, prompts, how)
        assert [pair.prompt for pair in found.pairs[:most]] == prompts[:most], "the first ones stay"
        assert found.reasons() == {"repeated": 8 - most}
        assert {row["reason"] for row in found.dropped} == {"repeated: said of 8 prompts"}
        assert [pair.prompt for pair in found.pairs[most:]] == prompts[8:]


def test_what_is_said_as_often_as_allowed_stays() -> None:
    assert len(made(lambda _: ADVICE, [s.prompt for s in seeds_of(5)]).pairs) == 5
    assert len(made(lambda _: ADVICE, [s.prompt for s in seeds_of(6)]).pairs) == 5


def _hasty(text: str) -> str | Exception:
    """Some fail, some answer, and they end in another order than they began."""
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 5
    time.sleep(number / 1000)
    if number == 1:
        return "Rope is made of fibres."
    return TargetError("503") if number == 2 else suggests(text)


def test_the_result_is_the_same_at_any_concurrency() -> None:
    seeds = seeds_of(40)
    found = [
        target_pairs(asked(_hasty)[0], "t", TargetPairSettings(concurrency=concurrency), seeds)
        for concurrency in (1, 3, 16)
    ]
    assert found[0].pairs == found[1].pairs == found[2].pairs
    assert found[0].dropped == found[1].dropped == found[2].dropped
    assert {"llm", "answered"} <= set(found[0].reasons()) and len(found[0].pairs) > 10


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    seeds, advance = seeds_of(12), list[tuple[str, int, int]]()
    reply = lambda text: "Rope is made of fibres." if "rope" in text else suggests(text)  # noqa: E731
    first, client = asked(reply, tmp_path / "answers.sqlite")
    made = target_pairs(first, "t", TargetPairSettings(), seeds, lambda *row: advance.append(row))
    assert client.calls == 11 + 4
    assert advance[-1] == ("pairs", 12, 12) and len(advance) == 12
    second, client = asked(lambda _: TargetError("it is asked again"), tmp_path / "answers.sqlite")
    assert target_pairs(second, "t", TargetPairSettings(), seeds) == made
    assert client.calls == 0 and second.budget.spent.cached == 15
    # more prompts cost just those
    third, client = asked(reply, tmp_path / "answers.sqlite")
    assert len(target_pairs(third, "t", TargetPairSettings(), seeds_of(14)).pairs) == 13
    assert client.calls == 2


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_spent_budget_keeps_what_is_done_and_a_later_run_goes_on(tmp_path: Path, concurrency: int) -> None:
    seeds, how = seeds_of(20), TargetPairSettings(concurrency=concurrency)
    whole = target_pairs(asked(suggests)[0], "t", how, seeds)
    assert len(whole.pairs) > 15
    llm, client = asked(suggests, tmp_path / "answers.sqlite", calls=7)
    first = target_pairs(llm, "t", how, seeds)
    assert first.ended_by is not None and "--max-calls 7 is reached" in str(first.ended_by)
    assert client.calls == 7 and 0 < len(first.pairs) <= 7
    assert first.pairs == [pair for pair in whole.pairs if pair in first.pairs]
    llm, more = asked(suggests, tmp_path / "answers.sqlite")
    second = target_pairs(llm, "t", how, seeds)
    assert second.ended_by is None and second == whole
    whole_calls = asked(suggests)
    target_pairs(whole_calls[0], "t", how, seeds)
    assert client.calls + more.calls == whole_calls[1].calls


def test_the_pairs_can_be_written_and_read_back(tmp_path: Path) -> None:
    pairs = made(suggests, [seed.prompt for seed in seeds_of(10)] * 2).pairs
    write_jsonl(tmp_path / "p.jsonl", [pair.to_json() for pair in pairs])
    back = read_pairs(tmp_path / "p.jsonl")
    assert back == pairs and all(isinstance(pair, Pair) for pair in back)
    other = target_pairs(asked(suggests)[0], "other", replace(TargetPairSettings(), seed=1), seeds_of(10)).pairs
    assert {pair.id for pair in other}.isdisjoint(pair.id for pair in back)
