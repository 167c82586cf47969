"""The server against those who mean it harm: bad HTTP, ways to another host, other names and origins, keys and prompts.

A second upstream is the trap: nothing that a client sends may make the server ask it.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import posixpath
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_serve_fuzz import (
    CHAT,
    COMPLETIONS,
    FUZZ,
    PATIENCE,
    RESPONSES,
    Echo,
    Reply,
    Stack,
    ask,
    exchange,
    head,
    made,
    read_reply,
    running,
    serving,
)

from promptlift.serving import connections, logs
from promptlift.serving.proxy import Proxy
from promptlift.serving.votes import Votes

POEM = b'{"messages":[{"role":"user","content":"a poem"}]}'


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running(max_body_mb=2, inspect_mb=1) as found:
        yield found


@contextlib.contextmanager
def impatient() -> Iterator[Stack]:
    """A server that waits for nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEADER_SECONDS", 0.3)
        with running(max_body_mb=2, inspect_mb=1, body_seconds=0.3, keep_alive=0.3) as found:
            yield found


@pytest.fixture(scope="module")
def hasty() -> Iterator[Stack]:
    with impatient() as found:
        yield found


@pytest.fixture(scope="module")
def trap() -> Iterator[Echo]:
    with Echo() as found:
        yield found


def is_well(stack: Stack) -> None:
    """It goes on serving."""
    reply = ask(stack, CHAT, POEM)
    assert reply.status == 200 and json.loads(reply.seen.body)["messages"][0]["content"] == made("a poem")


def ends(client: socket.socket) -> bool:
    """Whether the server closes a connection, rather than wait for ever; well above the limits of `hasty`."""
    client.settimeout(3)
    with contextlib.suppress(ConnectionError):
        try:
            while client.recv(65536):
                pass
        except TimeoutError:
            return False
    return True


# Bad HTTP.

NO_HTTP = {
    "garbage": b"\x00\x01\x02 garbage\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60,
    "h2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no-target": b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no-slash": b"GET v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "at": b"GET @evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "query-alone": b"GET ?x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "odd-method": b"BREW /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "lower-method": b"get /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "odd-version": b"GET /v1/a HTTP/1.9\r\nHost: localhost\r\n\r\n",
    "no-version": b"GET /v1/a HTP/1.1\r\nHost: localhost\r\n\r\n",
    "connect": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute-without-path": b"GET http://evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nul-in-path": b"GET /v1/\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "nul-in-value": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "control-in-value": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: a\x0bb\r\n\r\n",
    "bare-cr": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: a\rb: c\r\n\r\n",
    "bare-lf": b"GET /v1/a HTTP/1.1\nHost: localhost\n\n",
    "high-in-path": b"GET /v1/\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "high-in-query": b"GET /v1/a?b=\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space-in-name": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX Y: a\r\n\r\n",
    "space-before-colon": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length : 3\r\n\r\nabc",
    "folded": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "no-name": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n",
    "both-lengths": b"POST /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd-coding": b"POST /v1/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two-codings": b"POST /v1/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "length-as-trailer": b"POST /v1/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n",
    "long-path": b"GET /v1/" + b"a" * 600_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long-value": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 600_000 + b"\r\n\r\n",
    "many-headers": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "endless-headers": b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000,
    "no-host": b"GET /v1/a HTTP/1.1\r\n\r\n",
    "0.9": b"GET /v1/a\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", NO_HTTP)
def test_bad_http_is_refused(stack: Stack, name: str) -> None:
    before = len(stack.upstream.seen)
    reply = exchange(stack.port, [NO_HTTP[name]])
    assert reply.status in (0, 400, 403, 431)
    assert len(stack.upstream.seen) == before
    is_well(stack)


def test_headers_have_a_limit_in_bytes(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
        client.sendall(b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        with pytest.raises(ConnectionError):  # it does not read for ever
            while sent < 64 * 2**20:
                client.sendall(b"X: " + b"y" * 10_000 + b"\r\n")
                sent += 10_000
    is_well(stack)


@pytest.mark.parametrize(
    "begun",
    [b"", b"\r\n", b"G", b"GET /v1/a HTTP/1.1\r\nHost: loc", b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1"],
    ids=["nothing", "newline", "method", "headers", "second"],
)
def test_slow_headers_are_not_waited_for(hasty: Stack, begun: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port)) as client:
        client.sendall(begun)
        assert ends(client)
    with socket.create_connection(("127.0.0.1", hasty.port)) as client:  # a byte now and then does not help
        client.settimeout(PATIENCE)
        stop = time.monotonic() + PATIENCE
        with pytest.raises(ConnectionError):
            for byte in b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10_000:
                assert time.monotonic() < stop
                client.sendall(bytes([byte]))
                time.sleep(0.02)


@pytest.mark.parametrize("target", [CHAT, "/v1/files"])
def test_slow_bodies_are_not_waited_for(hasty: Stack, target: str) -> None:
    for first in (("Content-Length", "9"), ("Transfer-Encoding", "chunked")):
        reply = exchange(hasty.port, [head("POST", target, first)])
        assert reply.status == 408 and reply.error["code"] == "slow" and reply.headers["connection"] == "close"


def test_slow_bodies_of_our_own_are_not_waited_for(hasty: Stack) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port)) as client:
        client.sendall(head("POST", "/v1/rewrite", ("Content-Length", "9")) + b"{")
        assert ends(client)


@pytest.mark.parametrize(
    ("request_", "then"),
    [
        (head("GET", "/healthz"), b"\r\n"),
        (head("GET", "/healthz", ("Content-Length", "9")), b"a"),
        (head("POST", CHAT, ("Content-Length", "9"), host="evil.example"), b"a"),
    ],
    ids=["newline", "own-body", "refused-body"],
)
def test_an_idle_connection_is_closed_whatever_comes(hasty: Stack, request_: bytes, then: bytes) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=PATIENCE) as client:
        client.sendall(request_)
        assert read_reply(client).status in (200, 403)
        with contextlib.suppress(ConnectionError):
            client.sendall(then)
        assert ends(client)


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_trailers_have_a_limit_in_bytes(stack: Stack, host: str) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
        client.sendall(head("POST", CHAT, ("Transfer-Encoding", "chunked"), host=host) + b"1\r\na\r\n0\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(2_000):
                client.sendall(b"X: " + b"y" * 10_000 + b"\r\n")


@pytest.mark.parametrize(
    "trailer",
    [("X-Odd", "1"), ("Authorization", "Bearer late"), ("X-Promptlift-Turns", "never"), ("Content-Encoding", "gzip")],
    ids=lambda trailer: trailer[0],
)
def test_trailers_are_no_headers(stack: Stack, trailer: tuple[str, str]) -> None:
    last = b"%x\r\n%s\r\n0\r\n%s: %s\r\n\r\n" % (len(POEM), POEM, trailer[0].encode(), trailer[1].encode())
    reply = exchange(stack.port, [head("POST", CHAT, ("Transfer-Encoding", "chunked")) + last])
    assert reply.status == 200 and reply.headers["x-promptlift"] == "rewritten"
    assert reply.seen.values(trailer[0].lower().encode()) == []


def test_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    one = head("POST", CHAT, ("Content-Length", str(len(POEM)))) + POEM
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
        client.sendall((one + head("GET", "/v1/models") + head("GET", "/healthz")) * 5)
        reader = client.makefile("rb")
        for _ in range(5):
            assert [next_target(reader) for _ in range(3)] == ["/base/v1/chat/completions", "/base/v1/models", None]
        reader.close()


def next_target(reader: Any) -> str | None:
    """Where the next answer on a connection says that it was asked; None for one of the server's own."""
    assert reader.readline().startswith(b"HTTP/1.1 200")
    size = 0
    while (line := reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    found: str | None = json.loads(reader.read(size)).get("target")
    return found


def test_expect_is_answered_before_the_body(stack: Stack) -> None:
    expects = ("Expect", "100-continue"), ("Content-Length", str(len(POEM)))
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
        client.sendall(head("POST", CHAT, *expects))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(POEM)
        reply = read_reply(client)
        assert reply.status == 200 and reply.seen.values(b"expect") == []
    refused = [
        (head("POST", CHAT, *expects, host="evil.example"), b"403"),
        (head("POST", CHAT, ("Expect", "100-continue"), ("Content-Length", str(3 * 2**20))), b"413"),
        (head("POST", "/v1/../a", *expects), b"400"),
    ]
    for request, status in refused:
        with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
            client.sendall(request)
            assert client.recv(1000).split()[1] == status


UPGRADES = [
    [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAEAAEAAAAIAAAAB")],
]  # fmt: skip


@pytest.mark.parametrize("headers", UPGRADES, ids=["websocket", "h2c"])
def test_upgrades_are_not_taken(stack: Stack, headers: list[tuple[str, str]]) -> None:
    reply = exchange(stack.port, [head("GET", "/v1/realtime", *headers)])
    assert 400 <= reply.status < 500 or (reply.status == 200 and reply.seen.values(b"upgrade") == [])
    is_well(stack)


@pytest.mark.parametrize("headers", UPGRADES, ids=["websocket", "h2c"])
@pytest.mark.parametrize("cuts", [None, [5]], ids=["sized", "chunked"])
def test_an_upgrade_that_is_offered_costs_no_body(
    stack: Stack, headers: list[tuple[str, str]], cuts: list[int] | None
) -> None:
    """Java's HTTP client offers h2c with its first request, whatever that is."""
    reply = ask(stack, CHAT, POEM, *headers, cuts=cuts)
    assert reply.status == 200 and json.loads(reply.seen.body)["messages"][0]["content"] == made("a poem")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("target", ["/v1/models", "http://evil.example/v1/models"])
def test_methods_that_show_or_tunnel(stack: Stack, method: str, target: str) -> None:
    """TRACE hands back the headers, with the upstream's key; CONNECT is for proxies of another kind."""
    before = len(stack.upstream.seen)
    reply = exchange(stack.port, [head(method, target)], method)
    assert 400 <= reply.status <= 501 and len(stack.upstream.seen) == before


def test_a_coding_that_it_does_not_know_is_refused(stack: Stack) -> None:
    before = len(stack.upstream.seen)
    reply = exchange(stack.port, [head("POST", CHAT, ("Transfer-Encoding", "gzip, chunked")) + b"1\r\na\r\n0\r\n\r\n"])
    assert reply.status in (400, 501) and len(stack.upstream.seen) == before


def test_http_1_0(stack: Stack) -> None:
    request = head("POST", CHAT, ("Content-Length", str(len(POEM)))).replace(b"HTTP/1.1", b"HTTP/1.0")
    with socket.create_connection(("127.0.0.1", stack.port), timeout=PATIENCE) as client:
        client.sendall(request + POEM)
        assert read_reply(client).status == 200 and ends(client)


# No other host, and no other path.


def detours(trap: Echo) -> dict[str, bytes]:
    """Requests that name another host."""
    evil = f"127.0.0.1:{trap.port}"
    return {
        "absolute": head("GET", f"http://{evil}/v1/models"),
        "absolute-https": head("GET", f"https://{evil}/v1/models"),
        "absolute-user": head("GET", f"http://localhost@{evil}/v1/models"),
        "slashes": head("GET", f"//{evil}/v1/models"),
        "slashes-user": head("GET", f"//x@{evil}/v1/models"),
        "three-slashes": head("GET", f"///{evil}/v1/models"),
        "backslashes": head("GET", f"/\\{evil}/v1/models"),
        "url-as-path": head("GET", f"/http://{evil}/v1/models"),
        "url-as-query": head("GET", f"/v1/models?url=http://{evil}/"),
        "host": head("GET", "/v1/models", host=f"localhost:{trap.port}"),
        "forwarded": head("GET", "/v1/models", ("Forwarded", f"host={evil}"), ("X-Forwarded-Host", evil), ("X-Original-URL", f"http://{evil}/")),
        "connect": head("CONNECT", evil),
        "connect-absolute": head("CONNECT", f"http://{evil}/v1"),
        "redirect": head("GET", f"/v1/models?redirect=http://{evil}/v1/models"),
    }  # fmt: skip


def test_no_other_host_is_asked(stack: Stack, trap: Echo) -> None:
    for name, request in detours(trap).items():
        before = len(stack.upstream.seen)
        reply = exchange(stack.port, [request], request.split(b" ")[0].decode())
        assert reply.status < 500, name
        for seen in stack.upstream.seen[before:]:
            assert seen.target.startswith(b"/base/"), name
            assert seen.values(b"host") == [b"127.0.0.1:%d" % stack.upstream.port], name
        assert reply.status != 302 or name == "redirect"
    assert trap.connections == 0
    is_well(stack)


STARTS = st.sampled_from(["/", "/v1/", "/v1", "//", "/v1/chat/", "http://evil.example/"])
SEGMENTS = st.lists(
    st.sampled_from(
        [".", "..", "%2e", "%2E.", ".%2e", "%2e%2E", "...", "a", "v1", "", "\\", "..\\", "\\..", "%5c..", "..%5C", "%2f",
         "..%2f", "%2F..", ";", "?", "#", "%252e%252e", "%00", "..%00"]
    ),
    max_size=6,
)  # fmt: skip


def check_path(stack: Stack, start: str, segments: list[str]) -> int:
    """Of any path: it is refused, or reaches the upstream below its base, however others read it."""
    before = len(stack.upstream.seen)
    reply = exchange(stack.port, [head("GET", start + "/".join(segments))], "GET")
    assert reply.status in (200, 400)
    assert reply.status == 200 or len(stack.upstream.seen) == before
    if reply.status == 200 and "x-own" in reply.headers:
        path = reply.seen.target.partition(b"?")[0]
        read_by_others = unquote_to_bytes(path).replace(b"\\", b"/")
        assert posixpath.normpath(read_by_others.decode("latin-1")).startswith("/base")
        assert path.startswith(b"/base/") or path == b"/base"
        assert not re.search(rb"(^|/)\.\.?(/|$)", read_by_others)
    return reply.status


@settings(FUZZ, max_examples=150)
@given(start=STARTS, segments=SEGMENTS)
def test_no_path_leads_out_of_the_base(stack: Stack, start: str, segments: list[str]) -> None:
    check_path(stack, start, segments)


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_star_is_no_path(stack: Stack, method: str) -> None:
    before = len(stack.upstream.seen)
    assert exchange(stack.port, [head(method, "*")], method).status == 400
    assert len(stack.upstream.seen) == before


def test_no_redirects_of_our_own(stack: Stack) -> None:
    for path in ("/promptlift/info/", "/promptlift/votes/"):
        assert ask(stack, path, method="GET").status == 404


VALID = [
    head("POST", CHAT, ("Content-Length", str(len(POEM))), ("Content-Type", "application/json")) + POEM,
    head("POST", RESPONSES, ("Transfer-Encoding", "chunked")) + b"5\r\n{\"inp\r\n9\r\nut\":\"abc\"\r\n1\r\n}\r\n0\r\n\r\n",
    head("GET", "/v1/models?a=b", ("Authorization", "Bearer x"), ("Connection", "close, x-y"), ("X-Y", "z")),
    head("POST", COMPLETIONS, ("Content-Length", "14"), ("Expect", "100-continue")) + b'{"prompt":"a"}',
    head("PUT", "http://localhost/v1/files/1", ("Content-Length", "3"), ("Content-Encoding", "gzip")) + b"abc",
]  # fmt: skip
TOKENS = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b"/", b"..", b"//", b"\xff", b"GET ", b"HEAD ", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: evil.example\r\n", b"Connection: keep-alive, host\r\n", b"0\r\n\r\n", b"X-Promptlift-Show: 2\r\n",
    b"HTTP/1.0", b"X: \x80\xff\r\n", b"X:\r\n", b"?", b"#", b"%", b"@", b"http://evil.example", b"\x0b", b"\x7f", b"a" * 5000, b"-1", b";x=y",
]  # fmt: skip


@st.composite
def broken_requests(draw: st.DrawFn) -> bytes:
    """A request with up to three things put in, cut out, doubled or changed; perhaps a second one behind it."""
    data = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(data)))
        until = where + draw(st.integers(0, 20))
        how = draw(st.sampled_from(["insert", "insert", "cut", "double", "byte", "end"]))
        if how == "insert":
            data = data[:where] + draw(st.sampled_from(TOKENS)) + data[where:]
        elif how == "cut":
            data = data[:where] + data[until:]
        elif how == "double":
            data = data[:until] + data[where:]
        elif how == "byte":
            data = data[:where] + bytes([draw(st.integers(0, 255))]) + data[where + 1 :]
        else:
            data = data[:where]
    return data + draw(st.sampled_from([b"", b"", VALID[0]]))


def check_broken(stack: Stack, trap: Echo, data: bytes) -> int:
    """Of any bytes: an answer or an end in time, none that blames the server, and nothing from elsewhere."""
    before = len(stack.upstream.seen)
    reply = exchange(stack.port, [data])
    assert reply.status < 500, reply.body[:300]
    assert trap.connections == 0
    for seen in stack.upstream.seen[before:]:
        assert seen.target.startswith(b"/base/") or seen.target == b"/base"
        assert seen.values(b"host") == [b"127.0.0.1:%d" % stack.upstream.port]
        assert not [name for name, _ in seen.headers if name.startswith(b"x-promptlift")]
        assert len(seen.values(b"content-length") + seen.values(b"transfer-encoding")) <= 1
    return reply.status


@settings(FUZZ, max_examples=80)
@given(data=broken_requests())
def test_broken_requests(hasty: Stack, trap: Echo, data: bytes) -> None:
    check_broken(hasty, trap, data)


def test_goes_on_serving(hasty: Stack) -> None:
    is_well(hasty)


# Names and origins.


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:8800", "[::1]", "[::1]:80", "my.name", "My.Name:1"]
)
def test_names_that_it_has(host: str, named: Stack) -> None:
    assert exchange(named.port, [head("GET", "/v1/models", host=host)]).status == 200


@pytest.fixture(scope="module")
def named() -> Iterator[Stack]:
    with running(hosts=["my.name"], origins=["https://mine.example"]) as found:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8800", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2", "0.0.0.0",
        "[::2]", "localhost@evil.example", "evil.example, localhost", "2130706433", "", ":80", "localhost.", "[::1",
        "xmy.name", "my.name.x", "\xff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", ["/v1/models", "/v1/rewrite", "/metrics", "/", "/promptlift/info", "/healthz"])
def test_other_names_are_refused(named: Stack, host: str, target: str) -> None:
    """A page elsewhere may let its own name point to this machine."""
    before = len(named.upstream.seen)
    reply = exchange(named.port, [head("GET", target, host=host)])
    assert reply.status == 403 and reply.error["code"] == "host" and len(named.upstream.seen) == before


def test_origins(named: Stack) -> None:
    own = f"http://localhost:{named.port}"
    bad = [
        "https://evil.example", "null", own + ".evil.example", f"http://localhost:{named.port + 1}", "http://localhost",
        f"http://127.0.0.1:{named.port}", "https://mine.example.evil", "http://mine.example", "file://", "https://mine.example:8",
    ]  # fmt: skip
    host = f"localhost:{named.port}"
    for method, target in (("POST", CHAT), ("GET", "/v1/models"), ("POST", "/v1/rewrite"), ("OPTIONS", CHAT)):
        before = len(named.upstream.seen)
        for origin in bad:
            request = head(method, target, ("Origin", origin), ("Content-Length", "2"), host=host) + b"{}"
            reply = exchange(named.port, [request], method)
            assert reply.status == 403 and "access-control-allow-origin" not in reply.headers, origin
        assert len(named.upstream.seen) == before
    for origin in (own, "https://mine.example"):
        reply = exchange(named.port, [head("GET", "/v1/models", ("Origin", origin), host=host)])
        assert reply.status == 200
        allowed = reply.headers.get("access-control-allow-origin")
        assert allowed == (None if origin == own else origin)
    before = len(named.upstream.seen)
    for origin, status in (("https://mine.example", 200), ("https://evil.example", 400)):
        wish = ("Access-Control-Request-Method", "POST")
        reply = exchange(named.port, [head("OPTIONS", CHAT, ("Origin", origin), wish, host=host)], "OPTIONS")
        assert reply.status == status and len(named.upstream.seen) == before


# Keys.

OWN, THEIRS, CLIENTS = "own-key-4711", "upstream-key-0815", "clients-key-1234"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLIFT_API_KEY", OWN)
    monkeypatch.setenv("THEIR_KEY", THEIRS)


@pytest.fixture(params=[None, "THEIR_KEY"], ids=["client's", "own"])
def locked(keys: None, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A server with a key; it sends the upstream the client's Authorization, or its own."""
    with running(upstream_key_env=request.param, origins=["https://mine.example"]) as found:
        yield found


def of_upstream(reply: Reply) -> list[bytes]:
    assert OWN.encode() not in b"\n".join(value for _, value in reply.seen.headers)
    return reply.seen.values(b"authorization")


def test_the_key_is_needed(locked: Stack) -> None:
    wrong: list[tuple[tuple[str, str], ...]] = [
        (), (("Authorization", "Bearer"),), (("Authorization", "Bearer "),), (("Authorization", OWN),),
        (("Authorization", f"Basic {OWN}"),), (("Authorization", f"Bearer {OWN}x"),), (("Authorization", f"Bearer {OWN[:-1]}"),),
        (("Authorization", f"Bearer {OWN.upper()}"),), (("Authorization", f"Bearer {THEIRS}"),), (("X-Promptlift-Key", ""),),
        (("X-Promptlift-Key", f"Bearer {OWN}"),), (("X-Promptlift-Key", "\xff\xe9"),), (("X-Promptlift-Key", "x"), ("Authorization", f"Bearer {OWN}")),
        (("X-Promptlift-Key", "x"), ("X-Promptlift-Key", OWN)), (("X-Api-Key", OWN),), (("Cookie", f"key={OWN}"),),
        (("Authorization", "Bearer x"), ("Authorization", f"Bearer {OWN}")), (("Origin", "https://mine.example"),),
    ]  # fmt: skip
    targets = [
        ("POST", CHAT),
        ("GET", "/v1/models"),
        ("POST", "/v1/rewrite"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
    ]
    targets += [
        ("POST", "/promptlift/votes"),
        ("GET", f"/v1/models?key={OWN}"),
        ("HEAD", "/v1/models"),
        ("OPTIONS", "/v2"),
    ]
    targets += [("GET", "/promptlift/info/x"), ("GET", "//healthz"), ("GET", "/healthz/")]
    for headers in wrong:
        for method, target in targets:
            if method == "OPTIONS" and "Origin" in dict(headers):
                continue  # see test_options_need_the_key
            reply = exchange(locked.port, [head(method, target, *headers)], method)
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer", (method, target, headers)
            assert method == "HEAD" or reply.error["code"] == "invalid_api_key"
    for target in ("/healthz", "/readyz", "/promptlift/info", "/"):
        assert ask(locked, target, method="GET").status == 200
    for target in ("/page/../v1/models", "/page/%2e%2e/metrics", "/page/..%2fmetrics", "/%70age/../metrics"):
        assert ask(locked, target, method="GET").status == 404
    assert locked.upstream.seen == []


def test_the_key_stays_here(locked: Stack, request: pytest.FixtureRequest) -> None:
    replaced = "own" in request.node.callspec.id
    theirs = [f"Bearer {THEIRS}".encode()]
    clients = theirs if replaced else [f"Bearer {CLIENTS}".encode()]
    none = theirs if replaced else []
    for target in (CHAT, "/v1/files"):
        reply = ask(locked, target, POEM, ("Authorization", f"Bearer {OWN}"))
        assert reply.status == 200 and of_upstream(reply) == none
        reply = ask(locked, target, POEM, ("authorization", f"bearer   {OWN} "))
        assert reply.status == 200 and of_upstream(reply) == none
        reply = ask(locked, target, POEM, ("X-Promptlift-Key", OWN), ("Authorization", f"Bearer {CLIENTS}"))
        assert reply.status == 200 and of_upstream(reply) == clients
        reply = ask(locked, target, POEM, ("X-Promptlift-Key", OWN), ("X-Promptlift-Odd", "1"), ("X-PROMPTLIFT", "1"))
        assert reply.status == 200 and of_upstream(reply) == none
        assert not [name for name, _ in reply.seen.headers if b"promptlift" in name]


def test_the_key_stays_here_if_given_twice(keys: None) -> None:
    with running() as locked:
        reply = ask(locked, CHAT, POEM, ("X-Promptlift-Key", OWN), ("Authorization", f"Bearer {OWN}"))
        assert reply.status == 200 and of_upstream(reply) == []


def test_options_need_the_key(locked: Stack) -> None:
    """What is no preflight is a request as any other: whoever is no browser names any origin."""
    reply = ask(locked, CHAT, POEM, ("Origin", "https://mine.example"), method="OPTIONS")
    assert reply.status == 401 and locked.upstream.seen == []


def test_without_a_key_of_ours_the_clients_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTLIFT_API_KEY", raising=False)
    with running() as found:
        reply = ask(found, CHAT, POEM, ("Authorization", f"Bearer {CLIENTS}"), ("X-Promptlift-Key", "any"))
        assert of_upstream(reply) == [f"Bearer {CLIENTS}".encode()]


# The log.

SECRET = "the-persons-secret-words"
# By a word in the prompt: what a prompter does when it is broken.
BROKEN = r"""
import json, os, sys, time
def say(row): print(json.dumps(row), flush=True)
sys.stdin.readline()
say({"ready": "broken@1"})
for line in sys.stdin:
    job = json.loads(line)
    prompt, key = job["prompt"], job["id"]
    row = {"prompt": prompt, "rewrite": prompt + " well", "changed": True, "reason": None, "target": None,
           "prompter": "broken@1", "seconds": 0.0}
    if "!die" in prompt: os._exit(3)
    elif "!hang" in prompt: time.sleep(3600)
    elif "!garbage" in prompt: print(prompt, flush=True)
    elif "!list" in prompt: say([prompt])
    elif "!fail" in prompt: say({"id": key, "error": "ValueError: " + prompt, "input": False})
    elif "!input" in prompt: say({"id": key, "error": "bad: " + prompt, "input": True})
    elif "!foreign" in prompt: say({"id": key, "rewrite": row | {"prompt": prompt + "x"}})
    elif "!surrogate" in prompt: say({"id": key, "rewrite": row | {"rewrite": prompt + "\ud800"}})
    elif "!reason" in prompt: say({"id": key, "rewrite": row | {"rewrite": prompt, "changed": False, "reason": prompt}})
    else: say({"id": key, "rewrite": row})
"""
BREAKS = ["", "!die", "!hang", "!garbage", "!list", "!fail", "!input", "!foreign", "!surrogate", "!reason"]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that the server would write to stderr: its own lines, and what libraries tell the root logger."""
    found = io.StringIO()
    monkeypatch.setattr(sys, "stderr", found)
    names = ("promptlift", "uvicorn")
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in map(logging.getLogger, names)]
    logs.set_up()
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    others = logging.StreamHandler(found)
    logging.getLogger().addHandler(others)
    yield found
    logging.getLogger().removeHandler(others)
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()


def rows_of(log: io.StringIO) -> list[dict[str, Any]]:
    """The log's lines; each is an object."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("shown", [False, True], ids=["", "log_prompts"])
def test_what_is_in_the_log(keys: None, log: io.StringIO, tmp_path: Path, shown: bool) -> None:
    command = (sys.executable, "-I", "-S", "-c", BROKEN)
    given = {"command": command, "upstream_key_env": "THEIR_KEY", "log_prompts": shown}
    votes = str(tmp_path / "votes")
    with running(**given, hang_seconds=1.0, max_body_mb=1, inspect_mb=1, votes=votes) as stack:
        for what in BREAKS if not shown else ["", "!fail"]:
            ways = {"": 5, "!hang": 1}.get(what, 3)  # a prompter that breaks takes a while to come again
            statuses = [reply.status for reply in ask_all(stack, f"{SECRET} {what}", ways)]
            assert statuses == [200, 200, 400 if what == "!input" else 200, 200, 200][:ways]
        boom = RuntimeError(f"{SECRET} {OWN} {THEIRS} {CLIENTS}")
        with breaking(Proxy, "_read", boom):
            assert ask(stack, CHAT, chat(SECRET), *CREDENTIALS).status == 500
        with breaking(Proxy, "_places", boom):
            assert ask(stack, CHAT, chat(SECRET), *CREDENTIALS).headers["x-promptlift-reason"] == "prompter"
        with breaking(Votes, "add", boom):
            vote = {"model": "m", "prompt": SECRET, "rewrite": SECRET, "answer_raw": SECRET, "answer_rewritten": "x"}
            body = json.dumps({**vote, "winner": "raw", "first": "raw"}).encode()
            assert ask(stack, "/promptlift/votes", body, *CREDENTIALS).status == 500
        for odd in odd_requests():
            assert exchange(stack.port, odd).status < 500
        metrics = ask(stack, "/metrics", b"", *CREDENTIALS, method="GET").body.decode()
    with Echo() as gone:
        url = f"http://127.0.0.1:{gone.port}/v1"
    with serving(url, **given) as (port, server):
        assert ask(Stack(port, gone, server), CHAT, chat(SECRET), *CREDENTIALS).status == 502
    rows = [json.loads(line) for line in log.getvalue().splitlines()]  # each line is an object
    assert sum(row["event"] == "request" for row in rows) > (5 if shown else len(BREAKS))
    assert "RuntimeError" in {row.get("error") for row in rows}
    if not shown:
        assert "UnicodeEncodeError" in {row.get("error") for row in rows}
        assert any(row["event"] == "prompter ended" for row in rows)
    for secret in (OWN, THEIRS, CLIENTS):
        assert secret not in log.getvalue() and secret not in metrics
    assert SECRET not in metrics
    with_prompts = [row for row in rows if SECRET in json.dumps(row)]
    assert bool(with_prompts) == shown and all(row["prompts"] for row in with_prompts)


CREDENTIALS = ("X-Promptlift-Key", OWN), ("Authorization", f"Bearer {CLIENTS}"), ("Content-Type", "application/json")


def ask_all(stack: Stack, text: str, ways: int) -> list[Reply]:
    """A text by so many ways to the prompter, each a little different: none is answered from memory."""
    asked: list[tuple[str, dict[str, Any]]] = [
        (CHAT, {"messages": [{"role": "user", "content": text}]}),
        ("/v1/rewrite", {"prompt": text + " 1", "stream": True}),
        ("/v1/rewrite", {"prompt": text + " 5", "strength": "full"}),
        (RESPONSES, {"input": text + " 2"}),
        (COMPLETIONS, {"prompt": [text + " 3", text + " 4"]}),
    ]
    found = []
    for target, body in asked[:ways]:
        wait_for_the_prompter(stack)
        found.append(ask(stack, target, json.dumps(body).encode(), *CREDENTIALS))
    return found


def wait_for_the_prompter(stack: Stack) -> None:
    stop = time.monotonic() + PATIENCE
    while json.loads(ask(stack, "/readyz", method="GET").body)["prompter"] != "ready":
        assert time.monotonic() < stop
        time.sleep(0.01)


def odd_requests() -> Iterator[list[bytes]]:
    """Requests that are refused or odd, with a secret where it should not be."""
    yield [head("POST", CHAT, *CREDENTIALS, ("X", f"{SECRET}\x00"))]
    yield [head("POST", CHAT, *CREDENTIALS, ("X-Promptlift-Turns", SECRET), ("Content-Length", "0"))]
    yield [head("POST", CHAT, *CREDENTIALS, ("Content-Length", "9999999"))]
    yield [head("POST", CHAT, ("Authorization", f"Bearer {CLIENTS}"))]
    yield [head("POST", CHAT, *CREDENTIALS, ("Transfer-Encoding", "chunked")), f"{SECRET}\r\n".encode()]
    yield [head("GET", f"/v1/models?key={CLIENTS}&q={SECRET}", *CREDENTIALS)]
    for target in ("/v1/rewrite", CHAT, "/promptlift/votes"):
        body = f'{{"{SECRET}": "{SECRET}"'.encode()
        yield [head("POST", target, *CREDENTIALS, ("Content-Length", str(len(body)))) + body]


@contextlib.contextmanager
def breaking(kind: type, method: str, error: Exception) -> Iterator[None]:
    """Let a method raise: a mistake of ours that nobody thought of."""

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, fails)
        yield
