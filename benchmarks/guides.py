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
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from lift import summary

from promptlift.records import read_jsonl

FOLDER = Path(__file__).parents[1] / "results" / "guide"
PROMPTS = len(json.loads((FOLDER / "sample150.json").read_text("utf-8")))


def told(values: Sequence[float]) -> str:
    """Lift and its interval, in a few characters."""
    found = summary(values)
    low, high = found["interval"]
    return f"{found['lift']:+4.0f} ({low:+.0f} to {high:+.0f})"


def grades(name: str) -> Any:
    """(target, addition, prompt, reading) to the grades in a file."""
    found: Any = defaultdict(lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))
    for _, row in read_jsonl(FOLDER / name):
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
                line = f"{name}  {target}  {arm:17} n = {len(values):3}  {told(values)}"
                if verdict is agreed:
                    line += f"; over all {PROMPTS} {told([*values, *[0.0] * (PROMPTS - len(values))])}"
                print(line)


if __name__ == "__main__":
    main()
