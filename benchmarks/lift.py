"""Lift with its interval, from verdicts in both orders.

    python benchmarks/lift.py results/first-look/verdicts.jsonl

Each line: {"id", "target", "pair": "rewrite-raw" | "rewrite-suffix" | …, "first": winner of the order
in which the rewrite's answer came first, "second": winner of the other order}, winners "rewrite",
"other" or "tie". A line judged in one random order only has "winner" instead. A verdict that flips
with the order is a tie. A prompt that was not changed has the same answer on both sides and is a
tie without a verdict ("same": true).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from promptlift.records import read_jsonl


def outcome(row: dict[str, object]) -> int:
    """1 if the rewrite's answer won in every order that was judged, -1 if it lost in each, else 0."""
    if row.get("same") or flipped(row):
        return 0
    return {"rewrite": 1, "other": -1, "tie": 0}[str(row.get("winner", row.get("first")))]


def flipped(row: dict[str, object]) -> bool:
    """True if the two orders gave different verdicts."""
    return "winner" not in row and row["first"] != row["second"]


def summary(outcomes: Sequence[float], draws: int = 10_000) -> dict[str, Any]:
    """Lift and its 95% bootstrap interval over prompts."""
    values = np.asarray(outcomes, float)
    random = np.random.default_rng(0)
    means = values[random.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "n": len(values),
        "won": int((values > 0).sum()),
        "lost": int((values < 0).sum()),
        "tied": int((values == 0).sum()),
        "lift": round(100 * values.mean(), 1),
        "interval": [round(100 * low, 1), round(100 * high, 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verdicts", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    groups: dict[str, list[dict[str, object]]] = defaultdict(list)
    for _, row in read_jsonl(options.verdicts):
        groups[f"{row['target']}, {row['pair']}"].append(row)
    found = {}
    for name, rows in sorted(groups.items()):
        judged = [r for r in rows if not r.get("same")]
        flips = sum(flipped(r) for r in judged)
        found[name] = summary([outcome(r) for r in rows]) | {"judged": len(judged), "flipped": flips}
        found[f"{name}, changed only"] = summary([outcome(r) for r in judged])
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
