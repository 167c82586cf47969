"""ROUGE of summaries that a target writes of news articles, asked raw and rewritten (the paper's figure 3).

ROUGE-1, -2 and -L, F1, with stemming, by the package rouge-score, against the article's first reference: for
CNN/DailyMail the highlights. The paper finds the two about equal.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptlift.evaluation.tasks.paired import Item, Reply, Scores, Task, need
from promptlift.evaluation.tasks.reading import identity, read_items, sample, text_field

METRICS = {"rouge1": "rouge1", "rouge2": "rouge2", "rougeL": "rougeL"}
ASKS = (
    "Summarize this article.",
    "tldr?",
    "can you give me the main points of this news story",
    "sum this up for me in a few sentences pls",
    "What happened here? Short version please.",
    "I don't have time to read all of this, what does it say",
    "Write a short summary of the following text:",
    "give me the gist of this",
    "Summarise the news below in three sentences.",
    "Please provide a brief summary of the news article below.",
    "whats this article about",
    "shorten this to the key facts",
    "I need a summary of this piece for a newsletter, keep it brief.",
    "make this shorter but keep the important stuff",
)
"""How people ask for a summary; the k-th article of a file gets the k-th, from the first again after the last."""


@dataclass(frozen=True)
class Article(Item):
    """A prompt that asks for a summary, and the summary that an answer is held against."""

    reference: str = ""


def task(path: str | Path, n: int | None = None, seed: int = 0) -> Task[Article]:
    """The summaries of a file of articles: JSONL of {"id"?, "article", "reference" or "highlights"}.

    Args:
        path: the file; a list of references is read as well, and the first one counts.
        n: how many articles, drawn by the seed; None: all.
        seed: of the draw; a greater n adds articles to those of a smaller.

    Raises:
        InputError: the file can't be read, or is empty; RecordError: a bad line.
        MissingExtraError: rouge-score or scipy is not installed.
    """
    need("scipy")
    need("rouge_score")
    return Task("rouge", sample(read_items(path, _article), n, seed), score)


def score(item: Article, reply: Reply) -> Scores:
    """ROUGE-1, -2 and -L of a summary, F1, from 0 to 1."""
    found = _scorer().score(item.reference, reply.text)
    return {name: float(found[of].fmeasure) for name, of in METRICS.items()}


def _article(row: dict[str, Any], number: int) -> Article:
    article = text_field(row, "article")
    references: Any = next((row[key] for key in ("reference", "highlights", "references") if row.get(key)), None)
    if isinstance(references, Sequence) and not isinstance(references, str):
        references = references[0]
    reference = text_field({"reference": references}, "reference")
    return Article(identity(row, number), f"{ASKS[number % len(ASKS)]}\n\n{article}", reference)


@functools.cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer  # type: ignore[import-untyped,import-not-found,unused-ignore]

    return rouge_scorer.RougeScorer(list(METRICS.values()), use_stemmer=True)
