"""The cached, budgeted client: nothing is asked twice, no limit is overstepped."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedClient

from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient, PromptFailed, Question, work
from promptlift.errors import BudgetError, InputError, TargetError


def _asked(path: Path, client: ScriptedClient, limits: Limits | None = None) -> CachedClient:
    return CachedClient(client, AnswerCache(path), Budget(limits or Limits()))


def test_the_same_question_reaches_the_llm_once_even_in_another_process(tmp_path: Path) -> None:
    client = ScriptedClient(lambda prompt: prompt.upper())
    first = _asked(tmp_path / "a.sqlite", client).ask(Question("hi", seed=3))
    again = _asked(tmp_path / "a.sqlite", client)
    assert again.ask(Question("hi", seed=3)) == first
    assert client.calls == 1
    assert again.budget.spent.cached == 1 and again.budget.spent.calls == 0


@pytest.mark.parametrize(
    "other",
    [
        Question("ho"),
        Question("hi", seed=1),
        Question("hi", temperature=1.0),
        Question("hi", system="s"),
        Question("hi", 9),
    ],
)
def test_another_question_or_model_is_asked_anew(tmp_path: Path, other: Question) -> None:
    client = ScriptedClient(lambda prompt: prompt)
    llm = _asked(tmp_path / "a.sqlite", client)
    llm.ask(Question("hi"))
    llm.ask(other)
    assert client.calls == 2
    stranger = ScriptedClient(lambda prompt: "other", identity="other")
    assert _asked(tmp_path / "a.sqlite", stranger).ask(Question("hi")).text == "other"


def test_a_failure_is_not_kept_but_counts_as_a_call(tmp_path: Path) -> None:
    replies = iter([TargetError("down"), "up"])
    client = ScriptedClient(lambda _: next(replies))
    llm = _asked(tmp_path / "a.sqlite", client)
    with pytest.raises(TargetError):
        llm.ask(Question("hi"))
    assert llm.ask(Question("hi")).text == "up"
    assert (llm.budget.spent.calls, llm.budget.spent.failed) == (2, 1)


@given(st.integers(0, 12), st.integers(0, 3000), st.floats(0, 0.01))
@settings(max_examples=25, deadline=None)
def test_no_limit_is_ever_overstepped_by_threads(calls: int, tokens: int, usd: float) -> None:
    limits = Limits(calls, tokens, usd, 1.0, 2.0)
    budget = Budget(limits)

    def spend() -> None:
        for _ in range(5):
            try:
                guess = budget.reserve("a" * 90, 40)
            except BudgetError:
                return
            budget.settle(guess, 40, 30, 40)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = budget.spent
    assert spent.calls <= calls and spent.read + spent.written <= tokens and spent.usd <= usd
    assert spent.usd == limits.cost(spent.read, spent.written)


def test_what_the_llm_does_not_count_is_guessed_and_told(tmp_path: Path) -> None:
    llm = _asked(tmp_path / "a.sqlite", ScriptedClient(lambda _: "x", counts=False))
    llm.ask(Question("hi", max_tokens=50))
    assert llm.budget.spent.guessed == 1 and llm.budget.spent.written == 50


def test_work_keeps_the_order_stands_failures_and_stops_at_the_budget(tmp_path: Path) -> None:
    client = ScriptedClient(lambda prompt: TargetError("no") if prompt == "2" else prompt)
    llm = _asked(tmp_path / "a.sqlite", client, Limits(calls=5))
    made, over = work(range(10), lambda k: llm.ask(Question(str(k))).text, 1)
    assert made == ["0", "1", PromptFailed("no"), "3", "4", None, None, None, None, None]
    assert over is not None and "--max-calls 5" in str(over)
    more = _asked(tmp_path / "a.sqlite", client, Limits(calls=6))
    made, over = work(range(10), lambda k: more.ask(Question(str(k))).text, 3)
    assert over is None and [m for m in made if isinstance(m, str)] == [str(k) for k in range(10) if k != 2]


def test_a_cache_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"not a database, not at all" * 100)
    with pytest.raises(InputError, match=r"c\.sqlite can't be used .* move it away"):
        AnswerCache(path)


def test_two_processes_write_to_one_cache(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from promptlift.chat.base import Answer; "
        "from dataclasses import asdict; from promptlift.chat.cached import AnswerCache; c = AnswerCache(Path(sys.argv[1])); "
        "[c.put(f'{sys.argv[2]}{k}', asdict(Answer('x', 1, False, 0.0))) for k in range(50)]"
    )
    path = tmp_path / "c.sqlite"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [p.wait() for p in running] == [0, 0]
    cache = AnswerCache(path)
    assert all(cache.get(f"{name}{k}") is not None for name in "ab" for k in range(50))
    cache.close()
