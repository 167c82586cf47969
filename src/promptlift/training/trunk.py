"""The trunk of a prompter: its base with the stage 1 LoRA merged, up to the last hidden state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptlift.artifacts import PrompterFolder
from promptlift.base_model import load_base
from promptlift.engines.torch import with_lora
from promptlift.errors import ModelError
from promptlift.training.head import BaseHead, base_head

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Trunk:
    """A frozen model in memory, its head, and its tokenizer."""

    model: Any
    head: BaseHead
    tokenizer: Any

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """E of a batch padded on the right: (batch, length, d), after the final norm."""
        import torch

        with torch.no_grad():
            found: torch.Tensor = self.model.get_decoder()(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False
            ).last_hidden_state
        return found


def trunk_of(model: Any, tokenizer: Any) -> Trunk:
    """The trunk of a transformers model; every parameter of it is frozen."""
    model.requires_grad_(False)
    return Trunk(model.eval(), base_head(model, tokenizer), tokenizer)


def load_trunk(folder: PrompterFolder, dtype: str = "bfloat16", base: str | None = None) -> Trunk:
    """Load a prompter's base and merge its LoRA, in float32, then cast.

    Args:
        folder: the prompter.
        dtype: of the trunk while it runs.
        base: where the base is, if not where the manifest says.

    Raises:
        ModelError: the base can't be loaded, or is another one than the prompter's.
        EngineError: the LoRA does not fit the base.
    """
    import torch

    info = folder.manifest.base
    where = base or info.spec
    loaded = load_base(where, torch.float32, info.revision)
    if info.sha256 and loaded.info.sha256 and loaded.info.sha256 != info.sha256:
        raise ModelError(
            f"{where} is another base: SHA-256 is {loaded.info.sha256[:12]}…, the prompter needs {info.sha256[:12]}…"
        )
    merged = with_lora(loaded.model, folder).merge_and_unload()
    return trunk_of(merged.to(getattr(torch, dtype)), loaded.tokenizer)
