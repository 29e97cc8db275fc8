"""What the mirror tells the breaker and the budget."""

import pytest

from shadoweval import Experiment, Traffic
from shadoweval.protocols import FlagProvider
from shadoweval.settings import Settings
from shadoweval.testing import MemoryTransport
from shadoweval.traffic.breaker import Breaker


class Watching(Breaker):
    """A breaker that keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def observe(self, duration, *, failed, mirrored, own=0.0):
        assert duration >= own >= 0
        self.seen.append((failed, mirrored))
        super().observe(duration, failed=failed, mirrored=mirrored, own=own)


@pytest.fixture(name="make")
def _make(tmp_path):
    def make(**changes):
        traffic = Traffic(**{"transport": MemoryTransport(), **changes})
        settings = Settings(home=str(tmp_path))
        return Experiment(name="docs", candidates={"new": "a:b"}, settings=settings, traffic=traffic)

    return make


def ask(question):
    if question == "boom":
        raise ValueError(question)
    return question


@pytest.mark.parametrize(("control", "mirrored"), [(0.0, True), (1.0, False)])
def test_the_breaker_sees_both_sides(make, control, mirrored):
    """Mirrored and control calls are told alike, answers and failures."""
    breaker = Watching()
    asked = make(breaker=breaker).mirror(1.0, control=control)(ask)

    asked("a")
    with pytest.raises(ValueError, match="boom"):
        asked("boom")

    assert breaker.seen == [(False, mirrored), (True, mirrored)]


def test_a_cancelled_caller_is_no_failure(make):
    """A client that hangs up says nothing about the incumbent."""
    breaker = Watching()

    @make(breaker=breaker).mirror(1.0, control=0.0)
    def stream():
        yield 1
        yield 2

    chunks = stream()
    next(chunks)
    chunks.close()

    assert [failed for failed, _ in breaker.seen] == [False]


def test_a_spent_budget_ends_mirroring(make):
    """After as many calls as the day allows nothing is mirrored, and the caller sees nothing of it."""
    transport = MemoryTransport()
    asked = make(transport=transport, budget={"calls": 3}).mirror(1.0, control=0.0)(ask)

    answers = [asked(f"question {n}") for n in range(10)]

    assert answers == [f"question {n}" for n in range(10)]
    assert len(transport.frames) == 3


def test_flags_get_a_unit_even_without_one(make):
    """Where queries stand alone each is its own unit, so that a share below 1 can be drawn."""
    units = []

    class Flags(FlagProvider):
        def mirrored(self, experiment, unit, attributes):
            units.append(unit)
            return True

    asked = make(flags=Flags()).mirror(1.0, control=0.0)(ask)
    asked("a")
    asked("b")

    assert all(units)
    assert len(set(units)) == 2


def test_a_unit_of_none_is_no_unit(make):
    """A reader that finds no user leaves the query alone instead of pooling all strangers."""
    transport = MemoryTransport()
    asked = make(transport=transport).mirror(1.0, control=0.0, unit=lambda question: None)(ask)

    asked("a")

    from shadoweval.codec import decode_envelope

    assert decode_envelope(transport.frames[0]).query.unit == ""
