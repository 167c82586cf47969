"""Checks of what a rewrite holds: the prompt's literals, language and topic, and nothing made up."""

from __future__ import annotations

import itertools
import re
from collections import Counter

from promptlift.guard.tasks import other_task
from promptlift.guard.view import View, snippet, stem, words
from promptlift.guard.vocabulary import ADVICE_STEMS, ARTEFACTS, COMMON_NAMES, NUMBER_WORDS, STOP, TECH_NAMES
from promptlift.language import UNSURE, is_english, language_of
from promptlift.spans import missing_literals, numbers, quotes

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
    "pt": frozenset("o os as do da dos das e com uma em no na não mais muito mas como você são posso inclua cada um".split()),
    "it": frozenset("il gli dei della di e con una nel che più molto ma come è sono posso includi ogni un per".split()),
    "fr": frozenset("le les des du et avec une dans au que plus très mais comment est sont puis-je chaque un pour".split()),
    "ca": frozenset("el els les del i amb una als però com més molt és són cada".split()),
    "de": frozenset("der die das und mit ein eine in den auf nicht ist sind für zu wie ich jede".split()),
    "nl": frozenset("de het en met een in op niet is zijn voor te hoe ik elke van".split()),
    "da": frozenset("og med en et på ikke er af til hvordan jeg hver også".split()),
    "sv": frozenset("och med en ett på inte är av till hur jag varje också".split()),
    "no": frozenset("og med en et på ikke er av til hvordan jeg hver også".split()),
    "pl": frozenset("i z w na nie jest są do jak się każdy oraz".split()),
    "cs": frozenset("a s v na není je jsou do jak se každý nebo".split()),
}
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
    r"quer(?:y|ies)|regex\w*|scripts?|bash|shell|powershell|functions?|debug\w*|\w*errors?|exceptions?|traceback|compil\w*|api|json|csv|"
    r"xml|ya?ml|excel|spreadsheets?|sheets?|formulas?|vba|docker\w*|kubernetes|k8s|git\w*|linux|ubuntu|react\w*|vue|angular|"
    r"node\w*|django|flask|fastapi|pandas|numpy|pytest|jest|algorithm\w*|css|html|server|latex|terraform|segfault|repo|"
    r"app|plugin|extension|unit tests?)\b|[{};]|\w\(\w*\)|==|</",
    re.I,
)
_NOT_THIS = re.compile(r"\b(?:no|not|avoid|without|skip|never|like|such as)\b[^.]{0,30}$", re.I)
_TOLD = re.compile(
    r"\b(?:mention|say|state|take into account|consider|note|point out|given|assume|explain|know|add|remember|factor in|"
    r"keep in mind|bear in mind|include)(?: the fact)? that (?P<fact>(?:i|we|she|he|they|my [\w-]+|our [\w-]+|her [\w-]+|"
    r"his [\w-]+|the [\w-]+(?= (?:has|had|was|were|promises)))\b[^.;\n]{0,60}?"
    r"\b(?:is|are|was|were|am|has|have|had|will|promises|works?|lives?|likes?|loves?|recently)\b[^.;\n]{0,120})",
    re.I,
)
_OF_ME = re.compile(
    r"(?P<fact>\b(?:i am|i'm|i’m|i've|i’ve|i have|i work|i live|i was|i had|i recently|my name is|we are|we're|we have)\b"
    r"[^.;?!\n]{0,200})",
    re.I,
)
_DAYS = frozenset(stem(day) for day in "monday tuesday wednesday thursday friday saturday sunday evening".split())
_AGE = re.compile(
    r"\b(?P<n>two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|thirty)[- ]years?[- ]"
    r"(?:old|horizon|plan|mortgage|contract)\b",
    re.I,
)
_KEPT, _KEPT_OF_MANY, _MANY = 0.51, 0.4, 15
_FOREIGN = ((20, 3), (6, 4), (3, 5), (0, 6))  # (content words of the prompt, foreign words that are too many)
_MOST = 500  # quotes and names looked at: a text with more fails by its length


def literal(view: View) -> str | None:
    """A literal of the prompt is missing, or a light rewrite doesn't begin with the prompt."""
    if view.strength == "light" and not view.keeps_prompt:
        return "does not begin with the prompt's own words"
    missing = missing_literals(view.prompt.rstrip(), view.rewrite)
    return f"lacks {', '.join(snippet(span) for span in missing[:3])}" if missing else None


def language(view: View) -> str | None:
    """It is not in the prompt's language; where either is unsure, it passes."""
    before, after = language_of(view.prompt), language_of(view.added)
    if UNSURE in (before, after):
        return f"is in {after}, not in English" if before == UNSURE and after not in ("en", UNSURE) else None
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


def invented(view: View) -> str | None:
    """It brings a number, address, long quote or proper name that the prompt does not hold."""
    return _new_address(view) or _new_number(view) or _new_quote(view) or _new_name(view) or _new_fact(view)


def _new_fact(view: View) -> str | None:
    """It tells something of the person, their people or their case that the prompt does not say."""
    if not is_english(view.added):
        return None
    for match in itertools.islice((_TOLD if view.strength == "light" else _OF_ME).finditer(_IN_QUOTES.sub(" ", view.own)), _MOST):
        fresh = {part for part in content_stems(match["fact"]) if part not in ADVICE_STEMS} - view.prompt_stems - _DAYS
        pieces = _pieces(view.prompt)
        fresh = {part for part in fresh if part[:4] not in pieces}
        if len(fresh) >= (2 if view.strength == "light" else 3):
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
    known |= {"1"} | ({"2", "3"} if view.strength == "full" else set()) | ({"5", "7", "17"} if "haiku" in view.prompt.lower() else set())
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
    on_device = re.search(r"phones?\b|\bcomputer|\blaptop|\btablet|\bapp\b|\bwifi|whatsapp", view.prompt, re.I) is not None
    for match in itertools.islice(_NAME.finditer(text), _MOST):
        base = re.sub(r"'s?$", "", match[0].lower().replace("’", "'"))
        if base in COMMON_NAMES or _SCHEME.match(text, match.start()):
            continue
        if on_device and base in TECH_NAMES:
            continue
        if about_code and (may_name or base in TECH_NAMES or match[0].isupper() or re.search(r"[a-z][A-Z]|\d", match[0])):
            continue  # a whole new prompt about code may name a class, a method or a tool
        if stem(base) not in view.prompt_stems and base not in flat and not _grown(base, view):
            return f"brings the name {match[0]}"
    return None


def _grown(name: str, view: View) -> bool:
    """The prompt's short form of a name: insta, mongo, postgres."""
    return any(name[:size] in view.prompt_stems for size in range(4, len(name) + 1))


def drift(view: View) -> str | None:
    """It has little to do with the prompt."""
    return other_task(view) or (_full_drift(view) if view.strength == "full" else _light_drift(view))


def content_stems(text: str) -> list[str]:
    """Stems of the words that carry the topic."""
    return [stem(word) for word in words(text) if word not in STOP and len(word) > 2 and not word.isdigit()]


def _full_drift(view: View) -> str | None:
    wanted = set(content_stems(view.instruction))
    if len(wanted) < 2:
        return None
    here, pieces = {stem(word) for word in words(view.rewrite)}, _pieces(view.rewrite)
    # four letters are enough: the person's spelling is not the rewrite's
    lost = [part for part in wanted if part not in here and (len(part) < 4 or part[:4] not in pieces)]
    kept = 1 - len(lost) / len(wanted)
    needed = 0.01 if len(wanted) < 4 else _KEPT if len(wanted) < _MANY else _KEPT_OF_MANY
    return (
        f"keeps {kept:.0%} of the prompt's content words; lost: {', '.join(sorted(lost)[:5])}"
        if kept < needed
        else None
    )


def _light_drift(view: View) -> str | None:
    for name, (asked, hint) in ARTEFACTS.items():
        found = re.search(asked, view.own, re.I)
        if found and not re.search(hint, view.prompt, re.I) and not re.search(asked, view.prompt, re.I):
            return f"asks for {name} ({found[0]}), the prompt does not"
    stems = content_stems(view.own)
    for part, count in Counter(stems).items():
        if count >= 3 and part not in view.prompt_stems and part not in ADVICE_STEMS:
            return f"says {part!r} {count} times, the prompt never"
    pieces = _pieces(view.prompt)
    shared = {part for part in stems if part in view.prompt_stems or (len(part) >= 4 and part[:4] in pieces)}
    foreign = set(stems) - ADVICE_STEMS
    few = len(set(content_stems(view.instruction)))
    needed = next(needed for size, needed in _FOREIGN if few >= size)
    if len(foreign) >= needed and not shared and is_english(view.added):
        return f"speaks of {', '.join(sorted(foreign)[:5])} and of nothing in the prompt"
    return None


def _pieces(text: str) -> set[str]:
    """Every four letters in a row: what a misspelt or longer word has in common with another."""
    flat = " ".join(words(text))
    return {flat[at : at + 4] for at in range(len(flat) - 3)}
