"""Judges and targets by file: what the reader gets tells nothing, and what comes back is checked and joined."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptlift.errors import InputError, RecordError
from promptlift.evaluation.by_file import export_blind, export_prompts, import_answers, import_verdicts
from promptlift.evaluation.comparing import Comparison, Verdict
from promptlift.evaluation.folder import Answered, Asked, Prompt, RunFolder
from promptlift.evaluation.judging import Contrast, judge_all
from promptlift.evaluation.run import every_match, run_matches
from promptlift.evaluation.summary import summarize

TARGETS, CONDITIONS = ("gpt-zulu", "qwen-tango"), ("raw", "suffix", "foxtrot")
CONTRASTS: list[Contrast] = [("suffix", "raw"), ("foxtrot", "raw"), ("foxtrot", "suffix")]
SECRETS = (*TARGETS, *CONDITIONS, "zulu", "tango", "my-source", "the-judge", "p-1")


class Reader:
    """Prefers the longer text; the judge in process, and whoever fills in a file."""

    name, symmetric = "the-judge", False

    def word(self, prompt: str, a: str, b: str) -> Any:
        """In one prompt of three it looks at the order alone."""
        if prompt.endswith(("3", "6", "9")):
            return "a"
        return "tie" if len(a) == len(b) else ("a" if len(a) > len(b) else "b")

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        return [Verdict(c.id, self.word(c.prompt, c.answer_a, c.answer_b), self.name) for c in comparisons]

    def fill_in(self, file: Path, seed: int = 0) -> Path:
        """Verdicts on a file of comparisons, in any order."""
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        random.Random(seed).shuffle(rows)
        out = file.with_name(f"verdicts-{file.stem}.jsonl")
        lines = [{"id": r["id"], "winner": self.word(r["prompt"], r["answer_a"], r["answer_b"])} for r in rows]
        out.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return out


def begin(path: Path, prompts: int = 12, seed: int = 0) -> RunFolder:
    """A run with answers of two targets; some are the same, some are empty, some failed."""
    rng, run = random.Random(seed), RunFolder(path)
    rows = [Prompt(f"p-{k}", f"tell me of thing {k}", "my-source", "word " * k) for k in range(prompts)]
    run.keep_prompts(rows)
    for target in TARGETS:
        run.keep_asked(
            target, [Asked(target, p.id, c, f"{p.prompt} {c}", c != "raw") for c in CONDITIONS for p in rows]
        )
        answers = []
        for condition in CONDITIONS:
            for prompt in rows:
                text = " ".join(rng.choices("stone paper water light".split(), k=rng.randrange(0, 9)))
                text = "the same" if prompt.id == "p-2" else text
                failed = rng.random() < 0.05
                answers.append(Answered(target, prompt.id, condition, None if failed else text, problem="down" if failed else None))  # fmt: skip
        run.keep_answers(target, answers)
    return run


def of(run: RunFolder) -> list[Any]:
    """What is compared in these tests."""
    return [m for target in TARGETS for m in run_matches(run, target, CONTRASTS)]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("comparisons*.jsonl"))


def exported(folder: Path) -> list[list[Comparison]]:
    return [[Comparison(**json.loads(line)) for line in file.read_text().splitlines()] for file in files(folder)]


def keyed(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_verdicts_by_file_come_to_what_the_same_judge_says_in_process(tmp_path: Path, parts: int, seed: int) -> None:
    run, reader, out = begin(tmp_path / "run", seed=seed), Reader(), tmp_path / "out"
    direct, over = judge_all(of(run), reader, lambda *_: None)
    assert over is None and {row["score"] for row in direct} == {-1, 0, 1}
    assert any(r["same"] for r in direct) and any(r["flipped"] for r in direct) and any(r.get("empty") for r in direct)
    count = export_blind(run, "first", of(run), out, seed, parts=parts)
    verdicts = [reader.fill_in(file, seed) for file in files(out)]
    found = import_verdicts(run, "first", reader.name, verdicts, every_match(run))
    assert (found.verdicts, found.repeated, found.missing) == (count, 0, 0) == (sum(map(len, exported(out))), 0, 0)
    assert keyed(found.rows) == keyed(direct)


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("one_order", [[], [("suffix", "raw")], [("foxtrot", "raw"), ("foxtrot", "suffix")]])
def test_the_orders_of_one_pair_never_meet_in_a_file(tmp_path: Path, parts: int, one_order: list[Contrast]) -> None:
    run = begin(tmp_path / "run", 20)
    for row_seed in range(4):
        out = tmp_path / str(row_seed)
        found = [m for m in of(run) if m.settled() is None]
        export_blind(run, str(row_seed), of(run), out, row_seed, one_order, parts)
        dealt = exported(out)
        assert len(dealt) == parts and max(map(len, dealt)) - min(map(len, dealt)) <= len(found) // 3 + parts
        for part in dealt:
            ids = {shown.id for shown in part}
            assert not [shown for shown in part if shown.swapped().id in ids]
        every = [shown.id for part in dealt for shown in part]
        assert len(every) == len(set(every)), "nothing is read twice"
        both = {m.comparison.id for m in found if (m.x, m.y) not in one_order}
        assert both <= set(every) and {m.comparison.swapped().id for m in found if m.comparison.id in both} <= set(
            every
        )


def test_a_pair_that_two_contrasts_share_is_dealt_as_one(tmp_path: Path) -> None:
    """Where one contrast shows one order and another, on the same texts, both or the other."""
    for seed in range(8):
        run = RunFolder(tmp_path / f"run{seed}")
        run.keep_prompts([Prompt(str(k), f"prompt {k}") for k in range(6)])
        texts = {"raw": "short {}", "suffix": "a longer text {}", "foxtrot": "a longer text {}"}
        run.keep_answers("t", [Answered("t", str(k), c, text.format(k)) for c, text in texts.items() for k in range(6)])
        wanted: list[Contrast] = [("suffix", "raw"), ("raw", "foxtrot")]
        found = run_matches(run, "t", wanted)
        for name, one_order in (("some", wanted[:1]), ("all", wanted)):
            out = tmp_path / f"{name}{seed}"
            export_blind(run, name, found, out, seed, one_order, 2)
            for part in exported(out):
                assert not {shown.id for shown in part} & {shown.swapped().id for shown in part}
            verdicts = [Reader().fill_in(file) for file in files(out)]
            rows = import_verdicts(run, name, "r", verdicts, every_match(run)).rows
            assert len(rows) == 12
            assert {r["score"] for r in rows if r["id"] in "1245" and r["x"] == "suffix"} == {1}
            assert {r["score"] for r in rows if r["id"] in "1245" and r["x"] == "raw"} == {-1}


def test_nothing_that_the_reader_gets_tells_which_is_which(tmp_path: Path) -> None:
    run, out = begin(tmp_path / "run"), tmp_path / "out"
    export_blind(run, "first", of(run), out, parts=2)
    got = [file for file in out.rglob("*") if file.is_file()]
    assert sorted(f.name for f in got) == ["INSTRUCTIONS.md", "comparisons-1.jsonl", "comparisons-2.jsonl"]
    for file in got:
        content = file.read_bytes().lower()
        assert not [word for word in SECRETS if word.encode() in content or word in file.name]
    for part in exported(out):
        for shown in part:
            assert shown == Comparison.of(shown.prompt, shown.answer_a, shown.answer_b), (
                "ids are hashes of the texts alone"
            )


def test_which_side_is_shown_first_is_drawn(tmp_path: Path) -> None:
    run, out = begin(tmp_path / "run", 40), tmp_path / "out"
    export_blind(run, "first", of(run), out, one_order=CONTRASTS)
    (shown,) = exported(out)
    straight = {m.comparison.id for m in of(run)}
    share = sum(one.id in straight for one in shown) / len(shown)
    assert 0.35 < share < 0.65
    again = tmp_path / "again"
    export_blind(run, "second", of(run), again, one_order=CONTRASTS)
    assert exported(again) == [shown], "the same seed, the same file"


def test_one_order_needs_one_verdict(tmp_path: Path) -> None:
    run, out, reader = begin(tmp_path / "run"), tmp_path / "out", Reader()
    count = export_blind(run, "first", of(run), out, one_order=CONTRASTS)
    open_pairs = {frozenset((m.comparison.id, m.comparison.swapped().id)) for m in of(run) if m.settled() is None}
    assert len(open_pairs) <= count <= sum(m.settled() is None for m in of(run))
    found = import_verdicts(run, "first", "r", [reader.fill_in(out / "comparisons.jsonl")], every_match(run))
    assert found.missing == 0 and not any(row["flipped"] and row["first"] == row["second"] for row in found.rows)
    assert len(found.rows) == len(of(run))
    honest = [r for r in found.rows if not r["id"].endswith(("3", "6", "9")) and not r.get("empty")]
    texts = {(a.target, a.id, a.condition): a.answer or "" for a in run.answers()}
    for row in honest:
        x, y = (len(texts[row["target"], row["id"], row[side]]) for side in "xy")
        assert row["score"] == (x > y) - (x < y)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, list[dict[str, str]]]:
    """A run that was exported, and verdicts on it."""
    folder = tmp_path_factory.mktemp("kept")
    run = begin(folder / "run")
    export_blind(run, "first", of(run), folder / "out")
    verdicts = Reader().fill_in(folder / "out" / "comparisons.jsonl")
    return run, [json.loads(line) for line in verdicts.read_text().splitlines()]


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_verdicts_their_files_and_repetitions_do_not_matter(
    kept: tuple[RunFolder, list[dict[str, str]]], tmp_path: Path, data: st.DataObject
) -> None:
    run, verdicts = kept
    whole = import_verdicts(run, "first", "r", [write(tmp_path / "whole.jsonl", verdicts)], every_match(run))
    again = data.draw(st.lists(st.sampled_from(verdicts), max_size=5))
    mixed = data.draw(st.permutations([*verdicts, *again]))
    cut = data.draw(st.integers(0, len(mixed)))
    parts = [write(tmp_path / "1.jsonl", mixed[:cut]), write(tmp_path / "2.jsonl", mixed[cut:])]
    found = import_verdicts(run, "first", "r", parts, every_match(run))
    assert found.repeated == len(again) and found.verdicts == len(verdicts)
    assert keyed(found.rows) == keyed(whole.rows)


def test_missing_verdicts_are_counted_and_come_to_nothing(
    kept: tuple[RunFolder, list[dict[str, str]]], tmp_path: Path
) -> None:
    run, verdicts = kept
    whole = import_verdicts(run, "first", "r", [write(tmp_path / "whole.jsonl", verdicts)], every_match(run))
    found = import_verdicts(run, "first", "r", [write(tmp_path / "v.jsonl", verdicts[3:])], every_match(run))
    assert found.missing == 3 and found.verdicts == len(verdicts) - 3
    judged = [row for row in found.rows if row["score"] is not None]
    assert set(keyed(judged)) < set(keyed(whole.rows)) and len(found.rows) == len(whole.rows)
    assert all(row["problem"] == "no verdict in the file" for row in found.rows if row["score"] is None)
    none = import_verdicts(run, "first", "r", [write(tmp_path / "none.jsonl", [])], every_match(run))
    assert none.missing == len(verdicts) and {r["first"] or r["second"] for r in none.rows} == {None}
    assert all(row["score"] is None for row in none.rows if not row["same"] and not row.get("empty"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"id": "0123456789abcdef", "winner": "a"}, "id '0123456789abcdef' is none of the"),
        ({"winner": "a"}, "id None is none of the"),
        ({"id": ["x"], "winner": "a"}, r"id \['x'\] is none of the"),
        ({"id": 5, "winner": "a"}, "id 5 is none of the"),
        ({"id": "OWN", "winner": "A"}, "winner is 'A'; it must be 'a', 'b' or 'tie'"),
        ({"id": "OWN", "winner": None}, "winner is None"),
        ({"id": "OWN"}, "winner is None"),
        ({"id": "OWN", "winner": ["a"]}, "winner is"),
        ({"id": "OTHER"}, "winner is None"),
        ('{"id": "x", ', "not JSON"),
        ("[1]", "a JSON object is needed"),
        ("hello", "not JSON"),
    ],
)
def test_a_bad_verdict_is_told_with_its_file_and_line(
    kept: tuple[RunFolder, list[dict[str, str]]], tmp_path: Path, line: Any, says: str
) -> None:
    run, verdicts = kept
    if isinstance(line, dict) and line.get("id") in ("OWN", "OTHER"):
        line = line | {"id": verdicts[5]["id"]}
    file = write(tmp_path / "v.jsonl", [*verdicts[:2], line])
    with pytest.raises(RecordError, match=rf"v\.jsonl, line 3: .*{says}") as error:
        import_verdicts(run, "first", "r", [file], every_match(run))
    assert "\n" not in str(error.value)


def test_verdicts_that_contradict_each_other_are_told(
    kept: tuple[RunFolder, list[dict[str, str]]], tmp_path: Path
) -> None:
    run, verdicts = kept
    other = verdicts[0] | {"winner": "b" if verdicts[0]["winner"] == "a" else "a"}
    files = [write(tmp_path / "v.jsonl", verdicts), write(tmp_path / "w.jsonl", [verdicts[1], other])]
    with pytest.raises(RecordError, match=r"w\.jsonl, line 2: .* is '[ab]', and was '(a|b|tie)'"):
        import_verdicts(run, "first", "r", files, every_match(run))


def test_an_export_keeps_its_name_its_key_and_its_answers(tmp_path: Path) -> None:
    run, reader = begin(tmp_path / "run"), Reader()
    export_blind(run, "first", of(run), tmp_path / "out")
    verdicts = [reader.fill_in(tmp_path / "out" / "comparisons.jsonl")]
    for name in ("first", "first ", "-first"):
        with pytest.raises(InputError, match="exists already"):
            export_blind(run, name, of(run), tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(InputError, match="has no export named 'second'; it has first"):
        import_verdicts(run, "second", "r", verdicts, every_match(run))
    with pytest.raises(InputError, match="no pair of different answers"):
        export_blind(run, "none", [m for m in of(run) if m.settled() is not None], tmp_path / "again")
    with pytest.raises(InputError, match=r"can't read .*gone\.jsonl"):
        import_verdicts(run, "first", "r", [tmp_path / "gone.jsonl"], every_match(run))

    key = run.path / "blind" / "first.key.jsonl"
    content = key.read_text()
    key.write_text(content.replace("foxtrot", "suffix"))
    with pytest.raises(InputError, match="was changed since the export"):
        import_verdicts(run, "first", "r", verdicts, every_match(run))
    key.write_text(content)
    whole = import_verdicts(run, "first", "r", verdicts, every_match(run)).rows

    before = run.answers()
    row = next(r for r in whole if r["score"] and not r.get("empty"))
    one = next(a for a in before if (a.target, a.id, a.condition) == (row["target"], row["id"], row["x"]))
    run.keep_answers(one.target, [
        a if a != one else Answered(a.target, a.id, a.condition, "quite another text") for a in before if a.target == one.target
    ])  # fmt: skip
    with pytest.raises(InputError, match="has other answers than those exported as 'first'"):
        import_verdicts(run, "first", "r", verdicts, every_match(run))
    for target in TARGETS:
        run.keep_answers(target, [a for a in before if a.target == target])
    assert keyed(import_verdicts(run, "first", "r", verdicts, every_match(run)).rows) == keyed(whole)


def test_outcomes_on_an_answer_that_changed_are_dropped(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    rows, _ = judge_all(of(run), Reader(), lambda *_: None)
    run.keep_outcomes(rows)
    run.keep_outcomes(rows)
    assert keyed(run.outcomes()) == keyed(rows), "the same outcomes again are no more"
    before = run.answers()
    one = next(a for a in before if a.answer and a.target == TARGETS[0] and a.condition == "raw")
    mine = [a for a in before if a.target == one.target]
    run.keep_answers(one.target, mine)
    assert keyed(run.outcomes()) == keyed(rows)
    run.keep_answers(one.target, [a if a != one else Answered(a.target, a.id, "raw", "new words") for a in mine])
    left = keyed(run.outcomes())
    assert left == keyed(
        [r for r in rows if (r["target"], r["id"]) != (one.target, one.id) or "raw" not in (r["x"], r["y"])]
    )
    assert len(left) < len(rows)


# --- targets by file -------------------------------------------------------------------


def asked(path: Path) -> RunFolder:
    run = RunFolder(path)
    prompts = [Prompt(f"p-{k}", f"tell me of thing {k}") for k in range(5)]
    run.keep_prompts(prompts)
    rows = [Asked("chat", p.id, "raw", p.prompt, False) for p in prompts]
    rows += [
        Asked("chat", p.id, "mine", p.prompt if p.id == "p-0" else f"{p.prompt}, please", p.id != "p-0")
        for p in prompts
    ]
    run.keep_asked("chat", rows)
    return run


def test_answers_by_file_come_back_to_every_condition_that_asked(tmp_path: Path) -> None:
    run = asked(tmp_path / "run")
    out = tmp_path / "ask.jsonl"
    assert export_prompts(run, "chat", out) == 9, "the same text is asked once"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {r["prompt"] for r in rows} == {a.text for a in run.asked()} and all(
        set(r) == {"id", "prompt"} for r in rows
    )
    assert not [word for word in ("chat", "mine", "raw", "p-0") if word in out.read_text()]
    back = write(tmp_path / "back.jsonl", [{"id": r["id"], "answer": r["prompt"].upper()} for r in reversed(rows)])
    assert import_answers(run, "chat", back) == (9, 0)
    texts = {(a.id, a.condition): a.text.upper() for a in run.asked()}
    assert {(a.id, a.condition): a.answer for a in run.answers()} == texts
    assert len(run.answers()) == 10 and not any(a.problem for a in run.answers())
    (found,) = run_matches(run, "chat", None)[:1]
    assert found.prompt.id == "p-0" and found.settled() == 0
    pytest.importorskip("statsmodels")
    (target,) = summarize(run)["targets"]
    assert target["name"] == "chat" and [c["answers"] for c in target["conditions"]] == [5, 5]


def test_missing_and_empty_answers_are_counted(tmp_path: Path) -> None:
    run = asked(tmp_path / "run")
    export_prompts(run, "chat", tmp_path / "ask.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "ask.jsonl").read_text().splitlines()]
    shared = next(r["id"] for r in rows if r["prompt"] == "tell me of thing 0")
    told = [
        {"id": r["id"], "answer": "" if r["prompt"] == "tell me of thing 1" else "well said"}
        for r in rows
        if r["id"] != shared
    ]
    assert import_answers(run, "chat", write(tmp_path / "back.jsonl", told)) == (8, 1)
    found = {(a.id, a.condition): a for a in run.answers()}
    assert [found["p-0", c].problem for c in ("raw", "mine")] == ["not answered"] * 2
    assert found["p-1", "raw"].answer == "" and found["p-1", "raw"].problem is None
    pytest.importorskip("statsmodels")
    (target,) = summarize(run)["targets"]
    raw = next(c for c in target["conditions"] if c["name"] == "raw")
    assert (raw["answers"], raw["failed"], raw["empty"]) == (4, 1, 1)
    assert raw["words"] == 1.5, "the mean over the answers that there are"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"id": "0123456789abcdef", "answer": "x"}, "is none of the prompts exported for chat"),
        ({"id": ["x"], "answer": "x"}, "is none of the prompts"),
        ({"answer": "x"}, "id None is none of the prompts"),
        ({"id": "OWN"}, "no text in field 'answer'; its keys are id"),
        ({"id": "OWN", "answer": None}, "no text in field 'answer'"),
        ({"id": "OWN", "answer": 5}, "no text in field 'answer'"),
        ({"id": "OTHER", "answer": "another"}, "has another answer already"),
        ("not json", "not JSON"),
    ],
)
def test_a_bad_answer_is_told_with_its_file_and_line(tmp_path: Path, line: Any, says: str) -> None:
    run = asked(tmp_path / "run")
    export_prompts(run, "chat", tmp_path / "ask.jsonl")
    first, second, *_ = [json.loads(text)["id"] for text in (tmp_path / "ask.jsonl").read_text().splitlines()]
    if isinstance(line, dict):
        line = line | ({"id": {"OWN": second, "OTHER": first}.get(str(line["id"]), line["id"])} if "id" in line else {})
    file = write(tmp_path / "back.jsonl", [{"id": first, "answer": "fine"}, {"id": first, "answer": "fine"}, line])
    with pytest.raises(RecordError, match=rf"back\.jsonl, line 3: .*{says}"):
        import_answers(run, "chat", file)
    assert run.answers() == [], "nothing of it is kept"


def test_a_target_that_is_not_asked_is_told(tmp_path: Path) -> None:
    run = asked(tmp_path / "run")
    with pytest.raises(InputError, match="has nothing to ask 'other'"):
        export_prompts(run, "other", tmp_path / "ask.jsonl")
    with pytest.raises(InputError, match="has nothing to ask 'other'"):
        import_answers(run, "other", write(tmp_path / "back.jsonl", []))
