"""ROUGE and multiple choice, what all tasks share, and their commands, with a scripted LLM."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from scripted import ScriptedClient
from scripted_http import ScriptedEndpoint
from typer.testing import CliRunner

from promptlift import Prompter
from promptlift.chat.base import Choice
from promptlift.chat.budget import Budget, Limits
from promptlift.chat.cached import AnswerCache, CachedClient
from promptlift.cli import evaluate_tasks
from promptlift.errors import BudgetError, InputError, MissingExtraError, RecordError, TargetError
from promptlift.evaluation.folder import digest
from promptlift.evaluation.tasks import ifeval, multiple_choice, paired, reading, rouge
from promptlift.evaluation.tasks.intervals import mcnemar_p, mean_interval
from promptlift.evaluation.tasks.paired import Asking, Item, Reply, Rewritten, Task
from promptlift.evaluation.tasks.summary import summarise

Reply_ = Callable[[str], str | Exception]


class Chooser(ScriptedClient):
    """Tells the probabilities that the test writes; where there are none, it has the text alone."""

    def __init__(self, reply: Reply_, told: Callable[[str], dict[str, float] | None]) -> None:
        super().__init__(reply)
        self._told = told

    def choose(self, prompt: str, choices: Sequence[str], *, max_tokens: int = 16, system: str | None = None) -> Choice:
        said = super().choose(prompt, choices, max_tokens=max_tokens, system=system)
        return Choice(self._told(prompt), said.text, said.tokens, said.prompt_tokens)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    found = AnswerCache(tmp_path / "cache.sqlite")
    yield found
    found.close()


def _lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _words(n: int, name: str = "words") -> Task[Item]:
    """Asks n things; the score is the answer's length in words."""
    items = [Item(str(k), f"say {k}") for k in range(n)]
    return Task(name, items, lambda _, reply: {"words": float(len(reply.text.split()))})


def _new(task: Task[Any], *but: int) -> list[Rewritten]:
    return [
        Rewritten(item.prompt, "identity") if k in but else Rewritten(item.prompt + " well")
        for k, item in enumerate(task.items)
    ]


def test_equal_prompts_are_asked_once_and_the_difference_is_paired(cache: AnswerCache) -> None:
    client = ScriptedClient(lambda prompt: prompt)
    task = _words(6)
    rows = paired.run(task, CachedClient(client, cache), _new(task, 0, 1))
    assert sorted(client.prompts) == sorted({i.prompt for i in task.items} | {f"say {k} well" for k in range(2, 6)})
    told = summarise(task, rows)
    assert (told["n"], told["changed"], told["failed"]) == (6, 4, 0)
    assert told["unchanged_because"] == {"identity": 2}
    assert (told["raw"], told["rewritten"]) == ({"words": 2.0}, {"words": pytest.approx(2 + 4 / 6)})
    assert told["difference"]["words"]["mean"] == pytest.approx(4 / 6)
    low, high = told["difference"]["words"]["interval"]
    assert 0 < low < 4 / 6 < high <= 1
    assert told["difference_on_changed"] == {"words": {"mean": 1.0, "interval": [1.0, 1.0], "n": 4}}


def test_swapping_raw_and_rewritten_negates_the_difference(cache: AnswerCache) -> None:
    lengths = random.Random(3)
    answers = {f"say {k}{more}": "a " * lengths.randint(0, 9) for k in range(30) for more in ("", " well")}
    llm = CachedClient(ScriptedClient(lambda prompt: answers[prompt]), cache)
    task = _words(30)
    swapped = Task("words", [Item(i.id, i.prompt + " well") for i in task.items], task.score)
    one = summarise(task, paired.run(task, llm, _new(task)))
    other = summarise(swapped, paired.run(swapped, llm, [Rewritten(i.prompt) for i in task.items]))
    assert (one["raw"], one["rewritten"]) == (other["rewritten"], other["raw"])
    assert one["difference"]["words"]["mean"] == pytest.approx(-other["difference"]["words"]["mean"])
    low, high = other["difference"]["words"]["interval"]
    assert one["difference"]["words"]["interval"] == pytest.approx([-high, -low])


def test_failures_empty_and_cut_answers_are_counted(cache: AnswerCache) -> None:
    def reply(prompt: str) -> str | Exception:
        return TargetError("too long") if prompt == "say 1 well" else "" if prompt == "say 2" else "a b"

    task = _words(4)
    rows = paired.run(task, CachedClient(ScriptedClient(reply), cache), _new(task, 0))
    told = summarise(task, rows)
    assert (told["items"], told["n"], told["failed"], told["changed"]) == (4, 3, 1, 2)
    assert (told["answers"]["raw"]["empty"], told["answers"]["rewritten"]["failed"]) == (1, 1)
    assert told["raw"]["words"] == pytest.approx(4 / 3)  # of the three that were answered both ways
    assert rows[1].rewritten.scores is None and rows[1].rewritten.reply.failed == "too long"


def test_nothing_answered_and_nothing_given_are_errors(cache: AnswerCache) -> None:
    task = _words(2)
    llm = CachedClient(ScriptedClient(lambda _: TargetError("the LLM is down")), cache)
    with pytest.raises(TargetError, match="none of 2 prompts .* the LLM is down"):
        summarise(task, paired.run(task, llm, _new(task)))
    with pytest.raises(InputError, match="1 rewrites for 2 prompts"):
        paired.run(task, llm, _new(task)[:1])


def test_a_spent_budget_ends_it(cache: AnswerCache) -> None:
    task = _words(4)
    llm = CachedClient(ScriptedClient(lambda _: "a"), cache, Budget(Limits(calls=3)))
    with pytest.raises(BudgetError, match="--max-calls 3"):
        paired.run(task, llm, _new(task), Asking(concurrency=1))


def test_the_prompter_rewrites_equal_prompts_once(prompter: Prompter) -> None:
    prompts = ["how do i get better at chess", "2+2", "how do i get better at chess"]
    seen: list[tuple[str, int, int]] = []
    made = paired.rewrites_by(prompter, prompts, progress=lambda *told: seen.append(told))
    assert seen == [("rewriting", 1, 2), ("rewriting", 2, 2)]
    assert made[0] == made[2] and made[0].text == prompter.rewrite(prompts[0]).rewrite
    assert made[1].text == "2+2" and made[1].reason is not None


def test_intervals() -> None:
    assert mean_interval([0.5]) == (0.5, None)
    assert mean_interval([0.0] * 9) == (0.0, [0.0, 0.0])
    draw = random.Random(0)
    values = [draw.gauss(1, 2) for _ in range(400)]
    mean, interval = mean_interval(values)
    assert interval is not None and interval == mean_interval(values)[1] != mean_interval(values, seed=1)[1]
    assert interval == pytest.approx([mean - 1.96 * 0.1, mean + 1.96 * 0.1], abs=0.03)
    for odd in ([0.0] * 50 + [1.0], [0.0, 1.0], [1e-9, 0.0, 0.0]):
        mean, interval = mean_interval(odd)
        assert interval is not None and interval[0] <= mean <= interval[1]
    mean, interval = mean_interval([1.0, 0.0, 0.0], [3.0, 1.0, 2.0])
    assert mean == 0.5 and interval is not None and 0 <= interval[0] <= interval[1] <= 1


def test_mcnemar_is_exact_and_symmetric() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(0, 5) == mcnemar_p(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar_p(3, 3) == 1.0


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for task in (rouge.task, multiple_choice.task, ifeval.task):
        with pytest.raises(MissingExtraError, match=r"promptlift\[eval\]"):
            task(tmp_path / "none.jsonl")


def test_a_greater_sample_holds_the_smaller() -> None:
    items = [Item(str(k), "x") for k in range(50)]
    small, large = reading.sample(items, 7, 1), reading.sample(items, 20, 1)
    assert len(small) == 7 and set(small) < set(large) and large == sorted(large, key=lambda i: int(i.id))
    assert reading.sample(items, None, 1) == items == reading.sample(items, 99, 1)


def _articles(folder: Path, n: int) -> Path:
    rows = [
        {"id": f"a{k}", "article": f"Cats sleep {k} hours. Dogs bark.", "reference": "Cats sleep."} for k in range(n)
    ]
    return _lines(folder / "articles.jsonl", rows)


def test_rouge_asks_in_many_ways_and_scores_the_first_reference(tmp_path: Path) -> None:
    task = rouge.task(_articles(tmp_path, 30))
    assert len(set(rouge.ASKS)) == len(rouge.ASKS) >= 10
    assert task.items[16].prompt == f"{rouge.ASKS[16 % len(rouge.ASKS)]}\n\nCats sleep 16 hours. Dogs bark."
    item = task.items[0]
    assert rouge.score(item, Reply("Cats sleep!")) == dict.fromkeys(("rouge1", "rouge2", "rougeL"), 1.0)
    assert set(rouge.score(item, Reply("")).values()) == {0.0}
    half = rouge.score(item, Reply("sleeping cat"))  # the stems, in another order
    assert (half["rouge1"], half["rouge2"], half["rougeL"]) == (1.0, 0.0, 0.5)
    listed = _lines(tmp_path / "l.jsonl", [{"article": "x", "references": ["first", "second"]}])
    assert (rouge.task(listed).items[0].reference, rouge.task(listed).items[0].id) == ("first", "1")


@pytest.mark.parametrize(
    ("make", "row", "said"),
    [
        (rouge.task, {"article": "x"}, "'reference'"),
        (rouge.task, {"article": 3, "reference": "x"}, "'article'"),
        (multiple_choice.task, {"question": "q", "choices": ["a"], "answer": 0}, "'choices'"),
        (multiple_choice.task, {"question": "q", "choices": ["a", "b"], "answer": 2}, "from 0 to 1, or A to B"),
        (multiple_choice.task, {"id": 1.5, "question": "q", "choices": ["a", "b"], "answer": 1}, "'id'"),
    ],
)
def test_bad_lines_are_named(make: Callable[[Path], Task[Any]], row: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = _lines(tmp_path / "bad.jsonl", [row])
    with pytest.raises(RecordError) as error:
        make(path)
    assert f"{path}, line 1: " in str(error.value) and said in str(error.value)
    path.write_text("")
    with pytest.raises(InputError, match="holds no rows"):
        make(path)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"), ("(b)", "B"), ("B.", "B"), ("B. Paris", "B"), ("**B**", "B"), ("**B. Paris**", "B"), ("[C]", "C"),
        ("The answer is B.", "B"), ("Answer: (D)", "D"), ("**Answer:** C", "C"), ("B\n\nParis is it", "B"),
        ("B - Paris", "B"), ("the correct option is b", "B"), ("A dog", None), ("A and B", None), ("Paris", None),
        ("", None), ("E", None), ("I think B", None), ("A, C", None), ("Because", None),
    ],
)  # fmt: skip
def test_letters_are_read_strictly(text: str, letter: str | None) -> None:
    assert multiple_choice.said(text, "ABCD") == letter


def _questions(folder: Path, n: int) -> Path:
    rows = [{"id": k, "question": f"Which is {k}?", "choices": ["0", "1", "2", "3"], "answer": k % 4} for k in range(n)]
    return _lines(folder / "questions.jsonl", rows)


def test_multiple_choice_takes_the_likeliest_letter_then_the_text(cache: AnswerCache, tmp_path: Path) -> None:
    task = multiple_choice.task(_questions(tmp_path, 8))
    assert task.items[1].prompt == "Which is 1?\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer with the letter."

    def told(prompt: str) -> dict[str, float] | None:
        """Raw: right with 0.6; rewritten: A, in words alone; the last rewritten one can't be read."""
        if prompt.endswith("well"):
            return None
        right = "ABCD"[int(prompt.split()[2].split("?")[0]) % 4]
        return {letter: 0.6 if letter == right else 0.1 for letter in "ABCD"}

    client = Chooser(lambda prompt: "no idea" if "is 7?" in prompt else "A", told)
    rows = paired.run(task, CachedClient(client, cache), _new(task))
    result = summarise(task, rows)
    assert (result["raw"], result["rewritten"]) == ({"accuracy": 1.0}, {"accuracy": 0.25})
    assert result["mcnemar"] == {"only_raw": 6, "only_rewritten": 0, "p": pytest.approx(2 / 2**6)}
    raw, new = result["answers"]["raw"], result["answers"]["rewritten"]
    assert (raw["read_as_text"], raw["unread"], raw["coverage"]) == (0, 0, pytest.approx(0.9))
    assert (new["read_as_text"], new["unread"], new["coverage"]) == (8, 1, None)


def test_instructions_are_weighed_by_prompt(cache: AnswerCache, tmp_path: Path) -> None:
    comma, title = "punctuation:no_comma", "detectable_format:title"
    rows = [
        {"key": 1, "prompt": "one", "instruction_id_list": [comma], "kwargs": [{}]},
        {"key": 2, "prompt": "two", "instruction_id_list": [comma, title, comma], "kwargs": [{}, {}, {}]},
    ]
    task = ifeval.task(_lines(tmp_path / "p.jsonl", rows))
    client = ScriptedClient(lambda prompt: "<<T>> x" if prompt == "two well" else "a, b" if prompt == "one" else "ab")
    told = summarise(task, paired.run(task, CachedClient(client, cache), _new(task)))
    assert told["raw"]["prompt_strict"] == 0 and told["rewritten"]["prompt_strict"] == 1
    assert told["raw"]["instruction_strict"] == pytest.approx(2 / 4) and told["rewritten"]["instruction_loose"] == 1
    assert told["instructions"] == 4 and told["kinds"][comma] == {"n": 3, "raw": 2, "rewritten": 3}


APP = typer.Typer()
APP.command("rouge")(evaluate_tasks.rouge)
APP.command("multiple-choice")(evaluate_tasks.multiple_choice)
APP.command("ifeval")(evaluate_tasks.ifeval)


def _call(url: str, folder: Path, *arguments: str) -> Any:
    more = ["--target", "org/m", "--base-url", url, "--cache", str(folder / "c.sqlite"), "--out", str(folder / "run")]
    return CliRunner().invoke(APP, [*arguments, *more])


def test_the_command_writes_a_result_without_texts(tmp_path: Path) -> None:
    articles = _articles(tmp_path, 6)
    given = [{"id": f"a{k}", "rewrite": f"Say it in three words: cats {k}"} for k in range(6)]
    rewrites = _lines(tmp_path / "rewrites.jsonl", given)
    options = ("rouge", "--articles", str(articles), "--rewrites", str(rewrites), "--n", "5")
    with ScriptedEndpoint(lambda text: "Cats sleep." if "three words" in text else "Dogs sleep, secretly.") as llm:
        done = _call(llm.url, tmp_path, *options, "--json")
        assert done.exit_code == 0, done.output
        assert len(llm.asked) == 10
        again = _call(llm.url, tmp_path, *options)
        assert len(llm.asked) == 10, "the answers are in the cache"
    told = json.loads(done.stdout)
    run = tmp_path / "run"
    assert json.loads((run / "tasks/rouge-org-m.json").read_text())["command"]
    assert (told["target"], told["n"], told["changed"], told["prompter"]) == ("org/m", 5, 5, None)
    assert told["rewritten"]["rouge2"] == 1.0 > told["raw"]["rouge2"] == 0.0
    assert told["difference"]["rouge2"]["interval"] == [1.0, 1.0]
    assert "rougeL" in again.stdout and "on changed +1.000 [+1.000, +1.000]" in again.stdout
    rows = [json.loads(line) for line in (run / "tasks/rouge-org-m.rows.jsonl").read_text().splitlines()]
    assert rows[0]["raw"]["answer"] == digest("Dogs sleep, secretly.") and rows[0]["changed"]
    assert all("secretly" not in path.read_text() for path in (run / "tasks").iterdir())
    assert "secretly" in (run / "texts/rouge-org-m.jsonl").read_text()
    assert (run / "texts/.gitignore").read_text() == "*\n"


def test_the_commands_for_choices_and_instructions(tmp_path: Path) -> None:
    questions = _questions(tmp_path, 4)
    prompts = _lines(tmp_path / "p.jsonl", [
        {"key": k, "prompt": f"say {k}", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]} for k in range(4)
    ])  # fmt: skip
    rewrites = _lines(tmp_path / "r.jsonl", [{"id": k, "rewrite": f"Say {k}"} for k in range(4)])
    with ScriptedEndpoint(lambda text: "B" if "Which" in text else "well, no") as llm:
        for options in (("multiple-choice", "--questions", str(questions)), ("ifeval", "--prompts", str(prompts))):
            done = _call(llm.url, tmp_path, *options, "--rewrites", str(rewrites))
            assert done.exit_code == 0, (done.output, done.exception)
            assert "4 of 4 prompts, 4 changed, 0 failed" in done.stdout
    assert {path.name for path in (tmp_path / "run/tasks").glob("*.json")} == {
        "multiple-choice-org-m.json", "ifeval-org-m.json",
    }  # fmt: skip


def test_wrong_use_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    articles = _articles(tmp_path, 2)
    few = _lines(tmp_path / "few.jsonl", [{"id": "a0", "rewrite": "x"}])
    with ScriptedEndpoint(lambda _: "x") as llm:
        for more, said in (
            (("--rewrites", str(few)), "no rewrite of 1 of 2 prompts, such as 'a1'"),
            (("--gguf", "x.gguf"), "--gguf PATH, --base-url URL"),
        ):
            done = _call(llm.url, tmp_path, "rouge", "--articles", str(articles), *more)
            assert done.exit_code == 1 and said in str(done.exception)
        assert llm.asked == []
    assert not (tmp_path / "run").exists()


def test_a_password_in_a_url_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "evaluate", "--base-url", "https://me:secret@host/v1"])
    assert evaluate_tasks._command() == "promptlift evaluate --base-url https://host/v1"
