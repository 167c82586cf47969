"""Literals are found and counted; passages are set aside and come back byte for byte."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.spans import join, literals, missing_literals, split

LONG = (
    "The old mill stood at the bend of the river for three hundred years before anybody thought of taking it down. " * 3
)
STORY = (
    "My name is Ann and I work at a bakery where the hours were cut last month and nobody told us why, so the mood is "
    * 2
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("costs $5.99 or 20 €, 50% off", ["$5.99", "20 €", "50%"]),
        ("at 10:30 on 2024-01-05, v1.2.3, 1,000 pages 1-2", ["10:30", "2024-01-05", "v1.2.3", "1,000", "1-2"]),
        ("say \"hello world\" or 'it's me'", ['"hello world"', "'it's me'"]),
        ("“a b” „c d“ «e f» ‘don’t go’", ["“a b”", "„c d“", "«e f»", "‘don’t go’"]),
        ("don't use the dog's bowl, it's my friends' one", []),
        ("`x + 1` and ``a ` b``"[:7], ["`x + 1`"]),
        ("see https://a.org/b?c=1#d, mail me@x.org.", ["https://a.org/b?c=1#d", "me@x.org"]),
        (
            r"/etc/hosts C:\x\y.txt src/a.py foo.csv ~/notes",
            ["/etc/hosts", r"C:\x\y.txt", "src/a.py", "foo.csv", "~/notes"],
        ),
        (
            "{x} {{ y }} {% if %} $X ${x} <x> [NAME] %s",
            ["{x}", "{{ y }}", "{% if %}", "$X", "${x}", "<x>", "[NAME]", "%s"],
        ),
        ("@bob likes #tea", ["@bob", "#tea"]),
        ("and/or e.g. well-known node.js [brackets]", []),
        ("1. first\n2. second", []),
        ('7" x 5" frame', ["7", "5"]),
        ("```py\nx = 1\n```\nfix 3", ["```py\nx = 1\n```", "3"]),
        ("<passage-1/>", ["<passage-1/>"]),
    ],
)
def test_literals(text: str, expected: list[str]) -> None:
    assert literals(text) == expected


@pytest.mark.parametrize(
    ("prompt", "rewrite", "expected"),
    [
        ("1 and 10", "10", ["1"]),
        ("pi is 3.14", "pi is 3.141", ["3.14"]),
        ("2 of 2", "2", []),
        ("{x} and {x}", "{x}", ["{x}"]),
        ("5-10 words", "5-10 words", []),
        ("5 to 10", "5-10", []),
        ("5-10", "5 to 10", ["5-10"]),
        ('say "hi you"', "say “hi you”", []),
        ('say "hi you"', "say hi", ['"hi you"']),
        ("in foo.csv", "in foo.csvx", ["foo.csv"]),
        ("30min", "30 minutes", []),
        ("costs 20 €", "costs 20€", []),
        ("mail me@x.org", "Mail me@x.org.", []),
    ],
)
def test_missing_literals(prompt: str, rewrite: str, expected: list[str]) -> None:
    assert missing_literals(prompt, rewrite) == expected


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (f"summarize this:\n\n{LONG}", "summarize this:\n\n<passage-1/>"),
        (f"summarize this:\n{LONG}", "summarize this:\n<passage-1/>"),
        (f"{LONG}\n\ntl;dr", "<passage-1/>\n\ntl;dr"),
        (
            f"reply to this email politely:\n\n{STORY}\n\nBest,\nAnn\n\nkeep it short",
            "reply to this email politely:\n\n<passage-1/>\n\nkeep it short",
        ),
        (f"fix my story\r\n\r\n{LONG}\r\n", "fix my story\r\n\r\n<passage-1/>\r\n"),
        ("why?\n\n```py\nx\n```\nthanks", "why?\n\n<passage-1/>\nthanks"),
        ("compare\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nthanks", "compare\n\n<passage-1/>\n\nthanks"),
        (f'Sum up: """\n{LONG}\n"""\nin 2 words', 'Sum up: """\n<passage-1/>\n"""\nin 2 words'),
        ("fix\ndef f(x):\n    y = x\n    return y\n\nprint(f(2))\n", "fix\n<passage-1/>\n"),
    ],
)
def test_sets_passages_aside(prompt: str, shown: str) -> None:
    result = split(prompt)
    assert result.shown == shown
    assert len(result.passages) == 1 and not result.has_tag
    assert join(result, result.shown) == prompt
    assert join(result, f"Better.\n{shown}") == f"Better.\n{prompt}"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        LONG,
        f"i need help with my landlord\n\n{STORY}\n\nwhat should i do",
        f"Write a story with the following rules:\n\n{STORY}",
        f"build me an app\n\nI want it to be dark. {STORY} Please make it fast.\n\nUse plain javascript",
        "Write a poem\n\nabout autumn\n\nwith rhymes",
        "```\nonly code\n```",
        "an open fence\n```py\nx = 1",
        "inline ```code``` here",
    ],
)
def test_leaves_what_is_all_instruction(prompt: str) -> None:
    assert split(prompt).shown == prompt and split(prompt).passages == ()


def test_a_prompt_with_a_tag_is_left_alone() -> None:
    prompt = "what is <passage-3/>?\n\n```\nx\n```"
    result = split(prompt)
    assert result.has_tag and result.shown == prompt and result.passages == ()
    assert join(result, result.shown) == prompt


def test_several_passages_keep_their_order() -> None:
    result = split("compare\n```\na\n```\nwith\n~~~\n<b>\n~~~\nplease")
    assert result.shown == "compare\n<passage-1/>\nwith\n<passage-2/>\nplease"
    assert join(result, "<passage-2/> vs <passage-1/>") == "~~~\n<b>\n~~~ vs ```\na\n```"
    assert join(result, "<passage-9/>") == "<passage-9/>"


PIECES = st.sampled_from(
    ["summarize this:", "\n", "\n\n", "\r\n", "```", "~~~", '"""', "'''", "| a | b |", "|---|---|", LONG, "x = 1;", "    ", "\0", "\ud800",
     "\u202eאב", "<passage-1/>", "tl;dr", "def f():", "\x85", "\u2028", "please", " "]
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(st.characters(), max_size=300), st.lists(PIECES, max_size=30).map("".join)))
def test_join_undoes_split(prompt: str) -> None:
    result = split(prompt)
    assert join(result, result.shown) == prompt
    for number in range(1, len(result.passages) + 1):
        assert f"<passage-{number}/>" in [line.rstrip("\r") for line in result.shown.split("\n")]
    assert missing_literals(prompt, prompt) == []


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=200))
def test_what_is_missing_is_a_literal(prompt: str, rewrite: str) -> None:
    assert set(missing_literals(prompt, rewrite)) <= set(literals(prompt))
    assert missing_literals(prompt, f"x{prompt}") is not None


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "unit",
    ["`", "<", '"', "'a ", "“", "{", "{{a", "a.", "1.", "1,", "a@", "/a", "\\", "<a", "[A", "|-|\n", "- ", '"""\n', "```\n", "a\n\n",
     "x = 1\n", "summarize this:\n\n", "word "],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    started = time.perf_counter()
    split(text)
    missing_literals(text, text[1:])
    assert time.perf_counter() - started < 5  # about 0.3 s; quadratic would be minutes


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "text", [f"summarize this:\n\n{LONG * 15_000}", f"summarize this:\n\n{(LONG + chr(10)) * 15_000}"]
)
def test_five_megabytes(text: str) -> None:
    started = time.perf_counter()
    result = split(text)
    assert time.perf_counter() - started < 5
    assert len(result.passages) == 1 and join(result, result.shown) == text
