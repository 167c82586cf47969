"""Tiny random transformers models with a byte-level tokenizer, as real folders on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from promptlift.records import Pair

if TYPE_CHECKING:
    from promptlift.training.trunk import Trunk

FAMILIES = ["llama", "qwen2", "phi", "gemma2", "gemma3", "granite"]
"""Tied (all but phi), with biases (phi: in its head too), with capped (gemma2) or scaled (granite) logits."""
WORDS = "tea rope glass moon salt bread wind paper iron wool sand rain clock fern honey lamp mirror owl pearl quilt river snow tiger vase yeast zinc".split()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small run many times slower on several threads when other work runs beside them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: i for i, symbol in enumerate(alphabet)}
    words = ["ye", "yes", "no"]
    vocab |= {word: len(vocab) + i for i, word in enumerate(words)}
    merges = [("y", "e"), ("ye", "s"), ("n", "o")]
    vocab["<|end|>"] = len(vocab)
    plain = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|end|>")


def tiny_model(folder: Path, family: str = "llama") -> Path:
    """Save a random model of a family with two layers, and its tokenizer; the folder's path."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        Gemma2Config,
        Gemma3TextConfig,
        GraniteConfig,
        LlamaConfig,
        PhiConfig,
        Qwen2Config,
    )

    tokenizer = _tokenizer()
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 16,  # some tokenizer classes add tokens of their own
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    grouped: dict[str, Any] = common | {"num_key_value_heads": 2, "tie_word_embeddings": True}
    gemma: dict[str, Any] = grouped | {
        "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 64,
        "layer_types": ["sliding_attention", "full_attention"],
    }  # fmt: skip
    configs = {
        "llama": lambda: LlamaConfig(**grouped),
        "qwen2": lambda: Qwen2Config(**grouped),
        "phi": lambda: PhiConfig(**common, partial_rotary_factor=0.5),
        # their logits are capped, or scaled: wide weights and small numbers, so that losing either would show
        "gemma2": lambda: Gemma2Config(**gemma, final_logit_softcapping=2.0, initializer_range=0.2),
        "gemma3": lambda: Gemma3TextConfig(**gemma),
        "granite": lambda: GraniteConfig(**grouped, logits_scaling=0.25),
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configs[family]())
    if family == "phi":  # biases start at zero: give them values, so that losing one would show
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.5)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def taught_pairs(n: int = 26, identities: int = 0) -> list[Pair]:
    """Pairs that all say the same, so that a few steps learn it; the last ones leave their prompts alone."""
    found = []
    for i in range(n):
        prompt = f"{WORDS[i % 26]} {WORDS[(7 * i + 3) % 26]} {i * 37}" + "?" * (i % 5)
        said = i < n - identities
        light, full = (f"{prompt}\n\nGive reasons.", f"Explain {prompt}") if said else (prompt, prompt)
        found.append(Pair(str(i), prompt, full, optimized_light=light))
    return found


def tiny_trunk(folder: Path, family: str = "llama", dtype: str = "float64") -> Trunk:
    """The trunk of a random model, without stage 1."""
    import torch

    from promptlift.base_model import load_base
    from promptlift.training.trunk import trunk_of

    loaded = load_base(str(tiny_model(folder, family)), getattr(torch, dtype))
    return trunk_of(loaded.model, loaded.tokenizer)
