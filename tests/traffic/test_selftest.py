"""The alarm for silence."""

import pytest

from shadoweval.counters import LOSSES, Counters
from shadoweval.traffic.selftest import silence


def counted(**counts):
    counters = Counters()
    for name, count in counts.items():
        counters.add(name, count)
    return counters.snapshot()


def test_calls_without_a_mirrored_one_raise_it():
    """The most frequent reason is named with its number and how to mend it."""
    alarm = silence(counted(eligible=100, flag_off=70, uncopyable=30))

    assert (alarm.eligible, alarm.reason, alarm.count) == (100, "flag_off", 70)
    assert str(alarm).startswith("100 calls, none mirrored. Most frequent reason: flag_off (70): the flag is off")
    assert not alarm.meant


def test_one_mirrored_call_is_no_silence():
    """It alarms at nothing, not at little."""
    assert silence(counted(eligible=10_000, mirrored=1, not_sampled=9_999)) is None
    assert silence({}) is None


@pytest.mark.parametrize(("eligible", "alarms"), [(687, False), (688, True)])
def test_a_small_share_needs_more_calls(eligible, alarms):
    """At 1 % nothing among 688 calls happens by chance in less than one of a thousand cases, among 687 more often."""
    assert (silence(counted(eligible=eligible, not_sampled=eligible), share=0.01) is not None) is alarms


def test_what_somebody_asked_for_is_meant():
    """Killed and a sample of 0 alarm too, and say that they are meant."""
    assert silence(counted(eligible=10, killed=10)).meant
    assert silence(counted(eligible=10, off=10), share=0.0).meant


def test_calls_that_vanish_are_named_as_such():
    """Eligible calls without any counted loss are a fault of the counting."""
    assert "not counted" in str(silence(counted(eligible=10)))


@pytest.mark.parametrize("reason", LOSSES)
def test_every_loss_has_advice(reason):
    """Each reason in `counters.LOSSES` gives a sentence."""
    text = str(silence(counted(eligible=10, **{reason: 10})))

    assert f"reason: {reason} (10): " in text
    assert text.endswith(".")
