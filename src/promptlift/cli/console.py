"""What the commands share on the terminal: loading with progress, and showing a change."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from promptlift.errors import InputError

if TYPE_CHECKING:
    from promptlift.prompter import Prompter

REASONS = {
    "identity": "it needs no help: closed-ended, or good as it is",
    "unproven": "the advice is of a kind that was not measured to help (--unproven gives it)",
    "empty": "there is nothing to rewrite",
    "too-long": "it is longer than the prompter can take in",
    "tag": "it holds a <passage-n/> tag, which promptlift uses itself",
    "no-instruction": "it holds no instruction in words",
    "guard:language": "it is not in a language that this prompter knows",
}


def error_console() -> Console:
    """Progress and notes go to stderr, so that stdout carries the result alone."""
    return Console(stderr=True, highlight=False)


@contextmanager
def loaded(
    prompter: str | None,
    base_gguf: Path | None,
    slots: int,
    unproven: bool = False,
    engine: Literal["llama.cpp", "torch"] = "llama.cpp",
) -> Iterator[Prompter]:
    """A loaded prompter, with a progress bar while its engine-ready file is made."""
    from promptlift.prompter import Prompter

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), console=error_console(), transient=True
    ) as bar:
        task = bar.add_task("preparing the prompter", total=1.0, visible=False)

        def report(done: float) -> None:
            bar.update(task, completed=done, visible=True)

        found = Prompter.load(
            prompter, slots=slots, base_gguf=base_gguf, unproven=unproven, engine=engine, progress=report
        )
    with found:
        yield found


def row_progress() -> Progress:
    """A bar over rows, with the time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=error_console(),
    )  # fmt: skip


def read_prompt(argument: str | None) -> str:
    """The prompt from the argument, or from stdin for `-` or a pipe.

    Raises:
        InputError: stdin holds no UTF-8 text, or there is no prompt at all.
    """
    if argument is not None and argument != "-":
        return argument
    if argument is None and sys.stdin.isatty():
        raise InputError('no prompt given; type one: promptlift rewrite "explain recursion"')
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"stdin is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}; give the prompt as text"
        ) from None


def printable(text: str) -> str:
    """Text that any UTF-8 terminal takes: lone surrogates are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def why(reason: str | None) -> str:
    """A reason in words."""
    if reason is None:
        return ""
    if reason in REASONS:
        return REASONS[reason]
    return f"what the prompter wrote did not pass the check {reason.removeprefix('guard:')!r}"


def difference(before: str, after: str) -> Text:
    """`after` with what is new marked green, and what is gone struck through in red."""
    old, new = re.findall(r"\s+|\S+", printable(before)), re.findall(r"\s+|\S+", printable(after))
    text = Text()
    if len(old) * len(new) > 4_000_000:
        return Text(printable(after))  # too long to compare word by word
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            text.append("".join(new[c:d]))
            continue
        if gone := "".join(old[a:b]):
            text.append(f"[-{gone}-]" if not sys.stdout.isatty() else gone, style="red strike")
        if fresh := "".join(new[c:d]):
            lead = fresh[: len(fresh) - len(fresh.lstrip())]
            body = fresh[len(lead) :]
            text.append(lead)
            text.append(f"{{+{body}+}}" if not sys.stdout.isatty() else body, style="green")
    return text
