"""Where a person's texts stand in a request's body, and how others are put in their place.

A body is taken apart only as far as the texts: every other value stays the bytes that it was (numbers of any
precision, repeated escapes, lone surrogates), so nothing that a client sends is changed by passing through Python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

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
    """

    text: str
    answered: bool = False
    reason: str | None = None


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
    _build: Callable[[dict[int, str]], bytes] | None = None

    def replaced(self, texts: dict[int, str]) -> bytes:
        """The body with other texts in the place of some turns, by their number from 0."""
        assert self._build is not None, "a body without turns has none to replace"
        return self._build(texts)


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
        turns, rest, build = _KINDS[kind](members)
    except _Unfit as error:
        return Body(model, reason=str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Body(model, reason="unreadable")
    return Body(model, turns, None if turns else "turn", rest, kind == "completions", build)


_Found = tuple[list[Turn], bool, Callable[[dict[int, str]], bytes]]


def _chat(members: Members) -> _Found:
    if _asks_for_json(members.get("response_format")):
        raise _Unfit("json")
    turns, build = _messages(_list(members, "messages"), "text")
    return turns, False, lambda texts: _dump(members | {"messages": build(texts)})


def _responses(members: Members) -> _Found:
    text = members.get("text")
    if text is not None and bytes(text) != b"null" and _asks_for_json(_members(text).get("format")):
        raise _Unfit("json")
    rest = any(bytes(members.get(name, b"null")) != b"null" for name in ("previous_response_id", "conversation"))
    if "input" not in members:
        raise _Unfit("turn")
    whole = _text(members["input"])
    if whole is not None:
        return [Turn(whole)], rest, lambda texts: _dump(members | {"input": _string(texts.get(0, whole))})
    turns, build = _messages(_list(members, "input"), "input_text")
    return turns, rest, lambda texts: _dump(members | {"input": build(texts)})


def _completions(members: Members) -> _Found:
    if any(bytes(members.get(name, b"null")) not in (b"null", b"false", b'""') for name in ("suffix", "echo")):
        raise _Unfit("marks")
    if "prompt" not in members:
        raise _Unfit("turn")
    one = _text(members["prompt"])
    texts = [one] if one is not None else [_text(item) for item in _list(members, "prompt")]
    known = [text for text in texts if text is not None]
    if len(known) < len(texts):
        raise _Unfit("turn")  # token ids
    if any(mark in text for text in known for mark in _MARKS):
        raise _Unfit("marks")

    def build(new: dict[int, str]) -> bytes:
        written = [_string(new.get(number, text)) for number, text in enumerate(known)]
        return _dump(members | {"prompt": written[0] if one is not None else Raw(msgspec.json.encode(written))})

    return [Turn(text) for text in known], False, build


_KINDS: dict[str, Callable[[Members], _Found]] = {"chat": _chat, "responses": _responses, "completions": _completions}


def _messages(items: list[Raw], part_type: str) -> tuple[list[Turn], Callable[[dict[int, str]], Raw]]:
    """The user turns of a list of messages, and the list with some of them replaced."""
    turns: list[tuple[int, Turn]] = []  # with the number of its message
    parts: dict[int, int] = {}  # of a turn, where its text is one of several parts
    answer = -1
    for number, item in enumerate(items):
        if bytes(item).lstrip()[:1] != b"{":
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
            parts[len(turns)], text = found[0]
        turns.append((number, Turn(text)))

    def build(texts: dict[int, str]) -> Raw:
        new = list(items)
        for turn, text in texts.items():
            number = turns[turn][0]
            message = _members(items[number])
            if turn not in parts:
                content = _string(text)
            else:
                pieces = msgspec.json.decode(message["content"], type=list[Raw])
                pieces[parts[turn]] = Raw(_dump(_members(pieces[parts[turn]]) | {"text": _string(text)}))
                content = Raw(msgspec.json.encode(pieces))
            new[number] = Raw(_dump(message | {"content": content}))
        return Raw(msgspec.json.encode(new))

    return [replace(turn, answered=number < answer) for number, turn in turns], build


def _text_parts(content: Raw, part_type: str) -> list[tuple[int, str]]:
    if bytes(content).lstrip()[:1] != b"[":
        return []
    found = []
    for place, part in enumerate(msgspec.json.decode(content, type=list[Raw])):
        members = _members(part) if bytes(part).lstrip()[:1] == b"{" else {}
        text = _text(members.get("text", _NULL))
        if _text(members.get("type", _NULL)) == part_type and text is not None:
            found.append((place, text))
    return found


def _asks_for_json(format_: Raw | None) -> bool:
    if format_ is None or bytes(format_) == b"null":
        return False
    return _text(_members(format_).get("type", Raw(b'"text"'))) != "text"


def _members(data: bytes | Raw) -> Members:
    return msgspec.json.decode(data, type=Members)


def _list(members: Members, name: str) -> list[Raw]:
    if not bytes(members.get(name, b"")).lstrip()[:1] == b"[":
        raise _Unfit("turn")
    return msgspec.json.decode(members[name], type=list[Raw])


def _text(data: Raw) -> str | None:
    """The string that stands there; None if it is something else."""
    if bytes(data).lstrip()[:1] != b'"':
        return None
    return msgspec.json.decode(data, type=str)


def _string(text: str) -> Raw:
    return Raw(msgspec.json.encode(text))


def _dump(members: Members) -> bytes:
    return msgspec.json.encode(members)
