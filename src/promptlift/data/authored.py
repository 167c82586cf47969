"""How much the guard's findings weigh for a text that somebody wrote on purpose.

The guard stops what a small model writes, where a wrong alarm costs nothing but a rewrite. In a set of
pairs a wrong alarm costs a reader's time, so the findings that were seen to be wrong on well-written
pairs are left out here, and what an author may do on purpose is a note.
"""

from __future__ import annotations

import re

from promptlift.data.rows import Level
from promptlift.data.traits import commands_rewriter
from promptlift.guard.view import View, sentences, words
from promptlift.guard.voice import asks

# "Reason in short steps", "Sound like a collector": orders, though the guard doesn't know their verbs.
_ORDER = re.compile(
    r"\W*(?:(?:Reason|Sound|Go|Lean|Aim|Speak|Stay|Stick|Treat|Read|Play|Think|Work|Let)\b|"
    r"[A-Z][a-z]+(?<!s)(?<!ed)(?<!ing) (?:in|from|with|by|the|an?|each|every|only|into|as|to|for|on|through)\b)"
)
_SLIP = re.compile(
    r"\b(the|an?|and|or|of|to|for|with|from|by|your|it|be) \1\b|,\s?,|,\s?\.|\s[.,](?=\s)|(?<!\.)\.\.(?!\.)"
)
_LIMIT = re.compile(r"against '([^']+)'|limit '([^']+)'")
_OWN_LIMIT = re.compile(
    r"\b(?:in|under|within|max(?:imum)?|at most|only|just|exactly|no more than|up to|than) (?:of )?"
    r"(?:\w+ )?(?:single |short )?(?:words?|sentences?|lines?|paragraphs?|pages?|characters|bullets?)\b",
    re.IGNORECASE,
)
_BROUGHT = re.compile(r"(?:brings '|asks for )(?:another )?(\w+)[^']*'?, which the prompt rules out")
_AN_AI = re.compile(r"\bas an? (?:ai|assistant)(?: (?:language )?model)?,? i\b", re.IGNORECASE)
_REPORTS = re.compile(r"\bwhat (?:i|was) changed\W*[:\n]", re.IGNORECASE)


def weigh(view: View, name: str, detail: str) -> Level | None:
    """`error`, `note`, or None for a finding that does not hold for an author's text.

    Args:
        view: the prompt and the side that was looked at.
        name: the guard's check.
        detail: what it said.
    """
    match name:
        case "answered":
            return _answered(view, detail)
        case "meta":
            return None if "hat I changed" in detail and not _REPORTS.search(view.added) else "error"
        case "degenerate":
            return _degenerate(view, detail)
        case "conflict":
            return _conflict(view, detail)
        case "drift":
            # "with one line per item": one of several, and the guard takes it for a limit
            return None if detail.startswith("asks for one ") or "(runnable)" in detail else "note"
        case "invented" | "length" | "restated":
            return "error" if view.strength == "light" else "note"  # the others may name content, and shorten
        case _:
            return "error"


def _answered(view: View, detail: str) -> Level | None:
    if detail.startswith(("asks for nothing", "says what to do")):
        if view.strength == "content":
            return None  # "Points to touch: …", "Six lines: …": it goes on from the person's request
        if view.strength == "light":
            return None if _ORDER.match(view.added) else "error"
        if words(view.added)[:1] == words(view.prompt)[:1]:
            return None  # it asks as the person asked
        # "a villain's monologue": a noun asks, where the person asked with a noun too
        return "error" if any(asks(part) for part in sentences(view.prompt)) or _question(view.prompt) else None
    if detail.startswith("speaks as the assistant: as a") and view.strength == "full":
        return "error" if _AN_AI.search(view.own) else None  # "pick one, as an AI that ..."
    return "error"


def _question(prompt: str) -> bool:
    return words(prompt)[:1] in (["how"], ["what"], ["why"], ["when"], ["where"], ["who"], ["which"], ["is"], ["are"])


def _degenerate(view: View, detail: str) -> Level | None:
    if detail.startswith("is not sound text") and view.strength != "light":
        return "error" if _SLIP.search(view.added) else None  # "what they turn into."
    if detail.startswith('has an odd number of "') and view.added.count('"') % 2 == 0:
        return None  # the guard took a quote after a digit for inches
    if detail.endswith("again and again"):
        said = re.search(r"says '(\w+)'", detail)
        most = 3 if view.strength == "content" else 2  # two sentences on one point say its name twice
        return "error" if said and words(view.added).count(said[1]) > most else None
    return "error"


def _conflict(view: View, detail: str) -> Level | None:
    """The guard finds limits that an author has seen: left out where the text states the limit itself."""
    text = view.rewrite.lower()
    if commands_rewriter(view.prompt):
        return None  # "only output OK" is said to the rewriter, and no limit of the answer
    limit = _LIMIT.search(detail)
    if limit and (limit[1] or limit[2]).lower() in text:
        return None
    if "beyond the prompt's limit" in detail:
        own = [match[0].lower() for match in _OWN_LIMIT.finditer(view.prompt)]
        return "note" if any(phrase not in text for phrase in own) else None
    brought = _BROUGHT.search(detail)
    if brought:
        ban = (
            rf"\b(?:no|not|without|don['’]?t|do not|never|avoid|skip)\b[^.\n]{{0,40}}\b{re.escape(brought[1].lower())}"
        )
        return None if brought[1] in ("tone", "half") or re.search(ban, text) else "note"
    return "note"
