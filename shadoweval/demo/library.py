"""A tiny library: find the book that somebody asks for. No model; the candidate differs in one honest way.

The incumbent counts the words that question and book share. The candidate cuts words to their roots ("baking", "bakes"
and "bake" are one) and lets rare words weigh more.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from shadoweval import Experiment, at_most, better, no_worse, retriever
from shadoweval.scoring import errors, latency, recall

__all__ = ["answer", "by_roots", "library", "serve"]

HERE = Path(__file__).parent
SHOWN = 3

library = Experiment(
    name="library",
    candidates={"roots": "library:by_roots"},
    incumbent="library:answer",
    labels=HERE / "library.jsonl",
    scorers=[recall(k=SHOWN), errors(), latency()],
    gates=[
        better("recall@3", by=0.05),
        no_worse("errors", by=0.05),
        at_most("latency.p95", 0.5, critical=True),
    ],
)


@library.mirror(control=0.0)
def answer(question: str) -> str:
    """What production serves."""
    return said(find_by_words(question))


def by_roots(question: str) -> str:
    """The candidate."""
    return said(find_by_roots(question))


def said(found: Sequence[dict[str, str]]) -> str:
    """The answer: where to look first."""
    if not found:
        return "We have nothing about that."
    return f"Look at {found[0]['title']!r}: {found[0]['text']}"


@cache
def books() -> tuple[dict[str, str], ...]:
    """The shelf."""
    return tuple(json.loads(line) for line in (HERE / "books.jsonl").read_text(encoding="utf-8").splitlines())


@retriever
def find_by_words(question: str) -> list[dict[str, str]]:
    """The books that share most words with the question."""
    asked = set(words(question))
    fits = {book["id"]: len(asked & set(words(f"{book['title']} {book['text']}"))) for book in books()}
    return best(fits)


@retriever
def find_by_roots(question: str) -> list[dict[str, str]]:
    """The books that share most roots with the question, rare ones weighing most."""
    asked, rarity = set(roots(question)), rarities()
    fits = {
        book["id"]: sum(rarity[root] for root in asked & set(roots(f"{book['title']} {book['text']}")))
        for book in books()
    }
    return best(fits)


@cache
def rarities() -> dict[str, float]:
    """Root -> how much it says: the fewer books have it, the more."""
    found = Counter(root for book in books() for root in set(roots(f"{book['title']} {book['text']}")))
    return {root: math.log(1 + len(books()) / n) for root, n in found.items()}


def best(fits: Mapping[str, float]) -> list[dict[str, str]]:
    """The books that fit best, the first of the shelf first among equals."""
    ranked = sorted(books(), key=lambda book: -fits[book["id"]])
    return [book for book in ranked if fits[book["id"]] > 0][:SHOWN]


def words(text: str) -> list[str]:
    """Lower-case words of four letters and more; the shorter ones say little."""
    return re.findall(r"[a-z]{4,}", text.lower())


def roots(text: str) -> list[str]:
    """Words without the commonest English endings."""
    cut = (re.sub(r"(ing|ers|er|ies|es|ed|s|e|y)$", "", word) for word in words(text))
    return [re.sub(r"(.)\1$", r"\1", root) for root in cut]  # "running" -> "runn" -> "run"


def serve() -> str:
    """Ask all questions of the case file, as users would; says what was done."""
    lines = (HERE / "library.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        answer(json.loads(line)["query"])
    return f"{len(lines)} questions answered by the incumbent"
