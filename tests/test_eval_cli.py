"""`promptlift evaluate` end to end: a real HTTP server in the place of target and judge, killed and started again."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

pytest.importorskip("scipy")
pytest.importorskip("statsmodels")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from promptlift.cli import main
from promptlift.evaluation.conditions import SUFFIX

KEY = "sk-0123456789-not-for-files"
COUNT = 6
"""Prompts."""
CONDITIONS = ("raw", "suffix", "mine")
TEXTS = 3 * COUNT - 1
"""What the target is asked: one rewrite leaves its prompt alone."""
VERDICTS = 2 * (3 * COUNT - 2)
"""Both orders of suffix:raw, mine:raw, mine:suffix; where mine is raw, one pair is the same text, and two are one."""


class Server:
    """Answers as targets `chat`, `other` and as any judge; it counts what it answered in full."""

    def __init__(self) -> None:
        self.begun, self.completed = 0, Counter[str]()
        self.delay, self.alive = 0.0, True
        self.lock, self.left = threading.Lock(), dict[str, int]()
        """How many more requests a model answers before it dies; without a number, all."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.begun += 1
                    left = server.left.get(body["model"], 1)
                    if body["model"] in server.left:
                        server.left[body["model"]] = left - 1
                time.sleep(server.delay)
                status, content = (
                    (200, reply(body)) if left > 0 else (503, {"error": {"message": f"{body['model']} died"}})
                )
                data = json.dumps(content).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    return  # the client was killed
                if status == 200:
                    with server.lock:
                        server.completed[json.dumps([body["model"], body["messages"], body.get("seed")])] += 1

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def asked(self, model: str) -> int:
        """How many requests to a model were answered."""
        return sum(n for key, n in self.completed.items() if json.loads(key)[0] == model)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def reply(body: dict[str, Any]) -> dict[str, Any]:
    """Targets say more where they are asked for detail; judges prefer the longer answer, some by the order alone."""
    text, top = body["messages"][-1]["content"], None
    number = int(hashlib.sha256((body["model"] + text.split("\n")[0]).encode()).hexdigest(), 16)
    said = "word " * (number % 7 + 3) + ("and reasons" if "detail" in text else "") + f"{body.get('seed')} {text[-20:]}"
    if "<answer-A>" in text:
        a, b = text.split("<answer-A>")[1].split("<answer-B>")
        share = 0.9 if len(a.split("</answer-A>")[0]) > len(b.split("</answer-B>")[0]) else 0.2
        share = 0.7 if "thing 3" in text else share
        said, top = "A", [{"token": t, "logprob": math.log(p)} for t, p in (("A", share), ("B", 1 - share))]
        if "thing 4" in text:
            said, top = "Neither", [{"token": "Neither", "logprob": 0.0}]
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop",
              "logprobs": top and {"content": [{"token": "A", "logprob": 0.0, "bytes": None, "top_logprobs": top}]}}  # fmt: skip
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


class Place(NamedTuple):
    """Where a run and what it reads are."""

    home: Path
    url: str

    @property
    def out(self) -> Path:
        return self.home / "lift"

    def words(self, *more: str, target: str = "chat") -> list[str]:
        """The words of an `evaluate` that needs no prompter."""
        return ["evaluate", "--out", str(self.out), "--target", target, "--base-url", self.url, "--prompts", str(self.home / "p.jsonl"),
                "--condition", "suffix", "--condition", f"mine={self.home / 'mine.jsonl'}", "--cache", str(self.home / "cache.sqlite"), *more]  # fmt: skip

    def judge(self, name: str = "judge") -> tuple[str, ...]:
        return ("--judge", name, "--judge-base-url", self.url)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found


def place_at(home: Path, url: str) -> Place:
    home.mkdir(exist_ok=True)
    prompts = [{"id": f"p{k}", "prompt": f"tell me of thing {k}", "source": "ab"[k % 2]} for k in range(COUNT)]
    (home / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    mine = [{"id": p["id"], "rewrite": f"{p['prompt']}, in short"} for p in prompts[1:]]
    (home / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mine))
    return Place(home, url)


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Place:
    return place_at(tmp_path / "home", server.url)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def fails(self, *says: str) -> None:
        """It ended in one line that holds `says`, below the progress."""
        assert self.code == 1 and self.out == "" and "Traceback" not in self.err, self.err
        last = self.err.strip().splitlines()[-1]
        assert last.startswith("promptlift: ") and self.err.count("promptlift: ") == 1, self.err
        for part in says:
            assert part in last, last


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line in this process: scipy is loaded once."""
    monkeypatch.setenv("PROMPTLIFT_CACHE", str(tmp_path / "user-cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr(openai._base_client, "MAX_RETRY_DELAY", 0.002)

    def call(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["promptlift", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in the other tests."""
    monkeypatch.setattr("promptlift.evaluation.report.write_report", lambda *_: [])


def process(words: list[str]) -> subprocess.Popen[str]:
    env = dict(os.environ) | {"OPENAI_API_KEY": KEY, "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "promptlift", *words],
        env=env,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(running: subprocess.Popen[str]) -> None:
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err


def files_of(place: Place) -> dict[str, str]:
    """What a run left, but for dates and its own place."""
    found = {}
    for path in sorted(place.out.rglob("*")):
        if path.is_file() and not path.name.endswith(".tmp"):
            text = path.read_text().replace(str(place.home), "HOME")
            found[str(path.relative_to(place.out))] = re.sub(r"\d{4}-\d\d-\d\d", "DATE", text)
    return found


def test_killed_at_any_moment_and_started_again_it_tells_the_same_and_asks_nothing_twice(
    server: Server, tmp_path: Path
) -> None:
    whole, torn = place_at(tmp_path / "whole", server.url), place_at(tmp_path / "torn", server.url)
    undisturbed = process(whole.words("--concurrency", "2", *whole.judge()))
    finished(undisturbed)
    assert set(server.completed.values()) == {1} and (server.asked("chat"), server.asked("judge")) == (TEXTS, VERDICTS)

    server.begun, server.completed, server.delay = 0, Counter(), 0.02
    words = torn.words("--concurrency", "2", *torn.judge())
    pause = random.uniform(0, 0.5)
    moments = [random.randrange(1, TEXTS), random.randrange(TEXTS, TEXTS + VERDICTS - 8), TEXTS + VERDICTS]
    for moment in moments:
        running = process(words)
        while len(server.completed) < moment and running.poll() is None:
            time.sleep(0.002)
        if moment == moments[-1]:
            time.sleep(pause)  # while outcomes, summary and report are written
        running.send_signal(signal.SIGKILL)
        running.communicate()
        time.sleep(0.1)  # what is in the server's hands ends there
    server.delay = 0.0
    finished(process(words))
    told = f"killed at {moments}, {pause} s"
    repeated = sum(server.completed.values()) - len(server.completed)
    assert repeated <= 2 * len(moments), f"{told}: more than the two in flight at each"
    assert len(server.completed) == TEXTS + VERDICTS, told
    ours, theirs = files_of(whole), files_of(torn)
    assert (
        ours.keys() == theirs.keys() and {"summary.json", "report.md", "report.html", "outcomes.jsonl"} <= ours.keys()
    )
    assert [name for name in ours if ours[name] != theirs[name]] == [], told


def test_a_run_tells_what_the_judge_said_and_others_join_it(server: Server, place: Place, run: Run) -> None:
    done = run(*place.words(*place.judge()))
    assert done.code == 0, done.err
    shown = done.out.splitlines()
    assert [line.split(": lift")[0] for line in shown] == [
        "chat: suffix over raw", "chat: mine over raw", "chat: mine over suffix",
    ]  # fmt: skip
    assert "report.md" in done.err and "report.html" in done.err
    assert (server.asked("chat"), server.asked("judge")) == (TEXTS, VERDICTS)

    texts = {(a["id"], a["condition"]): a["answer"] for a in place.rows("texts/answers.jsonl")}
    asked = {(a["id"], a["condition"]): a["text"] for a in place.rows("texts/asked.jsonl")}
    assert (
        asked["p1", "suffix"] == f"tell me of thing 1\n\n{SUFFIX}"
        and asked["p1", "mine"] == "tell me of thing 1, in short"
    )
    for row in place.rows("outcomes.jsonl"):
        x, y = texts[row["id"], row["x"]], texts[row["id"], row["y"]]
        if row["same"]:
            assert x == y and row["id"] == "p0" and row["score"] == 0
        elif row["id"] == "p4":
            assert row["score"] is None and row["problem"] == "unreadable: 'Neither'"
        elif row["id"] == "p3":
            assert row["flipped"] and row["score"] == 0
        elif len(x) != len(y):
            assert row["score"] == (1 if len(x) > len(y) else -1)
        assert (row["words_x"], row["words_y"]) == (len(x.split()), len(y.split()))
    (target,) = place.summary()["targets"]
    assert [(c["name"], c["answers"], c["failed"]) for c in target["conditions"]] == [(c, COUNT, 0) for c in CONDITIONS]
    assert [c["changed"] for c in target["conditions"]] == [0, COUNT, COUNT - 1]
    for row in target["contrasts"]:
        assert (row["n"], row["unjudged"], row["same"]) == (COUNT - 1, 1, int((row["x"], row["y"]) == ("mine", "raw")))
        assert row["flipped"] >= 1 and row["interval"][0] <= row["lift"] <= row["interval"][1]
    first = place.rows("outcomes.jsonl")
    before = place.summary()

    # A second judge looks at the same answers, a second target joins, and the first judge's words stay.
    done = run("evaluate", "--out", str(place.out), "--judge", "longer", "--cache", str(place.home / "cache.sqlite"))
    assert done.code == 0, done.err
    assert server.asked("chat") == TEXTS and len(done.out.splitlines()) == 6
    done = run(*place.words("--json", *place.judge("judge-2"), target="other"))
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary == place.summary()
    assert (server.asked("chat"), server.asked("other"), server.asked("judge")) == (TEXTS, TEXTS, VERDICTS)
    chat, other = summary["targets"]
    assert (chat["name"], other["name"]) == ("chat", "other")
    assert [c for c in chat["contrasts"] if c["judge"] == "judge"] == before["targets"][0]["contrasts"]
    assert {c["judge"] for c in chat["contrasts"]} == {"judge", "longer"}
    assert {c["judge"] for c in other["contrasts"]} == {"judge-2"}
    assert [row for row in place.rows("outcomes.jsonl") if row["judge"] == "judge"] == first
    assert set(server.completed.values()) == {1}

    # The first command again asks nothing.
    done = run(*place.words(*place.judge()))
    assert done.code == 0 and set(server.completed.values()) == {1}
    assert len(place.summary()["commands"]) == 3

    # Answers that are sampled otherwise are judged anew; what was said of the old ones goes.
    done = run(*place.words("--seed", "1", "--contrast", "suffix:raw", *place.judge()))
    assert done.code == 0, done.err
    assert server.asked("chat") == 2 * TEXTS and KEY not in done.err
    left = {(row["target"], row["judge"], row["x"], row["y"]) for row in place.rows("outcomes.jsonl")}
    assert {one for one in left if one[0] == "chat"} == {("chat", "judge", "suffix", "raw")}
    assert len(left) == 1 + 3, "the other target's stay"
    for path in (p for p in place.home.rglob("*") if p.is_file()):
        assert KEY.encode() not in path.read_bytes(), path

    # Other prompts are another run.
    kept = files_of(place)["texts/prompts.jsonl"]
    (place.home / "p.jsonl").write_text('{"id": "p0", "prompt": "something else"}\n')
    run(*place.words(*place.judge())).fails("was begun with other prompts", "name another folder with --out")
    assert files_of(place)["texts/prompts.jsonl"] == kept and server.asked("chat") == 2 * TEXTS


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("limit", [TEXTS - 11, TEXTS + 11])
def test_a_spent_budget_is_one_line_and_a_higher_one_goes_on(
    server: Server, place: Place, run: Run, limit: int
) -> None:
    run(*place.words("--max-calls", str(limit), *place.judge())).fails("run it again")
    assert server.begun == limit, "never more, target and judge together"
    assert not (place.out / "summary.json").exists()
    done = run(*place.words("--max-calls", str(TEXTS + VERDICTS - limit), *place.judge()))
    assert done.code == 0, done.err
    assert set(server.completed.values()) == {1} and server.begun == TEXTS + VERDICTS


@pytest.mark.usefixtures("no_report")
def test_a_target_that_is_down_is_asked_five_times_and_told(server: Server, place: Place, run: Run) -> None:
    server.left["chat"] = 0
    run(*place.words(*place.judge())).fails("chat died", "503", "the first 5 questions all failed")
    assert server.begun <= 5 * 6 and not server.completed
    nowhere = Place(place.home, "http://127.0.0.1:9/v1")
    run(*nowhere.words(*place.judge())).fails("127.0.0.1:9", "can't be reached")
    assert server.begun <= 5 * 6
    del server.left["chat"]
    assert run(*place.words("--judge", "longer")).code == 0


def test_an_endpoint_that_dies_half_way_keeps_its_answers_and_is_counted(
    server: Server, place: Place, run: Run
) -> None:
    server.left["chat"] = COUNT + 3
    done = run(*place.words("--concurrency", "1", *place.judge()))
    assert done.code == 0, done.err
    assert server.asked("chat") == COUNT + 3 and (place.out / "report.md").exists()
    (target,) = place.summary()["targets"]
    raw, suffix, mine = target["conditions"]
    assert (raw["answers"], raw["failed"], suffix["answers"], suffix["failed"]) == (COUNT, 0, 3, COUNT - 3)
    assert (mine["answers"], mine["failed"]) == (1, COUNT - 1)
    assert sum(suffix["problems"].values()) == COUNT - 3 and "chat died" in next(iter(suffix["problems"]))
    assert "chat died" in next(row["problem"] for row in place.rows("answers.jsonl") if row["problem"])
    assert [(c["x"], c["y"], c["n"] + c["unjudged"]) for c in target["contrasts"]] == [
        ("suffix", "raw", 3), ("mine", "raw", 1), ("mine", "suffix", 1),
    ]  # fmt: skip
    server.left.clear()
    done = run(*place.words("--concurrency", "1", *place.judge()))
    assert done.code == 0, done.err
    (target,) = place.summary()["targets"]
    assert [c["failed"] for c in target["conditions"]] == [0, 0, 0] and set(server.completed.values()) == {1}
    assert [c["n"] + c["unjudged"] for c in target["contrasts"]] == [COUNT] * 3


@pytest.mark.usefixtures("no_report")
def test_a_judge_that_is_down_or_dies_half_way(server: Server, place: Place, run: Run) -> None:
    server.left["judge"] = 0
    run(*place.words(*place.judge())).fails("judge died", "the first 5 questions all failed")
    assert server.asked("chat") == TEXTS and len(place.rows("answers.jsonl")) == 3 * COUNT
    server.left["judge"] = 2 * (COUNT + 3)
    done = run(*place.words("--concurrency", "1", *place.judge()))
    assert done.code == 0, done.err
    told = place.summary()["targets"][0]["contrasts"]
    assert told[0]["n"] == COUNT - 1 and sum(c["unjudged"] for c in told) == 3 * COUNT - 1 - (COUNT + 3 + 1) + 1, (
        "9 pairs judged, one of them in two contrasts, one unreadable"
    )
    assert told[2]["n"] <= 1 and "judge died" in next(iter(told[2]["problems"]))
    server.left.clear()
    assert run(*place.words("--concurrency", "1", *place.judge())).code == 0
    assert [c["unjudged"] for c in place.summary()["targets"][0]["contrasts"]] == [1, 1, 1]
    assert set(server.completed.values()) == {1} and server.asked("chat") == TEXTS


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--judge", "longer"], "say which LLM answers what"),
        (["--target", "chat"], "holds no prompts; begin with"),
        (["--target", "chat", "--prompts", "{home}/gone.jsonl"], "can't read"),
        (["--target", "chat", "--prompts", "{home}/p.jsonl", "--reference", "gold"], "no row has text in field 'gold'"),
        (["--target", "chat", "--prompts", "{home}/p.jsonl", "--condition", "bpo", "--base-url", "{url}"], "NAME=FILE"),
        (["--target", "chat", "--prompts", "{home}/p.jsonl", "--condition", "bpo={home}/gone.jsonl", "--base-url", "{url}"], "can't read"),
        (["--target", "chat", "--prompts", "{home}/p.jsonl", "--condition", "suffix"], "no target 'chat'"),
        (["--target", "chat", "--prompts", "{home}/p.jsonl", "--condition", "suffix", "--base-url", "{url}", "--max-usd", "1"], "--usd-per-million"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(server: Server, place: Place, run: Run, words: list[str], says: str) -> None:
    filled = [word.format(home=place.home, url=place.url) for word in words]
    run("evaluate", "--out", str(place.out), *filled).fails(says)
    assert server.begun == 0


def test_readers_and_targets_by_file(server: Server, place: Place, run: Run) -> None:
    done = run(*place.words())
    assert done.code == 0 and "chat:" not in done.out, done.err
    run("evaluate", "export-blind", str(place.out), "--to", str(place.out / "in")).fails("lies in the run's folder")
    run("evaluate", "export-blind", str(place.out), "--to", "x", "--contrast", "mine:bpo").fails(
        "two conditions of this run"
    )
    to = place.home / "reader"
    done = run("evaluate", "export-blind", str(place.out), "--to", str(to), "--parts", "2", "--contrast", "suffix:raw")
    assert done.code == 0 and f"{2 * COUNT} comparisons" in done.err, done.err
    verdicts = []
    for file in sorted(to.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        words = [{"id": r["id"], "winner": "a" if len(r["answer_a"]) > len(r["answer_b"]) else "b"} for r in rows]
        verdicts.append(file.with_name(f"v-{file.name}"))
        verdicts[-1].write_text("".join(json.dumps(word) + "\n" for word in words))
    done = run("evaluate", "import-verdicts", str(place.out), *map(str, verdicts), "--judge", "a colleague")
    assert done.code == 0, done.err
    assert f"{2 * COUNT} verdicts, 0 given twice, 0 comparisons without one" in done.err
    assert "chat: suffix over raw: lift" in done.out and "by a colleague" in done.out
    verdicts[0].write_text('{"id": "x", "winner": "a"}\n')
    run("evaluate", "import-verdicts", str(place.out), str(verdicts[0]), "--judge", "x").fails(
        "v-comparisons-1.jsonl, line 1"
    )

    ask, back = place.home / "ask.jsonl", place.home / "back.jsonl"
    words = ["--prompts", str(place.home / "p.jsonl"), "--condition", "suffix", "--target", "by-hand", "--to", str(ask)]
    done = run("evaluate", "export-prompts", str(place.out), *words)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in ask.read_text().splitlines()]
    back.write_text("".join(json.dumps({"id": r["id"], "answer": r["prompt"]}) + "\n" for r in rows))
    done = run("evaluate", "import-answers", str(place.out), str(back), "--target", "by-hand")
    assert done.code == 0 and f"{2 * COUNT} answers, 0 prompts without one" in done.err, done.err
    done = run("evaluate", "--out", str(place.out), "--judge", "longer", "--json")
    assert done.code == 0, done.err
    found = {
        (t["name"], c["judge"], c["x"], c["y"]): c for t in json.loads(done.out)["targets"] for c in t["contrasts"]
    }
    assert found["by-hand", "longer", "suffix", "raw"]["lift"] == 100
    assert ("chat", "a colleague", "suffix", "raw") in found and server.asked("chat") == TEXTS
