"""Where a person's texts stand in a request's body, and how others are put in their place.

A body is taken apart only as far as the texts: every other value stays the bytes that it was (numbers of any
precision, repeated escapes, lone surrogates), so nothing that a client sends is changed by passing through Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

Raw = msgspec.Raw
Members = dict[str, msgspec.Raw]
_NULL = Raw(b"null")

# What a chat template leaves in a completion's prompt: it is not a person's text alone.
_MARKS = ("<|", "[INST]", "<start_of_turn>", "<s>", "### Instruction", "\nHuman:", "\nUser:")


@dataclass(frozen=True)
class Turn:
    """A text of a person's.

    Attributes:
        text: as the model would read it.
        answered: an assistant's message follows, so it went through before.
        reason: why it can't be rewritten; None if it can.
        raw: the JSON string that it is, a view of the body.
    """

    text: str
    answered: bool = False
    reason: str | None = None
    raw: Raw | None = None


@dataclass(frozen=True)
class Body:
    """A request whose texts can be replaced.

    Attributes:
        model: as the client names it.
        turns: the person's texts, first to last.
        reason: why there is nothing to rewrite; None if there is.
        rest: of a conversation begun elsewhere: its first turn is not here.
        separate: each turn is a conversation of its own.
    """

    model: str = ""
    turns: list[Turn] = field(default_factory=list)
    reason: str | None = None
    rest: bool = False
    separate: bool = False
    data: bytes = b""
    spans: list[tuple[int, int]] = field(default_factory=list)

    def replaced(self, texts: dict[int, str]) -> bytes:
        """The body with other texts in the place of some turns, by their number from 0; all else is the same bytes."""
        found, end = [], 0
        for number, text in sorted(texts.items()):
            start, stop = self.spans[number]
            found += [self.data[end:start], msgspec.json.encode(text)]
            end = stop
        return b"".join([*found, self.data[end:]])


class _Unfit(Exception):
    """The body holds nothing to rewrite; the reason is the message."""


def parse(kind: str, data: bytes) -> Body:
    """Find the person's texts.

    Args:
        kind: `chat`, `responses` or `completions`.
        data: the body.

    Returns:
        Never fails: a body that is not of the kind has a `reason`.
    """
    model = ""
    try:
        members = _members(data)
        model = _text(members.get("model", Raw(b'""'))) or ""
        turns, rest = _KINDS[kind](members)
        spans = [_span(data, turn.raw) for turn in turns]
    except _Unfit as error:
        return Body(model, reason=str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Body(model, reason="unreadable")
    return Body(model, turns, None if turns else "turn", rest, kind == "completions", data, spans)


_Found = tuple[list[Turn], bool]


def _chat(members: Members) -> _Found:
    if _asks_for_json(members.get("response_format")):
        raise _Unfit("json")
    return _messages(_list(members, "messages"), "text"), False


def _responses(members: Members) -> _Found:
    text = members.get("text")
    if text is not None and bytes(text) != b"null" and _asks_for_json(_members(text).get("format")):
        raise _Unfit("json")
    rest = any(bytes(members.get(name, b"null")) != b"null" for name in ("previous_response_id", "conversation"))
    if "input" not in members:
        raise _Unfit("turn")
    whole = _text(members["input"])
    if whole is not None:
        return [Turn(whole, raw=members["input"])], rest
    return _messages(_list(members, "input"), "input_text"), rest


def _completions(members: Members) -> _Found:
    if any(bytes(members.get(name, b"null")) not in (b"null", b"false", b'""') for name in ("suffix", "echo")):
        raise _Unfit("marks")
    if "prompt" not in members:
        raise _Unfit("turn")
    one = _text(members["prompt"])
    items = [members["prompt"]] if one is not None else _list(members, "prompt")
    turns = []
    for item in items:
        text = _text(item)
        if text is None:
            raise _Unfit("turn")  # token ids
        if any(mark in text for mark in _MARKS):
            raise _Unfit("marks")
        turns.append(Turn(text, raw=item))
    return turns, False


_KINDS: dict[str, Callable[[Members], _Found]] = {"chat": _chat, "responses": _responses, "completions": _completions}


def _messages(items: list[Raw], part_type: str) -> list[Turn]:
    """The user turns of a list of messages."""
    turns: list[tuple[int, Turn]] = []  # with the number of its message
    answer = -1
    for number, item in enumerate(items):
        if _first(item) != b"{":
            continue
        message = _members(item)
        role, kind = _text(message.get("role", _NULL)), _text(message.get("type", _NULL))
        if role == "assistant" or kind in ("function_call", "reasoning"):
            answer = number
        if role != "user":
            continue
        content = message.get("content", _NULL)
        text = _text(content)
        if text is None:
            found = _text_parts(content, part_type)
            if len(found) != 1:
                turns.append((number, Turn("", reason="parts" if found else "turn")))
                continue
            content, text = found[0]
        turns.append((number, Turn(text, raw=content)))
    return [replace(turn, answered=number < answer) for number, turn in turns]


def _span(whole: bytes, part: Raw | None) -> tuple[int, int]:
    """Where a value stands: what msgspec leaves raw is no copy, but a view of the whole."""
    if part is None:
        return 0, 0
    start = _address(part) - _address(whole)
    stop = start + len(bytes(part))
    if start < 0 or whole[start:stop] != bytes(part):
        raise _Unfit("unreadable")
    return start, stop


def _address(data: bytes | Raw) -> int:
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])


def _text_parts(content: Raw, part_type: str) -> list[tuple[Raw, str]]:
    if _first(content) != b"[":
        return []
    found = []
    for part in msgspec.json.decode(content, type=list[Raw]):
        members = _members(part) if _first(part) == b"{" else {}
        raw = members.get("text", _NULL)
        text = _text(raw)
        if _text(members.get("type", _NULL)) == part_type and text is not None:
            found.append((raw, text))
    return found


def _asks_for_json(format_: Raw | None) -> bool:
    if format_ is None or bytes(format_) == b"null":
        return False
    return _text(_members(format_).get("type", Raw(b'"text"'))) != "text"


def _first(data: Raw) -> bytes:
    """What a value begins with, which tells its type; msgspec has left out the spaces before it."""
    return bytes(memoryview(data)[:1])


def _members(data: bytes | Raw) -> Members:
    return msgspec.json.decode(data, type=Members)


def _list(members: Members, name: str) -> list[Raw]:
    if _first(members.get(name, _NULL)) != b"[":
        raise _Unfit("turn")
    return msgspec.json.decode(members[name], type=list[Raw])


def _text(data: Raw) -> str | None:
    """The string that stands there; None if it is something else."""
    if _first(data) != b'"':
        return None
    return msgspec.json.decode(data, type=str)
