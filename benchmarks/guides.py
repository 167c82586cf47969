"""What guides are worth: sums of the grades in `results/guide/` (section 14 of the log).

    python benchmarks/guides.py

Each row of the files is one answer's grade (0 to 10), given by a strong LLM that saw all answers to a prompt side by
side, shuffled, without knowing what made them. Lift is 100 × (share of answers graded above the answer to the raw
prompt − share below), with a 95% bootstrap interval over prompts. `screening.jsonl` was read once, and is averaged over
seeds; `trained.jsonl` and `strong.jsonl` were read twice, in opposite orders, and where the two readers differ it is a
tie.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

FOLDER = Path(__file__).parents[1] / "results" / "guide"
PROMPTS = len(json.loads((FOLDER / "sample150.json").read_text("utf-8")))


def lift(values: Sequence[float], seed: int = 0, rounds: int = 2000) -> str:
    """100 × the mean of the values, and its 95% interval."""
    rng = random.Random(seed)
    drawn = sorted(mean(rng.choices(values, k=len(values))) for _ in range(rounds))
    low, high = drawn[int(0.025 * rounds)], drawn[int(0.975 * rounds)]
    return f"{100 * mean(values):+4.0f} ({100 * low:+.0f} to {100 * high:+.0f})"


def grades(name: str) -> Any:
    """(target, addition, prompt, reading) to the grades in a file."""
    found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))
    for line in (FOLDER / name).read_text("utf-8").splitlines():
        row = json.loads(line)
        found[row["target"]][row["arm"]][row["id"]][row["reading"]].append(row["grade"])
    return found


def sign(x: float) -> int:
    """1, 0 or −1."""
    return (x > 0) - (x < 0)


def averaged(found: dict[Any, list[float]], raw: dict[Any, list[float]]) -> float | None:
    """The mean verdict over all pairs of an answer and a raw answer that one reader saw together."""
    pairs = [sign(a - b) for reading in found if reading in raw for a in found[reading] for b in raw[reading]]
    return mean(pairs) if pairs else None


def agreed(found: dict[Any, list[float]], raw: dict[Any, list[float]]) -> float | None:
    """The verdict that both readers gave, else 0."""
    verdicts = {sign(found[reading][0] - raw[reading][0]) for reading in found if reading in raw}
    return None if not verdicts else float(verdicts.pop()) if len(verdicts) == 1 else 0.0


def main() -> None:
    """Print a line for each file, target and addition."""
    for name, verdict in (("screening.jsonl", averaged), ("trained.jsonl", agreed), ("strong.jsonl", agreed)):
        for target, arms in grades(name).items():
            for arm, found in arms.items():
                pairs = [verdict(found[i], arms["raw"][i]) for i in found if i in arms["raw"]]
                values = [value for value in pairs if value is not None]
                if arm == "raw" or not values:
                    continue
                line = f"{name}  {target}  {arm:17} n = {len(values):3}  {lift(values)}"
                if verdict is agreed:
                    line += f"; over all {PROMPTS} {lift([*values, *[0.0] * (PROMPTS - len(values))])}"
                print(line)


if __name__ == "__main__":
    main()
