"""The reference engine: transformers and PEFT, for any base, slow on a CPU.

It runs the same template on the same weights, so it is what llama.cpp is measured
against; it serves bases that have no GGUF, and adapters of the full form.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from promptlift import template
from promptlift.artifacts import PrompterFolder
from promptlift.engines.base import Engine, Sampling, Written
from promptlift.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    import torch

    from promptlift.adapters import Adapter
    from promptlift.training.head import BaseHead


def with_lora(model: Any, folder: PrompterFolder) -> Any:
    """A base with the stage 1 LoRA on it, as PEFT's model.

    Raises:
        EngineError: the LoRA does not fit the base.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(folder.path)).eval()
    except (RuntimeError, ValueError) as error:
        base, reason = folder.manifest.base.name, str(error).splitlines()[0]
        raise EngineError(f"the LoRA in {folder.path} does not fit base {base!r}: {reason}") from None


class TorchEngine(Engine):
    """A prompter in transformers, one prompt at a time."""

    def __init__(self, folder: PrompterFolder, dtype: str = "float32", base: str | None = None) -> None:
        """Load the base named in the manifest and put the stage 1 LoRA on it.

        Args:
            folder: a checked prompter folder.
            dtype: of the weights: float32, bfloat16 or float16.
            base: where the base is, if not where the manifest says: a GGUF, a folder, a hub id.

        Raises:
            MissingExtraError: torch is not installed.
            ModelError: the base can't be loaded.
            EngineError: the LoRA does not fit the base.
        """
        try:
            import peft  # noqa: F401 - `with_lora` needs it
            import torch

            from promptlift.base_model import load_base
        except ImportError as error:
            raise MissingExtraError(f"the torch engine ({error.name})", "train") from None
        info = folder.manifest.base
        loaded = load_base(base or info.spec, getattr(torch, dtype), info.revision)
        self.tokenizer = loaded.tokenizer
        self.model = with_lora(loaded.model, folder)
        self._lock = threading.Lock()
        self._base_head: Any = None
        self._heads: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
        self._adapter: str | None = None

    @property
    def adapters(self) -> frozenset[str]:
        """The versions of the loaded adapters."""
        return frozenset(self._heads)

    def add(self, adapters: Sequence[Adapter]) -> None:
        """Load adapters of any form; the trunk stays as it is."""
        from promptlift.training.adapt import head_from
        from promptlift.training.head import base_head

        with self._lock:
            if self._base_head is None:
                self._base_head = base_head(self.model.get_base_model(), self.tokenizer)
                self.model.get_base_model().set_output_embeddings(self._switching(self._base_head))
            for adapter in adapters:
                if adapter.version not in self._heads:
                    head = head_from(adapter, self._base_head)
                    head = head.to(self._base_head.weight.device).requires_grad_(False)
                    self._heads[adapter.version] = head.frozen()  # folded here, and not for each token

    def _switching(self, base: BaseHead) -> Any:
        """A module in the head's place: the leased adapter's head, or the base's own."""
        import torch

        engine = self

        class SwitchingHead(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(base.weight, requires_grad=False)  # transformers looks at its type

            def forward(self, features: torch.Tensor) -> torch.Tensor:
                if engine._adapter is None:
                    return torch.nn.functional.linear(features, self.weight, base.bias)
                flat = features.reshape(-1, features.shape[-1])
                return engine._heads[engine._adapter](flat).reshape(*features.shape[:-1], -1)

        return SwitchingHead()

    @property
    def slots(self) -> int:
        """One: requests queue."""
        return 1

    def lease(self, adapter: str | None = None) -> int:
        """Wait until the model is free."""
        self._lock.acquire()
        self._adapter = adapter
        return 0

    def release(self, slot: int) -> None:
        """Let the next one in."""
        self._lock.release()

    def score(self, question: str, slot: int) -> float:
        """P(change), from the unadapted logits after `question`."""
        adapter, self._adapter = self._adapter, None  # an adapter changes how, not whether
        try:
            return self._score(question)
        finally:
            self._adapter = adapter

    def _score(self, question: str) -> float:
        import torch

        yes, no = (self.tokenizer(t, add_special_tokens=False).input_ids[0] for t in (template.YES, template.NO))
        with torch.no_grad():
            logits = self.model(input_ids=self._ids([question]), logits_to_keep=1).logits[0, -1].float()
        return float(torch.sigmoid(logits[yes] - logits[no]))

    def write(
        self,
        prefix: str,
        slot: int,
        sampling: Sampling,
        max_tokens: int,
        on_text: Callable[[str], bool] | None = None,
        until: str | None = None,
    ) -> Written:
        """Continue `prefix`; the text reaches `on_text` in one piece."""
        import torch

        question, _, rest = prefix.rpartition(template.YES + "\n\n")
        ids = self._ids([question, template.YES, "\n\n" + rest])
        torch.manual_seed(sampling.seed)
        how: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            how |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        if until:
            how |= {"stop_strings": [until], "tokenizer": self.tokenizer}
        with torch.no_grad():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **how,
            )[0, ids.shape[1] :]
        finished = bool(len(out)) and int(out[-1]) == self.tokenizer.eos_token_id
        text = self.tokenizer.decode(out, skip_special_tokens=True)
        if until and until in text:
            text, finished = text.partition(until)[0], True
        if on_text is not None:
            on_text(text)
        return Written(text, finished, len(out))

    def close(self) -> None:
        """Free the model."""
        self.model = None

    def _ids(self, parts: list[str]) -> Any:
        """Token ids (1, length) of parts tokenized one by one, as in training."""
        import torch

        ids = list(self.tokenizer(parts[0]).input_ids)
        for part in parts[1:]:
            ids += self.tokenizer(part, add_special_tokens=False).input_ids
        return torch.tensor([ids], device=self.model.device)
