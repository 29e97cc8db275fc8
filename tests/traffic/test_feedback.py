"""How far the worker is behind."""

import pytest

from shadoweval.testing import FixedClock
from shadoweval.traffic.feedback import Backlog


def test_what_one_process_tells_another_reads(tmp_path):
    """Age and fill as told last; nothing before that."""
    clock = FixedClock()
    written, read = (Backlog("support", home=tmp_path, clock=clock.seconds) for _ in range(2))
    assert (read.age(), read.fill()) == (0.0, 0.0)

    written.report(age=90.0, fill=0.5)
    written.report(age=120.0, fill=0.25)

    assert (read.age(), read.fill()) == (120.0, 0.25)


def test_a_worker_that_is_gone_says_nothing(tmp_path):
    """A worker that runs at night leaves no backlog behind that would turn the mirror off by day."""
    clock = FixedClock()
    backlog = Backlog("support", home=tmp_path, clock=clock.seconds)
    backlog.report(age=9_000.0, fill=0.9)

    clock.tick(61)

    assert (backlog.age(), backlog.fill()) == (0.0, 0.0)


def test_a_file_that_is_none_of_ours_is_no_answer(tmp_path):
    """It raises, which a gauge takes for beyond its limit."""
    (tmp_path / "backlog").mkdir()
    (tmp_path / "backlog" / "support").write_bytes(b"rubbish")

    with pytest.raises(ValueError, match="7 bytes"):
        Backlog("support", home=tmp_path).age()
