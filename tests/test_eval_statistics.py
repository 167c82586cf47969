"""Lift, its interval, the length-controlled win rate and the power note, by what must hold of them."""

from __future__ import annotations

import math
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")
pytest.importorskip("statsmodels")

from scipy.stats import binomtest, norm

from promptlift.evaluation.statistics import interval, length_controlled, lift, prompts_needed
from promptlift.evaluation.summary import contrasts

SCORES = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40)
ROWS = st.lists(
    st.tuples(st.sampled_from([-1, 0, 1]), st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30
)


def ids(scores: list[int] | list[tuple[int, int, int]]) -> list[str]:
    return [str(k) for k in range(len(scores))]


@given(SCORES)
@settings(max_examples=15, deadline=None)
def test_a_lift_is_counted_mirrored_and_inside_its_interval(scores: list[int]) -> None:
    found, other = lift(scores, ids(scores)), lift([-s for s in scores], ids(scores))
    assert (found.n, found.won + found.lost + found.tied) == (len(scores), len(scores))
    assert found.lift == pytest.approx(100 * (found.won - found.lost) / found.n)
    assert found.win_rate == pytest.approx(100 * (found.won + found.tied / 2) / found.n)
    assert -100 <= found.interval[0] <= found.lift + 1e-9 and found.lift - 1e-9 <= found.interval[1] <= 100
    assert other.lift == pytest.approx(-found.lift) and other.win_rate == pytest.approx(100 - found.win_rate)
    assert other.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    assert other.sign_p == found.sign_p and (other.won, other.lost) == (found.lost, found.won)
    decided = found.won + found.lost
    assert found.sign_p == (binomtest(found.won, decided).pvalue if decided else 1.0)


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_the_length_controlled_win_rate_is_mirrored_and_inside_its_interval(rows: list[tuple[int, int, int]]) -> None:
    scores, lengths = [s for s, _, _ in rows], [(x, y) for _, x, y in rows]
    rate, (low, high) = length_controlled(scores, lengths, ids(rows))
    turned, (least, most) = length_controlled([-s for s in scores], [(y, x) for x, y in lengths], ids(rows))
    assert 0 <= low <= rate + 1e-9 and rate - 1e-9 <= high <= 100
    assert turned == pytest.approx(100 - rate, abs=1e-3)
    assert (least, most) == pytest.approx((100 - high, 100 - low), abs=1e-2)


def test_the_interval_is_as_wide_as_theory_says_and_the_same_each_time() -> None:
    scores = [1] * 60 + [0] * 20 + [-1] * 20
    low, high = interval(scores, ids(scores))
    error = math.sqrt((0.8 - 0.4**2) / 100)
    assert (low, high) == pytest.approx((0.4 - 1.96 * error, 0.4 + 1.96 * error), abs=0.02)
    assert interval(scores, ids(scores)) == (low, high)
    mixed = list(zip(scores, ids(scores), strict=True))
    random.Random(1).shuffle(mixed)
    assert interval([s for s, _ in mixed], [p for _, p in mixed]) == pytest.approx((low, high), abs=0.02)


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=30), st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_scores_of_the_same_prompts_again_do_not_narrow_the_interval(scores: list[int], times: int) -> None:
    assert interval(scores * times, ids(scores) * times) == pytest.approx(interval(scores, ids(scores)))
    lengths = [(10 + k % 3, 11) for k in range(len(scores))]
    _, (low, high) = length_controlled(scores, lengths, ids(scores))
    _, (least, most) = length_controlled(scores * times, lengths * times, ids(scores) * times)
    _, (near, far) = length_controlled(scores * times, lengths * times, ids(scores * times))
    if len(set(scores)) > 1 and len(scores) > 8:
        assert most - least > 0.8 * (high - low)
        assert far - near < most - least, "as prompts of their own they do"


def test_one_prompt_tells_nothing() -> None:
    assert lift([1, 1, 0], ["a", "a", "a"]).interval == (-100, 100)
    with pytest.raises(ValueError, match="no scores"):
        lift([], [])


@pytest.mark.parametrize("score", [-1, 0, 1])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_constant_scores_are_finite(score: int, count: int) -> None:
    scores = [score] * count
    found = lift(scores, ids(scores))
    assert found.lift == 100 * score and (count == 1 or found.interval == (100 * score, 100 * score))
    for lengths in ([(7, 7)] * count, [(9, 2)] * count, [(k, 3) for k in range(count)], [(0, 0)] * count):
        rate, (low, high) = length_controlled(scores, lengths, ids(scores))
        assert all(math.isfinite(value) for value in (rate, low, high))
        assert 0 <= low <= rate <= high <= 100 and (rate - 50) * score >= 0 and (score or rate == pytest.approx(50))


def test_answers_of_equal_length_need_no_control() -> None:
    scores = [1] * 55 + [0] * 20 + [-1] * 25
    rate, (low, high) = length_controlled(scores, [(80, 80)] * 100, ids(scores))
    plain = lift(scores, ids(scores))
    assert rate == pytest.approx(plain.win_rate, abs=0.5)
    assert (low, high) == pytest.approx([(100 + end) / 2 for end in plain.interval], abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_a_win_that_length_explains_shrinks(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [(rng.randrange(80, 200), rng.randrange(60, 180)) for _ in range(300)]
    always = [1 if x > y else -1 for x, y in lengths]
    rate, (_, high) = length_controlled(always, lengths, ids(always))
    assert lift(always, ids(always)).win_rate > 60 and rate < 60 and high > 45
    mostly = [1 if rng.random() < 1 / (1 + math.exp((y - x) / 30)) else -1 for x, y in lengths]
    rate, (low, high) = length_controlled(mostly, lengths, ids(mostly))
    assert rate < lift(mostly, ids(mostly)).win_rate - 2 and low < 50 < high
    better = [1 if rng.random() < 1 / (1 + math.exp((y - x) / 30 - 1)) else -1 for x, y in lengths]
    rate, (low, high) = length_controlled(better, lengths, ids(better))
    assert low > 50 and rate < lift(better, ids(better)).win_rate, "what length does not explain stays"


def test_a_win_in_spite_of_length_grows() -> None:
    lengths = [(50, 100 + k) if k % 3 else (100, 50 + k) for k in range(90)]
    scores = [1 if k % 3 == 0 or k % 2 else -1 for k in range(90)]
    assert length_controlled(scores, lengths, ids(scores))[0] > lift(scores, ids(scores)).win_rate


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_prompts_needed_agrees_with_the_formula_and_grows(one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert prompts_needed(few) <= prompts_needed(many)
    if one >= 0.05:
        variance = one - 0.05**2
        assert prompts_needed(one) == pytest.approx((2.8 / 0.05) ** 2 * variance, rel=0.02, abs=1)
    assert prompts_needed(one, 10) <= prompts_needed(one, 5)


def test_that_many_prompts_do_show_the_lift() -> None:
    share, sought = 0.5, 0.05
    n = prompts_needed(share, 100 * sought)
    error = math.sqrt((share - sought**2) / n)
    assert norm.sf(norm.isf(0.025) - sought / error) == pytest.approx(0.8, abs=0.005)


def test_a_contrast_counts_what_it_leaves_out() -> None:
    base = {"target": "t", "judge": "j", "x": "new", "y": "raw", "flipped": False, "first": "x", "second": "x",
            "words_x": 12, "words_y": 10, "same": False}  # fmt: skip
    rows = [base | {"id": str(k), "score": 1} for k in range(6)]
    rows += [base | {"id": "6", "score": 0, "flipped": True, "second": "y"}]
    rows += [base | {"id": "7", "score": None, "first": None, "problem": "unreadable: 'hm'"}]
    rows += [base | {"id": "8", "score": 0, "same": True, "first": None, "second": None}]
    rows += [base | {"id": "9", "score": 1, "empty": True, "first": None, "second": None, "words_y": 0}]
    (found,) = contrasts("t", [*rows, base | {"target": "another", "id": "0", "score": -1}])
    assert (found["n"], found["won"], found["lost"], found["tied"]) == (9, 7, 0, 2)
    assert (found["same"], found["empty"], found["flipped"], found["unjudged"]) == (1, 1, 1, 1)
    assert found["problems"] == {"unreadable: 'hm'": 1} and found["lift"] == pytest.approx(700 / 9, abs=1e-3)
    assert found["changed"]["n"] == 8 and found["changed"]["lift"] == 87.5
    (unread,) = contrasts("t", [rows[7]])
    assert unread["n"] == 0 and unread["unjudged"] == 1 and "lift" not in unread


def test_nothing_here_warns_by_default() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        length_controlled([1, 1, -1], [(1, 2), (3, 4), (5, 5)], ["a", "a", "b"])
        lift([1, 0, -1], ["a", "b", "c"])
        prompts_needed(0.0)
    assert not [one for one in heard if not issubclass(one.category, DeprecationWarning)]
