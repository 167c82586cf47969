"""Target clients: in process and over HTTP on a tiny real model, and against a hostile upstream."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import xllamacpp
from tiny import tiny_llama_gguf

from promptlift.chat import ChatClient, open_target
from promptlift.errors import TargetError

KEY = "sk-verysecret-0123456789abcdef"
CONTEXT = 256


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    tiny_llama_gguf(path)
    return path


@pytest.fixture(scope="module")
def local(gguf: Path) -> Iterator[ChatClient]:
    with open_target("mine", gguf=gguf, context=CONTEXT) as client:
        yield client


@pytest.fixture(scope="module")
def endpoint(gguf: Path) -> Iterator[str]:
    """A real OpenAI-compatible server that wants KEY."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(gguf), {"tiny"}
    params.n_ctx, params.verbosity, params.warmup = CONTEXT, -1, False
    params.api_keys = [KEY]
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


# --- in process ------------------------------------------------------------------------


def test_a_gguf_answers_in_process(local: ChatClient) -> None:
    answer = local.answer("why do cats purr", max_tokens=8, system="Be short.")
    assert answer.text
    assert answer.tokens is not None and 1 <= answer.tokens <= 8
    assert answer.cut == (answer.tokens == 8)
    assert answer.seconds > 0
    assert local.name == "mine"


def test_a_stream_gives_the_same_as_an_answer(local: ChatClient) -> None:
    stream = local.stream("why do cats purr", max_tokens=8)
    pieces = list(stream)
    assert all(pieces)
    assert "".join(pieces) == stream.answer.text == local.answer("why do cats purr", max_tokens=8).text
    assert list(stream) == []


@pytest.mark.parametrize(("finish", "cut"), [("stop", False), ("length", True)])
def test_only_an_answer_at_the_limit_is_cut(
    finish: str, cut: bool, local: ChatClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:  # a random model never ends by itself
        def handle_chat_completions(self, request: dict[str, Any], callback: Callable[[dict[str, Any]], bool]) -> None:
            callback({"choices": [{"delta": {"content": "Yes."}, "finish_reason": None}]})
            callback({"choices": [{"delta": {}, "finish_reason": finish}]})
            callback({"choices": [], "usage": {"completion_tokens": 2}})

    monkeypatch.setattr(local, "_server", Server())
    answer = local.answer("hi")
    assert (answer.text, answer.tokens, answer.cut) == ("Yes.", 2, cut)
    assert answer.describe().endswith("cut") == cut


def test_a_seed_repeats_a_sampled_answer(local: ChatClient) -> None:
    texts = {local.answer("hello", max_tokens=8, temperature=1.5, seed=s).text for s in (1, 1, 1)}
    assert len(texts) == 1


def test_two_threads_are_answered_together(local: ChatClient) -> None:
    found: dict[str, int | None] = {}
    prompts = ["one", "two", "three"]

    def ask(prompt: str) -> None:
        found[prompt] = local.answer(prompt, max_tokens=6).tokens

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(prompts)


def test_a_cancelled_stream_ends_and_says_cut(local: ChatClient) -> None:
    stream = local.stream("tell me a story", max_tokens=CONTEXT)
    first = next(stream)
    stream.cancel()
    assert stream.answer.cut
    assert stream.answer.text.startswith(first)
    assert not [t for t in threading.enumerate() if t.name == "promptlift-answer"]


def test_a_prompt_beyond_the_context_is_one_line(local: ChatClient) -> None:
    with pytest.raises(TargetError, match=rf"has \d+ tokens, target 'mine' can hold {CONTEXT}") as caught:
        local.answer("word " * 500)
    assert "\n" not in str(caught.value)


def test_lone_surrogates_and_nothing_are_prompts_too(local: ChatClient) -> None:
    assert local.answer("a\ud800b \udcff", max_tokens=2).tokens
    assert local.answer("", max_tokens=2).tokens


def test_a_local_target_is_quiet_and_closes(gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    client = open_target(str(gguf), context=CONTEXT)
    assert client.name == "tiny"
    client.answer("hi", max_tokens=2)
    client.close()
    client.close()
    with pytest.raises(TargetError, match="is closed"):
        client.answer("hi")
    assert capfd.readouterr() == ("", "")


def test_a_target_may_be_closed_at_once(gguf: Path) -> None:
    for _ in range(5):  # xllamacpp alone hangs here; see promptlift.chat.local
        open_target("", gguf=gguf, context=CONTEXT).close()


def test_closing_cancels_what_is_in_work(gguf: Path) -> None:
    client = open_target("", gguf=gguf, context=4096)
    stream = client.stream("tell me a story", max_tokens=4000)
    next(stream)
    client.close()
    assert stream.answer.cut


@pytest.mark.parametrize("name", ["embedded", "smollm2"])
def test_the_embedded_model_is_a_target(name: str, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptlift.models.embedded_gguf", lambda: gguf)
    with open_target(name, context=CONTEXT) as client:
        assert client.name == "smollm2"


def test_files_that_are_no_models(gguf: Path, tmp_path: Path) -> None:
    page, cut = tmp_path / "page.gguf", tmp_path / "cut.gguf"
    page.write_bytes(b"<!DOCTYPE html>")
    cut.write_bytes(gguf.read_bytes()[:2000])
    for path, said in [
        (tmp_path / "none.gguf", "No such file"),
        (tmp_path, "can't be read"),
        (page, "is no GGUF: it begins with b'<!DO'"),
        (cut, "can't load"),
    ]:
        with pytest.raises(TargetError, match=said) as caught:
            open_target("", gguf=path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_targets_that_are_none() -> None:
    with pytest.raises(TargetError, match=r"no target 'gpt-9'.*embedded, smollm2.*--base-url"):
        open_target("gpt-9")
    with pytest.raises(TargetError, match="not both"):
        open_target("x", gguf="x.gguf", base_url="http://localhost/v1")
    for url in ("localhost:8080", "ftp://x/v1", "http://", "http://[::1", "http://host:port/v1"):
        with pytest.raises(TargetError, match="must look like"):
            open_target("x", base_url=url)


# --- a real endpoint -------------------------------------------------------------------


def test_an_endpoint_answers_as_in_process(endpoint: str, local: ChatClient) -> None:
    with open_target("tiny", base_url=endpoint) as client:
        answer = client.answer("why do cats purr", max_tokens=8)
        stream = client.stream("why do cats purr", max_tokens=8)
        assert "".join(stream) == answer.text == local.answer("why do cats purr", max_tokens=8).text
        assert (stream.answer.tokens, stream.answer.cut) == (answer.tokens, answer.cut)
        assert client.answer("a\ud800b", max_tokens=2, seed=3, system="Be short.").tokens


def test_an_endpoint_s_only_model_is_found(endpoint: str) -> None:
    with open_target("", base_url=endpoint) as client:
        assert client.name == "tiny"


def test_a_wrong_key_names_the_variable_alone(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", wrong := "sk-wrong-99887766")
    with open_target("tiny", base_url=endpoint, api_key_env="MY_KEY") as client:
        with pytest.raises(TargetError, match="refuses the key in the environment variable MY_KEY") as caught:
            client.answer("hi")
        assert wrong not in str(caught.value) + repr(caught.value) + repr(client) + repr(client.__dict__)
    monkeypatch.delenv("MY_KEY")
    with (
        open_target("tiny", base_url=endpoint, api_key_env="MY_KEY") as client,
        pytest.raises(TargetError, match="wants a key: put it in the environment variable MY_KEY"),
    ):
        next(client.stream("hi"))


def test_an_endpoint_s_context_overflows(endpoint: str) -> None:
    with open_target("tiny", base_url=endpoint, max_retries=0) as client:
        for ask in (client.answer, lambda prompt: client.stream(prompt).answer):
            with pytest.raises(TargetError, match=r"context of 'tiny'.*shorten the prompt"):
                ask("word " * 500)


def test_a_proxy_is_not_asked_for_this_machine(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with open_target("tiny", base_url=endpoint, max_retries=0) as client:
        assert client.answer("hi", max_tokens=2).tokens


# --- a hostile endpoint ----------------------------------------------------------------


def _chunk(text: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


class Upstream(BaseHTTPRequestHandler):
    """Does what the first part of the path says; `asked` counts the requests."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind == "missing":
            self.reply(200, {"data": [{"id": f"model-{n:02}"} for n in range(12)]})
        elif kind == "empty":
            self.reply(200, {"data": []})
        else:
            self.reply(404, "<html>nothing here</html>")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        kind = self.path.split("/")[1]
        Upstream.asked[kind] += 1
        getattr(self, f"do_{kind}", lambda _: self.reply(404, "not found"))(body)

    def do_missing(self, _: dict[str, Any]) -> None:
        self.reply(404, {"error": {"message": "no such model"}})

    def do_busy(self, _: dict[str, Any]) -> None:
        self.reply(429, {"error": {"message": "slow down"}}, {"retry-after-ms": "10"})

    def do_broken(self, _: dict[str, Any]) -> None:
        self.reply(500, "\x1b[31mTraceback\n  line 1\n  line 2" + "x" * 5000, {"retry-after-ms": "10"})

    def do_echo(self, _: dict[str, Any]) -> None:
        said = "x" * 190 + f" headers: {self.headers['authorization']}"
        self.reply(400, {"error": {"message": said}})

    def do_forbidden(self, _: dict[str, Any]) -> None:
        self.reply(403, {"detail": f"key {self.headers['authorization']} may not"})

    def do_page(self, _: dict[str, Any]) -> None:
        self.reply(200, f"<html>{'y' * 40}{KEY} Welcome</html>")

    def do_rubbish(self, _: dict[str, Any]) -> None:
        self.raw(b'{"choices": [{"message": ', "application/json")

    def do_shapeless(self, body: dict[str, Any]) -> None:
        if body.get("stream"):
            self.raw(b'data: 5\n\ndata: {"choices": 7}\n\ndata: [DONE]\n\n')
        else:
            self.reply(200, {"choices": [{"message": {"content": {"a": 1}}}]})

    def do_half(self, _: dict[str, Any]) -> None:
        self.raw(_chunk("Once upon") + _chunk(" a time"))

    def do_torn(self, _: dict[str, Any]) -> None:
        self.raw(_chunk("Once upon") + b"data: {not json\n\n")

    def do_failing(self, _: dict[str, Any]) -> None:
        self.raw(_chunk("Once upon") + b'data: {"error": {"message": "out of memory"}}\n\n')

    def do_hang(self, _: dict[str, Any]) -> None:
        time.sleep(1.5)

    def do_stall(self, _: dict[str, Any]) -> None:
        self.raw(_chunk("Once upon"))
        self.wfile.flush()
        time.sleep(1.5)

    def do_picky(self, body: dict[str, Any]) -> None:
        for name in ("max_tokens", "temperature", "stream_options", "seed"):
            if name in body:
                said = f"Unsupported parameter: '{name}' is not supported with this model."
                return self.reply(400, {"error": {"message": said, "param": name, "code": "unsupported_parameter"}})
        assert body["max_completion_tokens"] == 9
        if body.get("stream"):
            self.raw(_chunk("fine") + _chunk(None, "stop") + b"data: [DONE]\n\n")
        else:
            self.reply(200, {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]})
        return None

    def reply(self, status: int, body: dict[str, Any] | str, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def raw(self, data: bytes, kind: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _fails(client: ChatClient, streamed: bool) -> str:
    with pytest.raises(TargetError) as caught:
        client.stream("hi").answer if streamed else client.answer("hi")
    error = caught.value
    line = str(error)
    assert KEY not in line + repr(error) and "Bearer" not in line.replace("Bearer [key]", "")
    assert line.isprintable() and len(line) <= 500
    return line


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "has no model 'm'; it has model-00, model-01, .*model-07 and 4 more"),
        ("nothing", r"answered 404 \(not found\) for model 'm'; is the URL right\? Most end in /v1"),
        ("busy", r"is at its limit \(429, 2 times\): slow down; wait a while"),
        ("broken", r"answered 500, 2 times: .*Traceback line 1 line 2x"),
        ("echo", "answered 400: x+ headers: Bearer .key.$"),
        ("forbidden", r"denies access with the key in OPENAI_API_KEY \(403\): key Bearer .key. may not"),
        ("page", "can't be understood: .*is the URL right"),
        ("rubbish", "can't be understood|broke off"),
        ("shapeless", "can't be understood: "),
        ("hang", "was silent for 0.4 s, 2 times; look at the server, or allow more time"),
    ],
)
def test_what_an_endpoint_does_wrong_is_one_line(upstream: str, kind: str, said: str, streamed: bool) -> None:
    Upstream.asked.clear()
    with open_target("m", base_url=f"{upstream}/{kind}/v1", timeout=0.4, max_retries=1) as client:
        line = _fails(client, streamed)
    assert line.startswith(f"{upstream}/{kind}/v1 ")
    assert re.search(said, line), line
    assert Upstream.asked[kind] == (2 if kind in ("busy", "broken", "hang") else 1)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("half", "its answer stopped in the middle"),
        ("torn", "can't be understood: JSONDecodeError"),
        ("failing", "failed in the middle of its answer: out of memory"),
        ("stall", "was silent|broke off its answer"),
    ],
)
def test_what_came_before_a_stream_broke_is_given(upstream: str, kind: str, said: str) -> None:
    with open_target("m", base_url=f"{upstream}/{kind}/v1", timeout=0.4, max_retries=0) as client:
        stream = client.stream("hi")
        assert next(stream) == "Once upon"
        with pytest.raises(TargetError, match=said):
            list(stream)
        with pytest.raises(TargetError, match=said):
            stream.answer  # noqa: B018


def test_parameters_that_a_model_refuses_are_left_out(upstream: str) -> None:
    Upstream.asked.clear()
    with open_target("m", base_url=f"{upstream}/picky/v1") as client:
        answer = client.answer("hi", max_tokens=9, seed=1)
        assert (answer.text, answer.tokens, answer.cut) == ("fine", None, False)
        assert client.stream("hi", max_tokens=9, seed=1).answer.text == "fine"
        assert client.answer("hi", max_tokens=9).text == "fine"
        assert vars(client)["refused"] == {"max_tokens", "temperature", "seed", "stream_options"}
    assert Upstream.asked["picky"] == 3 + 4  # each refusal is met once


def test_a_model_must_be_named_where_there_are_several(upstream: str) -> None:
    for kind, said in (("missing", "has model-00, .* name one of them"), ("empty", "has no models"), ("x", "404")):
        with pytest.raises(TargetError, match=said):
            open_target("", base_url=f"{upstream}/{kind}/v1")


def test_a_server_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://me:hunter2@127.0.0.1:{unused.getsockname()[1]}/v1?token=hunter2"
        with open_target("m", base_url=url, max_retries=0) as client:
            line = _fails(client, streamed=False)
            assert "Connection refused" in line and "hunter2" not in line
    with open_target("m", base_url="http://no-such-host.invalid/v1", max_retries=0, timeout=3) as client:
        assert "can't be reached" in _fails(client, streamed=True)


def test_a_key_that_no_header_can_hold_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (KEY + "\nsecond line", KEY + "ü"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(TargetError, match="OPENAI_API_KEY holds characters") as caught:
            open_target("m", base_url="http://localhost:1/v1")
        assert KEY not in str(caught.value)


def test_a_closed_endpoint_says_so(upstream: str) -> None:
    client = open_target("m", base_url=f"{upstream}/picky/v1")
    client.close()
    with pytest.raises(TargetError, match="is closed"):
        client.answer("hi")


def test_importing_the_clients_loads_no_engine() -> None:
    code = (
        "import sys, promptlift.chat, promptlift.compare; print({'openai', 'xllamacpp', 'httpx2'} & set(sys.modules))"
    )
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert done.stdout.strip() == "set()"
