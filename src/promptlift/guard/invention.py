"""Check `invented`: a rewrite brings what the person did not give."""

from __future__ import annotations

import itertools
import re

from promptlift.guard.content import content_stems, letters, unsaid
from promptlift.guard.view import View, snippet, stem, words
from promptlift.guard.vocabulary import (
    ADVICE_STEMS,
    ARTEFACTS,
    COMMON_NAMES,
    NUMBER_WORDS,
    TECH_NAMES,
)
from promptlift.language import is_english
from promptlift.spans import numbers, quotes

_ADDRESS = re.compile(r"https?://\S++|(?<![\w.])www\.\S++|(?<![\w.+-])[\w.+-]++@[\w-]++\.\w++")
_LABELLED = (
    "steps?|months?|weeks?|days?|parts?|versions?|phases?|options?|stages?|lessons?|rounds?|acts?|scenes?|levels?|"
)
_ENUMERATORS = re.compile(
    rf"\b(?:{_LABELLED}ideas?|points?|chapters?|scenarios?) [1-9]\b|"
    rf"\(\d{{1,2}}\)|(?m:^[ \t]*\d{{1,2}}[.)])|(?<=[\s(])\d{{1,2}}\)",
    re.I,
)
_NAME = re.compile(r"(?<=[\w,;)] )[A-Z][\w'’-]+")
_IN_QUOTES = re.compile(r"\"[^\"\n]++\"|“[^“”\n]++”|(?<!\w)'[^'\n]++'(?!\w)")
_SCHEME = re.compile(r"[A-D]{4,8}\b|[A-Z][a-z]+ [A-D1-9]\b")  # a rhyme scheme; "Person A"
_PROGRAMMING = re.compile(
    r"\b(?:cod(?:e|ing)|program\w*|python|java\w*|js|ts|typescript|c\+\+|rust|golang|php|ruby|sql|mysql|postgres\w*|"
    r"quer(?:y|ies)|regex\w*|scripts?|bash|shell|powershell|functions?|debug\w*|\w*errors?|exceptions?|traceback|"
    r"compil\w*|api|json|csv|"
    r"xml|ya?ml|excel|spreadsheets?|sheets?|formulas?|vba|docker\w*|kubernetes|k8s|git\w*|linux|ubuntu|react\w*|vue|"
    r"angular|"
    r"node\w*|django|flask|fastapi|pandas|numpy|pytest|jest|algorithm\w*|css|html|server|latex|terraform|segfault|"
    r"repo|"
    r"app|plugin|extension|unit tests?)\b|[{};]|\w\(\w*\)|==|</",
    re.I,
)
_NOT_THIS = re.compile(r"\b(?:no|not|avoid|without|skip|never|like|such as)\b[^.]{0,30}$", re.I)
_TOLD = re.compile(
    r"\b(?:mention|say|state|take into account|consider|note|point out|given|assume|explain|know|add|remember|"
    r"factor in|"
    r"keep in mind|bear in mind|include)(?: the fact)? that (?P<fact>(?:i|we|she|he|they|my [\w-]+|our [\w-]+|"
    r"her [\w-]+|"
    r"his [\w-]+|the [\w-]+(?= (?:has|had|was|were|promises)))\b[^.;\n]{0,60}?"
    r"\b(?:is|are|was|were|am|has|have|had|will|promises|works?|lives?|likes?|loves?|recently)\b[^.;\n]{0,120})",
    re.I,
)
_OF_ME = re.compile(
    r"(?P<fact>\b(?:i am|i'm|i’m|i've|i’ve|i have|i work|i live|i was|i had|i recently|my name is|we are|we're|"
    r"we have)\b"
    r"[^.;?!\n]{0,200})",
    re.I,
)
_DAYS = frozenset(stem(day) for day in "monday tuesday wednesday thursday friday saturday sunday evening".split())
_AGE = re.compile(
    r"\b(?P<n>two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|"
    r"thirty)[- ]years?[- ]"
    r"(?:old|horizon|plan|mortgage|contract)\b",
    re.I,
)
_MOST = 500  # quotes and names looked at: a text with more fails by its length


def invented(view: View) -> str | None:
    """It brings a number, address, long quote or proper name that the prompt does not hold."""
    return _new_address(view) or _new_number(view) or _new_quote(view) or _new_name(view) or _new_fact(view)


def _new_fact(view: View) -> str | None:
    """It tells something of the person, their people or their case that the prompt does not say."""
    if not is_english(view.added):
        return None
    pieces = letters(view.prompt)
    for match in itertools.islice((_TOLD if view.appends else _OF_ME).finditer(_IN_QUOTES.sub(" ", view.own)), _MOST):
        fresh = unsaid(content_stems(match["fact"]), view.prompt_stems, pieces) - ADVICE_STEMS - _DAYS
        if len(fresh) >= (2 if view.appends else 3):
            return f"makes up {snippet(match[0])!r}"
    age = _AGE.search(view.own)
    years = {NUMBER_WORDS.get(word, word) for word in re.findall(r"[a-z]+|\d+", view.prompt.lower())}
    if age and NUMBER_WORDS.get(age["n"].lower()) not in years and "5" not in years and age["n"].lower() != "five":
        return f"makes up {age[0]!r}"
    return None


def _new_address(view: View) -> str | None:
    for match in _ADDRESS.finditer(view.added):
        if match[0].rstrip(".,;:)!?") not in view.prompt:
            return f"brings {snippet(match[0])}"
    return None


def _new_number(view: View) -> str | None:
    known = set(re.findall(r"\d+", view.prompt))
    known |= (
        {"1"}
        | ({"2", "3"} if view.strength != "light" else set())
        | ({"5", "7", "17"} if "haiku" in view.prompt.lower() else set())
    )
    known |= {NUMBER_WORDS[word] for word in words(view.prompt.replace("-", " ")) if word in NUMBER_WORDS}
    for number in numbers(_ENUMERATORS.sub(" ", view.added)):
        if any(part not in known for part in re.findall(r"\d+", number)):
            return f"brings the number {number}"
    return None


def _new_quote(view: View) -> str | None:
    flat = " ".join(words(view.prompt))
    for quote in quotes(view.added)[:_MOST]:
        said = " ".join(words(quote))
        before = view.added[: view.added.find(quote)][-50:]
        if said not in flat and said.count(" ") >= 3 and not _NOT_THIS.search(before):
            return f"brings the quote {snippet(quote)}"
    return None


def _new_name(view: View) -> str | None:
    if not is_english(view.added) or re.search(r"\bcaps\b|capital letters|upper ?-?case", view.prompt, re.I):
        return None  # other languages write nouns with capitals
    text = _IN_QUOTES.sub("", view.added)
    flat = "".join(words(view.prompt))
    about_code = re.search(ARTEFACTS["code"][1], view.prompt, re.I) is not None
    may_name = view.strength == "full" and _PROGRAMMING.search(view.prompt) is not None
    on_device = (
        re.search(r"phones?\b|\bcomputer|\blaptop|\btablet|\bapp\b|\bwifi|whatsapp", view.prompt, re.I) is not None
    )
    for match in itertools.islice(_NAME.finditer(text), _MOST):
        base = re.sub(r"'s?$", "", match[0].lower().replace("’", "'"))
        if base in COMMON_NAMES or _SCHEME.match(text, match.start()):
            continue
        if on_device and base in TECH_NAMES:
            continue
        if about_code and (
            may_name or base in TECH_NAMES or match[0].isupper() or re.search(r"[a-z][A-Z]|\d", match[0])
        ):
            continue  # a whole new prompt about code may name a class, a method or a tool
        if stem(base) not in view.prompt_stems and base not in flat and not _grown(base, view):
            return f"brings the name {match[0]}"
    return None


def _grown(name: str, view: View) -> bool:
    """The prompt's short form of a name: insta, mongo, postgres."""
    return any(name[:size] in view.prompt_stems for size in range(4, len(name) + 1))
