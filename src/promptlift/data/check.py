"""What is wrong with a set of pairs, row by row and in sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.data.faults import FORM, JUDGED, faults
from promptlift.data.rows import Finding, read_prompts, read_set
from promptlift.data.sums import Distributions, distributions, sums_of
from promptlift.data.thresholds import Thresholds, Verdict, judge
from promptlift.errors import InputError
from promptlift.guard.view import snippet
from promptlift.records import Pair
from promptlift.similarity import nearest, nearest_earlier

__all__ = ["CheckResult", "Finding", "Thresholds", "Verdict", "check_set", "read_prompts"]

_APPENDING = 0.5


@dataclass(frozen=True)
class CheckResult:
    """What a check found: sums, a verdict for each bound, and the findings by line."""

    file: str
    against: str | None
    sums: dict[str, Any]
    verdicts: list[Verdict]
    findings: list[Finding]
    distributions: Distributions

    @property
    def broken(self) -> list[Verdict]:
        """The bounds that the set does not keep to."""
        return [verdict for verdict in self.verdicts if not verdict.ok]

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, without the distributions that plots are drawn from."""
        return {
            "file": self.file,
            "against": self.against,
            "ok": not self.broken,
            "sums": self.sums,
            "thresholds": [verdict.to_json() for verdict in self.verdicts],
            "findings": [finding.to_json() for finding in self.findings],
        }


def check_set(
    path: Path,
    against: Path | None = None,
    thresholds: Thresholds | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Check a JSONL file of pairs.

    Args:
        path: the pairs; bad lines are findings.
        against: an evaluation file (JSONL, CSV or plain lines) that no prompt may be near to.
        thresholds: what the set must keep to.
        progress: called with (pairs done, pairs in all).

    Raises:
        InputError: a file can't be read, or holds nothing.
        MissingExtraError: scikit-learn is not installed.
    """
    bounds = thresholds or Thresholds()
    if against is not None and against.resolve() == path.resolve():
        raise InputError(f"--against is the set itself: {path}; give a file of evaluation prompts")
    others = [] if against is None else read_prompts(against)
    reading = read_set(path)
    pairs = [pair for _, pair in reading.rows]
    prompts = [pair.prompt for pair in pairs]
    earlier, near = nearest_earlier(prompts), nearest(prompts, others)
    appends = appends_prompt(pairs)
    findings = list(reading.bad)
    for done, (line, pair) in enumerate(reading.rows, 1):
        findings += faults(line, pair, appends, bounds.words_added_by_one)
        if progress:
            progress(done, len(pairs))
    for (line, pair), (index, value) in zip(reading.rows, earlier, strict=True):
        if value >= bounds.similar:
            other_line, other = reading.rows[index]
            detail = f"{value:.2f} like {other.id} (line {other_line}): {snippet(other.prompt)}"
            findings.append(Finding(line, pair.id, "duplicate", detail, level="note"))
    for (line, pair), (index, value) in zip(reading.rows, near, strict=True):
        if value >= bounds.similar_to_evaluation:
            detail = f"{value:.2f} like an evaluation prompt: {snippet(others[index])}"
            findings.append(Finding(line, pair.id, "overlap", detail))
    findings.sort(key=lambda finding: (finding.line, finding.level, finding.check, finding.side))
    counts = _counts(findings, len(pairs), against is not None)
    sums = {**counts, **sums_of(pairs, others)}
    return CheckResult(
        path.name, None if against is None else against.name, sums, judge(sums, bounds), findings,
        distributions(pairs, others, earlier, near),
    )  # fmt: skip


def appends_prompt(pairs: Sequence[Pair]) -> bool:
    """True if the light sides of a set are meant to begin with the prompt: most of those that change it do."""
    changed = [pair for pair in pairs if pair.optimized_light not in (None, pair.prompt)]
    begin = sum(pair.light.startswith(pair.prompt.rstrip()) for pair in changed)
    return begin > _APPENDING * len(changed)


def _counts(findings: Sequence[Finding], pairs: int, compared: bool) -> dict[str, Any]:
    """How many findings of each sort; a share of no pairs is None."""
    errors = [finding for finding in findings if finding.level == "error"]
    count = {check: sum(f.check == check for f in findings) for check in sorted({f.check for f in findings})}
    judged = {finding.line for finding in errors if finding.check in JUDGED}
    return {
        "bad_rows": sum(f.check == "row" for f in errors),
        "lost_literals": sum(f.check == "literal" for f in errors),
        "form_errors": sum(f.check in FORM for f in errors),
        "judged_share": len(judged) / pairs if pairs else None,
        "overlap": sum(f.check == "overlap" for f in errors) if compared else None,
        "duplicate_share": sum(f.check == "duplicate" for f in findings) / pairs if pairs else None,
        "findings": count,
    }
