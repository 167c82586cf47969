"""`promptlift serve` as users run it: the embedded prompter, in front of llama.cpp's own server, with OpenAI's clients."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx2
import pytest
from openai import BadRequestError, OpenAI

from promptlift.models import embedded_gguf

POEM = "write a poem about the last train home"
CLIENTS = Path(__file__).parent / "clients"
LLAMA = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_parallel, params.n_ctx, params.port, params.verbosity, params.ui = 2, 4096, 0, -1, False
server = xllamacpp.Server(params)
server.handle_metrics()
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class Real(NamedTuple):
    """A running `promptlift serve`."""

    url: str
    process: subprocess.Popen[str]
    log: Path


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """llama.cpp's server on the embedded model."""
    with subprocess.Popen(
        [sys.executable, "-c", LLAMA, str(embedded_gguf())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip() + "/v1"
        process.kill()


def start(llama: str, log: Path, *options: str) -> Real:
    command = [sys.executable, "-m", "promptlift", "serve", "--upstream", llama, "--port", "0", *options]
    with log.open("w") as sink:
        process = subprocess.Popen(command, stderr=sink, stdout=subprocess.DEVNULL, text=True)
    while process.poll() is None:
        if found := re.search(r"promptlift: (http://\S+)/v1 in front", log.read_text()):
            return Real(found[1], process, log)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def real(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    found = start(llama, tmp_path_factory.mktemp("serve") / "log")
    yield found
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(30) == 0


@pytest.fixture(scope="module")
def client(real: Real) -> Iterator[OpenAI]:
    with OpenAI(base_url=real.url + "/v1", api_key="none", max_retries=0) as found:
        yield found


def user(text: Any) -> Any:
    return [{"role": "user", "content": text}]


def test_a_prompt_is_rewritten_on_its_way(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="local", messages=user(POEM), max_tokens=8, temperature=0, extra_headers={"X-Promptlift-Show": "1"}
    )
    assert raw.headers["x-promptlift"] == "rewritten"
    shown = unquote(raw.headers["x-promptlift-rewrite"])
    assert shown.startswith(POEM + "\n\n")
    # the same as asking the upstream with that text
    direct = client.chat.completions.create(
        model="local", messages=user(shown), max_tokens=8, temperature=0, extra_headers={"X-Promptlift-Turns": "never"}
    )
    assert raw.parse().choices[0].message.content == direct.choices[0].message.content
    assert raw.parse().usage.prompt_tokens == direct.usage.prompt_tokens  # type: ignore[union-attr]


def test_streams_and_what_else_a_request_can_hold(client: OpenAI) -> None:
    whole = client.chat.completions.create(
        model="local", messages=user(POEM), max_tokens=10, temperature=0, logprobs=True, top_logprobs=2, stop=["\n\n\n"]
    )
    assert whole.choices[0].logprobs is not None
    chunks = list(
        client.chat.completions.create(model="local", messages=user(POEM), max_tokens=10, temperature=0, stream=True)
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    asked = client.chat.completions.with_raw_response.create(
        model="local", messages=user(POEM), max_tokens=20, response_format={"type": "json_object"}
    )
    assert asked.headers["x-promptlift-reason"] == "json"
    assert client.completions.create(model="local", prompt="Once upon", max_tokens=3).choices[0].text
    assert client.models.list().data


def test_the_upstream_finds_its_prefix_again(client: OpenAI) -> None:
    first = client.chat.completions.create(model="local", messages=user(POEM), max_tokens=8, temperature=0)
    assert first.usage is not None
    messages = [*user(POEM), {"role": "assistant", "content": first.choices[0].message.content}, *user("Go on.")]
    later = client.chat.completions.create(model="local", messages=messages, max_tokens=2, temperature=0)
    assert later.usage is not None and later.usage.prompt_tokens_details is not None
    # all of the rewritten first turn was still in the upstream's cache: it came in the same bytes
    assert (later.usage.prompt_tokens_details.cached_tokens or 0) >= first.usage.prompt_tokens - 2


def test_the_upstreams_errors_are_its_own(client: OpenAI, llama: str) -> None:
    with pytest.raises(BadRequestError) as error:
        client.chat.completions.create(model="local", messages=[{"role": "odd", "content": 5}])  # type: ignore[list-item]
    direct = httpx2.post(llama + "/chat/completions", json={"messages": [{"role": "odd", "content": 5}]})
    assert direct.status_code == 400 and error.value.body == direct.json()["error"]


def test_the_page_and_the_rewrite(real: Real) -> None:
    assert "<title>" in httpx2.get(real.url + "/").text
    (row,) = httpx2.post(real.url + "/v1/rewrite", json={"prompt": POEM}).json()["rewrites"]
    assert row["changed"] and row["prompter"].startswith("tiny@") and len(row["checks"]) == 11
    (row,) = httpx2.post(real.url + "/v1/rewrite", json={"prompt": "What is 2 + 2? Number only."}).json()["rewrites"]
    assert row["reason"] == "identity"


def test_the_javascript_client(real: Real) -> None:
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules").exists():
        pytest.skip("needs node, and: npm --prefix tests/clients install")
    run = subprocess.run(
        [node, "openai.mjs", real.url + "/v1", POEM],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(run.stdout)
    assert found["outcome"] == "rewritten" and found["models"]
    assert found["streamed"] == found["answer"] and found["chunks"] > 5


def test_a_stop_finishes_what_is_running(llama: str, tmp_path: Path) -> None:
    server = start(llama, tmp_path / "log", "--turns", "never")
    body = {"model": "local", "messages": user(POEM), "max_tokens": 60, "stream": True, "ignore_eos": True}
    with httpx2.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]" and len(rest) > 50
    assert server.process.wait(30) == 0
    log = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert log[-1]["event"] == "stopped"
    (told,) = [row for row in log if row["event"] == "request"]
    assert told["reason"] == "off" and "last train" not in server.log.read_text()


def test_a_prompter_that_is_not_there_is_one_line(llama: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "promptlift", "serve", "--upstream", llama, "--port", "0", "--prompter", "nobody"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 1 and "no prompter 'nobody'" in run.stderr and "Traceback" not in run.stderr
