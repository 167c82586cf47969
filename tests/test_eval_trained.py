"""The trained judge: features that depend on what is read and nothing else, and a head that order can't sway."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_hf import WORDS, tiny_model

from promptlift.errors import ArtifactError, InputError, ModelError
from promptlift.evaluation.comparing import Comparison, both_orders
from promptlift.evaluation.judges import open_judge
from promptlift.evaluation.judges.features import FeatureCache, Reader
from promptlift.evaluation.judges.form import NAMES, form_features
from promptlift.evaluation.judges.train import fit, train_judge
from promptlift.evaluation.judges.trained import SETTINGS, WEIGHTS, TrainedJudge
from promptlift.evaluation.labelled import Labelled

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("default")]
from tiny_hf import one_thread  # noqa: E402, F401


def preferences(n: int = 80) -> list[Labelled]:
    """Whoever writes more wins; which side that is changes."""
    found = []
    for k in range(n):
        prompt = f"tell me of {WORDS[k % 26]} {k // 4}"
        long, short = " ".join(WORDS[: 6 + k % 7]), WORDS[k % 26]
        first = k % 2 == 0
        found.append(
            Labelled(str(k), prompt, long if first else short, short if first else long, 1 if first else 2, "made")
        )
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("judge") / "base")


@pytest.fixture(scope="module")
def folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judge") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTLIFT_CACHE", str(out.parent / "cache"))
        train_judge(preferences(), str(base), 1, out)
    return out


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi", "gemma2"])
def test_a_vector_is_that_of_the_layer_and_of_no_neighbour_in_the_batch(tmp_path: Path, family: str) -> None:
    import torch

    from promptlift.base_model import load_base

    at = tiny_model(tmp_path / family, family)
    reads = [("a prompt", "an answer"), ("another", "quite another, longer answer to it"), ("x", "")]
    reader = Reader(str(at), "id", 1, FeatureCache(tmp_path / "f.sqlite"))
    together = reader.features(reads)
    alone = [
        Reader(str(at), "id", 1, FeatureCache(tmp_path / f"{k}.sqlite")).features([r])[0] for k, r in enumerate(reads)
    ]
    np.testing.assert_allclose(together, np.stack(alone), atol=0.03)

    loaded = load_base(str(at), torch.bfloat16)
    before, answer, after = reader._lay_out(reads[0])
    with torch.inference_mode():
        whole = (
            loaded.model(torch.tensor([before + answer + after]), output_hidden_states=True).hidden_states[1][0].float()
        )
    np.testing.assert_allclose(together[0][32:64], whole[-1].numpy(), atol=0.03)
    mean = whole[len(before) : len(before) + len(answer)].mean(0)
    np.testing.assert_allclose(together[0][:32], mean.numpy(), atol=0.03)
    assert together.shape == (3, 64 + len(NAMES))


def test_what_was_read_is_not_read_again(tmp_path: Path, base: Path) -> None:
    cache = FeatureCache(tmp_path / "f.sqlite")
    first = Reader(str(base), "id", 1, cache).features([("p", "a"), ("p", "b")])
    again = Reader(str(tmp_path / "no such base"), "id", 1, cache).features([("p", "b"), ("p", "a")])
    np.testing.assert_array_equal(first, again[::-1])
    with pytest.raises(ModelError):
        Reader(str(tmp_path / "no such base"), "other weights", 1, cache).features([("p", "a")])


def test_the_judge_learns_and_the_order_sways_nothing(folder: Path) -> None:
    judge = TrainedJudge.load(folder)
    rows = preferences(30)
    shown = [Comparison.of(r.prompt, r.answer_1, r.answer_2) for r in rows]
    verdicts = judge.judge(shown)
    assert (
        sum(v is not None and v.winner == ("a" if r.label == 1 else "b") for v, r in zip(verdicts, rows, strict=True))
        > 25
    )
    turned = judge.judge([c.swapped() for c in shown])
    for one, other in zip(verdicts, turned, strict=True):
        assert one is not None and other is not None
        assert {one.winner, other.winner} in ({"a", "b"}, {"tie"})
        assert one.probability == pytest.approx(1 - (other.probability or 0), abs=1e-6)
    assert judge.judge([Comparison.of("p", "same", "same")])[0].winner == "tie"  # type: ignore[union-attr]
    assert both_orders(judge, shown) == shown
    assert json.loads((folder / SETTINGS).read_text())["held_out_accuracy"] > 0.9
    with open_judge(str(folder)) as opened:
        assert opened.name == "trained:mine"


def test_no_constant_and_no_leaning_to_a_side() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4 + len(NAMES))).astype(np.float32)
    labels = (x[:, -1] > 0).tolist()
    groups = [str(k % 20) for k in range(200)]
    found = fit(x, labels, groups)
    turned = fit(-x, [not label for label in labels], groups)
    np.testing.assert_allclose(found.weights, turned.weights, atol=1e-6)
    assert found.accuracy[found.strength] > 0.8


def test_a_damaged_or_foreign_judge_is_told_in_one_line(folder: Path, base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / WEIGHTS).write_bytes(b"short")
    with pytest.raises(ArtifactError, match="can't be read .*train it again"):
        TrainedJudge.load(broken)
    other = tiny_model(tmp_path / "other", "qwen2")
    with pytest.raises(ArtifactError, match="another base"):
        TrainedJudge.load(folder, base=str(other))
    newer = tmp_path / "newer"
    shutil.copytree(folder, newer)
    (newer / SETTINGS).write_text(json.dumps(json.loads((folder / SETTINGS).read_text()) | {"format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        TrainedJudge.load(newer)
    with pytest.raises(InputError, match=r"no judge\.json"), open_judge(str(tmp_path)):
        pass
    with pytest.raises(InputError, match="3 preferences without a tie"):
        train_judge(preferences(3), str(base), 1, tmp_path / "few")
    with pytest.raises(ModelError, match="2 layers .* layer 7 is wanted"):
        train_judge(preferences(), str(base), 7, tmp_path / "deep")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=400))
def test_form_is_finite_for_any_text(prompt: str, answer: str) -> None:
    found = form_features(prompt, answer)
    assert len(found) == len(NAMES) and all(np.isfinite(found))
