"""The server asked with what nobody should send: any JSON and what is none, odd framing, wrong sizes.

An echo stands in the upstream's place, so each answer tells what reached it. Two ways of looking at a rewritten body
agree here: its values, read without ever making a number of a number, and its tokens, byte by byte.

The strategies and checks of this file are run much longer by benchmarks/serve_fuzz.py.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import logging
import random
import re
import socket
import socketserver
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import hypothesis
import pytest
import serving as server_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from promptlift.errors import InputError
from promptlift.records import Rewrite
from promptlift.serving.app import Server
from promptlift.serving.bodies import parse
from promptlift.serving.headers import to_client, to_upstream
from promptlift.serving.memory import Kept, Memory
from promptlift.serving.run import KEEP_ALIVE_SECONDS
from promptlift.serving.settings import PREFIX, Settings, load_settings

PATIENCE = 30.0
"""Seconds until an answer counts as not coming."""
MB = 2**20
CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
KINDS = {CHAT: "chat", RESPONSES: "responses", COMPLETIONS: "completions"}
REASONS = set(
    "identity unproven empty too-long tag no-instruction deadline overloaded prompter turn off earlier json parts "
    "marks unreadable encoded too-large header refused".split()
)
ADVICE = '\n\né "\\ \u2028 \U0001f600 </script>'

# Speaks the protocol of promptlift.serving.worker. `made` below says the same of a prompt.
SCRIPT = rf"""
import json, sys
def say(row): print(json.dumps(row), flush=True)
sys.stdin.readline()
say({{"ready": "scripted@1"}})
say({{"targets": ["one"]}})
for line in sys.stdin:
    job = json.loads(line)
    prompt = job["prompt"]
    changed = len(prompt) % 4 != 0
    row = {{"prompt": prompt, "rewrite": prompt + {ADVICE!r} if changed else prompt, "changed": changed,
           "reason": None if changed else "identity", "target": job["target"], "prompter": "scripted@1", "seconds": 0.0}}
    if job["stream"]: say({{"id": job["id"], "piece": "a piece"}})
    say({{"id": job["id"], "rewrite": row}})
"""
COMMAND = (sys.executable, "-I", "-S", "-c", SCRIPT)


def made(prompt: str) -> str:
    """What the scripted prompter makes of a prompt."""
    return prompt + ADVICE if len(prompt) % 4 else prompt


# The upstream, the server, and a client of bytes.


class Seen(NamedTuple):
    """A request as it came out of the server."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class Echo(socketserver.ThreadingTCPServer):
    """An upstream that answers with the request that it got; `connections` counts all, `seen` holds them."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 100

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _EchoHandler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break off are what these tests are about."""

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _EchoHandler(socketserver.StreamRequestHandler):
    server: Echo
    timeout = 60

    def handle(self) -> None:
        self.server.connections += 1
        while line := self.rfile.readline():
            headers = []
            while (header := self.rfile.readline()) != b"\r\n":
                name, _, value = header.partition(b":")
                headers.append((name.lower(), value.strip()))
            method, target, _ = line.split(b" ", 2)
            seen = Seen(method, target, headers, b"")
            seen = seen._replace(body=self._chunked() if seen.values(b"transfer-encoding") else self._sized(seen))
            self.server.seen.append(seen)
            told = {
                "method": method.decode("latin-1"), "target": target.decode("latin-1"),
                "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers],
                "body": base64.b64encode(seen.body).decode(),
            }  # fmt: skip
            data = b"" if method == b"HEAD" else json.dumps(told).encode()
            status = b"302 Found\r\nlocation: " + target.rpartition(b"=")[2] if b"redirect=" in target else b"200 OK"
            head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\nx-own: kept\r\n"
            self.wfile.write(head + b"content-length: %d\r\n\r\n" % len(data) + data)

    def _sized(self, seen: Seen) -> bytes:
        size = int((seen.values(b"content-length") or [b"0"])[0])
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the body was cut short")
        return body

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() != b"\r\n":
            pass
        return body


class Stack(NamedTuple):
    """A server, and the upstream behind it."""

    port: int
    upstream: Echo
    server: Server

    @property
    def host(self) -> bytes:
        return b"127.0.0.1:%d" % self.port


@contextlib.contextmanager
def running(command: Sequence[str] = COMMAND, **given: Any) -> Iterator[Stack]:
    """The server as `serving.run` runs it, but for the prompter's command, before an echo."""
    with contextlib.ExitStack() as both:
        upstream = both.enter_context(Echo())
        port, server = both.enter_context(serving(f"http://127.0.0.1:{upstream.port}/base/v1", command, **given))
        yield Stack(port, upstream, server)


@contextlib.contextmanager
def serving(
    url: str,
    command: Sequence[str] = COMMAND,
    hang_seconds: float = 15.0,
    keep_alive: float = KEEP_ALIVE_SECONDS,
    **given: Any,
) -> Iterator[tuple[int, Server]]:
    """The server before any upstream, in a thread with an event loop of its own."""
    given = {"deadline": 60.0, "drain_seconds": 1.0, **given}
    with server_of.running(url, command, hang_seconds, keep_alive, **given) as found:
        yield int(found.url.rpartition(":")[2]), found.server


class Reply(NamedTuple):
    """The server's answer; status 0 if it closed the connection without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> Seen:
        """What the upstream got, by its own word."""
        row = json.loads(self.body)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in row["headers"]]
        return Seen(row["method"].encode(), row["target"].encode(), headers, base64.b64decode(row["body"]))

    @property
    def error(self) -> Any:
        """Of an answer of the server's own, which has OpenAI's form."""
        found = json.loads(self.body)["error"]
        assert set(found) == {"message", "type", "param", "code"} and isinstance(found["message"], str)
        return found


def exchange(port: int, pieces: Iterable[bytes], method: str = "POST", half_close: bool = False) -> Reply:
    """Send bytes as they are, and read one answer.

    Args:
        port: of the server.
        pieces: written one by one.
        method: whose answer it is.
        half_close: tell that no more comes, as a client does that is cut short.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # the answer may have come before all was sent
            for piece in pieces:
                client.sendall(piece)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        return read_reply(client, method)


def read_reply(client: socket.socket, method: str = "POST") -> Reply:
    """One answer; those of status 1xx are passed over."""
    while True:
        response = HTTPResponse(client, method=method)
        try:
            response.begin()
            if response.status >= 200:
                body = response.read()
                headers = {name.lower(): value for name, value in response.getheaders()}
                return Reply(response.status, headers, body)
        except TimeoutError:
            raise AssertionError(f"no answer within {PATIENCE:.0f} s") from None
        except (HTTPException, ConnectionError):
            return Reply(0, {}, b"")
        finally:
            response.close()


def head(method: str, target: str, *headers: tuple[str, str], host: str = "localhost") -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def ask(
    stack: Stack, target: str, body: bytes = b"", *headers: tuple[str, str], method: str = "POST",
    cuts: Sequence[int] | None = None,
) -> Reply:  # fmt: skip
    """A request in good form; in chunks that end at `cuts`, if they are given."""
    if cuts is None:
        return exchange(stack.port, [head(method, target, *headers, ("Content-Length", str(len(body)))) + body], method)
    ends = sorted({*(cut for cut in cuts if 0 < cut < len(body)), len(body)} - {0})
    pieces = [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    first = head(method, target, *headers, ("Transfer-Encoding", "chunked"))
    return exchange(stack.port, [first, *chunks, b"0\r\n\r\n"], method)


# JSON that is read without loss, and written in many ways.


class Literal(str):
    """A number, or NaN and the like, as it is written."""


class Members(list[tuple[str, Any]]):
    """An object's members in their order, with those that are repeated."""


def read(data: bytes) -> Any:
    """JSON whose numbers stay text."""
    return json.loads(
        data.decode("utf-8", "surrogateescape"), object_pairs_hook=Members, parse_int=Literal, parse_float=Literal,
        parse_constant=Literal,
    )  # fmt: skip


Place = tuple[Any, ...]


def leaves(value: Any) -> dict[Place, Any]:
    """What stands where: steps are (number, key) in an object and numbers in a list; the empty ones count as leaves."""
    found: dict[Place, Any] = {}
    left: list[tuple[Place, Any]] = [((), value)]
    while left:
        at, one = left.pop()
        if isinstance(one, Members) and one:
            left += [((*at, (number, key)), each) for number, (key, each) in enumerate(one)]
        elif isinstance(one, list) and one:
            left += [((*at, number), each) for number, each in enumerate(one)]
        else:
            found[at] = (type(one).__name__, one)
    return found


def changes(before: bytes, after: bytes) -> dict[Place, tuple[Any, Any]]:
    """Which values differ; the shape must not."""
    old, new = leaves(read(before)), leaves(read(after))
    assert list(old) == list(new), "members came, went or moved"
    return {at: (old[at][1], new[at][1]) for at in old if old[at] != new[at]}


TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)


def check_tokens(before: bytes, after: bytes, rewritten: Sequence[str]) -> None:
    """Token by token: the same bytes, the same string with other escapes, or a text that was rewritten."""
    left = sorted(rewritten)
    for old, new in zip(TOKEN.findall(before), TOKEN.findall(after), strict=True):
        if old != new:
            was, now = json.loads(old), json.loads(new)
            assert isinstance(was, str) and isinstance(now, str)
            if was != now:
                left.remove(was)
                assert now == made(was)
    assert not left


def written(value: Any, ascii_only: bool = False, space: str = "") -> str:
    """JSON text of plain values, `Members` and `Literal`."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Members):
        inner = f",{space}".join(
            f"{json.dumps(k, ensure_ascii=ascii_only)}{space}:{written(v, ascii_only, space)}" for k, v in value
        )
        return f"{{{space}{inner}}}"
    if isinstance(value, list):
        return f"[{f'{space},'.join(written(v, ascii_only, space) for v in value)}{space}]"
    return json.dumps(value, ensure_ascii=ascii_only)


NUMBERS = st.sampled_from(
    ["0", "-0", "-0.0", "1.10", "1e400", "1E-400", "12345678901234567890", "0.1e+1"]
) | st.integers().map(str)
ATOMS = st.none() | st.booleans() | NUMBERS.map(Literal) | st.text(max_size=12)
_NESTED: st.SearchStrategy[Any] = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.text(max_size=4), inner), max_size=3, unique_by=lambda m: m[0]).map(Members)
    ),
    max_leaves=8,
)


@st.composite
def any_json(draw: st.DrawFn) -> Any:
    """Any value; a function of its own, as hypothesis prints strategies, and this one is large."""
    return draw(_NESTED)


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["write a poem", "a", "\x00", "\u2028", "\ufeff", "\U0001f600" * 3, "\\u0041"]
)
SPACES = st.sampled_from(["", " ", "\n\t", "\r\n  "])


@dataclass
class Asked:
    """A body that the API would take, and which of its texts are the person's.

    Attributes:
        target: where it goes.
        value: the body.
        turns: in order; the place of each text, or why it can't be rewritten.
        answered: of each turn, whether an assistant's message follows.
        reason: why nothing is rewritten, whatever the turns.
        data: the body's bytes.
    """

    target: str
    value: Members
    turns: list[Place | str]
    answered: list[bool]
    reason: str | None = None
    data: bytes = b""

    def expected(self, turns: str) -> list[Place]:
        """The places of the texts that are given to the prompter."""
        if self.reason is not None or turns == "never":
            return []
        chosen = self.turns if turns == "every" or self.target == COMPLETIONS else self.turns[:1]
        return [place for place in chosen if not isinstance(place, str)]


def at(value: Any, place: Place) -> Any:
    """What stands at a place of names and numbers."""
    for step in place:
        value = value[step] if isinstance(step, int) else dict(value)[step]
    return value


def named(place: Place) -> Place:
    """A place of `leaves` by names and numbers."""
    return tuple(step[1] if isinstance(step, tuple) else step for step in place)


EXTRA = st.lists(
    st.tuples(st.sampled_from(["n", "tools", "metadata", "", "é", "a/b", "temperature", "stream", "name"]), any_json()),
    max_size=3, unique_by=lambda member: member[0],
)  # fmt: skip


@st.composite
def shuffled(draw: st.DrawFn, members: list[tuple[str, Any]]) -> Members:
    return Members(draw(st.permutations([*members, *draw(EXTRA)])))


@st.composite
def messages(draw: st.DrawFn, text_type: str) -> tuple[list[Any], list[Place | str], list[bool]]:
    """A conversation, its user turns, and whether they were answered."""
    found: list[Any] = []
    turns: list[tuple[int, Place | str]] = []
    answer = -1
    for number in range(draw(st.integers(0, 4))):
        role = draw(st.sampled_from(["user", "user", "user", "assistant", "system", "developer", "tool"]))
        shape = draw(st.sampled_from(["text", "part", "parts", "none"])) if role == "user" else "text"
        others = st.lists(
            st.just(Members([("type", "image_url"), ("image_url", Members([("url", "data:,")]))])), max_size=2
        )
        if shape == "text":
            content: Any = draw(TEXTS)
            place: Place | str = (number, "content")
        else:
            count = {"part": 1, "parts": 2, "none": 0}[shape]
            texts = [draw(shuffled([("type", text_type), ("text", draw(TEXTS))])) for _ in range(count)]
            content = draw(st.permutations([*draw(others), *texts]))
            where = next((n for n, part in enumerate(content) if any(part is text for text in texts)), 0)
            place = (number, "content", where, "text") if count == 1 else "parts" if count else "turn"
        if role == "assistant":
            answer = number
        if role == "user":
            turns.append((number, place))
        found.append(draw(shuffled([("role", role), ("content", content)])))
    return found, [place for _, place in turns], [number < answer for number, _ in turns]


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """A body in good form."""
    target = draw(st.sampled_from(list(KINDS)))
    model = ("model", draw(st.sampled_from(["m", "one", "", "gpt-\u00e9"])))
    reason = None
    if target == CHAT:
        found, turns, answered = draw(messages("text"))
        format_type = draw(st.sampled_from([None, None, None, "text", "json_object", "json_schema"]))
        more = [] if format_type is None else [("response_format", Members([("type", format_type)]))]
        reason = "json" if format_type not in (None, "text") else None
        value = draw(shuffled([model, ("messages", found), *more]))
        turns = [turn if isinstance(turn, str) else ("messages", *turn) for turn in turns]
    elif target == RESPONSES:
        format_type = draw(st.sampled_from([None, None, None, "text", "json_object"]))
        more = [] if format_type is None else [("text", Members([("format", Members([("type", format_type)]))]))]
        reason = "json" if format_type not in (None, "text") else None
        if draw(st.booleans()):
            value = draw(shuffled([model, ("input", draw(TEXTS)), *more]))
            turns, answered = [("input",)], [False]
        else:
            found, turns, answered = draw(messages("input_text"))
            value = draw(shuffled([model, ("input", found), *more]))
            turns = [turn if isinstance(turn, str) else ("input", *turn) for turn in turns]
    else:
        marks = re.compile(r"<\||\[INST\]|<s>")
        texts = draw(st.lists(TEXTS.filter(lambda text: not marks.search(text)), min_size=1, max_size=4))
        one = len(texts) == 1 and draw(st.booleans())
        value = draw(shuffled([model, ("prompt", texts[0] if one else texts)]))
        turns, answered = [("prompt",) if one else ("prompt", n) for n in range(len(texts))], [False] * len(texts)
    asked = Asked(target, value, turns, answered, reason)
    asked.data = written(value, draw(st.booleans()), draw(SPACES)).encode()
    return asked


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each list, and each number in it, of a value: where something can be put in another's place."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield value, number
            yield from nodes(one[1] if isinstance(value, Members) else one)


def copied(value: Any) -> Any:
    if isinstance(value, Members):
        return Members((key, copied(one)) for key, one in value)
    return [copied(one) for one in value] if isinstance(value, list) else value


@st.composite
def nearly(draw: st.DrawFn) -> tuple[str, bytes]:
    """A body in good form but for up to three of its nodes, and where it goes."""
    asked = draw(requests())
    value = copied(asked.value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(nodes(value))
        if not places:
            break
        inside, number = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["other", "other", "other", "gone", "rename"]))
        if how == "gone":
            del inside[number]
        elif isinstance(inside, Members):
            key, one = inside[number]
            inside[number] = (draw(st.text(max_size=3)), one) if how == "rename" else (key, draw(any_json()))
        else:
            inside[number] = draw(any_json())
    return asked.target, written(value, draw(st.booleans()), draw(SPACES)).encode()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """The bytes of a body with some cut off, put in or changed."""
    target, data = draw(nearly())
    how = draw(st.sampled_from(["cut", "bom", "tail", "byte", "insert", "utf-16", "surrogate"]))
    where = draw(st.integers(0, max(0, len(data) - 1)))
    if how == "cut":
        return target, data[:where]
    if how == "bom":
        return target, b"\xef\xbb\xbf" + data
    if how == "tail":
        return target, data + draw(st.sampled_from([b"x", b"{}", b"\x00", b" \n", b",", b"\xff"]))
    if how == "byte":
        return target, data[:where] + bytes([draw(st.integers(0, 255))]) + data[where + 1 :]
    if how == "insert":
        return target, data[:where] + draw(st.sampled_from([b"NaN", b"-Infinity", b"\xff", b'"', b"\\ud800"])) + data[
            where:
        ]
    if how == "utf-16":
        return target, data.decode("utf-8", "replace").encode("utf-16")
    return target, data.replace(b'"a', b'"\\ud800a')


ANY_BODY = st.tuples(
    st.sampled_from(list(KINDS)), st.binary(max_size=60) | any_json().map(lambda v: written(v).encode())
)
TURNS = st.sampled_from(["first", "every", "never"])
CUTS = st.none() | st.lists(st.integers(0, 200), max_size=6)


# What must hold for every request.


def check_passed(reply: Reply, target: str, body: bytes) -> list[str]:
    """Of any body: it reached the upstream, as it was or with rewritten texts; which those were.

    The upstream has the original's bytes, or they differ in texts of role `user`, `input` or `prompt` alone, and each
    is what the prompter made of it.
    """
    assert reply.status == 200, (reply.status, reply.body[:200])
    seen = reply.seen
    assert seen.target == b"/base" + target.encode()
    assert not [name for name, _ in seen.headers if name.startswith(b"x-promptlift")]
    if reply.headers["x-promptlift"] == "unchanged":
        assert reply.headers["x-promptlift-reason"] in REASONS
        assert seen.body == body
        return []
    assert reply.headers["x-promptlift"] == "rewritten" and "x-promptlift-reason" not in reply.headers
    found = changes(body, seen.body)
    assert found, "nothing was rewritten"
    value = read(body)
    for place, (old, new) in found.items():
        assert new == made(old)
        assert _may_be_rewritten(value, named(place)), place
    check_tokens(body, seen.body, [old for old, _ in found.values()])
    return [old for old, _ in found.values()]


def _may_be_rewritten(value: Any, place: Place) -> bool:
    """Whether a place holds a text of a person's."""
    if place in (("input",), ("prompt",)) or (place[0] == "prompt" and len(place) == 2):
        return True
    message = at(value, place[:2])
    if place[0] not in ("messages", "input") or not isinstance(message, Members) or dict(message).get("role") != "user":
        return False
    return place[2:] == ("content",) or (len(place) == 5 and place[2] == "content" and place[4] == "text")


def check_request(stack: Stack, asked: Asked, turns: str, cuts: Sequence[int] | None) -> str:
    """Of a body in good form: exactly the texts that `turns` asks for. Returns the outcome."""
    reply = ask(stack, asked.target, asked.data, ("X-Promptlift-Turns", turns), ("X-Promptlift-Show", "1"), cuts=cuts)
    check_passed(reply, asked.target, asked.data)
    places = asked.expected(turns)
    texts = [at(asked.value, place) for place in places]
    expected = {place: (text, made(text)) for place, text in zip(places, texts, strict=True) if made(text) != text}
    outcome = reply.headers.get("x-promptlift-reason", "rewritten")
    if expected:
        assert {named(place): pair for place, pair in changes(asked.data, reply.seen.body).items()} == expected
        assert reply.headers["x-promptlift-rewrite"] == quote([new for _, new in expected.values()][-1])
    elif turns == "never":
        assert outcome == "off"
    elif asked.reason or not asked.turns:
        assert outcome == (asked.reason or "turn")
    else:
        assert outcome in ("identity", "parts", "turn")
    return outcome


def check_body(stack: Stack, target: str, body: bytes, turns: str, cuts: Sequence[int] | None) -> str:
    """Of any bytes as a body. Returns the outcome."""
    reply = ask(stack, target, body, ("X-Promptlift-Turns", turns), cuts=cuts)
    if reply.status == 200 and reply.headers["x-promptlift"] == "rewritten" and repeats(body):
        return "repeated keys"  # which of them counts is the upstream's choice: see test_repeated_keys
    check_passed(reply, target, body)
    return reply.headers.get("x-promptlift-reason", "rewritten")


def repeats(body: bytes) -> bool:
    """Whether an object of the body has two members of one name."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({key for key, _ in pairs}) < len(pairs)

    json.loads(body.decode("utf-8", "surrogateescape"), object_pairs_hook=look)
    return found


def check_own(stack: Stack, target: str, body: bytes) -> int:
    """Of any bytes as a body of an endpoint of promptlift's own: an answer, or an error of OpenAI's form."""
    reply = ask(stack, target, body, ("Content-Type", "application/json"))
    assert reply.status in (200, 400, 413), (reply.status, reply.body[:200])
    if reply.status != 200:
        assert reply.error["type"] == "invalid_request_error"
    return reply.status


FUZZ = settings(
    deadline=None, derandomize=True, database=None, max_examples=120,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)  # fmt: skip


@contextlib.contextmanager
def noted_errors() -> Iterator[list[str]]:
    """What the server logs as an error: nothing that a client sends is one, even where the request went well."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("promptlift", "uvicorn", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield found
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    votes = tmp_path_factory.mktemp("votes")
    with noted_errors() as errors:
        given = {"votes": str(votes), "body_seconds": PATIENCE, "targets": {"gpt-*": "one", "[a": "one", "*é": "two"}}
        with running(max_body_mb=2, inspect_mb=1, **given) as found:
            yield found
        assert errors == []


# Through the server.


@FUZZ
@given(asked=requests(), turns=TURNS, cuts=CUTS)
def test_requests_in_good_form(stack: Stack, asked: Asked, turns: str, cuts: list[int] | None) -> None:
    check_request(stack, asked, turns, cuts)


@FUZZ
@given(one=nearly(), turns=TURNS, cuts=CUTS)
def test_requests_with_wrong_nodes(stack: Stack, one: tuple[str, bytes], turns: str, cuts: list[int] | None) -> None:
    check_body(stack, *one, turns, cuts)


@FUZZ
@given(one=damaged() | ANY_BODY, turns=TURNS, cuts=CUTS)
def test_bodies_that_are_no_requests(stack: Stack, one: tuple[str, bytes], turns: str, cuts: list[int] | None) -> None:
    check_body(stack, *one, turns, cuts)


WISHES = st.dictionaries(
    st.sampled_from(["X-Promptlift-Turns", "X-Promptlift-Target", "X-Promptlift-Show", "x-promptlift-Odd"]),
    st.sampled_from(
        ["first", "EVERY", " never ", "1", "true", "0", "", "one", "../one", "%2e%2e", "*", "[a", "a" * 3000]
    )
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=8),
)


def check_wishes(stack: Stack, wishes: dict[str, str], model: str) -> str:
    """Of any values of promptlift's headers, and any model: what has no valid value stops the rewriting alone."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "a poem"}]}).encode()
    reply = ask(stack, CHAT, body, *wishes.items())
    texts = check_passed(reply, CHAT, body)
    known = {name: value.strip().lower() for name, value in wishes.items()}
    turns, show = known.get("X-Promptlift-Turns", "first"), known.get("X-Promptlift-Show", "0")
    valid = turns in ("first", "every", "never") and show in ("0", "1", "true", "false")
    assert texts == (["a poem"] if valid and turns != "never" else [])
    assert valid == (reply.headers.get("x-promptlift-reason") != "header")
    assert ("x-promptlift-rewrite" in reply.headers) == (bool(texts) and show in ("1", "true"))
    return reply.headers.get("x-promptlift-reason", "rewritten")


@FUZZ
@given(wishes=WISHES, model=TEXTS)
def test_odd_wishes(stack: Stack, wishes: dict[str, str], model: str) -> None:
    check_wishes(stack, wishes, model)


def body_with(member: bytes) -> bytes:
    return b'{"messages":[{"role":"user","content":"a poem"}],"x":' + member + b"}"


KEPT_LITERALS = [
    b"1e400", b"1.10", b"-0.0", b"-0", b"1E-400", b"12345678901234567890", b"1" * 5000, b"0.1e+01", b'"\\/\\u0041"',
    b'"\\ud83d\\ude00"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'{"a":1,"a":2}', b"[" * 200 + b"]" * 200, b'"\x7f\xc2\x85"',
]  # fmt: skip
NO_JSON = [
    b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"+1", b"0x1", b"1e", b"'a'", b"True", b"undefined", b"",
    b'"\x01"', b'"\\x41"', b'"\\u00"', b"[1,]", b'{"a":1,}', b"[" * 100_000 + b"]" * 100_000, b"[" * 100_000, b"/**/1",
    b"{1:2}", b'"a" "b"', b"\x00", b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize("literal", KEPT_LITERALS, ids=lambda literal: repr(literal[:20]))
def test_what_is_not_the_persons_keeps_its_bytes(stack: Stack, literal: bytes) -> None:
    reply = ask(stack, CHAT, body_with(literal))
    assert reply.headers["x-promptlift"] == "rewritten"
    content = json.dumps(made("a poem"), ensure_ascii=False).encode()
    assert reply.seen.body == b'{"messages":[{"role":"user","content":' + content + b'}],"x":' + literal + b"}"


@pytest.mark.parametrize("literal", NO_JSON, ids=lambda literal: repr(literal[:20]))
def test_what_is_no_json_passes(stack: Stack, literal: bytes) -> None:
    for body in (body_with(literal), literal):
        reply = ask(stack, CHAT, body)
        assert check_passed(reply, CHAT, body) == []
        assert reply.headers["x-promptlift-reason"] == "unreadable"


@pytest.mark.parametrize("literal", [b'"\\ud800"', b'"\\udc00\\ud800"', b'{"\\ud800":1}'])
def test_lone_surrogates_pass(stack: Stack, literal: bytes) -> None:
    for body in (body_with(literal), body_with(b"1").replace(b'"a poem"', literal)):
        assert check_passed(ask(stack, CHAT, body), CHAT, body) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","messages":[{"role":"user","content":"a poem"}],"model":"b"}',
        b'{"messages":[{"role":"system","role":"user","content":"a","content":"a poem"}]}',
        b'{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"a poem"}]}]}',
        b'{"messages":[{"role":"user","content":"a"}],"messages":[{"role":"user","content":"a poem"}]}',
    ],
)
def test_repeated_keys(stack: Stack, body: bytes) -> None:
    """Readers disagree on which member counts: what is passed on must hold the same ones."""
    reply = ask(stack, CHAT, body)
    check_passed(reply, CHAT, body)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", ""]
)
def test_content_types_do_not_matter(stack: Stack, target: str, kind: str) -> None:
    key = {CHAT: "messages", RESPONSES: "input", COMPLETIONS: "prompt"}[target]
    value: Any = [{"role": "user", "content": "a poem"}] if target == CHAT else "a poem"
    body = json.dumps({key: value}).encode()
    reply = ask(stack, target, body, ("Content-Type", kind))
    assert check_passed(reply, target, body) == ["a poem"]
    assert reply.seen.values(b"content-type") == [kind.encode()]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x-odd"])
def test_encoded_bodies_pass(stack: Stack, encoding: str) -> None:
    plain = body_with(b"1")
    for body in (gzip.compress(plain), plain, b"", b"\x1f\x8b cut short"):  # the header may lie
        for cuts in (None, [1, 7, 8]):
            reply = ask(stack, CHAT, body, ("Content-Encoding", encoding), cuts=cuts)
            assert check_passed(reply, CHAT, body) == []
            assert reply.headers["x-promptlift-reason"] == "encoded"
            assert reply.seen.values(b"content-encoding") == [encoding.encode()]
    reply = ask(stack, CHAT, plain, ("Content-Encoding", "identity"))
    assert check_passed(reply, CHAT, plain) == ["a poem"]


@pytest.mark.parametrize(
    "cuts", [None, [1], [MB - 1, MB], list(range(0, 2 * MB, 60_000))], ids=["sized", "1", "2", "many"]
)
@pytest.mark.parametrize("target", [CHAT, "/v1/files"])
def test_bodies_around_the_limits(stack: Stack, target: str, cuts: list[int] | None) -> None:
    before = len(stack.upstream.seen)
    around = [MB - 1, MB, MB + 1, 2 * MB - 1, 2 * MB, 2 * MB + 1, 2 * MB + 70_000]
    for size in around:
        body = body_with(b'"' + b"a" * (size - len(body_with(b'""'))) + b'"')
        assert len(body) == size
        reply = ask(stack, target, body, cuts=cuts)
        if size > 2 * MB:
            assert reply.status == 413 and reply.error["code"] == "too_large"
        elif target != CHAT:
            assert reply.status == 200 and reply.seen.body == body
        else:
            assert check_passed(reply, target, body) == (["a poem"] if size <= MB else [])
            assert reply.headers.get("x-promptlift-reason") == ("too-large" if size > MB else None)
    assert len(stack.upstream.seen) == before + 5


@pytest.mark.parametrize("target", [CHAT, COMPLETIONS])
def test_no_end_of_texts_is_not_rewritten(stack: Stack, target: str) -> None:
    message = {"role": "user", "content": "a"}
    body = json.dumps(
        {"prompt": ["a"] * 20_000} if target == COMPLETIONS else {"messages": [message] * 20_000}
    ).encode()
    reply = ask(stack, target, body, ("X-Promptlift-Turns", "every"))
    assert len(check_passed(reply, target, body)) < 1000


def test_lengths_that_are_wrong(stack: Stack) -> None:
    body = body_with(b"1")
    before = len(stack.upstream.seen)
    for target in (CHAT, "/v1/files"):
        for short in (1, len(body) // 2, len(body)):  # the client goes before all is there
            first = head("POST", target, ("Content-Length", str(len(body))))
            assert exchange(stack.port, [first, body[:-short]], half_close=True).status in (0, 400)
            chunked = head("POST", target, ("Transfer-Encoding", "chunked"))
            pieces = [chunked, b"%x\r\n" % len(body), body[:-short]]
            assert exchange(stack.port, pieces, half_close=True).status in (0, 400)
    assert len(stack.upstream.seen) == before
    for wrong in ("-1", "+1", "1 1", "1,1", "0x1", "9" * 30, "", "a", "\xb2"):
        assert exchange(stack.port, [head("POST", CHAT, ("Content-Length", wrong)), body]).status in (400, 413)
    for more in (("Content-Length", "3"), ("Content-Length", "4"), ("Transfer-Encoding", "chunked")):
        assert exchange(stack.port, [head("POST", CHAT, ("Content-Length", "3"), more), b"{} "]).status == 400
    for size in (b"zz", b"-1", b"f" * 17, b"", b"0x1", b"1 1"):
        pieces = [head("POST", CHAT, ("Transfer-Encoding", "chunked")), size + b"\r\na\r\n0\r\n\r\n"]
        assert exchange(stack.port, pieces).status == 400
    assert len(stack.upstream.seen) == before
    first = head("POST", CHAT, ("Content-Length", "10")) + body[:10]
    assert check_passed(exchange(stack.port, [first]), CHAT, body[:10]) == []
    reply = exchange(stack.port, [first + body[10:]])  # what follows is no request
    assert reply.status == 400 or check_passed(reply, CHAT, body[:10]) == []


OWN_BODIES = (
    st.binary(max_size=40)
    | st.builds(
        lambda prompt, key, value: written(Members([("prompt", prompt), (key, value)])).encode(),
        TEXTS | st.lists(TEXTS, max_size=3) | any_json(),
        st.sampled_from(["target", "model", "strength", "stream", "other", "prompt", "\x00"]),
        any_json() | st.sampled_from(["light", "one", True]),
    )
    | st.sampled_from([body_with(literal).replace(b'"x"', b'"prompt"') for literal in KEPT_LITERALS + NO_JSON])
    | st.sampled_from(
        [b'{"prompt":"\\ud800"}', b'{"\\ud800":1}', b'{"prompt":"a","\\ud800":1}', b'["\\ud800"]', b'"\\ud800"']
    )
)


@FUZZ
@given(target=st.sampled_from(["/v1/rewrite", "/promptlift/votes"]), body=OWN_BODIES)
def test_own_endpoints_take_any_bytes(stack: Stack, target: str, body: bytes) -> None:
    check_own(stack, target, body)


@pytest.mark.parametrize("space", [" ", "\t", "  "])
@pytest.mark.parametrize("name", ["X-Own", "Content-Length", "Content-Encoding", "Authorization"])
def test_spaces_behind_a_value_do_not_count(stack: Stack, name: str, space: str) -> None:
    body = body_with(b"1")
    value = {"Content-Length": str(len(body)), "Content-Encoding": "identity"}.get(name, "a")
    length = [] if name == "Content-Length" else [("Content-Length", str(len(body)))]
    for target in ("/v1/files", CHAT):
        reply = exchange(stack.port, [head("POST", target, (name, value + space), *length) + body])
        assert reply.status == 200 and (reply.seen.body == body) == (target != CHAT)
        assert name == "Content-Length" or reply.seen.values(name.lower().encode()) == [value.encode()]


def test_other_paths_pass_byte_for_byte(stack: Stack) -> None:
    draw = random.Random(0)
    for method in ("GET", "PUT", "PATCH", "DELETE", "POST", "PROPFIND", "HEAD"):
        for path in ("/v1/models?a=%zz&b=[]{}|^`'\"<>", "/v1/a%2Fb//c;d=e/%7E%C3%A9", "/api/tags", "/v1", "/v1/%00"):
            body = draw.randbytes(draw.choice([0, 1, 1000]))
            reply = ask(stack, path, body, ("X-Own", "\xff\xe9 a\tb"), ("X-Own", ""), method=method)
            seen = stack.upstream.seen[-1]
            assert reply.status == 200 and "x-promptlift" not in reply.headers and reply.headers["x-own"] == "kept"
            assert seen.method == method.encode() and seen.target == b"/base" + path.encode() and seen.body == body
            assert seen.values(b"x-own") == [b"\xff\xe9 a\tb", b""]


# What the OpenAPI description promises.


def operations(stack: Stack) -> list[Any]:
    """Those of /openapi.json, as schemathesis sees them."""
    import schemathesis

    description = json.loads(ask(stack, "/openapi.json", method="GET").body)
    return [found.ok() for found in schemathesis.openapi.from_dict(description).get_all_operations()]


def check_operation(
    stack: Stack, operation: Any, positive: bool, more: settings, types: bool = True,
    seen: Counter[str] | None = None, seed: int = 0,
) -> None:  # fmt: skip
    """Requests as the description allows them, or as it does not: the answers are as it says.

    Args:
        stack: to ask.
        operation: of `operations`.
        positive: whether the requests are as they should be.
        more: how many, and which.
        types: whether the answers' content types count.
        seen: counts the statuses.
        seed: of the cases, unless they are always the same.
    """
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi import checks

    mode = GenerationMode.POSITIVE if positive else GenerationMode.NEGATIVE
    held = [checks.status_code_conformance, checks.response_schema_conformance, checks.response_headers_conformance]
    own = operation.label in ("POST /v1/rewrite", "POST /promptlift/votes")

    @more
    @hypothesis.seed(seed)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        reply = case.call(base_url=f"http://localhost:{stack.port}")
        assert reply.status_code < 500
        if seen is not None:
            seen[str(reply.status_code)] += 1
        if own and not positive and reply.status_code < 400:
            assert not isinstance(case.body["stream"], bool)  # pydantic takes "on" and 1 for true
        case.validate_response(reply, checks=held + ([checks.content_type_conformance] if types else []))

    check()


def has_input(operation: Any) -> bool:
    """Whether there is anything about a request to get wrong."""
    return bool(operation.method.upper() == "POST")


def test_the_description_holds(stack: Stack) -> None:
    found = operations(stack)
    assert {"/v1/rewrite", "/healthz", "/metrics", CHAT, RESPONSES, COMPLETIONS} <= {one.path for one in found}
    for operation in found:
        few = 10 if operation.path == "/promptlift/votes" else 15  # each vote is written to disk
        for positive in (True, False) if has_input(operation) else (True,):
            check_operation(stack, operation, positive, settings(FUZZ, max_examples=few), types=False)


def test_the_description_names_all_content_types(stack: Stack) -> None:
    for operation in operations(stack):
        few = 10 if operation.path == "/promptlift/votes" else 15
        check_operation(stack, operation, True, settings(FUZZ, max_examples=few))


# bodies.parse: no server, so many more cases.

PURE = settings(FUZZ, max_examples=250)
FILES = settings(FUZZ, max_examples=100)


def check_parse(kind: str, data: bytes) -> str:
    """Of any bytes: a reason or turns, whose texts can be put back without changing anything. Returns the outcome."""
    body = parse(kind, data)
    assert body.reason in (None, "unreadable", "json", "turn", "marks")
    assert body.reason is None or not body.turns
    if body.turns and not repeats(data):
        own = {number: turn.text for number, turn in enumerate(body.turns) if turn.reason is None}
        for same in ({}, own):
            assert changes(data, body.replaced(same)) == {}
            check_tokens(data, body.replaced(same), [])
    return body.reason or "turns"


@PURE
@given(kind=st.sampled_from(list(KINDS.values())), one=ANY_BODY | nearly() | damaged())
def test_parse_takes_any_bytes(kind: str, one: tuple[str, bytes]) -> None:
    check_parse(kind, one[1])


def check_texts(asked: Asked, new: Sequence[str]) -> str:
    """Of a body in good form: the person's texts are found, and only those that are replaced change."""
    body = parse(KINDS[asked.target], asked.data)
    if asked.reason is not None or not asked.turns:
        assert body.reason == (asked.reason or "turn") and body.turns == []
        return body.reason
    assert body.reason is None and body.model == dict(asked.value)["model"]
    assert body.separate == (asked.target == COMPLETIONS)
    assert [turn.answered for turn in body.turns] == asked.answered
    for turn, place in zip(body.turns, asked.turns, strict=True):
        assert turn.reason == (place if isinstance(place, str) else None)
        assert isinstance(place, str) or turn.text == at(asked.value, place)
    fit = [number for number, place in enumerate(asked.turns) if not isinstance(place, str)]
    texts = dict(zip(reversed(fit), new, strict=False))
    expected = {asked.turns[n]: (body.turns[n].text, text) for n, text in texts.items() if text != body.turns[n].text}
    found = changes(asked.data, body.replaced(texts))
    assert {named(place): pair for place, pair in found.items()} == expected
    return "turns"


@PURE
@given(asked=requests(), new=st.lists(TEXTS, max_size=3))
def test_parse_finds_the_persons_texts(asked: Asked, new: list[str]) -> None:
    check_texts(asked, new)


@PURE
@given(asked=requests(), rest=st.sampled_from(["previous_response_id", "conversation"]), value=any_json())
def test_parse_knows_what_is_kept_elsewhere(asked: Asked, rest: str, value: Any) -> None:
    asked.value.append((rest, value))
    body = parse(KINDS[asked.target], written(asked.value).encode())
    assert body.rest == (asked.target == RESPONSES and asked.reason is None and value is not None)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("completions", {"prompt": "a", "suffix": "b"}, "marks"),
        ("completions", {"prompt": "a", "echo": True}, "marks"),
        ("completions", {"prompt": "a", "suffix": None, "echo": False}, None),
        ("completions", {"prompt": "<|im_start|>a"}, "marks"),
        ("completions", {"prompt": ["a", "[INST] b"]}, "marks"),
        ("completions", {"prompt": [1, 2]}, "turn"),
        ("completions", {"prompt": ["a", [1]]}, "turn"),
        ("completions", {"prompt": []}, "turn"),
        ("completions", {}, "turn"),
        ("chat", {"messages": {"role": "user"}}, "turn"),
        ("chat", {"messages": [None, 1, [], "x"]}, "turn"),
        ("chat", {"messages": [{"role": "user"}]}, None),
        ("chat", {"messages": [{"role": "user", "content": "a"}], "response_format": {}}, None),
        ("chat", {"messages": [{"role": "user", "content": "a"}], "response_format": None}, None),
        ("chat", {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": 1}}, "json"),
        ("responses", {"input": "a", "text": {}}, None),
        ("responses", {"input": "a", "text": {"format": {"type": "json_schema"}}}, "json"),
        ("responses", {"input": None}, "turn"),
    ],
)
def test_parse_gives_the_reason(kind: str, body: Any, reason: str | None) -> None:
    assert parse(kind, json.dumps(body).encode()).reason == reason


# Headers.

HOP = (
    "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade"
)
NAMES = st.sampled_from(
    "host content-length expect authorization accept x-promptlift x-promptlift-key x-promptlift-odd "
    "x-promptliftish x-own cookie set-cookie content-type".split()
    + HOP.split()
) | st.from_regex(r"[a-z0-9!#$%&'*+.^_`|~-]{1,8}", fullmatch=True)
VALUES = st.sampled_from(["close", "Keep-Alive, X-Own", " cookie ,, x-Own", "100-continue", "", "\xff"]) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=8
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(
    lambda rows: [(name.encode(), value.encode("latin-1")) for name, value in rows]
)


def of_this_connection(headers: list[tuple[bytes, bytes]]) -> set[bytes]:
    listed = [part for name, value in headers if name == b"connection" for part in value.lower().split(b",")]
    return {*HOP.encode().split(), *(part.strip() for part in listed)}


def ours(name: bytes) -> bool:
    return name == b"x-promptlift" or name.startswith(b"x-promptlift-")


@PURE
@given(headers=HEADERS, own=st.sampled_from([None, b"Bearer own"]), keep=st.booleans())
def test_headers_to_the_upstream(headers: list[tuple[bytes, bytes]], own: bytes | None, keep: bool) -> None:
    gone = of_this_connection(headers) | {b"host", b"content-length", b"expect"}
    found = to_upstream(headers, b"the.host:1", own, keep)
    assert found[0] == (b"host", b"the.host:1")
    if own is not None:
        assert found.pop() == (b"authorization", own)
    kept = [(n, v) for n, v in headers if n not in gone and not ours(n)]
    if own is not None or not keep:
        kept = [(n, v) for n, v in kept if n != b"authorization"]
    assert found[1:] == kept


@PURE
@given(
    headers=HEADERS,
    upper=st.booleans(),
    bad=st.sampled_from([None, (b"a b", b"c"), (b"a", b"b\nc"), (b"", b"a"), (b"a", b"\x00")]),
)
def test_headers_to_the_client(
    headers: list[tuple[bytes, bytes]], upper: bool, bad: tuple[bytes, bytes] | None
) -> None:
    gone = of_this_connection(headers)
    sent = [(name.title() if upper else name, value) for name, value in headers]
    found = to_client([bad, *sent] if bad else sent)
    assert found == [(name, value) for name, value in headers if name not in gone and not ours(name)]


# The memory, against a plain list.


def record(size: int, mark: int) -> Rewrite:
    return Rewrite("p" * size, f"{mark}" + "r" * size, True, None, None, "scripted@1", 0.0)


class MemoryMachine(RuleBasedStateMachine):
    """The model: what was made and what went raw, each in order of use, and dropped from the front if it is too much."""

    ENTRIES, SIZE = 5, 12_000
    keys = st.sampled_from("abcdefgh")

    @initialize()
    def begin(self) -> None:
        self.memory = Memory(self.ENTRIES, self.SIZE)
        self.made: list[tuple[str, Rewrite]] = []
        self.raw: list[str] = []
        self.prompter = ""

    def size(self) -> int:
        return sum(1000 + 4 * (len(one.prompt) + len(one.rewrite)) for _, one in self.made)

    @rule(key=keys, size=st.integers(0, 1000), mark=st.integers(0, 9))
    def keep(self, key: str, size: int, mark: int) -> None:
        self.memory.keep(key, record(size, mark))
        self.made = [pair for pair in self.made if pair[0] != key] + [(key, record(size, mark))]
        while len(self.made) > self.ENTRIES or self.size() > self.SIZE:
            del self.made[0]

    @rule(key=keys, raw=st.booleans())
    def sent(self, key: str, raw: bool) -> None:
        self.memory.sent(key, raw)
        self.raw = ([one for one in self.raw if one != key] + [key] * raw)[-self.ENTRIES :]

    @rule(key=keys)
    def get(self, key: str) -> None:
        rewrite, raw = dict(self.made).get(key), key in self.raw
        assert self.memory.get(key) == (Kept(rewrite, raw) if rewrite or raw else None)
        self.made.sort(key=lambda pair: pair[0] == key)  # stable: the one that was used goes last
        self.raw.sort(key=lambda one: one == key)

    @rule(prompter=st.sampled_from(["one@1", "two@1"]))
    def version(self, prompter: str) -> None:
        self.memory.version(prompter)
        if self.prompter not in ("", prompter):
            self.made, self.raw = [], []
        self.prompter = prompter

    @invariant()
    def is_within_its_bounds(self) -> None:
        if hasattr(self, "memory"):
            assert len(self.memory) == len(self.made) <= self.ENTRIES
            assert self.memory.size == self.size() <= self.SIZE


TestMemory = MemoryMachine.TestCase
TestMemory.settings = settings(FUZZ, max_examples=60, stateful_step_count=30)


def test_one_large_text_does_not_empty_the_memory() -> None:
    memory = Memory(10, 20_000)
    memory.keep("a", record(10, 1))
    memory.keep("large", record(10_000, 1))
    assert memory.get("a") is not None and memory.get("large") is None and memory.size <= 20_000


# Settings.

UPSTREAM = "http://localhost:1/v1"
FIELDS: dict[str, tuple[Any, Any, Any]] = {
    "port": (1, 2, 3), "deadline": (1.0, 2.0, 3.0), "turns": ("first", "every", "never"), "queue": (1, 2, 3),
    "prompter": ("a", "b", "c"), "page": (True, False, True), "hosts": (["a"], ["b", "c"], ["d"]),
    "log_prompts": (True, False, True), "strength": ("light", "content", "full"),
}  # fmt: skip


def toml(value: Any) -> str:
    return json.dumps(value)  # the same for what is used here


def environment(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


@FILES
@given(given_by=st.dictionaries(st.sampled_from(list(FIELDS)), st.tuples(st.booleans(), st.booleans(), st.booleans())))
def test_flags_before_environment_before_file(
    tmp_path_factory: pytest.TempPathFactory, given_by: dict[str, tuple[bool, bool, bool]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "precedence.toml"
    rows = [f"upstream = {toml(UPSTREAM)}"]
    flags: dict[str, Any] = {"port": None}
    variables = {"PATH": "/bin", "PROMPTLIFT_OTHER": "x"}
    expected = {}
    for name, (in_file, in_environment, as_flag) in given_by.items():
        from_file, from_environment, from_flag = FIELDS[name]
        if in_file:
            rows.append(f"{name} = {toml(from_file)}")
            expected[name] = from_file
        if in_environment:
            variables[PREFIX + name.upper()] = environment(from_environment)
            expected[name] = from_environment
        if as_flag:
            flags[name] = from_flag
            expected[name] = from_flag
    file.write_text("\n".join(rows))
    assert load_settings(flags, file, variables) == Settings(upstream=UPSTREAM, **expected)


ODD_KEYS = st.from_regex(r"[a-z_][a-z0-9_-]{0,9}", fullmatch=True).filter(lambda key: key not in Settings.model_fields)


@FILES
@given(key=ODD_KEYS, source=st.sampled_from(["file", "environment", "flags"]))
def test_unknown_settings_are_refused(tmp_path_factory: pytest.TempPathFactory, key: str, source: str) -> None:
    file = tmp_path_factory.getbasetemp() / "unknown.toml"
    file.write_text(f"{key} = 1" if source == "file" else "")
    flags = {"upstream": UPSTREAM, **({key: 1} if source == "flags" else {})}
    variables = {PREFIX + key.upper(): "1"} if source == "environment" else {}
    with pytest.raises(InputError) as error:
        load_settings(flags, file, variables)
    flag = f"--{key.replace('_', '-')}"
    named = {"file": str(file), "environment": f"${PREFIX}{key.upper()}", "flags": flag}[source]
    assert str(error.value).startswith(f"{named}: ") and repr(key) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["http://[", "a\nb", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=5,
)  # fmt: skip


def check_settings(flags: dict[str, Any], file: Path | None, variables: dict[str, str]) -> bool:
    """Settings or one line of error; whether there were settings."""
    try:
        load_settings(flags, file, variables)
    except InputError as error:
        assert len(str(error).splitlines()) == 1, str(error)
        return False
    return True


@PURE
@given(name=st.sampled_from(list(Settings.model_fields)), value=ODD_VALUES, text=st.text(max_size=20))
def test_odd_values_are_one_line(name: str, value: Any, text: str) -> None:
    flags = {"upstream": UPSTREAM} if name != "upstream" else {}
    check_settings({**flags, name: value}, None, {})
    assume("\0" not in text)
    check_settings(flags, None, {PREFIX + name.upper(): text})


@FILES
@given(
    data=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode())
    | st.tuples(st.sampled_from(list(Settings.model_fields)), ODD_VALUES).map(
        lambda pair: f"{pair[0]} = {json.dumps(pair[1])}".encode()
    ),
)  # fmt: skip
def test_odd_files_are_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "odd.toml"
    file.write_bytes(data)
    check_settings({"upstream": UPSTREAM}, file, {})


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5000 + "]" * 5000, "queue = " + "1" * 5000], ids=["deep", "long number"]
)
def test_files_that_tomllib_chokes_on(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(text)
    assert not check_settings({"upstream": UPSTREAM}, file, {})


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1\n",
        "http://[v1.x]/v1",
        "http://\u202e/v1",
        "http://host/" + "a" * 70_000,
        "http://host/v1?",
        "http://host/v1#",
    ],
)
def test_an_upstream_that_can_not_be_asked_is_refused(url: str) -> None:
    assert not check_settings({"upstream": url}, None, {})
