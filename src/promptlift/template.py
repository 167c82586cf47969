"""How a prompt is shown to the prompter: one place, for training and for serving.

Plain text, so that every causal LM can be a base and llama.cpp and transformers see the
same tokens. The sequence has three parts, cut at line breaks so that a byte-level BPE
tokenizes each part as it would the whole:

    question(prompt)   the prompt, and whether it should be changed
    YES | NO           the decision: one token, whose probability is the score
    opening(strength)  what kind of change follows, then the change itself

The decision is a token of its own because abstaining by sampling an empty change does
not work: a small model then always abstains. Here the score is compared with a
calibrated threshold, and the opening is forced.
"""

from __future__ import annotations

import re

from promptlift.records import Pair, Strength

VERSION = 1
YES, NO = "yes", "no"
SEPARATOR = "\n\n"
"""What stands between the person's words and a light addition."""

_OPENINGS: dict[Strength, str] = {
    "guide": "\n\n### What is asked\n",
    "light": "\n\n### Advice\n",
    "content": "\n\n### Points\n",
    "full": "\n\n### Better prompt\n",
}
QUALITIES = "\n\n### A good answer\n"
"""What stands between the two parts of a guide as they are written: first what is asked, said again, then what a
good answer of that kind has. In the rewrite the qualities come first: what an LLM reads last should be the task."""

# Strings that tokenizers turn into control tokens: the person's text must not hold any.
_CONTROL = re.compile(r"<(?=\|)|(?<=\|)>|<(?=/?s>|(?:start|end)_of_turn>|(?:bos|eos|pad|unk)>)")


def question(prompt: str) -> str:
    """The prompt as the prompter sees it, up to the decision."""
    return f"### Prompt\n{defuse(prompt)}\n\n### Would advice help (yes or no)?\n"


def opening(strength: Strength) -> str:
    """What is forced between the decision to change and the change."""
    return _OPENINGS[strength]


def defuse(prompt: str) -> str:
    """Break strings that a tokenizer would read as control tokens (`<|im_end|>`, `</s>`).

    Only the prompter's view changes; the rewrite is made from the person's own text.
    """
    return _CONTROL.sub(lambda match: f"{match[0]} " if match[0] == "<" else f" {match[0]}", prompt)


def completion(pair: Pair, strength: Strength) -> str:
    """What the prompter should write after `question(pair.prompt)`.

    For all but `full`, only the addition is written, so that side of the pair must
    begin with the prompt.

    Raises:
        ValueError: the side does not keep the prompt's words.
    """
    if pair.is_identity:
        return NO
    if strength == "full":
        return YES + opening("full") + pair.optimized
    side = pair.side(strength)
    if not side.startswith(pair.prompt) or side == pair.prompt:
        raise ValueError(f"pair {pair.id}: optimized_{strength} must begin with the prompt and add to it")
    added = side[len(pair.prompt) :].strip()
    if strength == "guide":
        qualities, _, asked = added.rpartition(SEPARATOR)
        added = asked + (QUALITIES + qualities if qualities else "")
    return YES + opening(strength) + added


def assemble(prompt: str, written: str, strength: Strength) -> str:
    """The rewrite, from the prompt and what the prompter wrote."""
    if strength == "full":
        return written.strip()
    if strength == "guide":
        asked, _, qualities = (part.strip() for part in written.partition(QUALITIES))
        written = qualities + SEPARATOR + asked if qualities else asked
    return prompt.rstrip() + SEPARATOR + written.strip()
