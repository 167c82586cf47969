"""Stage 2 against the plain loop: time, memory, held-out loss, size on disk. Needs the extra `train`.

    python benchmarks/adapt.py data/pairs/pairs.jsonl --pairs 1000 --epochs 10 --plain-epochs 2
    python benchmarks/adapt.py data/pairs/pairs.jsonl --shape phi2 --pairs 24 --epochs 10 --plain-epochs 1

The plain loop is SFTTrainer with the trunk frozen: the same adapter in the head's place, the trunk run at each
step, logits at every position. Its epochs cost the same each, so it is timed over --plain-epochs and scaled up.
Every run is a process of its own, one after the other, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

RUNS: dict[str, dict[str, Any]] = {
    "first": {},  # runs the trunk; all others find the features
    "again": {"rank": 32, "linear_rank": 32, "seed": 1},
    "4096": {"vocabulary": 4096},
    "all-tokens": {"vocabulary": 0},
    "full": {"form": "full"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--plain-epochs", type=int, default=2)
    parser.add_argument("--shape", choices=("tiny", "phi2"), default="tiny", help="phi2: random weights of that shape")
    parser.add_argument("--only", help="a comma-separated list of runs, or 'plain'")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print("RESULT " + json.dumps(_one(options)))
        return
    found: dict[str, Any] = {"cores": os.cpu_count(), "pairs": options.pairs, "epochs": options.epochs}
    with tempfile.TemporaryDirectory() as cache:
        names = [*RUNS, "plain"] if options.only is None else options.only.split(",")
        for name in names:
            command = [sys.executable, __file__, *sys.argv[1:], "--run", name, "--cache", cache]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))[7:])
            found[name] = row
            print(name, json.dumps(row), file=sys.stderr, flush=True)
    if "plain" in found:
        plain = found["plain"]
        whole = plain["seconds_per_epoch"] * options.epochs + plain["start_seconds"]
        found["plain"]["seconds"] = round(whole, 1)
        for name in RUNS:
            if name in found:
                found[name]["plain_over_this"] = round(whole / found[name]["seconds"], 1)
                if name != "first" and "first" in found:
                    both = found[name]["seconds"] + found["first"]["features_seconds"]
                    found[name]["plain_over_this_and_features"] = round(whole / both, 1)
                ours = found[name]["training_peak_mb"] - found[name]["imports_mb"]
                found[name]["memory_over_plain"] = round(ours / (plain["training_peak_mb"] - plain["imports_mb"]), 3)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _one(options: argparse.Namespace) -> dict[str, Any]:
    started = time.perf_counter()
    import torch
    import transformers  # noqa: F401 - its import is part of every run
    from trl import SFTTrainer  # noqa: F401

    from promptlift.records import read_pairs
    from promptlift.training.settings import StageTwoSettings

    imports = _peak()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pairs = [pair for pair in read_pairs(options.file) if not pair.is_identity][: options.pairs]
    settings = StageTwoSettings(epochs=options.epochs, patience=options.epochs, most_loss=None)
    row: dict[str, Any] = {"imports_mb": imports}
    if options.run == "plain":
        return row | _plain(options, pairs, settings, started)
    return row | _ours(options, pairs, replace(settings, **RUNS[options.run]), started)


def _trunk(options: argparse.Namespace) -> Any:
    from promptlift import artifacts
    from promptlift.training.trunk import load_trunk, trunk_of

    if options.shape == "tiny":
        return load_trunk(artifacts.load())
    import torch
    from transformers import AutoModelForCausalLM, PhiConfig

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            PhiConfig(vocab_size=51200, hidden_size=2560, intermediate_size=10240, num_hidden_layers=32,
                      num_attention_heads=32, partial_rotary_factor=0.4), dtype=torch.bfloat16,
        )  # fmt: skip
    model = model.to_empty(device="cpu")
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.02)
    for name, buffer in model.named_buffers():
        if "inv_freq" in name:
            buffer.copy_(1.0 / (10000.0 ** (torch.arange(len(buffer)) / len(buffer))))
    return trunk_of(model, load_trunk(artifacts.load()).tokenizer)


def _ours(options: argparse.Namespace, pairs: list[Any], settings: Any, started: float) -> dict[str, Any]:
    from promptlift import artifacts
    from promptlift.training.adapt import rounded
    from promptlift.training.features import FeatureRequest, features
    from promptlift.training.shortlist import base_mass
    from promptlift.training.split import split
    from promptlift.training.stage_two import train_head

    trunk = artifacts.load().trunk if options.shape == "tiny" else "random-phi2"
    request = FeatureRequest(trunk, pairs, ("light",), settings.max_tokens, settings.dtype)
    marks = [time.perf_counter()]
    found = features(request, lambda: _trunk(options), cache=options.cache)
    marks.append(time.perf_counter())
    learnt = {pair.id for pair in split(pairs, settings.validation, settings.seed)[0]}
    training = [k for k, (pair, _) in enumerate(found.rows) if pair in learnt]
    held_out = [k for k, (pair, _) in enumerate(found.rows) if pair not in learnt]
    mass = base_mass(found, settings.shortlist, training)
    marks.append(time.perf_counter())
    _reset_peak()
    with tempfile.TemporaryDirectory() as work:
        made = train_head(found, mass, training, held_out, settings, Path(work))
    marks.append(time.perf_counter())
    from safetensors.torch import save

    size = len(save({n: p.detach().half().contiguous() for n, p in rounded(made.head).named_parameters()}))
    return {
        "seconds": round(marks[-1] - started, 1),
        "features_seconds": round(marks[1] - marks[0], 1),
        "mass_seconds": round(marks[2] - marks[1], 1),
        "training_seconds": round(marks[3] - marks[2], 1),
        "training_peak_mb": _peak(),
        "positions": len(found.goals),
        "held_out_loss": [h["held_out_loss"] for h in made.history],
        "best": min(h["held_out_loss"] for h in made.history),
        "megabytes": round(size / 1e6, 2),
    }


def _plain(options: argparse.Namespace, pairs: list[Any], settings: Any, started: float) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from promptlift.training.features import PAD_TO
    from promptlift.training.head import LowRankHead
    from promptlift.training.layout import written_tokens
    from promptlift.training.split import split

    class Head(torch.nn.Module):
        """The adapter in the head's place, at every position."""

        def __init__(self, head: LowRankHead) -> None:
            super().__init__()
            self.head = head

        @property
        def weight(self) -> torch.Tensor:
            return self.head.base.weight

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            flat = self.head.linear(features.reshape(-1, features.shape[-1]))
            return flat.reshape(*features.shape[:-1], -1)

    class Plain(SFTTrainer):  # type: ignore[misc]
        """The model's own loss, without TRL's metrics over the logits, which would only slow it."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            outputs = model(**inputs, use_cache=False)
            return (outputs.loss, outputs) if return_outputs else outputs.loss

        def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            with torch.no_grad():
                return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None

    trunk = _trunk(options)
    trunk.model.set_output_embeddings(Head(LowRankHead(trunk.head, settings.rank, settings.linear_rank)))
    learnt, apart = split(pairs, settings.validation, settings.seed)

    def rows(chosen: list[Any]) -> Dataset:
        found = []
        for pair in chosen:
            ids, start = written_tokens(trunk.tokenizer, pair, "light")
            if len(ids) <= settings.max_tokens:
                found.append({"input_ids": ids, "labels": [-100] * start + ids[start:]})
        return Dataset.from_list(found)

    with tempfile.TemporaryDirectory() as work:
        trainer = Plain(
            model=trunk.model,
            args=SFTConfig(
                output_dir=work, max_steps=-1, num_train_epochs=options.plain_epochs, learning_rate=settings.rate,
                per_device_train_batch_size=settings.batch_size, per_device_eval_batch_size=settings.batch_size,
                lr_scheduler_type="cosine", weight_decay=0.01, save_strategy="no", report_to="none", use_cpu=True,
                bf16=False, max_length=settings.max_tokens, dataset_kwargs={"skip_prepare_dataset": True},
                train_sampling_strategy="group_by_length", dataloader_pin_memory=False, logging_steps=10,
                gradient_checkpointing=False,
            ),
            train_dataset=rows(learnt),
            eval_dataset=rows(apart),
            processing_class=trunk.tokenizer,
            data_collator=DataCollatorForLanguageModeling(
                pad_token_id=trunk.tokenizer.pad_token_id, pad_to_multiple_of=PAD_TO
            ),
        )  # fmt: skip
        _reset_peak()
        begun = time.perf_counter()
        trainer.train()
        trained = time.perf_counter() - begun
        peak = _peak()
        loss = trainer.evaluate()["eval_loss"]
    return {
        "start_seconds": round(begun - started, 1),
        "seconds_per_epoch": round(trained / options.plain_epochs, 1),
        "training_peak_mb": peak,
        "trainable": sum(p.numel() for p in trunk.model.parameters() if p.requires_grad),
        "held_out_loss_by_batch": round(loss, 4),
    }


def _reset_peak() -> None:
    """Forget the peak so far (Linux): what comes is that of the training alone."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Peak resident memory since the last reset, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
