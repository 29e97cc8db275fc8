"""Is the comparison valid? One line for each question."""

import sys
from pathlib import Path

import msgspec

from shadoweval.reporting.validity import validity_of

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation


def lines(whole):
    return {line["what"]: (line["state"], line["words"]) for line in validity_of(whole, whole.verdicts[0])}


def test_each_question_has_its_line():
    """Funnel, sample, hours, scores by arm, tool calls, versions and containment are each answered in words."""
    said = lines(evaluation())

    assert said["Funnel"] == ("good", "all 3,000 eligible calls are accounted for")
    assert said["Sample"] == ("good", "268 of 3,000 calls mirrored (8.9 %), 251 paired, 5 lost")
    assert said["Hours"] == ("look", "22 of 24 hours of the day have traffic, 11 pairs an hour")
    assert said["Scores"] == ("good", "recall@5: 4 of 251 missing (candidate 0, incumbent 0, both arms 4)")
    assert said["Tool calls"] == ("look", "88.1 % replayed, 11.2 % stubbed, 0.7 % refused, of 454")
    assert said["Versions"][0] == "good"
    assert said["Containment"][1] == (
        "live writes by candidates: 0; 3 refused acts; in force: seccomp; not whole: network namespace"
    )


def test_what_is_wrong_is_marked():
    """Calls that nobody accounts for, a live write, and a version that changed are no good lines."""
    whole = evaluation()
    coverage = msgspec.structs.replace(whole.coverage["hybrid"], eligible=3_005)
    verdict = msgspec.structs.replace(whole.verdicts[0], live_writes=2)
    said = lines(
        msgspec.structs.replace(
            whole, coverage={"hybrid": coverage}, verdicts=(verdict,), versions={"incumbent": {"code": "a1, a2"}}
        )
    )

    assert said["Funnel"] == ("bad", "5 calls are not accounted for")
    assert said["Containment"][0] == "bad"
    assert said["Versions"] == ("look", "several answered within this window: incumbent: code a1, a2")


def test_overhead_is_the_difference_of_mirrored_calls():
    """In time as people say it, with how many calls it rests on; with too few it is unknown."""
    known = {"p50": 0.0001, "p95": 0.0004, "mirrored": 900.0, "control": 300.0}

    assert lines(msgspec.structs.replace(evaluation(), overhead=known))["Overhead on the incumbent"] == (
        "good",
        "a mirrored call took longer by 0.100 ms at p50, 0.400 ms at p95; 900 mirrored against 300 untouched calls",
    )
    few = lines(msgspec.structs.replace(evaluation(), overhead={"mirrored": 9.0, "control": 3.0}))
    assert few["Overhead on the incumbent"][0] == "look"
