"""Stage 2: the linear layer and the LM head of one target, trained on cached features (the paper's section 3).

transformers' Trainer does the work; this module says what a batch and its loss are. The held-out loss is
always the exact one, over the whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

from promptlift.training.features import Features
from promptlift.training.head import AdaptedHead, BaseHead, FullHead, LowRankHead
from promptlift.training.head_loss import head_loss, token_losses
from promptlift.training.settings import StageTwoSettings
from promptlift.training.shortlist import BaseMass


class _Step(nn.Module):
    """A head and the loss of a batch: what Trainer trains."""

    def __init__(self, head: AdaptedHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, goals: Tensor, tail: Tensor | None = None) -> dict[str, Tensor]:
        return {"loss": head_loss(self.head, features, goals, tail)}


class _StageTwoTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose evaluation is the exact held-out loss."""

    held_out: tuple[Tensor, Tensor]
    whole: BaseHead
    ids: Tensor | None

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **_: Any) -> dict[str, float]:
        head = whole_head(self.model.head, self.whole, self.ids).to(self.args.device)
        metrics = {f"{metric_key_prefix}_loss": float(token_losses(head, *self.held_out).mean())}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


@dataclass(frozen=True)
class StageTwoResult:
    """A trained head over the whole vocabulary, and its history of (epoch, held-out loss)."""

    head: AdaptedHead
    history: list[dict[str, float]]
    train_loss: float
    seconds: float


def train_head(
    found: Features,
    mass: BaseMass,
    training: Sequence[int],
    held_out: Sequence[int],
    settings: StageTwoSettings,
    work: Path,
    callbacks: Sequence[Any] = (),
) -> StageTwoResult:
    """Train one head.

    Args:
        found: the features.
        mass: of the base's head, with the shortlist of `settings`.
        training: rows of `found` to learn from.
        held_out: rows that the best epoch is chosen by.
        settings: see there.
        work: for checkpoints; a killed run goes on from the last one there.
        callbacks: for Trainer.
    """
    dtype = found.values.dtype
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    whole = found.head.to(dtype)
    base = whole if mass.ids is None else whole.only(mass.ids)
    head = _new_head(base, settings)
    # As places in the shortlist: all goals of the training rows stand there.
    goals = found.goals if mass.ids is None else torch.searchsorted(mass.ids, found.goals)

    def collate(rows: list[int]) -> dict[str, Tensor]:
        at = found.positions(rows)
        batch = {"features": found.values[at], "goals": goals[at]}
        return batch if mass.tail is None else batch | {"tail": mass.tail[at]}

    rows = list(training)
    trainer = _StageTwoTrainer(
        model=_Step(head),
        args=_arguments(settings, work, len(rows)),
        train_dataset=rows,
        eval_dataset=rows,  # never read: `evaluate` has its own
        data_collator=collate,
        callbacks=[EarlyStoppingCallback(settings.patience), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which carries the result alone
    at = found.positions(held_out)
    trainer.held_out = found.values[at].to(device), found.goals[at].to(device)
    trainer.whole, trainer.ids = whole, mass.ids
    last = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    result = trainer.train(resume_from_checkpoint=str(last[-1]) if last else None)
    history = [
        {"epoch": round(h["epoch"], 2), "held_out_loss": round(h["eval_loss"], 5)}
        for h in trainer.state.log_history
        if "eval_loss" in h
    ]
    best = whole_head(trainer.model.head, whole, mass.ids).cpu()
    return StageTwoResult(best, history, result.training_loss, result.metrics["train_runtime"])


def _new_head(base: BaseHead, settings: StageTwoSettings) -> AdaptedHead:
    if settings.form == "full":
        return FullHead(base)
    return LowRankHead(base, settings.rank, settings.linear_rank, seed=settings.seed)


def whole_head(head: AdaptedHead, whole: BaseHead, ids: Tensor | None) -> AdaptedHead:
    """A head over a shortlist as one over the whole vocabulary, in which all other tokens stay the base's."""
    if ids is None or not isinstance(head, LowRankHead):
        return head
    grown = LowRankHead(whole, head.head_a.shape[0], head.linear_a.shape[0], ids)
    with torch.no_grad():
        for name in ("linear_a", "linear_b", "head_a", "head_b"):
            getattr(grown, name).copy_(getattr(head, name))
    return grown


def _arguments(settings: StageTwoSettings, work: Path, rows: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        learning_rate=settings.rate,
        per_device_train_batch_size=settings.batch_size,
        lr_scheduler_type="cosine",
        warmup_steps=max(1, round(0.05 * settings.epochs * rows / settings.batch_size)),
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_only_model=False,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_strategy="epoch",
        report_to="none",
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
    )
