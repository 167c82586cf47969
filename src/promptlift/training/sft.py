"""Stage 1: supervised fine-tuning of the prompter with LoRA (the paper's section 3).

TRL and PEFT do the work; this module lays out the sequences, weighs the decision, keeps
the best checkpoint and writes the prompter folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptlift import __version__, template
from promptlift.artifacts import ADAPTER, ADAPTER_CONFIG, FORMAT, Manifest, sha256_of, write_manifest
from promptlift.errors import InputError, MissingExtraError
from promptlift.records import Pair, Strength

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IGNORED = -100


@dataclass(frozen=True)
class StageOneSettings:
    """Settings of stage 1; the defaults are the paper's where it gives any.

    `rank`, `epochs`: the paper's section 3. `targets`: module names that get a LoRA;
    "all-linear" takes every linear layer but the head. `decision_weight`: how many
    tokens the decision counts for in the loss. `least_changed`: the share of validation
    pairs to be changed that the calibrated threshold must still change.
    """

    strengths: tuple[Strength, ...] = ("light",)
    rank: int = 32
    alpha: int | None = None
    targets: tuple[str, ...] = ("all-linear",)
    dropout: float = 0.05
    epochs: float = 10.0
    learning_rate: float = 2e-4
    batch_size: int = 8
    max_tokens: int = 512
    validation: float = 0.1
    decision_weight: float = 4.0
    least_changed: float = 0.92
    seed: int = 0
    dtype: str = "bfloat16"


def tokens_of(tokenizer: Any, pair: Pair, strength: Strength) -> dict[str, list[int]]:
    """One training sequence: `input_ids` and `labels`, the prompt's labels ignored.

    The parts are tokenized one by one, as the engine sees them when it serves.
    """
    question = tokenizer(template.question(pair.prompt)).input_ids
    answer: list[int] = []
    completion = template.completion(pair, strength)
    if completion == template.NO:
        answer += tokenizer(template.NO, add_special_tokens=False).input_ids
    else:
        opening = template.opening(strength)
        written = completion[len(template.YES + opening) :]
        for part in (template.YES, opening, written):
            answer += tokenizer(part, add_special_tokens=False).input_ids
    answer.append(tokenizer.eos_token_id)
    return {"input_ids": question + answer, "labels": [IGNORED] * len(question) + answer}


def train(
    pairs: Sequence[Pair],
    base: str,
    out: Path,
    settings: StageOneSettings | None = None,
    name: str | None = None,
    resume: bool = True,
) -> Manifest:
    """Train a prompter and write its folder.

    A killed run goes on from its last checkpoint when it is started again with the same
    pairs, base and settings. `out` is only filled when training has ended.

    Args:
        pairs: with a light side that begins with the prompt if `light` is trained.
        base: `embedded`, a GGUF, a folder, or a hub id.
        out: the prompter folder to write.
        settings: see StageOneSettings.
        name: of the prompter; the folder's name by default.
        resume: False starts over.

    Raises:
        InputError: too few pairs, or settings that don't fit them.
        ModelError: the base can't be loaded.
    """
    settings = settings or StageOneSettings()
    try:
        import torch
        from peft import LoraConfig
        from trl import SFTConfig

        from promptlift.training.base import load_base
        from promptlift.training.split import split
        from promptlift.training.trainer import make_trainer
    except ImportError as error:
        raise MissingExtraError(f"training ({error.name})", "train") from None

    _check_sides(pairs, settings.strengths)
    training, held_out = split(pairs, settings.validation, settings.seed)
    if not any(not p.is_identity for p in held_out):
        raise InputError(f"{len(pairs)} pairs leave no validation pair to change; give more pairs or a larger share")
    data_hash = hash_pairs(pairs)
    loaded = load_base(base, getattr(torch, settings.dtype))
    work = _work_folder(out, {"base": loaded.info.model_dump(), "data": data_hash, **asdict(settings)}, resume)

    def rows(some: Sequence[Pair]) -> list[dict[str, list[int]]]:
        laid_out = [(p, tokens_of(loaded.tokenizer, p, s)) for p in some for s in _strengths(p, settings)]
        return [row for _, row in laid_out if len(row["input_ids"]) <= settings.max_tokens]

    train_rows, held_out_rows = rows(training), rows(held_out)
    if not train_rows or not held_out_rows:
        raise InputError(f"no pair fits into {settings.max_tokens} tokens; raise max_tokens")
    on_gpu = torch.cuda.is_available()
    arguments = SFTConfig(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * settings.epochs * len(train_rows) / settings.batch_size)),
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        logging_steps=10,
        report_to="none",
        seed=settings.seed,
        bf16=on_gpu and settings.dtype == "bfloat16",
        use_cpu=not on_gpu,
        max_length=settings.max_tokens,
        pad_to_multiple_of=64,
        dataset_kwargs={"skip_prepare_dataset": True},
        train_sampling_strategy="group_by_length",
        dataloader_pin_memory=on_gpu,
    )
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if settings.targets == ("all-linear",) else list(settings.targets),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer = make_trainer(loaded, arguments, lora, train_rows, held_out_rows, settings.decision_weight)
        last = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        result = trainer.train(resume_from_checkpoint=str(last[-1]) if last else None)
    metrics = _measure(trainer, loaded, held_out, settings)
    calibration = metrics.pop("calibration")
    best = trainer.state.best_model_checkpoint
    metrics |= {
        "train_loss": round(result.training_loss, 4),
        "train_seconds": round(result.metrics["train_runtime"], 1),
        "best_epoch": next((h["epoch"] for h in trainer.state.log_history if h.get("step") == _step_of(best)), None),
        "history": [
            {"epoch": round(h["epoch"], 2), "eval_loss": round(h["eval_loss"], 4)}
            for h in trainer.state.log_history
            if "eval_loss" in h
        ],
        "calibration": calibration,
        "n_train": len(training),
        "n_validation": len(held_out),
    }
    manifest = Manifest(
        format=FORMAT,
        name=name or out.name,
        base=loaded.info,
        template=template.VERSION,
        strengths=list(settings.strengths),
        languages=["en"],
        threshold=calibration["threshold"],
        training={**asdict(settings), "promptlift": __version__},
        data_sha256=data_hash,
        metrics=metrics,
        licence=None,
        files={},
    )
    _write_folder(trainer.model, out, manifest)
    shutil.rmtree(work)
    return manifest


def hash_pairs(pairs: Sequence[Pair]) -> str:
    """SHA-256 over the texts that training sees, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        texts = [pair.prompt, pair.optimized, pair.light]
        # content came later: without it, the hash is what it always was
        digest.update(json.dumps(texts + ([pair.optimized_content] if pair.optimized_content else [])).encode())
    return digest.hexdigest()


def _check_sides(pairs: Sequence[Pair], strengths: tuple[Strength, ...]) -> None:
    for pair in pairs:
        for strength in strengths:
            try:
                template.completion(pair, strength)
            except ValueError as error:
                raise InputError(f"{error}; correct the pair, or train another side with --strengths") from None


def _strengths(pair: Pair, settings: StageOneSettings) -> tuple[Strength, ...]:
    """An identity pair looks the same in every strength: one sequence is enough."""
    return settings.strengths[:1] if pair.is_identity else settings.strengths


def _work_folder(out: Path, identity: dict[str, Any], resume: bool) -> Path:
    """The folder of checkpoints beside `out`, named by what is trained on what."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    work = out.parent / f".{out.name}.training-{key}"
    if work.exists() and not resume:
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    return work


def _step_of(checkpoint: str | None) -> int | None:
    return int(checkpoint.rsplit("-", 1)[1]) if checkpoint else None


def _measure(trainer: Any, loaded: Any, held_out: Sequence[Pair], settings: StageOneSettings) -> dict[str, Any]:
    """Held-out loss of each strength, and the calibration of the decision."""
    from promptlift.training.calibrate import calibrate
    from promptlift.training.trainer import decision_scores, mean_loss

    model = trainer.model.eval()
    fits = [p for p in held_out if len(tokens_of(loaded.tokenizer, p, settings.strengths[0])["input_ids"]) <= 2048]
    scores = decision_scores(model, loaded.tokenizer, [p.prompt for p in fits])
    found: dict[str, Any] = {
        f"validation_loss_{strength}": round(
            mean_loss(model, [tokens_of(loaded.tokenizer, p, strength) for p in fits if not p.is_identity]), 4
        )
        for strength in settings.strengths
    }
    calibration = calibrate(scores, [p.is_identity for p in fits], settings.least_changed)
    return found | {"calibration": calibration.to_json()}


def _write_folder(model: Any, out: Path, manifest: Manifest) -> None:
    """Write the LoRA in fp16 beside its manifest; an older prompter there is replaced at the end."""
    from safetensors.torch import load_file, save_file

    fresh = out.parent / f".{out.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.save_pretrained(fresh)
    for extra in fresh.iterdir():
        if extra.name not in (ADAPTER, ADAPTER_CONFIG):
            extra.unlink() if extra.is_file() else shutil.rmtree(extra)
    config = json.loads((fresh / ADAPTER_CONFIG).read_text())
    config["base_model_name_or_path"] = manifest.base.name
    (fresh / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = load_file(fresh / ADAPTER)
    save_file({k: v.half().contiguous() for k, v in tensors.items()}, fresh / ADAPTER, metadata={"format": "pt"})
    manifest.files = {n: sha256_of(fresh / n) for n in (ADAPTER, ADAPTER_CONFIG)}
    write_manifest(fresh, manifest)
    old = out.parent / f".{out.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
