"""TRL's SFTTrainer with two changes: logits at completion positions only, and a weighted decision."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from promptlift import template
from promptlift.base_model import LoadedBase
from promptlift.training.layout import IGNORED

SAVE_SECONDS = 300.0


class SaveOften(TrainerCallback):  # type: ignore[misc]
    """A checkpoint every few minutes as well as at each epoch's end: an epoch can take an hour."""

    def __init__(self, seconds: float = SAVE_SECONDS) -> None:
        """Save after so many seconds without a checkpoint."""
        self.seconds, self._last = seconds, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint if it is time."""
        if time.monotonic() - self._last >= self.seconds:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count from here again."""
        self._last = time.monotonic()


class StageOneTrainer(SFTTrainer):  # type: ignore[misc]
    """Cross-entropy on the completion; its first token, the decision, weighs more than one token."""

    decision_weight: float = 1.0

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Weighted mean cross-entropy over the completions of a batch."""
        loss, outputs = completion_loss(model, inputs, self.decision_weight)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """The loss alone: no logits are gathered."""
        with torch.no_grad():
            loss, _ = completion_loss(model, self._prepare_inputs(inputs), self.decision_weight)
        return loss.detach(), None, None


def completion_loss(model: Any, inputs: dict[str, Any], decision_weight: float) -> tuple[torch.Tensor, Any]:
    """Cross-entropy at the positions whose labels count.

    Args:
        model: causal LM whose forward knows `logits_to_keep`.
        inputs: `input_ids`, `attention_mask`, `labels`, each (batch, length).
        decision_weight: of each row's first counted label, in tokens.

    Returns:
        The weighted mean (nats) and the model's output.
    """
    labels = inputs["labels"]
    first = (labels != IGNORED).int().argmax(dim=1)
    start = int(first.min()) - 1
    keep = torch.arange(start, labels.shape[1] - 1, device=labels.device)
    outputs = model(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], logits_to_keep=keep, use_cache=False
    )
    goal = labels[:, start + 1 :]
    losses = cross_entropy(
        outputs.logits.float().flatten(0, 1), goal.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(goal.shape)
    weights = (goal != IGNORED).float()
    weights[torch.arange(len(first)), first - start - 1] = decision_weight
    return (losses * weights).sum() / weights.sum(), outputs


def make_trainer(
    loaded: LoadedBase,
    arguments: SFTConfig,
    lora: Any,
    train_rows: Sequence[dict[str, list[int]]],
    held_out_rows: Sequence[dict[str, list[int]]],
    decision_weight: float,
) -> StageOneTrainer:
    """A trainer over rows of `input_ids` and `labels`."""
    trainer = StageOneTrainer(
        model=loaded.model,
        args=arguments,
        train_dataset=Dataset.from_list(list(train_rows)),
        eval_dataset=Dataset.from_list(list(held_out_rows)),
        processing_class=loaded.tokenizer,
        data_collator=DataCollatorForLanguageModeling(
            pad_token_id=loaded.tokenizer.pad_token_id, pad_to_multiple_of=arguments.pad_to_multiple_of
        ),
        peft_config=lora,
        callbacks=[SaveOften()],
    )
    trainer.decision_weight = decision_weight
    return trainer


@torch.no_grad()
def decision_scores(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[float]:
    """P(change) of each prompt: the share of YES in the mass of YES and NO."""
    yes = tokenizer(template.YES, add_special_tokens=False).input_ids[0]
    no = tokenizer(template.NO, add_special_tokens=False).input_ids[0]
    scores = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(template.question(prompt)).input_ids], device=model.device)
        logits = model(input_ids=ids, logits_to_keep=1).logits[0, -1].float()
        scores.append(float(torch.sigmoid(logits[yes] - logits[no])))
    return scores


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[dict[str, list[int]]]) -> float:
    """Mean cross-entropy (nats a token) over the completions of all rows, one row at a time."""
    total, count = 0.0, 0
    for row in rows:
        inputs = {
            "input_ids": torch.tensor([row["input_ids"]], device=model.device),
            "labels": torch.tensor([row["labels"]], device=model.device),
        }
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        loss, _ = completion_loss(model, inputs, decision_weight=1.0)
        n = sum(label != IGNORED for label in row["labels"])
        total, count = total + float(loss) * n, count + n
    return total / max(count, 1)
