"""A run's stages: prompts that are read and drawn, conditions, answers, and what the folder keeps."""

from __future__ import annotations

import csv
import json
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import ScriptedClient

from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient
from promptlift.errors import BudgetError, InputError, RecordError, TargetError
from promptlift.evaluation.answers import AnswerSettings
from promptlift.evaluation.conditions import SUFFIX, ZERO_SHOT
from promptlift.evaluation.folder import Answered, Asked, Prompt, RunFolder, digest, slug
from promptlift.evaluation.prompts import draw, read_prompts
from promptlift.evaluation.run import answer, parse_conditions, prepare, remember_command
from promptlift.evaluation.summary import conditions_of


def quiet(*_: object) -> None:
    """No progress is shown."""


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


# --- prompts ---------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["prompt", "instruction", "question"])
def test_the_same_prompts_are_read_from_jsonl_csv_and_plain_lines(tmp_path: Path, field: str) -> None:
    texts = ["why do cats purr", 'say "hi", twice', "naïve café"]
    jsonl = read_prompts(lines(tmp_path / "p.jsonl", *({field: t} for t in texts)))
    plain = read_prompts(lines(tmp_path / "p.txt", *texts, "", texts[0]))
    with (tmp_path / "p.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["source", field, "id"], *(["", t, ""] for t in texts)])
    table = read_prompts(tmp_path / "p.csv")
    assert [p.prompt for p in jsonl] == texts
    assert jsonl == plain == table, "an id that is not given is of the text"
    assert len({p.id for p in jsonl}) == 3


def test_ids_sources_and_references_are_kept(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "instruction": "one", "dataset": "vicuna", "output": "known", "extra": 1},
        {"id": "8", "instruction": "two", "source": "koala", "reference": " ", "gold": "G"},
        {"id": 0, "instruction": "one", "dataset": "vicuna", "output": ""},
    ]
    path = lines(tmp_path / "p.jsonl", *rows)
    found = read_prompts(path)
    assert [(p.id, p.source) for p in found] == [("7", "vicuna"), ("8", "koala"), ("0", "vicuna")]
    assert [p.reference for p in found] == ["known", None, None], (
        "an empty reference is none: every answer would beat it"
    )
    assert [p.reference for p in read_prompts(path, "gold")] == [None, "G", None]
    with pytest.raises(RecordError, match="no row has text in field 'best'"):
        read_prompts(path, "best")


@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("p.jsonl", [{"id": 1, "prompt": "a"}, {"id": "1", "prompt": "b"}], "id '1' of prompt 2 stands twice"),
        ("p.jsonl", [{"id": 1, "prompt": "a"}, {"id": 1, "prompt": "a"}], "stands twice"),
        ("p.jsonl", [{"prompt": "a"}, {"prompt": 5}], "line 2: no text in field 'prompt'"),
        ("p.jsonl", [{"text": "a"}], "the row's fields are text"),
        ("p.jsonl", [{"prompt": "a"}, "{"], "line 2: not JSON"),
        ("p.jsonl", [], "holds no prompts"),
        ("p.csv", [], "p.csv"),
        ("p.csv", ["text", "a"], "no text in field 'prompt'"),
        ("p.txt", ["", "  "], "holds no prompts"),
    ],
)
def test_prompts_that_cannot_be_used_are_told_by_file_and_line(
    tmp_path: Path, name: str, rows: list[object], says: str
) -> None:
    with pytest.raises((InputError, RecordError), match=says) as error:
        read_prompts(lines(tmp_path / name, *rows))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_the_same_text_without_an_id_is_one_prompt(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "p.jsonl", {"prompt": "a"}, {"prompt": "a", "id": None}, {"prompt": "a", "id": "x"}, {"prompt": "a"}
    )
    assert [p.id for p in read_prompts(path)] == [digest("a"), "x"]


SOURCES = st.lists(st.sampled_from(["koala", "vicuna", "self", ""]), min_size=1, max_size=60)


@given(SOURCES, st.integers(1, 70), st.integers(0, 3), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_draw_is_stratified_kept_in_order_and_the_same_each_time(
    sources: list[str], n: int, seed: int, rng: object
) -> None:
    prompts = [Prompt(f"{k:03}", f"prompt {k}", source) for k, source in enumerate(sources)]
    found = draw(prompts, n, seed)
    assert len(found) == min(n, len(prompts)) and found == draw(prompts, n, seed)
    assert [p.id for p in found] == sorted({p.id for p in found})
    of, drawn = Counter(sources), Counter(p.source for p in found)
    for source, count in of.items():
        assert abs(drawn[source] - min(n, len(prompts)) * count / len(prompts)) < 1
    mixed = list(prompts)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert {p.id for p in draw(mixed, n, seed)} == {p.id for p in found}, "the file's order draws nothing"


def test_another_seed_draws_others_and_none_draws_all() -> None:
    prompts = [Prompt(str(k), str(k)) for k in range(100)]
    assert draw(prompts, None, 0) == draw(prompts, 100, 1) == prompts
    assert draw(prompts, 20, 0) != draw(prompts, 20, 1)


# --- conditions ------------------------------------------------------------------------


def test_conditions_are_built_in_or_have_a_file() -> None:
    assert parse_conditions([]) == {"raw": None}
    assert parse_conditions(["suffix", "raw", "bpo=a=b.jsonl"]) == {
        "raw": None,
        "suffix": None,
        "bpo": Path("a=b.jsonl"),
    }
    for wrong in (
        ["bpo"],
        ["bpo="],
        ["=f"],
        ["raw=f"],
        ["suffix=f"],
        ["reference=f"],
        ["reference"],
        ["a=f", "a=g"],
        ["suffix"] * 2,
        [""],
    ):
        with pytest.raises(InputError, match="--condition"):
            parse_conditions(wrong)


PROMPTS = [Prompt("1", "one"), Prompt("2", "two"), Prompt("3", "two")]


def test_rewrites_from_a_file_find_their_prompts(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "r.jsonl", {"id": "1", "rewrite": "one, better"}, {"prompt": "two", "optimized": "two, better"}
    )
    run = RunFolder(tmp_path / "run")
    run.keep_prompts(PROMPTS)
    rows = prepare(run, "t", PROMPTS, parse_conditions(["suffix", f"bpo={path}"]), None, None, 1, quiet)
    assert rows == run.asked() and [(r.condition, r.id) for r in rows] == [
        (c, i) for c in ("raw", "suffix", "bpo") for i in "123"
    ]
    assert [(r.text, r.changed, r.reason) for r in rows[:3]] == [(p.prompt, False, None) for p in PROMPTS]
    assert [r.text for r in rows[3:6]] == [f"{p.prompt}\n\n{SUFFIX}" for p in PROMPTS]
    assert [r.text for r in rows[6:]] == ["one, better", "two, better", "two, better"]
    path = lines(
        path, {"id": "3", "prompt": "two", "rewrite": "third"}, {"id": "99", "prompt": "one", "rewrite": "one"}
    )
    rows = prepare(run, "t", PROMPTS, parse_conditions([f"bpo={path}"]), None, None, 1, quiet)[3:]
    assert [(r.text, r.changed, r.reason) for r in rows] == [
        ("one", False, None),
        ("two", False, "none"),
        ("third", True, None),
    ]
    assert rows == run.asked()[3:], "what was asked before is replaced"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"id": "9", "rewrite": "x"}], "line 1: neither its id '9' nor its prompt is one of the 3"),
        ([{"id": "1"}], "line 1: no text in 'rewrite' or 'optimized'; its keys are id"),
        ([{"id": "1", "rewrite": " "}], "line 1: no text"),
        ([{"id": "1", "rewrite": "x"}, {"prompt": "one", "rewrite": "y"}], "line 2: prompt '1' has another rewrite"),
        ([{"id": "1", "rewrite": "x"}, "nonsense"], "line 2: not JSON"),
        ([], "holds no rewrites"),
    ],
)
def test_rewrites_that_do_not_belong_are_told(tmp_path: Path, rows: list[object], says: str) -> None:
    path = lines(tmp_path / "r.jsonl", *rows)
    with pytest.raises((InputError, RecordError), match=says):
        prepare(RunFolder(tmp_path / "run"), "t", PROMPTS, parse_conditions([f"bpo={path}"]), None, None, 1, quiet)


def llm(folder: Path, client: ScriptedClient, limits: Limits | None = None) -> CachedClient:
    return CachedClient(client, AnswerCache(folder / "cache.sqlite"), Budget(limits or Limits()))


def test_what_the_untrained_base_says_is_taken_unless_it_is_nothing(tmp_path: Path) -> None:
    def reply(prompt: str) -> str | Exception:
        said = prompt.removeprefix(ZERO_SHOT.format(prompt=""))
        return TargetError("it broke") if said == "one" else {"two": "Two, please."}.get(said, "")

    prompts = [*PROMPTS[:2], Prompt("4", "four")]
    rows = prepare(
        RunFolder(tmp_path), "t", prompts, parse_conditions(["zero-shot"]), None, llm(tmp_path, ScriptedClient(reply)), 2, quiet
    )[3:]  # fmt: skip
    assert [(r.text, r.changed, r.reason) for r in rows] == [
        ("one", False, "it broke"), ("Two, please.", True, None), ("four", False, "it wrote nothing"),
    ]  # fmt: skip
    with pytest.raises(BudgetError):
        prepare(
            RunFolder(tmp_path), "t", [Prompt("5", "five")], parse_conditions(["zero-shot"]), None,
            llm(tmp_path, ScriptedClient(reply), Limits(calls=0)), 2, quiet,
        )  # fmt: skip


# --- answers ---------------------------------------------------------------------------


def ready(path: Path, count: int = 12) -> tuple[RunFolder, list[Asked]]:
    run = RunFolder(path / "run")
    prompts = [Prompt(str(k), f"prompt {k}") for k in range(count)]
    run.keep_prompts(prompts)
    lines(path / "same.jsonl", *({"id": str(k), "rewrite": f"prompt {k}"} for k in range(count)))
    wanted = parse_conditions(["suffix", f"same={path / 'same.jsonl'}"])
    return run, prepare(run, "t", prompts, wanted, None, None, 1, quiet)


def test_the_same_text_is_asked_once_whatever_the_condition(tmp_path: Path) -> None:
    run, asked = ready(tmp_path)
    client = ScriptedClient(lambda prompt: prompt.upper())
    answer(run, "t", asked, llm(tmp_path, client), AnswerSettings(concurrency=3), quiet)
    assert sorted(client.prompts) == sorted({row.text for row in asked}) and client.calls == 24
    assert [(a.id, a.condition, a.answer) for a in run.answers()] == [
        (r.id, r.condition, r.text.upper()) for r in asked
    ]
    public = [json.loads(line) for line in (run.path / "answers.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in public] == [digest(r.text.upper()) for r in asked]
    assert [row["asked"] for row in public] == [digest(r.text) for r in asked]
    assert "PROMPT" not in (run.path / "answers.jsonl").read_text()
    assert (run.path / "texts" / ".gitignore").read_text() == "*\n"
    kept = run.settings()["targets"]["t"]
    assert (kept["model"], kept["max_tokens"], kept["temperature"], kept["seed"]) == ("scripted", 600, 0.7, 0)


@pytest.mark.parametrize("count", [1, 12])
def test_a_target_that_is_down_is_asked_five_times_at_most(tmp_path: Path, count: int) -> None:
    run, asked = ready(tmp_path, count)
    client = ScriptedClient(lambda _: TargetError("nobody is there"))
    with pytest.raises(TargetError, match=r"nobody is there \(the first \d questions all failed, so no further"):
        answer(run, "t", asked, llm(tmp_path, client), AnswerSettings(concurrency=8), quiet)
    assert client.calls == min(5, 2 * count) and run.answers() == []


def test_a_target_that_dies_half_way_is_counted_and_asked_again_later(tmp_path: Path) -> None:
    run, asked = ready(tmp_path)
    served, lock = [0], threading.Lock()

    def reply(prompt: str) -> str | Exception:
        with lock:
            served[0] += 1
            return f"so: {prompt}" if served[0] <= 10 else TargetError("it died")

    answer(run, "t", asked, llm(tmp_path, ScriptedClient(reply)), AnswerSettings(concurrency=1), quiet)
    found = {row["name"]: row for row in conditions_of("t", run.answers(), asked)}
    assert (
        (found["raw"]["answers"], found["raw"]["failed"])
        == (10, 2)
        == (found["same"]["answers"], found["same"]["failed"])
    )
    assert (
        found["suffix"]["answers"] == 0
        and found["suffix"]["problems"] == {"it died": 12}
        and found["suffix"]["words"] == 0
    )
    assert found["raw"]["words"] == 3 and found["raw"]["changed"] == 0 and found["suffix"]["changed"] == 12
    client = ScriptedClient(lambda prompt: f"so: {prompt}")
    answer(run, "t", asked, llm(tmp_path, client), AnswerSettings(concurrency=1), quiet)
    assert client.calls == 14 and not any(a.problem for a in run.answers())


def test_a_budget_keeps_what_was_answered(tmp_path: Path) -> None:
    run, asked = ready(tmp_path)
    client = ScriptedClient(lambda prompt: prompt)
    for limit, whole in ((3, False), (12, False), (9, True)):
        if whole:
            answer(run, "t", asked, llm(tmp_path, client, Limits(calls=limit)), AnswerSettings(concurrency=2), quiet)
        else:
            with pytest.raises(BudgetError, match=f"--max-calls {limit} is reached"):
                answer(
                    run, "t", asked, llm(tmp_path, client, Limits(calls=limit)), AnswerSettings(concurrency=2), quiet
                )
        answered = {a.answer for a in run.answers()}
        assert len(answered) == client.calls == min(24, {3: 3, 12: 15, 9: 24}[limit])
        assert not any(a.problem for a in run.answers()), "what was not begun did not fail"


# --- the folder ------------------------------------------------------------------------


def test_a_folder_holds_one_set_of_prompts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match="holds no prompts; begin with: promptlift evaluate --target"):
        run.prompts()
    assert not (tmp_path / "run").exists()
    run.keep_prompts(PROMPTS)
    run.keep_prompts([Prompt("1", "one", reference="new"), *PROMPTS[1:]])
    assert run.prompts()[0].reference == "new"
    for other in (PROMPTS[:2], list(reversed(PROMPTS)), [Prompt("1", "one!"), *PROMPTS[1:]]):
        with pytest.raises(InputError, match="was begun with other prompts"):
            run.keep_prompts(other)
    assert len(run.prompts()) == 3


@given(
    st.lists(
        st.tuples(st.text(max_size=20), st.text(max_size=20), st.one_of(st.none(), st.text(max_size=20))), max_size=6
    )
)
@settings(max_examples=20, deadline=None)
def test_any_text_is_kept_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str | None]]
) -> None:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    prompts = [Prompt(str(k), text, reference=said) for k, (text, _, said) in enumerate(rows)]
    answers = [Answered("t", str(k), "raw", said, 3, True) for k, (_, _, said) in enumerate(rows)]
    run.keep_prompts(prompts)
    run.keep_asked("t", [Asked("t", p.id, "raw", p.prompt, False) for p in prompts])
    run.keep_answers("t", answers)
    assert run.prompts() == prompts and run.answers() == answers
    run.keep_answers("u", [Answered("u", "1", "raw", "other")])
    assert [a for a in run.answers() if a.target == "t"] == answers and len(run.answers()) == len(answers) + 1


def test_damaged_files_are_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.keep_prompts(PROMPTS)
    (tmp_path / "texts" / "prompts.jsonl").write_text('{"id": "1", "prompt": "x"}\n{"id": "2", "question": "x"}\n')
    with pytest.raises(RecordError, match=r"prompts\.jsonl, line 2: not a row of a run"):
        run.prompts()
    for content in ("{", "[]"):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(InputError, match=r"run\.json .*name another folder"):
            run.settings()


def test_commands_are_remembered_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for words in (["evaluate", "--out", "a b"], ["evaluate", "report"], ["evaluate", "--out", "a b"]):
        remember_command(run, words, seed=3)
    assert run.settings()["commands"] == ["promptlift evaluate report", 'promptlift evaluate --out "a b"']
    assert run.settings()["seed"] == 3


def test_a_login_in_a_url_is_not_remembered(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    remember_command(run, ["evaluate", "--base-url", "https://me:secret@host/v1"])
    assert run.settings()["commands"] == ["promptlift evaluate --base-url https://host/v1"]


def test_names_become_file_names() -> None:
    assert slug("Qwen/Qwen2.5:3B ") == "Qwen-Qwen2.5-3B" and slug("../..") == slug("") == "unnamed"
