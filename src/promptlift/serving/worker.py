"""The prompter's own process: JSON lines on stdin and stdout (`python -m promptlift.serving.worker`).

    in    {"prompter", "base_gguf", "slots", "threads", "unproven"}            once, first
          {"id", "prompt", "target", "strength", "seconds", "stream"}          a job
    out   {"ready": name and version} or {"failed": why}                       once, first
          {"id", "piece"}  {"id", "rewrite": {…}}  {"id", "error": why, "input": the job is at fault}
          {"targets": […]}                                                     at first, and when there are others

A crash of native code ends this process and not the server; and what hangs here can be killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any

from promptlift.errors import InputError, PromptliftError

if TYPE_CHECKING:
    from promptlift.prompter import Prompter


def main() -> None:
    """Load the prompter, then work until stdin ends; that is also the end of an orphan."""
    # Libraries that print must not spoil the protocol: their stdout is stderr.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    lines = sys.stdin.buffer
    say = _Speaker(out)
    settings = json.loads(lines.readline() or b"{}")
    try:
        prompter = _load(settings)
    except PromptliftError as error:
        say({"failed": " ".join(str(error).split())})
        return
    say({"ready": prompter.name})
    targets = _Targets(prompter, say)
    pool = ThreadPoolExecutor(settings.get("slots", 1))
    for line in lines:
        pool.submit(_work, prompter, json.loads(line), say)
        targets.tell()
    out.flush()
    os._exit(0)  # whoever asked is gone, and a thread that hangs must not keep this process


class _Speaker:
    """Writes one line at a time, from any thread."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def __call__(self, row: dict[str, Any]) -> None:
        line = json.dumps(row) + "\n"
        with self._lock:
            try:
                self._out.write(line)
                self._out.flush()
            except OSError:
                os._exit(1)  # nobody listens any more


def _load(settings: dict[str, Any]) -> Prompter:
    from promptlift.prompter import Prompter

    return Prompter.load(
        settings.get("prompter"), slots=settings.get("slots", 1), base_gguf=settings.get("base_gguf"),
        threads=settings.get("threads"), unproven=settings.get("unproven", False),
    )  # fmt: skip


def _work(prompter: Prompter, job: dict[str, Any], say: _Speaker) -> None:
    key = job["id"]
    try:
        target = job.get("target")
        if not job.get("stream"):
            found = prompter.rewrite(job["prompt"], target, strength=job.get("strength"), seconds=job.get("seconds"))
            say({"id": key, "rewrite": found.to_json()})
            return
        for item in prompter.stream(job["prompt"], target, strength=job.get("strength")):
            say({"id": key, "piece": item} if isinstance(item, str) else {"id": key, "rewrite": item.to_json()})
    except PromptliftError as error:
        say({"id": key, "error": " ".join(str(error).split()), "input": isinstance(error, InputError)})
    except Exception as error:  # the server must hear of it, whatever it is
        say({"id": key, "error": f"{type(error).__name__}: {error}", "input": False})


class _Targets:
    """Tells which adapters there are; new ones are used without a restart."""

    def __init__(self, prompter: Prompter, say: _Speaker) -> None:
        self._prompter, self._say = prompter, say
        self._told: list[str] | None = None
        self.tell()

    def tell(self) -> None:
        found = self._prompter.targets
        if found != self._told:
            self._say({"targets": found})
            self._told = found


if __name__ == "__main__":
    main()
