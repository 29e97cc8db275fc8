"""Cycles are looked for rarely within a block, and as before after it."""

import gc
import threading

import pytest

from shadoweval.evaluation.collecting import rarely_collecting

ORDINARY = (700, 10, 10)


@pytest.fixture(autouse=True)
def _ordinary():
    before = gc.get_threshold()
    gc.set_threshold(*ORDINARY)
    yield
    gc.set_threshold(*before)


def test_within_the_block_collections_are_rare():
    """And what was set before is set after it, whatever was raised."""

    def look():
        with rarely_collecting():
            assert gc.get_threshold()[0] > 10 * ORDINARY[0]
            raise KeyError

    with pytest.raises(KeyError):
        look()
    assert gc.get_threshold() == ORDINARY


def test_blocks_of_several_threads_end_with_the_last():
    """Whichever of them ends first."""
    begun, go = threading.Event(), threading.Event()

    def look():
        with rarely_collecting():
            begun.set()
            go.wait()

    other = threading.Thread(target=look)
    with rarely_collecting():
        other.start()
        begun.wait()
    assert gc.get_threshold()[0] > 10 * ORDINARY[0]
    go.set()
    other.join()
    assert gc.get_threshold() == ORDINARY


@pytest.mark.parametrize("chosen", [(0, 10, 10), (1_000_000, 5, 5)])
def test_who_collects_more_rarely_or_never_is_left_alone(chosen):
    """An application that has chosen keeps its choice."""
    gc.set_threshold(*chosen)
    with rarely_collecting():
        assert gc.get_threshold()[0] == chosen[0]
    assert gc.get_threshold()[0] == chosen[0]


def test_what_is_set_within_the_block_stays():
    """Somebody else's word."""
    with rarely_collecting():
        gc.set_threshold(1_234, 5, 6)
    assert gc.get_threshold() == (1_234, 5, 6)
