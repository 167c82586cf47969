"""The 25 kinds of instructions of IFEval, each a rule that an answer keeps or breaks.

Source: Zhou et al., Instruction-Following Evaluation for Large Language Models, 2023 (arXiv:2311.07911), whose
meaning of each instruction this follows, lenient and strict where the official check is. It differs in this:

- keywords are taken literally; the official check takes them for regular expressions. As there, `war` is also found
  in `warm` where words must appear, and only as a whole word where they are forbidden.
- a letter that is none, such as `!`, is counted as it stands; the official check then draws a letter by chance.
- an argument that is missing is an error; the official check then draws one by chance.
- sentences, capital words and languages: see `ifeval_text`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from promptlift.errors import InputError
from promptlift.evaluation.tasks.ifeval_text import count_capital_words, count_sentences, count_words, in_language

LESS, AT_LEAST = "less than", "at least"
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

Check = Callable[..., bool]


@dataclass(frozen=True)
class Rule:
    """How an answer is checked: `check(answer, **arguments)`, and the type of each argument that it needs."""

    check: Check
    needs: Mapping[str, type]


RULES: dict[str, Rule] = {}


def _rule(name: str, **needs: type) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        RULES[name] = Rule(check, needs)
        return check

    return add


def check_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a kind of instruction needs, those that it does not left out.

    Raises:
        InputError: the kind is not known, or an argument is missing or of the wrong type.
    """
    rule = RULES.get(name)
    if rule is None:
        raise InputError(f"unknown instruction {name!r}; known are: {', '.join(sorted(RULES))}")
    for key, kind in rule.needs.items():
        value = arguments.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) or value in ("", []):
            raise InputError(f"{name} needs {key!r} as a {kind.__name__}, found {value!r:.60}")
        if isinstance(value, list) and not all(isinstance(part, str) and part for part in value):
            raise InputError(f"{name} needs {key!r} as a list of strings, found {value!r:.60}")
        if key.endswith("relation") and value not in (LESS, AT_LEAST):
            raise InputError(f"{name}: {key!r} must be {LESS!r} or {AT_LEAST!r}, found {value!r:.60}")
    return {key: arguments[key] for key in rule.needs}


def follows(name: str, answer: str, arguments: Mapping[str, Any]) -> bool:
    """True if an answer keeps an instruction; an empty answer keeps none.

    Args:
        name: the instruction's kind, such as `punctuation:no_comma`.
        answer: the whole of it.
        arguments: what `check_arguments` returned.
    """
    return bool(answer.strip()) and RULES[name].check(answer, **arguments)


def _compare(found: int, relation: str, wanted: int) -> bool:
    return found < wanted if relation == LESS else found >= wanted


@_rule("keywords:existence", keywords=list)
def _existence(answer: str, keywords: list[str]) -> bool:
    said = answer.lower()
    return all(keyword.lower() in said for keyword in keywords)


@_rule("keywords:frequency", keyword=str, relation=str, frequency=int)
def _frequency(answer: str, keyword: str, relation: str, frequency: int) -> bool:
    return _compare(answer.lower().count(keyword.strip().lower()), relation, frequency)


@_rule("keywords:forbidden_words", forbidden_words=list)
def _forbidden(answer: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words)


@_rule("keywords:letter_frequency", letter=str, let_relation=str, let_frequency=int)
def _letters(answer: str, letter: str, let_relation: str, let_frequency: int) -> bool:
    return _compare(answer.lower().count(letter.strip().lower()), let_relation, let_frequency)


@_rule("language:response_language", language=str)
def _language(answer: str, language: str) -> bool:
    return in_language(answer, language)


@_rule("length_constraints:number_sentences", relation=str, num_sentences=int)
def _sentences(answer: str, relation: str, num_sentences: int) -> bool:
    return _compare(count_sentences(answer), relation, num_sentences)


@_rule("length_constraints:number_words", relation=str, num_words=int)
def _words(answer: str, relation: str, num_words: int) -> bool:
    return _compare(count_words(answer), relation, num_words)


@_rule("length_constraints:number_paragraphs", num_paragraphs=int)
def _paragraphs(answer: str, num_paragraphs: int) -> bool:
    """Paragraphs with `***` between them; only before the first and after the last may there be nothing."""
    parts = _without_empty_ends([part.strip() for part in answer.split("***")])
    return all(parts) and len(parts) == num_paragraphs


@_rule("length_constraints:nth_paragraph_first_word", num_paragraphs=int, nth_paragraph=int, first_word=str)
def _first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Paragraphs with a blank line between them, exactly so many, and the n-th begins with a word."""
    parts = [part.strip() for part in answer.split("\n\n")]
    if sum(map(bool, parts)) != num_paragraphs or not 1 <= nth_paragraph <= len(parts) or not parts[nth_paragraph - 1]:
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'\"")
    return re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


@_rule("detectable_content:number_placeholders", num_placeholders=int)
def _placeholders(answer: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[[^\]\n]*\]", answer)) >= num_placeholders


@_rule("detectable_content:postscript", postscript_marker=str)
def _postscript(answer: str, postscript_marker: str) -> bool:
    """The marker, in either case; for the usual two a blank may stand between the letters, and P.P.S may lack the
    last point."""
    usual = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
    marker = postscript_marker.strip()
    return re.search(usual.get(marker, re.escape(marker.lower())), answer.lower()) is not None


@_rule("detectable_format:number_bullet_lists", num_bullets=int)
def _bullets(answer: str, num_bullets: int) -> bool:
    """Exactly so many lines begin with `*` (not `**`) or `-`."""
    lines = [line.lstrip() for line in answer.splitlines()]
    return sum(bool(re.match(r"\*[^*]|-", line)) for line in lines) == num_bullets


@_rule("detectable_format:constrained_response")
def _constrained(answer: str) -> bool:
    return any(option in answer for option in OPTIONS)


@_rule("detectable_format:number_highlighted_sections", num_highlights=int)
def _highlights(answer: str, num_highlights: int) -> bool:
    """`*like this*` or `**like this**`, on one line."""
    single = re.findall(r"\*([^*\n]*)\*", answer)
    double = re.findall(r"\*\*([^*\n]*)\*\*", answer)
    return sum(bool(text.strip()) for text in single + double) >= num_highlights


@_rule("detectable_format:multiple_sections", section_spliter=str, num_sections=int)
def _sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", answer)) >= num_sections


@_rule("detectable_format:json_format")
def _json(answer: str) -> bool:
    """The whole answer is JSON, in a code fence or not."""
    text = re.sub(r"\A```(?:json)?|```\Z", "", answer.strip(), flags=re.IGNORECASE)
    try:
        json.loads(text.strip())
    except (ValueError, RecursionError):
        return False
    return True


@_rule("detectable_format:title")
def _title(answer: str) -> bool:
    return any(found.strip(" <>\t") for found in re.findall(r"<<([^\n]+)>>", answer))


@_rule("combination:two_responses")
def _two(answer: str) -> bool:
    """Two different texts with `******` between them."""
    parts = _without_empty_ends([part.strip() for part in answer.split("******")])
    return all(parts) and len(parts) == 2 and parts[0] != parts[1]


@_rule("combination:repeat_prompt", prompt_to_repeat=str)
def _repeat(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


@_rule("startend:end_checker", end_phrase=str)
def _end(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@_rule("startend:quotation")
def _quotation(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@_rule("change_case:capital_word_frequency", capital_relation=str, capital_frequency=int)
def _capital_words(answer: str, capital_relation: str, capital_frequency: int) -> bool:
    return _compare(count_capital_words(answer), capital_relation, capital_frequency)


@_rule("change_case:english_capital")
def _capital(answer: str) -> bool:
    return answer.isupper() and in_language(answer, "en")


@_rule("change_case:english_lowercase")
def _lowercase(answer: str) -> bool:
    return answer.islower() and in_language(answer, "en")


@_rule("punctuation:no_comma")
def _no_comma(answer: str) -> bool:
    return "," not in answer


def _without_empty_ends(parts: list[str]) -> list[str]:
    """At most one empty part is taken off at either end."""
    start, end = int(bool(parts) and not parts[0]), len(parts)
    return parts[start : end - (end - start > 0 and not parts[-1])]
