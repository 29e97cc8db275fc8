"""Where the arms part, over many pairs."""

import msgspec
import pytest

from shadoweval.evaluation.divergences import Divergences
from shadoweval.records import Divergence


def test_the_difference_is_shared_out_over_the_kinds_of_steps():
    """The parts add up to the mean; the largest loss comes first; what is not scored is counted."""
    counted = Divergences()
    for kind, difference in (
        ("another tool", -1.0),
        ("another tool", -0.5),
        ("goes on", 0.5),
        (None, 0.0),
        ("goes on", None),
    ):
        counted.add(kind and Divergence(kind=kind), difference)
    again = Divergences()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(counted.to_state())))

    shares = again.shares()
    assert [(share.kind, share.pairs) for share in shares] == [
        ("another tool", 2),
        ("no difference", 1),
        ("goes on", 2),
    ]
    assert [share.difference for share in shares] == [-0.375, 0.0, 0.125]
    assert sum(share.difference for share in shares) == pytest.approx((-1.0 - 0.5 + 0.5 + 0.0) / 4)


def test_without_a_metric_there_are_counts_alone():
    """An experiment without a gate has none to share out."""
    counted = Divergences()
    counted.add(None, None)

    assert [(share.kind, share.pairs, share.difference) for share in counted.shares()] == [("no difference", 1, None)]
