"""Check `conflict`: what a rewrite asks for contradicts a limit that the person set."""

from __future__ import annotations

import re

from promptlift.guard.view import View, snippet, words
from promptlift.guard.vocabulary import NUMBER_WORDS

_COUNT = r"(?P<n>\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|fifty|a|single)"
_LIMIT = re.compile(
    rf"\b(?P<how>(?:in|with|use|using|of|as|just|only|exactly|under|below|at most|"
    rf"max(?:imum)?(?: of)?|no more than|not more than|up to|"
    rf"less than|fewer than|within|about|around|than)\s*(?:a |the |exactly |"
    rf"just |only |at most |about |under )?)?{_COUNT}(?: |-)"
    rf"(?:single |short |simple |or \w+ |to \w+ )?(?P<unit>words?|sentences?|lines?|bullets?(?: "
    rf"points?)?|paragraphs?|characters|letters?|emojis?)\b(?! (?:per|each|for each|every|a day|of))",
    re.I,
)
_TIGHT = re.compile(
    r"\b(?:yes or no|yes/no|y/n|true or false|(?:one|single)[- ]word|(?:no|without(?: any)?|don'?t "
    r"(?:add|give|include)(?: any)?|skip the|not? need(?:ed)? (?:an? )?)"
    r" ?(?:explanations?|explaining|commentary|intro(?:duction)?|extra text|other text|reasons?|"
    r"preamble|details?)|no need to explain|don'?t explain|"
    r"(?:only|just) (?:the |give (?:me )?the |tell me the |return the |output the |reply with the |"
    r"answer with the )?(?:(?:final )?answer|number|name|result|word|letter|label|code|"
    r"command|title|translation|output|date|formula|category|value|url|list|json|names|query|"
    r"regex)s?\b(?: only)?|(?:answer|number|name|label|code|result|letter|json|command|output) only|nothing else|"
    r"(?:reply|respond|answer) (?:only )?with (?:only |just )?(?:a |one |the )?(?:single )?(?:word|"
    r"number|letter|label|yes)|only (?:reply|respond|answer|output|return)|one[- ]liner)\b",
    re.I,
)
_BRIEF = re.compile(
    r"\b(?:briefly|brief|short answer|keep it (?:short|brief)|be (?:brief|"
    r"concise)|concise(?:ly)?|tl;?dr|quick answer|in short|shortly)\b",
    re.I,
)
_NEGATED = re.compile(
    r"(?:\b(?:no|not|never|without|don'?t|do not|avoid|skip|leave out|instead of|"
    r"rather than|nothing|omit|drop|neither|nor|stop)\b[^.;]{0,60}?)$",
    re.I,
)
_MORE = {
    "examples": r"\b(?:examples?|instances? of|anecdotes?|illustrat\w+|analog(?:y|ies))\b",
    "an explanation": r"\b(?:explain\w*|explanations?|reasons?|reasoning|why|background|"
    r"context|justif\w+|how it works|elaborat\w+|because)\b",
    "steps": r"\b(?:steps?|step[- ]by[- ]step|walk (?:me )?through|show (?:your|the) work\w*)\b",
    "detail": r"\b(?:in (?:more )?(?:depth|detail)|detailed|thorough\w*|"
    r"comprehensive\w*|in full|at length|longer|expand|long)\b",
    "a list": r"\b(?:lists?|bullets?|bullet points?|numbered|tables?|headings?|"
    r"sections?|pros and cons|advantages|options|tips)\b",
    "paragraphs": r"\b(?:paragraphs?|essay|introduction and|conclusion|several sentences)\b",
    "comparison": r"\b(?:compare|comparison|contrast|alternatives?|discuss|both sides)\b",
}
# What rules it out, what would ask for it, and its name.
_BANS: tuple[tuple[str, str, str], ...] = (
    (
        r"(?:no|without|avoid|don'?t use|do not use|not? (?:in|as)) (?:any )?(?:bullet(?:s|ed| "
        r"points?)?|lists?|bullet lists?)\b",
        r"\b(?:bullets?|bullet points?|bulleted|numbered list|lists? of)\b",
        "bullets",
    ),
    (
        r"(?:no|without|avoid|don'?t use|do not use) (?:any )?commas?\b",
        r"\b(?:comma-separated|separated by commas|with commas|use commas)\b",
        "commas",
    ),
    (
        r"(?:all |in |only )(?:lower ?-?case|small letters)\b|lower ?case only|no capitals?\b",
        r"\b(?:upper ?-?case|in capitals|all caps|capital letters|capitali[sz]e|title case)\b",
        "capitals",
    ),
    (
        r"(?:no|without(?: any)?|don'?t (?:give|use|include)(?: any)?) examples?\b",
        r"\b(?:examples?|illustrat\w+)\b",
        "examples",
    ),
    (
        r"(?:no|without(?: any)?|don'?t use(?: any)?) (?:tables?)\b",
        r"\btables?\b",
        "a table",
    ),
    (
        r"(?:no|without(?: any)?|don'?t use(?: any)?) (?:headings?|headers?|titles?)\b",
        r"\b(?:headings?|headers?|titled?)\b",
        "headings",
    ),
    (
        r"(?:no|without(?: any)?|don'?t use(?: any)?) (?:jargon|technical (?:terms|words|language)|big "
        r"words)\b",
        r"\b(?:technical terms|jargon|terminology|technical language)\b",
        "jargon",
    ),
    (
        r"(?:no|without(?: any)?|don'?t use(?: any)?) (?:code|libraries|imports)\b",
        r"\b(?:code|librar(?:y|ies)|import)\b",
        "what is banned",
    ),
    (
        r"(?:no|without(?: any)?|don'?t use(?: any)?) emojis?\b",
        r"\bemojis?\b",
        "emojis",
    ),
    (
        r"(?:no|not|without(?: any)?|doesn'?t|don'?t|shouldn'?t)(?: have to| need to)? rhym\w*",
        r"\brhym(?:e|es|ing)\b",
        "rhyme",
    ),
    (
        r"(?:no|without(?: any)?) (?:numbers|digits|figures|math|maths|formulas?|equations?)\b",
        r"\b(?:formulas?|equations?|figures|statistics|numbers)\b",
        "numbers",
    ),
    (
        r"(?:in|as) (?:a |one )?(?:plain )?prose\b|\bas (?:one|a single|a) paragraph\b|\bin one "
        r"paragraph\b",
        r"\b(?:bullets?|bullet points?|numbered (?:list|steps)|tables?|headings?)\b",
        "another form",
    ),
    (
        r"\b(?:as|in) (?:valid )?json\b",
        r"\b(?:bullets?|prose|paragraphs?|headings?|essay|poem|markdown table)\b",
        "another form",
    ),
    (
        r"\b(?:in|as) (?:a )?table\b",
        r"\b(?:bullet points|in prose|as an essay|no table|paragraphs)\b",
        "another form",
    ),
    (
        r"\b(?:formal(?:ly)?|professional) (?:tone|style|email|letter)\b",
        r"\b(?:slang|casual tone|informal|jok(?:e|es|ing)|funny)\b",
        "another tone",
    ),
    (
        r"\b(?:casual|informal) (?:tone|style|email|message)\b",
        r"\b(?:formal tone|formal language|formal style)\b",
        "another tone",
    ),
    (
        r"\b(?:don'?t|do not|without) (?:explain|explaining|explanations?)\b",
        r"\b(?:explain\w*|explanation)\b",
        "an explanation",
    ),
    (
        r"\b(?:simple (?:words|terms|language)|(?:like|as if) i(?:'?m| am|m) (?:5|five)|eli5|to a "
        r"(?:child|kid|\d+[- ]year)|for (?:kids|children))\b",
        r"\b(?:technical (?:terms|detail|language)|academic|in depth|jargon|peer-reviewed|advanced|"
        r"equations)\b",
        "what is hard to read",
    ),
    (
        r"\bdon'?t (?:rewrite|change|correct|fix)\b",
        r"\b(?:rewrite|correct the|fix the)\b",
        "a change",
    ),
)


def conflict(view: View) -> str | None:
    """It asks for what an explicit limit of the prompt rules out, or (full) drops that limit."""
    prompt = view.instruction
    for ban, request, name in _BANS:
        if re.search(ban, prompt, re.I) and _asked(request, view.own):
            return f"asks for {name}, which the prompt rules out"
    limit = _tightest(prompt)
    if limit is None:
        return _lengthens(view, prompt)
    cue, size = limit
    if view.strength == "full" and _tightest(view.added) is None and not _BRIEF.search(view.added):
        return f"drops the prompt's limit {snippet(cue)!r}"
    said_there = {name for name, pattern in _MORE.items() if _asked(pattern, prompt)}
    more = [name for name, pattern in _MORE.items() if name not in said_there and _asked(pattern, view.own)]
    allowed = 0 if size <= 12 else 1 if size <= 40 else 2
    # a whole new prompt restates the person's own wishes in other words: judge it by tight limits only
    if len(more) > allowed and (view.strength == "light" or size <= 12):
        return f"asks for {' and '.join(more[:2])} against {snippet(cue)!r}"
    return _lengthens(view, prompt)


def _asked(pattern: str, text: str) -> bool:
    """True if the text asks for it: some mention of it without a "no" or "without" before it."""
    return any(not _NEGATED.search(text[max(0, m.start() - 70) : m.start()]) for m in re.finditer(pattern, text, re.I))


def _tightest(text: str) -> tuple[str, int] | None:
    """(the words that set it, about how many words it leaves) of the tightest limit on the answer."""
    limits: list[tuple[int, str]] = [(1, match[0]) for match in _TIGHT.finditer(text)]
    for match in _LIMIT.finditer(text):
        size = _size(match)
        if size is not None:
            limits.append((size, match[0]))
    return min(((cue, size) for size, cue in limits), key=lambda pair: pair[1], default=None)


def _size(match: re.Match[str]) -> int | None:
    """About how many words a limit leaves; None for what is no limit on the whole answer."""
    raw, unit = match["n"].lower(), match["unit"].lower()
    number = 1 if raw in ("a", "single") else int(NUMBER_WORDS.get(raw, raw))
    if match["how"] is None and unit.startswith(("word", "character", "letter", "line")):
        return None
    if raw == "a" and not unit.startswith(("sentence", "word")):
        return None
    each = {"w": 1, "s": 15, "l": 10, "b": 12, "p": 80, "e": 1}.get(unit[0], 1)
    if unit.startswith("character"):
        return number // 6
    return None if unit.startswith("letter") else number * each


def _lengthens(view: View, prompt: str) -> str | None:
    """ "Keep it short" against "in detail"."""
    if _BRIEF.search(prompt) and _asked(_MORE["detail"], view.own):
        return "asks for detail where the prompt asks for brevity"
    asked = [m for m in _LIMIT.finditer(view.own) if m["unit"].lower().startswith("word") and m["n"].isdigit()]
    given = [m for m in _LIMIT.finditer(prompt) if m["unit"].lower().startswith("word") and m["n"].isdigit()]
    if asked and given and max(int(m["n"]) for m in asked) > max(int(m["n"]) for m in given) and words(prompt):
        return f"asks for {asked[0]['n']} words against {given[0]['n']}"
    return None
