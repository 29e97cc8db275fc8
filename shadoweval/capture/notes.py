"""Where a recorder writes: lists, or packed at once where the compiled parts were built."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from shadoweval.capture.documents import writable

__all__ = ["Notes", "PlainNotes"]


class PlainNotes:
    """What one run did, and what it may still do.

    Attributes:
        log: Entries (see `capture.wire.rows`).
        hits: Lists of hits, each row as `capture.wire.rows.joined_hits` reads it.
        numbers: Indexes given to steps that others lie in.
        left: Bytes that tool results may still have.
        truncated: Something was left out at a cap.
        fault: What a fault of ours raised while recording.
        closed: The run is over; what it started may go on.
        handler: Through which a library tells of this run (see `third_party`); None: none has told anything.
        streams: Tools and steps that yield, and have begun and not ended.
        first_chunk: Seconds until the first chunk.
        began: `time.perf_counter()` at the beginning.
    """

    __slots__ = (
        "began",
        "closed",
        "fault",
        "first_chunk",
        "handler",
        "hits",
        "left",
        "log",
        "max_items",
        "numbers",
        "streams",
        "truncated",
    )

    def __init__(self, max_bytes: int = 1 << 20, max_items: int = 1000) -> None:
        self.log: list[Sequence[Any]] = []
        self.hits: list[Sequence[Any]] = []
        self.numbers: itertools.count[int] | None = None
        self.left = max_bytes
        self.max_items = max_items
        self.truncated = self.closed = False
        self.fault: BaseException | None = None
        self.handler: Any = None
        self.streams: list[Any] | None = None
        self.first_chunk: float | None = None
        self.began = time.perf_counter()

    def drafted(self) -> tuple[Any, Any]:
        """Entries and lists of hits, for the encoder."""
        return self.log, self.hits

    def tidy(self) -> None:
        """Something in it could not be encoded."""
        self.hits[:] = [writable(rows) for rows in self.hits]


Notes = PlainNotes
