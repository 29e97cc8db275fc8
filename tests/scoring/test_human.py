"""What people say about answers, as scores."""

from datetime import timedelta

import pytest

from shadoweval.records import Annotation, Failure, Labels, Scored, Unscored
from shadoweval.scoring import human_correctness, human_preference
from shadoweval.testing import NOON, make_pair

CRASH = {"failure": Failure(kind="crash")}
KILLED = {"failure": Failure(kind="killed")}


def pair_of(*marks, **arms):
    """A pair with marks as (arm, mark, annotator); a later one is said later."""
    annotations = tuple(
        Annotation(
            arm=arm,
            mark=mark,
            annotator=annotator,
            at=NOON + timedelta(minutes=minute),
            over={"new": "incumbent", "incumbent": "new"}[arm] if mark in {"preferred", "tie"} else "",
        )
        for minute, (arm, mark, annotator) in enumerate(marks)
    )
    return make_pair(labels=Labels(annotations=annotations), **arms)


def values(scorer, pair):
    (score,) = scorer.score(pair)
    return tuple(each.value if isinstance(each, Scored) else each.reason for each in (score.incumbent, score.candidate))


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([("incumbent", "incorrect", "ann"), ("new", "correct", "ann")], (0.0, 1.0)),
        ([("new", "correct", "ann"), ("new", "incorrect", "ben"), ("incumbent", "correct", "ben")], (1.0, 0.5)),
        ([("new", "correct", "ann"), ("incumbent", "correct", "ann"), ("new", "incorrect", "ann")], (1.0, 0.0)),
        ([("new", "correct", "ann")], ("no annotation", 1.0)),
        ([("new", "preferred", "ann")], ("no annotation", "no annotation")),
        ([], ("no annotation", "no annotation")),
    ],
)
def test_correctness_is_the_mean_of_each_annotators_last_word(marks, expected):
    """Without a word there is no score, for a reason that can't lie in the answer."""
    assert values(human_correctness(), pair_of(*marks)) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([("new", "preferred", "ann")], (0.0, 1.0)),
        ([("incumbent", "preferred", "ann")], (1.0, 0.0)),
        ([("new", "tie", "ann")], (0.5, 0.5)),
        ([("new", "preferred", "ann"), ("incumbent", "preferred", "ben")], (0.5, 0.5)),
        ([("new", "preferred", "ann"), ("incumbent", "preferred", "ann")], (1.0, 0.0)),
        ([("new", "preferred", "ann"), ("incumbent", "tie", "ann")], (0.5, 0.5)),
        ([("new", "correct", "ann")], ("no annotation", "no annotation")),
    ],
)
def test_preference_is_shared_between_the_arms(marks, expected):
    """A later word about the same two answers takes the place of an earlier one, whichever arm it names."""
    assert values(human_preference(), pair_of(*marks)) == expected


def test_a_preference_to_another_candidate_is_another_pairs():
    """With several candidates each mark counts where both of its arms are."""
    mark = Annotation(arm="other", mark="preferred", annotator="ann", at=NOON, over="incumbent")
    assert values(human_preference(), make_pair(labels=Labels(annotations=(mark,)))) == ("no annotation",) * 2


def test_a_failed_run_is_a_wrong_answer_where_people_looked():
    """And nothing where nobody did, or where the shadow ended it: failures must not pile up on one side."""
    looked = ("incumbent", "correct", "ann")
    assert values(human_correctness(), pair_of(looked, shadow=CRASH)) == (1.0, 0.0)
    assert values(human_correctness(), pair_of(shadow=CRASH)) == ("no annotation",) * 2
    assert values(human_correctness(), pair_of(looked, shadow=KILLED))[1].startswith("ended by the shadow")


def test_what_is_missing_is_never_bounded_as_if_it_were_bad():
    """Nobody looked: that says nothing of the answer."""
    for scorer in (human_correctness(), human_preference()):
        (score,) = scorer.score(pair_of())
        assert score.candidate == Unscored("no annotation", informative=False)


def test_a_mark_is_not_for_the_re_run():
    """It gave another answer, which nobody has seen; as the candidate of a calibration it has no score either."""
    pair = pair_of(("incumbent", "correct", "ann"), rerun={"answer": "else"})
    (score,) = human_correctness().score(pair)
    assert score.noise is None
    itself = make_pair(candidate="incumbent", labels=pair.labels)
    assert values(human_correctness(), itself) == (1.0, "people marked what was served, not its re-run")
