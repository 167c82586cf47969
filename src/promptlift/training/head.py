"""The part of the prompter that a target changes: a linear layer and the LM head (the paper's stage 2).

    E (n, d)  hidden states after the final norm, from the frozen trunk
    Z = E Wᵀ + b                 W starts as the identity, b as zero
    Y = Z Hᵀ (+ the base's bias) H starts as the base's head H₀

`LowRankHead`: W = I + B_w A_w and H = H₀ + B_h A_h, which fold into one LoRA on the head.
`FullHead`: W, b and H themselves, as in the paper.

The low-rank form is trained as it is folded, E H₀ᵀ + (E Aᵀ) upᵀ, so that a step needs one product of
the size of the head where the paper's needs three. Its rows for the decision tokens are zero: a target
changes how a prompt is rewritten, and not whether (that threshold was calibrated without the adapter).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from promptlift import template


@dataclass(frozen=True)
class BaseHead:
    """The LM head of a base, and how its logits are read.

    Attributes:
        weight: H₀, (v, d).
        bias: (v,) or None.
        softcap: logits become softcap · tanh(logits / softcap) (Gemma 2), or None.
        scale: logits are multiplied by it (Cohere's logit_scale, Granite's 1 / logits_scaling).
        fixed: ids of the decision tokens, whose rows the low-rank form leaves alone.
    """

    weight: Tensor
    bias: Tensor | None = None
    softcap: float | None = None
    scale: float = 1.0
    fixed: tuple[int, ...] = ()

    def read(self, logits: Tensor) -> Tensor:
        """Logits as the model gives them, from the head's products."""
        logits = logits * self.scale if self.scale != 1.0 else logits
        return self.softcap * torch.tanh(logits / self.softcap) if self.softcap else logits

    def only(self, ids: Tensor) -> BaseHead:
        """The head over the tokens `ids` alone, in their order."""
        places = {int(token): place for place, token in enumerate(ids)}
        fixed = tuple(places[token] for token in self.fixed if token in places)
        bias = None if self.bias is None else self.bias[ids]
        return BaseHead(self.weight[ids], bias, self.softcap, self.scale, fixed)

    def to(self, dtype: torch.dtype) -> BaseHead:
        """The same head in another number format."""
        return self.moved(lambda tensor: tensor.to(dtype))

    def moved(self, move: Callable[[Tensor], Tensor]) -> BaseHead:
        """The same head with what `move` makes of its tensors: on another device, say."""
        bias = None if self.bias is None else move(self.bias)
        return BaseHead(move(self.weight), bias, self.softcap, self.scale, self.fixed)


def base_head(model: Any, tokenizer: Any) -> BaseHead:
    """The head of a transformers model, copied, so that a tied input embedding can't move with it."""
    layer, config = model.get_output_embeddings(), model.config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    bias = getattr(layer, "bias", None)
    fixed = tuple(tokenizer(text, add_special_tokens=False).input_ids[0] for text in (template.YES, template.NO))
    return BaseHead(
        weight=layer.weight.detach().clone(),
        bias=None if bias is None else bias.detach().clone(),
        softcap=getattr(config, "final_logit_softcapping", None),
        scale=float(scale),
        fixed=fixed,
    )


class AdaptedHead(nn.Module, ABC):
    """A head that maps hidden states to logits for one target."""

    def __init__(self, base: BaseHead) -> None:
        """Keep the base's head; it is never trained."""
        super().__init__()
        self.base = base

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdaptedHead:
        """What `to`, `cpu` and the like do: the base's head goes where the parameters go."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.base = self.base.moved(fn)
        return self

    @abstractmethod
    def products(self, features: Tensor) -> HeadProducts:
        """What the logits of `features` (n, d) are computed from."""

    def linear(self, features: Tensor) -> Tensor:
        """The head's products (n, v), before `BaseHead.read`."""
        return self.products(features).logits()

    def frozen(self) -> Callable[[Tensor], Tensor]:
        """`linear` with the parameters of now: what can be computed from them alone is computed once."""
        return self.linear

    def forward(self, features: Tensor) -> Tensor:
        """The logits (n, v) of `features` (n, d)."""
        return self.base.read(self.linear(features))


@dataclass(frozen=True)
class HeadProducts:
    """The factors of the logits: x weightᵀ + u upᵀ + bias.

    `x` (n, d), `weight` (v, d); `u` (n, r) and `up` (v, r) or None; `bias` (v,) or None.
    """

    x: Tensor
    weight: Tensor
    u: Tensor | None
    up: Tensor | None
    bias: Tensor | None

    def logits(self) -> Tensor:
        """(n, v), before `BaseHead.read`."""
        found = self.x @ self.weight.T
        if self.u is not None and self.up is not None:
            found = found + self.u @ self.up.T
        return found if self.bias is None else found + self.bias


class LowRankHead(AdaptedHead):
    """W = I + B_w A_w, H = H₀ + B_h A_h (DESIGN section 3, point 1), on all or some of the tokens.

    Tokens that are not in `ids` keep the base's logits, as if W were the identity for them.
    """

    def __init__(self, base: BaseHead, rank: int, linear_rank: int, ids: Tensor | None = None, seed: int = 0) -> None:
        """Random A, zero B: the adapted head starts as the base's.

        Args:
            base: H₀ (v, d).
            rank: r_h.
            linear_rank: r_w; 0 leaves the linear layer out.
            ids: (k,) the tokens that it adapts; None: all.
            seed: of A.
        """
        super().__init__(base)
        v, d = base.weight.shape
        exact = torch.float64 if base.weight.dtype == torch.float64 else torch.float32
        make = torch.Generator().manual_seed(seed)
        self.ids: Tensor | None
        self.register_buffer("ids", ids, persistent=False)  # moves with the parameters
        rows = v if ids is None else len(ids)

        def random(rank: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rank, d, generator=make, dtype=exact) / math.sqrt(d))

        self.linear_a, self.linear_b = random(linear_rank), nn.Parameter(torch.zeros(d, linear_rank, dtype=exact))
        self.head_a, self.head_b = random(rank), nn.Parameter(torch.zeros(rows, rank, dtype=exact))

    def fold(self) -> tuple[Tensor, Tensor]:
        """The one LoRA on the head that this is: down (r, d) and up (v, r), r = r_h + r_w.

        ΔH = [B_h | H₀B_w + B_h(A_h B_w)] · [A_h ; A_w], zero in the rows of the decision tokens
        and of the tokens that are not adapted.
        """
        kind = self.base.weight.dtype
        head = self.base.weight if self.ids is None else self.base.weight[self.ids]
        crossed = self.head_b @ (self.head_a @ self.linear_b)
        up = torch.cat([self.head_b.to(kind), head @ self.linear_b.to(kind) + crossed.to(kind)], dim=1)
        if self.ids is not None:
            whole = torch.zeros(len(self.base.weight), up.shape[1], dtype=kind, device=up.device)
            up = whole.index_copy(0, self.ids, up)
        rows = torch.ones(len(up), 1, dtype=kind, device=up.device)
        rows[list(self.base.fixed)] = 0
        return torch.cat([self.head_a, self.linear_a]).to(kind), up * rows

    def products(self, features: Tensor) -> HeadProducts:
        """See AdaptedHead.products."""
        return self._folded_products(features, *self.fold())

    @torch.no_grad()
    def frozen(self) -> Callable[[Tensor], Tensor]:
        """See AdaptedHead.frozen."""
        down, up = self.fold()
        return lambda features: self._folded_products(features, down, up).logits()

    def _folded_products(self, features: Tensor, down: Tensor, up: Tensor) -> HeadProducts:
        return HeadProducts(features, self.base.weight, features @ down.T, up, self.base.bias)


class FullHead(AdaptedHead):
    """The paper's own form: W (d, d), b (d,), H (v, d)."""

    def __init__(self, base: BaseHead) -> None:
        """W is the identity, b is zero, H is H₀."""
        super().__init__(base)
        d = base.weight.shape[1]
        exact = torch.float64 if base.weight.dtype == torch.float64 else torch.float32
        self.linear_weight = nn.Parameter(torch.eye(d, dtype=exact))
        self.linear_bias = nn.Parameter(torch.zeros(d, dtype=exact))
        self.head_weight = nn.Parameter(base.weight.detach().clone().to(exact))

    def products(self, features: Tensor) -> HeadProducts:
        """See AdaptedHead.products."""
        kind = self.base.weight.dtype
        z = features @ self.linear_weight.to(kind).T + self.linear_bias.to(kind)
        head = self.head_weight.to(kind)
        return HeadProducts(z, head, None, None, self.base.bias)
