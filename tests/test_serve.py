"""The server in front of an honest upstream: what is rewritten, what is not, and what each side gets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from openai import OpenAI
from serving import ADVICE, Running, Seen, Upstream, running


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as found:
        yield found


@pytest.fixture(scope="module")
def server(upstream: Upstream) -> Iterator[Running]:
    with running(upstream.url, targets={"gpt-*": "one", "gpt-off": False, "exact": "two"}, hang_seconds=2.0) as found:
        yield found


def ask(server: Running, body: Any, path: str = "/v1/chat/completions", **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(server.url + path, content=content, headers={"content-type": "application/json", **named})


def get_raw(server: Running, path: str) -> int:
    """The status of a path that clients would tidy up."""
    request = httpx2.Request("GET", server.url, extensions={"target": path.encode()})
    with httpx2.Client() as client:
        return client.send(request).status_code


def chat(text: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def reason_of(reply: httpx2.Response) -> str | None:
    assert (reply.headers["x-promptlift"] == "rewritten") == ("x-promptlift-reason" not in reply.headers)
    return reply.headers.get("x-promptlift-reason")


def test_only_the_users_text_changes(server: Running, upstream: Upstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = {
        "model": "m", "temperature": 0.10, "n": 2, "logprobs": True, "stop": ["\n\n", "é"], "seed": 12345678901234567890,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "write a poem"},
            {"role": "user", "content": [image, {"type": "text", "text": "a pöem, please", "x": [1]}], "name": "ann"},
        ],
    }  # fmt: skip
    reply = ask(server, body, X_Promptlift_Show="1")
    assert reason_of(reply) is None and float(reply.headers["x-promptlift-ms"]) > 0
    assert unquote(reply.headers["x-promptlift-rewrite"]) == "a pöem, please" + ADVICE
    assert reply.headers["x-own"] == "kept" and reply.content == b'{"ok": true}'
    expected = json.loads(json.dumps(body))
    expected["messages"][1]["content"][1]["text"] += ADVICE
    assert upstream.seen[-1].json == expected
    assert not [name for name in upstream.seen[-1].headers if name.startswith("x-promptlift")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (chat("a !same prompt"), "identity"),
        (chat("x", response_format={"type": "json_object"}), "json"),
        (chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "parts"),
        (chat([{"type": "image_url", "image_url": {"url": "x"}}]), "turn"),
        ({"model": "m", "messages": [{"role": "system", "content": "s"}]}, "turn"),
        ({"model": "m"}, "turn"),
        ({"model": "m", "messages": "text"}, "turn"),
        ({"model": "gpt-off", "messages": [{"role": "user", "content": "a"}]}, "off"),
        ([1, 2], "unreadable"),
        (b"{", "unreadable"),
        (b"", "unreadable"),
        (b'{"messages": ' + b"[" * 5000, "unreadable"),
    ],
)
def test_left_alone_byte_for_byte(server: Running, upstream: Upstream, body: Any, reason: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body, indent=3).encode()
    reply = ask(server, content)
    assert reason_of(reply) == reason and upstream.seen[-1].body == content


@pytest.mark.parametrize(
    ("word", "reason"), [("!die", "prompter"), ("!garbage", "prompter"), ("!foreign", "prompter"), ("!fail", "prompter"), ("!hang", "deadline")]
)  # fmt: skip
def test_fails_open(server: Running, upstream: Upstream, word: str, reason: str) -> None:
    content = json.dumps(chat(f"a prompt {word} {time.monotonic_ns()}"), indent=2).encode()
    began = time.monotonic()
    reply = ask(server, content)
    assert reply.status_code == 200 and reason_of(reply) == reason and upstream.seen[-1].body == content
    assert time.monotonic() - began < 5
    for _ in range(200):  # a new process takes over
        if reason_of(ask(server, chat(f"again {time.monotonic_ns()}"))) is None:
            return
        time.sleep(0.05)
    pytest.fail("the prompter did not come back")


def test_turns(server: Running, upstream: Upstream) -> None:
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "said"},
        {"role": "user", "content": "two"},
    ]

    def sent(turns: str) -> list[str]:
        ask(server, {"model": "m", "messages": messages}, X_Promptlift_Turns=turns)
        return [m["content"] for m in upstream.seen[-1].json["messages"]]

    assert sent("first") == ["one" + ADVICE, "said", "two"]
    assert sent("every") == ["one" + ADVICE, "said", "two" + ADVICE]
    assert sent("never") == ["one", "said", "two"]
    reply = ask(server, {"model": "m", "messages": messages}, X_Promptlift_Turns="some")
    assert reason_of(reply) == "header" and upstream.seen[-1].json["messages"] == messages


def test_a_turn_stays_as_it_was_sent(server: Running, upstream: Upstream) -> None:
    late = f"a !slow prompt {time.monotonic_ns()}"
    slow = [{"role": "user", "content": late}]
    with running(upstream.url, deadline=0.1) as hasty:
        assert reason_of(ask(hasty, {"model": "m", "messages": slow})) == "deadline"
        later = [*slow, {"role": "assistant", "content": "said"}, {"role": "user", "content": "and?"}]
        time.sleep(0.6)  # by now the rewrite is there; but this conversation was begun without it
        reply = ask(hasty, {"model": "m", "messages": later})
        assert reason_of(reply) == "earlier" and upstream.seen[-1].json["messages"] == later
        reply = ask(hasty, {"model": "m", "messages": slow})
        assert reason_of(reply) is None and upstream.seen[-1].json["messages"][0]["content"] == late + ADVICE
        ask(hasty, {"model": "m", "messages": later})
        assert upstream.seen[-1].json["messages"][0]["content"] == late + ADVICE


def test_the_target_follows_from_the_model(server: Running) -> None:
    def target(model: str, **more: str) -> Any:
        reply = httpx2.post(server.url + "/v1/rewrite", json={"prompt": "a poem", "model": model, **more})
        return reply.json()["rewrites"][0]["target"]

    assert target("gpt-9") == "one" and target("exact") == "two" and target("two") == "two"
    assert target("other") is None and target("other", target="one") == "one"
    assert target("gpt-off") is None
    assert (
        httpx2.post(server.url + "/v1/rewrite", json={"prompt": "a", "model": "gpt-off"}).json()["rewrites"][0][
            "reason"
        ]
        == "off"
    )


def test_responses_and_completions(server: Running, upstream: Upstream) -> None:
    ask(server, {"model": "m", "input": "a poem", "instructions": "i"}, "/v1/responses")
    assert upstream.seen[-1].json == {"model": "m", "input": "a poem" + ADVICE, "instructions": "i"}
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call_output", "output": "o"},
    ]
    ask(server, {"model": "m", "input": items}, "/v1/responses")
    assert upstream.seen[-1].json["input"] == [
        {"role": "user", "content": [{"type": "input_text", "text": "a" + ADVICE}]},
        items[1],
    ]
    reply = ask(server, {"model": "m", "input": "a", "previous_response_id": "r"}, "/v1/responses")
    assert reason_of(reply) == "turn"
    reply = ask(server, {"model": "m", "input": "a", "text": {"format": {"type": "json_schema"}}}, "/v1/responses")
    assert reason_of(reply) == "json"
    ask(server, {"model": "m", "prompt": ["a", "b !same"]}, "/v1/completions")
    assert upstream.seen[-1].json["prompt"] == ["a" + ADVICE, "b !same"]
    for body in ({"prompt": "<|im_start|>user\na"}, {"prompt": "a", "suffix": "b"}, {"prompt": "a", "echo": True}):
        assert reason_of(ask(server, body, "/v1/completions")) == "marks"
    assert reason_of(ask(server, {"prompt": [1, 2]}, "/v1/completions")) == "turn"


def test_everything_else_passes(server: Running, upstream: Upstream) -> None:
    reply = httpx2.get(server.url + "/v1/models?a=%20b", headers={"authorization": "Bearer theirs"})
    assert reply.status_code == 200 and "x-promptlift" not in reply.headers
    assert upstream.seen[-1][:2] == ("GET", "/v1/models?a=%20b")
    assert upstream.seen[-1].headers["authorization"] == "Bearer theirs"
    httpx2.post(server.url + "/v1/files", content=iter([b"part one, ", b"part two"]))
    assert upstream.seen[-1].body == b"part one, part two"
    httpx2.delete(server.url + "/api/thing")
    assert upstream.seen[-1][:2] == ("DELETE", "/api/thing")
    get_raw(server, "/v1/a%2Fb/%7e//c?d=%zz&")
    assert upstream.seen[-1].path == "/v1/a%2Fb/%7e//c?d=%zz&"
    before = len(upstream.seen)
    for path in ("/v1/../admin", "/v1/%2e%2e/admin", "/v1/..%2fadmin"):
        assert get_raw(server, path) == 400
    assert len(upstream.seen) == before


def test_a_refused_rewrite_is_asked_again_as_it_was() -> None:
    def reply(seen: Seen) -> tuple[int, bytes]:
        return (400, b"too long") if ADVICE in seen.json["messages"][0]["content"] else (200, b'"fine"')

    with Upstream(reply) as upstream, running(upstream.url) as server:
        content = json.dumps(chat("a poem"), indent=1).encode()
        answer = ask(server, content)
        assert (answer.status_code, answer.content, reason_of(answer)) == (200, b'"fine"', "refused")
        assert [seen.body == content for seen in upstream.seen] == [False, True]
        followed = chat("a poem")
        followed["messages"] += [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
        assert reason_of(ask(server, followed)) == "earlier" and len(upstream.seen) == 3


def test_an_upstream_that_is_not_there() -> None:
    with running("http://127.0.0.1:9/v1") as server:
        reply = ask(server, chat("a"))
        assert reply.status_code == 502 and reply.json()["error"]["code"] == "upstream_unreachable"


def test_sizes_and_encodings(upstream: Upstream) -> None:
    with running(upstream.url, max_body_mb=2, inspect_mb=1) as server:
        large = json.dumps(chat("a poem " + "x" * 1_100_000)).encode()
        assert reason_of(ask(server, large)) == "too-large" and upstream.seen[-1].body == large
        reply = ask(server, b"x" * 2_200_000)
        assert reply.status_code == 413 and reply.json()["error"]["code"] == "too_large"
        reply = ask(server, b"packed", Content_Encoding="gzip")
        assert reason_of(reply) == "encoded" and upstream.seen[-1].body == b"packed"


def test_the_rewrite_endpoint(server: Running) -> None:
    reply = httpx2.post(server.url + "/v1/rewrite", json={"prompt": ["a poem", "a !same"]})
    first, second = reply.json()["rewrites"]
    assert first["rewrite"] == "a poem" + ADVICE and all(check["passed"] for check in first["checks"])
    assert second["reason"] == "identity" and second["checks"] == []
    with httpx2.stream("POST", server.url + "/v1/rewrite", json={"prompt": "a song", "stream": True}) as stream:
        events = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert json.loads(events[0]) == {"index": 0, "piece": "Be vivid."} and events[-1] == "[DONE]"
    assert json.loads(events[1])["rewrite"]["rewrite"] == "a song" + ADVICE
    for bad in ({}, {"prompt": 1}, {"prompt": []}, {"prompt": "a", "other": 1}, {"prompt": "a", "strength": "odd"}):
        reply = httpx2.post(server.url + "/v1/rewrite", json=bad)
        assert reply.status_code == 400 and reply.json()["error"]["type"] == "invalid_request_error"


def test_operations(server: Running) -> None:
    assert httpx2.get(server.url + "/healthz").json() == {"status": "ok"}
    assert httpx2.get(server.url + "/readyz").json()["prompter"] in ("ready", "starting", "down")
    text = httpx2.get(server.url + "/metrics").text
    assert 'promptlift_rewrites_total{outcome="rewritten",reason=""}' in text
    info = httpx2.get(server.url + "/promptlift/info").json()
    assert info["targets"] == ["one", "two"] and set(info["checks"]) >= {"literal", "drift"}
    assert "/v1/chat/completions" in httpx2.get(server.url + "/openapi.json").json()["paths"]


def test_the_page_has_its_policy(server: Running) -> None:
    reply = httpx2.get(server.url + "/")
    assert reply.status_code == 200 and "default-src 'none'" in reply.headers["content-security-policy"]
    for name in ("../app.py", "..%2fapp.py", "app.py", "nothing.js", "%00"):
        assert get_raw(server, f"/page/{name}") in (400, 404)


def test_the_openai_client_and_the_key(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLIFT_API_KEY", "ours")
    monkeypatch.setenv("LLM_KEY", "theirs")
    message = {"role": "assistant", "content": "hello"}
    completion = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    with Upstream(lambda seen: (200, json.dumps(completion).encode())) as llm:
        with running(llm.url, upstream_key_env="LLM_KEY") as server:
            with OpenAI(base_url=server.url + "/v1", api_key="ours", max_retries=0) as client:
                raw = client.chat.completions.with_raw_response.create(
                    model="m", messages=[{"role": "user", "content": "a poem"}]
                )
                assert raw.headers["x-promptlift"] == "rewritten" and raw.parse().choices[0].message.content == "hello"
            assert llm.seen[-1].headers["authorization"] == "Bearer theirs"
            assert ask(server, chat("a"), Authorization="Bearer wrong").status_code == 401
        with running(llm.url) as server:
            assert ask(server, chat("a")).status_code == 401
            assert ask(server, chat("a"), Authorization="Bearer own", X_Promptlift_Key="ours").status_code == 200
            assert llm.seen[-1].headers["authorization"] == "Bearer own"
            assert ask(server, chat("a"), Authorization="Bearer ours").status_code == 200
            assert "authorization" not in llm.seen[-1].headers
            assert httpx2.get(server.url + "/promptlift/info").json()["needs_key"] is True


def test_other_names_and_origins_are_refused(server: Running, upstream: Upstream) -> None:
    before = len(upstream.seen)
    assert ask(server, chat("a"), Host="evil.example").status_code == 403
    assert ask(server, chat("a"), Origin="https://evil.example").status_code == 403
    assert len(upstream.seen) == before
    assert ask(server, chat("a"), Origin=server.url).status_code == 200
    with running(upstream.url, origins=["https://mine.example"]) as other:
        reply = ask(other, chat("a"), Origin="https://mine.example")
        assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == "https://mine.example"
