"""AlpacaEval's GPT-4 annotations as preferences for `promptlift evaluate train-judge`.

    python benchmarks/judge_data.py ANNOTATIONS PROMPTS OUT --without pandalm_test.jsonl --models 8

ANNOTATIONS: {"id", "generator_2", "output_2", "preference": 1 the reference is better, 2 output_2, else a tie}.
PROMPTS: {"id", "instruction", "output_text_davinci_003"}, whose outputs are the references. Their licence is
CC BY-NC 4.0: neither OUT nor what is trained on it is part of promptlift.

Prompts of the files given by --without (those that the judge will be measured on) are left out. Of each prompt, as many
models as --models says are drawn.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path

from promptlift.evaluation.labelled import folded
from promptlift.records import read_jsonl, write_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", type=Path, action="append", default=[])
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    held = {folded(row["instruction"]) for file in options.without for _, row in read_jsonl(file)}
    prompts = {row["id"]: row for _, row in read_jsonl(options.prompts) if folded(row["instruction"]) not in held}
    groups = defaultdict(list)
    for _, row in read_jsonl(options.annotations):
        if row["id"] in prompts and row["preference"] in ("1", "2", 1, 2):
            groups[row["id"]].append(row)
    draw = random.Random(options.seed)
    found = []
    for name, rows in sorted(groups.items()):
        for row in draw.sample(rows, min(options.models, len(rows))):
            found.append(
                {
                    "id": f"{name}/{row['generator_2']}",
                    "prompt": prompts[name]["instruction"],
                    "answer_1": prompts[name]["output_text_davinci_003"],
                    "answer_2": str(row["output_2"] or ""),
                    "label": int(row["preference"]),
                }
            )
    write_jsonl(options.out, found)
    print(f"{options.out}: {len(found)} preferences of {len(groups)} prompts")


if __name__ == "__main__":
    main()
