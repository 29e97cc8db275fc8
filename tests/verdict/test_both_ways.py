"""What is wrong with the evidence holds in both directions, and what is proven without the fault stands."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest

import shadoweval.verdict
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, PairScore, Scored
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.both_ways import ROLLBACKS, Effect
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import at_most, no_worse
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

START = datetime(2026, 1, 1, tzinfo=UTC)
ERRORS = Metric(name="errors", higher_is_better=False, failure_scores=1.0)
GATES = (no_worse("errors", by=0.02),)


def rows(n, *, fails, again=None, **facts):
    """Pairs whose candidate fails where `fails(number)`, and whose incumbent fails at its re-run where `again` says."""
    return [
        (
            PairFacts(
                query_id=f"q{number:04}",
                key=str(number),
                asked_at=START + timedelta(minutes=number),
                **{name: value(number) for name, value in facts.items()},
            ),
            [
                PairScore(
                    metric="errors",
                    query_id=f"q{number:04}",
                    incumbent=Scored(0.0),
                    candidate=Scored(float(fails(number))),
                    noise=None if again is None else Scored(float(again(number))),
                    scorer_version="1",
                )
            ],
        )
        for number in range(n)
    ]


def said(pairs, *, gates=GATES, rules=None, batch=100):
    trial = Trial([ERRORS], gates)
    for first in range(0, len(pairs), batch):
        trial.add_pairs(pairs[first : first + batch])
    n = trial.pairs
    coverage = Coverage(eligible=n, mirrored=n, paired=n, distinct=n)
    now = START + timedelta(days=30)
    rules = rules or Rules(min_hours=0)
    return assess(trial, experiment="e", candidate="new", coverage=coverage, now=now, rules=rules).verdict


def test_each_problem_says_what_it_does_to_a_rollback():
    """A new check can't be forgotten: every name of a problem in the code stands in the table, and no other."""
    room = Path(shadoweval.verdict.__file__).parent
    named = {
        name
        for path in room.glob("*.py")
        for name in re.findall(r'Problem\(\s*name="(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert named == set(ROLLBACKS)
    assert set(ROLLBACKS.values()) <= set(get_args(Effect))


def half(number):
    return number % 2 == 0


def made_up(number):
    return {"find simulated": 1} if number % 3 else {}


@pytest.mark.parametrize(
    ("fails", "decision"),
    [(lambda number: half(number) and number % 3, "hold"), (half, "rollback")],
)
def test_low_fidelity_holds_what_only_its_own_pairs_show(fails, decision):
    """Failures where calls were made up prove nothing; those on the faithful pairs do."""
    fidelity = {"fidelity": lambda number: {"simulated" if number % 3 else "replayed": 1}, "unfaithful": made_up}
    verdict = said(rows(900, fails=fails, **fidelity))
    assert verdict.decision == decision
    assert "find simulated" in str(verdict)
    assert ("Looks broken" in str(verdict)) == (decision == "hold")


@pytest.mark.parametrize(("again", "decision"), [(half, "hold"), (lambda number: number % 10 == 0, "rollback")])
def test_a_failed_control_leaves_the_rerun_to_compare_with(again, decision):
    """Where the incumbent's re-run fails as well, the candidate must be worse than that."""
    verdict = said(rows(900, fails=half, again=again))
    assert verdict.decision == decision
    assert "its own re-run" in str(verdict)


def test_a_level_has_no_rerun_to_be_compared_with():
    """Under a failed control a bound on the candidate's own level rolls nothing back."""
    assert said(rows(900, fails=half, again=half), gates=(at_most("errors", 0.1),)).decision == "hold"


def test_live_writes_roll_back_whatever_the_gates_say():
    """Even beside evidence that is worth nothing."""
    facts = {"live_writes": lambda number: int(number == 3), "salt": lambda number: str(number % 2)}
    verdict = said(rows(300, fails=lambda _: False, **facts))
    assert (verdict.decision, verdict.why) == ("rollback", "broken")
    assert "The candidate made 1 live writes" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"salt": lambda number: str(number % 2)}, "2 salts"),
        ({"bucket": lambda _: 0.9}, "to and fro"),
        ({"entry": lambda number: f"app:{number % 2}"}, "Several pipelines"),
        ({"ran_at": lambda _: START - timedelta(days=1)}, "clocks"),
    ],
)
def test_pairs_that_were_picked_or_dated_wrongly_prove_nothing(facts, says):
    """Neither for nor against the candidate, however many of its runs fail."""
    verdict = said(rows(600, fails=half, **facts), rules=Rules(min_hours=0, share=0.5 if "bucket" in facts else None))
    assert verdict.decision == "hold"
    assert says in str(verdict)


def test_a_stray_call_of_another_entry_is_no_second_pipeline():
    """One query in a thousand came another way, by hand or before a move."""
    entries = {"entry": lambda number: "app:old" if number == 5 else "app:new"}
    assert said(rows(1000, fails=half, **entries)).decision == "rollback"


def test_what_stands_beside_a_fault_is_the_same_in_batches_and_resumed():
    """The smaller trials do not depend on how pairs come, and are part of the state."""
    pairs = rows(400, fails=half, again=lambda number: number % 5 == 0, unfaithful=made_up)
    whole, again = Trial([ERRORS], GATES), Trial([ERRORS], GATES)
    whole.add_pairs(pairs)
    for first in range(0, 400, 50):
        again.add_pairs(pairs[first : first + 50])
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(again.to_state()))
        again = Trial([ERRORS], GATES)
        again.restore(state)
    for name, n in (("clean", 134), ("rerun", 134)):
        side, resumed = whole.side(name), again.side(name)
        assert side.pairs == resumed.pairs == n
        assert side.claims[0].breaks.mean.log_e(-0.02, "less") == pytest.approx(
            resumed.claims[0].breaks.mean.log_e(-0.02, "less")
        )
