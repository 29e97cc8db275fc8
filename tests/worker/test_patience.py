"""What passes is waited for, longer each time, and told once."""

import pytest

from shadoweval.errors import CaseFileError, NewerDatabaseError, SettingsError, StoreError
from shadoweval.testing import FixedClock
from shadoweval.worker.patience import Patience


def gone():
    error = StoreError("the server is gone")
    error.passing = True
    return error


def test_waits_grow_to_a_bound_and_begin_anew(caplog):
    """A quarter of a second, doubled up to eight; one line when it begins and one when it is over."""
    patience = Patience()
    waits = [patience.failed(gone()) for _ in range(10)]

    assert all(most / 2 <= wait <= most for wait, most in zip(waits, [0.25, 0.5, 1, 2, 4, *[8] * 5], strict=True))
    assert patience.trouble == "the server is gone"
    patience.over()
    patience.over()
    assert patience.trouble == ""
    assert len(caplog.records) == 2
    assert patience.failed(gone()) <= 0.25


def test_patience_with_a_limit_ends():
    """After it the error itself is raised."""
    clock = FixedClock()
    patience = Patience(seconds=clock.seconds, limit=60)
    patience.failed(gone())
    clock.tick(61)

    with pytest.raises(StoreError, match="gone"):
        patience.failed(gone())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (gone(), True),
        (OSError(28, "No space left on device"), True),
        (CaseFileError("cases.jsonl", 1, "torn"), True),
        (StoreError("no such table"), False),
        (NewerDatabaseError("url", "2", "1"), False),
        (SettingsError("home", "x", why="no"), False),
        (PermissionError(13, "Permission denied"), False),
        (NotADirectoryError(20, "Not a directory"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_passing_and_lasting_faults_are_told_apart(error, expected):
    """What may be gone at the next try, and what no waiting mends."""
    if expected:
        assert Patience().failed(error) > 0
    else:
        with pytest.raises(type(error)):
            Patience().failed(error)
