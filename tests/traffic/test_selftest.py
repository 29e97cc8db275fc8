"""The alarm for silence."""

import pytest

from shadoweval.counters import LOSSES, Counters
from shadoweval.traffic.selftest import SelfTest, silence


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


def looked(tmp_path, *counters, share=None):
    """What looks of processes of their own find, one after the other."""
    return [SelfTest("support", home=tmp_path, share=lambda: share).check(seen) for seen in counters]


def test_what_was_mirrored_long_ago_mutes_nothing(tmp_path):
    """One mirrored call, then a hundred that can't be copied: the second look alarms, and counts these alone."""
    first, second, third = looked(
        tmp_path,
        {"eligible": 1, "mirrored": 1},
        {"eligible": 101, "mirrored": 1, "uncopyable": 100},
        {"eligible": 102, "mirrored": 2, "uncopyable": 100},
    )

    assert first is None
    assert (second.eligible, second.reason, second.count) == (100, "uncopyable", 100)
    assert third is None


def test_looking_often_does_not_mute_it(tmp_path):
    """Ten calls between two looks are too few each time; together they are not."""
    seen = [{"eligible": 100 + 10 * i, "mirrored": 100, "full": 10 * i} for i in range(6)]

    found = looked(tmp_path, *seen)

    assert found[:2] == [None, None]
    assert found[-1].eligible == 50


@pytest.mark.parametrize(("share", "alarms"), [(0.001, False), (0.5, True)])
def test_the_share_is_taken_into_account(tmp_path, share, alarms):
    """Five hundred calls that were not sampled mean nothing at 0.1 %, and everything at 50 %."""
    (found,) = looked(tmp_path, {"eligible": 500, "not_sampled": 500}, share=share)

    assert (found is not None) is alarms


@pytest.mark.parametrize(("eligible", "alarms"), [(50, False), (20_000, True)])
def test_a_share_that_nobody_knows_is_taken_for_small(tmp_path, eligible, alarms):
    """Another process sees that calls fall to sampling, and not to which share."""
    (found,) = looked(tmp_path, {"eligible": eligible, "not_sampled": eligible})

    assert (found is not None) is alarms


@pytest.mark.parametrize(("later", "alarms"), [(100, False), (2_000, True)])
def test_a_share_is_estimated_from_what_was_mirrored_before(tmp_path, later, alarms):
    """At one in a hundred so far, a hundred calls without one say nothing, two thousand do."""
    before = {"eligible": 10_000, "mirrored": 100, "not_sampled": 9_900}
    after = {"eligible": 10_000 + later, "mirrored": 100, "not_sampled": 9_900 + later}

    assert (looked(tmp_path, before, after)[1] is not None) is alarms


def test_counters_that_begin_anew_are_no_alarm(tmp_path):
    """A spool that was removed counts from 0 again."""
    assert looked(tmp_path, {"eligible": 900, "mirrored": 5}, {"eligible": 3, "mirrored": 5}) == [None, None]


def test_what_it_cannot_keep_it_remembers(tmp_path, caplog):
    """On a full or damaged disk one process still sees what came since its last look."""
    (tmp_path / "selftest").write_text("in the way", encoding="utf-8")
    selftest = SelfTest("support", home=tmp_path)

    assert selftest.check({"eligible": 100, "mirrored": 100}) is None
    assert selftest.check({"eligible": 200, "mirrored": 100, "full": 100}).count == 100
    assert "can't keep" in caplog.records[0].message
