"""The engines on a tiny real model: llama.cpp and torch say the same, and slots do not mix."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny import tiny_llama_gguf, tiny_prompter_folder

from promptlift import template
from promptlift.artifacts import PrompterFolder
from promptlift.engines.base import ContextOverflowError, Sampling
from promptlift.engines.build import engine_gguf
from promptlift.engines.llama import LlamaEngine
from promptlift.errors import EngineError

PROMPTS = ["explain rain", "hi", "list three things about {x} & 42", "a longer prompt " * 20]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrompterFolder, Path, Path]:
    home = tmp_path_factory.mktemp("engines")
    base = tiny_llama_gguf(home / "base.gguf")
    folder = tiny_prompter_folder(home / "prompter", base)
    return folder, base, engine_gguf(folder, base, cache=home, quantization="F32")


@pytest.fixture(scope="module")
def engine(made: tuple[PrompterFolder, Path, Path]) -> Iterator[LlamaEngine]:
    engine = LlamaEngine(made[2], slots=3)
    yield engine
    engine.close()


def prefix(prompt: str) -> str:
    return template.question(prompt) + template.YES + template.opening("light")


def ascii_of(text: str) -> str:
    """Random weights write bytes that are no UTF-8, and each engine mends them in its own way."""
    return "".join(char for char in text if char.isascii())


def test_llama_and_torch_agree(made: tuple[PrompterFolder, Path, Path], engine: LlamaEngine) -> None:
    pytest.importorskip("torch")
    from promptlift.engines.torch import TorchEngine

    folder, base, _ = made
    reference = TorchEngine(folder, base=str(base))
    for prompt in PROMPTS:
        question = template.question(prompt)
        assert engine.score(question, 0) == pytest.approx(reference.score(question, 0), abs=2e-2)
        ours = engine.write(prefix(prompt), 0, Sampling(), 12)
        theirs = reference.write(prefix(prompt), reference.lease(), Sampling(), 12)
        reference.release(0)
        assert ascii_of(ours.text) == ascii_of(theirs.text)
        assert ours.finished == theirs.finished
    reference.close()


def test_scores_are_shares(engine: LlamaEngine) -> None:
    scores = [engine.score(template.question(p), 0) for p in PROMPTS]
    assert all(0 <= s <= 1 for s in scores)
    assert len(set(scores)) > 1


def test_streamed_text_is_the_text(engine: LlamaEngine) -> None:
    pieces: list[str] = []
    streamed = engine.write(prefix("hi"), 1, Sampling(), 20, lambda piece: bool(pieces.append(piece)))
    whole = engine.write(prefix("hi"), 1, Sampling(), 20)
    assert streamed.text == "".join(pieces)
    assert ascii_of(streamed.text) == ascii_of(whole.text)


def test_a_stream_stops_when_told(engine: LlamaEngine) -> None:
    pieces: list[str] = []

    def two(piece: str) -> bool:
        pieces.append(piece)
        return len(pieces) == 2

    assert not engine.write(prefix("hi"), 1, Sampling(1.5), 60, two).finished
    assert len(pieces) <= 3


def test_writing_ends_at_a_given_text_in_both_engines(
    made: tuple[PrompterFolder, Path, Path], engine: LlamaEngine
) -> None:
    pytest.importorskip("torch")
    from promptlift.engines.torch import TorchEngine

    folder, base, _ = made
    whole = engine.write(prefix("hi"), 1, Sampling(), 12).text
    end = next(char for char in whole[2:] if char.isascii() and char.isprintable())
    reference = TorchEngine(folder, base=str(base))
    ours = engine.write(prefix("hi"), 1, Sampling(), 12, until=end)
    theirs = reference.write(prefix("hi"), reference.lease(), Sampling(), 12, until=end)
    reference.close()
    assert ascii_of(ours.text) == ascii_of(theirs.text) == ascii_of(whole.partition(end)[0])
    assert ours.finished and theirs.finished


def test_what_a_callback_raises_reaches_the_caller(engine: LlamaEngine) -> None:
    def breaks(piece: str) -> bool:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        engine.write(prefix("hi"), 1, Sampling(1.5), 20, breaks)
    assert engine.write(prefix("hi"), 1, Sampling(), 4).tokens > 0


def test_slots_do_not_mix(engine: LlamaEngine) -> None:
    def work(prompt: str) -> str:
        slot = engine.lease()
        try:
            engine.score(template.question(prompt), slot)
            return engine.write(prefix(prompt), slot, Sampling(), 12).text
        finally:
            engine.release(slot)

    alone = {p: work(p) for p in PROMPTS}
    with ThreadPoolExecutor(8) as pool:
        for prompt, text in zip(PROMPTS * 4, pool.map(work, PROMPTS * 4), strict=True):
            assert text == alone[prompt]


def test_too_long_a_prompt_is_told_apart(engine: LlamaEngine) -> None:
    with pytest.raises(ContextOverflowError):
        engine.score("x y " * 5_000, 0)
    assert engine.score(template.question("hi"), 0) >= 0


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(EngineError, match="promptlift setup"):
        LlamaEngine(tmp_path / "bad.gguf")


def test_opening_and_closing_at_once_does_not_hang(made: tuple[PrompterFolder, Path, Path]) -> None:
    for _ in range(5):
        LlamaEngine(made[2]).close()
