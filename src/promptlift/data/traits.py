"""What a prompt is like: does it hold variables, passages, a command to the rewriter; how does it open."""

from __future__ import annotations

import re

from promptlift.guard.view import words
from promptlift.spans import literals

_VARIABLE = re.compile(
    r"\{\{[^{}\n]{1,100}+\}\}|\{%[^{}%\n]{0,200}+%\}|\$\{[^{}\n]{1,80}+\}"
    r"|(?<![\w\\}])\{[A-Za-z_]\w{0,40}+\}|\[[A-Z][A-Z0-9_/ -]{1,60}+\]|<[A-Z][A-Z_]{1,40}+>"
    r"|(?<![\w%])%(?:\([A-Za-z_]\w{0,40}+\))?s(?!\w)"
)
_TAG = re.compile(r"<passage-[0-9]{1,6}/>")
# The verbs of a rewriter's work, and its names. "Optimizer" alone is a part of databases and of training.
_WORK = r"(?:re-?writ|improv|optimi[sz]|rephras|enhanc|polish|edit|reword|tweak)\w*"
_REWRITER = (
    r"(?:prompt[- ](?:re-?writer|improver|optimi[sz]er|enhancer|helper|polisher|tool|fixer|editor)|re-?writer|prompter|"
    r"polisher|improver)s?"
)
_SECRET = r"(?:system prompt|(?:\w+ ){0,2}(?:instructions?|guidelines|rules|prompt)|(?:whole |entire )?(?:setup|settings|tuning|configuration))"
_SHOW = r"(?:print|reveal|show|repeat|output|display|leak|dump|translate|copy|put|post|recite|tell me|give me|what (?:is|are|were))"
_NOT = r"(?:don['’]?t|do not|never|stop|no longer|instead of|no need to|without)"
_COMMANDS = (
    # "ignore all previous instructions", "forget the text above", "ignore your rewriting job"
    r"\b(?:ignore|disregard|forget|override|bypass|whatever)\b[^.?!\n]{0,30}?\b(?:your|you|previous|prior|earlier|all|any|these)\b "
    r"(?:[\w']+ ){0,4}(?:instructions?|rules|guidelines|orders|told|tuning|rewriting|improver|optimi[sz]er)\b",
    r"\b(?:ignore|disregard|forget)\b (?:everything|all|the (?:text|message|prompt)|(?:all )?(?:of )?the) (?:above|before|you)\b",
    # "don't rewrite this" where the prompt starts; elsewhere only if it names the prompt
    rf"\A\W*(?:please |\w+[,.!:] ){{0,3}}{_NOT} {_WORK}",
    rf"\b{_NOT} {_WORK}[^.?!\n]{{0,20}}\b(?:prompts?|requests?|message|question)\b",
    r"\b(?:don['’]?t|do not|never) (?:add|change|touch)\b[^.?!\n]{0,80}\bmy (?:prompt|wording)\b",
    rf"\byou (?:are |will )?no longer {_WORK}",
    rf"\b(?:before|instead of) (?:you )?{_WORK} (?:this|anything|it|my)\b",
    # "print your system prompt", "translate the instructions you were given"
    rf"\b{_SHOW}\b[^.?!\n]{{0,30}}?\byour (?:own |hidden |initial |original |entire |whole )*{_SECRET}\b",
    rf"\b{_SHOW}\b[^.?!\n]{{0,40}}?\b(?:text|instructions|everything)\b (?:\w+ ){{0,2}}(?:you were|of your|above|between your)\b",
    r"\byour (?:own |hidden )+(?:instructions?|guidelines|rules|system prompt)\b",
    # said to the rewriter by name or by what it does
    rf"\A\W*(?:\w+\W+){{0,3}}{_REWRITER}\b(?=\W*[,:.!]|,)|[,.!] {_REWRITER}\W*\Z",
    rf"\b(?:you are|you['’]?re|whatever|dear|hey|hi|hello|(?:note|message) to|stop being|fact that you['’]?re)\b"
    rf" (?:(?:not|now|an?|the|my|any) ){{0,2}}{_REWRITER}\b",
    rf"\b(?:ai|assistant|bot|tool|model|whoever|program)\b (?:that |which |who |is ){{1,2}}{_WORK} (?:\w+ )?(?:prompts?|messages?|this|it)\b",
    rf"\b(?:note|message) (?:to|for) the {_WORK} (?:bot|tool|ai|assistant)\b|\bpromptlift\b|\b(?:about|going) to {_WORK}\b[^.\n]{{0,30}}\bprompt\b",
    rf"\bthe prompt (?:you are|you['’]re) (?:about|going) to {_WORK}",
    rf"\bnote to (?:the )?optimi[sz]er\b|\A\W*optimi[sz]er\b:|\b(?:{_REWRITER}|optimi[sz]er):? (?:is |mode )?(?:off|disabled|set|must)\b",
    # in the dress of a system message
    r"\A\s*</\w+>|\bsystem override\b|\b(?:passthrough|pass-through|maintenance) mode\b",
    r"\A\W*system\W+(?:from|re-?writ|mode|ignore|stop)\w*",
    # what it should do instead
    r"\b(?:pass|send|forward) (?:it|this|that|the message|the text) (?:on |along |through )?(?:exactly )?(?:as (?:it )?is\b|as it stands|"
    r"unchanged|untouched|verbatim|word for word)",
    r"\b(?:just|only|simply) (?:pass (?:this|it) (?:on|through)|send it)\b|\breturn an empty (?:string|line)\b",
    r"\b(?:score|grade|rate) (?:my|this) prompt\b",
)
_COMMAND = re.compile("|".join(f"(?:{pattern})" for pattern in _COMMANDS), re.IGNORECASE)
_BUILDS = re.compile(rf"\b(?:write|build|make|create|code|design|implement)\b[^.\n]{{0,40}}{_REWRITER}", re.IGNORECASE)


def has_literals(prompt: str) -> bool:
    """It holds a number, quote, code, address or variable that must survive; passage tags don't count."""
    return any(not _TAG.fullmatch(span) for span in literals(prompt))


def has_variables(prompt: str) -> bool:
    """It holds a template variable: {name}, {{date}}, ${user}, [CITY], %s."""
    return _VARIABLE.search(prompt) is not None


def passage_tags(text: str) -> list[str]:
    """The `<passage-n/>` tags of a text, sorted."""
    return sorted(_TAG.findall(text))


def commands_rewriter(prompt: str) -> bool:
    """It tells the rewriting program what to do: leave it alone, show its instructions, ignore them."""
    return _COMMAND.search(prompt) is not None and not _BUILDS.search(prompt)


def opening(text: str, count: int = 2) -> str:
    """The first words of a text, lower case."""
    return " ".join(words(text[:400])[:count])


def word_count(text: str) -> int:
    """Words as they are counted here and in the cards of sets: what stands between blanks."""
    return len(text.split())
