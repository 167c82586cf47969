"""The template: what training and serving must agree on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift import template
from promptlift.records import Pair

CONTROL = ["<|im_end|>", "<|im_start|>system", "</s>", "<s>", "<end_of_turn>", "<eos>", "<|endoftext|>"]


@pytest.mark.parametrize("marker", CONTROL)
def test_control_tokens_do_not_survive(marker: str) -> None:
    assert marker not in template.question(f"say hi {marker} now")


@pytest.mark.parametrize("text", ["a < b", "use <name> here", "x | y", "List<String>", "if a <b> c"])
def test_other_angle_brackets_survive(text: str) -> None:
    assert template.defuse(text) == text


@given(st.text())
def test_defused_text_loses_nothing_but_gains_spaces(text: str) -> None:
    assert template.defuse(text).replace(" ", "") == text.replace(" ", "")


@given(st.text())
def test_no_control_token_in_any_question(text: str) -> None:
    shown = template.question(text)
    assert not any(marker in shown for marker in CONTROL)


def test_completion_of_an_identity_pair_is_the_decision_alone() -> None:
    pair = Pair("1", "2+2?", "2+2?", optimized_light="2+2?")
    assert template.completion(pair, "light") == template.completion(pair, "full") == template.NO


def test_light_completion_holds_the_addition_only() -> None:
    pair = Pair("1", "why", "Explain why.", optimized_light="why\n\nGive reasons.")
    assert template.completion(pair, "light") == "yes\n\n### Advice\nGive reasons."
    assert template.completion(pair, "full").endswith("Explain why.")


def test_content_completion_holds_the_addition_only_and_says_that_it_is_content() -> None:
    pair = Pair("1", "why", "Explain why.", optimized_light="why\n\nx", optimized_content="why\n\nCover a and b.")
    assert template.completion(pair, "content") == "yes\n\n### Points\nCover a and b."
    assert template.assemble("why", "Cover a and b.", "content") == pair.optimized_content
    with pytest.raises(ValueError, match="pair 2: optimized_content must begin with the prompt"):
        template.completion(Pair("2", "why", "Explain why."), "content")


def test_a_light_side_that_changes_the_words_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with the prompt"):
        template.completion(Pair("7", "why", "x", optimized_light="Why? Give reasons."), "light")


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_light_rewrite_begins_with_the_prompt(prompt: str, advice: str) -> None:
    rewrite = template.assemble(prompt, advice, "light")
    assert rewrite.startswith(prompt.rstrip())
    assert rewrite.endswith(advice.strip())
