"""Looks before, carried along."""

import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from shadoweval.evaluation.past import history_after

sys.path.insert(0, str(Path(__file__).parents[1] / "reporting"))
from sample import evaluation

BARE = msgspec.structs.replace(evaluation(count=1), history={})


def after(looks):
    """An evaluation after so many looks, each an hour and ten pairs later."""
    now = BARE
    for number in range(looks):
        verdict = msgspec.structs.replace(BARE.verdicts[0], pairs=10 * (number + 1))
        now = msgspec.structs.replace(
            BARE,
            id=f"look-{number}",
            created_at=BARE.created_at + timedelta(hours=number),
            verdicts=(verdict,),
            history=history_after(now if number else None, {"hybrid": (verdict, ())}),
        )
    return now


def test_each_look_holds_the_ones_before():
    """In order, with their pairs; the first one has none."""
    assert after(1).history == {}
    assert [(look.id, look.pairs) for look in after(4).history["hybrid"]] == [
        ("look-0", 10), ("look-1", 20), ("look-2", 30)
    ]  # fmt: skip


def test_a_thousand_looks_stay_few():
    """The first and the last stay, and the number is bounded."""
    looks = after(500).history["hybrid"]

    assert len(looks) <= 60
    assert (looks[0].id, looks[-1].id) == ("look-0", "look-498")
    assert [look.pairs for look in looks] == sorted(look.pairs for look in looks)


def test_a_trend_and_other_gates_are_no_history():
    """What slides with the clock, and what was asked before, is not drawn on one line with what is asked now."""
    last = after(3)
    verdict = last.verdicts[0]
    trend = msgspec.structs.replace(last, trend=True)
    other = msgspec.structs.replace(verdict, gates=verdict.gates[:1])

    assert len(history_after(trend, {"hybrid": (verdict, ())})["hybrid"]) == 2
    assert history_after(last, {"hybrid": (other, ())}) == {}
    assert len(history_after(last, {})["hybrid"]) == 3
