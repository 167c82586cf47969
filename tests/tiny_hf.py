"""Tiny random transformers models with a byte-level tokenizer, as real folders on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any


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
    from transformers import AutoModelForCausalLM, LlamaConfig, PhiConfig, Qwen2Config

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
    configs = {
        "llama": lambda: LlamaConfig(**common, num_key_value_heads=2, tie_word_embeddings=True),
        "qwen2": lambda: Qwen2Config(**common, num_key_value_heads=2, tie_word_embeddings=True),
        "phi": lambda: PhiConfig(**common, partial_rotary_factor=0.5),
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
