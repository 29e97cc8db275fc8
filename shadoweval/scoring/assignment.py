"""Which of one list goes with which of another, so that all together fit best."""

from __future__ import annotations

from collections.abc import Sequence

from shadoweval._optional import require

__all__ = ["best_assignment"]


def best_assignment(worth: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Row and column of each pair of the assignment whose worths sum to most; pairs without worth are left out.

    By `scipy.optimize.linear_sum_assignment` (Crouse 2016, a Jonker-Volgenant algorithm); the store extra brings it.
    """
    if not worth or not worth[0]:
        return []
    if len(worth) == len(worth[0]) == 1:
        return [(0, 0)] if worth[0][0] > 0 else []
    optimize = require("scipy.optimize", extra="store", needed_for="assigning tool calls")
    rows, columns = optimize.linear_sum_assignment(worth, maximize=True)
    pairs = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
    return [(row, column) for row, column in pairs if worth[row][column] > 0]
