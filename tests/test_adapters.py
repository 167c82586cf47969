"""Adapters: folded as by hand, several in one engine, found by name, whole or refused in one line."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tiny import HIDDEN, byte_vocabulary, tiny_llama_gguf, tiny_prompter_folder

from promptlift import Prompter, Rewrite, adapters, artifacts, template
from promptlift.adapters import TENSORS, Adapter, AdapterManifest
from promptlift.artifacts import MANIFEST, PrompterFolder
from promptlift.batch import BatchSettings, rewrite_file
from promptlift.engines import inspect
from promptlift.engines.adapter import head_weight
from promptlift.engines.base import Engine, Sampling, Written
from promptlift.engines.build import engine_gguf
from promptlift.engines.llama import TOP, LlamaEngine
from promptlift.engines.lora import HEAD
from promptlift.engines.slots import Turn
from promptlift.engines.write import Part, write_gguf
from promptlift.errors import ArtifactError, EngineError, InputError, PromptliftError, TargetError
from promptlift.training.settings import StageTwoSettings

Tensors = dict[str, npt.NDArray[Any]]

TOKENS = byte_vocabulary()[0]
VOCABULARY, FIXED = len(TOKENS), [TOKENS.index(template.YES), TOKENS.index(template.NO)]
PROMPTS = ["explain rain", "hi", "list three things about {x} & 42", "a longer prompt " * 20]
RAW = "explain how tides work"
PLAIN, OTHER = "Give the steps in order, the most important first.", "Use a short example for each part of it."


class Made(NamedTuple):
    """A tiny prompter, its base, and its engine-ready file in F32."""

    folder: PrompterFolder
    base: Path
    file: Path


@pytest.fixture(scope="module", autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is read or written."""
    home = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTLIFT_CACHE", str(home / "cache"))
        patch.setenv("PROMPTLIFT_DATA", str(home / "data"))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("adapters")
    base = tiny_llama_gguf(home / "base.gguf")
    folder = tiny_prompter_folder(home / "prompter", base, threshold=0.0)
    return Made(folder, base, engine_gguf(folder, base, cache=home, quantization="F32"))


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> PrompterFolder:
    """A prompter of the test's own, without adapters."""
    return artifacts.load(shutil.copytree(made.folder.path, tmp_path / "prompter", ignore=_no_targets))


def _no_targets(at: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "targets"]


@pytest.fixture(scope="module")
def three(made: Made) -> list[Adapter]:
    """Adapters of three targets that say three different things."""
    return [write(made.folder, f"target-{seed}", factors(seed)) for seed in (1, 2, 3)]


def factors(
    seed: int, rank: int = 4, linear_rank: int = 3, ids: Sequence[int] | None = None, size: float = 0.3
) -> Tensors:
    """Random factors that change the likeliest token nearly everywhere."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> npt.NDArray[np.float16]:
        return random.normal(0, size, shape).astype(np.float16)

    rows = VOCABULARY if ids is None else len(ids)
    found: Tensors = {
        "linear.A": normal(linear_rank, HIDDEN), "linear.B": normal(HIDDEN, linear_rank),
        "head.A": normal(rank, HIDDEN), "head.B": normal(rows, rank),
    }  # fmt: skip
    return found if ids is None else found | {"head.ids": np.array(ids, np.int32)}


def finished(folder: PrompterFolder, target: str, tensors: Tensors, at: Path, **over: Any) -> Path:
    """A whole adapter folder at `at`; `over` goes into its manifest."""
    at.mkdir(parents=True)
    save_file(tensors, at / TENSORS)
    values: dict[str, Any] = {
        "format": adapters.FORMAT, "target": target, "form": "low-rank", "rank": 4, "linear_rank": 3,
        "trunk": folder.trunk, "strengths": ["light"], "fixed": FIXED, "pairs": 20, "loss_before": 2.0,
        "loss_after": 1.5, "created": "2026-11-22", "files": {TENSORS: artifacts.sha256_of(at / TENSORS)},
    }  # fmt: skip
    (at / MANIFEST).write_text(AdapterManifest(**(values | over)).model_dump_json())
    return at


def write(folder: PrompterFolder, target: str, tensors: Tensors, **over: Any) -> Adapter:
    """Make an adapter and put it in its place, as `adapt` does."""
    fresh = adapters.homes(folder)[0] / f".{adapters.slug(target)}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    adapters.place(folder, target, finished(folder, target, tensors, fresh, **over))
    return adapters.find(folder, target)


def one_line(error: PromptliftError, *says: str) -> None:
    assert "\n" not in str(error)
    for part in says:
        assert part in str(error), str(error)


def started(file: Path, slots: int = 1, adapters: Sequence[Adapter] = ()) -> LlamaEngine:
    """One thread of computation: two wait for each other where the machine is busy."""
    return LlamaEngine(file, slots, 1, adapters)


def written_after(prompt: str) -> str:
    return template.question(prompt) + template.YES + template.opening("light")


def work(engine: LlamaEngine, prompt: str, version: str | None, tokens: int = 10) -> tuple[float, str]:
    """Both requests of a rewrite, in one lease."""
    slot = engine.lease(version)
    try:
        score = engine.score(template.question(prompt), slot)
        return round(score, 3), engine.write(written_after(prompt), slot, Sampling(), tokens).text
    finally:
        engine.release(slot)


def logprobs(engine: LlamaEngine, text: str, version: str | None) -> npt.NDArray[np.float64]:
    """Of the token after `text`, for the whole vocabulary."""
    slot = engine.lease(version)
    try:
        request: dict[str, Any] = {"prompt": text, "n_predict": 1, "n_probs": 10**6, "id_slot": slot}
        request["logit_bias"] = [[template.YES, 1000.0]]  # as in LlamaEngine.score
        rows = engine._complete(request)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    finally:
        engine.release(slot)
    found = np.full(VOCABULARY, np.nan)
    for row in rows:
        found[row["id"]] = row["logprob"]
    return found


def merged(file: Path, path: Path, tensors: Tensors, fixed: Sequence[int] = FIXED) -> Path:
    """A copy of an engine-ready file whose head is H W, by the definition: W = I + B_w A_w, H = H₀ + B_h A_h."""
    from gguf.constants import GGMLQuantizationType

    opened = inspect.read(file)
    own = head_weight(opened)
    f = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    rows = tensors.get("head.ids", np.arange(VOCABULARY))
    head = own.astype(np.float64)
    head[rows] = (head[rows] + f["head.B"] @ f["head.A"]) @ (np.eye(HIDDEN) + f["linear.B"] @ f["linear.A"])
    head[list(fixed)] = own[list(fixed)]
    parts = [
        Part(name, t.shape, GGMLQuantizationType(t.kind), partial(iter, (opened.array(name),)))
        for name, t in opened.tensors.items()
        if name != HEAD
    ]
    new = head.astype(np.float32)
    parts.append(Part(HEAD, new.shape, GGMLQuantizationType.F32, partial(iter, (new,))))
    write_gguf(path, [opened.raw(name) for name in opened.fields], parts)
    return path


# --- llama.cpp -------------------------------------------------------------------------


SHAPES: dict[str, Tensors] = {
    "all tokens": factors(5),
    "some tokens": factors(6, ids=[3, *range(40, 120), FIXED[0], 270, 319]),
    "no linear layer": factors(7, linear_rank=0),
    "no head update": factors(8, rank=0),
    "ranks that fill the blocks of Q8_0": factors(9, rank=16, linear_rank=16, size=0.15),
}


@pytest.mark.parametrize(("kind", "close"), [("F32", 0.1), ("Q8_0", 0.4)])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_adapter_is_the_head_merged_by_hand(
    made: Made, folder: PrompterFolder, tmp_path: Path, shape: str, kind: str, close: float
) -> None:
    tensors = SHAPES[shape]
    file = engine_gguf(folder, made.base, cache=tmp_path, quantization=kind)
    adapter = write(folder, "t", tensors)
    loaded, by_hand = started(file, adapters=[adapter]), started(merged(file, tmp_path / "hand.gguf", tensors))
    for prompt in PROMPTS[:3]:
        ours, theirs = (
            logprobs(loaded, written_after(prompt), adapter.version),
            logprobs(by_hand, written_after(prompt), None),
        )
        plain = logprobs(loaded, written_after(prompt), None)
        np.testing.assert_allclose(ours[theirs > -12], theirs[theirs > -12], rtol=0, atol=close)
        assert np.abs(ours - plain).max() > 1
        second, first = np.sort(theirs)[-2:]
        if first - second > 2 * close:
            assert ours.argmax() == theirs.argmax()
        assert work(loaded, prompt, adapter.version)[1] != work(loaded, prompt, None)[1]
    loaded.close(), by_hand.close()


def test_the_decision_is_the_same_with_every_adapter(made: Made, three: list[Adapter]) -> None:
    engine = started(made.file, slots=2, adapters=three)
    for prompt in PROMPTS:
        scores = [work(engine, prompt, version, 1)[0] for version in (None, *engine.adapters)]
        assert scores == pytest.approx([scores[0]] * 4, abs=2e-3)
    engine.close()


def test_tokens_lifted_above_the_decision_do_not_change_it(made: Made, folder: PrompterFolder) -> None:
    """Thirty tokens stand between "yes" and "no", so that llama.cpp names one of the two alone among the first."""
    engine = started(made.file)
    question = template.question(RAW)
    before = logprobs(engine, question, None)
    # the logits give the hidden state away, and with it a factor that sets each token's logit at this place
    head = head_weight(inspect.read(made.file)).astype(np.float64)
    hidden = np.linalg.lstsq(np.column_stack([head, np.ones(VOCABULARY)]), before, rcond=None)[0][:HIDDEN]
    low, high = sorted(before[FIXED])
    assert high - low > 1
    wanted = np.full(VOCABULARY, low - 4)
    wanted[40:70] = (low + high) / 2
    tensors = factors(1, rank=1, linear_rank=0)
    tensors["head.A"] = (hidden / (hidden @ hidden))[None].astype(np.float16)
    tensors["head.B"] = (wanted - before)[:, None].astype(np.float16)
    adapter = write(folder, "lifts", tensors)
    engine.add([adapter])
    after = logprobs(engine, question, adapter.version)
    first = set(np.argsort(-after)[:TOP])
    assert len(first & set(FIXED)) == 1
    assert work(engine, RAW, adapter.version, 1)[0] == pytest.approx(work(engine, RAW, None, 1)[0], abs=5e-3)
    engine.close()


def test_targets_do_not_mix(made: Made, three: list[Adapter]) -> None:
    engine = started(made.file, slots=3, adapters=three)
    asked = [(prompt, version) for prompt in PROMPTS for version in (None, *(a.version for a in three))]
    alone = [work(engine, *one) for one in asked]
    assert len({text for _, text in alone}) > len(asked) / 2
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda one: work(engine, *one), asked * 3)) == alone * 3
    engine.close()


@pytest.mark.timeout(60)
def test_an_adapter_added_while_requests_run_disturbs_none(made: Made, three: list[Adapter]) -> None:
    first, second, third = three
    whole = started(made.file, adapters=three)
    asked = [(prompt, version) for prompt in PROMPTS[:3] for version in (None, first.version)]
    alone = {one: work(whole, *one) for one in asked}
    engine = started(made.file, slots=3, adapters=[first])
    added, running = threading.Event(), threading.Barrier(7)

    def many(number: int) -> int:
        done = 0
        running.wait()
        while done < 4 or not added.is_set():
            one = asked[(number + done) % len(asked)]
            assert work(engine, *one) == alone[one]
            done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        found = [pool.submit(many, number) for number in range(6)]
        running.wait()
        try:
            engine.add([second])
            assert work(engine, PROMPTS[0], second.version) == work(whole, PROMPTS[0], second.version)
            engine.add([second, third])
        finally:
            added.set()
        assert sum(f.result() for f in found) >= 24
    assert engine.adapters == {a.version for a in three}
    for one in [*asked, (PROMPTS[1], third.version)]:
        assert work(engine, *one) == work(whole, *one)
    engine.close(), whole.close()


def test_several_threads_that_add_the_same_load_it_once(
    made: Made, three: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = started(made.file, slots=2)
    starts: list[int] = []
    real = engine._start
    monkeypatch.setattr(engine, "_start", lambda files: starts.append(len(files)) or real(files))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda k: engine.add([three[k % 2]]), range(12)))
    assert starts == [1, 2]
    assert engine.adapters == {three[0].version, three[1].version}
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.add([three[2]])


def texts(prompter: Prompter, target: str | None) -> str:
    """What is written at the first try; random weights write nothing that the guard lets through."""
    pieces = list(prompter.stream(RAW, target))
    last = pieces.pop()
    assert isinstance(last, Rewrite) and last.target == target
    return "".join(map(str, pieces))


def test_an_adapter_replaced_on_disk_is_taken_at_the_next_request(made: Made, folder: PrompterFolder) -> None:
    write(folder, "mine", factors(1))
    with Prompter(folder, started(made.file, slots=2)) as prompter:
        plain, first = texts(prompter, None), texts(prompter, "mine")
        assert plain != first
        assert texts(prompter, "mine") == first
        assert len(prompter.engine.adapters) == 1
        write(folder, "mine", factors(2))
        second = texts(prompter, "mine")
        assert second not in (plain, first)
        write(folder, "other", factors(1))
        assert prompter.targets == ["mine", "other"]
        assert texts(prompter, "other") == first
        assert texts(prompter, "mine") == second
        assert texts(prompter, None) == plain
        adapters.remove(folder, "mine")
        with pytest.raises(TargetError, match="it has: other;"):
            texts(prompter, "mine")


# --- slots -----------------------------------------------------------------------------


@given(
    st.integers(1, 4),
    st.lists(st.one_of(st.sampled_from([None, "a", "b", "c"]).map(lambda a: (a,)), st.integers(0, 3))),
)
def test_a_slot_is_lent_once_and_where_the_adapter_was(slots: int, steps: list[tuple[str | None] | int]) -> None:
    turn, lent = Turn(slots), list[int]()
    free = [(slot, None) for slot in range(slots)]  # by how long they are unused, with what they had
    for step in steps:
        if isinstance(step, tuple) and free:
            (wanted,) = step
            had = [slot for slot, adapter in free if adapter == wanted]
            slot = turn.take(wanted)
            assert slot not in lent
            assert slot == (had[-1] if had else free[0][0])
            assert turn.adapter_of(slot) == wanted
            free = [one for one in free if one[0] != slot]
            lent.append(slot)
        elif isinstance(step, int) and lent:
            slot = lent.pop(step % len(lent))
            turn.give(slot)
            free.append((slot, turn.adapter_of(slot)))
    with pytest.raises(RuntimeError, match="mine"):
        for slot in lent:
            turn.give(slot)
        with turn.all_slots():
            raise RuntimeError("mine")
    assert {turn.take(None) for _ in range(slots)} == set(range(slots)), "an error inside leaves it open"


def test_threads_share_slots() -> None:
    turn, using, most = Turn(3), set[int](), [0]
    guard = threading.Lock()
    alone = threading.Event()

    def uses(number: int) -> None:
        for k in range(60):
            slot = turn.take("abc"[(number + k) % 3])
            try:
                with guard:
                    assert slot not in using and not alone.is_set()
                    using.add(slot)
                    most[0] = max(most[0], len(using))
                if k % 7 == number:
                    threading.Event().wait(0.001)
                with guard:
                    using.remove(slot)
            finally:
                turn.give(slot)

    def closes() -> None:
        for _ in range(20):
            with turn.all_slots():
                alone.set()
                assert not using
                threading.Event().wait(0.0005)
                alone.clear()

    with ThreadPoolExecutor(10) as pool:
        jobs = [pool.submit(uses, n) for n in range(8)] + [pool.submit(closes) for _ in range(2)]
        for job in jobs:
            job.result(timeout=60)
    assert most[0] == 3


def test_who_waits_is_not_passed_over() -> None:
    turn, order = Turn(1), list[str]()
    first = turn.take(None)

    def takes(name: str) -> None:
        slot = turn.take(None)
        order.append(name)
        turn.give(slot)

    with ThreadPoolExecutor(2) as pool:
        for count, name in enumerate(["a", "b"], 1):
            pool.submit(takes, name)
            while len(turn._waiting) < count:
                threading.Event().wait(0.001)
        turn.give(first)
        takes("the one that had it")
    assert order == ["a", "b", "the one that had it"]


def test_all_slots_waits_for_what_is_lent_and_lends_nothing_meanwhile() -> None:
    turn = Turn(2)
    slot = turn.take("a")
    entered, leave, taken = threading.Event(), threading.Event(), threading.Event()

    def closes() -> None:
        with turn.all_slots():
            entered.set()
            leave.wait(30)

    def takes() -> int:
        found = turn.take("b")
        taken.set()
        turn.give(found)
        return found

    with ThreadPoolExecutor(2) as pool:
        closing = pool.submit(closes)
        while not turn._closed:
            threading.Event().wait(0.001)
        taking = pool.submit(takes)  # a slot is free, and still it waits
        early = entered.wait(0.05) or taken.is_set()
        turn.give(slot)
        assert entered.wait(30)
        early = taken.wait(0.05) or early
        leave.set()
        closing.result(30)
        other = taking.result(30)
    assert not early
    assert turn.adapter_of(1 - other) is None and turn.adapter_of(other) == "b"


# --- loading ---------------------------------------------------------------------------


def _edit(at: Path, **values: Any) -> None:
    row = json.loads((at / MANIFEST).read_text()) | values
    (at / MANIFEST).write_text(json.dumps({k: v for k, v in row.items() if v is not ...}))


def _cut(at: Path) -> None:
    data = (at / TENSORS).read_bytes()
    (at / TENSORS).write_bytes(data[: len(data) // 2])


def _flip(at: Path) -> None:
    data = bytearray((at / TENSORS).read_bytes())
    data[-1] ^= 1
    (at / TENSORS).write_bytes(data)


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "cut short": (_cut, (TENSORS, "is cut short or changed", "manifest.json says")),
    "changed": (_flip, (TENSORS, "is cut short or changed")),
    "gone": (lambda at: (at / TENSORS).unlink(), (TENSORS, "is missing")),
    "no hash": (lambda at: _edit(at, files={}), (TENSORS, "manifest.json says None")),
    "another trunk": (lambda at: _edit(at, trunk="0" * 16), ("belongs to another prompter", "0" * 16)),
    "newer": (lambda at: _edit(at, format=99, form="new"), ("has format 99", "pip install --upgrade promptlift")),
    "no form": (lambda at: _edit(at, form=...), (MANIFEST, "form: Field required")),
    "odd form": (lambda at: _edit(at, form="new"), (MANIFEST, "form: Input should be")),
    "a list": (lambda at: (at / MANIFEST).write_text("[1]"), (MANIFEST, "top level")),
    "no JSON": (lambda at: (at / MANIFEST).write_text('{"target": "a'), (MANIFEST, "can't be read")),
    "no text": (lambda at: (at / MANIFEST).write_bytes(b"\xff\xfe\0"), (MANIFEST, "can't be read")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_adapter_is_one_line_and_hides_no_other(folder: PrompterFolder, name: str) -> None:
    breaks, says = BROKEN[name]
    good, bad = write(folder, "good", factors(1)), write(folder, "bad", factors(2))
    breaks(bad.path)
    assert list(adapters.paths(folder)) == ["bad", "good"]
    assert adapters.find(folder, "good") == good
    with pytest.raises(ArtifactError) as caught:
        adapters.find(folder, "bad")
    again = "pip install" if name == "newer" else "promptlift adapt"
    one_line(caught.value, str(bad.path), again, *says)
    assert write(folder, "bad", factors(3)).manifest.target == "bad", "and it can be made again"
    breaks(adapters.find(folder, "bad").path)
    adapters.remove(folder, "bad")
    assert list(adapters.paths(folder)) == ["good"]


def test_an_unknown_target_is_one_line_with_the_list_and_the_command(folder: PrompterFolder) -> None:
    with pytest.raises(TargetError) as caught:
        adapters.find(folder, "gpt-9")
    one_line(caught.value, "tiny-test has no adapter for target 'gpt-9'; it has: none;")
    write(folder, "b:1", factors(1))
    write(folder, "a", factors(1))
    with pytest.raises(TargetError) as caught:
        adapters.find(folder, "gpt-9")
    one_line(caught.value, "it has: a, b:1;", "promptlift adapt --target gpt-9 --gguf MODEL.gguf (or --base-url URL)")
    assert adapters.find(folder, "b:1") == adapters.find(folder, "b-1")


def test_tensors_that_are_not_all_there_are_one_line(folder: PrompterFolder) -> None:
    some = factors(1)
    del some["head.B"], some["linear.A"]
    with pytest.raises(ArtifactError) as caught:
        write(folder, "t", some).tensors()
    one_line(caught.value, TENSORS, "lacks linear.A, head.B", "promptlift adapt")
    adapter = write(folder, "t", factors(1))
    (adapter.path / TENSORS).write_bytes(b"no tensors at all")
    with pytest.raises(ArtifactError) as caught:
        adapter.tensors()
    one_line(caught.value, TENSORS, "can't be read", "promptlift adapt")


UNFIT: dict[str, Tensors] = {
    "hidden size of the head": {"head.A": np.zeros((4, 32), np.float16)},
    "hidden size of the linear layer": {"linear.A": np.zeros((3, 32), np.float16)},
    "rows of the linear layer": {"linear.B": np.zeros((32, 3), np.float16)},
    "rank of the linear layer": {"linear.B": np.zeros((HIDDEN, 2), np.float16)},
    "rank of the head": {"head.B": np.zeros((VOCABULARY, 5), np.float16)},
    "vocabulary": {"head.B": np.zeros((VOCABULARY + 1, 4), np.float16)},
    "a vector": {"head.A": np.zeros(HIDDEN, np.float16)},
    "a number": {"linear.A": np.array(1.0, np.float16)},
    "fewer ids": {"head.ids": np.arange(9, dtype=np.int32)},
    "ids beyond": {"head.ids": np.arange(1, VOCABULARY + 1, dtype=np.int32)},
    "ids below": {"head.ids": np.arange(-1, VOCABULARY - 1, dtype=np.int32)},
    "ids that are no integers": {"head.ids": np.arange(VOCABULARY, dtype=np.float32)},
    "fixed": {},
}


@pytest.fixture(scope="module")
def running(made: Made) -> Iterator[LlamaEngine]:
    engine = started(made.file)
    yield engine
    engine.close()


@pytest.mark.parametrize("name", UNFIT)
def test_tensors_that_do_not_fit_are_one_line_and_the_engine_goes_on(
    running: LlamaEngine, folder: PrompterFolder, name: str
) -> None:
    over = {"fixed": [*FIXED, VOCABULARY]} if name == "fixed" else {}
    adapter = write(folder, f"unfit-{adapters.slug(name.replace(' ', '-'))}", factors(1) | UNFIT[name], **over)
    with pytest.raises(ArtifactError) as caught:
        running.add([adapter])
    one_line(caught.value, str(adapter.path / TENSORS), f"head of {VOCABULARY} tokens and {HIDDEN} numbers")
    assert adapter.version not in running.adapters
    assert work(running, "hi", None)[1]


def test_the_full_form_in_llama_cpp_names_the_engine_that_runs_it(running: LlamaEngine, folder: PrompterFolder) -> None:
    tensors = {
        "linear.weight": np.eye(HIDDEN, dtype=np.float16), "linear.bias": np.zeros(HIDDEN, np.float16),
        "head.weight": np.zeros((VOCABULARY, HIDDEN), np.float16),
    }  # fmt: skip
    adapter = write(folder, "paper", tensors, form="full", rank=0, linear_rank=0)
    assert set(adapter.tensors()) == set(tensors)
    with pytest.raises(EngineError) as caught:
        running.add([adapter])
    one_line(caught.value, "'paper'", "--engine torch", "--form low-rank")
    prompter = Prompter(folder, running)
    with pytest.raises(EngineError, match="--engine torch"):
        prompter.rewrite(RAW, "paper")
    assert prompter.rewrite(RAW).target is None


# --- names and places ------------------------------------------------------------------


@given(st.one_of(st.text(max_size=90), st.from_regex(r"[A-Za-z0-9._:/@+\-]{1,82}", fullmatch=True)))
def test_an_accepted_name_gives_a_safe_folder(target: str) -> None:
    try:
        name = adapters.slug(target)
    except InputError as error:
        one_line(error, "letters, digits and")
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name)
    assert Path(name).name == name and not name.startswith(".")
    assert len(name) == len(target)


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", ".hidden", "-rf", "a\n", "é", "x" * 81, "a\\b", "a*", "~"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        adapters.slug(name)


def test_two_targets_of_one_folder_do_not_replace_each_other(folder: PrompterFolder, tmp_path: Path) -> None:
    first = write(folder, "a:b", factors(1))
    for refused in (
        lambda: write(folder, "a-b", factors(2)),
        lambda: adapters.place_of(folder, "a/b"),
    ):
        with pytest.raises(InputError) as caught:
            refused()
        one_line(caught.value, "'a:b'", "choose another name", "promptlift targets remove a:b")
    assert adapters.find(folder, "a:b") == first
    assert write(folder, "a:b", factors(3)).version != first.version
    adapters.remove(folder, "a:b")
    assert write(folder, "a-b", factors(2)).manifest.target == "a-b"


def test_adapt_refuses_the_folder_of_another_target_before_it_trains(folder: PrompterFolder) -> None:
    from promptlift.training.adapt import adapt

    write(folder, "a:b", factors(1))
    with pytest.raises(InputError, match="folder of target 'a:b'"):
        adapt(folder, "a-b", [], StageTwoSettings())


class Killed(BaseException):
    """The process ends here."""


STEPS = 8


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("step", range(STEPS))
def test_killed_at_any_moment_the_old_or_the_new_adapter_is_there(
    folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch, step: int, late: bool
) -> None:
    """`step` counts what is done to the disk, each file that rmtree deletes too; `late` dies just after it."""
    old = write(folder, "a:b", factors(1))
    fresh = finished(folder, "a:b", factors(2), old.path.with_name(".a-b.new"))
    new = replace(old, manifest=AdapterManifest.model_validate_json((fresh / MANIFEST).read_text()))
    left = [step]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not late:
                raise Killed
            found = real(*args, **options)
            if left[0] < 0:
                raise Killed
            return found

        return call

    def rmtree(path: Path, ignore_errors: bool = False) -> None:
        if not path.exists():
            return
        for file in sorted(path.iterdir()):
            dying(Path.unlink)(file)
        dying(Path.rmdir)(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(shutil, "rmtree", rmtree)
        try:
            adapters.place(folder, "a:b", fresh)
        except Killed:
            pass
        else:
            assert left[0] >= 0
    found = adapters.find(folder, "a:b")
    assert found.version in (old.version, new.version)
    assert list(adapters.paths(folder)) == ["a:b"]
    found.tensors()
    # It goes on from there, or is removed, without a trace of what was before.
    last = write(folder, "a:b", factors(3))
    assert adapters.find(folder, "a:b").version == last.version
    assert [at.name for at in last.path.parent.iterdir()] == ["a-b"]


def test_a_kill_is_tried_at_every_step(folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "t", factors(1))
    done: list[str] = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda path, to: done.append("rename") or rename(path, to))
    write(folder, "t", factors(2))
    assert len(done) + len([TENSORS, MANIFEST, "the folder"]) < STEPS


def test_a_removed_adapter_does_not_come_back(folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(folder, "t", factors(1))
    shutil.copytree(first.path, first.path.with_name(".t.old"))  # a `place` that was killed at its end leaves it
    assert adapters.remove(folder, "t") == first.path
    assert adapters.paths(folder) == {}
    write(folder, "t", factors(1)).path.rename(first.path.with_name(".t.old"))  # and one that was killed in between
    assert list(adapters.paths(folder)) == ["t"]
    adapters.remove(folder, "t")
    assert adapters.paths(folder) == {} and list(first.path.parent.iterdir()) == []
    with pytest.raises(TargetError) as caught:
        adapters.remove(folder, "t")
    one_line(caught.value, "no adapter for target 't'; it has: none")


def test_what_is_not_finished_is_not_found(folder: PrompterFolder) -> None:
    home = adapters.homes(folder)[0]
    finished(folder, "t", factors(1), home / ".t.new")
    finished(folder, "t", factors(1), home / ".t.training-0123456789ab")
    (home / "empty").mkdir()
    assert adapters.paths(folder) == {}


@pytest.fixture
def shipped(folder: PrompterFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PrompterFolder:
    """A prompter that comes with the package, with an adapter for `both`; the user has none yet."""
    monkeypatch.setattr(adapters, "BUILTIN", tmp_path / "package")
    monkeypatch.setenv("PROMPTLIFT_DATA", str(tmp_path / "data"))
    finished(folder, "both", factors(1), folder.path / "targets" / "both")
    return artifacts.load(shutil.copytree(folder.path, tmp_path / "package" / "ours"))


def test_the_user_s_own_adapter_comes_first_and_only_that_can_be_removed(shipped: PrompterFolder) -> None:
    theirs = adapters.find(shipped, "both")
    with pytest.raises(TargetError) as caught:
        adapters.remove(shipped, "both")
    one_line(caught.value, "'both' comes with the package and can't be removed", str(theirs.path))
    mine = write(shipped, "both", factors(2))
    assert mine.path.is_relative_to(adapters.data_folder()) and mine.version != theirs.version
    adapters.remove(shipped, "both")
    assert not mine.path.exists() and adapters.find(shipped, "both") == theirs


def test_the_user_s_own_adapter_is_taken_in_a_running_process(shipped: PrompterFolder) -> None:
    prompter = Prompter(shipped, Scribe())
    theirs = prompter.adapter("both")
    mine = write(shipped, "both", factors(2))
    assert prompter.adapter("both") == mine != theirs
    adapters.remove(shipped, "both")
    assert prompter.adapter("both") == theirs


# --- which adapter a rewrite goes through ----------------------------------------------


class Scribe(Engine):
    """Writes OTHER through any adapter and PLAIN through none."""

    slots = 1

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.leased: list[str | None] = []

    @property
    def adapters(self) -> frozenset[str]:
        return frozenset(self.loaded)

    def add(self, adapters: Sequence[Adapter]) -> None:
        self.loaded += [adapter.version for adapter in adapters]

    def lease(self, adapter: str | None = None) -> int:
        assert adapter is None or adapter in self.loaded
        self.leased.append(adapter)
        return 0

    def release(self, slot: int) -> None:
        """One slot: nothing waits."""

    def score(self, question: str, slot: int) -> float:
        return 1.0

    def write(
        self, prefix: str, slot: int, sampling: Sampling, max_tokens: int,
        on_text: Callable[[str], bool] | None = None, until: str | None = None,
    ) -> Written:  # fmt: skip
        return Written(OTHER if self.leased[-1] else PLAIN, True, 12)

    def close(self) -> None:
        """Nothing to free."""


def test_a_rewrite_goes_through_its_target_s_adapter(folder: PrompterFolder) -> None:
    adapter = write(folder, "t", factors(1))
    engine = Scribe()
    with Prompter(folder, engine) as prompter:
        assert prompter.rewrite(RAW).rewrite == f"{RAW}\n\n{PLAIN}"
        found = prompter.rewrite(RAW, "t")
        assert (found.rewrite, found.target) == (f"{RAW}\n\n{OTHER}", "t")
        assert engine.loaded == [adapter.version] == engine.leased[1:]


def test_an_adapter_that_is_worse_than_none_is_not_used(folder: PrompterFolder) -> None:
    adapter = write(folder, "t", factors(1), standing="worse", why="lift -4 against none")
    engine = Scribe()
    with Prompter(folder, engine) as prompter:
        assert prompter.adapter("t") is None
        plain, found = prompter.rewrite(RAW), prompter.rewrite(RAW, "t")
        assert replace(found, target=None, seconds=0) == replace(plain, seconds=0)
        assert found.changed and found.target == "t"
        assert engine.loaded == [] and engine.leased == [None, None]
    engine = Scribe()
    with Prompter(folder, engine, unproven=True) as prompter:
        assert prompter.adapter("t") == adapter
        assert prompter.rewrite(RAW, "t").rewrite == f"{RAW}\n\n{OTHER}"


def test_what_an_adapter_is_worth_is_marked_and_counts_at_the_next_request(folder: PrompterFolder) -> None:
    before = write(folder, "t", factors(1))
    with Prompter(folder, Scribe()) as prompter:
        assert prompter.adapter("t") == before
        marked = adapters.mark(folder, "t", "worse", "lift -4 (-8 to 0), n = 100")
        assert adapters.find(folder, "t") == marked and marked.version == before.version
        assert (marked.manifest.standing, marked.manifest.why) == ("worse", "lift -4 (-8 to 0), n = 100")
        assert prompter.adapter("t") is None
        assert adapters.mark(folder, "t", "unmeasured", None) == before == prompter.adapter("t")
    with pytest.raises(TargetError, match="no adapter for target 'x'"):
        adapters.mark(folder, "x", "worse", None)


def test_an_adapter_is_used_for_the_strengths_that_it_learnt(folder: PrompterFolder) -> None:
    both = replace(folder, manifest=folder.manifest.model_copy(update={"strengths": ["light", "content"]}))
    adapter = write(folder, "t", factors(1))
    engine = Scribe()
    with Prompter(both, engine) as prompter:
        prompter.rewrite(RAW, "t", strength="content"), prompter.rewrite(RAW, "t", strength="light")
    assert engine.leased == [None, adapter.version]


def test_the_adapter_s_own_list_of_proven_advice_counts(folder: PrompterFolder) -> None:
    careful = replace(folder, manifest=folder.manifest.model_copy(update={"proven": [r"\bsteps\b"]}))
    write(folder, "free", factors(1))
    write(folder, "own", factors(2), proven=[r"\bexample\b"])
    write(folder, "strict", factors(3), proven=[r"\bpoem\b"])
    write(folder, "worse", factors(3), proven=[r"\bexample\b"], standing="worse")
    with Prompter(careful, Scribe()) as prompter:
        found = {target: prompter.rewrite(RAW, target) for target in (None, "free", "own", "strict", "worse")}
    assert {target: one.reason for target, one in found.items()} == {
        None: None, "free": None, "own": None, "strict": "unproven", "worse": None,
    }  # fmt: skip
    assert found["worse"].rewrite == found[None].rewrite != found["own"].rewrite
    with Prompter(careful, Scribe(), unproven=True) as prompter:
        assert prompter.rewrite(RAW, "strict").changed, "advice of every kind is given"


def test_a_file_is_not_finished_with_another_adapter(folder: PrompterFolder, tmp_path: Path) -> None:
    write(folder, "t", factors(1))
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text(f"{RAW}\nexplain how rainbows form\nexplain how glass is made\n")

    def dies(done: int, total: int) -> None:
        if done == 1:
            raise Killed

    with Prompter(folder, Scribe()) as prompter:
        with pytest.raises(Killed):
            rewrite_file(prompter, source, output, BatchSettings("t"), dies)
        write(folder, "t", factors(2))
        with pytest.raises(InputError, match="--restart"):
            rewrite_file(prompter, source, output, BatchSettings("t"))
        write(folder, "t", factors(1))
        assert rewrite_file(prompter, source, output, BatchSettings("t"))["resumed"] == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6), st.sets(st.integers(0, 19)))
def test_folding_is_the_product(seed: int, rank: int, linear_rank: int, some: set[int]) -> None:
    """H W − H₀ by the definition, zero in the rows that are left alone."""
    random = np.random.default_rng(seed)
    v, d, ids = 20, 8, sorted(some)
    head = random.normal(size=(v, d)).astype(np.float32)
    f = {
        "linear.A": random.normal(size=(linear_rank, d)), "linear.B": random.normal(size=(d, linear_rank)),
        "head.A": random.normal(size=(rank, d)), "head.B": random.normal(size=(len(ids), rank)),
    }  # fmt: skip
    tensors = {name: tensor.astype(np.float32) for name, tensor in f.items()} | {"head.ids": np.array(ids, np.int32)}
    down, up = adapters.fold(tensors, head, [2, 5])
    wanted = np.zeros((v, d))
    wanted[ids] = (head[ids] + f["head.B"] @ f["head.A"]) @ (np.eye(d) + f["linear.B"] @ f["linear.A"]) - head[ids]
    wanted[[2, 5]] = 0
    assert down.shape == (rank + linear_rank, d) and up.shape == (v, rank + linear_rank)
    np.testing.assert_allclose(up @ down, wanted, rtol=1e-3, atol=1e-3)
