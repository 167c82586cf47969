"""The command line as a person and as a program use it: real processes, exit codes, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ["rewrite", "compare", "targets", "train", "setup", "demo"]


def run(*words: str, stdin: bytes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "promptlift", *words],
        input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True, timeout=120,
        env={**os.environ, "COLUMNS": "100", **env}, check=False,
    )  # fmt: skip


def fails(done: subprocess.CompletedProcess[bytes], says: str, code: int = 1) -> None:
    """The command failed with one line on stderr that holds `says`, and nothing on stdout."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert done.stdout == b""
    assert says in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text


def test_rewrite_prints_the_rewrite_alone() -> None:
    done = run("rewrite", "explain how tides work", "--unproven")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("explain how tides work\n\n")
    assert b"\x1b" not in done.stdout


def test_json_is_the_contract() -> None:
    row = json.loads(run("rewrite", "explain how tides work", "--unproven", "--json").stdout)
    assert set(row) == {"prompt", "rewrite", "changed", "reason", "target", "prompter", "seconds"}
    several = json.loads(run("rewrite", "explain how tides work", "--unproven", "--json", "--n", "3").stdout)
    assert 1 <= len(several) <= 3


def test_diff_marks_what_is_new() -> None:
    text = run("rewrite", "explain how tides work", "--unproven", "--diff").stdout.decode()
    assert text.startswith("explain how tides work\n\n{+")
    assert text.rstrip().endswith("+}")


def test_a_prompt_left_alone_says_why_on_stderr() -> None:
    done = run("rewrite", "wie entsteht eigentlich ein Regenbogen am Himmel?")
    assert done.stdout.decode() == "wie entsteht eigentlich ein Regenbogen am Himmel?\n"
    assert b"guard:language" in done.stderr


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"\xff\xfe\x00\x01", "stdin is not UTF-8 text: byte 0 is 0xff"), (bytes(range(128, 256)), "not UTF-8")],
)
def test_binary_on_stdin_is_one_line(data: bytes, says: str) -> None:
    fails(run("rewrite", "-", stdin=data), says)


@pytest.mark.parametrize("data", [b"", b"  \n", b"a\0b\0c", b"x" * 5_000_000, "🙂".encode() * 50])
def test_strange_stdin_comes_back_as_it_was(data: bytes) -> None:
    done = run("rewrite", "-", stdin=data)
    assert done.returncode == 0
    assert done.stdout.rstrip(b"\n") == data.rstrip(b"\n")


def test_lone_surrogates_reach_json_as_escapes() -> None:
    done = run("rewrite", "--json", "explain \udcff bytes")
    assert done.returncode == 0
    assert json.loads(done.stdout)["prompt"].startswith("explain")


def test_wrong_usage_is_exit_2() -> None:
    assert run("rewrite", "hi", "--n", "0").returncode == 2
    assert run("rewrite", "hi", "--strength", "huge").returncode == 2
    assert run("rewrite", "--input", "a.jsonl").returncode == 2
    assert run("nonsense").returncode == 2


def test_errors_are_one_line(tmp_path: Path) -> None:
    fails(run("rewrite", "hi", "--prompter", str(tmp_path / "none")), "no prompter")
    fails(run("rewrite", "hi", "--prompter", str(tmp_path)), "manifest.json is missing")
    fails(run("rewrite", "explain tides", "--target", "gpt-9"), "no adapter for target 'gpt-9'")
    fails(run("rewrite", "--input", str(tmp_path / "x.jsonl"), "--output", str(tmp_path / "y.jsonl")), "can't read")
    fails(run("train", str(tmp_path / "x.jsonl"), "--out", str(tmp_path / "y")), "can't read")
    fails(run("compare", "explain tides", "--target", str(tmp_path / "none.gguf")), "none.gguf")
    done = run("compare", "hi there all", "--target", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stderr.decode().strip().splitlines()[-1].startswith("promptlift: ")
    assert "127.0.0.1:9" in done.stderr.decode()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = run("--debug", "rewrite", "hi", "--prompter", str(tmp_path))
    assert done.returncode == 1
    assert b"Traceback" in done.stderr


def test_a_missing_extra_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch', name='torch')\n")
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"id": "1", "prompt": "p", "optimized": "q"}\n')
    done = run("train", str(pairs), "--out", str(tmp_path / "out"), PYTHONPATH=str(tmp_path))
    fails(done, "pip install 'promptlift[train]'")


def test_an_embedded_model_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"GGUF something else")
    done = run("rewrite", "hi", PROMPTLIFT_EMBEDDED_GGUF=str(tmp_path / "other.gguf"))
    fails(done, "is not the embedded model")
    fails(run("rewrite", "hi", PROMPTLIFT_EMBEDDED_GGUF=str(tmp_path / "none.gguf")), "there is no such file")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"promptlift {command}" in done.stdout.decode()
    assert "Example" in done.stdout.decode()


def test_targets_as_json() -> None:
    row = json.loads(run("targets", "--json").stdout)
    assert row["prompters"][0]["prompter"].startswith("tiny@")
    assert "smollm2" in row["local_targets"]


def test_compare_as_json() -> None:
    done = run("compare", "explain how tides work", "--max-tokens", "48", "--json", "--unproven")
    row = json.loads(done.stdout)
    assert row["rewrite"]["changed"]
    assert row["answer"]["text"] != row["answer_to_rewrite"]["text"]
