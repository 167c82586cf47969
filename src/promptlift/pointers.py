"""Tell an instruction from the text that it is about: by what it says, not by its length.

`peel` takes the paragraphs of a prompt and names those that are the passage. A pointer is a
shorter paragraph that asks for something to be done *to a text* ("summarize this:"); without
one, the prompt is taken to be all instruction.
"""

from __future__ import annotations

import re

_VERB = (
    r"summari[sz]e|summary|sum up|tl;?dr|translate|proof-?read|paraphrase|re-?write|re-?phrase|re-?word|shorten|edit|"
    r"correct|fix|improve|review|analy[sz]e|classify|categori[sz]e|extract|explain|simplify|critique|convert|condense|"
    r"polish|grade|mark|evaluate|assess|feedback|reply|respond|answer|"
    r"turn|make|change|check|read|compare|identify|find|"
    r"list|label|tag|sort|transform|tidy|clean|cut|trim|expand|continue|finish|format|debug|refactor|optimi[sz]e|"
    r"what do(?:es)?|what is|what's|who|whose|is|are|does|how|which|why|"
    r"write|give|pull|tell|help|can|could|please|pls|use"
)
_TEXT = (
    r"texts?|articles?|e-?mails?|letters?|stor(?:y|ies)|poems?|essays?|paragraphs?|passages?|notes?|draft|code|script|"
    r"function|quer(?:y|ies)|message|reviews?|comments?|feedback|transcript|minutes|report|abstract|document|speech|"
    r"song|lyrics|excerpt|section|chapter|blog|post|bio|cv|resume|resumé|cover letter|contract|clause|ad|copy|"
    r"description|sentences?|conversation|dialogue|chat|answers?|statement|news|error|traceback|log|data|output|recipe|"
    r"lines?|writing|wording|version|content|it"
)
_POINTS = re.compile(
    rf"\b(?:this|these|those|th?e following|following|below|above|here|my|the|attached|{_TEXT})\b", re.I
)
_NAMES_TEXT = re.compile(rf"\b(?:{_TEXT})\b", re.I)
_DEICTIC = re.compile(r"\b(?:this|these|following|below|above|here(?:'?s| is| are)?)\b", re.I)
_ASKS = re.compile(rf"\b(?:{_VERB})\b", re.I)
_EDITS = re.compile(
    r"\b(?:summari[sz]e|summary|sum(?: \w+)? up|tl;?dr|translate|"
    r"translation|proof-?read|paraphrase|re-?write|re-?phrase|"
    r"re-?word|shorten|shorter|edit|correct|grammar|fix|improve|review|"
    r"analy[sz]e|classify|categori[sz]e|extract|simplify|"
    r"critique|condense|polish|grade|feedback|reply|respond|debug|refactor|"
    r"convert|sentiment|key points|main (?:idea|point)s?)\b",
    re.I,
)
# What follows such words is the instruction itself, not a text to work on.
_RULES = re.compile(
    r"\b(?:rules?|requirements?|criteria|instructions?|steps|features?|"
    r"constraints?|guidelines|questions?|problems?|tasks?"
    r"|scenario|conditions?|situation|details|specs?|specifications?|"
    r"format|background|context|goals?|points)\b[^.?!]*$",
    re.I,
)
_OPENS_RULES = re.compile(
    r"\s*(?:\w+ ){0,2}(?:rules?|labels|requirements|guidelines|criteria|"
    r"categories|instructions|steps|options)\b[^.\n]{0,60}:",
    re.I,
)
# In a long paragraph, these say that it speaks to the assistant.
_REQUEST = re.compile(
    r"\b(?:please|pls|plz|can you|could you|would you|i want|i need|i'd like|i would like|help me|make sure|tell me|"
    r"give me|show me|write (?:me|a|an|the)|you should|you are|you will|"
    r"your task|your job|act as|what (?:should|can|do) i|"
    r"how (?:do|can|should) i|should i|do not|don'?t (?:use|include|write|make)|should (?:be|have|include|contain))\b",
    re.I,
)
_TAIL = re.compile(
    r"\s*(?:and |also |but |then |so |now )*(?:keep|make|use|don'?t|do not|"
    r"please|pls|plz|it should|the tone|max|under|in|"
    r"at most|what|how|is|are|can|could|who|which|why|where|when|tl;?dr|"
    r"summari[sz]e|translate|give|write|re-?write|explain|list|"
    r"fix|improve|find|answer|based on|using|from|respond|reply|i want|i "
    r"need|should|does|do|classify|extract|thoughts|output|"
    r"proof-?read|shorten|turn|return|only|no|limit|correct|edit|identify|compare|analy[sz]e|tell|help|rate)\b",
    re.I,
)
_CODE_LINE = re.compile(
    r"""\s*(?:
        [\])}]+[;,)]*\s*$ | .*[;{}]\s*$ | .*\)\s*:\s*$ | .*=>\s*
      | (?:def|class|public|private|protected|static|function|const|let|var|import|package|using|namespace|elif|except
           |finally|struct|enum|interface|export|async|await|yield|raise|throw)\s+[\w({*"'<].*
      | from\s+[\w.]+\s+import\s.* | (?:if|for|while|with|else|try)\b.*:\s*$ | return\b[^.]*$ | (?:else|try|do)\s*[{:]
      | \#include.* | \#!.* | //.* | /\*.* | \*/ | <[/!?]?[A-Za-z][^<>]*>.* | @[\w.]+(?:\(.*)?$
      | (?:SELECT|FROM|WHERE|JOIN|(?:LEFT|INNER|RIGHT)\s+JOIN|INSERT|UPDATE|DELETE|CREATE|ALTER|GROUP\s+BY|ORDER\s+BY|HAVING)\b.*
      | [\w.$\[\]'"]+\s*(?:[-+*/|&]|<<|>>|:)?=\s*\S.* | [\w.]+\(.*\)\s*,?\s*$
      | File\s".*",\sline\s\d+.* | Traceback\s.* | at\s[\w.$<>]+\(.*\) | [\w.]*(?:Error|Exception):\s.*
      | \[?\d{4}-\d\d-\d\d[T\s]\d\d:\d\d.* | "[^"]*"\s*:\s*.* | [^,\s][^,]*(?:,[^,\s][^,]*){2,} | (?:[^\t]+\t){2,}.*
    )""",
    re.VERBOSE,
)


def looks_like_code(line: str) -> bool:
    """True for a line of a program, markup, a query, a log, a stack trace or CSV."""
    return _CODE_LINE.match(line[:300]) is not None


def peel(blocks: list[str], long: int) -> tuple[int, int] | None:
    """(first, end) of the blocks that are the passage, or None if there is none.

    The blocks before `first` and from `end` on are the instruction. The passage has at
    least `long` words and more than the instruction.
    """
    if len(blocks) < 2:
        return None
    sizes = [len(block.split()) for block in blocks]
    first, end = 0, len(blocks)
    if _is_pointer(blocks[0], sizes[0]):
        first = 1
        # "summarize this.\n\nkeep it short.\n\n<text>": more instruction before the text
        while end - first > 1 and sizes[first] < long // 2 and _TAIL.match(blocks[first]) and sizes[first + 1] >= long:
            first += 1
    while end - first > 1 and sizes[end - 1] < long and _TAIL.match(blocks[end - 1]):
        end -= 1
    head, tail = blocks[:first], blocks[end:]
    pointers = [b for b in (*head, *tail) if _is_pointer(b, len(b.split()))]
    words, around = sum(sizes[first:end]), sum(sizes[:first]) + sum(sizes[end:])
    if not pointers or words < long or words <= around:
        return None
    if _OPENS_RULES.match(blocks[first]):
        return None
    if any(_is_strong(block) for block in pointers):
        return first, end
    # a weak pointer, such as "what should i do about this?": the long text may be the request itself
    asked = sum(1 for block in blocks[first:end] for _ in _REQUEST.finditer(block))
    return None if asked > words // 80 else (first, end)


def _is_pointer(block: str, size: int) -> bool:
    """A short paragraph that asks for something to be done to a text."""
    if size > 120:
        return False
    if _points_at_rules(block):
        return False
    asks = _ASKS.search(block) is not None or "?" in block
    return asks and (_DEICTIC.search(block) is not None or _is_strong(block) or block.rstrip().endswith(":"))


def _points_at_rules(block: str) -> bool:
    """ "…with the following requirements:" opens a list of wishes, not a text."""
    last = block.rstrip()
    return last.endswith(":") and _RULES.search(last[-200:]) is not None and _EDITS.search(last) is None


def _is_strong(block: str) -> bool:
    """It names an edit ("translate") and a text ("this", "the article"), or is nothing else."""
    if _EDITS.search(block) is None:
        return False
    return _POINTS.search(block) is not None or len(block.split()) <= 4 or block.rstrip().endswith(":")
