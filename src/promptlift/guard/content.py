"""Checks of what a rewrite holds: the prompt's literals, language and topic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Set

from promptlift.guard.tasks import fits, other_task
from promptlift.guard.view import View, snippet, stem, words
from promptlift.guard.vocabulary import ADVICE_STEMS, ARTEFACTS, STOP
from promptlift.language import UNSURE, is_english, language_of
from promptlift.spans import missing_literals

# Languages that short texts of each other are taken for.
_KIN = (
    {"id", "ms", "jv", "su", "min"}, {"no", "nb", "nn", "da", "sv"}, {"hr", "sr", "bs", "sh", "sl"}, {"cs", "sk", "pl"},
    {"pt", "gl", "es", "ca", "oc", "an", "ast"}, {"it", "la", "scn", "vec", "co"}, {"ru", "uk", "bg", "be", "mk", "sr"},
    {"de", "nl", "nds", "als", "lb", "af", "bar"}, {"fr", "oc", "ca"}, {"tr", "az", "tk"}, {"hi", "mr", "ne"},
    {"zh", "ja", "yue", "wuu"}, {"ar", "fa", "ur", "ps", "arz"}, {"fi", "et"},
)  # fmt: skip
# Small words of languages that are easily confused.
_MARKS: dict[str, frozenset[str]] = {
    "es": frozenset("el los las del y con una en al lo más muy pero cómo qué es son puedo incluye pasos cada".split()),
    "pt": frozenset(
        "o os as do da dos das e com uma em no na não mais muito mas como você são posso inclua cada um".split()
    ),
    "it": frozenset("il gli dei della di e con una nel che più molto ma come è sono posso includi ogni un per".split()),
    "fr": frozenset(
        "le les des du et avec une dans au que plus très mais comment est sont puis-je chaque un pour".split()
    ),
    "ca": frozenset("el els les del i amb una als però com més molt és són cada".split()),
    "de": frozenset("der die das und mit ein eine in den auf nicht ist sind für zu wie ich jede".split()),
    "nl": frozenset("de het en met een in op niet is zijn voor te hoe ik elke van".split()),
    "da": frozenset("og med en et på ikke er af til hvordan jeg hver også".split()),
    "sv": frozenset("och med en ett på inte är av till hur jag varje också".split()),
    "no": frozenset("og med en et på ikke er av til hvordan jeg hver også".split()),
    "pl": frozenset("i z w na nie jest są do jak się każdy oraz".split()),
    "cs": frozenset("a s v na není je jsou do jak se každý nebo".split()),
}
# An order to the rewriter, which a rewrite need not keep.
_ORDER = re.compile(r"\b(?:ignore|disregard|forget)\b[^.,;\n]{0,40}\b(?:instructions?|rules|prompts?)\b", re.I)
_KEPT, _KEPT_OF_MANY, _MANY = 0.51, 0.4, 15
_FOREIGN = ((16, 3), (6, 4), (3, 6), (0, 8))  # (content words of the prompt, foreign words that are too many)


def literal(view: View) -> str | None:
    """A literal of the prompt is missing, or a light rewrite doesn't begin with the prompt."""
    if view.appends and not view.keeps_prompt:
        return "does not begin with the prompt's own words"
    missing = missing_literals(view.prompt.rstrip(), view.rewrite)
    return f"lacks {', '.join(snippet(span) for span in missing[:3])}" if missing else None


def language(view: View) -> str | None:
    """It is not in the prompt's language; where either is unsure, it passes."""
    before, after = language_of(view.prompt), language_of(view.added)
    if UNSURE in (before, after):
        if before != UNSURE or after in ("en", UNSURE) or language_of(re.sub(r"[\"“”«»`]", " ", view.prompt)) == after:
            return None
        return f"is in {after}, not in English"
    if before == after or (any(before in kin and after in kin for kin in _KIN) and not _tells(before, after, view)):
        return None
    return f"is in {after}, the prompt in {before}"


def _tells(before: str, after: str, view: View) -> bool:
    """True if small words tell the two kindred languages apart: two of the one, none of the other."""
    if before not in _MARKS or after not in _MARKS:
        return False
    typed, written = set(words(view.instruction)), set(words(view.added))
    ours, theirs = _MARKS[before] - _MARKS[after], _MARKS[after] - _MARKS[before]
    return len(written & theirs) >= 2 and not written & ours and len(typed & theirs) <= len(typed & ours)


def drift(view: View) -> str | None:
    """It has little to do with the prompt."""
    if view.strength == "full":
        return other_task(view) or _full_drift(view)
    return other_task(view) or _other_artefact(view) or (_off_topic(view) if view.strength == "light" else None)


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry the topic."""
    return [stem(word) for word in words(text) if word not in STOP and len(word) > 2 and not word.isdigit()]


def _full_drift(view: View) -> str | None:
    wanted = set(content_stems(_ORDER.sub(" ", view.instruction)))
    if len(wanted) < 2:
        return None
    lost = unsaid(wanted, {stem(word) for word in words(view.rewrite)}, letters(view.rewrite))
    kept = 1 - len(lost) / len(wanted)
    needed = 0.01 if len(wanted) < 4 else _KEPT if len(wanted) < _MANY else _KEPT_OF_MANY
    return (
        f"keeps {kept:.0%} of the prompt's content words; lost: {', '.join(sorted(lost)[:5])}"
        if kept < needed
        else None
    )


def _other_artefact(view: View) -> str | None:
    for name, (asked, hint) in ARTEFACTS.items():
        found = re.search(asked, view.own, re.I)
        if found and not re.search(hint, view.prompt, re.I) and not re.search(asked, view.prompt, re.I):
            return f"asks for {name} ({found[0]}), the prompt does not"
    return None


def _off_topic(view: View) -> str | None:
    """Advice on form speaks of little that the prompt does not; what names content brings new words by its nature."""
    stems = content_stems(view.own)
    for part, count in Counter(stems).items():
        if count >= 3 and part not in view.prompt_stems and part not in ADVICE_STEMS:
            return f"says {part!r} {count} times, the prompt never"
    shared = set(stems) - unsaid(stems, view.prompt_stems, letters(view.prompt))
    foreign = set(stems) - ADVICE_STEMS
    few = len(set(content_stems(view.instruction)))
    needed = next(needed for size, needed in _FOREIGN if few >= size)
    if len(foreign) >= needed and not shared and not fits(view) and is_english(view.added):
        return f"speaks of {', '.join(sorted(foreign)[:5])} and of nothing in the prompt"
    return None


def unsaid(parts: Iterable[str], stems: Set[str], pieces: Set[str]) -> set[str]:
    """The stems that a text does not hold, given the stems of its words and its `letters`.

    Four letters are enough: the person's spelling is not the rewrite's. A shorter stem is in no piece.
    """
    return {part for part in parts if part not in stems and part[:4] not in pieces}


def letters(text: str) -> set[str]:
    """Every four letters in a row: what a misspelt or longer word has in common with another."""
    flat = " ".join(words(text))
    return {flat[at : at + 4] for at in range(len(flat) - 3)}
