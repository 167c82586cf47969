"""The settings of stage 2."""

from __future__ import annotations

from dataclasses import dataclass

from promptlift.adapters import Form


@dataclass(frozen=True)
class StageTwoSettings:
    """Settings of stage 2.

    Attributes:
        form: `low-rank`, or `full` (the paper's W, b and H).
        rank: r_h, of the head's update.
        linear_rank: r_w, of the linear layer's.
        epochs: at most; training ends `patience` epochs after the best held-out loss.
        batch_size: pairs in a step.
        vocabulary: how many tokens the low-rank form adapts, the likeliest ones; 0: all.
        validation: share of the pairs held out, by cluster of similar prompts.
        most_loss: pairs whose text is stranger than this to the unadapted prompter (nats a token) are left out.
    """

    form: Form = "low-rank"
    rank: int = 16
    linear_rank: int = 48
    epochs: float = 3.0
    patience: int = 2
    learning_rate: float | None = None
    batch_size: int = 8
    vocabulary: int = 16384
    validation: float = 0.1
    most_loss: float | None = 4.0
    max_tokens: int = 512
    seed: int = 0
    dtype: str = "bfloat16"

    @property
    def rate(self) -> float:
        """The learning rate: by form, unless it is given."""
        return self.learning_rate if self.learning_rate is not None else {"low-rank": 1e-3, "full": 1e-4}[self.form]

    @property
    def shortlist(self) -> int | None:
        """The shortlist's size, None where all tokens are adapted."""
        return self.vocabulary if self.form == "low-rank" and self.vocabulary else None
