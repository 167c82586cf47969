"""The spans of a prompt that must survive a rewrite verbatim, and the test that they did.

What the person typed exactly, they meant exactly: numbers, quotes, code, addresses, paths
and template variables (DESIGN.md, section 6, check `literal`). Setting aside whole passages
is in `promptlift.passages`, whose names are exported here too.

Every pattern is linear: what may repeat is possessive and excludes its own opening
character, so that an unclosed quote is given up at the next one.
"""

from __future__ import annotations

import re
from collections import Counter

from promptlift.passages import Split, fences, join, split

__all__ = ["Split", "fences", "join", "literals", "missing_literals", "numbers", "quotes", "split"]

_QUOTED = r"""
    (?<![\w"])"(?=[^\s"])[^"\n]++"
  | “[^“”\n]++”
  | „[^„“”\n]++[“”]
  | «[^«»\n]++»
  | ‹[^‹›\n]++›
  | 「[^「」\n]++」
  | ‘(?:[^‘’\n]|(?<=\w)’(?=\w))++’
  # straight ones: an apostrophe inside a word doesn't close; '90s, 'til and the like don't open
  | (?<![\w'"])'(?=[^\s'])(?!\d0s\b)(?!(?:cause|em|til|tis|twas|n|bout)\b)(?:[^'\n]|(?<=\w)'(?=\w))++(?<!\s)'(?!\w)
"""
_CODE = r"(?<!`)`(?!`)[^`\n]++`(?!`) | (?<!`)``(?!`)[^`\n]++``(?!`) | (?<!`)```(?!`)[^`\n]++```(?!`)"
_VARIABLE = r"""
    \{\{[^{}\n]{1,100}+\}\}
  | \{%[^{}%\n]{0,200}+%\}
  | \$\{[^{}\n]{1,80}+\}
  | \{[A-Za-z_][\w.\ -]{0,60}+\}
  | </?[A-Za-z_][^<>\n]{0,200}+>
  | \[[A-Z][A-Z0-9_/\ -]{1,60}+\]
  | \$[A-Za-z_]\w*+
  | (?<![\w%])%(?:\([A-Za-z_]\w{0,40}+\))?[sdfrx](?!\w)
"""
_ADDRESS = r"""
    (?:https?|ftp|file|ssh)://[^\s<>"`“”]++
  | (?<![\w.+@-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++
  | (?<![\w.-])www\.[^\s<>"`“”]++
  | (?<!\w)[A-Za-z]:\\[^\s"'<>|*?,;]++
  | (?<![\w/.~:<)])(?:~|\.{1,2})?/(?=[\w.])[\w.@+-]++(?:/[\w.@+-]*+)*+
  | (?<![\w@/.])@[A-Za-z_]\w*+
  | (?<![\w&\#])\#[A-Za-z_]\w*+
"""
_NUMBER = r"(?:[$€£¥₹]\ ?|(?<!\w)[vV](?=\d++\.\d))?\d++(?:[.,:/×–-]\d++)*+(?:\ ?[€£¥₹]|\ ?%(?!\w))?"
_TOKEN = re.compile(
    # within a word only a digit can start one: this spares prose most of the work
    rf"(?=\S)(?:(?<![^\W\d_])|(?=\d))(?:(?P<quote>{_QUOTED})|(?P<code>{_CODE})|(?P<variable>{_VARIABLE})|(?P<address>{_ADDRESS})"
    rf"|(?P<file>(?<![\w./\\-])(?![\d.,:/-]++(?!\w))[^\W_]\w*+(?:[./\\-]\w++)++)|(?P<number>{_NUMBER}))",
    re.VERBOSE,
)
_EXTENSION = re.compile(
    r"\.(?:txt|md|rst|[ct]sv|jsonl?|ya?ml|toml|xml|html?|css|[jt]sx?|py|ipynb|java|kt|[ch]pp|cs|go|rs|rb|php|swift|sh|bat"
    r"|ps1|sql|log|ini|cfg|conf|env|pdf|docx?|xlsx?|pptx?|odt|png|jpe?g|gif|svg|webp|mp[34]|wav|mov|zip|tar|gz|exe|dll"
    r"|db|sqlite|parquet|tex|bib|lock|com|org|net|io|dev|ai|app|gov|edu|example|de|fr|uk|eu|co)\Z",
    re.IGNORECASE,
)
# Names of frameworks look like files, and a good rewrite may write them with other capitals.
_FRAMEWORK = re.compile(r"(?:node|vue|next|nuxt|express|react|three|d3|angular|chart|socket|asp)\.(?:js|io|net)", re.I)
_LIST_MARKER = re.compile(r"^[ \t]{0,12}\d{1,3}[.)](?=[ \t])", re.MULTILINE)
_ELI5 = re.compile(r"\beli5\b|\b(?:like|as if) i(?:['’]| a)?m (?:a )?5\b", re.IGNORECASE)  # a phrase, not a number
_TRAILING = ".,;:!?)]}'’*_"
_SEARCH_BUDGET = 50_000_000


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, span) of every literal outside fenced blocks, in order."""
    found: list[tuple[str, str]] = []
    text = _ELI5.sub("", text)
    markers = {match.end() for match in _LIST_MARKER.finditer(text)}
    for match in _TOKEN.finditer(text):
        kind, span = str(match.lastgroup), match[0]
        if kind == "number" and match.end() + 1 in markers:
            continue  # "1." before an item: a rewrite may number otherwise
        if kind == "file":
            if not _EXTENSION.search(span) or _FRAMEWORK.fullmatch(span):
                # an ordinary hyphenated or dotted word, or a date: only its numbers count
                found.extend(("number", number) for number in numbers(span))
                continue
        elif kind == "address":
            span = span.rstrip(_TRAILING)
        found.append((kind, span))
    return found


def _outside(text: str) -> tuple[list[str], str]:
    """The fenced blocks of a text, and the text without them."""
    blocks: list[str] = []
    rest: list[str] = []
    at = 0
    for start, end in fences(text):
        blocks.append(text[start:end])
        rest.append(text[at:start])
        at = end
    rest.append(text[at:])
    return blocks, "\n".join(rest)


def literals(text: str) -> list[str]:
    """The spans of `text` that must survive verbatim; fenced blocks first, then by place.

    A span within a quote or code is not listed again. Repeats are listed as often as they
    stand there.
    """
    blocks, rest = _outside(text)
    return blocks + [span for _, span in _tokens(rest)]


def numbers(text: str) -> list[str]:
    """The numbers of a text, with their currency or percent sign, without list markers."""
    return [match[0] for match in re.finditer(_NUMBER, _LIST_MARKER.sub("", text), re.VERBOSE)]


def quotes(text: str) -> list[str]:
    """What stands within the quotation marks of a text."""
    return [span[1:-1] for kind, span in _tokens(_outside(text)[1]) if kind == "quote"]


def _core(kind: str, span: str) -> str:
    """What must be found again: a quote may change its marks, a number its spacing."""
    if kind == "quote":
        return span[1:-1]
    return span.replace(" ", "") if kind == "number" else span


def missing_literals(prompt: str, rewrite: str) -> list[str]:
    """The literals that `rewrite` holds fewer times than `prompt`, each named once.

    Tokens are compared whole: "1" is not found in "10" or "1.5". A number or a quote that
    the person repeats may be said once; code, variables and addresses keep their count.
    """
    if rewrite == prompt or rewrite.startswith(f"{prompt}\n"):
        return []
    blocks, rest = _outside(prompt)
    wanted = Counter([("fence", block) for block in blocks] + _tokens(rest))
    here = Counter(_core(kind, span) for kind, span in _tokens(_outside(rewrite)[1]))
    # A number may be typed with a unit, inside a range or a quote: 5 in 5-10, 7 in "7 days".
    parts = Counter(part for number in numbers(rewrite) for part in _parts(number))
    missing: list[str] = []
    budget = _SEARCH_BUDGET
    for (kind, span), count in wanted.items():
        core = _core(kind, span)
        needed = 1 if kind in ("number", "quote") else count
        found = here[core]
        if found < needed and kind == "number":
            found = parts[core]
        elif found < needed and budget > 0:
            # searching costs one pass over the rewrite: stop searching when that would not be linear
            budget -= len(rewrite)
            found = rewrite.count(core) if not core[:1].isalnum() else _count_whole(core, rewrite)
        if found < needed:
            missing.append(span)
    return missing


def _parts(number: str) -> set[str]:
    """A number as typed and the ends of a range: "5-10" also holds "5" and "10"."""
    whole = number.replace(" ", "")
    return {whole, *re.split(r"[–-]", whole)}


def _count_whole(core: str, text: str) -> int:
    """How often `core` stands in `text` without a letter or digit directly beside it."""
    found, at = 0, text.find(core)
    while at >= 0:
        end = at + len(core)
        before, after = text[at - 1 : at] if at else "", text[end : end + 1]
        beside = (before and (before.isalnum() or before == "_")) or (
            after and (after.isalnum() or after == "_") and core[-1:].isalnum()
        )
        found += not beside
        at = text.find(core, end)
    return found
