"""How far long work is: a bar with its rate and the time left, on stderr where that is a terminal; else nothing."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from shadoweval.protocols import Store

__all__ = ["bar", "counting", "watched"]

_T = TypeVar("_T")
Advance = Callable[[int, int], object]
"""Called with how much is done and how much there is, as far as it is known by now."""


@contextlib.contextmanager
def bar(what: str) -> Generator[Advance | None]:
    """A bar while the block runs; None where nobody would see it, or `rich` is not installed: it is not loaded then."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - for a terminal alone
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    rate, left = TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, left)
    console = Console(stderr=True)
    # Not redirected: what goes to stdout goes there as ever.
    shown = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    with shown as progress:
        task = progress.add_task(what, total=None, rate="")

        def advance(done: int, of: int) -> None:
            speed = progress.tasks[0].speed
            told = "" if not speed else f"{speed:,.1f}/s" if speed < 100 else f"{speed:,.0f}/s"
            progress.update(task, completed=done, total=max(of, done), rate=told)

        yield advance


def counting(items: Iterable[_T], advance: Advance | None, *, of: int) -> Iterator[_T]:
    """The items, each of which moves a bar on."""
    for done, item in enumerate(items, start=1):
        yield item
        if advance is not None:
            advance(done, of)


def watched(store: Any, advance: Advance | None) -> Any:
    """The store; pairs that are taken out of it, or scored, move a bar on."""
    return store if advance is None else _Watched(store, advance)


class _Watched:
    """A store whose pairs are counted as they go by."""

    def __init__(self, store: Store, advance: Advance) -> None:
        self._store, self._advance = store, advance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def pairs(self, experiment: str, candidate: str, **window: Any) -> Iterator[Any]:
        """As the store's."""
        of = self._store.funnel(experiment, candidate, **window).paired
        return counting(self._store.pairs(experiment, candidate, **window), self._advance, of=of)

    def look(self, experiment: str, candidate: str, **options: Any) -> _WatchedLook:
        """As the store's."""
        return _WatchedLook(self._store.look(experiment, candidate, **options), self._advance)


class _WatchedLook:
    """A look whose pairs are counted as their scores are asked for, a portion at a time."""

    def __init__(self, look: Any, advance: Advance) -> None:
        self._look, self._advance = look, advance
        self._done, self._all = 0, look.expected

    def __getattr__(self, name: str) -> Any:
        return getattr(self._look, name)

    def scores(self, query_ids: Sequence[str]) -> Any:
        """As the look's."""
        self._done += len(query_ids)
        self._advance(self._done, self._all)
        return self._look.scores(query_ids)
