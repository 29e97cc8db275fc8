"""A search made again without approximation, in a shadow: which share of the true neighbours the index gave.

Production searches once. A shadow may search twice, off its clock and unrecorded but for the share
(`records.EXACT_SEARCH`), which `scoring.index_recall` reads.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

from shadoweval.capture.interception import error_text, installed, off_the_clock
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.rows import HitRow
from shadoweval.records import EXACT_SEARCH

__all__ = ["ExactSearch", "record_exact", "searched_again", "searching_twice"]

RowsOf = Callable[[Any, Recorder], Sequence[HitRow]]
_EQUAL: Final = 1e-6
"""Scores that differ by less than this, relative to them, are the same: two ways to sum give two."""


def searching_twice() -> Recorder | None:
    """The recorder of a run in which searches may be made twice: a shadow's."""
    return None if installed.interceptor is None else current.get()


def given_share(given: Sequence[HitRow], exact: Sequence[HitRow]) -> float | None:
    """Share of the exact search's documents that were given; None: it has none.

    A document whose score is no worse than that of the last exact one is as good (recall by distance, Aumüller et al.
    2020): which of several near-duplicates stands last is chance.
    """
    wanted = {row[0] for row in exact}
    if not wanted:
        return None
    scores = [row[2] for row in exact]
    edge, first = scores[-1], scores[0]

    def as_good(score: float | None) -> bool:
        if score is None or edge is None or first is None:
            return False
        equal = math.isclose(score, edge, rel_tol=_EQUAL, abs_tol=_EQUAL)
        return equal or (first != edge and (score > edge) == (first > edge))

    good = {row[0] for row in given[: len(exact)] if row[0] in wanted or as_good(row[2])}
    return min(1.0, len(good) / len(wanted))


def record_exact(recorder: Recorder, value: float | None, *, since: float, why: str = "") -> None:
    """Write a search down that was made again, or why it was not."""
    name = f"{EXACT_SEARCH}: {why}" if why else EXACT_SEARCH
    times = (since - recorder.began, perf_counter() - since)
    recorder.add_step_row(("other", name, *times, None, None, None, None, None, None, None, value))


class ExactSearch:
    """Around a search that is made again: off the clock, not recorded; what it raises is written down and ends there.

    Args:
        recorder: Of the run.
        given: Rows of what the search itself gave.
    """

    def __init__(self, recorder: Recorder, given: Sequence[HitRow]) -> None:
        self.recorder, self._given = recorder, given
        self._exact: Sequence[HitRow] = ()
        self._clock: AbstractContextManager[object] = off_the_clock()

    def found(self, exact: Sequence[HitRow]) -> None:
        """Rows of what the exact search gave."""
        self._exact = exact

    def __enter__(self) -> Self:
        self._since = perf_counter()
        self._clock.__enter__()
        self._token = current.set(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        current.reset(self._token)
        self._clock.__exit__(kind, error, trace)
        value = given_share(self._given, self._exact)
        why = error_text(error) if error is not None else "" if value is not None else "it found nothing"
        record_exact(self.recorder, None if error is not None else value, since=self._since, why=why)
        return isinstance(error, Exception)


def searched_again(search: Callable[..., Any], exact: Callable[..., Any], rows_of: RowsOf) -> Callable[..., Any]:
    """A function that searches, and in a shadow also searches exactly, with the same arguments.

    Args:
        search: Sync or async; not one that yields.
        exact: The same search, exactly; sync, or async where `search` is.
        rows_of: Rows of hits from what either gives, and the run's recorder.
    """
    if inspect.iscoroutinefunction(search):

        @functools.wraps(search)
        async def asearched(*args: Any, **kwargs: Any) -> Any:
            given = await search(*args, **kwargs)
            recorder = searching_twice()
            if recorder is not None:
                with ExactSearch(recorder, rows_of(given, recorder)) as again:
                    documents = exact(*args, **kwargs)
                    documents = await documents if inspect.isawaitable(documents) else documents
                    again.found(rows_of(documents, recorder))
            return given

        return asearched

    @functools.wraps(search)
    def searched(*args: Any, **kwargs: Any) -> Any:
        given = search(*args, **kwargs)
        recorder = searching_twice()
        if recorder is not None:
            with ExactSearch(recorder, rows_of(given, recorder)) as again:
                again.found(rows_of(exact(*args, **kwargs), recorder))
        return given

    return searched
