"""A run's report, written."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from promptlift.errors import MissingExtraError
from promptlift.evaluation.report import beside, tables
from promptlift.evaluation.report.cases import WORST, cases_of
from promptlift.evaluation.report.drawn import figures_of
from promptlift.evaluation.report.figures import DASH, SIGNS, Contrast, between, contrasts, number, whole
from promptlift.evaluation.report.load import Row, Run, load, object_of, rows_of
from promptlift.evaluation.report.tables import Cell, Table
from promptlift.records import write_atomically


def write_report(run: Path, texts: bool = True) -> list[Path]:
    """Write RUN/report.md and RUN/report.html; the same run gives the same bytes.

    Args:
        run: the folder of a run (docs/evaluation-run.md).
        texts: show prompts and answers in table 2 of the page, where the folder holds them. Without, the report holds
            ids, hashes and figures alone, and can be published.

    Returns:
        The files, Markdown first.

    Raises:
        InputError: summary.json is missing, or a file of the run can't be used.
        RecordError: a bad line of a JSONL file.
        MissingExtraError: jinja2 or matplotlib is not installed.
    """
    read = load(run, texts)
    cases = cases_of(read)
    content = _content(read, cases)
    written = []
    for name, text in (("report.md", _markdown(content)), ("report.html", _page(content, read, cases))):
        # a lone surrogate, which UTF-8 can't hold, becomes its escape: in JSON that is the same text
        write_atomically(run / name, text.encode("utf-8", "backslashreplace"))
        written.append(run / name)
    return written


def embedded(value: object) -> str:
    """JSON that can stand in a <script> of a page: no text in it can end that element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _content(run: Run, cases: dict[str, Any]) -> dict[str, Any]:
    """What both forms of the report tell."""
    summary, found = run.summary, contrasts(run.summary)
    targets = rows_of(summary.get("targets"))
    by_task: dict[str, list[Row]] = {}
    for row in run.tasks:
        by_task.setdefault(str(row["task"]), []).append(row)
    tasks = [beside.task(rows) for name, rows in sorted(by_task.items()) if not name.startswith("rouge")]
    rouge = [beside.task(rows) for name, rows in sorted(by_task.items()) if name.startswith("rouge")]
    commands = summary.get("commands") or run.settings.get("commands")
    return {
        "name": str(summary.get("name") or "a run"),
        "date": str(summary.get("date") or ""),
        "targets": targets,
        "prompts": object_of(summary.get("prompts")),
        "heads": [_head(contrast, found, run.judges) for contrast in between(found, "rewritten", "raw")],
        "headline": tables.headline(found),
        "adapted": tables.adapted(found),
        "controls": tables.controls(found),
        "rouge": rouge,
        "tasks": tasks,
        "disagreement": beside.disagreement(run.outcomes),
        "answers": beside.answers(targets),
        "verdicts": beside.verdicts(found),
        "every": tables.every(found),
        "judges": beside.judges(run.judges),
        "power": _power(object_of(summary.get("power"))),
        "about": _about(run),
        "commands": [str(command) for command in commands] if isinstance(commands, list) else [],
        "worst": _worst(cases),
        "has_cases": bool(cases["cases"]),
        "texts": cases["texts"],
        "cases": len(cases["cases"]),
    }


def _head(contrast: Contrast, found: list[Contrast], cards: list[Row]) -> dict[str, Any]:
    """A target's lift in one card, with what is left of it against the suffix, and how far its judge can be trusted."""
    own = [c for c in found if (c.target, c.judge) == (contrast.target, contrast.judge)]
    suffix = next(between(own, "rewritten", "suffix"), None)
    lift, _, rest = contrast.shown.partition(" ")
    tone = contrast.tone if contrast.shown != DASH else ""
    return {
        "target": contrast.target, "judge": contrast.judge, "lift": lift, "rest": rest, "tone": tone,
        "says": SIGNS[tone], "suffix": suffix.shown if suffix else "",
        "trust": beside.trust(contrast.judge, cards),
    }  # fmt: skip


def _power(power: Row) -> str:
    needed, decided = number(power.get("prompts_for_5")), number(power.get("share_decided"))
    if needed is None:
        return ""
    seen = "" if decided is None else f" With {100 * decided:.1f}% of the comparisons decided, as here,"
    return f"How many prompts show a lift of 5?{seen or ' As judged here,'} about {whole(needed)}."


def _about(run: Run) -> Table:
    summary, prompts = run.summary, object_of(run.summary.get("prompts"))
    models = {str(t.get("name")): t.get("model") for t in rows_of(summary.get("targets"))}
    rows = [
        ("date", summary.get("date")),
        *((f"model of {name}", model) for name, model in models.items()),
        ("prompts", prompts.get("n")),
        ("hash of the prompts", prompts.get("hash")),
        ("sources of the prompts", prompts.get("sources")),
        ("words of a prompt, quartiles", prompts.get("words")),
        ("seed", summary.get("seed")),
        ("processor cores", summary.get("cores")),
        *((f"version of {name}", value) for name, value in object_of(summary.get("versions")).items()),
    ]
    return tables.facts(rows, "How it was run")


def _worst(cases: dict[str, Any]) -> Table:
    rows = []
    for case in cases["cases"][:WORST]:
        total = sum(verdict["verdicts"] for verdict in case["verdicts"])
        won = [sum(verdict[side] for verdict in case["verdicts"]) for side in ("raw", "rewritten")]
        shown = [Cell(f"{count} of {total}", number=True) for count in won]
        rows.append((Cell(case["id"]), Cell(cases["targets"][case["target"]]), *shown))
    note = "By what the judges said of the rewritten prompt's answer; verdicts won, both orders counted."
    return Table("The ten worst prompts", note, ("id", "target", "raw", "rewritten"), rows)


def _markdown(content: dict[str, Any]) -> str:
    environment = _environment(escape=False)
    environment.filters["md"] = _for_markdown
    fence = max((len(run) for command in content["commands"] for run in re.findall("`+", command)), default=0)
    template = environment.from_string(_resource("report.md.j2"))
    text = str(template.render(**content, fence="`" * max(3, fence + 1)))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


def _page(content: dict[str, Any], run: Run, cases: dict[str, Any]) -> str:
    from markupsafe import Markup

    script, style = _resource("cases.js"), _resource("report.css")
    template = _environment(escape=True).from_string(_resource("report.html.j2"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = template.render(
        **content,
        figures={place: [(title, Markup(svg), text) for title, svg, text in of] for place, of in figures_of(run)},
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        data=Markup(embedded(cases)),
        settings=json.dumps(run.settings, indent=2, ensure_ascii=False) if run.settings else "",
    )
    return str(page)


def _environment(escape: bool) -> Any:
    try:
        import matplotlib  # noqa: F401
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise MissingExtraError("the report of an evaluation", "eval") from None
    return Environment(autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _resource(name: str) -> str:
    return (resources.files("promptlift.evaluation.report") / name).read_text("utf-8")


def _for_markdown(text: str) -> str:
    """Text as itself in a cell of a Markdown table."""
    return re.sub(r"([\\`*_|<>\[\]&~])", r"\\\1", " ".join(text.split()))
