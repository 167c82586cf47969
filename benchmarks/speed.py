"""How fast promptlift is, as ratios measured side by side in one run.

    python benchmarks/speed.py [--prompter NAME|FOLDER] [--out results/speed.json]

Needs the extra `train` for the comparison with transformers. Prompts are written here:
twenty open ones of different lengths.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from promptlift import Prompter, artifacts, bases, models, template
from promptlift.engines.base import Sampling
from promptlift.engines.build import engine_gguf
from promptlift.engines.llama import LlamaEngine
from promptlift.engines.lora import lora_gguf
from promptlift.engines.server import start_server

PROMPTS = [
    "explain how a bill becomes a law",
    "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    "what should i cook tonight, i have rice, eggs and some old carrots",
    "Compare electric and petrol cars for someone who drives 20 km a day.",
    "help me plan a birthday party for my dad who is turning 60, he likes fishing and jazz, budget is small",
    "Write a python function that merges two sorted lists",
    "how do i get better at small talk",
    "Write a cover letter for a junior accountant position.",
    "why is my houseplant dropping leaves",
    "Give me ideas for a science fair project about sound.",
    "Describe the water cycle to a ten year old.",
    "write a poem about winter mornings",
    "tips for a first marathon",
    "Explain the difference between a virus and a bacterium.",
    "my landlord won't fix the heating, what can i do",
    "Draft an announcement that our team is moving to a new chat tool next month.",
    "how does public key cryptography work",
    "Suggest names for a bakery and say why each one fits.",
    "what makes a good scientific hypothesis",
    "Act as a travel guide and tell me about a day in a mountain village.",
]


def _seconds(work: object, times: int = 5) -> float:
    """The median time of a call, in seconds."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()  # type: ignore[operator]
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def _decode_rate(gguf: Path) -> dict[str, float]:
    """Tokens a second through the engine's write, and through llama.cpp's server alone."""
    engine = LlamaEngine(gguf)
    prefix = template.question(PROMPTS[4]) + template.YES + template.opening("light")
    count = 120
    ours, theirs = [], []
    plain = start_server(gguf, 2048, 1)
    plain.handle_completions({"prompt": prefix, "n_predict": 8, "temperature": 0})
    engine.write(prefix, 0, Sampling(), 8)
    for _ in range(5):
        started = time.perf_counter()
        tokens = 0
        for _ in range(4):  # sampled, so that runs are long enough whatever is greedy
            tokens += engine.write(prefix, 0, Sampling(1.5, seed=len(ours)), count).tokens
        ours.append(tokens / (time.perf_counter() - started))
        started = time.perf_counter()
        done = 0
        for _ in range(4):
            sampling = {"temperature": 1.5, "top_p": 0.95, "top_k": 0, "seed": len(theirs)}
            reply = plain.handle_completions({"prompt": prefix, "n_predict": count, **sampling})
            done += reply["usage"]["completion_tokens"]
        theirs.append(done / (time.perf_counter() - started))
    engine.close()
    return {"promptlift": statistics.median(ours), "llama.cpp": statistics.median(theirs)}


def _merged_or_lora(folder: artifacts.PrompterFolder, base: Path, merged: Path, cache: Path) -> dict[str, object]:
    """Tokens a second of the merged file, and of the same base in Q8_0 with the LoRA beside it."""
    import xllamacpp

    bare = _base_q8(folder, base, cache)
    adapter = lora_gguf(folder, base, cache / "stage1-lora.gguf")
    prefix = template.question(PROMPTS[4]) + template.YES + template.opening("light")
    found: dict[str, object] = {}
    texts = []
    for name, path in (("merged", merged), ("base and LoRA", bare)):
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel, params.verbosity = str(path), 2048, 1, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
        params.endpoint_metrics = True
        if name != "merged":
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        started = time.perf_counter()
        server = xllamacpp.Server(params)
        server.handle_metrics()
        found[f"{name}, load_s"] = round(time.perf_counter() - started, 2)
        request = {"prompt": prefix, "n_predict": 60, "temperature": 0, "ignore_eos": True}
        texts.append(server.handle_completions(request)["choices"][0]["text"])
        rates = []
        for _ in range(5):
            started = time.perf_counter()
            tokens = server.handle_completions(request)["usage"]["completion_tokens"]
            rates.append(tokens / (time.perf_counter() - started))
        found[f"{name}, tokens_per_s"] = round(statistics.median(rates), 1)
    return {**found, "same text": texts[0] == texts[1]}


def _base_q8(folder: artifacts.PrompterFolder, base: Path, cache: Path) -> Path:
    """The base alone as Q8_0 with its head untied: the engine-ready file of a LoRA that is all zero."""
    from dataclasses import replace

    import numpy as np
    from safetensors.numpy import load_file, save_file

    empty = cache / "no-change"
    empty.mkdir(parents=True, exist_ok=True)
    tensors = load_file(folder.path / artifacts.ADAPTER)
    save_file({k: np.zeros_like(v) for k, v in tensors.items()}, empty / artifacts.ADAPTER)
    (empty / artifacts.ADAPTER_CONFIG).write_bytes((folder.path / artifacts.ADAPTER_CONFIG).read_bytes())
    manifest = folder.manifest.model_copy(deep=True)
    manifest.files = {n: artifacts.sha256_of(empty / n) for n in (artifacts.ADAPTER, artifacts.ADAPTER_CONFIG)}
    return engine_gguf(replace(folder, path=empty, manifest=manifest), base, cache=cache)


def _against_transformers(folder: artifacts.PrompterFolder, prompter: Prompter) -> dict[str, float]:
    """Seconds of one rewrite here, and of the same prompt and number of tokens in transformers."""
    import torch

    from promptlift.engines.torch import TorchEngine

    torch.set_num_threads(os.cpu_count() or 1)
    reference = TorchEngine(folder)
    chosen = [p for p in PROMPTS if prompter.rewrite(p).changed][:5]
    ours, theirs = [], []
    for prompt in chosen:
        question = template.question(prompt)
        prefix = question + template.YES + template.opening("light")
        ours.append(_seconds(lambda p=prompt: prompter.rewrite(p), 3))
        theirs.append(_seconds(lambda p=prefix: reference.write(p, 0, Sampling(), 80), 1))
    return {"promptlift": statistics.median(ours), "transformers": statistics.median(theirs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompter")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, default=models.cache_folder() / "benchmarks")
    options = parser.parse_args()
    folder = artifacts.load(options.prompter)
    base = bases.base_gguf(folder.manifest.base)
    started = time.perf_counter()
    options.cache.mkdir(parents=True, exist_ok=True)
    gguf = engine_gguf(folder, base, cache=options.cache)
    found: dict[str, object] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "processor": platform.machine()},
        "prompter": folder.version,
        "prepare_s": round(time.perf_counter() - started, 2),
        "engine_mb": round(gguf.stat().st_size / 1e6, 1),
    }
    rate = _decode_rate(gguf)
    found["decode_tokens_per_s"] = rate
    found["decode_ratio"] = rate["promptlift"] / rate["llama.cpp"]
    found["merged_or_lora_tokens_per_s"] = _merged_or_lora(folder, base, gguf, options.cache)
    many = (PROMPTS * 4)[:64]
    with Prompter.load(options.prompter, slots=1) as alone:
        list(alone.rewrite_many(PROMPTS[:4]))
        one = _seconds(lambda: list(alone.rewrite_many(many)), 2)
        single = [r.rewrite for r in alone.rewrite_many(many)]
    with Prompter.load(options.prompter, slots=8) as batch:
        list(batch.rewrite_many(PROMPTS[:8]))
        all_at_once = _seconds(lambda: list(batch.rewrite_many(many)), 2)
        batched = [r.rewrite for r in batch.rewrite_many(many)]
    found["rewrites_per_s"] = {"one at a time": 64 / one, "batch of 64, 8 slots": 64 / all_at_once}
    found["batch_ratio"] = one / all_at_once
    found["batch_same_text"] = sum(a == b for a, b in zip(single, batched, strict=True)) / 64
    with Prompter.load(options.prompter, slots=1) as prompter:
        seconds = [r.seconds for r in map(prompter.rewrite, PROMPTS) if r.changed]
        found["rewrite_s"] = {"median": statistics.median(seconds), "longest": max(seconds), "n": len(seconds)}
        against = _against_transformers(folder, prompter)
    found["one_rewrite_s"] = against
    found["transformers_ratio"] = against["promptlift"] / against["transformers"]
    command = [sys.executable, "-m", "promptlift", "rewrite", PROMPTS[0]]
    if options.prompter:
        command += ["--prompter", options.prompter]
    found["cold_process_s"] = _seconds(lambda: subprocess.run(command, check=True, capture_output=True), 5)
    timed = [sys.executable, "-X", "importtime", "-c", "import promptlift"]
    log = subprocess.run(timed, check=True, capture_output=True, text=True).stderr
    found["import_promptlift_s"] = int(log.strip().splitlines()[-1].split("|")[1]) / 1e6
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
