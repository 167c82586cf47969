"""A prompter that misbehaves as the prompt tells it (the protocol is that of `promptlift.serving.worker`).

    python tests/hostile_prompter.py FOLDER

It adds ADVICE to a prompt. A word in the prompt that begins with `!` makes it do something else; what each does
stands beside its name below. FOLDER is where it keeps how many of its next starts are to fail.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ADVICE = "\n\nBe vivid."
NAME = "hostile@1"
HUGE = 65 * 2**20
"""Bytes of a line, more than the server reads."""
_WORD = re.compile(r"!([a-z]+)(\d*)")
_LOCK = threading.Lock()


def record(job: dict[str, Any], **other: Any) -> dict[str, Any]:
    """What an honest prompter says of a job, but for some fields."""
    prompt = job["prompt"]
    same = "!same" in prompt
    row = {"prompt": prompt, "rewrite": prompt if same else prompt + ADVICE, "changed": not same}
    row |= {"reason": "identity" if same else None, "target": job["target"], "prompter": NAME, "seconds": 0.0}
    return row | other


def say(row: Any) -> None:
    write(json.dumps(row).encode() + b"\n")


def write(data: bytes) -> None:
    with _LOCK:
        while data:
            data = data[os.write(1, data) :]


def answer(job: dict[str, Any], **other: Any) -> None:
    say({"id": job["id"], "rewrite": record(job, **other)})


def _twice(job: dict[str, Any], _: int) -> None:
    answer(job)
    answer(job, rewrite="another")


def _half(job: dict[str, Any], _: int) -> None:
    write(json.dumps({"id": job["id"], "rewrite": record(job)}).encode()[:-20])
    os._exit(0)


def _missing(job: dict[str, Any], _: int) -> None:
    row = record(job)
    del row["reason"]
    say({"id": job["id"], "rewrite": row})


def _orphan(job: dict[str, Any], _: int) -> None:
    # it holds the pipes open, so that their end does not tell of this process's end
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
    os._exit(4)


def _mute(job: dict[str, Any], _: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)


def _failstart(job: dict[str, Any], times: int) -> None:
    _starts().write_text(str(times or 1))
    os._exit(5)


WORDS: dict[str, Callable[[dict[str, Any], int], None]] = {
    # it ends
    "die": lambda job, _: os._exit(3),
    "kill": lambda job, _: os.kill(os.getpid(), signal.SIGKILL),
    "half": _half,  # in the middle of a line
    "orphan": _orphan,  # and leaves a child behind
    "failstart": _failstart,  # and the next so many starts fail
    # it says nothing
    "hang": lambda job, _: None,
    "stop": lambda job, _: os.kill(os.getpid(), signal.SIGSTOP),
    "wrongid": lambda job, _: answer(job | {"id": job["id"] + 1_000_000}),
    "mute": _mute,  # nor ever again, with its stdout closed
    # it says what makes no sense
    "garbage": lambda job, _: write(b"no json\n"),
    "binary": lambda job, _: write(bytes(range(256)).replace(b"\n", b"") + b"\n"),
    "list": lambda job, _: say([job["id"]]),
    "noid": lambda job, _: say({"rewrite": record(job)}),
    "textid": lambda job, _: answer(job | {"id": str(job["id"])}),
    "deep": lambda job, _: write(b"[" * 200_000 + b"\n"),
    "bignumber": lambda job, _: write(b'{"id": ' + b"9" * 10_000 + b"}\n"),
    "hugeline": lambda job, _: write(b" " * HUGE + b"\n"),
    "missing": _missing,
    "contradict": lambda job, _: answer(job, reason="identity"),
    "otherprompt": lambda job, _: answer(job, prompt="another prompt"),
    "empty": lambda job, _: answer(job, rewrite=" \n"),
    "number": lambda job, _: answer(job, rewrite=7),
    "inject": lambda job, _: answer(
        job, rewrite=job["prompt"], changed=False, reason="identity\r\nx-injected: yes"
    ),  # a header in the reason
    # it says that it can't
    "error": lambda job, _: say({"id": job["id"], "error": "it failed", "input": False}),
    "input": lambda job, _: say({"id": job["id"], "error": "no such strength", "input": True}),
    # what can be sent on in no JSON
    "surrogate": lambda job, _: answer(job, rewrite=job["prompt"] + "\ud800"),
    # all is well
    "twice": _twice,
    "slow": lambda job, milliseconds: (time.sleep(milliseconds / 1000), answer(job))[1],
    "same": lambda job, _: answer(job),
}


def _starts() -> Path:
    return Path(sys.argv[1]) / "failing-starts"


def _work(job: dict[str, Any]) -> None:
    found = _WORD.search(job["prompt"])
    if job["stream"]:
        say({"id": job["id"], "piece": ADVICE})
    if found is None or found[1] not in WORDS:
        answer(job)
    else:
        WORDS[found[1]](job, int(found[2] or 0))


def main() -> None:
    sys.stdin.buffer.readline()
    failing = int(_starts().read_text()) if _starts().exists() else 0
    if failing:
        _starts().write_text(str(failing - 1))
        if failing % 2:
            say({"failed": "it was told to fail"})
        return
    say({"ready": NAME})
    say({"targets": ["one", "two"]})
    for line in sys.stdin.buffer:
        threading.Thread(target=_work, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
