"""The guard: a rewrite is used only if every check here passes (DESIGN.md, section 6).

    literal     a number, quote, code, address or variable of the prompt is missing
    language    it is not in the prompt's language
    obeyed      the prompt told the rewriter to say something, and it did just that
    answered    it answers or refuses instead of asking
    meta        it talks about the rewriting, or leaks the prompter's template
    length      it grows or shrinks beyond its bounds
    degenerate  it loops, is cut off, or is not sound text
    invented    it brings a number, address, quote or name that the person did not give
    restated    (guide) what is asked is not said again: something is new, or too much is missing
    conflict    it asks for what the prompt rules out
    drift       it has little to do with the prompt

They run in this order and the first failure is the reason. A check takes a `View` and says
in one line what is wrong, or None. None of them raises on any text.
"""

from __future__ import annotations

from promptlift.guard.content import drift, language, literal
from promptlift.guard.invention import invented
from promptlift.guard.limits import conflict
from promptlift.guard.restating import restated
from promptlift.guard.rewriter import meta, obeyed
from promptlift.guard.shape import degenerate, length
from promptlift.guard.view import Check, View
from promptlift.guard.voice import answered
from promptlift.records import Strength

__all__ = ["CHECKS", "Check", "View", "check", "explain"]

CHECKS: dict[str, Check] = {
    "literal": literal,
    "language": language,
    "obeyed": obeyed,
    "answered": answered,
    "meta": meta,
    "length": length,
    "degenerate": degenerate,
    "invented": invented,
    "restated": restated,
    "conflict": conflict,
    "drift": drift,
}
"""Name to function, in the order in which they run."""


def check(prompt: str, rewrite: str, *, strength: Strength, finished: bool = True) -> str | None:
    """None if the rewrite may be used, else "guard:<name>" of the first check that fails."""
    view = View(prompt, rewrite, strength, finished)
    return next((f"guard:{name}" for name, test in CHECKS.items() if test(view) is not None), None)


def explain(prompt: str, rewrite: str, *, strength: Strength, finished: bool = True) -> list[tuple[str, str]]:
    """Every check that fails, as (name, what is wrong in one line); empty if none does."""
    view = View(prompt, rewrite, strength, finished)
    found = ((name, test(view)) for name, test in CHECKS.items())
    return [(name, detail) for name, detail in found if detail is not None]
