"""Stage 1 on tiny real models: what it trains, keeps, writes, and how it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from tiny_hf import tiny_model

from promptlift import artifacts, template
from promptlift.base_model import load_base
from promptlift.errors import InputError, ModelError
from promptlift.records import Pair
from promptlift.similarity import cluster
from promptlift.training import sft
from promptlift.training.calibrate import calibrate
from promptlift.training.layout import IGNORED, hash_pairs, tokens_of
from promptlift.training.split import split
from promptlift.training.trainer import SaveOften, completion_loss

pytestmark = pytest.mark.filterwarnings("default")  # the training libraries warn about themselves

TOPICS = ["tea", "rope", "glass", "moon", "salt", "bread", "wind", "paper", "iron", "wool", "sand", "rain"]


def some_pairs(n: int = 24) -> list[Pair]:
    pairs = []
    for i in range(n):
        prompt = f"{TOPICS[i % 12]} {'why' if i < 12 else 'how much is'} {i * 7}"
        light = prompt if i % 4 == 3 else f"{prompt}\n\nGive reasons."
        full = prompt if i % 4 == 3 else f"Explain {prompt} with reasons."
        pairs.append(Pair(str(i), prompt, full, optimized_light=light))
    return pairs


QUICK = sft.StageOneSettings(
    rank=2, epochs=2, batch_size=4, validation=0.25, dtype="float32", dropout=0.0, learning_rate=1e-2
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi"])
def test_a_prompter_folder_comes_out_of_every_family(family: str, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "base", family)
    before = {p.name: p.read_bytes() for p in model.iterdir()}
    settings = sft.StageOneSettings(**{**vars(QUICK), "strengths": ("light", "full"), "epochs": 1})
    manifest = sft.train(some_pairs(), str(model), tmp_path / "out", settings)
    folder = artifacts.load(tmp_path / "out")
    assert folder.manifest.model_dump(mode="json") == manifest.model_dump(mode="json")
    assert {p.name: p.read_bytes() for p in model.iterdir()} == before, "the base stays as it was"
    assert set(manifest.strengths) == {"light", "full"}
    assert 0 <= manifest.threshold <= 1
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "manifest.json", "adapter_model.safetensors", "adapter_config.json",
    }  # fmt: skip
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_training_lowers_the_loss_and_the_saved_lora_gives_the_measured_loss(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    settings = sft.StageOneSettings(**{**vars(QUICK), "epochs": 8})
    pairs = some_pairs()
    manifest = sft.train(pairs, str(base), tmp_path / "out", settings)
    history = [h["eval_loss"] for h in manifest.metrics["history"]]
    assert min(history) < history[0]
    loaded = load_base(str(base), torch.float32)
    model = PeftModel.from_pretrained(loaded.model, str(tmp_path / "out")).eval()
    _, held_out = split(pairs, settings.validation, settings.seed)
    rows = [tokens_of(loaded.tokenizer, p, "light") for p in held_out if not p.is_identity]
    from promptlift.training.trainer import mean_loss

    assert mean_loss(model, rows) == pytest.approx(manifest.metrics["validation_loss_light"], abs=2e-3)


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from promptlift.training import trainer as module

    unbroken = tmp_path / "unbroken"
    sft.train(some_pairs(), str(base), unbroken, QUICK)
    calls = 0
    real = module.completion_loss

    def dies(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 9:  # in the second epoch
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "completion_loss", dies)
    with pytest.raises(KeyboardInterrupt):
        sft.train(some_pairs(), str(base), tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(module, "completion_loss", real)
    sft.train(some_pairs(), str(base), tmp_path / "out", QUICK)
    one, other = (load_file(f / artifacts.ADAPTER) for f in (unbroken, tmp_path / "out"))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-2, atol=1e-3)


def test_loss_is_on_the_completion_alone(base: Path) -> None:
    loaded = load_base(str(base), torch.float32)
    row = tokens_of(loaded.tokenizer, some_pairs()[0], "light")
    question = loaded.tokenizer(template.question(some_pairs()[0].prompt)).input_ids
    assert row["labels"][: len(question)] == [IGNORED] * len(question)
    assert row["labels"][len(question) :] == row["input_ids"][len(question) :]
    assert row["input_ids"][-1] == loaded.tokenizer.eos_token_id
    assert loaded.tokenizer.decode(row["input_ids"][len(question) : len(question) + 1]) == template.YES


def test_padding_and_company_do_not_change_the_loss(base: Path) -> None:
    loaded = load_base(str(base), torch.float32)
    rows = [tokens_of(loaded.tokenizer, p, "light") for p in some_pairs(8)]
    model = loaded.model.eval()

    def batch(some: list[dict[str, list[int]]], width: int) -> dict[str, torch.Tensor]:
        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([r[name] + [fill] * (width - len(r[name])) for r in some])

        mask = torch.tensor([[1] * len(r["labels"]) + [0] * (width - len(r["labels"])) for r in some])
        return {"input_ids": padded("input_ids", 0), "labels": padded("labels", IGNORED), "attention_mask": mask}

    with torch.no_grad():
        together, _ = completion_loss(model, batch(rows, 256), 1.0)
        singles = [completion_loss(model, batch([r], len(r["labels"])), 1.0)[0] for r in rows]
    counts = [sum(label != IGNORED for label in r["labels"]) for r in rows]
    expected = sum(float(s) * n for s, n in zip(singles, counts, strict=True)) / sum(counts)
    assert float(together) == pytest.approx(expected, rel=1e-4)


def test_the_decision_weighs_as_many_tokens_as_asked(base: Path) -> None:
    loaded = load_base(str(base), torch.float32)
    row = tokens_of(loaded.tokenizer, Pair("1", "p", "p"), "light")  # "no" and the end: two labels
    inputs = {k: torch.tensor([v]) for k, v in row.items()} | {"attention_mask": torch.ones(1, len(row["labels"]))}
    with torch.no_grad():
        even, _ = completion_loss(loaded.model, inputs, 1.0)
        heavy, _ = completion_loss(loaded.model, inputs, 1e6)
        logits = loaded.model(input_ids=inputs["input_ids"]).logits[0].log_softmax(-1)
    decision, end = (-float(logits[i - 1, row["input_ids"][i]]) for i in (-2, -1))
    assert float(even) == pytest.approx((decision + end) / 2, rel=1e-4)
    assert float(heavy) == pytest.approx(decision, rel=1e-4)


def test_similar_prompts_share_a_side() -> None:
    prompts = [
        "Write a poem about the sea",
        "write a poem about the sea!",
        "Fix my SQL query please",
        "How do magnets work",
    ]
    labels = cluster(prompts)
    assert labels[0] == labels[1]
    assert len(set(labels)) == 3
    pairs = [Pair(str(i), p, "x") for i, p in enumerate(prompts * 3)]
    for seed in range(5):
        train, held_out = split(pairs, 0.4, seed)
        assert {p.prompt for p in train}.isdisjoint(p.prompt for p in held_out)
        assert len(train) + len(held_out) == len(pairs)
        assert split(pairs, 0.4, seed) == (train, held_out)


def test_the_threshold_changes_at_least_the_share_asked_for() -> None:
    scores = [i / 100 for i in range(100)]
    identity = [i < 40 for i in range(100)]
    found = calibrate(scores, identity, 0.9)
    assert found.changed >= 0.9
    assert found.kept == 1.0
    assert found.auc == 1.0
    with pytest.raises(ValueError, match="at least one"):
        calibrate([0.5], [True], 0.9)


def test_bad_input_is_one_line(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load_base(str(tmp_path / "none.gguf"), torch.float32)
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    with pytest.raises(ModelError) as caught:
        load_base(str(tmp_path / "bad.gguf"), torch.float32)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="leave no validation pair"):
        sft.train([Pair("1", "p", "q", optimized_light="p\n\nq")], str(base), tmp_path / "out", QUICK)


def test_a_side_that_the_pairs_lack_is_one_line(base: Path, tmp_path: Path) -> None:
    settings = sft.StageOneSettings(**{**vars(QUICK), "strengths": ("content",)})
    with pytest.raises(InputError, match="optimized_content must begin with the prompt.*--strengths"):
        sft.train(some_pairs(), str(base), tmp_path / "out", settings)


def test_a_checkpoint_is_saved_when_the_time_has_come() -> None:
    class Control:
        should_save = False

    patient, hasty = SaveOften(seconds=1e6), SaveOften(seconds=0)
    control = Control()
    patient.on_step_end(None, None, control)
    assert not control.should_save
    hasty.on_step_end(None, None, control)
    assert control.should_save


def test_the_manifest_tells_how_it_was_made(base: Path, tmp_path: Path) -> None:
    sft.train(some_pairs(), str(base), tmp_path / "out", sft.StageOneSettings(**{**vars(QUICK), "epochs": 1}), "mine")
    row = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert row["name"] == "mine"
    assert row["training"]["rank"] == 2
    assert row["data_sha256"] == hash_pairs(some_pairs())
    assert row["metrics"]["n_train"] + row["metrics"]["n_validation"] == 24
    assert row["base"]["sha256"]
