"""Most of the queries that write are written wrong: no mean over all queries may hide it."""

import datetime as dt

import pytest

from shadoweval import Experiment, Rules, Settings, no_worse
from shadoweval.evaluation.progress import Progress
from shadoweval.records import Coverage, Failure, ToolCall, WriteEffect
from shadoweval.scoring import errors
from shadoweval.testing import NOON, make_pair
from shadoweval.verdict.assessment import assess

COUNT = 1500
FAILED = {"failure": Failure(kind="error", message="x"), "outcome": None}


def refund(cents):
    arguments = {"id": "K-1", "cents": cents}
    return ToolCall(name="refund", arguments=arguments, result="ok", effect="write", answered="replayed")


ARMS = {
    "silent": {},
    "same": {"served": {"calls": (refund(990),)}, "shadow": {"calls": (refund(990),)}},
    "wrong": {"served": {"calls": (refund(990),)}, "shadow": {"calls": (refund(99_000),)}},
    "incumbent failed": {"served": {"calls": (refund(990),), **FAILED}, "shadow": {"calls": (refund(990),)}},
    "candidate failed": {"served": {"calls": (refund(990),)}, "shadow": FAILED},
    "outside the record": {"shadow": {"writes": (WriteEffect(tool="refund", arguments={"id": "K-1", "cents": 5}),)}},
}


@pytest.mark.parametrize(
    ("kinds", "decision"),
    [
        ({"same": 40}, "promote"),
        ({"wrong": 20}, "hold"),
        ({"wrong": 20, "incumbent failed": 20}, "hold"),
        ({"wrong": 20, "candidate failed": 20}, "hold"),
        ({"outside the record": 12}, "hold"),
    ],
    ids=str,
)
def test_what_can_not_be_compared_hides_no_wrong_writes(tmp_path, kinds, decision):
    """Pairs that tell nothing about writes are no evidence that the others are fine."""
    experiment = Experiment(
        name="shop",
        candidates={"new": "app:new"},
        scorers=[errors()],
        gates=[no_worse("errors", by=0.05), no_worse("writes", by=0.05)],
        rules=Rules(min_hours=0),
        rerun=0.0,
        settings=Settings(home=str(tmp_path)),
    )
    odd = [kind for kind, n in kinds.items() for _ in range(n)]
    step = COUNT // len(odd)
    pairs = [
        make_pair(n, **ARMS[odd[n // step] if n % step == 0 and n // step < len(odd) else "silent"])
        for n in range(COUNT)
    ]
    progress = Progress(experiment)
    progress.add(iter(pairs), keep=lambda _scores: None)
    coverage = Coverage(eligible=COUNT, mirrored=COUNT, paired=COUNT)

    verdict = assess(
        progress.trial,
        experiment="shop",
        candidate="new",
        coverage=coverage,
        now=NOON + dt.timedelta(hours=20),
        rules=experiment.rules,
    ).verdict

    assert verdict.decision == decision, verdict
