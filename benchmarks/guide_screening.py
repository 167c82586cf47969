"""What additions of different kinds are worth: sums of `results/guide/screening.jsonl`.

    python benchmarks/guide_screening.py

Each row is one answer's grade (0 to 10), given by a strong LLM that saw all answers to a prompt side by side,
shuffled, without knowing what made them. Lift is 100 × (share of answers graded above the answer to the raw prompt −
share below), averaged over the seeds, with a 95% bootstrap interval over prompts.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

ROWS = Path(__file__).parents[1] / "results" / "guide" / "screening.jsonl"


def lift(values: list[float], seed: int = 0, rounds: int = 2000) -> tuple[float, float, float]:
    """100 × the mean of the values, and the ends of its 95% interval."""
    rng = random.Random(seed)
    drawn = sorted(mean(rng.choices(values, k=len(values))) for _ in range(rounds))
    return 100 * mean(values), 100 * drawn[int(0.025 * rounds)], 100 * drawn[int(0.975 * rounds)]


def main() -> None:
    """Print a line for each reading, target and kind of addition."""
    grades: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))  # reading, kind, prompt
    for line in ROWS.read_text("utf-8").splitlines():
        row = json.loads(line)
        grades[row["reading"], row["target"]][row["arm"]][row["id"]].append(row["grade"])
    for (reading, target), arms in grades.items():
        for arm, found in arms.items():
            if arm == "raw":
                continue
            pairs = [[(a > b) - (a < b) for a in found[i] for b in arms["raw"][i]] for i in found if arms["raw"].get(i)]
            value, low, high = lift([mean(each) for each in pairs])
            print(f"{reading}  {target}  {arm:16} n = {len(pairs):3}  {value:+4.0f} ({low:+.0f} to {high:+.0f})")


if __name__ == "__main__":
    main()
