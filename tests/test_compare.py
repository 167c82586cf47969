"""Two answers side by side: on a terminal, in a pipe, with failures and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console
from tiny import tiny_llama_gguf

from promptlift.chat import AnswerStream, ChatClient, open_target
from promptlift.chat.base import Ending
from promptlift.compare import side_by_side
from promptlift.errors import TargetError


class Scripted(ChatClient):
    """Says the same pieces to each prompt; None in a script fails, a number waits."""

    name = "scripted"

    def __init__(self, **scripts: list[str | float | None]) -> None:
        self.scripts = scripts
        self.asked: list[tuple[str, int, float, int | None, str | None]] = []
        self.ended: list[str] = []

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        system: str | None = None,
    ) -> AnswerStream:
        self.asked.append((prompt, max_tokens, temperature, seed, system))
        stop = threading.Event()
        return AnswerStream(self.pieces(prompt, stop), stop)

    def pieces(self, prompt: str, stop: threading.Event) -> Generator[str, None, Ending]:
        script = self.scripts[prompt]
        try:
            for piece in script:
                if piece is None:
                    raise TargetError("the target failed")
                if isinstance(piece, str):
                    yield piece
                elif stop.wait(piece):
                    return Ending(None, True)
        finally:
            self.ended.append(prompt)
        return Ending(len(script), False)

    def close(self) -> None:
        pass


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _terminal(width: int, height: int = 30) -> Console:
    return Console(file=Terminal(), force_terminal=True, width=width, height=height, color_system=None, _environ={})


def _pipe(**options: object) -> Console:
    return Console(file=io.StringIO(), _environ={"FORCE_COLOR": "1"}, **options)  # type: ignore[arg-type]


def _written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_plain_text_one_after_the_other() -> None:
    client = Scripted(raw=["Cats ", 0.02, "purr.\n\n\tSo"], better=["\x1b[31mThey", "\x07 do\r\n \x9b2J", "é\ud800"])
    console = _pipe()
    raw, lifted = side_by_side(client, "raw", "better", console, max_tokens=7, temperature=0.5, seed=3, system="s")
    assert _written(console) == (
        f"--- answer to the raw prompt\nCats purr.\n\n\tSo\n--- {raw.describe()}\n\n"
        f"--- answer to the rewritten prompt\n[31mThey do\n 2Jé?\n--- {lifted.describe()}\n\n"
    )
    assert sorted(client.asked) == [("better", 7, 0.5, 3, "s"), ("raw", 7, 0.5, 3, "s")]
    assert (raw.text, raw.tokens, raw.cut) == ("Cats purr.\n\n\tSo", 3, False)
    assert lifted.text.startswith("\x1b[31m")  # shown without control codes, returned as it came
    assert asdict(raw).keys() == {"text", "tokens", "cut", "seconds", "prompt_tokens"}


def test_both_answers_are_asked_for_at_once() -> None:
    client = Scripted(a=[0.3, "A"], b=[0.3, "B"])
    started = time.perf_counter()
    side_by_side(client, "a", "b", _pipe())
    assert time.perf_counter() - started < 0.55


def test_equal_prompts_are_asked_once() -> None:
    client = Scripted(same=["Yes."])
    console = _pipe()
    raw, lifted = side_by_side(client, "same", "same", console)
    assert raw is lifted
    assert len(client.asked) == 1
    assert _written(console).count("answer to the prompt\nYes.") == 1


@pytest.mark.parametrize("width", [80, 120])
def test_a_wide_terminal_shows_two_columns(width: int) -> None:
    console = _terminal(width)
    side_by_side(Scripted(a=["left", 0.15, " end"], b=["right\x1b[2J"]), "a", "b", console)
    lines = _written(console).splitlines()
    assert any("answer to the raw prompt" in line and "answer to the rewritten prompt" in line for line in lines)
    assert any("left end" in line and "right[2J" in line for line in lines)
    assert any("2 tokens" not in line and "1 token, 0.0 s" in line for line in lines)
    assert "\x1b[?25l" in _written(console) and _written(console).rstrip().endswith("\x1b[?25h")


def test_a_narrow_terminal_shows_one_above_the_other() -> None:
    console = _terminal(79)
    side_by_side(Scripted(a=["left"], b=["right"]), "a", "b", console)
    text = _written(console)
    assert not any("left" in line and "right" in line for line in text.splitlines())
    assert text.rindex("left") < text.rindex("right")


def test_a_long_answer_is_whole_in_the_end_and_its_end_is_shown_meanwhile() -> None:
    console = _terminal(80, height=12)
    long = "".join(f"line {n}\n" for n in range(40))
    side_by_side(Scripted(a=[long, 0.25, "done"], b=["short"]), "a", "b", console)
    text = _written(console)
    assert text.count("line 39") >= 2  # while it grew, and in the end
    assert text.count("line 0 ") == 1  # in the end alone
    assert "done" in text


def test_one_failure_stops_the_other_answer() -> None:
    for console in (_pipe(), _terminal(100)):
        client = Scripted(a=["slow ", 30.0], b=[0.05, None])
        started = time.perf_counter()
        with pytest.raises(TargetError, match="the target failed"):
            side_by_side(client, "a", "b", console)
        assert time.perf_counter() - started < 2
        assert sorted(client.ended) == ["a", "b"]
        assert "slow" in _written(console)


@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_stops_both_answers_of_a_real_model(terminal: bool, tmp_path: Path) -> None:
    gguf = tmp_path / "tiny.gguf"
    tiny_llama_gguf(gguf)
    console = _terminal(100) if terminal else _pipe()
    # a shell starts its background jobs with SIGINT ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with open_target("tiny", gguf=gguf, context=2048) as client:
        pressed = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        pressed.start()
        started = time.perf_counter()
        try:
            with pytest.raises(KeyboardInterrupt):
                side_by_side(Slowed(client), "one", "two", console)
        finally:
            pressed.cancel()
            signal.signal(signal.SIGINT, before)
        assert time.perf_counter() - started < 2.5
        assert not [t for t in threading.enumerate() if t.name.startswith("promptlift")]
        assert client.answer("still there?", max_tokens=2).tokens


class Slowed(ChatClient):
    """A client whose answers take their time: a tiny model is done before anyone can press Ctrl-C."""

    def __init__(self, client: ChatClient) -> None:
        self.name = client.name
        self.client = client

    def stream(self, prompt: str, **options: object) -> AnswerStream:
        inner = self.client.stream(prompt, **options)  # type: ignore[arg-type]

        def pieces() -> Generator[str, None, Ending]:
            for piece in inner:
                yield piece
                time.sleep(0.05)
            return Ending(None, False)

        return AnswerStream(pieces(), inner._stop)

    def close(self) -> None:
        self.client.close()


def test_a_real_model_answers_both(tmp_path: Path) -> None:
    gguf = tmp_path / "tiny.gguf"
    tiny_llama_gguf(gguf)
    console = _pipe(width=60)
    with open_target("tiny", gguf=gguf, context=256) as client:
        raw, lifted = side_by_side(client, "why do cats purr", "Explain why cats purr.", console, max_tokens=12)
    assert raw.tokens and lifted.tokens
    assert "\x1b" not in _written(console)
