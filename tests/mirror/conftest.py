"""A transport that keeps what it is given, and mirrors over it."""

from collections.abc import Callable
from typing import Any

import pytest

from shadoweval import codec
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport
from shadoweval.records import Envelope


class Kept(Transport):
    """A transport in memory; `answer` is what it says to each frame."""

    def __init__(self, answer: str | None = None) -> None:
        self.frames: list[bytes] = []
        self.answer = answer

    def offer(self, frame: bytes) -> str | None:
        if self.answer is None:
            self.frames.append(frame)
        return self.answer

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def envelopes(self) -> list[Envelope]:
        return [codec.decode_envelope(frame) for frame in self.frames]

    @property
    def only(self) -> Envelope:
        (envelope,) = self.envelopes
        return envelope


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def mirror(kept: Kept) -> Mirror:
    """Mirrors every call."""
    return Mirror("support", kept, control=0.0)


@pytest.fixture
def mirror_with(kept: Kept) -> Callable[..., Mirror]:
    """Mirrors with options."""

    def made(**options: Any) -> Mirror:
        return Mirror("support", kept, **{"control": 0.0, **options})

    return made


@pytest.fixture
def counted() -> Callable[[Mirror], dict[str, int]]:
    """What became of a mirror's calls; checks that they add up."""

    def counts(mirror: Mirror) -> dict[str, int]:
        found = mirror.outlet.ledger.main.snapshot()
        assert found.get("eligible", 0) == sum(n for name, n in found.items() if name != "eligible"), found
        return found

    return counts
