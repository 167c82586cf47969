"""How good the guard is: on rewrites that a reader labelled good or bad without seeing its code.

    python benchmarks/guard.py results/guard/labelled.jsonl

Each line: {"id", "prompt", "rewrite", "strength", "finished"?, "label": "good" | "bad", "made": true | false}.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from promptlift import guard
from promptlift.records import read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", action="store_true", help="print what was missed and what was stopped wrongly")
    options = parser.parse_args()
    rows = [row for _, row in read_jsonl(options.labelled)]
    said = [
        guard.check(r["prompt"], r["rewrite"], strength=r["strength"], finished=r.get("finished", True)) for r in rows
    ]
    found: dict[str, object] = {}
    for part, wanted in (("all", {True, False}), ("made", {True}), ("real", {False})):
        bad = [s for r, s in zip(rows, said, strict=True) if r["label"] == "bad" and r["made"] in wanted]
        good = [s for r, s in zip(rows, said, strict=True) if r["label"] == "good" and r["made"] in wanted]
        found[part] = {
            "bad": len(bad),
            "bad_caught": round(sum(s is not None for s in bad) / max(len(bad), 1), 3),
            "good": len(good),
            "good_stopped": round(sum(s is not None for s in good) / max(len(good), 1), 3),
        }
    found["reasons_on_bad"] = dict(
        Counter(s or "missed" for r, s in zip(rows, said, strict=True) if r["label"] == "bad").most_common()
    )
    print(json.dumps(found, indent=2))
    if options.show:
        for row, reason in zip(rows, said, strict=True):
            if (row["label"] == "bad") != (reason is not None):
                print(f"--- {row['id']} {row['label']} {row.get('kind', '')} {reason}")
                print(f"{row['prompt'][:200]!r} => {row['rewrite'][-300:]!r}")
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
