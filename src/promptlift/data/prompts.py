"""The prompts that a generating LLM is sent, and how its replies are read.

The texts stand in `templates/`, one file each, with `$names` to fill in.
"""

from __future__ import annotations

import functools
import re
import string
from importlib import resources

FAULTS = ("deviates", "superfluous", "answers", "over-demanding", "language", "literal", "invented")
"""What a critic may find; see templates/critique.txt."""

TOPICS = (
    "academic writing", "text-style transformation", "code generation", "debugging", "data and SQL", "explanation",
    "how-to", "planning", "brainstorming", "creative writing", "role play", "business mail", "marketing",
    "summarizing", "extraction", "classification", "comparison and advice", "maths and reasoning", "health and law",
    "open chat", "constrained writing",
)  # fmt: skip
"""Balanced by default."""

MANNERS = (
    "a few words, lower case, no punctuation",
    "one short tidy sentence",
    "one hasty sentence with a typo or two",
    "two or three sentences with some background that matters and some that does not",
    "a rambling paragraph of 50 to 100 words with several asks in it",
    "polite, with padding and thanks",
    "the jargon of someone's trade, no explanation",
    "a one-line ask about a pasted text or piece of code; write <passage-1/> on a line of its own where it is pasted",
    "a tidy request that states its limits: length, form, words to use or to avoid",
    "a template with variables such as {name} or {{date}} in it",
    "half a thought that expects the assistant to guess the rest",
)
"""How people type; drawn by seed."""

GUIDE = ("restate", "qualities")
"""The templates of a guide's two parts. They are asked for one by one: weak LLMs mix them up otherwise."""

_FENCE = re.compile(r"\A```\w*\n(.*)\n```\Z", re.DOTALL)
_PREAMBLE = re.compile(
    r"\A(?:sure|certainly|of course|here)\b[^\n]{0,80}(?:prompt|rewrit|version|request|sentence)[^\n]{0,40}:\s*\n+",
    re.I,
)
_NUMBER = re.compile(r"\A(?:\d+[.)]|[-*•])\s+")


@functools.cache
def _template(name: str) -> string.Template:
    return string.Template((resources.files("promptlift.data") / "templates" / f"{name}.txt").read_text("utf-8"))


def fill(name: str, **values: object) -> str:
    """The prompt `templates/<name>.txt` with its `$names` filled in; what is filled in is not read again."""
    return _template(name).substitute({key: str(value) for key, value in values.items()}).strip()


def read_drafts(reply: str) -> list[str]:
    """The drafts of a reply, which a line of dashes parts; numbers and quotes around them are taken off."""
    parts = (bare(part) for part in re.split(r"(?m)^\s*-{3,}\s*$", reply))
    return [text for text in (_NUMBER.sub("", part) for part in parts) if text]


def read_faults(reply: str) -> list[tuple[str, str]] | None:
    """The faults that a critic found as (name, what is wrong); [] for OK; None if it can't be read."""
    if re.match(r"\W*ok\b", reply.strip(), re.IGNORECASE):
        return []
    found = []
    for line in reply.splitlines():
        match = re.match(r"[\s\-*•\d.)]*\**([A-Za-z-]+)\**\s*:\s*(.*)", line)
        if match and match[1].lower() in FAULTS:
            found.append((match[1].lower(), match[2].strip("* ")))
    return found or None


def needs_no_help(reply: str) -> bool:
    """True if the first of the words FACT, DONE and TEXT in a reply is not TEXT; False if there is none."""
    found = re.search(r"\b(fact|done|text)\b", reply, re.IGNORECASE)
    return found is not None and found[1].lower() != "text"


def bare(reply: str) -> str:
    """A reply without what models put around a text: a line that announces it, a fence, quotes around the whole."""
    text = _PREAMBLE.sub("", reply.strip()).strip()
    if match := _FENCE.match(text):
        text = match[1].strip()
    for left, right in ('""', "“”"):
        if (
            len(text) > 1
            and text[0] == left
            and text[-1] == right
            and left not in text[1:-1]
            and right not in text[1:-1]
        ):
            text = text[1:-1].strip()
    return text
