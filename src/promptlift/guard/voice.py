"""Checks of who speaks in a rewrite: it must ask the target, not answer, comment or obey."""

from __future__ import annotations

import re

from promptlift.guard.view import View, sentences, snippet, words
from promptlift.guard.vocabulary import REQUESTS
from promptlift.language import is_english
from promptlift.passages import fences
from promptlift.records import Strength

_REFUSES = re.compile(
    r"\bas an? (?:ai|(?:large )?language model|assistant)\b|\bi(?:'m| am) "
    r"(?:sorry,? but|an ai|just an ai|not able to|unable)\b"
    r"|\bi (?:can't|cannot|can not|won't|am unable to|do not|don't) "
    r"(?:help|assist|provide|fulfil\w*|comply|answer|do that|"
    r"have access|have (?:personal|feelings|opinions))\b|\bi(?:'d| would) be (?:happy|glad) to\b|\bi hope this helps\b"
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
    r"dear (?!friend)[\w\[ ]{2,30},|subject:|title:|solution:|output:|response:|hi [\w\[ ]{2,20},|hello[,! ]|hey[,! ]|"
    r"thank you for (?:your|asking|reaching)|thanks for (?:your|asking|reaching)|let me (?:explain|help|show|think)|"
    r"step 1\b|assistant:|\$?[\w ]{1,20} = [\d$])",
    re.I,
)
# A light addition speaks of what to do, so none of these may open it.
_SPEAKS = re.compile(
    r"\W*(?:i (?:can|will|would|think|believe|recommend|suggest|have|am|was|"
    r"know|want|love|feel|like|understand)\b|i'(?:m|ve|d|ll)\b|"
    r"my (?:name|favou?rite|answer|advice)\b|we (?:are|were|have|can)\b|you (?:can|could|are|have|might|may)\b|"
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
_ASKING = 0.15
_MOST = 500
_BULLET = re.compile(r"(?m)^[ \t]{0,8}(?:[-*•+]|\d{1,2}[.)]|[a-h]\))[ \t]+(.*)$")
_CODE_SHAPE = re.compile(
    r"(?m)^[ \t]*(?:def \w+\(|class \w+[:(]|import \w|from \w+ import|"
    r"function \w+\(|const \w+ ?=|let \w+ ?=|var \w+ ?=|#include|"
    r"public (?:static|class)|SELECT [\w*, .]+ FROM|<(?:html|div|body|"
    r"!DOCTYPE)|print\(|console\.log|return \w+[;(])|;\s*$\n.*;\s*$"
)
_META = re.compile(
    r"\b(?:improved|better|rewritten|re-written|optimi[sz]ed|revised|"
    r"refined|enhanced|original|updated|rough|following|final)"
    r" (?:version of (?:the|this|your) )?prompts?\b|\b(?:this|your|the (?:user's|given|above)|my) "
    r"prompt\b|\bthe prompt (?:should|is|asks|could|needs|"
    r"must|was|has|can|will|above|below|you|in a|to be|more|clearer)\b|\b(?:rewrite|improve|rephrase|"
    r"reword|refine|optimi[sz]e) (?:the|this|a|your)(?: \w+)? "
    r"prompt\b|\bprompts? (?:engineer|rewrit|optimi)\w*|\bthe user (?:wants|asks|asked|is|needs|would|has)\b"
    r"|\bhere(?:'s| is) (?:a|an|the|your) (?:improved|better|rewritten|revised|optimi[sz]ed|refined|"
    r"enhanced|clearer|more \w+) (?:version|prompt|request|question)\b",
    re.I,
)
_LEAKS = re.compile(
    r"(?im)^[ \t]*#{1,4}[ \t]*(?:prompt|advice|better prompt|would advice|"
    r"instruction|response|rewrite|answer|question|input|output)\b"
    r"|^[ \t]*\**(?:advice|better prompt|improved prompt|rewritten prompt|"
    r"prompt|rewrite|optimi[sz]ed|revised|improved|instruction)"
    r"\**[ \t]*:|<\|(?:im_|end|start|user|assist|system)|</s>|\[/?INST\]|<(?:start|"
    r"end)_of_turn>|^[ \t]*(?:user|assistant|system|human)[ \t]*:"
    r"|would advice help|\(yes or no\)\?"
)
_COMMAND = re.compile(
    r"\b(?:say|print|output|reply|respond|answer|write|return|repeat|type|echo|tell me|display|state|shout)\b"
    r"(?: back| out| only| just| simply| exactly| with| this| the| words?| phrase| sentence| text| to me|:){0,5}:?\s*"
    r"(?:[\"“'‘]([^\"”'’\n]{1,200})[\"”'’]|([A-Z][A-Z0-9_!-]{2,40}(?: [A-Z0-9_!-]{2,40}){0,5})\b|([^\n.,;\"]{1,80}))",
    re.I,
)
_OVERRIDE = re.compile(
    r"\b(?:ignore|disregard|forget|override|skip)\b.{0,40}\b(?:instructions?|"
    r"above|previous|prior|rules|prompt|everything|told|before)\b"
    r"|\bdo not (?:rewrite|improve|change)\b|\bdon'?t (?:rewrite|improve)\b|\binstead of (?:rewriting|"
    r"improving)\b|\bsystem prompt\b|\byou are (?:now|no longer)\b",
    re.I,
)


def asks(sentence: str, strength: Strength = "full") -> bool:
    """True if a clause of the sentence begins with a verb of request, or asks politely.

    A question asks too, but not in a light addition: advice gives the target no questions.
    """
    if _POLITE.search(sentence) or (strength == "full" and sentence.rstrip().endswith("?")):
        return True
    return any(word in REQUESTS for word in _clause_heads(sentence))


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
    "and then but or so also first to not please finally next just only afterwards instead briefly always never".split()
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
    if _brings_code(view):
        return "brings code"
    if not is_english(view.added):
        return None  # what follows knows English verbs only
    parts = sentences(text)
    items = [item for item in _BULLET.findall(text) if item.strip()]
    lead = re.split(r"(?m)^[ \t]{0,8}(?:[-*•+]|\d{1,2}[.)]|[a-h]\))[ \t]", text, maxsplit=1)[0]
    if len(items) >= 3 and not any(asks(part) for part in sentences(lead)) and sum(map(asks, items)) < 0.5 * len(items):
        return f"brings a list of {len(items)} items"
    asking = [asks(part, view.strength) for part in parts]
    if not any(asking):
        return f"asks for nothing: {snippet(text)}"
    if view.strength == "light":
        if _SPEAKS.match(text) or _REMINDS.match(text) or (not asking[0] and _DECLARES.match(parts[0])):
            return f"opens with a statement: {snippet(parts[0])}"
        return None
    known = view.prompt.lower()
    fresh = [
        asked
        for part, asked in list(zip(parts, asking, strict=True))[:_MOST]
        if part.strip(" .?!").lower() not in known
    ]
    if (len(fresh) >= 3 and not any(fresh)) or (sum(asking) < _ASKING * len(asking) and not asking[0]):
        return f"states more than it asks: {snippet(text)}"
    return None


def _brings_code(view: View) -> bool:
    if fences(view.added) and not fences(view.prompt):
        return True
    return _CODE_SHAPE.search(view.added) is not None and _CODE_SHAPE.search(view.prompt) is None


def meta(view: View) -> str | None:
    """It talks about prompts and rewriting, or leaks the template that the prompter was shown."""
    leak = _LEAKS.search(view.added)
    if leak and leak[0].strip().lower() not in view.prompt.lower():
        return f"leaks a heading: {snippet(leak[0])}"
    found = _META.search(view.own)
    if found and not re.search(r"\bprompt", view.prompt, re.I):
        return f"talks about the prompt: {snippet(found[0])}"
    return None


def obeyed(view: View) -> str | None:
    """The prompt tells to say something, and the rewrite is just that."""
    said = words(view.added)
    if not said or len(said) > 40:
        return None
    for match in list(_COMMAND.finditer(view.prompt))[:50]:
        target = words(next(group for group in match.groups() if group is not None))
        if (
            target
            and view.added.strip() != view.prompt.strip()
            and said[: len(target)] == target
            and len(said) <= len(target) + 3
        ):
            return f"obeys the prompt: {snippet(view.added)}"
    if _OVERRIDE.search(view.prompt):
        shouted = [word for word in re.findall(r"\b[A-Z]{4,}\b", view.added) if word in view.prompt]
        if (shouted and len(said) <= 8) or not any(asks(part) for part in sentences(view.added)):
            return f"obeys the prompt: {snippet(view.added)}"
    return None
