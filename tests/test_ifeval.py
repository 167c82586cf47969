"""Each of IFEval's rules with an answer that keeps it and one that breaks it, and the reading of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptlift.errors import InputError, RecordError
from promptlift.evaluation.tasks import ifeval
from promptlift.evaluation.tasks.ifeval_rules import RULES, check_arguments, follows
from promptlift.evaluation.tasks.ifeval_text import count_capital_words, count_sentences, count_words, in_language
from promptlift.evaluation.tasks.paired import Reply

DEV = Path(__file__).parents[2] / "shared/data/eval/ifeval_dev.jsonl"
AT_LEAST, LESS = "at least", "less than"

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["Moon", "c++"]}, "The moon likes C++.", "The moon likes C."),
    ("keywords:frequency", {"keyword": "war", "relation": AT_LEAST, "frequency": 2}, "War is warm.", "War is cold."),
    ("keywords:frequency", {"keyword": "war", "relation": LESS, "frequency": 2}, "One war.", "War, war."),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "A rocket flies.", "They Rock!"),
    ("keywords:letter_frequency", {"letter": "z", "let_relation": AT_LEAST, "let_frequency": 2}, "ZzA", "za"),
    ("keywords:letter_frequency", {"letter": "!", "let_relation": LESS, "let_frequency": 2}, "Oh!", "Oh! No!"),
    ("language:response_language", {"language": "de"}, "Das Wetter ist heute schön und warm.", "The weather is nice today."),
    ("language:response_language", {"language": "mr"}, "मी माझ्या मित्रांसोबत बाजारात जात आहे.", "यह एक अच्छा दिन है और मैं जा रहा हूँ।"),
    ("length_constraints:number_sentences", {"relation": LESS, "num_sentences": 3}, "Dr. Who came. He left.", "One. Two. Three."),
    ("length_constraints:number_sentences", {"relation": AT_LEAST, "num_sentences": 3}, "Why? No! Yes", "Why? No."),
    ("length_constraints:number_words", {"relation": AT_LEAST, "num_words": 3}, "one two, three", "one, two"),
    ("length_constraints:number_words", {"relation": LESS, "num_words": 3}, "one two", "one two three"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\na\n***\nb\n***", "a\n***\n***\nb"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "elm"}, "Oak.\n\n'Elm', he said", "Elm.\n\nOak"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "elm"}, "Elm trees\n\nOak", "Elm trees\n\nOak\n\nAsh"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], of [town]", "Dear [name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np.s. write", "Bye. PS write"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP. P. S more", "Bye. P.S. more"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "List:\n* a\n  - b\n**bold**", "* a\n* b\n* c"),
    ("detectable_format:constrained_response", {}, "Hm. My answer is maybe.", "My answer is perhaps."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*one* and **two**", "*one* and * *"),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, "Section 1\na\nSection 2\nb", "Section 1\na\nSection b"),
    ("detectable_format:json_format", {}, '```json\n{"a": [1]}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<My day>>\ntext", "<< >>\n<My day>"),
    ("combination:two_responses", {}, "First\n******\nSecond", "Same\n******\nSame"),
    ("combination:two_responses", {}, "******\nFirst\n******\nSecond", "a\n******\nb\n******\nc"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem."}, " write a poem. Roses", "Sure: Write a poem."),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, 'So it is. "any questions?"', "Any questions? Ask."),
    ("startend:quotation", {}, ' "all of it" ', '"half" of it'),
    ("change_case:capital_word_frequency", {"capital_relation": AT_LEAST, "capital_frequency": 2}, "I SAW it", "I saw it"),
    ("change_case:capital_word_frequency", {"capital_relation": LESS, "capital_frequency": 2}, "An NGO", "AN NGO"),
    ("change_case:english_capital", {}, "THIS IS A VERY NICE DAY.", "THIS IS a VERY NICE DAY."),
    ("change_case:english_lowercase", {}, "this is a very nice day.", "das wetter ist heute schön und warm."),
    ("punctuation:no_comma", {}, "No; none.", "Well, one."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "keeps", "breaks"), CASES)
def test_rule(name: str, arguments: dict[str, Any], keeps: str, breaks: str) -> None:
    checked = check_arguments(name, arguments)
    assert follows(name, keeps, checked)
    assert not follows(name, breaks, checked)
    assert not follows(name, " \n", checked)


def test_every_kind_has_a_case() -> None:
    assert {name for name, *_ in CASES} == set(RULES)
    assert len(RULES) == 25


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Hello. World", 2), ("", 0), ("a line\nanother line", 1), ("1. Apples\n2. Pears", 3), ("Wait... what?", 1),
        ("Dr. Smith lives in the U.S. since Jan. 2020. He likes it!", 2), ('"Really?" she asked. "Yes."', 3),
        ("One.\n\n**Two.** (Three.) example.com is 3.5 km off", 4), ("J. R. Tolkien wrote. It is e.g. good.", 2),
    ],
)  # fmt: skip
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_words_and_capital_words() -> None:
    assert count_words("It's well-known: 2 snake_case words") == 7
    assert count_capital_words("NOTE: DON'T go to the U.S., **NOW** (AI-BASED) 2020. I'M") == 8
    assert count_capital_words("Nothing here, 42.") == 0


def test_capitals_agree_with_nltk() -> None:
    tokenize = pytest.importorskip("nltk.tokenize").NLTKWordTokenizer().tokenize
    for text in ('IT\'S A "TEST" -- OK? A/B, AND/OR; COVID-19 [X] WE CANNOT GO...', "Plain Text, NASA's P.S. note"):
        assert count_capital_words(text) == sum(word.isupper() for word in tokenize(text))


def test_text_without_letters_is_in_any_language() -> None:
    assert in_language("42 + 1 = 43!", "kn")
    assert in_language("The weather is nice today \ud800 and warm.", "en-gb")


def _file(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _row(**more: Any) -> dict[str, Any]:
    ids = ["punctuation:no_comma", "detectable_format:title"]
    return {"key": 7, "prompt": "no commas, <<title>>", "instruction_id_list": ids, "kwargs": [{}, {"x": None}]} | more


def test_strict_and_loose_scores(tmp_path: Path) -> None:
    (item,) = ifeval.task(_file(tmp_path, _row())).items
    assert (item.id, item.prompt) == ("7", "no commas, <<title>>")
    assert ifeval.score(item, Reply("<<A>>\nnone")) == dict.fromkeys(
        ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose"), 1.0
    )
    scores = ifeval.score(item, Reply("Sure, here:\n<<A>>\nnone"))
    assert (scores["prompt_strict"], scores["instruction_strict"], scores["prompt_loose"]) == (0.0, 0.5, 1.0)
    assert set(ifeval.score(item, Reply("")).values()) == {0.0}


def test_the_eight_loose_variants() -> None:
    assert ifeval.variants("a\n*b*\nc") == ["a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction_id_list": ["punctuation:none", "x:y"]}, "unknown instruction 'punctuation:none'"),
        ({"instruction_id_list": []}, "instruction_id_list"),
        ({"kwargs": [{}]}, "list of 2 objects"),
        ({"instruction_id_list": ["keywords:existence", "x:y"]}, "needs 'keywords' as a list, found None"),
        ({"prompt": " "}, "'prompt'"),
    ],
)
def test_a_bad_line_is_one_line_with_file_and_number(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = _file(tmp_path, _row(), _row(key=8) | change)
    with pytest.raises(RecordError) as error:
        ifeval.task(path)
    assert f"{path}, line 2: " in str(error.value) and said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments", [{"relation": "about"}, {"num_words": "9"}, {"num_words": True}, {"num_words": None}]
)
def test_arguments_are_checked(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="length_constraints:number_words"):
        check_arguments("length_constraints:number_words", {"relation": LESS, "num_words": 9} | arguments)


@pytest.mark.skipif(not DEV.exists(), reason="IFEval's prompts are not here")
def test_the_whole_set_can_be_read_and_scored() -> None:
    items = ifeval.task(DEV).items
    assert {name for item in items for name, _ in item.instructions} == set(RULES)
    for item in items:
        assert ifeval.score(item, Reply(item.prompt))["prompt_loose"] in (0.0, 1.0)
