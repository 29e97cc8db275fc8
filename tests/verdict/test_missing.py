"""Missing scores and pairs as numbers that enter the decision, and the sentences about them."""

import numpy as np
import pytest

from shadoweval.evidence.looks import ALWAYS
from shadoweval.evidence.validity import share_exceeds
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, GateResult, PairScore, Scored, Unscored
from shadoweval.scoring.pair_scorer import raised
from shadoweval.verdict.columns import columns_of
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import at_least, at_most, no_worse
from shadoweval.verdict.missing import could_tip, losses, missing_share, missing_tolerable, unscored_share
from shadoweval.verdict.trial import Trial

from .conftest import START

QUALITY = Metric(name="quality")
COST = Metric(name="cost", higher_is_better=False, high=None, failure_scores=None)
LOST, UNLABELLED = Unscored("no number"), Unscored("no label", informative=False)


def tried(gate, metric, rows):
    """A trial of pairs (incumbent, candidate), each a number or an `Unscored`."""
    trial = Trial([metric], [gate])
    scores = [[each if isinstance(each, Unscored) else Scored(each) for each in row] for row in rows]
    pairs = [
        (
            PairFacts(query_id=str(n), key=str(n), asked_at=START),
            [PairScore(metric=metric.name, query_id=str(n), incumbent=incumbent, candidate=candidate)],
        )
        for n, (incumbent, candidate) in enumerate(scores)
    ]
    trial.add(columns_of(pairs, [metric]))
    return trial


def test_missing_scores_are_counted_by_what_is_lacking_and_why() -> None:
    """Both arms, one of them, and whether the reason may lie in the answer; a level asks for the candidate alone."""
    rows = [(1.0, 1.0)] * 5 + [(LOST, LOST)] * 3 + [(1.0, LOST)] * 2 + [(LOST, 1.0)] + [(UNLABELLED, UNLABELLED)] * 4
    counts = tried(no_worse("quality", by=0.1), QUALITY, rows).counts["quality"]
    assert counts.missing(compared=True) == {
        "both arms": 7,
        "candidate": 2,
        "incumbent": 1,
        "may lie in the answer": 6,
        "scored": 5,
    }
    assert counts.missing(compared=False) == {"candidate": 9, "may lie in the answer": 5, "scored": 6}
    trial = tried(at_least("quality", 0.5), QUALITY, rows)
    assert unscored_share(trial.claims[0], trial.counts["quality"]) == (5, 11)


def test_what_is_missing_is_said_in_words() -> None:
    """How many of how many, of which arm, and the most common reasons."""
    gate = GateResult(
        sentence="",
        metric="quality",
        kind="no_worse",
        state="open",
        margin=0.1,
        unscored={f"candidate: {n}": n for n in range(1, 6)},
        missing={"both arms": 7, "candidate": 2, "incumbent": 0, "may lie in the answer": 6, "scored": 11},
    )
    assert gate.missing_text == (
        "unscored in 9 of 20 pairs (both arms 7, candidate 2; 6 for a reason that may lie in the answer): "
        "candidate: 5 (5); candidate: 4 (4); candidate: 3 (3); and 2 more reasons"
    )


@pytest.mark.parametrize("lacking", [(LOST, LOST), (1.0, LOST), (LOST, 1.0)])
@pytest.mark.parametrize("gate", [no_worse("quality", by=0.1), at_least("quality", 0.5)])
def test_many_scores_that_may_lie_in_the_answer_can_tip_a_proof(lacking, gate) -> None:
    """A third of the pairs, whichever arm lacks them; the sentence says how to mend it."""
    trial = tried(gate, QUALITY, ([(1.0, 1.0)] * 2 + [lacking]) * 300)
    claim, counts = trial.claims[0], trial.counts["quality"]
    n, asked = unscored_share(claim, counts)
    if gate.kind == "at_least" and not isinstance(lacking[1], Unscored):
        assert n == 0
        return
    assert (n, asked) == (300, 900)
    assert not missing_tolerable(claim, ALWAYS, promotion_alpha=0.05, missing=n / asked) or gate.kind == "at_least"
    assert "300 of 900 pairs have no score of quality" in could_tip(claim, counts, None, proven=True)
    assert "informative=False" in could_tip(claim, counts, None, proven=False)


def test_a_few_missing_costs_do_not_tip_a_cheaper_candidate() -> None:
    """Amounts are small shares of their cap; what is missing would have to be twice the usual."""
    rng = np.random.default_rng(1)
    rows = [(float(a), 0.7 * float(a)) for a in np.exp(rng.normal(0, 0.3, 1_500))] + [(LOST, LOST)] * 30
    trial = tried(at_most("cost", ratio=1.1), COST, rows)
    claim = trial.claims[0]
    assert missing_tolerable(claim, ALWAYS, promotion_alpha=0.05, missing=30 / 1_530)
    assert not missing_tolerable(claim, ALWAYS, promotion_alpha=0.05, missing=0.06)


def test_every_query_that_became_no_pair_is_lost() -> None:
    """Aborted and killed ones, and what the funnel can't account for; what was switched off or not drawn is not."""
    coverage = Coverage(
        eligible=120,
        not_mirrored={"not_sampled": 5, "full": 5},
        mirrored=100,
        failed={"aborted": 4, "killed": 3, "corrupt": 2},
        paired=91,
    )
    assert losses(coverage) == {"full": 5, "aborted": 4, "killed": 3, "corrupt": 2, "unaccounted for": 10}
    assert missing_share(coverage) == pytest.approx(24 / 115)
    assert missing_share(coverage, 0.5) == pytest.approx(24 / 115 + 91 / 115 / 2)


@pytest.mark.parametrize(
    ("n", "of", "exceeds"), [(1, 17, False), (1, 2, False), (60, 1_000, False), (90, 1_000, True), (0, 0, False)]
)
def test_a_share_is_above_its_limit_only_beyond_chance(n, of, exceeds) -> None:
    """One of seventeen is no evidence of more than 5 %, nor is 6 % of a thousand."""
    assert share_exceeds(n, of, 0.05) is exceeds


def test_a_share_hardly_ever_exceeds_its_true_value() -> None:
    """500 streams at the limit of 5 %, looked at 40 times: at most 1 % alarm, with slack."""
    rng = np.random.default_rng(5)
    lost = (rng.random((500, 2_000)) < 0.05).cumsum(axis=1)[:, 49::50]
    alarms = sum(any(share_exceeds(int(n), 50 * (look + 1), 0.05) for look, n in enumerate(stream)) for stream in lost)
    assert alarms / 500 <= 0.02


class RateLimitError(Exception):
    status_code = 429


@pytest.mark.parametrize(
    ("error", "informative"),
    [
        (RateLimitError("slow down"), False),
        (TimeoutError("30 s"), False),
        (ConnectionResetError("gone"), False),
        (ValueError("no number in 'well...'"), True),
        (KeyError("answer"), True),
    ],
)
def test_a_judge_that_was_busy_says_nothing_about_the_answer(error, informative) -> None:
    """429, a time-out and a lost connection would have come of any answer; a reply that can't be read would not."""
    assert raised(error).informative is informative
    assert raised(error).reason.startswith(type(error).__name__)
