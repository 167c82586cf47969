"""From two answers to an outcome, and LLMs as judges: over a scripted client, a real HTTP server, a tiny GGUF."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedClient
from tiny import tiny_llama_gguf

from promptlift.chat import ChatClient, open_target
from promptlift.chat.base import Choice, first_token_choices
from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient, Question
from promptlift.errors import InputError, TargetError
from promptlift.evaluation.comparing import Comparison, Verdict, Winner, outcome
from promptlift.evaluation.conditions import REFERENCE
from promptlift.evaluation.folder import Answered, Prompt
from promptlift.evaluation.judges import open_judge
from promptlift.evaluation.judges.llm import LlmJudge, read_verdict
from promptlift.evaluation.judging import Match, contrasts_of, judge_all, matches, parse_contrast, rows_of


class Rule:
    """A judge that follows a rule, and counts what it is shown."""

    def __init__(self, rule: Callable[[Comparison], Winner | None], symmetric: bool = False) -> None:
        self.name, self.symmetric, self.rule = "rule", symmetric, rule
        self.shown: list[Comparison] = []

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        self.shown += comparisons
        return [Verdict(c.id, self.rule(c), self.name) for c in comparisons]


def longer(shown: Comparison) -> Winner:
    """Honest: names the longer answer, wherever it stands."""
    a, b = len(shown.answer_a), len(shown.answer_b)
    return "tie" if a == b else ("a" if a > b else "b")


def match(answer_x: str, answer_y: str, id: str = "1", x: str = "new", y: str = "raw") -> Match:
    return Match("t", Prompt(id, f"prompt {id}"), x, y, answer_x, answer_y)


def judged(found: Sequence[Match], judge: Rule) -> list[dict[str, Any]]:
    rows, over = judge_all(found, judge, lambda *_: None)
    assert over is None
    return rows


# --- outcomes --------------------------------------------------------------------------


def test_a_judge_that_looks_at_the_order_alone_sees_ties_alone() -> None:
    for side in ("a", "b"):
        rows = judged([match(f"one {k}", f"other {k}", str(k)) for k in range(9)], Rule(lambda _, s=side: s))
        assert [(r["score"], r["flipped"]) for r in rows] == [(0, True)] * 9
        assert {(r["first"], r["second"]) for r in rows} == {("x", "y") if side == "a" else ("y", "x")}


WINNERS = st.sampled_from(["a", "b", "tie", None])
SHARES = st.one_of(st.none(), st.floats(0, 1))


@given(WINNERS, WINNERS, SHARES, SHARES)
@settings(deadline=None)
def test_swapping_the_answers_swaps_the_outcome(
    one: Winner | None, other: Winner | None, p: float | None, q: float | None
) -> None:
    first, second = Verdict("1", one, "j", p), Verdict("2", other, "j", q)
    found, turned = outcome(first, second), outcome(second, first)
    assert turned.flipped == found.flipped and (found.score is None) == (one is None or other is None)
    assert turned.score == (None if found.score is None else -found.score)
    if p is None or q is None:
        assert found.probability is None
    else:
        assert found.probability == pytest.approx((p + 1 - q) / 2)
        assert turned.probability == pytest.approx((q + 1 - p) / 2)
    honest: dict[Winner | None, Winner | None] = {"a": "b", "b": "a"}
    assert found.flipped == (one is not None and other is not None and honest.get(one, one) != other)


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), min_size=1, max_size=8))
@settings(deadline=None)
def test_swapping_the_conditions_negates_every_score(texts: list[tuple[str, str]]) -> None:
    there = [match(x, y, str(k)) for k, (x, y) in enumerate(texts)]
    back = [match(y, x, str(k), "raw", "new") for k, (x, y) in enumerate(texts)]
    forward, backward = judged(there, Rule(longer)), judged(back, Rule(longer))
    assert [r["score"] for r in forward] == [-r["score"] for r in backward]
    assert [(r["words_x"], r["words_y"]) for r in forward] == [(r["words_y"], r["words_x"]) for r in backward]


def test_what_needs_no_judge_is_not_shown_to_one() -> None:
    judge = Rule(longer)
    found = [
        match("same\n", " same", "1"),
        match("", "something", "2"),
        match("something", " \n", "3"),
        match("", " ", "4"),
    ]
    rows = judged(found, judge)
    assert judge.shown == []
    assert [r["score"] for r in rows] == [0, -1, 1, 0]
    assert [r["same"] for r in rows] == [True, False, False, True]
    assert [r.get("empty", False) for r in rows] == [False, True, True, False]
    assert all(r["first"] is r["second"] is None and not r["flipped"] for r in rows)


def test_each_comparison_is_shown_once_and_a_symmetric_judge_sees_one_order() -> None:
    pairs = [match("long answer", "short", "1"), match("long answer", "short", "1", "suffix"), match("a", "bb", "2")]
    both, single = Rule(longer), Rule(longer, symmetric=True)
    assert [r["score"] for r in judged(pairs, both)] == [r["score"] for r in judged(pairs, single)] == [1, 1, -1]
    assert len(both.shown) == len(set(both.shown)) == 4 and len(single.shown) == 2
    assert {c.swapped() for c in both.shown} == set(both.shown)


def test_one_verdict_of_two_is_enough_only_where_one_order_is() -> None:
    one = match("first", "second")
    for shown, winner, score in ((one.comparison, "a", 1), (one.comparison.swapped(), "a", -1)):
        told = {shown.id: Verdict(shown.id, winner, "j", 0.8)}  # type: ignore[arg-type]
        assert rows_of([one], told, "j", False) == []
        (row,) = rows_of([one], told, "j", True)
        assert row["score"] == score and not row["flipped"]
        assert row["probability"] == (0.8 if score == 1 else pytest.approx(0.2))
        assert (row["first"], row["second"]) == (("x", None) if score == 1 else (None, "y"))


def test_verdicts_that_could_not_be_read_are_counted_and_never_guessed() -> None:
    rows = judged([match("one", "other"), match("1", "2", "2")], Rule(lambda c: None if c.answer_a == "one" else "a"))
    assert [r["score"] for r in rows] == [None, 0] and rows[0]["second"] == "y"


def test_what_is_compared() -> None:
    assert contrasts_of(["raw"], False) == []
    assert contrasts_of(["raw", "bpo", "bpo"], False) == [("bpo", "raw")]
    every = contrasts_of(["raw", "rewritten", "suffix", "zero-shot", "unadapted", "wrong-adapter", "bpo"], True)
    assert len(every) == len(set(every)) and all(x != y for x, y in every)
    assert {x for x, y in every if y == "raw"} == {
        "rewritten",
        "suffix",
        "zero-shot",
        "unadapted",
        "wrong-adapter",
        "bpo",
    }
    assert {x for x, y in every if y == "suffix"} == {"rewritten", "unadapted", "bpo"}
    assert {x for x, y in every if y == "unadapted"} == {"rewritten"}
    assert {x for x, y in every if y == REFERENCE} == {"raw", "rewritten", "unadapted", "bpo"}


def test_a_contrast_must_name_two_conditions_of_the_run() -> None:
    assert parse_contrast("bpo:raw", ["raw", "bpo"]) == ("bpo", "raw")
    assert parse_contrast("bpo:reference", ["raw", "bpo"]) == ("bpo", REFERENCE)
    for wrong in ("bpo", "bpo:", ":raw", "raw:raw", "bpo:suffix", "raw:bpo:raw", ""):
        with pytest.raises(InputError, match="it has raw, bpo, reference"):
            parse_contrast(wrong, ["raw", "bpo", "raw"])


def test_prompts_without_both_answers_are_no_match() -> None:
    prompts = [Prompt("1", "p", reference="r"), Prompt("2", "q"), Prompt("3", "s")]
    answers = [Answered("t", "1", "raw", "a"), Answered("t", "1", "new", "b"), Answered("t", "2", "raw", "c"),
               Answered("t", "2", "new", None, problem="timeout"), Answered("u", "3", "raw", "d"), Answered("u", "3", "new", "e")]  # fmt: skip
    found = matches("t", prompts, answers, [("new", "raw"), ("raw", REFERENCE)])
    assert [(m.prompt.id, m.x, m.y, m.answer_x, m.answer_y) for m in found] == [
        ("1", "new", "raw", "b", "a"), ("1", "raw", REFERENCE, "a", "r"),
    ]  # fmt: skip


# --- reading a verdict -----------------------------------------------------------------


@given(st.floats(0, 0.6), st.floats(0, 0.4))
@settings(deadline=None)
def test_probabilities_name_the_winner_if_enough_of_them_are_on_the_letters(a: float, b: float) -> None:
    found = read_verdict(Choice({"A": a, "B": b}, "A, without doubt"), "1", "j")
    if a + b < 0.1:
        assert found.winner is None and found.problem == "unreadable: 'A, without doubt'"
    else:
        assert found.winner == ("tie" if a == b else "a" if a > b else "b") or a / (a + b) == 0.5
        assert found.probability == pytest.approx(a / (a + b)) and found.problem is None


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ("A", "a"), ("b", "b"), ("  **B**\n", "b"), ("Answer B", "b"), ("Answer: A", "a"), ("The better answer is A.", "a"),
        ("tie", "tie"), ("Tie.", "tie"), ("(A)", "a"), ("A. It is complete.", "a"), ("B, because it is right", "b"), ("Output (b)", "b"),
        ("A great answer is one that helps", None), ("Both", None), ("", None), ("I refuse", None), ("A or B", None),
        ("A/B", None), ("A, B", None), ("A & B are equal", None), ("Apples", None), ("Better: neither", None), ("Neither", None),
        ("answer", None), ("As an AI", None), ("It is A", None), ("1", None), ("C", None),
    ],
)  # fmt: skip
def test_a_reply_in_words_is_read_strictly(text: str, winner: str | None) -> None:
    found = read_verdict(Choice(None, text), "1", "j")
    assert found.winner == winner and (found.problem is None) == (winner is not None)
    assert found.probability is None


@given(st.text())
@settings(deadline=None)
def test_whatever_is_said_nothing_breaks(text: str) -> None:
    found = read_verdict(Choice(None, text), "1", "j")
    assert found.winner in ("a", "b", "tie", None) and (found.problem is None or "\n" not in found.problem)


def test_first_tokens_count_for_the_choice_that_they_begin() -> None:
    top = [
        ("A", math.log(0.4)),
        (" a", math.log(0.1)),
        ("B", math.log(0.2)),
        ("The", math.log(0.2)),
        ("", math.log(0.05)),
    ]
    assert first_token_choices(("A", "B"), top) == pytest.approx({"A": 0.5, "B": 0.2})
    assert first_token_choices(("yes", "yesterday"), [("y", 0.0)]) == {"yes": 0, "yesterday": 0}
    assert first_token_choices(("yes", "no"), [("ye", 0.0)]) == {"yes": 1, "no": 0}


# --- an LLM as judge -------------------------------------------------------------------


def llm(path: Path, client: ChatClient, limits: Limits | None = None) -> CachedClient:
    return CachedClient(client, AnswerCache(path / "cache.sqlite"), Budget(limits or Limits()))


def test_an_llm_is_shown_the_prompt_and_both_answers_and_fails_by_the_piece(tmp_path: Path) -> None:
    def reply(prompt: str) -> str | Exception:
        assert prompt.count("<answer-A>") == prompt.count("<answer-B>") == 1
        a, b = prompt.split("<answer-A>")[1].split("<answer-B>")
        return TargetError("too long") if "huge" in prompt else ("A" if "good" in a else "B" if "good" in b else "hm")

    client = ScriptedClient(reply)
    judge = LlmJudge(llm(tmp_path, client), "my judge", concurrency=1)
    found = [
        match("good {}", "bad {x}", "1"),
        match("poor", "good", "2"),
        match("huge", "bad", "3"),
        match("1", "2", "4"),
    ]
    rows = judged(found, judge)  # type: ignore[arg-type]
    assert [r["score"] for r in rows] == [1, -1, None, None]
    assert [r.get("problem") for r in rows] == [None, None, "too long", "unreadable: 'hm'"]
    assert all("prompt" in p for p in client.prompts) and client.calls == 8 and rows[0]["judge"] == "my judge"
    judged(found, judge)  # type: ignore[arg-type]
    assert client.calls == 8 + 2, "only what failed is asked again"


def test_a_judge_that_is_down_is_not_asked_about_everything(tmp_path: Path) -> None:
    client = ScriptedClient(lambda _: TargetError("it is down"))
    judge = LlmJudge(llm(tmp_path, client))
    with pytest.raises(TargetError, match=r"it is down \(the first 5 questions all failed"):
        judge.judge([match(str(k), "y").comparison for k in range(50)])
    assert client.calls == 5


def test_a_judge_whose_budget_ends_keeps_what_it_said_and_goes_on(tmp_path: Path) -> None:
    client = ScriptedClient(lambda prompt: "A")
    found = [match(f"x{k}", f"y{k}", str(k)) for k in range(10)]
    rows, over = judge_all(found, LlmJudge(llm(tmp_path, client, Limits(calls=9)), concurrency=1), lambda *_: None)
    assert len(rows) == 4 and over is not None and client.calls == 9
    rows, over = judge_all(found, LlmJudge(llm(tmp_path, client), concurrency=3), lambda *_: None)
    assert len(rows) == 10 and over is None and client.calls == 20


def test_a_choice_is_asked_for_once_and_kept(tmp_path: Path) -> None:
    client = ScriptedClient(lambda prompt: "B")
    first = llm(tmp_path, client).choose(Question("which"), ("A", "B"))
    again = llm(tmp_path, client)
    assert again.choose(Question("which"), ("A", "B")) == first == Choice(None, "B", 1, 1)
    assert client.calls == 1 and again.budget.spent.cached == 1
    again.choose(Question("which"), ("A", "C"))
    again.choose(Question("which", max_tokens=9), ("A", "B"))
    again.choose(Question("which", system="s"), ("A", "B"))
    assert again.ask(Question("which")).text == "B"
    assert client.calls == 5


def test_only_a_judge_can_be_opened_as_one(tmp_path: Path) -> None:
    with open_judge("longer", cache=tmp_path / "c") as judge:
        assert judge.symmetric and judge.judge([match("long", "s").comparison])[0].winner == "a"  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"holds no judge\.json"), open_judge(str(tmp_path)):
        pass
    with pytest.raises(TargetError, match="no target 'gpt'"), open_judge("gpt", cache=tmp_path / "c"):
        pass


# --- over HTTP -------------------------------------------------------------------------

Reply = tuple[int, Any]


class Endpoint:
    """A server that answers with what `script` makes of a request."""

    def __init__(self, script: Callable[[dict[str, Any]], Reply]) -> None:
        self.script, self.bodies, self.delay = script, [], 0.0  # type: ignore[var-annotated]
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.bodies.append(body)
                time.sleep(endpoint.delay)
                status, content = endpoint.script(body)
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client gave up

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def said(text: str, top: object = None) -> Reply:
    """A chat completion, with log-probabilities of the first token."""
    logprobs = (
        None if top is None else {"content": [{"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": top}]}
    )
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
        "logprobs": logprobs,
    }
    return 200, {"id": "1", "object": "chat.completion", "choices": [choice],
                 "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}  # fmt: skip


TOP = [{"token": "A", "logprob": math.log(0.7)}, {"token": " B", "logprob": math.log(0.2)}]


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Endpoint, ChatClient]]]:
    opened: list[Any] = []

    def start(
        script: Callable[[dict[str, Any]], Reply], retries: int = 2, timeout: float = 20.0
    ) -> tuple[Endpoint, ChatClient]:
        endpoint = Endpoint(script)
        client = open_target("m", base_url=endpoint.url, max_retries=retries, timeout=timeout)
        opened.extend((client, endpoint))
        return endpoint, client

    yield start
    for one in opened:
        one.close()


Serve = Callable[..., tuple[Endpoint, ChatClient]]


def test_an_endpoint_tells_probabilities(serve: Serve) -> None:
    endpoint, client = serve(lambda body: said("A", TOP))
    found = client.choose("which", ("A", "B"), system="judge")
    assert found.probabilities == pytest.approx({"A": 0.7, "B": 0.2}) and found.coverage == pytest.approx(0.9)
    assert (found.text, found.tokens, found.prompt_tokens) == ("A", 2, 7)
    (body,) = endpoint.bodies
    assert body["logprobs"] is True and body["temperature"] == 0 and body["messages"][0]["content"] == "judge"


@pytest.mark.parametrize("top", [None, []])
def test_an_endpoint_that_tells_none_is_read_as_text(serve: Serve, top: object) -> None:
    _, client = serve(lambda body: said("Answer B", top))
    assert client.choose("which", ("A", "B")) == Choice(None, "Answer B", 2, 7)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "Unsupported parameter: 'logprobs' is not supported with this model.", "param": "logprobs"}),
        (400, {"message": "Unrecognized request arguments supplied: logprobs, top_logprobs"}),
        (400, {"message": "Logprobs is not enabled for models/x", "status": "INVALID_ARGUMENT"}),
        (422, {"message": "'top_logprobs': extra fields not permitted"}),
        (403, {"message": "You are not allowed to request logprobs from this model"}),
        (400, {"message": "top_logprobs must be at most 5", "param": "top_logprobs"}),
    ],
)
def test_an_endpoint_that_refuses_log_probabilities_is_asked_without(
    serve: Serve, status: int, error: dict[str, str]
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        if "logprobs" in body and "top_logprobs" in body:
            return status, {"error": error}
        if "top_logprobs" in body or "logprobs" in body:
            return 400, {"error": {"message": "'top_logprobs' can only be set if 'logprobs' is"}}
        return said("B")

    endpoint, client = serve(script)
    for _ in range(2):
        assert client.choose("which", ("A", "B")) == Choice(None, "B", 2, 7)
    assert len(endpoint.bodies) == 3, "once it said so, it is not asked again"


def test_a_rate_limit_is_waited_for(serve: Serve) -> None:
    replies = iter([(429, {"error": {"message": "slow down"}}), (503, "busy"), said("A", TOP)])
    endpoint, client = serve(lambda body: next(replies))
    assert client.choose("which", ("A", "B")).coverage == pytest.approx(0.9) and len(endpoint.bodies) == 3


BROKEN: list[tuple[Reply, str]] = [
    ((401, {"error": {"message": "no"}}), "key"),
    ((400, {"error": {"message": "content was refused"}}), "answered 400: content was refused"),
    ((403, {"error": {"message": "not in your country"}}), "not in your country"),
    ((429, {"error": {"message": "slow down"}}), "at its limit (429"),
    ((500, "<html>oops</html>"), "answered 500"),
    ((200, "<html>login</html>"), "can't be understood"),
    ((200, "{"), "can't be understood"),
    ((200, {"choices": []}), "can't be understood"),
    ((200, {"choices": "A"}), "can't be understood"),
    ((200, [1, 2]), "can't be understood"),
    (said("A", [{"token": "A"}]), "can't be understood"),
    (said("A", [None]), "can't be understood"),
    (said("A", 5), "can't be understood"),
    (said("A", [{"token": "A", "logprob": "much"}]), "can't be understood"),
]


@pytest.mark.parametrize(("reply", "says"), BROKEN)
def test_whatever_an_endpoint_breaks_is_one_line(serve: Serve, reply: Reply, says: str) -> None:
    _, client = serve(lambda body: reply, retries=1)
    with pytest.raises(TargetError) as error:
        client.choose("which", ("A", "B"))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_an_endpoint_that_is_silent_is_left(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    endpoint, client = serve(lambda body: said("A", TOP), retries=1, timeout=0.2)
    endpoint.delay = 0.6
    with pytest.raises(TargetError, match=r"was silent for 0\.2 s, 2 times"):
        client.choose("which", ("A", "B"))
    with pytest.raises(TargetError, match="the first 1 questions"):
        LlmJudge(llm(tmp_path, client)).judge([match("x", "y").comparison])


def test_refusals_of_some_comparisons_are_told_with_the_outcome(serve: Serve, tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        text = body["messages"][-1]["content"]
        if "bomb" in text:
            return 400, {"error": {"message": "content policy"}}
        return said("I can't help", [{"token": "I", "logprob": -0.01}]) if "poison" in text else said("A", TOP)

    _, client = serve(script, retries=0)
    rows = judged(
        [match("bomb", "y"), match("x", "poison", "2"), match("x", "y", "3")], LlmJudge(llm(tmp_path, client))
    )  # type: ignore[arg-type]
    assert [r["score"] for r in rows] == [None, None, 0] and rows[2]["flipped"]
    assert "content policy" in rows[0]["problem"] and rows[1]["problem"] == 'unreadable: "I can\'t help"'
    assert rows[2]["probability"] == pytest.approx(0.5)


# --- in process ------------------------------------------------------------------------


def test_a_gguf_tells_the_probabilities_of_its_first_token(tmp_path: Path) -> None:
    gguf = tiny_llama_gguf(tmp_path / "tiny.gguf")
    with open_target("judge", gguf=gguf, context=512, parallel=1) as client:
        found = client.choose("Which? A or B.", ("A", "B"))
        assert found == client.choose("Which? A or B.", ("A", "B")), "deterministic"
        assert found.probabilities is not None and 0 <= found.coverage <= 1 and found.tokens == 1
        letters = [chr(k) for k in range(ord("a"), ord("z") + 1)]
        every = client.choose("Which? A or B.", letters)
        assert 0 < every.coverage <= 1
        if found.text.strip().lower() in letters:
            assert max(every.probabilities, key=every.probabilities.get) == found.text.strip().lower()  # type: ignore[arg-type, union-attr]
        assert client.choose("Which? B or A.", letters) != every
        with pytest.raises(TargetError, match="shorten it"):
            client.choose("word " * 900, ("A", "B"))
        with LlmJudgeOf(client, tmp_path) as judge:
            (row,) = judged([match("x", "y")], judge)  # type: ignore[arg-type]
            assert row["judge"] == "judge" and (row["score"] is None) == ("problem" in row)
    with pytest.raises(TargetError, match="closed"):
        client.choose("Which?", ("A", "B"))


class LlmJudgeOf(LlmJudge):
    """An LlmJudge that closes its cache."""

    def __init__(self, client: ChatClient, folder: Path) -> None:
        self.kept = AnswerCache(folder / "judge.sqlite")
        super().__init__(CachedClient(client, self.kept))

    def __enter__(self) -> LlmJudgeOf:
        return self

    def __exit__(self, *_: object) -> None:
        self.kept.close()
