"""Judges of an evaluation remember and spend in its store: all processes share both, and an erasure reaches them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from shadoweval.protocols import Store
from shadoweval.scoring.judges.questions import Spent
from shadoweval.scoring.judges.sitting import Sitting, sitting

__all__ = ["judging"]

_MICRO: Final = 1_000_000


@contextmanager
def judging(experiment: str, store: Store, *, dry: bool = False) -> Generator[Sitting]:
    """Judges that are asked here keep their replies in the store; `dry`: nobody is asked, and nothing is kept."""
    with sitting(Sitting(_KeptInStore(experiment, store), dry=dry)) as here:
        yield here


class _KeptInStore:
    """As of `Kept`."""

    def __init__(self, experiment: str, store: Store) -> None:
        self._experiment, self._store = experiment, store

    def replies(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        return self._store.judgements(keys)

    def keep(self, key: str, record: bytes, *, query_id: str) -> None:
        """Keep a reply about this query, as long as the query is there."""
        self._store.add_judgement(key, record, query_id=query_id)

    def spend(self, judge: str, period: str, spent: Spent) -> Spent:
        """Add to what was spent on a judge in a period; returns all of it."""
        total = self._store.spend(
            self._experiment,
            judge,
            period,
            spent={
                "calls": spent.calls,
                "input_tokens": spent.input_tokens,
                "output_tokens": spent.output_tokens,
                "micro_usd": round(spent.usd * _MICRO),
            },
        )
        return Spent(
            calls=total["calls"],
            input_tokens=total["input_tokens"],
            output_tokens=total["output_tokens"],
            usd=total["micro_usd"] / _MICRO,
        )
