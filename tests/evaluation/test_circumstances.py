"""What slices are told of a pair beside its query."""

import pytest

from shadoweval.evaluation.progress import circumstances
from shadoweval.records import ToolCall
from shadoweval.testing import make_pair


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        ([], {}),
        (["replayed", "world"], {"fidelity": "above the floor"}),
        (["replayed", "simulated"], {"fidelity": "below the floor"}),
        (["refused"], {"fidelity": "below the floor"}),
    ],
)
def test_pairs_below_the_floor_are_a_slice_of_their_own(answered, told):
    """Made-up and refused answers lower a pair's fidelity; where no tool was called there is none."""
    calls = [ToolCall(name="t", answered=how) for how in answered]

    assert circumstances(make_pair(shadow={"calls": calls}), floor=0.9) == told


def test_turns_after_a_divergence_are_a_slice_of_their_own():
    """A turn whose history the candidate would not have had is told apart."""
    assert "history" in circumstances(make_pair(shadow={"diverged_at": 2}), floor=0.9)
