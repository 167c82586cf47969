"""Check `restated`: a guide says again what is asked, no more and no less."""

from __future__ import annotations

import difflib
import re

from promptlift.guard.content import content_stems, letters, unsaid
from promptlift.guard.limits import limits
from promptlift.guard.view import View, snippet, stem, words
from promptlift.guard.vocabulary import DEMANDS, NUMBER_WORDS, POINTING, REQUESTS
from promptlift.language import is_english

_ASKING_STEMS = frozenset(stem(word) for word in (REQUESTS | POINTING) - DEMANDS)
_DEMAND_STEMS = frozenset(stem(word) for word in DEMANDS)
_FRESH = 1  # words of its own that it may bring; of 1,113 that were written with care, 97% bring no more
_SAID_AGAIN = ((24, 0.2), (20, 0.25), (16, 0.33), (12, 0.36), (8, 0.45), (4, 0.6), (0, 0.5))
"""(content words of the prompt, the least share of them to be said again): 95% of the same keep to it."""
_SHORT = 40
"""Words of a prompt up to which each "not" in it counts; in a longer one it may belong to the background."""
_TAG = re.compile(r"<passage-\d+/>")
_TO_REWRITER = re.compile(
    r"\b(?:ignore|disregard|forget|don['’]?t)\b[^.,;\n]{0,60}\b(?:instructions?|rules|prompts?|wording)\b", re.I
)
_NOT = re.compile(r"\b(?:not?|never|without|nobody|nothing|none|neither|nor|cannot|avoid)\b|n['’]t\b", re.I)
_WHETHER = re.compile(r"\W*(?:say|tell (?:me|us)|decide|explain|find out|judge|settle) (?:if|whether)\b", re.I)
_CHOICE = re.compile(
    r"\b(?:whether|or)\b|\b(?:know|tell|me|see|sure|wonder\w*|check|decide|say|asks?|ok|worried) if\b|"
    r"(?:^|[.!?,;:\n]\s*|\b(?:and|but|so|also|then|ok|hi|hey|please)\s+)"
    r"(?:is|are|am|was|were|do|does|did|can|could|should|shall|will|would|has|have|had|may|might)(?:n['’]?t)?\s",
    re.I,
)


def restated(view: View) -> str | None:
    """What is asked is not said again: something is new, turned round, or too much of it is missing."""
    if view.strength != "guide" or not is_english(view.asked):
        return None
    task = _task(view)
    return _new(view) or _turned(view, task) or _missing(view, task)


def nearness(view: View) -> tuple[float, float]:
    """How near a restatement is to the prompt, from 0 to 1.

    Returns:
        The share of the prompt's content words that are said again, and the share of the restatement's words
        that are the prompt's, in the prompt's order.
    """
    wanted, lost = _wanted(view, _task(view))
    typed, said = words(view.instruction), words(view.asked)
    same = difflib.SequenceMatcher(None, typed, said, autojunk=False).get_matching_blocks()
    return 1 - len(lost) / max(1, len(wanted)), sum(block.size for block in same) / max(1, len(said))


def _task(view: View) -> str:
    """What the prompt asks of the LLM: no passages, and nothing that is said to the rewriter."""
    return _TO_REWRITER.sub(" ", _TAG.sub(" ", view.instruction))


def _new(view: View) -> str | None:
    """One fresh word may join or point, two tell something new; a demand on the answer is always new."""
    fresh = unsaid(content_stems(view.asked), view.prompt_stems, letters(view.prompt)) - _ASKING_STEMS
    if len(fresh) > _FRESH or not fresh.isdisjoint(_DEMAND_STEMS):
        return f"says {', '.join(sorted(fresh)[:5])}, which the prompt does not"
    return None


def _turned(view: View, task: str) -> str | None:
    """A question of what or how becomes one of whether, or a "not" is lost."""
    if _WHETHER.match(view.asked) and not _CHOICE.search(task.strip()):
        return f"asks whether, the prompt does not: {snippet(view.asked)}"
    lost = _NOT.search(task)
    if lost and not _NOT.search(view.asked) and len(words(task)) <= _SHORT:
        return f"leaves out {lost[0]!r}"
    return None


def _missing(view: View, task: str) -> str | None:
    """What is said last counts for most, so what it leaves out would be read as dropped."""
    wanted, lost = _wanted(view, task)
    kept = 1 - len(lost) / max(1, len(wanted))
    if kept < next(share for size, share in _SAID_AGAIN if len(wanted) >= size):
        return f"says again {kept:.0%} of the prompt's content words; lost: {', '.join(sorted(lost)[:5])}"
    said = set(re.findall(r"\d+", view.asked)) | {NUMBER_WORDS.get(word, "") for word in words(view.asked)}
    for cue, _ in limits(task):
        if any(number not in said for number in re.findall(r"\d+", cue)):
            return f"leaves out {snippet(cue)!r}"
    return None


def _wanted(view: View, task: str) -> tuple[set[str], set[str]]:
    """The stems of the task's content words, and those of them that are not said again."""
    wanted = set(content_stems(task)) - _ASKING_STEMS
    return wanted, unsaid(wanted, {stem(word) for word in words(view.asked)}, letters(view.asked))
