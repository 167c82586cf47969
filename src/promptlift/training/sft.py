"""Stage 1: supervised fine-tuning of the prompter with LoRA (the paper's section 3).

TRL and PEFT do the work; this module weighs the decision, keeps the best checkpoint and writes the
prompter folder.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptlift import __version__, template
from promptlift.artifacts import FORMAT, Manifest
from promptlift.errors import InputError, MissingExtraError
from promptlift.records import Pair
from promptlift.training.folder import work_folder, write_folder
from promptlift.training.layout import StageOneSettings, check_sides, hash_pairs, rows_of, tokens_of


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

        from promptlift.base_model import load_base
        from promptlift.training.split import split
        from promptlift.training.trainer import make_trainer
    except ImportError as error:
        raise MissingExtraError(f"training ({error.name})", "train") from None

    check_sides(pairs, settings.strengths)
    training, held_out = split(pairs, settings.validation, settings.seed)
    if not any(not p.is_identity for p in held_out):
        raise InputError(f"{len(pairs)} pairs leave no validation pair to change; give more pairs or a larger share")
    data_hash = hash_pairs(pairs)
    loaded = load_base(base, getattr(torch, settings.dtype))
    work = work_folder(out, {"base": loaded.info.model_dump(), "data": data_hash, **asdict(settings)}, resume)

    train_rows = rows_of(loaded.tokenizer, training, settings)
    held_out_rows = rows_of(loaded.tokenizer, held_out, settings)
    if not train_rows or not held_out_rows:
        raise InputError(f"no pair fits into {settings.max_tokens} tokens; raise max_tokens")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        trainer = make_trainer(
            loaded,
            _arguments(settings, work, len(train_rows)),
            _lora(settings),
            train_rows,
            held_out_rows,
            settings.decision_weight,
        )
        last = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
        result = trainer.train(resume_from_checkpoint=str(last[-1]) if last else None)
    metrics = _metrics(trainer, loaded, held_out, settings, result)
    metrics |= {"n_train": len(training), "n_validation": len(held_out)}
    manifest = Manifest(
        format=FORMAT,
        name=name or out.name,
        base=loaded.info,
        template=template.VERSION,
        strengths=list(settings.strengths),
        languages=["en"],
        threshold=metrics["calibration"]["threshold"],
        training={**asdict(settings), "promptlift": __version__},
        data_sha256=data_hash,
        metrics=metrics,
        licence=None,
        files={},
    )
    write_folder(trainer.model, out, manifest)
    shutil.rmtree(work)
    return manifest


def _arguments(settings: StageOneSettings, work: Path, rows: int) -> Any:
    """TRL's settings; those that are not ours to choose stand here."""
    import torch
    from trl import SFTConfig

    on_gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * settings.epochs * rows / settings.batch_size)),
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


def _lora(settings: StageOneSettings) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if settings.targets == ("all-linear",) else list(settings.targets),
        task_type="CAUSAL_LM",
    )


def _metrics(
    trainer: Any, loaded: Any, held_out: Sequence[Pair], settings: StageOneSettings, result: Any
) -> dict[str, Any]:
    """What the manifest tells of the run."""
    metrics = _measure(trainer, loaded, held_out, settings)
    calibration = metrics.pop("calibration")
    best = trainer.state.best_model_checkpoint
    return metrics | {
        "train_loss": round(result.training_loss, 4),
        "train_seconds": round(result.metrics["train_runtime"], 1),
        "best_epoch": next((h["epoch"] for h in trainer.state.log_history if h.get("step") == _step_of(best)), None),
        "history": [
            {"epoch": round(h["epoch"], 2), "eval_loss": round(h["eval_loss"], 4)}
            for h in trainer.state.log_history
            if "eval_loss" in h
        ],
        "calibration": calibration,
    }


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
