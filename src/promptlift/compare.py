"""A target's answers to the raw and to the rewritten prompt, side by side as they come."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from promptlift.chat.base import Answer, AnswerStream, ChatClient

WIDE = 80
"""Columns that a terminal needs for two answers beside each other."""
BORDER = 4
"""What a panel takes of the width: two borders and two spaces."""
REFRESH_SECONDS = 0.1
STOP_SECONDS = 2.0
# C0 and C1 controls without tab and line break: an answer must not steer the terminal.
_CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


class _Side:
    """One answer: a thread fetches it, the caller's thread shows it."""

    def __init__(self, title: str, stream: AnswerStream) -> None:
        self.title = title
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self._stream = stream
        self._came: list[str] = []
        self._ended = threading.Event()
        # A daemon, because an endpoint that hangs must not hold up the end of the program.
        self._thread = threading.Thread(target=self._fetch, name=f"promptlift-{title}", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """What has come, without control codes."""
        return "".join(self._came)

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the answer; True if it has come."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """Ask for an early end."""
        self._stream.cancel()

    def _fetch(self) -> None:
        try:
            for piece in self._stream:
                self._came.append(piece.translate(_CONTROLS))
            self.answer = self._stream.answer
        except BaseException as error:  # the caller's thread raises it
            self.error = error
        finally:
            self._ended.set()


def side_by_side(
    client: ChatClient,
    raw: str,
    rewritten: str,
    console: Console,
    max_tokens: int = 512,
    temperature: float = 0.0,
    seed: int | None = None,
    system: str | None = None,
) -> tuple[Answer, Answer]:
    """Stream the answers to both prompts to the console and return them, the raw one's first.

    Both are asked for at once. On a terminal they grow beside each other, or one above the
    other where it is narrower than 80 columns; elsewhere they come one after the other as
    plain text. Equal prompts are asked once, and the same answer is returned twice.

    Args:
        client: the target.
        raw: the person's prompt.
        rewritten: what the prompter made of it.
        console: where to show the answers.
        max_tokens: each answer is cut after so many tokens.
        temperature: 0 takes the likeliest token each time.
        seed: of the sampling; None leaves it to the target.
        system: a system message, if any.

    Raises:
        TargetError: the target failed; the other answer is cancelled.
        KeyboardInterrupt: after both answers are stopped.
    """
    titles = {"the prompt": raw} if raw == rewritten else {"the raw prompt": raw, "the rewritten prompt": rewritten}

    def ask(prompt: str) -> AnswerStream:
        return client.stream(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed, system=system)

    sides = [_Side(f"answer to {title}", ask(prompt)) for title, prompt in titles.items()]
    try:
        # FORCE_COLOR makes rich take a pipe for a terminal; the codes of Live would spoil a file.
        if console.is_terminal and not console.is_dumb_terminal and console.file.isatty():
            _show_live(sides, console)
        else:
            _show_plain(sides, console)
        _raise_error(sides)
    finally:
        for side in sides:
            side.cancel()
        for side in sides:
            side.wait(STOP_SECONDS)
    answers = [side.answer for side in sides if side.answer is not None]
    return answers[0], answers[-1]


def _show_live(sides: Sequence[_Side], console: Console) -> None:
    """Let both answers grow in place; of one that outgrows the screen, the end is shown meanwhile."""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        try:
            while not all(side.wait(REFRESH_SECONDS) for side in sides):
                live.update(_layout(sides, console, whole=False), refresh=True)
                _raise_error(sides)
        finally:
            live.update(_layout(sides, console, whole=True))  # the end of `with` draws it


def _layout(sides: Sequence[_Side], console: Console, whole: bool) -> RenderableType:
    beside = len(sides) > 1 and console.width >= WIDE
    width = console.width // 2 if beside else console.width
    rows = console.height - 1 if beside else (console.height - 1) // len(sides)
    panels = [_panel(side, console, width, None if whole else max(rows - 2, 1)) for side in sides]
    if not beside:
        return Group(*panels)
    table = Table.grid(expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    table.add_row(*panels)
    return table


def _panel(side: _Side, console: Console, width: int, rows: int | None) -> Panel:
    answer = side.answer
    body = Text(_encodable(side.text.strip(), console))
    if rows is not None:
        body = Text("\n").join(body.wrap(console, max(width - BORDER, 1))[-rows:])
    style = "dim" if answer is None else "default"
    return Panel(body, title=side.title, subtitle=answer.describe() if answer else "…", border_style=style)


def _show_plain(sides: Sequence[_Side], console: Console) -> None:
    """Write one answer after the other, each piece as it comes, without a single control code."""
    for side in sides:
        _write(console, f"--- {side.title}\n")
        shown = 0
        ended = False
        while not ended:
            ended = side.wait(REFRESH_SECONDS)  # before the text is read: nothing comes after the end
            text = side.text
            _write(console, text[shown:])
            shown = len(text)
            _raise_error(sides)
        if side.answer is not None:
            _write(console, f"\n--- {side.answer.describe()}\n\n")


def _write(console: Console, text: str) -> None:
    """Write text as it is, past rich, which would expand tabs; at once, for whoever reads along."""
    console.file.write(_encodable(text, console))
    console.file.flush()


def _encodable(text: str, console: Console) -> str:
    """Text with `?` for what the console's encoding does not know, lone surrogates among it."""
    return text.encode(console.encoding, "replace").decode(console.encoding)


def _raise_error(sides: Sequence[_Side]) -> None:
    for side in sides:
        if side.error is not None:
            raise side.error
