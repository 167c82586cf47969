"""Do torch and llama.cpp agree? Same tokens, and the same likeliest next token.

    python benchmarks/agreement.py PAIRS.jsonl [--prompter FOLDER] [--n 50] [--quantization Q8_0] [--out FILE]

For `n` validation pairs (the split of the prompter's own training settings) both engines
are led along the pair's completion; at each of its positions the likeliest token of both
is compared. Tokenization is compared on every question and completion.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from promptlift import artifacts, bases, models, template
from promptlift.engines.build import engine_gguf
from promptlift.engines.server import start_server
from promptlift.engines.torch import TorchEngine
from promptlift.records import read_pairs
from promptlift.training.layout import IGNORED, tokens_of
from promptlift.training.split import split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--prompter")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--quantization", default="Q8_0")
    parser.add_argument("--cache", type=Path, default=models.cache_folder() / "benchmarks")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = artifacts.load(options.prompter)
    settings = folder.manifest.training
    _, held_out = split(read_pairs(options.pairs), settings["validation"], settings["seed"])
    chosen = [p for p in held_out if not p.is_identity][: options.n]
    options.cache.mkdir(parents=True, exist_ok=True)
    base = bases.base_gguf(folder.manifest.base)
    gguf = engine_gguf(folder, base, cache=options.cache, quantization=options.quantization)
    reference = TorchEngine(folder)
    server = start_server(gguf, 2048, 1)
    same = positions = same_tokens = 0
    for pair in chosen:
        row = tokens_of(reference.tokenizer, pair, folder.manifest.strengths[0])
        ids = row["input_ids"]
        start = next(i for i, label in enumerate(row["labels"]) if label != IGNORED)
        reply = server.handle_completions({"prompt": template.question(pair.prompt), "n_predict": 1})
        same_tokens += reply["usage"]["prompt_tokens"] == start
        with torch.no_grad():
            logits = reference.model(input_ids=torch.tensor([ids])).logits[0]
        for position in range(start, len(ids)):
            request = {"prompt": ids[:position], "n_predict": 1, "n_probs": 1, "temperature": 0, "ignore_eos": False}
            top = server.handle_completions(request)["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["id"]
            same += top == int(logits[position - 1].argmax())
            positions += 1
    found = {
        "prompter": folder.version,
        "quantization": options.quantization,
        "pairs": len(chosen),
        "positions": positions,
        "top1_agreement": round(same / positions, 4),
        "same_number_of_prompt_tokens": same_tokens / len(chosen),
    }
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
