"""One prompt through the prompter: what it is shown, whether to change it, and what is kept of what it writes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from promptlift import guard, language, spans, template
from promptlift.artifacts import GuideLimits, Manifest
from promptlift.engines.base import ContextOverflowError, Engine, Sampling, Written
from promptlift.errors import EngineError
from promptlift.guard.restating import nearness
from promptlift.records import Strength

if TYPE_CHECKING:
    from promptlift.adapters import Adapter

MAX_TOKENS: dict[Strength, int] = {"guide": 160, "light": 80, "content": 100, "full": 400}
MAX_CHARACTERS = 1_000_000
"""Above this a prompt is not even split: that would take longer than the person waits."""
MAX_SHOWN = 6000
"""Characters of a prompt, passages set aside, above which it is left alone."""
RETRIES = 4
RETRY_TEMPERATURE = 0.7

_TAG = re.compile(r"<passage-\d+/>")
_NO_WORDS = re.compile(r"`[^`\n]*`|\{\{?[^{}\n]*\}?\}|\{%[^%\n]*%\}|\$\{?\w+\}?|</?\w[^<>\n]*>|%[sd]")
_WORD = re.compile(r"[^\W\d_]{2,}")


class OutOfTimeError(EngineError):
    """The time was up before a rewrite had passed the guard."""


class Outcome(NamedTuple):
    """The rewrite, or None and the reason why there is none (see `Rewrite.reason`)."""

    text: str | None
    reason: str | None


def rewrite_prompt(
    engine: Engine,
    manifest: Manifest,
    prompt: str,
    strength: Strength,
    sampling: Sampling,
    on_text: Callable[[str], bool] | None = None,
    adapter: Adapter | None = None,
    ends: float | None = None,
) -> Outcome:
    """Rewrite one prompt, or say why it is left alone.

    Args:
        engine: runs the prompter.
        manifest: gives the threshold and the languages.
        prompt: any text.
        strength: one that the prompter was trained for.
        sampling: of the first try; after a try that the guard stops, up to RETRIES more are
            sampled, with seeds that follow from `sampling.seed`.
        on_text: gets the first try's text as it is written; returning True stops it.
        adapter: of the target, loaded in the engine; its own list of proven advice counts.
        ends: of `time.monotonic`, after which no further try is begun.

    Raises:
        OutOfTimeError: there was no time for another try.
    """
    parts, refusal = prepare(prompt, manifest.languages)
    if refusal is not None:
        return Outcome(None, refusal)
    question = template.question(clean(parts.shown))
    prefix = question + template.YES + template.opening(strength)
    proven = adapter.manifest.proven if adapter else manifest.proven
    until = template.QUALITIES if strength == "guide" and not manifest.guide.qualities else None
    first: str | None = None
    try:
        with leased(engine, adapter.version if adapter else None) as slot:
            if engine.score(question, slot) < manifest.threshold:
                return Outcome(None, "identity")
            for attempt in range(1 + RETRIES):
                how = sampling if attempt == 0 else Sampling(RETRY_TEMPERATURE, sampling.seed + attempt)
                written = engine.write(prefix, slot, how, MAX_TOKENS[strength], on_text, until)
                if attempt == 0 and not is_proven(written.text, proven):
                    return Outcome(None, "unproven")
                found = judge(prompt, parts, written, strength)
                if found.text is not None:
                    near = strength != "guide" or is_near(prompt, found.text, manifest.guide)
                    return found if near else Outcome(None, "unproven")
                first = first or found.reason
                if ends is not None and time.monotonic() > ends:
                    raise OutOfTimeError("the time was up before a rewrite had passed the guard")
                on_text = None  # only the first try is shown; the record tells the outcome
    except ContextOverflowError:
        return Outcome(None, "too-long")
    return Outcome(None, first)


def prepare(prompt: str, languages: list[str]) -> tuple[spans.Split, str | None]:
    """The prompt with its passages set aside, and the reason not to rewrite it, if there is one."""
    whole = spans.Split(prompt)
    if not prompt.strip():
        return whole, "empty"
    if len(prompt) > MAX_CHARACTERS:
        return whole, "too-long"
    parts = spans.split(prompt)
    if parts.has_tag:
        return parts, "tag"
    if len(parts.shown) > MAX_SHOWN:
        return parts, "too-long"
    if not has_instruction(parts.shown):
        return parts, "no-instruction"
    if language.language_of(parts.shown) not in {*languages, "und"}:
        return parts, "guard:language"
    return parts, None


def judge(prompt: str, parts: spans.Split, written: Written, strength: Strength) -> Outcome:
    """The guard's word on what was written: the whole rewrite, or the reason against it."""
    if strength == "full":
        if sorted(_TAG.findall(written.text)) != sorted(_TAG.findall(parts.shown)):
            return Outcome(None, "guard:literal")
        rewrite = spans.join(parts, template.assemble(parts.shown, written.text, strength))
    else:
        rewrite = template.assemble(prompt, written.text, strength)
    reason = guard.check(prompt, rewrite, strength=strength, finished=written.finished)
    if reason and strength == "guide" and template.QUALITIES in written.text:
        # what is asked may stand without the qualities of a good answer, which are harder to write
        asked = Written(written.text.partition(template.QUALITIES)[0], True, written.tokens)
        return judge(prompt, parts, asked, strength)
    return Outcome(None, reason) if reason else Outcome(rewrite, None)


def is_proven(written: str, proven: list[str]) -> bool:
    """True if the advice is of a kind that measurements have not shown to harm, or if all kinds are given."""
    return not proven or any(re.search(pattern, written.strip(), re.IGNORECASE) for pattern in proven)


def is_near(prompt: str, rewrite: str, limits: GuideLimits) -> bool:
    """True if what a guide says again is as near to the prompt as this prompter has to stay."""
    again, own = nearness(guard.View(prompt, rewrite, "guide"))
    return again >= limits.said_again and own >= limits.own_words


def has_instruction(shown: str) -> bool:
    """True if words are left when passages, code and template variables are taken away."""
    rest = _TAG.sub(" ", shown)
    for start, end in reversed(spans.fences(rest)):
        rest = rest[:start] + " " + rest[end:]
    return bool(_WORD.search(_NO_WORDS.sub(" ", rest)))


def clean(text: str) -> str:
    """The prompter's view without NULs and lone surrogates, which no tokenizer takes."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


@contextmanager
def leased(engine: Engine, adapter: str | None = None) -> Iterator[int]:
    """A slot of the engine for an adapter's version or none, given back at the end."""
    slot = engine.lease(adapter)
    try:
        yield slot
    finally:
        engine.release(slot)
