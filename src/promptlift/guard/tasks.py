"""What advice on a task speaks of: an addition with none of it belongs to another task (check `drift`)."""

from __future__ import annotations

import re

from promptlift.guard.view import View, stem, words

_START = r"\A\W*(?:(?:please|pls|hi|hey|can|could|would|you|help|me|i|need|want|to|let's|quickly)\W+)*"
_CRAFT = (
    r"stor|poem|line|stanza|rh[yi]|image|scene|charact|tone|mood|end|voice|twist|verse|vivid|sens|detail|dialog|"
    r"narrat|"
    r"hero|plot|setting|atmosph|humou?r|funn|fun\b|suspens|tension|open|metaphor|feel|emotion|word|syllab|surpris|"
    r"image|"
    r"write|style|language|playful|warm|quiet|rhythm|chorus|lyric|joke|pun|dark|gentle|build|drama|perspective|"
    r"picture|"
    r"moment|finish|close|begin|start|title|paragraph|age|short|spook|creep|comic|magic|adventur|memor|person|natur|"
    r"sound"
)
_WORDING = (
    r"translat|wording|word|tone|meaning|natural|regist|formal|polite|gramma|spell|punctuat|correct|fix|mistake|"
    r"error|"
    r"version|sentence|phrase|alternativ|litera|idiom|style|keep|kept|unchang|same|exact|order|alphabet|sort|format|"
    r"text|"
    r"pronunc|result|final|output|return|original|variant|sound|clear|concis|fluent|rule|chang|figure|nothing|"
    r"code|type|comment|letter|preserv|voice|line|language|speak|accent|correction|improv|only"
)
_FIGURING = (
    r"result|step|calculat|formula|show|number|round|unit|factor|answer|work|value|exact|figure|equation|convert|"
    r"conversion|"
    r"method|check|explain|digit|decimal|mental|trick|math|how|why|just|only|approx|size|measure|equal|sum|total|"
    r"percent"
)
_COOKING = (
    r"ingredient|step|amount|quantit|cook|bak|time|temperature|serv|substitut|tip|heat|recipe|flavou?r|spic|sauce|"
    r"prepar|"
    r"minute|dish|portion|swap|oven|pan\b|pantry|equipment|texture|mistake|make|simple|season|instruction|store|"
    r"method"
)
# What the prompt asks for, and the beginnings of the words of which fitting advice has one at least.
_TASKS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(prompt, re.I), re.compile(rf"\b(?:{advice})", re.I))
    for prompt, advice in (
        (
            _START + r"(?:translate|proof-?read|spell-?check|paraphrase|reword|rephrase|alphabeti[sz]e|"
            r"correct (?:the|this|my)|"
            r"fix (?:the |my |this )?(?:grammar|spelling|punctuation|typos?|english|sentence)|capitali[sz]e|"
            r"transcribe|"
            r"sort (?:these|this|the following|alphabetically|this list))\b",
            _WORDING,
        ),
        (
            _START + r"(?:write|compose|create|make(?: up)?|tell|give)\b(?: me| us| a| an| the| short| long| scary|"
            r" funny| sad|"
            r" bedtime| little| love| silly| new| quick| spooky| horror| nice| ghost){0,6} (?:story|tale|poem|haiku|"
            r"limerick|"
            r"sonnet|song|lyrics|lullaby|ballad|fairy ?tale|fable|ode|rap|verse)\b",
            _CRAFT,
        ),
        (
            _START + r"(?:convert \S*\d|calculate|compute|solve|how (?:much|many) [\w ]{1,30} (?:in|"
            r"to) (?:an? )?\w+\W*\Z|"
            r"what(?:'?s| is) (?:the )?(?:\d[\d.,%]* ?[-+*/x%^]|square root|cube root|\d+ ?% of|[\w ]{2,30} in "
            r"(?:km/?h|mph|m/s|km|miles|kg|pounds|lbs|celsius|fahrenheit|meters|metres|feet|inches|cm|euros?|"
            r"dollars)\b))",
            _FIGURING,
        ),
        (
            _START + r"(?:(?:share|find|send|show|suggest|give|me|an?|the|your) ){0,4}(?:[\w-]+ ){0,3}"
            r"recipes?(?: (?:for|with|of)\b|\W*\Z)",
            _COOKING,
        ),
    )
)  # fmt: skip
_CREATIVE = 1
_DRY = re.compile(
    r"\b(?:safety|statistic\w*|symptoms?|treatments?|pros and cons|health benefits|regulations?|sources|citations?|"
    r"step[- ]by[- ]step|steps to (?:take|follow)|troubleshoot\w*|prices?|brands?|ingredients?|cost)\b",
    re.I,
)
_SHOPPING = re.compile(
    r"\b(?:on|by|their|in|the) (?:price|prices|brands?|customer reviews|value for money|warranty)\b", re.I
)
_BUYING = re.compile(
    r"\b(?:buy|cost|pric|best|cheap|recommend|which|choos|vs|versus|or|compar|product|sell|sale|shop|business|market|"
    r"plan|trip|"
    r"travel|gift|expens|afford|budget|deal|quote|worth|pay|money|good|should|option|suggest|idea|better|between|"
    r"upgrade|"
    r"switch|\w*phone|laptop|car|bike|food|economy|econom|tax|rent|house|insur|invest|need|hire|service|supply|"
    r"describe|ad|"
    r"competitor|startup|launch|advert|difference|tool|software|app|type|brand|bike|camera|alternativ)\w*",
    re.I,
)
_PAST = re.compile(
    r"\b(?:the )?(?:history|origins?) of (?:the|this|how|it)\b|\bwhere it was invented\b|\bwho invented\b", re.I
)
_DOING = re.compile(
    r"\b(?:recipe|how (?:do|to|can|should) (?:i|you|we)?|tips for|convert|translate|fix|debug|plan|regex)\b", re.I
)
_FRAME = re.compile(r"\bhow (?:do|can|should|would|could|to)(?: i| we| you)? (?P<verb>[a-z]{3,})\b", re.I)
_EMPTY = frozenset(
    """get make fix stop use deal tell find know start best keep help handle learn build create write set have
    improve""".split()
)
_VERBS = {
    "translate": r"translat|render|into |put .* in |say ",
    "summarize": r"summar|short|key|condens|tl;?dr|main|brief|gist|sum up|essen|point",
    "summarise": r"summar|short|key|condens|tl;?dr|main|brief|gist|sum up|essen|point",
    "proofread": r"proof|correct|fix|mistake|error|gramma|spell|edit",
    "compare": r"compar|differ|versus|\bvs\b|better|between|which|contrast|side by side|weigh",
    "convert": r"conver|turn|into|express|change|rewrit|port |as |in ",
    "alphabetize": r"alphabet|order|sort",
}


# "Give one course" where courses were asked for.
_ONE = re.compile(r"\bone\s+(?P<thing>(?:[\w-]+,?\s+){0,4}?[\w-]+)(?=[.;]|,? (?:and|with|that|for|in|to|of)\b|$)", re.I)


def other_task(view: View) -> str | None:
    """It asks for a task that is not the prompt's."""
    return _other_full(view) if view.strength == "full" else _other_light(view)


def fits(view: View) -> bool:
    """The prompt's task is a known one, and the addition speaks of what belongs to it."""
    return any(task.match(view.prompt) and len(advice.findall(view.own)) >= 2 for task, advice in _TASKS)


def _other_light(view: View) -> str | None:
    prompt, own = view.prompt, view.own
    asked = set(words(prompt))
    for match in _ONE.finditer(own):
        narrowed = [word for word in words(match["thing"]) if word not in asked and f"{word}s" in asked]
        if narrowed:
            return f"asks for one {narrowed[0]}, the prompt for several"
    for index, (task, advice) in enumerate(_TASKS):
        found = task.match(prompt)
        if found is None:
            continue
        if index == _CREATIVE and _DRY.search(own) and not _DRY.search(prompt) and len(advice.findall(own)) < 2:
            return f"asks for facts where the prompt asks for {' '.join(found[0].split()[-2:])}"
        if not advice.search(own):
            return f"says nothing that fits {' '.join(found[0].split())[:40]!r}"
    if _SHOPPING.search(own) and not _BUYING.search(prompt):
        return "compares on price where nothing is to be bought"
    past = _PAST.search(own)
    if past and _DOING.search(prompt) and not re.search(r"histor|origin|invent|back(?:ground|story)", prompt, re.I):
        return f"asks for {past[0]!r} where the prompt asks for something to do"
    return None


def _other_full(view: View) -> str | None:
    first = next(iter(words(view.instruction[:80])), "")
    if first in _VERBS and not re.search(_VERBS[first], view.added, re.I):
        return f"does not ask to {first}"
    before, after = _FRAME.search(view.instruction), _FRAME.match(view.added.lstrip("# *"))
    if before and after:
        old, new = before["verb"].lower(), after["verb"].lower()
        here = {stem(word) for word in words(view.rewrite)}
        if (
            old not in _EMPTY
            and stem(old) != stem(new)
            and stem(old) not in here
            and stem(new) not in view.prompt_stems
        ):
            return f"asks how to {new}, the prompt how to {old}"
    return None
