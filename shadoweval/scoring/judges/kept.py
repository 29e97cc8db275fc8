"""What judges have said and spent, as they ask for it: in memory, or by an evaluation in its store."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from shadoweval.scoring.judges.questions import Spent

__all__ = ["Kept", "KeptInMemory"]

_MOST: Final = 20_000


class Kept(Protocol):
    """Where replies and spending are kept. Safe to use from several threads."""

    def replies(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        ...

    def keep(self, key: str, record: bytes, *, query_id: str) -> None:
        """Keep a reply about this query."""
        ...

    def spend(self, judge: str, period: str, spent: Spent) -> Spent:
        """Add to what was spent on a judge in a period; returns all of it, over all processes."""
        ...


class KeptInMemory:
    """Kept as long as the judge lives, the newest 20,000."""

    def __init__(self) -> None:
        self._replies: OrderedDict[str, bytes] = OrderedDict()
        self._spent: defaultdict[tuple[str, str], Spent] = defaultdict(Spent)
        self._lock = threading.Lock()

    def replies(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        with self._lock:
            return {key: self._replies[key] for key in keys if key in self._replies}

    def keep(self, key: str, record: bytes, *, query_id: str) -> None:  # noqa: ARG002 - it ends with the process
        """Keep a reply."""
        with self._lock:
            self._replies[key] = record
            while len(self._replies) > _MOST:
                self._replies.popitem(last=False)

    def spend(self, judge: str, period: str, spent: Spent) -> Spent:
        """Add to what was spent on a judge in a period; returns all of it."""
        with self._lock:
            self._spent[judge, period] += spent
            return self._spent[judge, period]
