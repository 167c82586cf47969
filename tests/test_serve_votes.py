"""Votes of a person: a folder that can be read back after every write, whoever writes and whatever is broken off."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.cli import main
from promptlift.errors import InputError, RecordError
from promptlift.evaluation.by_file import export_blind, import_verdicts
from promptlift.evaluation.comparing import Comparison
from promptlift.evaluation.folder import Answered, Asked, Prompt, RunFolder
from promptlift.evaluation.run import every_match
from promptlift.serving.votes import Vote, Votes

VOTE = Vote(
    "chat", "how do i boil eggs", "How do I boil eggs? Give times.", "boil", "boil for 8 min", "rewritten", "raw"
)
SCORE = {"rewritten": 1, "tie": 0, "raw": -1}


def vote(
    number: int, winner: Literal["raw", "rewritten", "tie"] = "rewritten", first: Literal["raw", "rewritten"] = "raw",
    model: str = "chat", prompt: str | None = None,
) -> Vote:  # fmt: skip
    """A vote on answers of their own."""
    asked = f"tell me of thing {number}" if prompt is None else prompt
    return Vote(model, asked, f"{asked}, please", f"short {number}", f"a longer text {number}", winner, first)


def scores(path: Path) -> dict[tuple[str, str, str, str], int | None]:
    """What `import-verdicts` makes of the folder, by model, prompt and answers; it is kept as the command keeps it."""
    run = RunFolder(path)
    found = import_verdicts(run, "blind", "me", [path / "verdicts.jsonl"], every_match(run))
    run.keep_outcomes(found.rows)
    prompts = {p.id: p.prompt for p in run.prompts()}
    said = {(a.target, a.id, a.condition): a.answer or "" for a in run.answers()}
    rows = run.outcomes()
    assert all((row["x"], row["y"], row["flipped"]) == ("rewritten", "raw", False) for row in rows)
    texts = {(r["target"], r["id"]): [said[r["target"], r["id"], side] for side in ("raw", "rewritten")] for r in rows}
    keyed = {
        (t, prompts[key], raw, new): row["score"]
        for row, ((t, key), (raw, new)) in zip(rows, texts.items(), strict=True)
    }
    assert len(keyed) == len(rows), "each pair of answers has one outcome"
    return keyed


def expected(*votes: Vote) -> dict[tuple[str, str, str, str], int]:
    """The last vote on a pair of answers counts."""
    return {(v.model, v.prompt, v.answer_raw, v.answer_rewritten): SCORE[v.winner] for v in votes}


def contents(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """The command line in this process; (stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", list(words))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        got = capsys.readouterr()
        assert ended.value.code in (0, None), got.err
        return got.out, got.err

    return call


def test_the_report_tells_what_the_person_said(tmp_path: Path, cli: Callable[..., tuple[str, str]]) -> None:
    for needed in ("scipy", "statsmodels", "matplotlib", "jinja2"):
        pytest.importorskip(needed)
    path = tmp_path / "my votes"
    votes = Votes(path)
    assert (votes.count, path.exists()) == (0, False), "nothing is written before the first vote"
    given = [
        vote(0, "rewritten", "raw"), vote(1, "rewritten", "rewritten"), vote(2, "raw", "raw"), vote(3, "tie", "raw"),
        vote(4, "rewritten", "raw"), vote(5, "tie", "rewritten"), vote(6, "raw", "rewritten"), vote(7, "rewritten", "raw"),
        vote(0, "raw", "rewritten", "other"), vote(1, "raw", "raw", "other"), vote(8, "rewritten", "raw", "other"),
        vote(9, "rewritten", "raw", "often", "one prompt"), vote(10, "raw", "raw", "often", "one prompt"),
    ]  # fmt: skip
    for n, one in enumerate(given[:8], 1):
        assert votes.add(one) == (one.shown.id, n)
    assert one.shown == Comparison.of(one.prompt, one.answer_raw, one.answer_rewritten), "the id of what was shown"
    assert shlex.split(votes.command)[:3] == ["promptlift", "evaluate", "import-verdicts"]

    out, err = cli(*shlex.split(votes.command))
    assert "8 verdicts, 0 given twice, 0 comparisons without one" in err
    # 4 won, 2 lost, 2 tied: 100 x (4 - 2) / 8
    assert "chat: rewritten over raw: lift +25" in out and "n 8" in out and "by me" in out

    # `other` was shown the texts of 0 and 1 as well, where the person now says otherwise of the same two texts
    for one in given[8:]:
        votes.add(one)
    assert votes.count == Votes(path).count == 13
    out, err = cli(*shlex.split(votes.command))
    assert "11 verdicts, 0 given twice, 0 comparisons without one" in err
    summary = json.loads((path / "summary.json").read_text())
    assert summary["prompts"]["n"] == 10 and summary["prompts"]["sources"] == {"votes": 10}
    found = {t["name"]: t["contrasts"] for t in summary["targets"]}
    for name, n, won, lost, tied, lift in (
        ("chat", 8, 2, 4, 2, -25.0), ("other", 3, 1, 2, 0, -33.3333), ("often", 2, 1, 1, 0, 0.0)
    ):  # fmt: skip
        (row,) = found[name]
        assert (row["judge"], row["x"], row["y"]) == ("me", "rewritten", "raw")
        assert (row["n"], row["won"], row["lost"], row["tied"], row["lift"]) == (n, won, lost, tied, lift)
        assert (row["unjudged"], row["same"], row["flipped"], row["one_order"]) == (0, 0, 0, n)
    often = found["often"][0]["interval"], found["often"][0]["lc_interval"]
    assert often == ([-100, 100], [0, 100]), "votes on one prompt tell nothing of others"
    changed = {c["name"]: c["changed"] for c in summary["targets"][0]["conditions"]}
    assert changed == {"raw": 0, "rewritten": 8}
    report = (path / "report.md").read_text()
    assert "−25" in report and "10 prompts" in report and "tell me of thing 3" in (path / "report.html").read_text()
    assert (path / "texts" / ".gitignore").read_text() == "*\n"
    assert not [name for name, data in contents(path).items() if b"thing 3" in data and not name.startswith(("texts", "report"))]  # fmt: skip


def test_a_later_vote_on_the_same_answers_replaces_the_earlier_one_in_either_order(tmp_path: Path) -> None:
    votes = Votes(tmp_path / "votes")
    (key, _), again = votes.add(VOTE), replace(VOTE, winner="raw", first="rewritten", rewrite="Eggs?")
    assert scores(tmp_path / "votes") == expected(VOTE)
    assert votes.add(again) == (key, 1), "in the order that was shown first"
    assert lines(tmp_path / "votes" / "verdicts.jsonl") == [{"id": key, "winner": "a"}]
    assert scores(tmp_path / "votes") == expected(again)
    assert [row.text for row in RunFolder(tmp_path / "votes").asked()] == [VOTE.prompt, "Eggs?"]
    before = contents(tmp_path / "votes")
    assert votes.add(again) == (key, 1) and contents(tmp_path / "votes") == before, "a repeated vote changes nothing"


TEXTS = st.sampled_from(["yes", "no", "It depends.\n\u2028 Ask\tagain", "\ud83e half", "はい", ""])


@given(
    st.lists(
        st.builds(
            Vote,
            model=st.sampled_from(["a", "org/b:7b"]), prompt=st.sampled_from(["why", "how"]),
            rewrite=st.sampled_from(["why", "Why, in detail?"]), answer_raw=TEXTS, answer_rewritten=TEXTS,
            winner=st.sampled_from(["raw", "rewritten", "tie"]), first=st.sampled_from(["raw", "rewritten"]),
        ), min_size=1, max_size=12,
    )
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_any_votes_come_to_the_last_word_on_each_pair_of_texts(
    tmp_path_factory: pytest.TempPathFactory, votes: list[Vote]
) -> None:
    path = tmp_path_factory.mktemp("any") / "votes"
    kept: dict[tuple[str, str, str, str], Vote] = {}
    word: dict[tuple[str, frozenset[str]], str | None] = {}
    """The better of two texts, whichever model said them, and on whichever side."""
    for one in votes:
        pair = one.answer_raw, one.answer_rewritten
        better = {"raw": pair[0], "rewritten": pair[1], "tie": None}[one.winner]
        if pair[0] == pair[1] or ("" in pair and better in ("", None)):
            with pytest.raises(InputError):
                Votes(path).add(one)
            continue
        kept[one.model, one.prompt, *pair] = one
        word[one.prompt, frozenset(pair)] = better
        assert Votes(path).add(one)[1] == len(kept)
    if kept:
        said = {key: word[key[1], frozenset(key[2:])] for key in kept}
        assert scores(path) == {key: (text == key[3]) - (text == key[2]) for key, text in said.items()}
        found = lines(path / "verdicts.jsonl")
        assert len({row["id"] for row in found}) == len(found) == len(word)
    else:
        assert not path.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"answer_rewritten": " boil\n"}, "both answers are the same text"),
        ({"answer_raw": "", "answer_rewritten": "\n"}, "both answers are empty"),
        ({"answer_rewritten": " "}, "the vote is 'rewritten', but .* only 'raw' can win"),
        ({"answer_raw": "", "winner": "tie"}, "the vote is 'tie', but .* only 'rewritten' can win"),
        ({"winner": "a"}, "winner is 'a'; it must be raw, rewritten or tie"),
        ({"first": "tie"}, "first is 'tie'; it must be raw or rewritten"),
        ({"model": " "}, "model is ' '; it must not be empty"),
        ({"prompt": ""}, "prompt is ''; it must not be empty"),
    ],
)
def test_a_vote_that_no_report_can_count_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    votes = Votes(tmp_path / "votes")
    with pytest.raises(InputError, match=says) as error:
        votes.add(replace(VOTE, **change))
    assert "\n" not in str(error.value) and not (tmp_path / "votes").exists()


def test_an_empty_answer_loses_and_counts(tmp_path: Path) -> None:
    one = replace(VOTE, answer_rewritten="", winner="raw")
    assert Votes(tmp_path / "votes").add(one)[1] == 1
    assert scores(tmp_path / "votes") == expected(one)


# --- broken off, and at once -----------------------------------------------------------


class Stop(Exception):
    """A kill: nothing after it is done."""


BEFORE = [vote(0, "raw"), vote(1, "rewritten", "rewritten"), vote(3, "tie", model="other")]


@pytest.mark.parametrize(
    "broken",
    [
        vote(2, "rewritten"), vote(0, "rewritten", "rewritten"), vote(2, "raw", model="third"),
        vote(0, "raw", "rewritten", "third"), replace(BEFORE[0], rewrite="another"),
    ],
    ids=["new", "again", "new model", "same texts", "other rewrite"],
)  # fmt: skip
def test_a_vote_that_is_broken_off_at_any_write_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Vote
) -> None:
    real, writes = os.replace, 0
    for last in range(1, 30):
        path = tmp_path / str(last)
        for one in BEFORE:
            Votes(path).add(one)
        earlier, writes = scores(path), 0

        def breaking(*names: Any, last: int = last) -> None:
            nonlocal writes
            writes += 1
            if writes == last:
                raise Stop
            real(*names)

        monkeypatch.setattr(os, "replace", breaking)
        try:
            Votes(path).add(broken)
        except Stop:
            monkeypatch.setattr(os, "replace", real)
        else:
            assert last == writes + 1 > 8
            break
        # an outcome without a score is what was not voted on yet
        found = {key: score for key, score in scores(path).items() if score is not None}
        assert found in (earlier, earlier | expected(broken))
        assert Votes(path).count in (len(BEFORE), len(earlier | expected(broken)))
        after = vote(50, "raw", "rewritten")
        Votes(path).add(after)
        # the one that was written down is finished, unless that was what failed
        done = (*BEFORE, after) if last == 1 else (*BEFORE, broken, after)
        assert scores(path) == expected(*done)
        assert Votes(path).add(broken)[1] == len(expected(*BEFORE, broken, after))
        assert scores(path) == expected(*BEFORE, broken, after)
        assert not (path / "texts" / "unfinished-vote.jsonl").exists()
    else:
        pytest.fail("it never came to the end")


def test_the_first_vote_may_be_broken_off_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace
    for last in range(1, 15):
        left, path = [last], tmp_path / str(last)

        def breaking(*names: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Stop
            real(*names)

        monkeypatch.setattr(os, "replace", breaking)
        try:
            Votes(path).add(VOTE)
        except Stop:
            monkeypatch.setattr(os, "replace", real)
        else:
            break
        assert Votes(path).count in (0, 1)
        Votes(path).add(vote(2))
        Votes(path).add(VOTE)
        assert scores(path) == expected(VOTE, vote(2))
    else:
        pytest.fail("it never came to the end")


ENDLESS = """
import sys
from pathlib import Path
from promptlift.serving.votes import Vote, Votes
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for k in range(count):
    Votes(path).add(Vote("m", f"prompt {name} {k}", "asked better", f"one {k}", f"other {k}", "rewritten", "raw"))
"""


def process(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ENDLESS, str(path), name, str(count)])


def test_processes_and_threads_that_vote_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "votes"
    others = [process(path, name, 12) for name in ("p", "q")]
    votes = Votes(path)
    threads = [threading.Thread(target=lambda k=k: [votes.add(vote(10 * k + n)) for n in range(6)]) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    assert votes.count == 2 * 12 + 3 * 6 and set(scores(path).values()) == {1}
    assert len(scores(path)) == votes.count


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "votes"
    for turn in range(3):
        reached = Votes(path).count + 5
        endless = process(path, str(turn), 10_000)
        try:
            deadline = time.monotonic() + 60
            while Votes(path).count < reached and time.monotonic() < deadline:
                time.sleep(0.001)
        finally:
            os.kill(endless.pid, signal.SIGKILL)
            endless.wait()
        count = Votes(path).count
        assert count >= reached
        assert sum(score == 1 for score in scores(path).values()) == count
        Votes(path).add(vote(turn))  # the dead one's lock is gone
        found = scores(path)
        assert set(found.values()) == {1} and len(found) == Votes(path).count in (count + 1, count + 2)


@pytest.mark.parametrize("how", ["windows", "network disk"])
def test_without_file_locks_threads_still_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "windows":
        monkeypatch.setattr("promptlift.serving.votes.sys", type("sys", (), {"platform": "win32"}))
    else:
        fcntl = pytest.importorskip("fcntl")

        def no_locks(*_: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
    several = [Votes(tmp_path / "votes") for _ in range(4)]
    threads = [threading.Thread(target=v.add, args=(vote(k),)) for k, v in enumerate(several)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scores(tmp_path / "votes")) == several[0].count == 4


# --- folders of others -----------------------------------------------------------------


def other_run(path: Path) -> None:
    run = RunFolder(path)
    run.keep_prompts([Prompt("p", "tell me")])
    run.keep_asked("chat", [Asked("chat", "p", c, "tell me", False) for c in ("raw", "rewritten")])
    run.keep_answers("chat", [Answered("chat", "p", c, f"so {c}") for c in ("raw", "rewritten")])
    export_blind(run, "blind", every_match(run), path.with_name("reader"))


def published(path: Path) -> None:
    RunFolder(path).keep_settings(format=1, prompts_hash="0123456789abcdef")


def verdicts_alone(path: Path) -> None:
    path.mkdir()
    (path / "verdicts.jsonl").write_text('{"id": "x", "winner": "a"}\n')


@pytest.mark.parametrize("begin", [other_run, published, verdicts_alone])
def test_a_folder_that_something_else_began_is_left_alone(tmp_path: Path, begin: Callable[[Path], None]) -> None:
    path = tmp_path / "lift"
    early = Votes(path)
    begin(path)
    before = contents(path)
    for use in (lambda: Votes(path), lambda: early.add(VOTE)):
        with pytest.raises(InputError, match="begun by something else and holds .*; name a folder") as error:
            use()
        assert "\n" not in str(error.value)
    assert contents(path) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "votes").write_text("")
    with pytest.raises(InputError, match="it is a file; name a folder"):
        Votes(tmp_path / "votes")


def test_what_else_stands_in_run_json_stays(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "votes")
    run.keep_settings(name="mine", **{"of-later": {"x": [1]}}, blind={"others": {"key": "k", "comparisons": 2}})
    votes = Votes(run.path)
    votes.add(VOTE)
    run.keep_settings(more=True)
    votes.add(vote(2))
    found = run.settings()
    assert (found["name"], found["of-later"], found["more"]) == ("mine", {"x": [1]}, True)
    assert found["blind"]["others"] == {"key": "k", "comparisons": 2}
    assert found["blind"]["blind"]["comparisons"] == 2 and set(found["blind"]["blind"]) == {"key", "comparisons"}
    before = run.settings()["prompts_hash"]
    run.keep_prompts(run.prompts())
    assert run.settings()["prompts_hash"] == before, "the hash is that of the prompts"


def test_what_others_add_to_the_run_stays(tmp_path: Path) -> None:
    votes, run = Votes(tmp_path / "votes"), RunFolder(tmp_path / "votes")
    votes.add(VOTE)
    (key,) = (p.id for p in run.prompts())
    run.keep_asked("chat", [*run.asked(), Asked("chat", key, "suffix", "boil eggs, in detail", True)])
    run.keep_answers("chat", [*run.answers(), Answered("chat", key, "suffix", "in water")])
    votes.add(vote(2))
    votes.add(replace(VOTE, winner="tie"))
    assert [a.answer for a in run.answers() if a.condition == "suffix"] == ["in water"]
    assert [a.text for a in run.asked() if a.condition == "suffix"] == ["boil eggs, in detail"]
    assert scores(run.path) == expected(replace(VOTE, winner="tie"), vote(2))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("texts/prompts.jsonl", None, "its texts/prompts.jsonl is gone; restore it"),
        ("blind/blind.key.jsonl", None, "blind.key.jsonl is gone: .* restore it"),
        ("blind/blind.key.jsonl", "{}", "was changed since the export: .* restore it"),
        ("run.json", "[", "can't be read"),
        ("verdicts.jsonl", "hello", "not JSON"),
        ("texts/unfinished-vote.jsonl", '{"model": "chat"}\n', "holds no vote; delete it"),
    ],
)
def test_a_damaged_folder_is_told_and_goes_on_when_it_is_mended(
    tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    votes = Votes(tmp_path / "votes")
    votes.add(VOTE)
    file = tmp_path / "votes" / name
    whole = file.read_bytes() if file.exists() else None
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    for _ in range(2):
        with pytest.raises((InputError, RecordError), match=says) as error:
            votes.add(vote(2))
        assert "\n" not in str(error.value)
    file.unlink(missing_ok=True)
    if whole is not None:
        file.write_bytes(whole)
    assert votes.add(vote(3))[1] >= 2
    assert expected(VOTE, vote(3)).items() <= scores(tmp_path / "votes").items()
