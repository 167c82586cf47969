"""`promptlift serve` while its upstream, its prompter and its clients break at random.

    python benchmarks/serve_faults.py [--schedules 500] [--seed 1] [--out results/speed/faults.json]
    python benchmarks/serve_faults.py --seed 1 --only 37

A schedule is some requests at once (chat, Responses, completions, other paths, conversations of several turns), each
with what the upstream does with it (answers whole, cut, late or never, in every way that HTTP has), what the prompter
does with its prompt, and when its client leaves; and sometimes SIGKILL or SIGSTOP for the prompter's process. It
follows from its number and the seed. `tests/hostile.py` has the upstream, the client and the server's process, which
lives on from schedule to schedule; `--lanes` of them run side by side.

Each request is checked: it ended; the upstream got the very bytes of the client's body or of the expected rewrite, and
the response's headers tell which, for an expected reason; it got them once (twice where docs/serving.md says so); the
client got the upstream's status and bytes, or the same cut, or a 502 or 504 where there was no answer. A schedule with
a failure prints its number, and what failed. At the end each server must have the tasks, sockets and files of its
start, no buffered byte, no request in work, and no traceback in its log.

Failures are counted by kind: `hangs`, `wrong_bytes` (either way), `lost` (never at the upstream), `repeated` (once too
often), `unexpected_5xx`, `wrong_status`, `wrong_end` (a cut that passed for an end, or the reverse), `wrong_outcome`
(headers), `not_told` (the upstream's connection stays open after the client left), `leaks`, `mishaps` (the log). The
exit status is 1 if there is any. Linux only. Needs the extra `serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

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
from hostile_prompter import ADVICE

DEADLINE, HANG, TIMEOUT = 0.8, 1.2, 3.0
"""Seconds: of a rewrite, until the prompter is killed, of the upstream."""
SETTINGS = {"deadline": DEADLINE, "upstream_timeout": TIMEOUT}
KINDS = (
    "hangs wrong_bytes lost repeated unexpected_5xx wrong_status wrong_end wrong_outcome not_told leaks mishaps".split()
)
BROKEN = "die kill half garbage binary list noid textid bignumber missing contradict otherprompt empty number inject"
SILENT = "hang stop wrongid mute"
FAILED = "error input"
REFUSALS = (400, 413, 422)
FAILED_OPEN = frozenset(("prompter", "deadline", "overloaded"))
"""Reasons for a prompt that goes through as it was while the prompter is in trouble."""
LEAVING = 2.0
"""Seconds after which the upstream must know that a client left; less than it may be silent for."""
_LATE = 0.8
"""A wait that took more than this share of a limit may have been cut off by it."""


def text(prompt: str) -> bytes:
    """A prompt as it stands in a body that is written without needless escapes."""
    return json.dumps(prompt, ensure_ascii=False).encode()


def rewritten(prompt: str) -> str:
    """What the honest prompter makes of it."""
    return prompt if "!same" in prompt else prompt + ADVICE


# What a schedule holds.


@dataclass
class Turn:
    """One request.

    Attributes:
        case: its name.
        kind: of request.
        target: path.
        prompts: that may be rewritten.
        body: holds %b for each of them, and may have no other percent sign.
        reply: what the upstream does with it.
        raw: the reason why nothing may be rewritten.
        refusal: what it does with a rewritten one.
        method, headers, coded: of the request.
        start: seconds from the schedule's beginning, or from the end of the turn before.
        leave: seconds after which the client leaves.
        reset: it leaves with a reset.
        again: how many of the prompts were in the turn before.
    """

    case: str
    kind: str
    target: bytes
    prompts: list[str]
    body: bytes
    reply: Reply
    raw: str | None = None
    refusal: Reply | None = None
    method: str = "POST"
    headers: list[bytes] = field(default_factory=list)
    coded: bool = False
    start: float = 0.0
    leave: float | None = None
    reset: bool = False
    again: int = 0
    asked: bool = False
    answer: Answer = field(default_factory=Answer)
    seconds: float = 0.0
    ended: float = 0.0

    def written(self, changed: Sequence[bool]) -> bytes:
        """The body, some of its prompts rewritten."""
        if not self.prompts:
            return self.body
        texts = [rewritten(p) if new else p for p, new in zip(self.prompts, changed, strict=True)]
        return self.body % tuple(map(text, texts))

    @property
    def original(self) -> bytes:
        """The body as the client sends it."""
        return self.written([False] * len(self.prompts))

    def changed(self, body: bytes) -> tuple[bool, ...] | None:
        """Which prompts are rewritten in a body; None if it is none of ours."""
        for places in itertools.product((False, True), repeat=len(self.prompts)):
            if self.written(places) == body:
                return places if self.raw is None or not any(places) else None
        return None


@dataclass
class Schedule:
    """Conversations that go on at once; in each, a turn follows the other.

    Attributes:
        number: its own.
        talks: the conversations.
        signals: to the prompter's process, and after how many seconds.
        wakes: a process that is stopped is woken at the end, and not asked until it is killed.
    """

    number: int
    talks: list[list[Turn]]
    signals: list[tuple[float, signal.Signals]]
    wakes: bool

    def troubled(self, prompt: str) -> bool:
        """The prompter may be killed before it has answered this one, or be late for it, because of another."""
        others = {other for talk in self.talks for turn in talk for other in turn.prompts} - {prompt}
        words = {other.rpartition("!")[2].rstrip("0123456789") for other in others if "!" in other}
        return bool(self.signals or words & {*BROKEN.split(), *SILENT.split(), "hugeline", "slow"})


def schedule(seed: int, number: int) -> Schedule:
    """The schedule of a number."""
    draw = random.Random(f"{seed}:{number}")
    talks = [_talk(draw, f"{number}-{n}") for n in range(draw.randrange(2, 6))]
    signals = []
    if draw.random() < 0.15:
        signals.append((draw.uniform(0, 0.6), signal.SIGKILL))
    if draw.random() < 0.05:
        signals.append((draw.uniform(0, 0.3), signal.SIGSTOP))
    return Schedule(number, talks, signals, draw.random() < 0.5)


_SHARES = {
    "chat": 6, "odd": 4, "parts": 2, "every": 2, "responses": 2, "items": 2, "completion": 2, "completions": 2,
    "talk": 4, "json": 1, "unreadable": 1, "encoded": 1, "embeddings": 2, "upload": 2, "get": 1, "delete": 1,
}  # fmt: skip


def _talk(draw: random.Random, name: str) -> list[Turn]:
    kind = draw.choices([*_SHARES], [*_SHARES.values()])[0]
    if kind == "talk":
        return _conversation(draw, name)
    turn = _turn(draw, name, kind)
    turn.start = draw.choice((0.0, draw.uniform(0, 0.3)))
    turn.coded = draw.random() < 0.2 and bool(turn.body)
    if draw.random() < 0.25:
        turn.leave, turn.reset = draw.choice((draw.uniform(0, 0.02), draw.uniform(0, 1.0))), draw.random() < 0.5
    if turn.prompts and turn.raw is None and draw.random() < 0.08:
        refused = sized(b'{"error": {"message": "too long"}}', draw.choice((400, 413, 422)))
        first, whole = refused.steps
        assert isinstance(whole, bytes)
        turn.refusal = draw.choice((refused, Reply((first, whole[:-5], Do.HOLD))))  # its body need not end
    return [turn]


def _turn(draw: random.Random, name: str, kind: str) -> Turn:
    """A request of a kind."""
    prompts = [_prompt(draw, name)]
    target, raw, method, headers = b"/v1/chat/completions", None, "POST", [b"content-type: application/json"]
    stream = draw.choice((b"true", b"false"))
    if kind == "chat":
        body = b'{"model":"m","messages":[{"role":"user","content":%b}],"stream":' + stream + b"}"
    elif kind == "odd":  # what must come through as it is: numbers of any precision, escapes, spaces
        body = b'{"seed":123456789012345678901234567890,"temperature":0.10000000000000000001,"stop":["\\u0041", "b"]'
        body += b',"messages":[{"role":"system","content":"caf\\u0065\\/"},{"content":%b,"role":"user"}]'
        body += b',"x":{ "y" : 1e-7, "y": 1E400 }}'
    elif kind == "parts":
        body = b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{ "url": "data:,x" }},'
        body += b'{"type":"text","text":%b}]}],"stream":' + stream + b"}"
    elif kind == "every":
        prompts = [_prompt(draw, f"{name} {n}") for n in range(3)]
        body = b'{"messages":[' + b",".join([b'{"role":"user","content":%b}'] * 3) + b"]}"
        headers.append(b"x-promptlift-turns: every")
    elif kind == "responses":
        target, body = b"/v1/responses", b'{"model":"m","input":%b,"stream":' + stream + b"}"
    elif kind == "items":
        target = b"/v1/responses"
        body = b'{"input":[{"role":"user","content":[{"type":"input_text","text":%b}]}]}'
    elif kind == "completion":
        target, body = b"/v1/completions", b'{"model":"m","prompt":%b,"stream":' + stream + b"}"
    elif kind == "completions":
        prompts = [_prompt(draw, f"{name} {n}") for n in range(2)]
        target, body = b"/v1/completions", b'{"prompt":[%b,%b]}'
    elif kind == "json":
        raw = "json"
        body = b' {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": %b}]}\n'
    elif kind == "unreadable":
        raw, body = "unreadable", b'{"messages":[{"role":"user","content":%b}]'
    elif kind == "encoded":
        raw, prompts = "encoded", []
        body = zipped(b'{"messages":[{"role":"user","content":"' + name.encode() + b'"}]}')
        headers.append(b"content-encoding: gzip")
    else:
        prompts = []
        target, method, body = {
            "embeddings": (b"/v1/embeddings", "POST", b'{"input": "' + name.encode() + b'" }'),
            "upload": (b"/v1/files", "POST", draw.randbytes(draw.choice((1, 1000, 300_000)))),
            "get": (b"/v1/models?of=%2f" + name.encode(), "GET", b""),
            "delete": (b"/v1/files/" + name.encode(), "DELETE", b""),
        }[kind]
    return Turn(name, kind, target, prompts, body, _reply(draw), raw, None, method, headers)


def _conversation(draw: random.Random, name: str) -> list[Turn]:
    """A first turn, and a second with the first one's prompt in it, which must be the same bytes there."""
    first = _turn(draw, f"{name}-a", "chat")
    first.reply = chunked(cut_anywhere(events(draw), draw, 3))
    asked = '"assistant","content":"an answer"},{"role":"user","content":"go on"}'
    body = b'{"model":"m","messages":[{"role":"user","content":%b},{"role":' + asked.encode() + b"]}"
    second = Turn(f"{name}-b", "talk", first.target, first.prompts, body, _reply(draw), headers=first.headers, again=1)
    second.start = draw.choice((0.0, 0.1, DEADLINE))
    return [first, second]


def _prompt(draw: random.Random, name: str) -> str:
    words = {
        "": 62, "same": 8, "twice": 2, f"slow{draw.choice((20, 200, 1500))}": 8, draw.choice(BROKEN.split()): 10,
        "hugeline": 0.3, draw.choice(SILENT.split()): 3, draw.choice(FAILED.split()): 4,
    }  # fmt: skip
    word = draw.choices([*words], [*words.values()])[0]
    return f"write a poem about {name} {TEXT}" + (f"!{word}" if word else "")


def _plain(reply: Reply) -> bool:
    """It ends where its body ends."""
    sent = b"".join(step for step in reply.steps if isinstance(step, bytes))
    return Do.CLOSE not in reply.steps and (sent.endswith(reply.body) or sent.endswith(b"\r\n0\r\n\r\n"))


_NOBODYS = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nWRONG"
_ABC = b"3\r\nabc\r\n0\r\n\r\n"


def _reply(draw: random.Random) -> Reply:
    """What the upstream does: mostly well, in the end."""
    stream = events(draw, draw.randrange(1, 12))
    pieces = cut_anywhere(stream, draw, 8)
    steps: list[Any] = []
    good: list[Callable[[], Reply]] = [
        lambda: sized(b'{"ok": true}', 200, b"x-request-id: 7"),
        lambda: chunked(pieces),
        lambda: sized(draw.randbytes(draw.choice((0, 1, 200_000))), kind=b"application/octet-stream"),
        lambda: sized(zipped(stream), 200, b"content-encoding: gzip"),
        lambda: chunked(cut_anywhere(zipped(stream), draw, 5), b"content-encoding: gzip"),
        lambda: Reply((Do.BODY, head(b"HTTP/1.0 200 OK"), *pieces, Do.CLOSE), 200, stream),
        lambda: Reply((Do.BODY, head(200, b"connection: close"), *pieces, Do.CLOSE), 200, stream),
        lambda: sized(b'{"error": "slow down"}', 429, b"retry-after: 7"),
        lambda: sized(b'{"error": "it broke"}', 500),
        lambda: sized(b"<html>\xff</html>", draw.choice((200, 502)), kind=b"text/html"),
        lambda: Reply((Do.BODY, head(204)), 204),
        lambda: Reply((Do.BODY, head(304, b'etag: "a"', b"content-length: 100")), 304, headers=((b"etag", b'"a"'),)),
        lambda: sized(b"{}", 200, b"set-cookie: a=1", b"set-cookie: b=2"),
        lambda: sized(b"{}").then(Do.CLOSE),  # without saying so before
        lambda: sized(b"{}").then(draw.uniform(0, 0.02), Do.CLOSE),
        lambda: Reply((Do.BODY, head(200, b"content-length: 2") + b"{}" + _NOBODYS), 200, b"{}"),
        lambda: sized(b"{}", 200, *(b"x-%d: %b" % (n, b"a" * 300) for n in range(100))),
        lambda: Reply((head(413, b"content-length: 2") + b"no", Do.BODY), 413, b"no"),  # before the body is there
        lambda: Reply((Do.BODY, head(200, b"content-length: 5", b"transfer-encoding: chunked") + _ABC), 200, b"abc"),
    ]  # fmt: skip
    no_answer: list[tuple[Any, ...]] = [
        (Do.CLOSE,),
        (Do.RESET,),
        (Do.BODY, Do.CLOSE),
        (Do.BODY, Do.RESET),
        (Do.BODY, head(600, b"content-length: 0"), Do.CLOSE),
        (Do.BODY, head(99, b"content-length: 0"), Do.CLOSE),
        (Do.BODY, head(200, b"x-a: b\0c", b"content-length: 0"), Do.CLOSE),
        (Do.BODY, head(200, b"transfer-encoding: garbage"), Do.CLOSE),
        (Do.BODY, b"what?\r\n\r\n", Do.CLOSE),
        (Do.BODY, head(200, b"x-a: " + b"a" * 200_000), Do.CLOSE),
        (Do.BODY, head(200)[:-3], Do.CLOSE),
    ]
    how = draw.random()
    if how < 0.10:
        return Reply(draw.choice(no_answer), None)
    if how < 0.13:  # never, or not to the end
        steps = [Do.BODY, Do.HOLD]
        if draw.random() < 0.5:
            steps[1:1] = [chunked(pieces).steps[1], chunked(pieces).steps[2]]
            return Reply(tuple(steps), 200, pieces[0], whole=False)
        return Reply(tuple(steps), None)
    reply = draw.choice(good)()
    if how < 0.23 and reply.body and reply.status == 200 and _plain(reply):
        size = sum(len(step) for step in reply.steps if isinstance(step, bytes))
        return cut_after(reply, draw.randrange(1, size), draw.choice((Do.CLOSE, Do.CLOSE, Do.RESET)))
    if how < 0.5:  # slow at some places
        steps = list(reply.steps)
        for _ in range(draw.randrange(1, 3)):
            steps.insert(draw.randrange(1, len(steps) + 1), draw.uniform(0.01, 0.3))
        if steps[-1] is Do.BODY or isinstance(steps[-1], float):
            steps = [step for step in steps if not isinstance(step, float)]
        return Reply(tuple(steps), reply.status, reply.body, reply.whole, reply.exact, reply.headers)
    return reply


# How it is gone through and checked.


class Lane:
    """An upstream and a server, which go through schedules one after the other."""

    def __init__(self, upstream: Hostile, served: Served) -> None:
        self.upstream, self.served = upstream, served
        self.failures: Counter[str] = Counter()
        self.seen: dict[str, Counter[str]] = {"outcomes": Counter(), "ends": Counter(), "kinds": Counter()}
        self.requests = self.late = self.again = 0
        self.told: list[str] = []

    async def begin(self) -> None:
        """Note what the server holds open."""
        self.upstream.plan("quiet", sized(b"{}", 200, b"connection: close").then(Do.CLOSE))
        await self.served.ready()
        self.before = await self._held()

    async def run(self, plan: Schedule) -> list[str]:
        """Go through a schedule; what failed, a line each."""
        self.told = []
        began = time.monotonic()
        worker = (await self.served.ready())["worker"]
        signals = [asyncio.ensure_future(_signal(worker, *one)) for one in plan.signals]
        await asyncio.gather(*(self._talk(talk) for talk in plan.talks))
        await asyncio.gather(*signals)
        await self._quiet(plan)
        for talk in plan.talks:
            for turn in talk:
                self._check(plan, turn)
            if len(talk) == 2:
                self._check_same(*talk)
        for problem in self.upstream.problems:
            self._fail("mishaps", None, f"the upstream itself: {problem}")
        self.upstream.problems.clear()
        await self._calm(plan, worker)
        self.upstream.requests.clear()
        self.upstream.plans = {"quiet": self.upstream.plans["quiet"]}
        return [*self.told, *([f"({time.monotonic() - began:.1f} s)"] if self.told else [])]

    async def end(self) -> list[str]:
        """The server must hold what it held at the beginning."""
        self.told = []
        try:
            async with asyncio.timeout(PATIENCE):
                while (after := await self._held()) != self.before:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            self._fail("leaks", None, f"before {self.before}, after {after}")
        for mishap in self.served.mishaps():
            self._fail("mishaps", None, mishap)
        return self.told

    async def _held(self) -> dict[str, Any]:
        # a request of its own: it has the server close the upstream's connections that were idle for too long
        client = await Client.open(self.served.port)
        await client.send(request("quiet", method=b"GET", target=b"/v1/models", headers=[b"connection: close"]))
        await client.read("GET")
        client.leave()
        await asyncio.sleep(0.05)
        inside = self.served.inside()
        files = self.served.files()
        sockets = sum(name.startswith("socket:") for name in files)
        return {
            "tasks": inside["tasks"], "sockets": sockets, "files": len(files), "buffered": inside["buffered"],
            "in_flight": inside["in_flight"],
        }  # fmt: skip

    async def _talk(self, talk: list[Turn]) -> None:
        for turn in talk:
            await asyncio.sleep(turn.start)
            await self._ask(turn)
            if turn.answer.status != 200 or turn.answer.end != "whole":
                break  # nobody goes on after that

    async def _ask(self, turn: Turn) -> None:
        self.upstream.plan(turn.case, turn.reply, turn.refusal, turn.original)
        turn.asked = True
        self.requests += 1
        self.seen["kinds"][turn.kind] += 1
        pieces = cut_anywhere(turn.body, random.Random(turn.case), 4) if turn.coded and not turn.prompts else None
        pieces = [turn.original] if turn.coded and turn.prompts else pieces
        data = request(
            turn.case, turn.original, turn.target, turn.method.encode(), turn.headers, pieces if turn.coded else None
        )
        began = time.monotonic()
        client = await Client.open(self.served.port)
        sending = asyncio.ensure_future(client.send(data))
        try:
            async with asyncio.timeout(turn.leave):
                await client.read(turn.method)
        except TimeoutError:
            if turn.leave is None:
                self._fail("hangs", turn, f"no end within {PATIENCE} s; {client.answer.status}")
        finally:
            sending.cancel()
            client.leave(turn.reset)
            turn.answer, turn.ended = client.answer, time.monotonic()
            turn.seconds = turn.ended - began

    async def _quiet(self, plan: Schedule) -> None:
        """Nothing is in work any more: also not for clients that left."""
        cases = {turn.case for talk in plan.talks for turn in talk}

        def over() -> bool:
            inside = self.served.inside()
            return not inside["in_flight"] and not inside["buffered"]

        def told() -> bool:
            return all(r.done or r.left for r in self.upstream.requests if r.case in cases)

        for condition, what in ((over, "a request stays in work"), (told, "an upstream connection stays open")):
            try:
                await until(condition)
            except AssertionError:
                self._fail("not_told", None, what)

    async def _calm(self, plan: Schedule, worker: int | None) -> None:
        """The prompter is ready again, and answers."""
        stopped = worker if any(number is signal.SIGSTOP for _, number in plan.signals) else None
        if stopped is not None and plan.wakes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGCONT)
        # what hangs is killed at its limit; a process that is only stopped has to be asked, to be found out
        for attempt in itertools.count():
            await self.served.ready()
            self.upstream.plan(f"calm {attempt}", sized(b"{}"))
            body = b'{"messages":[{"role":"user","content":%b}]}' % text(f"calm {plan.number} {attempt}")
            client = await Client.open(self.served.port)
            await client.send(request(f"calm {attempt}", body))
            answer = await client.read()
            client.leave()
            if answer.outcome == "rewritten":
                return
            if attempt == 40:
                self._fail("wrong_outcome", None, f"the prompter does not come back: {answer.outcome}")
                return
            await asyncio.sleep(0.1)

    # What must be so.

    def _fail(self, kind: str, turn: Turn | None, what: str) -> None:
        self.failures[kind] += 1
        self.told.append(f"{kind}: {turn.case + ' (' + turn.kind + '): ' if turn else ''}{what}")

    def _check(self, plan: Schedule, turn: Turn) -> None:
        if not turn.asked:
            return
        answer, got = turn.answer, self.upstream.of(turn.case)
        left = turn.leave is not None and answer.end == "open"
        self.seen["ends"]["left" if left else answer.end] += 1
        self.seen["outcomes"][answer.outcome or "none"] += 1
        bodies = [turn.changed(bytes(r.body)) for r in got if r.complete]
        for received in got:
            if received.complete and turn.changed(bytes(received.body)) is None:
                self._fail("wrong_bytes", turn, f"the upstream got {bytes(received.body)!r:.500}")
            elif not turn.original.startswith(received.body) and not received.complete and turn.raw:
                self._fail("wrong_bytes", turn, f"the upstream got {bytes(received.body)!r:.500}, and no more")
        if None in bodies or (answer.end == "open" and not left):
            return
        self._check_times(turn, got, left)
        if left:
            for received in got:
                over = max(received.came, received.left or 0.0)
                if over - turn.ended > LEAVING:
                    self._fail(
                        "not_told", turn, f"the upstream was at it {over - turn.ended:.1f} s after the client left"
                    )
            expected = turn.reply.body if answer.status == turn.reply.status else None
            if expected is not None and not expected.startswith(answer.body):
                self._fail("wrong_bytes", turn, f"the client got {bytes(answer.body)!r:.300}")
            return
        self._check_answer(turn, got)
        changed = bodies[-1] if bodies else None
        self._check_outcome(plan, turn, changed)

    def _check_times(self, turn: Turn, got: list[Request], left: bool) -> None:
        """Once; a second time where the first was refused, or the connection was an old one and gave no answer."""
        stale = [r for r in got if r.reused and r.begun is None and r is not got[-1]]
        self.again += len(stale)
        counted = [r for r in got if r not in stale]
        refuses = turn.refusal is not None or turn.reply.status in REFUSALS
        refused = refuses and bool(counted) and counted[0].body != turn.original
        allowed = 2 if refused else 1
        if len(stale) > 1 or len(counted) > allowed:
            times = f"{len(got)} times, {len(stale)} of them on old connections that gave no answer"
            self._fail("repeated", turn, f"the upstream got it {times}; its reply is {turn.reply.steps!r:.200}")
        if not left and (not got or (len(counted) < allowed and turn.answer.status not in (502, 504))):
            self._fail("lost", turn, f"the upstream got it {len(got)} times; the client {turn.answer.status}")

    def _check_answer(self, turn: Turn, got: list[Request]) -> None:
        answer, reply = turn.answer, turn.reply
        waited = max((_gap(r) for r in got), default=0.0) > _LATE * TIMEOUT or turn.seconds > _LATE * TIMEOUT
        if reply.status is None or (answer.status in (502, 504) and answer.status != reply.status):
            if reply.status is not None:
                if waited:
                    self.late += 1
                else:
                    what = f"{answer.status} for {reply.status}: {bytes(answer.body)!r:.200}"
                    self._fail("unexpected_5xx", turn, what)
                return
            self._check_error(turn)
            return
        if answer.status != reply.status:
            self._fail("wrong_status", turn, f"{answer.status} for {reply.status}: {bytes(answer.body)!r:.200}")
            return
        if answer.end != ("whole" if reply.whole else "cut"):
            if answer.end == "cut" and waited:
                self.late += 1
            else:
                self._fail("wrong_end", turn, f"{answer.end} for whole={reply.whole}, {reply.steps!r:.300}")
        body = answer.body if turn.method != "HEAD" else reply.body
        same = body == reply.body if reply.exact and answer.end != "cut" else reply.body.startswith(body)
        if reply.exact and answer.end == "cut" and not waited:
            same = body == reply.body
        if not same:
            self._fail("wrong_bytes", turn, f"the client got {bytes(body)!r:.300} for {reply.body!r:.300}")
        lines = iter(answer.headers)
        if not all(line in lines for line in reply.headers):
            self._fail("wrong_bytes", turn, f"headers {answer.headers!r:.300}")

    def _check_error(self, turn: Turn) -> None:
        """An answer in the place of none."""
        answer = turn.answer
        if answer.status not in (502, 504) or answer.end != "whole":
            self._fail("wrong_status", turn, f"{answer.status}, {answer.end}, for no answer")
            return
        try:
            error = json.loads(answer.body)["error"]
            sound = set(error) == {"message", "type", "param", "code"} and error["code"].startswith("upstream_")
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            self._fail("wrong_bytes", turn, f"no error of OpenAI's form: {bytes(answer.body)!r:.200}")
        if (answer.status == 504) != (Do.HOLD in turn.reply.steps):
            self._fail("wrong_status", turn, f"{answer.status} for {turn.reply.steps!r:.200}")

    def _check_outcome(self, plan: Schedule, turn: Turn, changed: tuple[bool, ...] | None) -> None:
        """The headers say what the upstream got, and why."""
        answer = turn.answer
        told = answer.value(b"x-promptlift")
        own_error = answer.status in (502, 504) and answer.status != turn.reply.status
        if own_error or changed is None:
            return
        if turn.kind in ("embeddings", "upload", "get", "delete"):
            if told is not None:
                self._fail("wrong_outcome", turn, f"{told} for a request that has no prompt")
            return
        reason = answer.value(b"x-promptlift-reason")
        # a prompt that is left alone is the same bytes either way
        moved = turn.written(changed) != turn.original
        if told != ("rewritten" if moved else "unchanged") or (reason is None) != moved:
            self._fail("wrong_outcome", turn, f"{told}, {reason}; {changed}")
            return
        allowed: set[str | None] = set()
        got = self.upstream.of(turn.case)
        refused = len(got) > 1 and got[-2].body != turn.original
        slow = float(answer.value(b"x-promptlift-ms") or 0) >= 1000 * _LATE * DEADLINE
        for prompt in turn.prompts:
            allowed |= _outcomes(prompt, plan.troubled(prompt), slow)
        if turn.again:
            allowed |= {"earlier"}
        expected = {turn.raw} if turn.raw else {"refused"} if refused else allowed
        if reason not in expected:
            self._fail("wrong_outcome", turn, f"{reason}, not one of {expected}")

    def _check_same(self, first: Turn, second: Turn) -> None:
        """A conversation's first prompt is the same bytes in its second turn."""
        if "refused" in (first.answer.outcome, second.answer.outcome):
            return  # then it is the original, whatever was sent before
        bodies = []
        for turn in (first, second):
            if not turn.asked or not (got := [r for r in self.upstream.of(turn.case) if r.complete]):
                return
            bodies.append(turn.changed(bytes(got[-1].body)))
        if None not in bodies and bodies[0] != bodies[1]:
            self._fail("wrong_bytes", second, f"the first turn was rewritten: {bodies[0]}, then {bodies[1]}")


def _outcomes(prompt: str, troubled: bool, slow: bool) -> set[str | None]:
    """Why a prompt may come out unchanged; None if it is to be rewritten."""
    word = prompt.rpartition("!")[2] if "!" in prompt else ""
    found: set[str | None]
    if word.startswith("slow"):
        found = {"deadline"} if int(word[4:]) >= 1000 * DEADLINE else {None}
    elif word in BROKEN.split() or word in FAILED.split() or word == "hugeline":
        found = {"prompter"}
    elif word in SILENT.split():
        found = {"deadline"}
    else:
        found = {"identity"} if word == "same" else {None}
    if troubled:
        found |= FAILED_OPEN
    elif slow:
        found |= {"deadline"}
    return found


def _gap(received: Request) -> float:
    """How long the upstream took to begin its answer."""
    return (received.begun or received.came) - received.came


async def _signal(process: int | None, seconds: float, number: signal.Signals) -> None:
    await asyncio.sleep(seconds)
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


async def run(seed: int, numbers: Sequence[int], lanes: int, show: Callable[[str], None]) -> dict[str, Any]:
    """Go through schedules.

    Args:
        seed: of them all.
        numbers: theirs.
        lanes: servers side by side.
        show: told what fails.
    """
    waiting = iter(numbers)
    began = time.monotonic()
    done: list[Lane] = []
    failed: list[int] = []

    async def work(lane: Lane, name: int) -> None:
        await lane.begin()
        for number in waiting:
            if told := await lane.run(schedule(seed, number)):
                failed.append(number)
                show("\n".join((f"schedule {number} of seed {seed}:", *(f"    {line}" for line in told))))
        if told := await lane.end():
            show("\n".join((f"at the end of lane {name}:", *(f"    {line}" for line in told))))
        done.append(lane)

    with contextlib.ExitStack() as stack:
        running = []
        for name in range(min(lanes, len(numbers))):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            upstream = stack.enter_context(Hostile())
            served = stack.enter_context(serving(upstream.url, folder, HANG, **SETTINGS))
            running.append(work(Lane(upstream, served), name))
        await asyncio.gather(*running)
    failures: Counter[str] = sum((lane.failures for lane in done), Counter())
    seen = {what: dict(sum((lane.seen[what] for lane in done), Counter()).most_common()) for what in done[0].seen}
    return {
        "schedules": len(numbers), "requests": sum(lane.requests for lane in done),
        **{kind: failures[kind] for kind in KINDS},
        "failed_schedules": sorted(failed),
        "sent_again_on_a_new_connection": sum(lane.again for lane in done),
        "timeouts_of_a_slow_machine": sum(lane.late for lane in done),
        **seen, "seed": seed, "lanes": len(done), "seconds": round(time.monotonic() - began, 1),
        "cores": os.cpu_count(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, action="append", help="a schedule's number; may be given several times")
    parser.add_argument("--lanes", type=int, default=4, help="servers side by side")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    numbers = options.only or range(options.schedules)
    found = asyncio.run(run(options.seed, numbers, options.lanes, lambda line: print(line, file=sys.stderr)))
    out = json.dumps(found, indent=2)
    print(out)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(out + "\n")
    if any(found[kind] for kind in KINDS):
        sys.exit(1)


if __name__ == "__main__":
    main()
