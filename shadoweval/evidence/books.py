"""Hundreds of histograms under one roof: evidence by metric and slice, and its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.states import pack_column, unpack_column

__all__ = ["Book", "book_of", "columns_of_book", "mean_in"]

Book: TypeAlias = dict[tuple[str, int], HistBet]
"""By metric and number of the slice; differences in [-1, 1]."""


def mean_in(book: Book, metric: str, number: int) -> HistBet:
    """The evidence about one slice, made where there is none yet."""
    if (metric, number) not in book:
        book[metric, number] = HistBet()
    return book[metric, number]


def columns_of_book(book: Book) -> dict[str, Any]:
    """Hundreds of small histograms as columns, which take half of what they take one by one."""
    means = book.values()
    columns = [
        np.array([mean.n for mean in means], dtype=np.float64),
        np.array([mean.total for mean in means]),
        np.array([mean.squares for mean in means]),
        np.array([mean.counts for mean in means]),
    ]
    return {"of": [list(of) for of in book], "columns": [pack_column(column) for column in columns if book]}


def book_of(state: Mapping[str, Any]) -> Book:
    """What `columns_of_book` gave."""
    if not state["of"]:
        return {}
    n, totals, squares, counts = (unpack_column(text, np.float64) for text in state["columns"])
    book: Book = {}
    for of, row, number, total, square in zip(
        state["of"], counts.reshape(n.size, -1), n.tolist(), totals.tolist(), squares.tolist(), strict=True
    ):
        mean = book[of[0], of[1]] = HistBet.from_counts(row, lo=-1.0, hi=1.0, squares=square)
        mean.n, mean.total = int(number), total
    return book
