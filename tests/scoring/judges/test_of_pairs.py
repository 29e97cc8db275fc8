"""Which of both answers a judge prefers."""

import pytest

from shadoweval.records import Failure, Scored, Unscored
from shadoweval.scoring import pairwise_judge
from shadoweval.testing import ScriptedJudge, make_pair

CRASH = Failure(kind="crash", message="exit 9")
AWAY = Failure(kind="aborted", owner="caller")


def said(better):
    return {"reason": "r", "better": better}


def scores_of(judge, pair):
    return {each.metric: (each.incumbent, each.candidate) for each in pairwise_judge(judge=judge).score(pair)}


def prefer(text):
    """The answer with this text, wherever it stands."""

    def judge(question):
        first, second = question.messages[-1].content.splitlines()[2:4]
        return said("first" if text in first else "second" if text in second else "tie")

    return ScriptedJudge(judge)


PAIR = make_pair(served={"answer": "old"}, shadow={"answer": "new and longer"})


@pytest.mark.parametrize(
    ("judge", "share", "by_place"),
    [
        (prefer("new"), 1.0, 0.0),
        (prefer("old"), 0.0, 0.0),
        (prefer("neither of them"), 0.5, 0.0),
        (ScriptedJudge(said("first")), 0.5, 1.0),
        (ScriptedJudge(said("second")), 0.5, 1.0),
    ],
    ids=["candidate", "incumbent", "tie", "always A", "always B"],
)
def test_only_what_holds_in_both_orders_is_a_preference(judge, share, by_place):
    """What changes with the order is a tie, and counted as such; both arms' shares sum to 1."""
    scores = scores_of(judge, PAIR)

    assert scores["pairwise_judge"] == (Scored(1 - share), Scored(share))
    assert scores["pairwise_judge_by_place"][1] == Scored(by_place)
    assert len(judge.questions) == 2


def test_half_a_contradiction_is_a_tie():
    """Once the first, once neither: no preference, and no proof that the place decided."""
    replies = iter([said("first"), said("tie")])

    scores = scores_of(ScriptedJudge(lambda _: next(replies), concurrency=1), PAIR)

    assert scores["pairwise_judge"][1] == Scored(0.5)
    assert scores["pairwise_judge_by_place"][1] == Scored(0.0)


@pytest.mark.parametrize(("text", "longer"), [("new", 1.0), ("old", 0.0)])
def test_it_says_whether_the_longer_one_was_preferred(text, longer):
    """Of the decided pairs."""
    assert scores_of(prefer(text), PAIR)["pairwise_judge_longer"][1] == Scored(longer)
    assert isinstance(scores_of(prefer("neither"), PAIR)["pairwise_judge_longer"][1], Unscored)


@pytest.mark.parametrize(
    ("arms", "share"),
    [
        ({"shadow": {"answer": "an answer"}}, Scored(0.5)),
        ({"shadow": {"failure": CRASH}}, Scored(0.0)),
        ({"served": {"failure": CRASH}}, Scored(1.0)),
        ({"served": {"failure": CRASH}, "shadow": {"failure": CRASH}}, Scored(0.5)),
        ({"served": {"answer": None}}, Unscored("the pipeline returned no text; give outcome= to the mirror")),
    ],
    ids=["equal answers", "candidate failed", "incumbent failed", "both failed", "no text"],
)
def test_where_there_is_nothing_to_compare_nobody_is_asked(arms, share):
    """Equal answers are a tie; who failed is not preferred."""
    judge = prefer("new")

    assert scores_of(judge, make_pair(**arms))["pairwise_judge"][1] == share
    assert judge.questions == []


def test_one_order_without_a_reply_is_no_preference():
    """The reason is kept."""
    replies = iter([said("first"), "garbage"])

    scores = scores_of(ScriptedJudge(lambda _: next(replies), concurrency=1), PAIR)

    assert scores["pairwise_judge"] == (Unscored("the judge's reply is not JSON"),) * 2


def test_repeats_show_how_far_it_agrees_with_itself():
    """The majority of each order counts."""
    judge = ScriptedJudge(said("first"), repeats=3)

    scores = scores_of(judge, PAIR)

    assert scores["pairwise_judge_agreement"][1] == Scored(1.0)
    assert len(judge.questions) == 6
