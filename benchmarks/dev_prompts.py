"""What the prompter does with every development prompt: crashes, literals, what it changes and leaves alone.

    python benchmarks/dev_prompts.py ../shared/data/eval/dev_prompts.jsonl --labels results/first-look/labels.jsonl
    python benchmarks/dev_prompts.py ../shared/data/mmlu/dev.jsonl --prompter small

Labels (`open`, `closed`, `excellent`, by id) were given by a reader that saw neither pairs nor
code. The prompts are third-party texts: the result holds ids, lengths and reasons only.
`--rewrites FILE` keeps the rewrites for judging (not to be committed).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from promptlift import Prompter
from promptlift.records import dump_line, read_jsonl
from promptlift.spans import missing_literals


def prompt_of(row: dict[str, object]) -> str:
    """The prompt of a row; a multiple-choice question is put as people paste it."""
    if "choices" not in row:
        return str(row["instruction"])
    choices = row["choices"]
    assert isinstance(choices, list)
    return "\n".join(
        [str(row["question"]), *(f"{letter}. {text}" for letter, text in zip("ABCD", choices, strict=True))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--prompter")
    parser.add_argument("--rewrites", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--base-gguf", type=Path, help="the base of a prompter that is not embedded")
    parser.add_argument("--ids", type=Path, help="a JSON list: only these")
    parser.add_argument("--unproven", action="store_true", help="advice of every kind")
    options = parser.parse_args()
    rows = [row for _, row in read_jsonl(options.prompts)]
    if options.ids:
        wanted = set(json.loads(options.ids.read_text()))
        rows = [row for row in rows if row["id"] in wanted]
    started = time.perf_counter()
    crashes: list[str] = []
    found = []
    with Prompter.load(options.prompter, slots=8, base_gguf=options.base_gguf, unproven=options.unproven) as prompter:
        try:
            found = list(prompter.rewrite_many([prompt_of(row) for row in rows]))
        except Exception as error:
            crashes.append(f"{type(error).__name__}: {error}")
        name = prompter.name
    seconds = time.perf_counter() - started
    by_id = {row["id"]: result for row, result in zip(rows, found, strict=True)}
    lost = [i for i, r in by_id.items() if missing_literals(r.prompt, r.rewrite)]
    added = sorted(len(r.rewrite.split()) - len(r.prompt.split()) for r in found if r.changed)
    result: dict[str, object] = {
        "prompter": name,
        "prompts": len(rows),
        "crashes": crashes,
        "literals_lost": lost,
        "words_kept_in_order": sum(r.rewrite.startswith(r.prompt.rstrip()) for r in found) / len(found),
        "changed": sum(r.changed for r in found) / len(found),
        "reasons": dict(Counter(r.reason or "changed" for r in found).most_common()),
        "words_added_median": added[len(added) // 2] if added else 0,
        "prompts_per_second": len(found) / seconds,
    }
    if options.labels:
        label = {row["id"]: row["label"] for _, row in read_jsonl(options.labels)}
        groups = {
            kinds: [by_id[i] for i, kind in label.items() if kind in kinds and i in by_id]
            for kinds in (("open",), ("closed", "excellent"), ("closed",), ("excellent",))
        }
        result["labelled"] = {
            "+".join(g): {
                "n": len(some),
                "changed": sum(r.changed for r in some) / len(some),
                "left_alone": sum(not r.changed for r in some) / len(some),
                "reasons": dict(Counter(r.reason or "changed" for r in some)),
            }
            for g, some in groups.items()
            if some
        }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    if options.rewrites:
        options.rewrites.write_text("".join(dump_line({"id": i, **r.to_json()}) for i, r in by_id.items()))


if __name__ == "__main__":
    main()
