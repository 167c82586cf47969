"""Held-out loss of each target's own pairs under each adapter, and under none. Needs the extra `train`.

python benchmarks/adapter_matrix.py qwen2.5-coder:0.5b=data/targets/qwen2.5-coder-0.5b.jsonl ... --out matrix.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="TARGET=FILE", help="an adapter's name and its pairs")
    parser.add_argument("--prompter")
    parser.add_argument("--out", type=Path, help="also writes a plot beside it, .png")
    options = parser.parse_args()
    found = measure(dict(item.split("=", 1) for item in options.pairs), options.prompter)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
        plot(found, options.out.with_suffix(".png"))


def measure(files: dict[str, str], prompter: str | None) -> dict[str, Any]:
    """Mean nats a token over the pairs that training held out: {pairs of: {adapter or "none": loss}}."""
    from promptlift import adapters, artifacts
    from promptlift.records import read_pairs
    from promptlift.training.adapt import head_from, prepare
    from promptlift.training.head import LowRankHead
    from promptlift.training.head_loss import token_losses
    from promptlift.training.settings import StageTwoSettings

    folder = artifacts.load(prompter)
    rows: dict[str, dict[str, float]] = {}
    for name, file in files.items():
        ready = prepare(folder, read_pairs(file), StageTwoSettings(), progress=None)
        at = ready.found.positions(ready.held_out)
        base = ready.found.head
        heads = {"none": LowRankHead(base, 1, 0)}
        heads |= {other: head_from(adapters.find(folder, other), base) for other in files}
        rows[name] = {
            other: round(float(token_losses(head, ready.found.values[at], ready.found.goals[at]).mean()), 4)
            for other, head in heads.items()
        }
        print(name, len(ready.held_out), "held-out pairs", rows[name], file=sys.stderr)
    return {"loss": rows, "diagonal_best": all(min(row, key=row.__getitem__) == name for name, row in rows.items())}


def plot(found: dict[str, Any], path: Path) -> None:
    """The matrix as a heat map: rows are pairs, columns adapters."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = found["loss"]
    columns = ["none", *rows]
    values = [[rows[r][c] for c in columns] for r in rows]
    figure, axes = plt.subplots(figsize=(7, 3.6))
    image = axes.imshow(values, cmap="viridis_r")
    axes.set_xticks(range(len(columns)), columns, rotation=15)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel("adapter")
    axes.set_ylabel("held-out pairs of")
    middle = (max(map(max, values)) + min(map(min, values))) / 2
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", color="white" if value > middle else "black")
    figure.colorbar(image, label="nats a token")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
