"""Streams as outcomes, and values that came in chunks which somebody else has put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import data_of
from shadoweval.capture.outcomes import Chunks, Extract, answer_text, outcome_of, outcome_with
from shadoweval.capture.recorder import Parts
from shadoweval.records import Outcome

__all__ = ["Whole", "WholeValue", "outcome_of_chunks"]

_FRAME: Final = 4
"""Chunks within a cap are a list of at most so many times as many bytes, since a cap is of characters."""


class Whole(NamedTuple):
    """What a candidate's stream comes to, behind its last chunk, where it is not its chunks one after the other."""

    value: Any


def outcome_of_chunks(
    chunks: Sequence[Any],
    *,
    parts: Parts | None = None,
    extract: Extract | None = None,
    max_bytes: int = codec.MAX_BYTES,
) -> Outcome:
    """The outcome of a stream. `extract` gets the joined text where there is one, else the chunks as data.

    What is kept of it is what `Chunks` keeps, as of a stream that was served.
    """
    kept = Chunks(max_bytes)
    for chunk in chunks:
        kept.add(chunk)
    answer, value = kept.joined()
    if extract is not None:
        whole = answer if answer is not None else kept.data()
        outcome = outcome_of(whole, parts=parts, extract=extract, max_bytes=max_bytes)
    else:
        if answer is not None and len(answer) > max_bytes:  # of chunks that are no texts
            answer, kept.truncated = answer[:max_bytes], True
        outcome = outcome_with(answer, value, parts=parts or Parts(), max_bytes=_FRAME * max_bytes)
    return msgspec.structs.replace(outcome, chunks=kept.count, truncated=outcome.truncated or kept.truncated)


class WholeValue(Chunks):
    """A value that came in chunks, which somebody else has put together.

    Args:
        value: It.
        count: In how many chunks; None: in none.
        max_bytes: What is kept of it.
        read: Whether its answer is read here; else an experiment's own reading gets the value.
    """

    __slots__ = ("read", "value")

    def __init__(self, value: Any, count: int | None, *, max_bytes: int, read: bool) -> None:
        super().__init__(max_bytes)
        self.value, self.read = value, read
        self.count: Any = count

    def joined(self) -> tuple[str | None, Any]:
        """Answer and value, as of a call that returned the value."""
        if not self.read:
            return None, None
        copied, cut = data_of(self.value, max_bytes=self.max_bytes)
        self.truncated |= cut
        return answer_text(self.value), copied

    def data(self) -> Any:
        """The value itself."""
        return self.value
