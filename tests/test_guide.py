"""The guide: what a good answer of the kind has, then what is asked, said again from the prompt's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift import guard, template
from promptlift.artifacts import GuideLimits
from promptlift.engines.base import Written
from promptlift.guard.restating import nearness
from promptlift.records import Pair, read_pairs
from promptlift.rewriting import Outcome, is_near, judge, prepare

PAIRS = Path(__file__).parents[1] / "data" / "pairs" / "pairs.jsonl"
PROMPT = "write me a mail to my landlord about the broken heating, max 100 words"
QUALITIES = "A good complaint mail names the fault, since when it lasts and what should happen by when."
ASKED = "Write a mail to my landlord about the broken heating, max 100 words."

LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).map(str.strip).filter(bool)


def written(asked: str, qualities: str | None, finished: bool = True) -> Written:
    return Written(asked + (template.QUALITIES + qualities if qualities else ""), finished, 9)


def judged(prompt: str, found: Written) -> Outcome:
    parts, refusal = prepare(prompt, ["en"])
    assert refusal is None
    return judge(prompt, parts, found, "guide")


@pytest.mark.parametrize("qualities", [QUALITIES, None])
def test_the_task_is_written_first_and_read_last(qualities: str | None) -> None:
    side = "\n\n".join(part for part in (PROMPT, qualities, ASKED) if part)
    pair = Pair("1", PROMPT, "Write it.", optimized_guide=side)
    completion = template.completion(pair, "guide")
    opening = template.YES + template.opening("guide")
    assert completion.startswith(opening + ASKED)
    assert template.assemble(PROMPT, completion.removeprefix(opening), "guide") == side


@given(prompt=LINE, qualities=st.none() | LINE, asked=LINE)
def test_every_guide_survives_training_and_serving(prompt: str, qualities: str | None, asked: str) -> None:
    side = "\n\n".join(part for part in (prompt, qualities, asked) if part)
    if template.QUALITIES.strip() in side:
        return
    pair = Pair("1", prompt, f"{prompt} x", optimized_guide=side)  # not an identity pair
    completion = template.completion(pair, "guide").removeprefix(template.YES + template.opening("guide"))
    assert template.assemble(prompt, completion, "guide") == side


def test_a_guide_that_passes_stands_whole() -> None:
    found = judged(PROMPT, written(ASKED, QUALITIES))
    assert found.reason is None
    assert found.text == f"{PROMPT}\n\n{QUALITIES}\n\n{ASKED}"


@pytest.mark.parametrize(
    ("qualities", "finished"),
    [
        ("A good mail has a clear subject line and", False),
        ("A good mail has 3 paragraphs, 250 words and a table.", True),
        ("I'm sorry, but I can't help with that.", True),
    ],
)
def test_what_is_asked_stands_alone_where_the_qualities_fail(qualities: str, finished: bool) -> None:
    found = judged(PROMPT, written(ASKED, qualities, finished))
    assert found.text == f"{PROMPT}\n\n{ASKED}" and found.reason is None


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("Write a detailed mail to my landlord about the broken heating, max 100 words.", "guard:restated"),
        ("Write a mail to my landlord demanding compensation for the freezing flat.", "guard:restated"),
        ("Write a mail to my landlord about the broken heating.", "guard:restated"),
        ("Write a mail, max 100 words.", "guard:restated"),
        ("Write a mail to my landlord about the broken heating, max 200 words.", "guard:invented"),
        ("Dear landlord, the heating is broken.", "guard:answered"),
        ("Write a mail to my landlord about the broken", "guard:degenerate"),
    ],
)
def test_a_restatement_that_says_something_else_is_stopped(asked: str, reason: str) -> None:
    assert judged(PROMPT, written(asked, QUALITIES)) == (None, reason)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("why did the 2022 games not have good ratings", "Explain why the 2022 games did have good ratings."),
        ("What would happen if the moon vanished?", "Say whether the moon vanished."),
        ("how do bees find their way home", "Say whether bees find their way home."),
    ],
)
def test_a_question_is_not_turned_round(prompt: str, asked: str) -> None:
    assert judged(prompt, Written(asked, True, 9)).reason == "guard:restated"


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("is a tomato a fruit", "Say whether a tomato is a fruit."),
        ("so, can i freeze cooked rice?", "Say whether I can freeze cooked rice."),
        ("ideas for lunch, no fish please", "Suggest ideas for lunch, no fish."),
    ],
)
def test_a_question_said_again_soundly_passes(prompt: str, asked: str) -> None:
    assert judged(prompt, Written(asked, True, 9)).text == f"{prompt}\n\n{asked}"


def test_nearness_is_whole_for_the_same_words_and_none_for_others() -> None:
    def near(asked: str) -> tuple[float, float]:
        return nearness(guard.View(PROMPT, f"{PROMPT}\n\n{asked}", "guide"))

    assert near(PROMPT) == (1.0, 1.0)
    assert near("Bake bread.") == (0.0, 0.0)
    again, own = near("Write a mail to my landlord.")
    assert 0 < again < 1 and own == 1.0


def test_a_prompter_that_has_to_stay_near_says_no_more_than_that() -> None:
    rewrite = f"{PROMPT}\n\nWrite a mail to my landlord, max 100 words."
    assert is_near(PROMPT, rewrite, GuideLimits())
    assert is_near(PROMPT, rewrite, GuideLimits(said_again=0.5))
    assert not is_near(PROMPT, rewrite, GuideLimits(said_again=0.9))
    assert not is_near(PROMPT, f"{PROMPT}\n\nA mail, please, for him: broken heating.", GuideLimits(own_words=0.9))


@given(st.text())
def test_no_text_breaks_the_checks_of_a_guide(text: str) -> None:
    found = judged(PROMPT, Written(text, True, 1))
    assert (found.text is None) != (found.reason is None)
    assert found.text is None or found.text.startswith(PROMPT)


def test_the_guides_of_the_pairs_pass_but_for_a_few() -> None:
    """False alarms on text that was written with care: the guard may cost 10% of guides, not more."""
    changed = [pair for pair in read_pairs(PAIRS) if not pair.is_identity]
    stopped = [p.id for p in changed if guard.check(p.prompt, p.side("guide"), strength="guide") is not None]
    assert len(changed) > 1000 and len(stopped) <= 0.1 * len(changed)
