"""Check `answered`: a rewrite must ask the target, not answer or refuse."""

from __future__ import annotations

import re

from promptlift.guard.view import View, sentences, snippet
from promptlift.guard.vocabulary import HANDWORK, REQUESTS
from promptlift.language import is_english
from promptlift.passages import fences
from promptlift.records import Strength

_REFUSES = re.compile(
    r"\bas an? (?:ai|(?:large )?language model|assistant)\b|\bi(?:'m| am) "
    r"(?:sorry,? but|an ai|just an ai|not able to|unable)\b"
    r"|\bi (?:can't|cannot|can not|won't|am unable to|do not|don't) "
    r"(?:help|assist|provide|fulfil\w*|comply|answer|do that|"
    r"have access|have (?:personal|feelings|opinions))\b|\bi(?:'d| would) be (?:happy|glad) to\b|"
    r"\bi hope this helps\b"
    r"|\blet me know if (?:you|there)\b|\bfeel free to ask\b|\bhappy to help\b|\bis there anything else\b",
    re.I,
)
_ANSWERS = re.compile(
    r"\W*(?:sure\b(?! that)|certainly\b|of course[,!.]|absolutely\b|okay[,!.]|"
    r"ok[,!.]|yes[,!.]|no[,!.]|yep|great question|good question|"
    r"here(?:'s|’s| is| are)\b|i(?:'m|’m| am) sorry|unfortunately|the "
    r"(?:correct |right |short |final )?answer (?:is|to)|answer:|"
    r"in conclusion|to summari[sz]e,|in summary|in short,|once upon a time|it "
    r"was a dark|there (?:once )?(?:is|are|was|were|once)\b|"
    r"dear (?!friend)[\w\[ ]{2,30},|subject:|title:|solution:|output:|response:|hi [\w\[ ]{2,20},|hello[,! ]|"
    r"hey[,! ]|"
    r"thank you for (?:your|asking|reaching)|thanks for (?:your|asking|reaching)|let me (?:explain|help|show|think)|"
    r"step 1\b|assistant:|\$?[\w ]{1,20} = [\d$])",
    re.I,
)
# A light addition speaks of what to do, so none of these may open it.
_SPEAKS = re.compile(
    r"\W*(?:i (?:can|will|would|think|believe|recommend|suggest|have|am|was|"
    r"know|want|love|feel|like|understand)\b|i'(?:m|ve|d|ll)\b|"
    r"my (?:name|favou?rite|answer|advice)\b|we (?:are|were|have|can)\b|you (?!decide|choose|pick|name|play)\w+\b|"
    r"it (?:is|was|depends|has|means)\b|it's\b|this (?:is|was|means|happens)\b|"
    r"they (?:are|were|have)\b|he (?:was|is)\b|she (?:was|is)\b|"
    r"(?:the|an?|most|many|some|one|your|our) (?:[\w'-]+ ){1,5}(?:is|are|was|were|"
    r"has|have|had|can|means|refers|consists|occurs|causes)\b"
    r"(?! (?:best|enough|fine|welcome|ideal|better|right|plenty|needed|nice|good|"
    r"useful|helpful|ok|okay|allowed|to|what|wanted|missing)\b))",
    re.I,
)
_DECLARES = re.compile(
    r"\W*(?:[A-Z][\w'’-]*|the [\w'’-]+|an? [\w'’-]+)(?: [\w'’-]+){0,4}? "
    r"(?:is|are|was|were|has|have|had|means|refers|consists|occurs|happens|causes|became|began|died|comes|works|"
    r"contains|includes|allows|helps|invented|discovered|wrote|lived|won)\b"
)
_REMINDS = re.compile(
    r"\W*(?:remember|note|recall|keep in mind|know) that (?:[\w'-]+ ){1,5}(?:is|are|was|were|has|have|can)\b", re.I
)
_POLITE = re.compile(
    r"\b(?:please|should|must|i(?:'d| would) (?:like|love|prefer)|i(?:'m| "
    r"am) looking for|i (?:want|need)|needs? to|can you|"
    r"could you|would you|will you|is (?:best|enough|fine|welcome)|are "
    r"(?:best|enough|fine|welcome)|would (?:help|be)|wanted|"
    r"is to be|no more than|at most|at least|without|only|rather than|instead of|not just)\b"
    r"|\bfor (?:each|every|both|all|any)\b[^.]{0,80}\b(?:give|say|name|show|"
    r"tell|explain|include|list|mention|add|state|write)\b",
    re.I,
)
_GREETS = re.compile(r"\W*(?:hello|hi|hey|greetings|dear)\b[\w ]{0,30}[,!.]", re.I)
_QUESTION = re.compile(
    r"\W*(?:(?:hi|hey|please|pls|so|ok|quick question|can you (?:tell|explain|help)(?: me)?)\W+)*"
    r"(?:how|what|whats|why|when|where|who|which|is|are|does|do|can|could|should|will|best way|ways? to)\b",
    re.I,
)
_HOW_TO = re.compile(
    r"\bhow (?:do|can|should|to|would|could)\b|\b(?:best|easiest|good) ways? to\b|\b(?:steps|ways) to\b", re.I
)
_TO_DO_IT = re.compile(
    r"\W*(?:to|for|if you want to|in order to) [^.?!,\n]{3,80}, (?:[a-z]+ly )?(?P<verb>[a-z']+)", re.I
)
_ASKING = 0.15
_MOST = 500
_BULLET = re.compile(r"(?m)^[ \t]{0,8}(?:[-*•+]|\d{1,2}[.)]|[a-h]\))[ \t]+(.*)$")
_CODE_SHAPE = re.compile(
    r"(?m)^[ \t]*(?:def \w+\(|class \w+[:(]|import \w|from \w+ import|"
    r"function \w+\(|const \w+ ?=|let \w+ ?=|var \w+ ?=|#include|"
    r"public (?:static|class)|SELECT [\w*, .]+ FROM|<(?:html|div|body|"
    r"!DOCTYPE)|print\(|console\.log|return \w+[;(])|;\s*$\n.*;\s*$"
)


def asks(sentence: str, strength: Strength = "full") -> bool:
    """True if a clause of the sentence begins with a verb of request, or asks politely.

    A question asks too, but not in a light addition: advice gives the target no questions.
    """
    if _POLITE.search(sentence) or (strength == "full" and sentence.rstrip().endswith("?")):
        return True
    return any(word in REQUESTS for word in _clause_heads(sentence))


def _truly_asks(item: str) -> bool:
    """True if an item of a list asks; "turn off the phone" tells what to do."""
    heads = _clause_heads(item)
    return asks(item) and (not heads or heads[0] not in HANDWORK or any(head in REQUESTS - HANDWORK for head in heads))


def _clause_heads(sentence: str) -> list[str]:
    """The words that begin a clause: after punctuation, a conjunction or "first"."""
    heads: list[str] = []
    fresh = True
    for match in re.finditer(r"[A-Za-z'’]+|[,;:(–—]|\S", sentence):
        token = match[0].lower()
        if token.isalpha() or "'" in token or "’" in token:
            if fresh:
                heads.append(token.replace("’", "'"))
            fresh = token in _OPENERS or (fresh and token.endswith("ly"))
        else:
            fresh = fresh or token in ',;:(–—-*•#"“.'
    return heads


_OPENERS = frozenset(
    "and then but or so also first not please finally next just only afterwards instead briefly always never".split()
)


def answered(view: View) -> str | None:
    """It answers or refuses where it should ask."""
    text, instruction = view.own, view.instruction
    refusal = _REFUSES.search(text)
    if refusal and not _REFUSES.search(instruction):
        return f"speaks as the assistant: {snippet(refusal[0])}"
    opening = _ANSWERS.match(text)
    if opening and not _ANSWERS.match(instruction) and opening[0].strip().lower() not in instruction.lower():
        return f"opens like an answer: {snippet(opening[0])}"
    greeting = _GREETS.match(text) if view.appends else None
    if greeting:
        return f"opens with a greeting: {snippet(greeting[0])}"
    if _brings_code(view):
        return "brings code"
    if not is_english(view.added):
        return None  # what follows knows English verbs only
    if view.strength == "guide":
        text = text.rpartition("\n\n")[2]  # what stands before it states, and is meant to
    parts = sentences(text)
    items = [item for item in _BULLET.findall(text) if item.strip()]
    lead = re.split(r"(?m)^[ \t]{0,8}(?:[-*•+]|\d{1,2}[.)]|[a-h]\))[ \t]", text, maxsplit=1)[0]
    if (
        len(items) >= 3
        and not any(asks(part) for part in sentences(lead))
        and sum(map(_truly_asks, items)) < 0.5 * len(items)
    ):
        return f"brings a list of {len(items)} items"
    asking = [asks(part, view.strength) for part in parts]
    if not any(asking):
        return f"asks for nothing: {snippet(text)}"
    if view.appends:
        if _SPEAKS.match(text) or _REMINDS.match(text) or (not asking[0] and _DECLARES.match(parts[0])):
            return f"opens with a statement: {snippet(parts[0])}"
        return _does_it(view, parts) if _HOW_TO.search(instruction) else None
    known = view.prompt.lower()
    fresh = [
        asked
        for part, asked in list(zip(parts, asking, strict=True))[:_MOST]
        if part.strip(" .?!").lower() not in known
    ]
    if (len(fresh) >= 3 and not any(fresh)) or (sum(asking) < _ASKING * len(asking) and not asking[0]):
        return f"states more than it asks: {snippet(text)}"
    return _does_it(view, parts) if _QUESTION.match(instruction) else None


# "Put the steps in a realistic order" speaks of the answer's parts.
_ORDERS = re.compile(
    r"\b(?:put|order|arrange)\s+(?:\w+\s+){0,3}(?:steps?|actions?|phases?|results?|points?|parts?)\b", re.I
)


def _does_it(view: View, parts: list[str]) -> str | None:
    """A question of how to do something is answered with what to do: "To clean it, place a bowl ..."."""
    opening = _TO_DO_IT.match(view.own)
    if view.strength == "full" and opening and (opening["verb"].lower() not in REQUESTS - HANDWORK):
        return f"opens like an answer: {snippet(opening[0])}"
    heads = [head for part in parts[:_MOST] for head in _clause_heads(part)]
    asking = [head for head in heads if head in REQUESTS and head not in HANDWORK]
    polite = any(_POLITE.search(part) or part.rstrip().endswith("?") for part in parts[:_MOST])
    if not (asking or polite or _LEADS.search(view.own) or _ORDERS.search(view.own)) and (
        view.strength == "full" or not _BY_HAND.isdisjoint(heads)
    ):
        return f"says what to do instead of asking: {snippet(view.own)}"
    return None


_BY_HAND = frozenset("put place fill mix cut drop apply remove turn wrap raise lower tie hold".split())
_LEADS = re.compile(
    r"\b(?:(?:walk|take|guide|talk|lead) (?:\w+ )?through|lay out|set out|go (?:through|over|into)|give|"
    r"cover(?! it\b| them\b))\b",
    re.I,
)


def _brings_code(view: View) -> bool:
    if fences(view.added) and not fences(view.prompt):
        return True
    found = _CODE_SHAPE.search(view.added)
    return found is not None and _CODE_SHAPE.search(view.prompt) is None and found[0].strip() not in view.prompt
