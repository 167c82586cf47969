"""The server between an upstream, a prompter and clients that break: no request hangs, is lost, or changes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import (
    PATIENCE,
    TEXT,
    Answer,
    Client,
    Do,
    Hostile,
    Reply,
    Request,
    Served,
    Step,
    ask,
    at_once,
    chunked,
    cut_after,
    cut_anywhere,
    events,
    head,
    request,
    serving,
    sized,
    until,
    zipped,
)
from hostile_prompter import ADVICE, NAME

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import serve_faults

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads what a process holds open from /proc")

SOON = 3.0
"""Seconds: one in which it has to happen, and two that a busy machine may take."""
ODD = (
    b'{"model":"m","temperature":0.10000000000000000001,"seed":123456789012345678901234567890,'
    b'"stop":["\\u0041", "\\/" ],"messages":[{"role":"system","content":"caf\\u0065"},{"role":"user","content":%b}],'
    b'"logit_bias":{ "1" : 1E400 },"stream":true}'
)
"""A body of which every byte but the prompt's must come through."""
PLAIN = b'{"messages":[{"role":"user","content":%b}]}'
_NUMBERS = itertools.count()


def text(prompt: str) -> bytes:
    return json.dumps(prompt, ensure_ascii=False).encode()


def name(what: str = "case") -> str:
    """A name that no other request has; and so has its prompt, which is not remembered."""
    return f"{what} {next(_NUMBERS)}"


class Between:
    """A server, its upstream, and what it holds open while nothing happens."""

    def __init__(self, upstream: Hostile, served: Served) -> None:
        self.upstream, self.served = upstream, served
        self.port = served.port

    def run(self, scenario: Coroutine[Any, Any, None]) -> None:
        """Run a test's scenario; afterwards nothing may be in work."""

        async def whole() -> None:
            await scenario
            await until(lambda: not (inside := self.served.inside())["in_flight"] and not inside["buffered"])

        asyncio.run(whole())
        assert not self.upstream.problems

    async def chat(self, prompt: str, reply: Reply, body: bytes = PLAIN, **plan: Any) -> tuple[Answer, list[Request]]:
        """Ask with a prompt: what the client gets, and what the upstream got."""
        case = name()
        self.upstream.plan(case, reply, **plan)
        answer = await ask(self.port, request(case, body % text(prompt)))
        return answer, self.upstream.of(case)


@contextlib.contextmanager
def between(folder: Path, hang_seconds: float = 15.0, **settings: Any) -> Iterator[Between]:
    with Hostile() as upstream, serving(upstream.url, folder, hang_seconds, **settings) as served:
        found = Between(upstream, served)
        before: dict[str, Any] = {}
        found.run(_held(found, before))
        yield found
        found.run(_as_before(found, before))
        assert not [line for line in served.mishaps() if "UnicodeEncodeError" not in line]


async def _held(server: Between, found: dict[str, Any]) -> None:
    # a request of its own: it has the server close the upstream's connections that were idle for too long
    await server.served.ready()
    await server.chat("!same", sized(b"{}", 200, b"connection: close").then(Do.CLOSE))
    inside = server.served.inside()
    found |= {"tasks": inside["tasks"], "files": len(server.served.files())}


async def _as_before(server: Between, before: dict[str, Any]) -> None:
    """Nothing leaks: tasks, sockets and files are those of the start, when all is quiet."""
    after: dict[str, Any] = {}
    ends = time.monotonic() + PATIENCE
    while after != before:
        assert time.monotonic() < ends, f"{before} became {after}"
        await _held(server, after)
        await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    """It waits for as long as anything may take on a busy machine."""
    with between(tmp_path_factory.mktemp("server"), deadline=15.0, upstream_timeout=PATIENCE) as found:
        yield found


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    """It waits for nothing."""
    folder = tmp_path_factory.mktemp("impatient")
    with between(folder, hang_seconds=0.6, deadline=0.3, upstream_timeout=0.8) as found:
        yield found


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    """One for what would leave it without a prompter for good."""
    with between(tmp_path_factory.mktemp("spare"), deadline=3.0, upstream_timeout=PATIENCE) as found:
        yield found


def rewritten(body: bytes, prompt: str) -> bytes:
    return body % text(prompt + ADVICE)


def is_error(answer: Answer, status: int, code: str) -> None:
    """It is an error of OpenAI's form."""
    assert (answer.status, answer.end) == (status, "whole")
    assert answer.value(b"content-type") == "application/json"
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and (error["type"], error["param"], error["code"]) == ("upstream_error", None, code)


def has(answer: Answer, reply: Reply) -> None:
    """The client got what the upstream sent."""
    assert answer.status == reply.status
    assert answer.end == ("whole" if reply.whole else "cut")
    if reply.exact:
        assert answer.body == reply.body
    else:
        assert reply.body.startswith(answer.body)
    lines = iter(answer.headers)
    assert all(line in lines for line in reply.headers), answer.headers


# Answers that are whole.

DRAW = random.Random(7)
STREAM = events(DRAW)
PIECES = cut_anywhere(STREAM, DRAW, 8)
ABC = b"3\r\nabc\r\n0\r\n\r\n"
ANSWERS: dict[str, Reply] = {
    "json": sized(b'{"ok": true}', 200, b"x-request-id: 7"),
    "stream": chunked(PIECES, b"cache-control: no-cache"),
    "stream in one piece": at_once(chunked(PIECES)),
    "stream byte by byte": chunked([bytes([byte]) for byte in STREAM[:300]]),
    "stream, slow": Reply((Do.BODY, 0.2, *chunked(PIECES).steps[1:3], 0.2, *chunked(PIECES).steps[3:]), 200, STREAM),
    "length, in pieces": Reply((Do.BODY, head(200, b"content-length: %d" % len(STREAM)), *PIECES), 200, STREAM),
    "until the end, HTTP/1.0": Reply((Do.BODY, head(b"HTTP/1.0 200 OK"), *PIECES, Do.CLOSE), 200, STREAM),
    "until the end, HTTP/1.1": Reply((Do.BODY, head(200), *PIECES, Do.CLOSE), 200, STREAM),
    "gzip": sized(zipped(STREAM), 200, b"content-encoding: gzip"),
    "gzip stream": chunked(cut_anywhere(zipped(STREAM), DRAW, 6), b"content-encoding: gzip"),
    "every byte": sized(bytes(range(256)) * 100, kind=b"application/octet-stream"),
    "large": chunked([b"y" * 65536] * 100),
    "empty": sized(b""),
    "empty stream": chunked([]),
    "too many requests": sized(b'{"error": "slow down"}', 429, b"retry-after: 7", b"x-ratelimit-remaining-requests: 0"),
    "server error": sized(b'{"error": "it broke"}', 500),
    "unavailable": sized(b"", 503, b"retry-after: 1"),
    "unauthorized": sized(b"{}", 401, b"www-authenticate: Bearer"),
    "last status": sized(b"{}", 599),
    "html": sized(b"<html>\xff</html>", 200, kind=b"text/html; charset=latin-1"),
    "no content": Reply((Do.BODY, head(204, b"x-a: b")), 204, headers=((b"x-a", b"b"),)),
    "not modified": Reply((Do.BODY, head(304, b'etag: "a"')), 304, headers=((b"etag", b'"a"'),)),
    "not modified, with a length": Reply((Do.BODY, head(304, b"content-length: 100")), 304),
    "after hints": Reply((Do.BODY, head(100), head(103, b"link: </a>"), *sized(b"{}").steps[1:]), 200, b"{}"),
    "extensions and trailers": Reply(
        (Do.BODY, head(200, b"transfer-encoding: chunked"), b'2;a="b"\r\nhi\r\n0\r\nx-trailer: a\r\n\r\n'), 200, b"hi"
    ),
    "length and chunks": Reply(
        (Do.BODY, head(200, b"content-length: 9", b"transfer-encoding: chunked"), ABC), 200, b"abc"
    ),
    "cookies": sized(b"{}", 200, b"set-cookie: a=1", b"set-cookie: b=2; Secure", b"set-cookie: a=3"),
    "odd headers": sized(b"{}", 200, b"x-latin: \xe9\xff", b"X-UPPER: A", b"!#$%&'*+-.^_`|~: token", b"x-empty:"),
    "huge headers": sized(b"{}", 200, b"x-large: " + b"a" * 90_000),
    "many headers": sized(b"{}", 200, *(b"x-%d: a" % n for n in range(2000))),
    "no reason phrase": Reply((Do.BODY, b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}"), 200, b"{}"),
    "before the body is read": Reply((head(409, b"content-length: 2") + b"no", Do.BODY), 409, b"no"),
    "closed without saying so": sized(b"{}").then(Do.CLOSE),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_comes_through_byte_for_byte(server: Between, what: str) -> None:
    async def scenario() -> None:
        reply, case = ANSWERS[what], name()
        server.upstream.plan(case, reply)
        client = await Client.open(server.port)  # its connection is kept, whatever the answer
        for body, target in ((ODD % text(case + TEXT), b"/v1/chat/completions"), (bytes(range(256)), b"/v1/files")):
            await client.send(request(case, body, target))
            has(await client.read(), reply)
        await client.send(request(name(), method=b"GET", target=b"/v1/models"))
        assert (await client.read("GET")).status == 404, "the upstream's answer to a case that it does not know"
        client.leave()
        chat, upload = server.upstream.of(case)
        assert chat.body == rewritten(ODD, case + TEXT) and upload.body == bytes(range(256))

    server.run(scenario())


def test_headers_of_one_connection_stay_there(server: Between) -> None:
    async def scenario() -> None:
        case = name()
        lines = [b"connection: x-Hop, keep-alive", b"x-hop: 1", b"keep-alive: timeout=5", b"upgrade: h2c", b"x-own: 2"]
        server.upstream.plan(case, sized(b"{}", 200, *lines))
        headers = [b"connection: X-There, keep-alive", b"x-there: 1", b"te: trailers", b"x-promptlift-turns: first"]
        headers += [b"x-kept: a", b"x-kept: b", b"authorization: Bearer theirs"]
        answer = await ask(server.port, request(case, PLAIN % text(case), headers=headers))
        names = [key for key, _ in answer.headers]
        assert not {b"connection", b"x-hop", b"keep-alive", b"upgrade"} & {*names} and answer.value(b"x-own") == "2"
        assert answer.value(b"x-promptlift-prompter") == NAME
        got = server.upstream.of(case)[0]
        assert not {b"x-there", b"te", b"x-promptlift-turns"} & {key for key, _ in got.headers}
        assert got.values(b"x-kept") == [b"a", b"b"] and got.values(b"authorization") == [b"Bearer theirs"]

    server.run(scenario())


# No answer.

NO_ANSWER: dict[str, tuple[Step, ...]] = {
    "closed at once": (Do.CLOSE,),
    "reset at once": (Do.RESET,),
    "closed": (Do.BODY, Do.CLOSE),
    "reset": (Do.BODY, Do.RESET),
    "cut in the status": (Do.BODY, b"HTTP/1.1 2", Do.CLOSE),
    "cut in the headers": (Do.BODY, head(200, b"content-type: text/event-stream")[:-7], Do.CLOSE),
    "reset in the headers": (Do.BODY, head(200, b"content-type: text/event-stream")[:-7], 0.05, Do.RESET),
    "only hints": (Do.BODY, head(103), Do.CLOSE),
    "status 600": (Do.BODY, head(600, b"content-length: 0")),
    "status 999": (Do.BODY, head(999, b"content-length: 0")),
    "status 99": (Do.BODY, head(99, b"content-length: 0")),
    "status 101": (Do.BODY, head(101, b"connection: upgrade", b"upgrade: h2c")),
    "no HTTP": (Do.BODY, b"what?\r\n\r\n"),
    "HTTP/2": (Do.BODY, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a zero byte in a header": (Do.BODY, head(200, b"x-a: b\0c", b"content-length: 0")),
    "a space in a header's name": (Do.BODY, head(200, b"x a: b", b"content-length: 0")),
    "headers without end": (Do.BODY, head(200, b"x-a: " + b"a" * 200_000)),
    "an unknown coding": (Do.BODY, head(200, b"transfer-encoding: garbage")),
    "a further coding": (Do.BODY, head(200, b"transfer-encoding: gzip, chunked")),
    "two lengths": (Do.BODY, head(200, b"content-length: 1", b"content-length: 2")),
    "a length that is none": (Do.BODY, head(200, b"content-length: -1")),
}  # fmt: skip


@pytest.mark.parametrize("what", NO_ANSWER)
def test_no_answer_is_told_and_the_request_not_repeated(server: Between, what: str) -> None:
    async def scenario() -> None:
        prompt = name()
        answer, got = await server.chat(prompt, Reply(NO_ANSWER[what], None), ODD)
        is_error(answer, 502, "upstream_broken")
        # an old connection that was closed without a byte had been closed before: there may be one of these
        assert [one for one in got[:-1] if not one.reused or one.begun] == [] and len(got) <= 2
        if Do.BODY in NO_ANSWER[what]:
            assert got[-1].body == rewritten(ODD, prompt)

    server.run(scenario())


def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        answer = await ask(served.port, request(name(), PLAIN % text(name())))
        is_error(answer, 502, "upstream_unreachable")

    with Hostile() as upstream:
        url = upstream.url
    with serving(url, tmp_path) as served:
        asyncio.run(scenario(served))


def test_an_upstream_that_says_nothing(impatient: Between) -> None:
    async def scenario() -> None:
        answer, got = await impatient.chat("!same", Reply((Do.BODY, Do.HOLD), None))
        is_error(answer, 504, "upstream_timeout")
        assert len(got) == 1
        await until(lambda: got[0].left)
        answer, got = await impatient.chat("!same", Reply((Do.BODY, head(200)[:9], Do.HOLD), None))
        is_error(answer, 504, "upstream_timeout")
        await until(lambda: got[0].left)

    impatient.run(scenario())


# Answers that are cut.

_CHUNKS = chunked(PIECES, b"x-own: 1")
_SIZE = sum(len(step) for step in _CHUNKS.steps if isinstance(step, bytes))
_HEAD = len(_CHUNKS.steps[1])  # type: ignore[arg-type]
CUTS: dict[str, Reply] = {
    "after the head": cut_after(_CHUNKS, _HEAD),
    "in a chunk's size": cut_after(_CHUNKS, _HEAD + 1),
    "in a chunk": cut_after(_CHUNKS, _HEAD + 10),
    "in a later chunk": cut_after(_CHUNKS, _SIZE - 40),
    "before the last chunk": cut_after(_CHUNKS, _SIZE - 5),
    "in the last chunk": cut_after(_CHUNKS, _SIZE - 1),
    "reset": cut_after(_CHUNKS, _SIZE - 40, Do.RESET),
    "in a length": cut_after(sized(STREAM), len(STREAM)),
    "a byte too few": cut_after(sized(b"{}", 500), len(sized(b"{}", 500).steps[1]) - 1),  # type: ignore[arg-type]
    "no byte of a length": Reply((Do.BODY, head(200, b"content-length: 5"), Do.CLOSE), 200, whole=False),
    "in gzip": cut_after(sized(zipped(STREAM), 200, b"content-encoding: gzip"), 200),
    "no chunk": Reply((Do.BODY, *_CHUNKS.steps[1:3], b"zz\r\n"), 200, PIECES[0], whole=False),
    "no end of a chunk": Reply((Do.BODY, *_CHUNKS.steps[1:3], b"2\r\nabcdef"), 200, PIECES[0] + b"ab", whole=False),
}  # fmt: skip


@pytest.mark.parametrize("what", CUTS)
def test_a_cut_is_seen_as_a_cut(server: Between, what: str) -> None:
    async def scenario() -> None:
        prompt = name()
        answer, got = await server.chat(prompt, CUTS[what], ODD)
        has(answer, CUTS[what])
        assert [one.body for one in got] == [rewritten(ODD, prompt)]

    server.run(scenario())


def test_a_stream_that_stalls_is_cut(impatient: Between) -> None:
    async def scenario() -> None:
        reply = Reply((Do.BODY, *_CHUNKS.steps[1:4], Do.HOLD), 200, PIECES[0] + PIECES[1], whole=False)
        answer, got = await impatient.chat("!same", reply)
        has(answer, reply)
        await until(lambda: got[0].left)

    impatient.run(scenario())


# A prompter that breaks.


async def recovers(server: Between) -> None:
    """The prompter comes back, and rewrites."""
    await server.served.ready()
    prompt = name()
    answer, got = await server.chat(prompt, ANSWERS["json"], ODD)
    assert answer.outcome == "rewritten" and [one.body for one in got] == [rewritten(ODD, prompt)]


BROKEN = [*serve_faults.BROKEN.split(), "hugeline"]


@pytest.mark.parametrize("word", [*BROKEN, "error", "input", "surrogate"])
def test_a_prompter_that_breaks_changes_nothing(server: Between, word: str) -> None:
    async def scenario() -> None:
        starts = (await server.served.ready())["starts"]
        prompt = f"{name()} {TEXT} !{word}"
        answer, got = await server.chat(prompt, ANSWERS["stream"], ODD)
        has(answer, ANSWERS["stream"])
        assert [one.body for one in got] == [ODD % text(prompt)]
        assert (answer.value(b"x-promptlift"), answer.outcome) == ("unchanged", "prompter")
        assert answer.value(b"x-injected") is None
        await recovers(server)
        assert server.served.inside()["starts"] - starts == (word in BROKEN)

    server.run(scenario())


@pytest.mark.parametrize("word", serve_faults.SILENT.split())
def test_a_prompter_that_says_nothing_is_late_and_killed(impatient: Between, word: str) -> None:
    async def scenario() -> None:
        starts = (await impatient.served.ready())["starts"]
        prompt = f"{name()} !{word}"
        answer, got = await impatient.chat(prompt, ANSWERS["stream"], ODD)
        has(answer, ANSWERS["stream"])
        assert [one.body for one in got] == [ODD % text(prompt)]
        assert answer.outcome in ("deadline", "prompter") if word == "mute" else answer.outcome == "deadline"
        await until(lambda: impatient.served.inside()["starts"] == starts + 1)
        # it is busy with the prompt until it is killed, so that the next one may be late, too
        for _ in range(20):
            await impatient.served.ready()
            answer, _ = await impatient.chat(name(), ANSWERS["json"])
            if answer.outcome == "rewritten":
                return
        pytest.fail(f"it does not come back: {answer.outcome}")

    impatient.run(scenario())


@pytest.mark.parametrize("word", ["deep", "orphan", "failstart3"])
def test_a_prompter_comes_back_from_everything(spare: Between, word: str) -> None:
    async def scenario() -> None:
        starts = spare.served.inside()["starts"]
        prompt = f"{name()} !{word}"
        answer, got = await spare.chat(prompt, ANSWERS["stream"], ODD)
        has(answer, ANSWERS["stream"])
        assert [one.body for one in got] == [ODD % text(prompt)]
        assert answer.outcome == "prompter"
        await until(lambda: spare.served.inside()["starts"] > starts + 3 * (word == "failstart3"))
        await recovers(spare)

    spare.run(scenario())


def test_a_prompt_of_any_length_leaves_the_prompter_alone(spare: Between) -> None:
    async def scenario() -> None:
        starts = (await spare.served.ready())["starts"]
        # as JSON with escapes, twice in a record, it is larger than what is read of the prompter
        prompt = "🌍" * 2_900_000
        answer, got = await spare.chat(prompt, ANSWERS["json"])
        has(answer, ANSWERS["json"])
        assert got[0].body in (PLAIN % text(prompt), rewritten(PLAIN, prompt))
        assert spare.served.inside()["starts"] == starts
        await recovers(spare)

    spare.run(scenario())


def test_an_answer_twice_and_a_change_that_is_none(server: Between) -> None:
    async def scenario() -> None:
        prompt = f"{name()} !twice"
        answer, got = await server.chat(prompt, ANSWERS["json"], ODD)
        assert answer.outcome == "rewritten" and [one.body for one in got] == [rewritten(ODD, prompt)]
        prompt = f"{name()} !same"
        answer, got = await server.chat(prompt, ANSWERS["json"], ODD)
        assert answer.outcome == "identity" and [one.body for one in got] == [ODD % text(prompt)]

    server.run(scenario())


def test_a_process_that_is_killed_while_many_wait(server: Between) -> None:
    async def scenario() -> None:
        worker = (await server.served.ready())["worker"]
        prompts = [f"{name()} !slow300" for _ in range(8)]
        asked = [asyncio.ensure_future(server.chat(prompt, ANSWERS["stream"], ODD)) for prompt in prompts]
        await until(lambda: server.served.inside()["in_flight"] == len(prompts))
        os.kill(worker, signal.SIGKILL)
        outcomes = []
        for prompt, (answer, got) in zip(prompts, await asyncio.gather(*asked), strict=True):
            has(answer, ANSWERS["stream"])
            outcomes.append(answer.outcome)
            expected = rewritten(ODD, prompt) if answer.outcome == "rewritten" else ODD % text(prompt)
            assert [one.body for one in got] == [expected]
        assert set(outcomes) <= {"rewritten", "prompter"} and "prompter" in outcomes
        await recovers(server)

    server.run(scenario())


def test_a_conversation_stays_as_it_was_sent_while_the_prompter_breaks(impatient: Between) -> None:
    async def scenario() -> None:
        talk = b'{"messages":[{"role":"user","content":%b},{"role":"assistant","content":"x"},'
        talk += b'{"role":"user","content":"y"}]}'
        late, early = f"{name()} !slow500", name()
        await impatient.served.ready()
        answer, _ = await impatient.chat(late, ANSWERS["json"])
        assert answer.outcome == "deadline"
        # the rewrite is there after all; the conversation goes on as it began
        await until(lambda: impatient.served.inside()["idle"])
        answer, got = await impatient.chat(late, ANSWERS["json"], talk)
        assert answer.outcome == "earlier" and got[0].body == talk % text(late)
        for _ in range(20):
            answer, _ = await impatient.chat(early, ANSWERS["json"])
            if answer.outcome == "rewritten":
                break
        os.kill((await impatient.served.ready())["worker"], signal.SIGKILL)
        answer, got = await impatient.chat(early, ANSWERS["json"], talk)
        assert answer.outcome == "rewritten" and got[0].body == rewritten(talk, early)

    impatient.run(scenario())


# Rewrites that the upstream refuses.


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("whole", [True, False])
def test_a_refused_rewrite_is_followed_by_the_original(server: Between, status: int, whole: bool) -> None:
    async def scenario() -> None:
        refusal = sized(b'{"error": "too long"}', status)
        if not whole:  # nobody waits for the end of a refusal
            refusal = Reply((Do.BODY, head(status, b"content-length: 100") + b"{", Do.HOLD), status)
        for reply in (ANSWERS["stream"], sized(b'{"error": "this, too"}', status), CUTS["in a chunk"]):
            prompt = name()
            original = ODD % text(prompt)
            answer, got = await server.chat(prompt, reply, ODD, refusal=refusal, original=original)
            has(answer, reply)
            assert [one.body for one in got] == [rewritten(ODD, prompt), original]
            assert (answer.value(b"x-promptlift"), answer.outcome) == ("unchanged", "refused")
        prompt = name()
        original = ODD % text(prompt)
        reply = Reply((Do.BODY, head(200)[:9], Do.CLOSE), None)
        answer, got = await server.chat(prompt, reply, ODD, refusal=refusal, original=original)
        is_error(answer, 502, "upstream_broken")
        assert [one.body for one in got] == [rewritten(ODD, prompt), original]

    server.run(scenario())


def test_what_was_left_alone_is_not_sent_twice(server: Between) -> None:
    async def scenario() -> None:
        for status in (400, 401, 404, 413, 422, 429, 500, 503):
            reply = sized(b'{"error": "no"}', status)
            answer, got = await server.chat(f"{name()} !same", reply, ODD)
            has(answer, reply)
            assert len(got) == 1 and answer.outcome == "identity"
            answer, got = await server.chat(name(), reply, ODD)
            has(answer, reply)
            assert len(got) == (2 if status in (400, 413, 422) else 1)

    server.run(scenario())


# Connections that are kept.


async def idle_connections(server: Between, count: int) -> None:
    """Have the server keep so many connections to the upstream."""
    case = name()
    plan = server.upstream.plan(case, Reply((Do.BODY, Do.GATE, *sized(b"{}").steps[1:]), 200, b"{}"))
    asked = [asyncio.ensure_future(ask(server.port, request(case, PLAIN % text("!same")))) for _ in range(count)]
    await until(lambda: len(server.upstream.of(case)) == count)
    plan.gate.set()
    await asyncio.gather(*asked)


def test_connections_that_end_between_requests(server: Between) -> None:
    async def scenario() -> None:
        for number in range(20):
            prompt = name()
            reply = sized(b"{}").then(Do.CLOSE) if number % 2 else sized(b"{}").then(0.002 * (number % 5), Do.CLOSE)
            answer, got = await server.chat(prompt, reply, ODD)
            has(answer, reply)
            assert got[-1].body == rewritten(ODD, prompt) and len(got) <= 2

    server.run(scenario())


def test_old_connections_that_are_dead_lose_nothing_and_a_poison_is_not_spread(server: Between) -> None:
    async def scenario() -> None:
        await idle_connections(server, 8)
        prompt = name()
        answer, got = await server.chat(prompt, ANSWERS["stream"], ODD, stale=Reply((Do.CLOSE,), None))
        has(answer, ANSWERS["stream"])
        assert [one.reused for one in got] == [True, False] and got[-1].body == rewritten(ODD, prompt)
        await idle_connections(server, 8)
        # what makes the upstream break off must not be tried on each of them
        answer, got = await server.chat(name(), Reply((Do.BODY, Do.CLOSE), None))
        is_error(answer, 502, "upstream_broken")
        assert [one.reused for one in got] == [True, False]

    server.run(scenario())


@pytest.mark.parametrize("end", [Do.CLOSE, Do.RESET])
def test_an_answer_that_was_begun_is_not_asked_for_again(server: Between, end: Do) -> None:
    async def scenario() -> None:
        await idle_connections(server, 2)
        answer, got = await server.chat(name(), Reply((Do.BODY, head(200)[:12], 0.05, end), None))
        is_error(answer, 502, "upstream_broken")
        assert len(got) == 1

    server.run(scenario())


WRONG = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nWRONG"
LEFT_OVER: dict[str, Reply] = {
    "a further answer": sized(b"{}").then(WRONG),
    "in one piece": at_once(sized(b"{}").then(WRONG)),
    "after chunks": at_once(chunked([b"{}"]).then(WRONG)),
    "a body that there is not": Reply((Do.BODY, head(204, b"content-length: 2") + b"{}"), 204),
    "a line end": sized(b"{}").then(b"\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", LEFT_OVER)
def test_bytes_after_an_answer_are_not_the_next_ones_answer(server: Between, what: str) -> None:
    async def scenario() -> None:
        answer, got = await server.chat(name(), LEFT_OVER[what])
        has(answer, LEFT_OVER[what])
        await until(lambda: got[0].done)  # all that is too much was sent
        for _ in range(2):
            answer, got = await server.chat(name(), ANSWERS["json"])
            has(answer, ANSWERS["json"])
            assert len(got) == 1

    server.run(scenario())


# Clients that leave.


async def leaves(server: Between, reply: Reply, when: Callable[[Client, list[Request]], Any]) -> None:
    """Ask, and leave when something is so; the upstream's connection must end soon."""
    case = name()
    server.upstream.plan(case, reply)
    client = await Client.open(server.port)
    await client.send(request(case, PLAIN % text(case)))
    reading = asyncio.ensure_future(client.read())
    await until(lambda: when(client, server.upstream.of(case)))
    reading.cancel()
    client.leave(reset=len(case) % 2 == 0)
    gone = time.monotonic()
    got = server.upstream.of(case)
    await until(lambda: got[0].left)
    assert len(got) == 1 and (got[0].left or 0) - gone < SOON


def test_a_client_that_leaves_ends_the_upstreams_work(server: Between) -> None:
    async def scenario() -> None:
        before_head = Reply((Do.BODY, Do.HOLD))
        within = Reply((Do.BODY, *_CHUNKS.steps[1:4], Do.HOLD))
        for _ in range(4):
            await leaves(server, before_head, lambda client, got: got and got[0].complete)
            await leaves(server, within, lambda client, got: len(client.answer.body) == len(PIECES[0] + PIECES[1]))

    server.run(scenario())


def test_a_client_that_leaves_while_its_prompt_is_rewritten(server: Between) -> None:
    async def scenario() -> None:
        await server.served.ready()
        case = name()
        server.upstream.plan(case, ANSWERS["json"])
        client = await Client.open(server.port)
        await client.send(request(case, PLAIN % text(f"{case} !slow1500")))
        await until(lambda: server.served.inside()["in_flight"] == 1)
        client.leave()
        await until(lambda: not server.served.inside()["in_flight"], SOON)
        # what was asked for is still finished, and found by the next one
        answer, got = await server.chat(f"{case} !slow1500", ANSWERS["json"])
        assert answer.outcome == "rewritten" and len(got) == 1
        assert server.upstream.of(case) == []

    server.run(scenario())


def test_a_client_that_leaves_within_its_body(server: Between) -> None:
    async def scenario() -> None:
        chat, upload = name(), name()
        server.upstream.plan(chat, ANSWERS["json"])
        server.upstream.plan(upload, ANSWERS["json"])
        client = await Client.open(server.port)
        await client.send(request(chat, PLAIN % text(chat))[:-10])
        await until(lambda: server.served.inside()["buffered"])
        client.leave()
        await until(lambda: not server.served.inside()["in_flight"], SOON)
        assert server.upstream.of(chat) == []
        client = await Client.open(server.port)
        size = 3_000_000  # so much is passed on while it comes
        await client.send(request(upload, b"x" * size, b"/v1/files")[:-10])
        await until(lambda: (got := server.upstream.of(upload)) and len(got[0].body) == size - 10)
        client.leave()
        await until(lambda: server.upstream.of(upload)[0].left, SOON)
        assert not server.upstream.of(upload)[0].complete, "half a body must not pass for a whole one"

    server.run(scenario())


def test_a_client_that_leaves_while_nobody_reads_its_upload(impatient: Between) -> None:
    async def scenario() -> None:
        before, case = impatient.served.sockets(), name()
        impatient.upstream.plan(case, Reply((Do.HOLD,)))
        client = await Client.open(impatient.port)
        sending = asyncio.ensure_future(client.send(request(case, b"x" * 20_000_000, b"/v1/files")))
        await until(lambda: impatient.upstream.of(case))
        await asyncio.sleep(0.2)  # until all buffers are full
        sending.cancel()
        client.leave()
        await until(lambda: not impatient.served.inside()["in_flight"])
        await until(lambda: impatient.served.sockets() <= before)

    impatient.run(scenario())


@pytest.mark.parametrize("rest", [(0.02, b"1\r\n.\r\n") * 500, (Do.HOLD,)], ids=["it goes on", "it is silent"])
def test_a_client_that_leaves_with_another_request_on_its_connection(server: Between, rest: tuple[Step, ...]) -> None:
    async def scenario() -> None:
        case = name()
        server.upstream.plan(case, Reply((Do.BODY, *_CHUNKS.steps[1:4], *rest)))
        client = await Client.open(server.port)
        await client.send(2 * request(case, PLAIN % text(case)))
        async for _ in client.pieces():
            if len(client.answer.body) >= len(PIECES[0] + PIECES[1]):
                break
        client.leave()
        await until(lambda: server.upstream.of(case)[0].left, SOON)
        assert len(server.upstream.of(case)) == 1

    server.run(scenario())


def test_requests_on_one_connection_are_answered_in_order(server: Between) -> None:
    async def scenario() -> None:
        cases = [name() for _ in range(4)]
        for number, case in enumerate(cases):
            server.upstream.plan(case, sized(b"%d" % number))
        client = await Client.open(server.port)
        await client.send(b"".join(request(case, PLAIN % text(case)) for case in cases))
        assert [(await client.read()).body for _ in cases] == [b"0", b"1", b"2", b"3"]
        client.leave()

    server.run(scenario())


def test_a_client_that_does_not_read_holds_the_upstream_back(server: Between) -> None:
    async def scenario() -> None:
        before = server.served.memory()
        case, large = name(), chunked([b"y" * 65536] * 1600)  # 100 MB
        server.upstream.plan(case, large)
        client = await Client.open(server.port, receive_buffer=65536)
        await client.send(request(case, PLAIN % text(case)))
        await until(lambda: server.upstream.of(case) and server.upstream.of(case)[0].begun)
        grown = 0
        for _ in range(20):
            await asyncio.sleep(0.02)
            grown = max(grown, server.served.memory() - before)
        assert not server.upstream.of(case)[0].done and grown < 40e6
        client.leave()
        await until(lambda: server.upstream.of(case)[0].left, SOON)

    server.run(scenario())


# Bodies that are passed on.


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/files", b"/v1/embeddings"])
def test_bodies_come_through_in_pieces(server: Between, target: bytes) -> None:
    async def scenario() -> None:
        draw = random.Random(3)
        for body in (ODD % text(f"{name()} {TEXT} !same"), draw.randbytes(3_000_000), b""):
            for pieces in (None, cut_anywhere(body, draw, 9) if body else []):
                case = name()
                server.upstream.plan(case, ANSWERS["stream"])
                answer = await ask(server.port, request(case, body, target, coding=pieces))
                has(answer, ANSWERS["stream"])
                assert [(one.body, one.complete) for one in server.upstream.of(case)] == [(body, True)]

    server.run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS"])
def test_any_method_and_path(server: Between, method: str) -> None:
    async def scenario() -> None:
        targets = {
            b"/v1/models?limit=2&after=%2F%zz": b"/v1/models?limit=2&after=%2F%zz",
            b'/v1//files/a%2fb;c+d?q="|{}[]^`': b'/v1//files/a%2fb;c+d?q="|{}[]^`',
            b"//elsewhere/v1": b"//elsewhere/v1",
            b"http://elsewhere/v1/models": b"/v1/models",
            b"/v1/" + b"a" * 50_000: b"/v1/" + b"a" * 50_000,
            b"/api/tags": b"/api/tags",
        }
        reply = ANSWERS["json"]
        if method == "HEAD":
            reply = Reply((Do.BODY, head(200, b"content-length: 100", b"x-request-id: 7")), 200, b"")
        for target, expected in targets.items():
            case = name()
            server.upstream.plan(case, reply)
            data = request(case, target=target, method=method.encode())
            answer = await ask(server.port, data, method)
            assert (answer.status, answer.end, answer.body) == (200, "whole", reply.body)
            assert [(one.method, one.target) for one in server.upstream.of(case)] == [(method, expected)]
        assert method != "HEAD" or answer.value(b"content-length") == "100"

    server.run(scenario())


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/files"])
def test_an_answer_before_the_body_was_read_ends_the_request(impatient: Between, target: bytes) -> None:
    async def scenario() -> None:
        # It is sent and then read: an answer to what is still being sent may be lost to a reset, or to the time limit;
        # but there is an end.
        body = PLAIN % text("x" * 14_000_000)
        for last in (Do.CLOSE, Do.RESET, Do.HOLD):
            case = name()
            impatient.upstream.plan(case, Reply((head(401, b"content-length: 2") + b"no", last)))
            data = request(case, body, target, headers=[b"x-promptlift-turns: never"])
            answer = await ask(impatient.port, data)
            if answer.status == 401:
                assert (answer.body, answer.end) == (b"no", "whole")
            else:
                code = {502: "upstream_broken", 504: "upstream_timeout"}
                is_error(answer, answer.status or 0, code[answer.status or 0])
            assert len(impatient.upstream.of(case)) == 1

    impatient.run(scenario())


# All of it.


def test_a_stop_finishes_a_stream(tmp_path: Path) -> None:
    async def scenario(upstream: Hostile, served: Served) -> None:
        case = name()
        reply = Reply((Do.BODY, *_CHUNKS.steps[1:3], Do.GATE, *_CHUNKS.steps[3:]), 200, STREAM)
        plan = upstream.plan(case, reply)
        client = await Client.open(served.port)
        await client.send(request(case, PLAIN % text(case)))
        pieces = client.pieces()
        while not client.answer.body:
            await anext(pieces)
        served.process.send_signal(signal.SIGTERM)
        await until(lambda: not _accepts(served.port))
        plan.gate.set()
        async for _ in pieces:
            pass
        has(client.answer, reply)
        client.leave()

    with Hostile() as upstream, serving(upstream.url, tmp_path) as served:
        asyncio.run(scenario(upstream, served))
        assert served.process.wait(PATIENCE) == 0
        assert not served.mishaps()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_random_schedules() -> None:
    """What `benchmarks/serve_faults.py` does for longer; a number that fails is replayed there with --only."""
    told: list[str] = []
    found = asyncio.run(serve_faults.run(7, range(25), 4, told.append))
    assert not told, "\n".join(told)
    assert found["schedules"] == 25 and found["requests"] > 50
