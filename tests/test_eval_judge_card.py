"""A judge's card on judges whose worth is known, and the files of labelled comparisons."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from promptlift.cli.evaluate_judge import judge_command
from promptlift.errors import InputError, RecordError
from promptlift.evaluation import judges
from promptlift.evaluation.comparing import Comparison, Judge, Verdict, Winner
from promptlift.evaluation.judge_card import LongerWins, judge_card
from promptlift.evaluation.labelled import Label, Labelled, folded, read_labelled, read_published, read_sets

PANDALM = Path("/work/shared/data/judge/pandalm_test.jsonl")


class Scripted:
    """Names what `say` returns for a comparison; "none" for one that was not begun."""

    def __init__(self, say: Callable[[Comparison], Winner | str | None], symmetric: bool = False) -> None:
        self.name, self.symmetric, self._say = "scripted", symmetric, say
        self.shown: list[Comparison] = []

    def judge(
        self, comparisons: Sequence[Comparison], progress: Callable[[], None] | None = None
    ) -> Sequence[Verdict | None]:
        """A verdict on each."""
        self.shown += comparisons
        said = [(c, self._say(c)) for c in comparisons]
        for _ in said:
            if progress:
                progress()
        return [
            None if winner == "none" else Verdict(c.id, cast("Winner | None", winner), self.name) for c, winner in said
        ]


def perfect(shown: Comparison) -> Winner:
    """Knows the labels: the better answer of `make` holds the higher number."""
    a, b = (int(text.split()[0]) for text in (shown.answer_a, shown.answer_b))
    return "a" if a > b else "b" if b > a else "tie"


def make(n: int = 40, seed: int = 0, ties: bool = True) -> list[Labelled]:
    """Rows whose answers begin with their quality, at any length; four rows share a prompt."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        first, second = draw.randint(0, 4), draw.randint(0, 4)
        if first == second and not ties:
            second += 1
        label: Label = 0 if first == second else 1 if first > second else 2
        one, other = (f"{quality} " + "x" * draw.randint(0, 5) for quality in (first, second))
        rows.append(Labelled(str(i), f"prompt {i // 4}", one, other, label, "mine"))
    return rows


def test_a_perfect_judge() -> None:
    (card,) = judge_card(Scripted(perfect), make()).sets
    assert (card.agreement, card.strict, card.all_rows_agreement, card.kappa) == (1, 1, 1, 1)
    assert card.interval == (1, 1) and card.flips == 0 and card.unread == 0
    assert card.n == 40 and 0 < card.n_decided < 40 and card.ties == pytest.approx(1 - card.n_decided / 40)
    assert card.prefers_longer == card.humans_prefer_longer
    assert (
        card.longer_wins is not None and card.margin is not None and card.margin == pytest.approx(1 - card.longer_wins)
    )
    low, high = card.margin_interval or (0, 0)
    assert 0 < low < card.margin < high < 1


def test_one_who_always_takes_the_first() -> None:
    (card,) = judge_card(Scripted(lambda _: "a"), make(ties=False)).sets
    assert (card.flips, card.agreement, card.strict, card.all_rows_agreement) == (1, 0.5, 0, 0)
    assert card.kappa == 0 and card.ties == 0 and card.prefers_longer is None


def test_one_whose_order_is_never_turned() -> None:
    judge = Scripted(lambda _: "a", symmetric=True)
    rows = make(ties=False)
    (card,) = judge_card(judge, rows).sets
    assert len(judge.shown) == len(rows) and card.flips == 0
    assert card.agreement == card.strict == sum(row.label == 1 for row in rows) / len(rows)


def test_the_longer_wins() -> None:
    card = judge_card(LongerWins(), make())
    (found,) = card.sets
    assert (card.judge, card.symmetric) == ("longer", True)
    assert found.agreement == found.longer_wins and found.margin == 0 and found.margin_interval == (0, 0)
    assert found.prefers_longer == 1 and found.agreement is not None and found.strict is not None
    assert found.strict <= found.agreement


def test_the_longer_wins_in_either_order() -> None:
    shown = [Comparison.of("p", "abc", "ab"), Comparison.of("p", "ab", "abc"), Comparison.of("p", "ab", "cd")]
    calls: list[int] = []
    said = LongerWins().judge(shown, lambda: calls.append(1))
    assert [v.winner for v in said if v is not None] == ["a", "b", "tie"] and len(calls) == 3


def test_rubbish_is_counted_and_never_guessed() -> None:
    (card,) = judge_card(Scripted(lambda _: None), make()).sets
    assert (card.unread, card.agreement, card.strict, card.all_rows_agreement) == (1, 0.5, 0, 0)
    assert card.kappa is None and card.flips == 0 and card.ties == 0 and card.prefers_longer is None


def test_one_who_always_ties() -> None:
    rows = make()
    (card,) = judge_card(Scripted(lambda _: "tie"), rows).sets
    assert (card.ties, card.agreement, card.strict, card.kappa) == (1, 0.5, 0, 0)
    assert card.all_rows_agreement == sum(row.label == 0 for row in rows) / len(rows)


def test_one_unread_order_is_no_verdict() -> None:
    (card,) = judge_card(Scripted(lambda c: perfect(c) if c.answer_a < c.answer_b else None), make(ties=False)).sets
    assert card.unread == 1


def test_kappa_is_that_of_a_library() -> None:
    """Over the rows in both orders."""
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rows, draw = make(60), random.Random(1)
    said = [draw.choice(["a", "b", "tie"]) for _ in rows]
    words = iter(said)
    (card,) = judge_card(Scripted(lambda _: next(words), symmetric=True), rows).sets
    table = [[0] * 3 for _ in range(3)]
    for word, row in zip(said, rows, strict=True):
        for one in (row, row.swapped()):
            word = word if one is row else {"a": "b", "b": "a"}.get(word, word)
            table[["tie", "a", "b"].index(word)][one.label] += 1
    assert card.kappa == pytest.approx(inter_rater.cohens_kappa(table, return_results=False))


noisy = st.integers(0, 10_000)


@settings(deadline=None, max_examples=25)
@given(noisy, st.lists(st.booleans(), min_size=1, max_size=12), st.booleans())
def test_the_order_of_the_answers_changes_nothing(seed: int, turn: list[bool], symmetric: bool) -> None:
    def noise(shown: Comparison) -> Winner | None:
        """The same word on the same content, turned with the order where it is symmetric."""
        first, second = sorted((shown.answer_a, shown.answer_b))
        draw = random.Random(f"{seed} {shown.prompt} {first} {second}")
        best = draw.choice([first, second, "tie", "flip", None])
        if best in ("tie", None) or first == second:
            return None if best is None else "tie"
        if best == "flip":
            return "tie" if symmetric else "a"
        return "a" if shown.answer_a == best else "b"

    rows = make(len(turn), seed)
    turned = [row.swapped() if swap else row for row, swap in zip(rows, turn, strict=True)]
    before, after = (judge_card(Scripted(noise, symmetric), these).to_json() for these in (rows, turned))
    assert before == after
    card = before["sets"][0]
    if card["agreement"] is not None:
        assert 0 <= card["strict"] <= card["agreement"] <= 1
        assert card["agreement"] <= card["strict"] + (1 - card["strict"]) / 2 + 1e-12  # sums of binary fractions
        if card["interval"] is not None:
            low, high = card["interval"]
            assert low - 1e-9 <= card["agreement"] <= high + 1e-9


def test_rows_of_one_prompt_widen_the_interval() -> None:
    """Ten times the same row tells no more than the row once."""
    rows = make(40, ties=False)
    alone = [Labelled(row.id, f"{row.prompt} {row.id}", row.answer_1, row.answer_2, row.label, "mine") for row in rows]
    often = [Labelled(f"{i} {row.id}", row.prompt, row.answer_1, row.answer_2, row.label, "mine")
             for row in alone for i in range(10)]  # fmt: skip
    widths = []
    for these in (alone, often):
        low, high = judge_card(LongerWins(), these).sets[0].interval or (0, 0)
        widths.append(high - low)
    assert widths[0] == pytest.approx(widths[1]) and widths[0] > 0.1


def test_subsets_stand_behind_their_set() -> None:
    rows = [
        Labelled.from_json(
            {"id": i, "prompt": f"p{i}", "answer_a": "1 x", "answer_b": "0", "label": "a", "subset": part}, "", "bar"
        )
        for i, part in enumerate(["Natural", "Neighbor", "GPTOut", "Natural"])
    ]
    cards = judge_card(Scripted(perfect), rows).sets
    assert {card.name: card.n for card in cards} == {
        "bar": 4, "bar/Natural": 2, "bar/Adversarial": 2, "bar/Adversarial/Neighbor": 1, "bar/Adversarial/GPTOut": 1,
    }  # fmt: skip
    assert cards[-1].interval is None  # one prompt has no spread


def test_prompts_that_the_judge_knows_are_left_out() -> None:
    judge = Scripted(perfect)
    (card,) = judge_card(judge, make(), without=["  PROMPT\n1 ", "prompt 3"]).sets
    assert card.left_out == 8 and card.n == 32
    assert not {shown.prompt for shown in judge.shown} & {"prompt 1", "prompt 3"}


def test_nothing_left() -> None:
    with pytest.raises(InputError, match="none of 4 labelled rows is left"):
        judge_card(Scripted(perfect), make(4), without=["prompt 0"])


def test_a_budget_that_ends() -> None:
    (card,) = judge_card(Scripted(lambda c: perfect(c) if c.prompt < "prompt 5" else "none"), make(40)).sets
    assert card.n == 20 and card.not_judged == 20 and card.agreement == 1
    with pytest.raises(InputError, match="judged none of 40 rows"):
        judge_card(Scripted(lambda _: "none"), make(40))


def test_a_subset_without_verdicts_has_no_figures() -> None:
    rows = [Labelled(str(i), f"p{i}", "1", "0", 1, "s", part) for i, part in enumerate("xxy")]
    cards = judge_card(Scripted(lambda c: "none" if c.prompt == "p2" else "a", symmetric=True), rows).sets
    assert (cards[2].name, cards[2].n, cards[2].not_judged, cards[2].agreement) == ("s/y", 0, 1, None)


def test_a_judge_that_came_with_the_rows() -> None:
    rows = [
        Labelled.from_json(
            {"instruction": f"p{i}", "output_1": "1", "output_2": "0", "majority": label, "gpt35_result": said},
            str(i),
            "s",
        )
        for i, (label, said) in enumerate([(1, "1"), (2, "1"), (1, "Tie"), (1, "garbage"), (0, "Tie"), (0, "garbage")])
    ]
    (card,) = judge_card(LongerWins(), rows).sets
    assert card.published == [
        {"name": "gpt-3.5-turbo", "agreement": 0.5, "strict": 0.25, "all_rows_agreement": pytest.approx(2 / 6)}
    ]
    (turned,) = judge_card(LongerWins(), [row.swapped() for row in rows]).sets
    assert turned.published == card.published


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"prompt": "p", "answer_a": "x", "answer_b": "y", "label": "b"}, 2),
        ({"instruction": "p", "output_1": "x", "output_2": "y", "label": 1}, 1),
        ({"prompt": "p", "answer_1": "x", "answer_2": "y", "label": "tie"}, 0),
        ({"instruction": "p", "output_1": "x", "output_2": "y", "majority": 0, "annotator1": 1}, 0),
    ],
)
def test_fields_by_content(tmp_path: Path, row: dict[str, Any], label: int) -> None:
    (tmp_path / "some.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    (found,) = read_labelled(tmp_path / "some.jsonl")
    assert (found.id, found.set, found.label) == ("some-1", "some", label)
    assert (found.prompt, found.answer_1, found.answer_2) == ("p", "x", "y")


def test_answers_that_were_read_as_json(tmp_path: Path) -> None:
    row = {"instruction": "is it so", "output_1": True, "output_2": "", "majority": 1}
    assert (found := Labelled.from_json(row, "1", "s")).answer_1 == "true" and found.answer_2 == ""


GOOD = {"id": "1", "prompt": "p", "answer_a": "x", "answer_b": "y", "label": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 3}, "field 'label' must be 1, 2, a, b, 0 or tie, found 3"),
        ({"label": True}, "field 'label' must be 1, 2, a, b, 0 or tie, found True"),
        ({"prompt": " "}, "field 'prompt' must be a non-empty string, found ' '"),
        ({"answer_b": None}, "field 'answer_b' must be a string, found None"),
        ({"answer_a": ["x"]}, "field 'answer_a' must be a string, found ['x']"),
        ({}, "id '1' stands in line 1 already"),
    ],
)
def test_bad_rows_by_file_and_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(GOOD) + "\n\n" + json.dumps(GOOD | change) + "\n", "utf-8")
    with pytest.raises(RecordError) as caught:
        read_labelled(file)
    assert str(caught.value) == f"{file}, line 3: {message}"


def test_files_without_rows_and_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for place in (tmp_path, tmp_path / "b"):
        (place / "s.jsonl").write_text(json.dumps(GOOD), "utf-8")
    with pytest.raises(InputError, match="both hold a set named 's'"):
        read_sets([tmp_path / "s.jsonl", tmp_path / "b" / "s.jsonl"])
    (tmp_path / "s.jsonl").write_text("\n", "utf-8")
    with pytest.raises(InputError, match="holds no labelled comparisons"):
        read_sets([tmp_path / "s.jsonl"])


def test_published_figures(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    rows = [("low", "50.5"), ("odd", "0.33"), ("humans", "65.66")]
    file.write_text("".join(json.dumps({"evaluator": n, "Human agreement": v}) + "\n" for n, v in rows), "utf-8")
    assert read_published(file) == {"humans": pytest.approx(0.6566), "low": pytest.approx(0.505)}
    file.write_text('{"evaluator": "x"}\n', "utf-8")
    with pytest.raises(RecordError, match="line 1: "):
        read_published(file)


@given(st.text(), st.text(alphabet=" \t\n"))
def test_folding_forgets_case_and_space(text: str, space: str) -> None:
    assert folded(space + text.replace(" ", "  ") + space) == folded(text) == folded(folded(text))


@pytest.mark.skipif(not PANDALM.is_file(), reason=f"{PANDALM} is not here")
def test_figures_on_pandalm_are_the_known_ones() -> None:
    """GPT-3.5 69.8% of all rows, 77.4% with ties left out; the longer answer 67.2%."""
    (card,) = judge_card(LongerWins(), read_labelled(PANDALM)).sets
    (gpt,) = card.published
    assert (card.n, card.n_decided) == (999, 894)
    assert gpt["all_rows_agreement"] == pytest.approx(0.698, abs=5e-4)
    assert gpt["strict"] == pytest.approx(0.774, abs=5e-4)
    assert card.longer_wins == pytest.approx(0.672, abs=3e-3)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command alone, with a perfect judge behind every name."""

    @contextmanager
    def opened(spec: str, **_: Any) -> Iterator[Judge]:
        judge = Scripted(perfect)
        judge.name = spec
        yield judge

    monkeypatch.setattr(judges, "open_judge", opened)
    app = typer.Typer()
    app.command()(judge_command)
    return app


def write(path: Path, rows: Sequence[Labelled]) -> Path:
    path.write_text("".join(json.dumps(vars(row)) + "\n" for row in rows), "utf-8")
    return path


def test_the_command_writes_the_card(command: typer.Typer, tmp_path: Path) -> None:
    file, known = write(tmp_path / "rows.jsonl", make()), tmp_path / "known.jsonl"
    known.write_text('{"instruction": "Prompt  0"}\n', "utf-8")
    given = ["--judge", "org/model:7b", "--labelled", str(file), "--without-prompts-of", str(known)]
    done = CliRunner().invoke(command, [*given, "--out", str(tmp_path / "run"), "--json"])
    assert done.exit_code == 0, done.output
    card = json.loads(done.stdout)
    assert card == json.loads((tmp_path / "run/judges/org-model-7b.json").read_text("utf-8"))
    assert card["judge"] == "org/model:7b" and card["sets"][0]["left_out"] == 4 and "half" in card["headline"]


def test_the_command_prints_a_table(command: typer.Typer, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", make())
    done = CliRunner().invoke(command, ["--judge", "x", "--labelled", str(file)])
    assert done.exit_code == 0 and "100.0" in done.stdout and "mine" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
