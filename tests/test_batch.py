"""A file of prompts: formats, resuming after a kill, and files that can't be used."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptlift import Prompter
from promptlift.batch import BatchSettings, read_rows, rewrite_file
from promptlift.errors import InputError, RecordError

PROMPTS = [
    f"{verb} {thing}" for verb in ("explain", "write a poem about") for thing in ("rain", "iron", "2 + 3", "bees")
]


def jsonl(path: Path, prompts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"n": i, "prompt": p}) + "\n" for i, p in enumerate(prompts)))
    return path


def test_rows_keep_their_fields_and_order(prompter: Prompter, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    counts = rewrite_file(
        prompter, jsonl(tmp_path / "in.jsonl", PROMPTS), tmp_path / "out.jsonl", BatchSettings(),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(r["n"], r["prompt"]) for r in rows] == list(enumerate(PROMPTS))
    assert counts == {"rows": 8, "changed": sum(r["changed"] for r in rows), "resumed": 0}
    assert seen[0] == (0, 8)
    assert seen[-1] == (8, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_csv_and_plain_lines(prompter: Prompter, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("explain tides\n\nwrite a limerick about tea\n")
    rewrite_file(prompter, tmp_path / "in.txt", tmp_path / "out.csv", BatchSettings())
    with (tmp_path / "out.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["prompt"] for r in rows] == ["explain tides", "write a limerick about tea"]
    assert all(r["rewrite"].startswith(r["prompt"]) for r in rows)
    rewrite_file(prompter, tmp_path / "out.csv", tmp_path / "again.jsonl", BatchSettings())
    assert len((tmp_path / "again.jsonl").read_text().splitlines()) == 2


def test_a_killed_run_goes_on_without_losing_or_doubling_a_row(prompter: Prompter, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", PROMPTS * 6)
    whole = tmp_path / "whole.jsonl"
    rewrite_file(prompter, source, whole, BatchSettings())
    part, output = tmp_path / "out.jsonl.part", tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "promptlift", "rewrite", "--input", str(source), "--output", str(output)]
    command.append("--unproven")
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while run.poll() is None and time.monotonic() < until:
        if part.exists() and part.read_bytes().count(b"\n") > 5:
            run.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    run.wait()
    assert not output.exists()
    with part.open("ab") as handle:
        handle.write(b'{"rewrite": "cut sh')  # a row that was cut short by the kill
    counts = rewrite_file(prompter, source, output, BatchSettings())
    assert 5 <= counts["resumed"] < 48

    def rows(path: Path) -> list[tuple[int, str, str]]:
        return [(r["n"], r["prompt"], str(r["reason"])) for r in map(json.loads, path.read_text().splitlines())]

    assert [r[:2] for r in rows(output)] == [r[:2] for r in rows(whole)]
    assert not part.exists()


def test_other_settings_do_not_mix_with_an_earlier_run(prompter: Prompter, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", PROMPTS)
    (tmp_path / "out.jsonl.part").write_text('{"promptlift_batch": {"prompter": "other"}}\n{"rewrite": "x"}\n')
    with pytest.raises(InputError, match="other settings.*--restart"):
        rewrite_file(prompter, source, tmp_path / "out.jsonl", BatchSettings())
    assert rewrite_file(prompter, source, tmp_path / "out.jsonl", BatchSettings(), restart=True)["resumed"] == 0


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"prompt": "x"}\n{"text": "y"}\n', "line 2: no text in field 'prompt'.*text.*--field"),
        ("a.jsonl", b"", "holds no prompts"),
        ("a.csv", b"text\nhello\n", "line 2: no text in field 'prompt'"),
        ("a.csv", b'prompt\n"open\n', "not CSV|no text|holds no"),
        ("a.txt", b"\xff\xfe\x00", "is not UTF-8 text: byte 0 is 0xff"),
        ("a.txt", b"\n\n", "holds no prompts"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((InputError, RecordError), match=says) as caught:
        read_rows(tmp_path / name, "prompt")
    assert name in str(caught.value)


def test_outputs_that_cannot_be_used(prompter: Prompter, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", PROMPTS)
    with pytest.raises(InputError, match="must end in .jsonl or .csv"):
        rewrite_file(prompter, source, tmp_path / "out.txt", BatchSettings())
    with pytest.raises(InputError, match="same file"):
        rewrite_file(prompter, source, source, BatchSettings())


def test_a_full_disk_loses_nothing(prompter: Prompter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = jsonl(tmp_path / "in.jsonl", PROMPTS)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        rewrite_file(prompter, source, tmp_path / "out.jsonl", BatchSettings())
    assert not (tmp_path / "out.jsonl").exists()
    monkeypatch.undo()
    assert rewrite_file(prompter, source, tmp_path / "out.jsonl", BatchSettings())["resumed"] == 8
