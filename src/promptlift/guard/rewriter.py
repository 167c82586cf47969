"""Checks of what is said about the rewriting (`meta`), or done because the prompt told the rewriter to (`obeyed`)."""

from __future__ import annotations

import itertools
import re

from promptlift.guard.view import View, sentences, snippet, words
from promptlift.guard.vocabulary import STOP
from promptlift.guard.voice import asks

_BETTER = (
    r"improved|better|rewritten|re-written|optimi[sz]ed|revised|refined|enhanced|clearer|updated|reworded|polished"
)
_META = re.compile(
    rf"\b(?:{_BETTER}|original|rough|following|final|new)(?: version of (?:the|this|your))? prompts?\b|"
    r"\b(?:this|your|the (?:user's|given|above)|my) prompt\b|"
    r"\bthe prompt (?:should|is|asks|could|needs|must|was|has|can|will|above|below|you|in a|to be|more|clearer)\b|"
    r"\b(?:rewrite|improve|rephrase|reword|refine|optimi[sz]e) (?:the|this|a|your)(?: \w+)? prompt\b|"
    r"\bprompts? (?:engineer|rewrit|optimi)\w*|\bthe user (?:wants|asks|asked|is|needs|would|has)\b|"
    rf"\bhere(?:'s|’s| is) (?:a|an|the|your) (?:{_BETTER}|more \w+) (?:version|prompt|request|question)\b",
    re.I,
)
_VERSION = r"(?:version|prompt|request|question|wording|phrasing|rewrite|rewording|text)"
# Talk about the rewriting that does not say "prompt"; group `key`: what the prompt itself may speak of.
_TALK = re.compile(
    rf"\bthis (?P<key>version|rewrite|rewording|phrasing|revision|addition|wording) (?:is|asks|makes|now|adds|keeps|"
    r"improves|states|helps|gives|includes|should)\b|"
    rf"\b(?:than|unlike) the (?P<key2>original)(?: {_VERSION})?(?:[.,;!]| because| by| since|$)|"
    rf"\bthe original (?P<key3>{_VERSION}) (?:was|is|did|lacks|lacked|asks|asked|does|had|has)\b|"
    rf"\bthe (?:{_BETTER}) (?P<key4>{_VERSION})\b(?: (?:is|asks|now|adds|should|would)|:)|"
    r"\bi(?:'ve|’ve| have)? (?:just )?(?P<key5>added|rewritten|rewrote|reworded|rephrased|clarified|improved|"
    r"expanded) "
    r"(?:the|this|your|some|it|a|more|detail)\b|"
    r"\bthe (?P<key6>question|request) (?:is|was|seems) (?:too |very |quite |a bit )?(?:vague|unclear|clear|broad|"
    r"short|"
    r"ambiguous|fine|good|already|incomplete)|"
    r"\bthe (?P<key7>question|request|query) (?:should|could|can|needs to|must) be (?:more|made|clear\w*|improved|"
    r"re\w+|"
    r"specif\w*|expanded)|"
    r"\b(?:changes made|what (?:i|was) changed)\b(?P<key8>)|\b(?P<key9>advice|addition|sentence) to (?:add|append)\b|"
    r"\bno (?P<key10>changes?|advice|addition|rewrite|rewriting) (?:is |are )?(?:needed|required|necessary)\b|"
    r"\b(?:making|makes|make) (?:it|the request|the question) (?P<key11>clearer|more specific) (?:for|to) "
    r"(?:the )?(?:model|ai|assistant|llm)\b|"
    r"\bto (?:improve|clarify|refine|strengthen) (?:this|the|your) (?P<key12>request|question|query|wording)\b",
    re.I,
)
_SELF = re.compile(
    r"\bi(?:'m|’m| am) (?:the|a|an|your|just an?) (?:\w+ )?(?:re-?writer|prompter|improver|optimi[sz]er|assistant|"
    r"ai\b|"
    r"language model)|\bmy (?:instructions|system prompt|rules) (?:are|is|say|tell)\b|\bas (?:the|"
    r"a) (?:prompt )?re-?writer\b|"
    r"\A\W*(?:you|i) (?:add|append|rewrite|improve|optimi[sz]e|write) (?:one|a|an|the|each|every|this|short|rough|"
    r"user\w*|"
    r"prompts?)\b|\b(?:to|answer|answering|improve|rewrite|of) the prompt\b",
    re.I,
)
_LABELS = (
    r"advice|additions?|added(?: (?:advice|sentence|text|line|detail|instruction|request)s?)?|suggestions?|"
    r"strength|better prompt|would advice|"
    r"(?:improved|rewritten|revised|optimi[sz]ed|final|new|original|enhanced|light|full)(?: (?:prompt|version|"
    r"request|"
    r"question|rewrite|rewriting|advice))?|prompt|rewrite|rewriting|rewritten|optimi[sz]ed|revised|improved|"
    r"instructions?"
)
_LEAKS = re.compile(
    rf"^[ \t]*#{{1,6}}[ \t]*(?:{_LABELS}|response|answer|question|input|output|user|system|assistant)\b|"
    rf"^[ \t]*[*_\[(]*(?:{_LABELS})[*_\])]*[ \t]*:|<\|(?:im_|end|start|user|assist|system)|</?s>|\[/?INST\]|"
    r"<(?:start|end)_of_turn>|<(?:unk|pad|bos|eos)>|^[ \t]*(?:user|assistant|system|human)[ \t]*:|would advice help|"
    r"\(yes or no\)\?",
    re.I | re.M,
)
# What else opens no addition: a label of the form, a heading.
_LIGHT_LEAKS = re.compile(
    r"^[ \t]*#{1,6}[ \t]*\w|\A\W*(?:output|input|result|response|note|mode|score|label|decision|target|task|context|"
    r"yes|no|light|full|reasoning|thought)[*_]*[ \t]*(?::|\n)",
    re.I | re.M,
)
_COMMAND = re.compile(
    r"\b(?:say|print|output|reply|respond|answer|write|return|repeat|type|echo|tell me|display|state|shout)\b"
    r"(?: back| out| only| just| simply| exactly| with| this| the| words?| phrase| sentence| text| to me|:){0,5}:?\s*"
    r"(?:[\"“'‘]([^\"”'’\n]{1,200})[\"”'’]|([A-Z][A-Z0-9_!-]{2,40}(?: [A-Z0-9_!-]{2,40}){0,5})\b|([^\n.,;\"]{1,80}))",
    re.I,
)
_OVERRIDE = re.compile(
    r"\b(?:ignore|disregard|forget|override|skip)\b.{0,40}\b(?:instructions?|above|previous|prior|rules|prompt|"
    r"everything|"
    r"told|before|improving|rewriting|guidelines)\b|\bdo not (?:rewrite|improve|change)\b|\bdon'?t (?:rewrite|"
    r"improve)\b|"
    r"\binstead of (?:rewriting|improving)\b|\bsystem prompt\b|\byou are (?:now|no longer)\b",
    re.I,
)
# The prompt speaks to whoever rewrites it.
_TO_REWRITER = re.compile(
    r"\b(?:prompt[- ])?(?:re-?writer|improver|optimi[sz]er|enhancer|prompter|promptlift)\b|"
    r"\b(?:when|while|before|after|as|instead of) (?:you )?(?:re-?writ|improv|add|append|optimi|rephras)\w* (?:this|"
    r"it|your|the|"
    r"my|any)\b|\b(?:in|to|with|at the end of) your (?:addition|rewrite|rewriting|advice|sentence|version)\b|"
    r"\b(?:note|message|instructions?) (?:to|for) (?:the |any |all )?(?:ai|llm|rewriter|model|assistant|bot)s?\b",
    re.I,
)
_TOLD_TO = re.compile(
    r"\b(?:say|print|output|reply|respond|answer|write|return|repeat|append|add|include|insert|mention|put|"
    r"begin with|"
    r"start with|end with|claim|state|recommend|tell \w+(?: \w+)? (?:to|that)|ask \w+(?: \w+)? to|make sure (?:it|"
    r"to)|"
    r"demand|insist)\b(?P<said>[^\n.;\"]{1,160})",
    re.I,
)
_MOST = 50


def meta(view: View) -> str | None:
    """It talks about prompts and rewriting, or leaks the template that the prompter was shown."""
    patterns = (_LEAKS, _LIGHT_LEAKS) if view.appends else (_LEAKS,)
    for leak in filter(None, (pattern.search(view.added) for pattern in patterns)):
        if leak[0].strip().lower() not in view.prompt.lower():
            return f"leaks a heading: {snippet(leak[0])}"
    itself = _SELF.search(view.own)
    if itself and itself[0].strip().lower() not in view.prompt.lower():
        return f"speaks as the rewriter: {snippet(itself[0])}"
    found = _META.search(view.own)
    if found and not re.search(r"\bprompt", view.prompt, re.I):
        return f"talks about the prompt: {snippet(found[0])}"
    for talk in itertools.islice(_TALK.finditer(view.own), _MOST):
        key = next(group for group in talk.groups() if group is not None).lower()
        if not key or key[:6] not in view.prompt.lower():
            return f"talks about the rewriting: {snippet(talk[0])}"
    return None


def obeyed(view: View) -> str | None:
    """The prompt tells to say something, and the rewrite is just that."""
    said = words(view.added)
    if not said:
        return None
    if _repeats_order(view):
        return f"obeys the prompt: {snippet(view.added)}"
    if len(said) > 40:
        return None
    for match in itertools.islice(_COMMAND.finditer(view.prompt), _MOST):
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


def _repeats_order(view: View) -> bool:
    """What the prompt orders its rewriter to say stands in the rewrite, three words in a row or a shouted one."""
    if view.strength == "full" and len(view.prompt) > 0.9 * len(view.added) and view.added in view.prompt:
        return False
    here = f" {' '.join(words(view.own))} "
    for address in itertools.islice(_TO_REWRITER.finditer(view.instruction), 5):
        near = view.instruction[address.start() : address.end() + 200]
        for order in itertools.islice(_TOLD_TO.finditer(near), 5):
            target = words(order["said"])
            if f" {' '.join(words(order[0])[:4])} " in here:
                continue  # it copies the order, and so does not follow it
            runs = zip(target, target[1:], target[2:], strict=False)
            if any(f" {' '.join(run)} " in here and not STOP.issuperset(run) for run in runs):
                return True
            if any(f" {word.lower()} " in here for word in re.findall(r"\b[A-Z]{5,}\b", order["said"])):
                return True
    return False
