"""Cross-entropy of an adapted head, without ever holding the logits of a whole batch.

The gradient is formed chunk by chunk in the forward pass, as fused kernels do on GPUs, and only the
products that are needed are made: in the low-rank form, none with respect to H₀ or to the hidden states,
so that a step costs one product of the size of the head (the logits) and not three.

Where the head stands for a shortlist of the vocabulary, `tail` carries the rest: the log of the mass that
the base's head gives to all other tokens. They are not adapted, so that is a constant, and the loss is exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from promptlift.training.head import AdaptedHead, BaseHead

CHUNK_BYTES = 64 << 20
"""Of float32 logits at a time."""


def chunk_of(weight: Tensor) -> int:
    """How many positions are taken at a time under a head of weight (v, d)."""
    return max(1, CHUNK_BYTES // (4 * len(weight)))


def head_loss(head: AdaptedHead, features: Tensor, goals: Tensor, tail: Tensor | None = None) -> Tensor:
    """Mean cross-entropy (nats a token).

    Args:
        head: over the vocabulary, or over a shortlist of it.
        features: (n, d) hidden states.
        goals: (n,) what should come next, as places in the head's vocabulary.
        tail: (n,) log-mass of the tokens that the head leaves out, or None.
    """
    made = head.products(features)
    loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        made.x, made.weight, made.u, made.up, made.bias, goals, tail, head.base
    )
    return loss


@torch.no_grad()
def token_losses(head: AdaptedHead, features: Tensor, goals: Tensor) -> Tensor:
    """Cross-entropy (nats) at each position, (n,) float32 or float64, over the whole vocabulary."""
    step = chunk_of(head.base.weight)
    found = [
        torch.nn.functional.cross_entropy(_exact(head(part)), goal, reduction="none")
        for part, goal in zip(torch.split(features, step), torch.split(goals, step), strict=True)
    ]
    return torch.cat(found)


def _exact(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The loss and, at once, its gradients; see the module."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, u: Tensor | None, up: Tensor | None, bias: Tensor | None,
        goals: Tensor, tail: Tensor | None, base: BaseHead,
    ) -> Tensor:  # fmt: skip
        need_x, need_weight, need_u, need_up = ctx.needs_input_grad[:4]
        exact = torch.float64 if x.dtype == torch.float64 else torch.float32
        dx = torch.zeros_like(x) if need_x else None
        dweight = torch.zeros_like(weight, dtype=exact) if need_weight else None
        du = torch.zeros_like(u) if need_u and u is not None else None
        dup = torch.zeros_like(up, dtype=exact) if need_up and up is not None else None
        total = torch.zeros((), dtype=exact, device=x.device)
        n, step = len(x), chunk_of(weight)
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            logits = torch.mm(x[part], weight.T)
            if u is not None and up is not None:
                logits.addmm_(u[part], up.T)
            if bias is not None:
                logits += bias
            logits = logits.to(exact)
            if base.scale != 1.0:
                logits *= base.scale
            if base.softcap:
                logits = base.softcap * torch.tanh(logits / base.softcap)
            mass = torch.logsumexp(logits, dim=1)
            if tail is not None:
                mass = torch.logaddexp(mass, tail[part].to(exact))
            rows = torch.arange(len(logits), device=x.device)
            total += (mass - logits[rows, goals[part]]).sum()
            if not any((need_x, need_weight, need_u, need_up)):
                continue
            slope = (1 - (logits / base.softcap) ** 2) if base.softcap else None
            grad = logits.sub_(mass[:, None]).exp_()
            grad[rows, goals[part]] -= 1
            if slope is not None:
                grad *= slope
            grad = (grad * (base.scale / n)).to(x.dtype)
            if dx is not None:
                dx[part] = grad @ weight
            if dweight is not None:
                dweight += grad.T @ x[part]
            if du is not None and up is not None:
                du[part] = grad @ up
            if dup is not None and u is not None:
                dup += grad.T @ u[part]
        ctx.kinds = weight.dtype, None if up is None else up.dtype
        ctx.save_for_backward(dx, dweight, du, dup)
        return total / n

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:  # one output, the loss
        dx, dweight, du, dup = ctx.saved_tensors
        slope = slopes[0]

        def scaled(grad: Tensor | None, kind: torch.dtype | None = None) -> Tensor | None:
            return None if grad is None else (grad * slope).to(kind or grad.dtype)

        return scaled(dx), scaled(dweight, ctx.kinds[0]), scaled(du), scaled(dup, ctx.kinds[1]), None, None, None, None
