"""Tiny real models for tests: a llama of two layers with a byte-level BPE, and a prompter on it.

Random weights, but everything that the engines look at is there, so that llama.cpp and
transformers load them as they load a big model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from promptlift import artifacts, template

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, CONTEXT = 64, 96, 2, 4, 2, 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_MERGED = ("yes", "no", "the", "ing", "Ġthe", "Ġa", "Ġto", "Ġof", "Ġand", "Prompt", "prompt", "Advice", "###")
_CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


def byte_vocabulary() -> tuple[list[str], list[str]]:
    """The tokens and merges of a GPT-2 style BPE: special tokens, 256 bytes, a few words."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    tokens = [*SPECIAL, *(letters[byte] for byte in range(256))]
    merges: list[str] = []
    for word in _MERGED:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
                tokens.append(word[:end])
    while len(tokens) % 32:  # a round number of rows
        tokens.append(f"<|unused_{len(tokens)}|>")
    return tokens, merges


def tiny_llama_gguf(
    path: Path, *, seed: int = 0, tied: bool = True, quantization: str = "F32", architecture: str = "llama"
) -> Path:
    """Write a random GGUF of the llama architecture (or `qwen2`, whose Q and K are not permuted).

    Args:
        path: of the file.
        seed: of the weights.
        tied: False writes an `output.weight` of its own.
        quantization: of the matrices, as gguf names it; vectors are F32.
        architecture: `llama` or `qwen2`.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants

    tokens, merges = byte_vocabulary()
    kind = GGMLQuantizationType[quantization]
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control = (*SPECIAL, "<|unused_")
    writer.add_token_types([TokenType.CONTROL if t.startswith(control) else TokenType.NORMAL for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_CHAT)

    def matrix(name: str, rows: int, columns: int) -> None:
        weights = random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)
        writer.add_tensor(name, quants.quantize(weights, kind), raw_dtype=kind)

    def vector(name: str, size: int, around: float = 1.0) -> None:
        writer.add_tensor(name, (around + random.normal(0, 0.1, size)).astype(np.float32))

    narrow = HIDDEN // HEADS * KV_HEADS
    matrix("token_embd.weight", len(tokens), HIDDEN)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        vector(block + "attn_norm.weight", HIDDEN)
        matrix(block + "attn_q.weight", HIDDEN, HIDDEN)
        matrix(block + "attn_k.weight", narrow, HIDDEN)
        matrix(block + "attn_v.weight", narrow, HIDDEN)
        if architecture == "qwen2":
            for name, size in (("q", HIDDEN), ("k", narrow), ("v", narrow)):
                vector(f"{block}attn_{name}.bias", size, 0.0)
        matrix(block + "attn_output.weight", HIDDEN, HIDDEN)
        vector(block + "ffn_norm.weight", HIDDEN)
        matrix(block + "ffn_gate.weight", FEED_FORWARD, HIDDEN)
        matrix(block + "ffn_up.weight", FEED_FORWARD, HIDDEN)
        matrix(block + "ffn_down.weight", HIDDEN, FEED_FORWARD)
    vector("output_norm.weight", HIDDEN)
    if not tied:
        matrix("output.weight", len(tokens), HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tiny_prompter_folder(
    path: Path,
    base_gguf: Path,
    *,
    name: str = "tiny-test",
    rank: int = 4,
    alpha: int = 8,
    seed: int = 1,
    modules: Sequence[str] = PROJECTIONS,
    threshold: float = 0.5,
    config: dict[str, object] | None = None,
) -> artifacts.PrompterFolder:
    """Write a prompter folder with a random LoRA for a GGUF of `tiny_llama_gguf`, and load it.

    Args:
        path: of the folder.
        base_gguf: the base; its hash goes into the manifest.
        name: of the prompter.
        rank: of the LoRA.
        alpha: of the LoRA.
        seed: of the LoRA.
        modules: the projections that get a LoRA; `lm_head` may be among them.
        threshold: of the decision.
        config: more of PEFT's settings, such as {"use_rslora": True}.
    """
    from safetensors.numpy import save_file

    random = np.random.default_rng(seed)
    narrow = HIDDEN // HEADS * KV_HEADS
    outputs = {"k_proj": narrow, "v_proj": narrow, "gate_proj": FEED_FORWARD, "up_proj": FEED_FORWARD}
    tensors: dict[str, npt.NDArray[np.float16]] = {}

    def add(module: str, rows: int, columns: int) -> None:
        for half, shape in (("A", (rank, columns)), ("B", (rows, rank))):
            values = random.normal(0, 0.1, shape).astype(np.float16)
            tensors[f"base_model.model.{module}.lora_{half}.weight"] = values

    for layer in range(LAYERS):
        for module in (m for m in modules if m != "lm_head"):
            block = "self_attn" if module[0] in "qkvo" else "mlp"
            columns = FEED_FORWARD if module == "down_proj" else HIDDEN
            add(f"model.layers.{layer}.{block}.{module}", outputs.get(module, HIDDEN), columns)
    if "lm_head" in modules:
        add("lm_head", len(byte_vocabulary()[0]), HIDDEN)
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / artifacts.ADAPTER, metadata={"format": "pt"})
    settings: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_gguf.stem,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": list(modules),
        "bias": "none",
        "inference_mode": True,
    }
    (path / artifacts.ADAPTER_CONFIG).write_text(json.dumps(settings | (config or {})))
    manifest = artifacts.Manifest(
        format=artifacts.FORMAT,
        name=name,
        base=artifacts.BaseModelInfo(
            kind="gguf", name=base_gguf.stem, sha256=artifacts.sha256_of(base_gguf), revision=None
        ),
        template=template.VERSION,
        strengths=["light"],
        languages=["en"],
        threshold=threshold,
        files={n: artifacts.sha256_of(path / n) for n in (artifacts.ADAPTER, artifacts.ADAPTER_CONFIG)},
    )
    artifacts.write_manifest(path, manifest)
    return artifacts.load(path)
