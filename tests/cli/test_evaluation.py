"""Looks that go on."""

import threading

import pytest

from shadoweval.cli.evaluation import Looks
from shadoweval.errors import SettingsError, StoreError


def looks_that(*faults):
    """Looks of which the first ones raise these."""
    faults, seen = list(faults), []

    def once():
        if faults:
            raise faults.pop(0)
        seen.append("look")

    return Looks(once, every="1h", stop=threading.Event()), seen


def test_a_look_that_breaks_is_missed_and_told_once(caplog):
    """What is no fault of a store or file is the user's code: the next look comes at its time."""
    looks, seen = looks_that(ZeroDivisionError("x"), ZeroDivisionError("x"))

    looks.look()
    looks.look()
    assert seen == []
    assert [record.message for record in caplog.records] == ["this look is missed, the next one is due in 1h"]
    looks.look()
    assert seen == ["look"]


def test_what_passes_is_tried_again_at_once():
    """A full disk, a file that is being replaced: the same look, a moment later."""
    looks, seen = looks_that(OSError(28, "No space left on device"), FileNotFoundError(2, "No such file"))

    looks.look()
    assert seen == ["look"]


@pytest.mark.parametrize("error", [SettingsError("store", "x", why="no"), StoreError("no such table")])
def test_what_lasts_ends_them(error):
    """The command ends with it."""
    looks, _ = looks_that(error)

    with pytest.raises(type(error)):
        looks.look()
