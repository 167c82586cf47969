"""What may be wrong with one pair: every side is held against the prompt.

    row          the line is no pair (see `promptlift.data.rows`)
    half         one side changes the prompt, the other leaves it alone
    literal      a number, quote, code, address or variable of the prompt is missing
    tags         the `<passage-n/>` tags of a side are not the prompt's
    append       the content or guide side does not begin with the prompt, or the light one in a set where it should
    length       too many words added, or few left
    answer       a side answers, refuses or states instead of asking
    meta         it talks about prompts and rewriting
    obeyed       it says what the prompt orders the rewriter to say
    language     it is not in the prompt's language
    degenerate   it loops, is cut off, or is not sound text
    invented, restated, conflict, drift   as the guard has them

The last nine are the guard's, weighed for a text that somebody wrote (`promptlift.data.authored`).
"""

from __future__ import annotations

from collections.abc import Iterator

from promptlift import guard
from promptlift.data.authored import weigh
from promptlift.data.rows import Finding, Level, Side
from promptlift.data.traits import passage_tags, word_count
from promptlift.guard.view import View, snippet
from promptlift.records import Pair, Strength
from promptlift.spans import missing_literals

FORM = frozenset({"half", "tags", "append", "length"})
"""Checks that only look at the form: what they find is never a matter of taste."""

JUDGED = frozenset({"answer", "meta", "obeyed", "language", "degenerate", "invented", "restated", "conflict", "drift"})
"""Checks by heuristics, which may err."""

_NAMES = {"answered": "answer"}


def faults(line: int, pair: Pair, appends: bool, most_added: int) -> list[Finding]:
    """What is wrong with a pair.

    Args:
        line: where it stands.
        pair: the pair.
        appends: the light side is meant to begin with the prompt.
        most_added: words that a side may add.
    """
    if pair.is_identity:
        return []
    found: list[Finding] = []
    if pair.optimized_light is not None and (pair.optimized == pair.prompt) != (pair.light == pair.prompt):
        same: Side = "optimized" if pair.optimized == pair.prompt else "optimized_light"
        other = "optimized_light" if same == "optimized" else "optimized"
        found.append(Finding(line, pair.id, "half", f"{same} is the prompt itself, {other} is not", same))
    meant: dict[Side, Strength] = {
        "optimized": "full", "optimized_light": "light" if appends else "full", "optimized_content": "content",
        "optimized_guide": "guide",
    }  # fmt: skip
    for side, strength in meant.items():
        text: str | None = getattr(pair, side)
        if text is None or text == pair.prompt:
            continue
        for check, detail, level in _of_side(pair.prompt, text, strength, most_added):
            found.append(Finding(line, pair.id, check, detail, side, level))
    return found


def _of_side(prompt: str, text: str, meant: Strength, most_added: int) -> Iterator[tuple[str, str, Level]]:
    """(check, detail, level) of what is wrong with one side."""
    begins = text.startswith(prompt.rstrip())
    if meant != "full" and not begins:
        yield "append", "does not begin with the prompt's own words", "error"
    wanted, here = passage_tags(prompt), passage_tags(text)
    if wanted != here:
        yield "tags", f"holds {' '.join(here) or 'no tags'}, the prompt {' '.join(wanted) or 'none'}", "error"
    missing = [span for span in missing_literals(prompt.rstrip(), text) if span not in wanted]
    if missing:
        yield "literal", f"lacks {', '.join(snippet(span) for span in missing[:5])}", "error"
    added = word_count(text) - word_count(prompt)
    if added > most_added:
        yield "length", f"adds {added} words, at most {most_added} are allowed", "error"
    strength: Strength = meant if begins else "full"
    for name, detail in guard.explain(prompt, text, strength=strength):
        if name == "literal" or (name == "length" and added > most_added):
            continue  # said above, and in full
        level = weigh(View(prompt, text, strength), name, detail)
        if level is not None:
            yield _NAMES.get(name, name), detail, level
