"""The report of a run: every figure of the summary, no text where none is wanted, none that breaks out."""

from __future__ import annotations

import json
import random
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from promptlift.errors import InputError, MissingExtraError, RecordError
from promptlift.evaluation.report import write_report
from promptlift.evaluation.report.agreement import agreements, kappa
from promptlift.evaluation.report.cases import cases_of
from promptlift.evaluation.report.figures import contrasts, signed
from promptlift.evaluation.report.load import load
from promptlift.records import write_jsonl

TARGETS, JUDGES, PROMPTS = ["coder-1.5b", "small<b>|&model"], ["gpt-x", "local-judge"], 40
CONDITIONS = ["raw", "rewritten", "unadapted", "suffix", "zero-shot", "wrong-adapter", "reference"]
CONTRASTS = [
    *((x, "raw") for x in ("rewritten", "unadapted", "suffix", "zero-shot", "wrong-adapter")),
    *(("rewritten", y) for y in ("unadapted", "suffix", "zero-shot", "wrong-adapter", "reference")),
    ("raw", "reference"),
]
HOSTILE = [
    "</script><script>alert('out')</script>",
    "<!-- <script> ]]> <img src=x onerror=alert(1)>",
    "مرحبا، اشرح لي كيف يعمل المحرك \u202eevil",
    "🙂🤖 emoji & \"quotes\" 'single' {{ 7*7 }} {% raw %}",
    "w" * 3000,
    "a | b\n# no heading\n`code` \\u003c \u2028 \x00 \ud83d",
    "one line that goes on and on, " * 200,
]
ASK = "explain how compound interest works"


def contrast(random_: random.Random, judge: str, x: str, y: str) -> tuple[dict[str, Any], list[int]]:
    lean = {"rewritten": 0.2, "suffix": 0.1, "reference": 0.4, "zero-shot": -0.3}
    edge = lean.get(x, 0.0) - lean.get(y, 0.0)
    scores = [
        1 if (r := random_.random()) < 0.3 + edge / 2 else -1 if r > 0.72 + edge / 2 else 0 for _ in range(PROMPTS)
    ]
    won, lost = scores.count(1), scores.count(-1)
    lift = 100 * (won - lost) / PROMPTS
    row = {
        "judge": judge, "x": x, "y": y, "n": PROMPTS, "same": 3, "flipped": 7, "unjudged": 1, "won": won, "lost": lost,
        "tied": PROMPTS - won - lost, "lift": lift, "interval": [lift - 21.37, lift + 20.61], "win_rate": 50 + lift / 2,
        "sign_p": 0.0437, "lc_win_rate": 51.27, "lc_interval": [38.13, 64.29], "words": [187.5, 143.25],
    }  # fmt: skip
    return row, scores


def make_run(folder: Path, extras: bool = True) -> Path:
    """A run as `evaluate` leaves it; without `extras`, of raw and rewritten alone, with nothing that may be missing."""
    random_ = random.Random(7)
    ids = [f"p{number:03}" for number in range(PROMPTS)]
    texts = [HOSTILE[n] if n < len(HOSTILE) else f"{ASK}, case {n}" for n in range(PROMPTS)]
    pairs = CONTRASTS if extras else [("rewritten", "raw")]
    conditions = CONDITIONS if extras else ["raw", "rewritten"]
    targets, outcomes, answers, asked, replies = [], [], [], [], []
    for target in TARGETS:
        rows = []
        for judge in JUDGES:
            for x, y in pairs:
                row, scores = contrast(random_, judge, x, y)
                rows.append(row)
                for place, (id, score) in enumerate(zip(ids, scores, strict=True)):
                    null, same = place == 11, place in (12, 13, 14)
                    flipped = score == 0 and place % 2 == 0
                    first = None if null or same else "x" if score > 0 or flipped else "y" if score < 0 else "tie"
                    second = None if null or same else "y" if score < 0 or flipped else "x" if score > 0 else "tie"
                    outcome = {
                        "target": target, "judge": judge, "id": id, "x": x, "y": y, "flipped": flipped,
                        "score": None if null else 0 if same else score, "probability": 0.5 + score * 0.3, "first": first,
                        "second": second, "words_x": 180 + place, "words_y": 140 + place, "same": same,
                    }  # fmt: skip
                    outcomes.append(outcome | ({"problem": "the judge said: verdict-words-of-a-judge"} if null else {}))
        for condition in conditions:
            for place, id in enumerate(ids):
                words = 0 if place == 9 else 60 + 9 * CONDITIONS.index(condition) + random_.randint(0, 200)
                answer = (
                    ""
                    if words == 0
                    else HOSTILE[place]
                    if place < len(HOSTILE)
                    else f"Answer-by-{condition}: " + "It grows each year. " * (words // 4)
                )
                key = {"target": target, "id": id, "condition": condition}
                text = (
                    texts[place]
                    if condition == "raw" or place in (12, 13, 14)
                    else f"{texts[place]}\n\nGive one worked-example with figures."
                )
                asked.append(
                    key
                    | {
                        "text": text,
                        "changed": text != texts[place],
                        "reason": "identity" if text == texts[place] else None,
                    }
                )
                failed = "target-words: timed out" if place == 20 else None
                replies.append(
                    key | {"answer": None if failed else answer, "tokens": words, "cut": place == 21, "problem": failed}
                )
                answers.append(
                    key
                    | {
                        "asked": f"{place:016x}",
                        "answer": "feedbeef00000000",
                        "words": words,
                        "tokens": words,
                        "cut": place == 21,
                        "problem": failed,
                    }
                )
        targets.append({
            "name": target, "model": f"org/{target}",
            "conditions": [{"name": c, "answers": 39, "changed": 0 if c == "raw" else 37, "failed": 1, "cut": 1, "empty": 1, "words": 160.25} for c in conditions],
            "contrasts": rows,
        })  # fmt: skip
    summary = {
        "format": 1, "name": "first evaluation", "date": "2026-11-22", "versions": {"promptlift": "0.1.0", "xllamacpp": "2026.10.1"},
        "commands": ["promptlift evaluate --target coder-1.5b --prompts dolly.jsonl --out RUN", "promptlift evaluate report RUN"],
        "seed": 1234567, "cores": 2, "targets": targets, "power": {"share_decided": 0.613, "prompts_for_5": 1924},
        "prompts": {"n": PROMPTS, "hash": "9f86d081884c7d65", "sources": {"dolly": 25, "vicuna": 15}, "words": [6, 11, 24]},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    write_jsonl(folder / "outcomes.jsonl", outcomes)
    write_jsonl(folder / "answers.jsonl", answers)
    if not extras:
        return folder
    (folder / "run.json").write_text(
        json.dumps(
            {"format": 1, "targets": {t: {"model": t, "max_tokens": 300} for t in TARGETS}, "prompts_hash": "9f86"}
        )
    )
    write_jsonl(
        folder / "texts" / "prompts.jsonl",
        ({"id": id, "prompt": text, "source": "dolly"} for id, text in zip(ids, texts, strict=True)),
    )
    write_jsonl(folder / "texts" / "asked.jsonl", asked)
    write_jsonl(folder / "texts" / "answers.jsonl", replies)
    for name, metrics in (
        ("rouge", {"rouge1": 0.3821, "rouge2": 0.1543, "rougeL": 0.2467}),
        ("multiple-choice", {"accuracy": 0.4375}),
        ("ifeval", {"strict": 0.5125}),
    ):
        task = [
            {
                "task": name, "target": target, "n": 160, "failed": 0, "cut": 2, "changed": 131, "raw": metrics,
                "rewritten": {k: v - 0.0112 for k, v in metrics.items()},
                "difference": {k: {"value": -0.0112, "interval": [-0.0261, 0.0043]} for k in metrics},
            }
            for target in TARGETS
        ]  # fmt: skip
        (folder / "tasks").mkdir(exist_ok=True)
        (folder / "tasks" / f"{name}.json").write_text(json.dumps(task))
    sets = [
        {
            "name": "alpaca-eval humans",
            "n": 200,
            "agreement": 0.6475,
            "interval": [0.578, 0.712],
            "kappa": 0.295,
            "flips": 0.215,
            "prefers_longer": 0.683,
            "longer_wins": 0.617,
            "published": {"GPT-4": 0.692},
        }
    ]
    (folder / "judges").mkdir()
    (folder / "judges" / "gpt-x.json").write_text(json.dumps({"judge": "gpt-x", "sets": sets}))
    return folder


class Page(HTMLParser):
    """What a browser would see: elements, their text, the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def pages(run: Path, texts: bool = True) -> tuple[str, str]:
    markdown, page = write_report(run, texts=texts)
    assert (markdown, page) == (run / "report.md", run / "report.html")
    return markdown.read_text("utf-8"), page.read_text("utf-8")


def test_every_figure_of_the_summary_is_told(run: Path) -> None:
    markdown, page = pages(run)
    plain = Page(page).text
    wanted = {
        "1234567",
        "61.3%",
        "1,924",
        "9f86d081884c7d65",
        "dolly 25",
        "vicuna 15",
        "6, 11, 24",
        "2026.10.1",
        "160.2",
        "org/coder-1.5b",
    }
    for row in contrasts(json.loads((run / "summary.json").read_text())):
        wanted |= {
            row.shown,
            row.lc_shown,
            f"{row.win_rate:.1f}%",
            f"{row.won:.0f}",
            f"{row.tied:.0f}",
            f"{row.lost:.0f}",
            "187.5 / 143.2",
            "0.044",
        }
    wanted |= {"0.382", "−0.011 [−0.026, +0.004]", "64.8% [57.8%, 71.2%]", "GPT-4 69.2%"}
    assert [figure for figure in sorted(wanted) if figure not in plain] == []
    unescaped = re.sub(r"\\(.)", r"\1", markdown)
    assert [figure for figure in sorted(wanted) if figure not in unescaped] == []


def test_no_lift_without_interval_and_n(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    bare = summary["targets"][0]["contrasts"]
    for row, key in zip(bare[:3], ("interval", "n", "lift"), strict=True):
        row |= {"lift": 77.7, "win_rate": None, "lc_win_rate": 88.8, "lc_interval": None}
        del row[key]
    (run / "summary.json").write_text(json.dumps(summary))
    for text in pages(run):
        shown = Page(text).text.replace("\\", "")
        assert "77.7" not in shown and "88.8" not in shown
        assert len(re.findall(r"[+−]?\d+\.\d \[[+−]?\d+\.\d, [+−]?\d+\.\d\], n \d+", shown)) > 40


def test_without_texts_none_of_them_is_there(run: Path) -> None:
    for text in pages(run, texts=False):
        for leak in (
            "compound interest",
            "alert(",
            "مرحبا",
            "Answer-by",
            "worked-example",
            "wwwwwwww",
            "verdict-words",
            "target-words",
            "goes on and on",
        ):
            assert leak not in text
    data = json.loads(Page(pages(run, texts=False)[1]).scripts[0])
    assert data["prompts"] == {} and data["cases"][0]["sides"][0]["answered"] == "feedbeef00000000"
    (run / "texts" / "prompts.jsonl").write_text("broken")  # is not even opened
    write_report(run, texts=False)
    with pytest.raises(RecordError, match="prompts.jsonl, line 1"):
        write_report(run)


def test_markdown_never_holds_texts(run: Path) -> None:
    markdown = pages(run)[0]
    assert "compound interest" not in markdown and "alert(" not in markdown
    assert markdown.count("| p0") == 10  # the worst
    heads = [line for line in markdown.splitlines() if line.startswith("| target")]
    assert all(line.count("|") > 3 for line in heads)
    assert r"small\<b\>\|\&model" in markdown


def test_hostile_texts_stay_texts(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    summary["name"] = summary["targets"][0]["model"] = "</title><script>alert(2)</script>"
    summary["commands"].append("echo '</pre><script>alert(3)</script>' ```")
    (run / "summary.json").write_text(json.dumps(summary))
    page = Page(pages(run)[1])
    assert page.tags.count("script") == 2
    assert {"img", "link", "iframe", "b"}.isdisjoint(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in page.scripts[0] and "</script>" not in page.scripts[0]
    assert not [v for n, v in page.attributes if n in ("src", "href", "xlink:href") and not str(v).startswith("#")]


def test_the_embedded_data_is_the_cases(run: Path) -> None:
    data = json.loads(Page(pages(run)[1]).scripts[0])
    assert data == cases_of(load(run, texts=True))
    assert len(data["cases"]) == len(TARGETS) * PROMPTS
    assert {data["prompts"][f"p{n:03}"]["text"] for n in range(len(HOSTILE))} == set(HOSTILE)
    means = []
    for case in data["cases"]:
        scores = [verdict["score"] for verdict in case["verdicts"] if verdict["score"] is not None]
        means.append(sum(scores) / len(scores) if scores else 2)
    assert means == sorted(means) and means[0] == -1 and means[-1] == 2


def test_a_contrast_told_from_the_other_side_reads_the_same(run: Path, tmp_path: Path) -> None:
    plain = cases_of(load(run, texts=False))
    rows = [json.loads(line) for line in (run / "outcomes.jsonl").read_text().splitlines()]
    other = {"x": "y", "y": "x", "tie": "tie", None: None}
    for row in rows:
        row["x"], row["y"] = row["y"], row["x"]
        row["first"], row["second"] = other[row["first"]], other[row["second"]]
        row["score"] = None if row["score"] is None else -row["score"]
        row["probability"] = 1 - row["probability"]
    write_jsonl(run / "outcomes.jsonl", rows)
    turned = cases_of(load(run, texts=False))
    assert json.loads(json.dumps(turned), parse_float=lambda t: round(float(t), 6)) == json.loads(
        json.dumps(plain), parse_float=lambda t: round(float(t), 6)
    )
    one = contrasts(
        {"targets": [{"name": "t", "contrasts": [contrast(random.Random(1), "j", "rewritten", "raw")[0]]}]}
    )[0]
    assert one.turned().turned() == one and one.turned().won == one.lost


def test_a_run_of_two_conditions_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", extras=False)
    for file in ("outcomes.jsonl", "answers.jsonl"):
        markdown, page = pages(run)
        assert "Table 1" in markdown and "reference" not in Page(page).text and "Figure 3" not in page
        (run / file).unlink()
    assert "Table 2" not in pages(run)[1]
    (run / "summary.json").write_text(json.dumps({"format": 1, "targets": [{"name": "t"}]}))
    assert "1 target" in pages(run)[0]


def test_odd_but_legal_cards_are_shown(run: Path) -> None:
    (run / "tasks" / "rouge.json").write_text(
        json.dumps({"task": "rouge", "target": "t", "raw": {"rouge1": 0.4111}, "rewritten": {"rouge1": 0.4222}})
    )
    (run / "tasks" / "mmlu.json").write_text(
        json.dumps(
            {
                "raw": {"accuracy": 0.6111},
                "rewritten": {"accuracy": 0.6},
                "difference": {"accuracy": -0.0111, "interval": [-0.0333, 0.0111]},
                "n": 90,
            }
        )
    )
    (run / "judges" / "other.json").write_text(json.dumps({"sets": [{"name": "mine"}, 3]}))
    markdown, page = pages(run)
    assert "0.411" in page and "0.011 [−0.033, +0.011]" in page and "mine" in page and "mmlu" in markdown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no summary.json"),
        ("{", "summary.json is not JSON"),
        ("[]", "must hold a JSON object, found list"),
        ('{"format": 2}', "format 2, newer than 1"),
        ('{"format": 1, "targets": {}}', "'targets' must list"),
        ('{"targets": []}', "'format' must be 1, found None"),
    ],
)
def test_a_bad_summary_is_one_line_with_the_next_command(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(InputError) as caught:
        write_report(tmp_path)
    message = str(caught.value)
    assert said in message and "summary.json" in message and f"promptlift evaluate --out {tmp_path}" in message
    assert "\n" not in message


def test_a_broken_card_is_named(run: Path) -> None:
    (run / "judges" / "gpt-x.json").write_text("nope")
    with pytest.raises(InputError, match=r"gpt-x\.json is not JSON"):
        write_report(run)


def test_same_run_same_bytes(run: Path) -> None:
    first = [path.read_bytes() for path in write_report(run)]
    assert first == [path.read_bytes() for path in write_report(run)]


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_missing_extra(run: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"promptlift\[eval\]"):
        write_report(run)


def test_agreement_of_judges() -> None:
    assert kappa([(1, 1), (0, 0), (-1, -1)]) == 1
    assert kappa([(1, 1), (1, 1)]) is None and kappa([]) is None
    assert kappa([(1, 1), (1, -1), (-1, 1), (-1, -1)]) == 0
    scores = {"a": [1, -1, 0, None], "b": [1, 1, 0, 1]}
    rows = [
        {"target": "t", "judge": j, "id": str(n), "x": "rewritten", "y": "raw", "score": s}
        for j, of in scores.items()
        for n, s in enumerate(of)
    ]
    (found,) = agreements(rows)
    assert (found.n, found.same, found.decided, found.same_winner) == (3, 2, 2, 1)
    assert found.kappa == pytest.approx((2 / 3 - 1 / 3) / (2 / 3))


@pytest.mark.parametrize(("value", "shown"), [(12.34, "+12.3"), (-0.04, "0.0"), (0.04, "0.0"), (-3, "−3.0")])
def test_signs(value: float, shown: str) -> None:
    assert signed(value) == shown
