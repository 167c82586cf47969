"""Check `conflict`: what a rewrite asks for contradicts a limit that the person set."""

from __future__ import annotations

import itertools
import re

from promptlift.guard.bans import BANS, KINDS
from promptlift.guard.view import View, snippet, stem, words
from promptlift.guard.vocabulary import NUMBER_WORDS, STOP

_COUNT = r"(?P<n>\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|fifty|a|single)"
_HOW = (
    r"in|with|use|using|of|as|just|only|exactly|under|below|at most|at least|max(?:imum)?(?: of)?|no more than|"
    r"not more than|up to|less than|fewer than|more than|within|about|around|than"
)
_KIND = r"single|short|simple|clear|plain|brief|concise|crisp|full|complete|tight|memorable|long|detailed|whole"
_UNIT = r"words?|sentences?|lines?|bullets?(?: points?)?|paragraphs?|pages?|characters|letters?|emojis?"
_LIMIT = re.compile(
    rf"\b(?P<how>(?:{_HOW})\s*(?:a |the |exactly |just |only |at most |at least |about |under )?)?{_COUNT}(?: |-)"
    rf"(?:(?:{_KIND}) ){{0,2}}(?:or \w+ |to \w+ )?(?P<unit>{_UNIT})\b(?! (?:per|each|for each|every|a day|of))",
    re.I,
)
_ANSWER = (
    r"(?:final )?answer|number|name|result|word|letter|label|code|command|title|translation|output|date|formula|"
    r"category|value|url|list|json|names|query|regex"
)
_SAY = r"the |give (?:me )?the |tell me the |return the |output the |reply with the |answer with the "
_EXTRA = r"explanations?|explaining|commentary|intro(?:duction)?|extra text|other text|reasons?|preamble|details?"
_NONE = r"no|without(?: any)?|don'?t (?:add|give|include)(?: any)?|skip the|not? need(?:ed)? (?:an? )?"
_TIGHT = re.compile(
    r"\b(?:yes or no|yes/no|y/n|true or false|(?:one|single)[- ]word|"
    rf"(?:{_NONE}) ?(?:{_EXTRA})|no need to explain|don'?t explain|nothing else|one[- ]liner|"
    rf"(?:only|just) (?:{_SAY})?(?:{_ANSWER})s?\b(?: only)?|"
    r"(?:answer|number|name|label|code|result|letter|json|command|output) only|"
    r"(?:reply|respond|answer) (?:only )?with (?:only |just )?(?:a |one |the )?(?:single )?"
    r"(?:word|number|letter|label|yes)|only (?:reply|respond|answer|output|return))\b",
    re.I,
)
_BRIEF = re.compile(
    r"\b(?:briefly|brief|short answer|keep it (?:short|brief)|be (?:brief|concise)|concise(?:ly)?|tl;?dr|"
    r"quick answer|in short|shortly)\b",
    re.I,
)
_NEGATED = re.compile(
    r"(?:\b(?:no|not|never|without|don'?t|do not|avoid\w*|skip|leave out|leaving out|instead of|rather than|nothing|"
    r"omit|drop|neither|nor|stop|free of|replac\w+|block\w*|ban\w*|substitut\w+ for|alternatives? to|other than|"
    r"except)\b[^.;]{0,60}?)$",
    re.I,
)
_NEGATED_AFTER = re.compile(r"[- ]?(?:free|less)\b|[^.,;]{0,20}\b(?:out|off|away|block(?:ed)?|banned|aside)\b", re.I)
_MORE = {
    "examples": r"\b(?:examples?|instances? of|anecdotes?|illustrat\w+|analog(?:y|ies))\b",
    "an explanation": r"\b(?:explain\w*|explanations?|reasons?|reasoning|why|background|context|justif\w+|how it works|"
    r"elaborat\w+|because)\b",
    "steps": r"\b(?:steps?|step[- ]by[- ]step|walk (?:me )?through|show (?:your|the) work\w*)\b",
    "detail": r"\b(?:in (?:more )?(?:depth|detail)|detailed|thorough\w*|comprehensive\w*|in full|at length|longer|"
    r"expand|long)\b",
    "a list": r"\b(?:lists?|bullets?|bullet points?|numbered|tables?|headings?|sections?|pros and cons|advantages|"
    r"options|tips)\b",
    "paragraphs": r"\b(?:paragraphs?|essay|introduction and|conclusion|several sentences)\b",
    "comparison": r"\b(?:compare|comparison|contrast|alternatives?|discuss|both sides)\b",
}
_TOLD = (
    r"\b(?:describ(?:e|ing)|outline|cover|walk (?:me )?through|go (?:into|over)|elaborate|history of|mention|"
    r"features)\b"
)
_ITEM = (
    r"options?|ideas?|suggestions?|items?|names?|tips?|ways?|choices?|alternatives?|recipes?|titles?|facts?|"
    r"questions?|"
    r"activities|books?|movies|films|songs?|slogans?|jokes?|reasons?|places|words|versions?"
)
_SOME = r"give(?: me)?|list|name|suggest|tell me|write|offer|provide|recommend|come up with|show(?: me)?|share|propose"
_FEW = r"\d{1,3}|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty"
_WANTED = re.compile(rf"\b(?:{_SOME}|top|need|want) (?:of )?(?:exactly |the |just |only )?(?P<n>{_FEW}|one)\b", re.I)
_OFFERED = re.compile(
    rf"\b(?:{_SOME}) (?:at least |about |around |exactly )?(?P<n>{_FEW})(?: (?:or|to) (?P<m>{_FEW}))?"
    rf" (?:[\w-]+ ){{0,2}}?(?:{_ITEM})\b",
    re.I,
)
# "no oven", "without using nuts": a thing or two that the person rules out.
_RULED_OUT = re.compile(
    r"(?P<before>\b[\w']+ )?\b(?:no|without|avoid(?:ing)?|(?:don'?t|do not|never) (?:use|mention|include|add|eat)|"
    r"leave out|allergic to|can'?t eat|don'?t eat)\b"
    r"(?: (?:using|mentioning|including|adding|any|the|a|an|all|word|letter|kind of|sort of|use of))*"
    r"(?P<things> [\w'-]+(?: [\w'-]+)?(?:(?:,? (?:or|and|nor) (?:no )?|, )[\w'-]+){0,2})",
    re.I,
)
_HAS_NONE = frozenset("have had has got there's is was there say says said answer yes or are there're be".split())
_FREE = re.compile(
    r"\b(?P<thing>nut|dairy|gluten|meat|egg|sugar|lactose|alcohol|oven|recursion|loop)[- ](?:free|less)\b", re.I
)
_DIET = re.compile(r"\b(?P<thing>vegan|vegetarian)\b(?! (?:or|and) )", re.I)
_VAGUE = frozenset(
    """experience idea ideas more less fewer longer money budget time problem problems need needs reason matter one way
    action prior previous background knowledge skill skills rush worries clue help car kids family friends followers
    doubt luck change changes point difference answer other others loss fuss trouble teacher plan anything everything
    exclamation word words first person text line lines comma commas bullet bullets list lists heading headings title
    titles emoji emojis example examples explanation explanations""".split()
)
_MOST = 100

_BOUND = re.compile(r"\b(?:less|fewer|more) than|\bunder|\bat (?:most|least)|\bup to|\b(?:max|min)(?:imum)?\b", re.I)
_EXACT = re.compile(r"\bexact(?:ly)?\s+(?:…|\d+)|\d+\s+exactly\b(?! as)", re.I)


def conflict(view: View) -> str | None:
    """It asks for what an explicit limit of the prompt rules out, or (full) drops that limit."""
    prompt = view.instruction
    for name, ban, request in BANS:
        if re.search(ban, prompt, re.I) and _asked(request, view.own):
            return f"asks for {name}, which the prompt rules out"
    found = _banned_thing(view) or _other_count(view) or _exact(view)
    if found:
        return found
    limit = _tightest(prompt)
    if limit is None:
        return _lengthens(view, prompt)
    cue, size = limit
    if view.strength == "full" and _tightest(view.added) is None and not _BRIEF.search(view.added):
        return f"drops the prompt's limit {snippet(cue)!r}"
    said_there = {name for name, pattern in _MORE.items() if _asked(pattern, prompt)}
    more = [name for name, pattern in _MORE.items() if name not in said_there and _asked(pattern, view.own)]
    if size <= 2 and view.appends and _asked(_TOLD, view.own):
        more.append("a description")
    allowed = 0 if size <= 12 else 1 if size <= 40 else 2
    # a whole new prompt restates the person's own wishes in other words: judge it by tight limits only
    if len(more) > allowed and (view.appends or size <= 12):
        return f"asks for {' and '.join(more[:2])} against {snippet(cue)!r}"
    return _lengthens(view, prompt)


def _asked(pattern: str, text: str) -> bool:
    """True if the text asks for it: some mention of it without a "no" or "without" before it."""
    return any(not _negated(text, match) for match in itertools.islice(re.finditer(pattern, text, re.I), _MOST))


def _negated(text: str, match: re.Match[str]) -> bool:
    """A "no" before it or an "-free" after it."""
    if match[0].lower().endswith("less") or _NEGATED_AFTER.match(text, match.end(), match.end() + 40):
        return True
    return _NEGATED.search(text[max(0, match.start() - 70) : match.start()]) is not None


def _exact(view: View) -> str | None:
    """The prompt sets a bound, and the addition makes an exact number of it."""
    bound = _BOUND.search(view.instruction)
    if bound and _EXACT.search(view.own) and not _EXACT.search(view.instruction):
        return f"makes an exact number of {snippet(bound[0])!r}"
    return None


def _banned_thing(view: View) -> str | None:
    """It brings in a thing that the prompt rules out by name, or one of its kind."""
    prompt = view.instruction
    for match in itertools.islice(_RULED_OUT.finditer(prompt), 20):
        if (match["before"] or "").strip().lower() in _HAS_NONE:
            continue  # "I have no oven" tells, and may be answered in many ways
        for part in re.split(r",|\b(?:or|and|nor|no)\b", match["things"].lower()):
            thing = _thing(words(part))
            if thing and not _asked(thing, prompt) and _asked(thing, view.own):
                return f"brings {part.strip()!r}, which the prompt rules out"
    for match in itertools.chain(_FREE.finditer(prompt), _DIET.finditer(prompt)):
        pattern = rf"\b(?:{KINDS[match['thing'].lower()]})\b(?![- ]free)" if match["thing"].lower() in KINDS else None
        if pattern and not _asked(pattern, prompt) and _asked(pattern, view.own):
            return f"brings what is not {match[0].lower()}"
    return None


def _thing(found: list[str]) -> str | None:
    """A pattern for the banned thing; None for what is no thing, or is too vague to look for."""
    found = list(itertools.takewhile(lambda word: word not in STOP and word not in _VAGUE, found))
    if not found or found[-1].endswith("ing") or len(found[0]) < 3:
        return None
    kind = next((pattern for start, pattern in KINDS.items() if found[-1].startswith(start)), None)
    if kind and len(found) == 1:
        return rf"\b(?:{kind})\b"
    return r"\b" + r"\W+".join(rf"{re.escape(stem(word))}[a-z]{{0,4}}" for word in found) + r"\b"


def _other_count(view: View) -> str | None:
    """ "List 3" against "offer five or six options"."""
    wanted = [_number(m["n"]) for m in _WANTED.finditer(view.instruction)]
    for match in _OFFERED.finditer(view.own):
        offered = max(_number(match["n"]), _number(match["m"] or "0"))
        if wanted and offered > max(wanted):
            return f"asks for {offered} where the prompt asks for {max(wanted)}"
    return None


def _number(raw: str) -> int:
    return int(NUMBER_WORDS.get(raw.lower(), raw)) if raw.isdigit() or raw.lower() in NUMBER_WORDS else 1


def limits(text: str) -> list[tuple[str, int]]:
    """(the words that set it, about how many words it leaves) of each limit on the answer."""
    sized = [(match[0], _size(match)) for match in _LIMIT.finditer(text)]
    return [(match[0], 1) for match in _TIGHT.finditer(text)] + [(cue, size) for cue, size in sized if size is not None]


def _tightest(text: str) -> tuple[str, int] | None:
    return min(limits(text), key=lambda pair: pair[1], default=None)


def _size(match: re.Match[str]) -> int | None:
    """About how many words a limit leaves; None for what is no limit on the whole answer."""
    raw, unit, how = match["n"].lower(), match["unit"].lower(), (match["how"] or "").lower()
    if not how and unit.startswith(("word", "character", "letter", "line")):
        return None
    if raw == "a" and not unit.startswith(("sentence", "word")):
        return None
    number = _number(raw)
    each = 300 if unit.startswith("page") else {"w": 1, "s": 15, "l": 10, "b": 12, "p": 80, "e": 1}.get(unit[0], 1)
    if unit.startswith("character"):
        return number // 6
    return None if unit.startswith("letter") else number * each


def _lengthens(view: View, prompt: str) -> str | None:
    """ "Keep it short" against "in detail", "under 50 words" against "three paragraphs"."""
    if _BRIEF.search(prompt) and _asked(_MORE["detail"], view.own):
        return "asks for detail where the prompt asks for brevity"
    most = max((size for _, size in limits(prompt)), default=None)
    for match in _LIMIT.finditer(view.own):
        size = _size(match)
        if most and size and size > max(20, 1.5 * most) and not _negated(view.own, match):
            return f"asks for {snippet(match[0])!r}, beyond the prompt's limit"
    asked = [m for m in _LIMIT.finditer(view.own) if m["unit"].lower().startswith("word") and m["n"].isdigit()]
    given = [m for m in _LIMIT.finditer(prompt) if m["unit"].lower().startswith("word") and m["n"].isdigit()]
    if asked and given and max(int(m["n"]) for m in asked) > max(int(m["n"]) for m in given) and words(prompt):
        return f"asks for {asked[0]['n']} words against {given[0]['n']}"
    return None
