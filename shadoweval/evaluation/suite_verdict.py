"""When a suite is red, and what one that is green could have found.

Red is what is proven worse, what can't be judged since something is wrong with the evidence (both arms fail, nothing is
scored), and a broken invariant: a write that reached the world, a run that ended its process. What these cases can't
decide is green, with the smallest loss that they would have shown: a gate over few cases is no proof of anything, and a
suite that is red for it would be switched off within a week.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.suite import SuiteRun
from shadoweval.experiment import Experiment
from shadoweval.records import GateResult, Verdict

__all__ = ["SuiteFailedError", "SuiteVerdict", "suite_verdict"]

_SHOWN = 5
"""Crashed cases that are named."""


class SuiteFailedError(ShadowEvalError, AssertionError):
    """A suite is red. Its message is each verdict's whole table.

    Attributes:
        verdicts: Those of all candidates that were asked for.
    """

    def __init__(self, suites: Sequence[SuiteVerdict]) -> None:
        self.verdicts = tuple(suite.verdict for suite in suites)
        super().__init__("\n".join(suite.text for suite in suites))


class SuiteVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, and what it means for the test run."""

    verdict: Verdict
    failures: tuple[str, ...] = ()
    """Why it is red; empty: it is green."""
    remarks: tuple[str, ...] = ()
    """What a green one does not show."""

    @property
    def title(self) -> str:
        """One line that a person can read."""
        verdict = self.verdict
        state = "red" if self.failures else "green"
        decision = f"{verdict.decision.upper()} ({verdict.why}) after {verdict.pairs} pairs"
        return f"{verdict.experiment} / {verdict.candidate}: {state}, {decision}"

    @property
    def text(self) -> str:
        """Why it is red or what it does not show, then the whole table."""
        lines = [self.title, *(f"  red: {each}" for each in self.failures), *(f"  {each}" for each in self.remarks)]
        return "\n".join([*lines, str(self.verdict)])


def suite_verdict(run: SuiteRun, verdict: Verdict, *, experiment: Experiment, strict: bool = False) -> SuiteVerdict:
    """What a verdict over a case file means for the test run. `strict`: red too where these cases can't decide."""
    failures: list[str] = []
    if verdict.rolls_back:
        failures.append("it is proven worse")
    if verdict.why == "error":
        failures.append("it can't be judged: something is wrong with the evidence")
    if verdict.live_writes:
        failures.append(f"{verdict.live_writes} writes of the candidate reached the world")
    crashes = run.crashes(verdict.candidate)
    if crashes:
        more = f", and {len(crashes) - _SHOWN} more" if len(crashes) > _SHOWN else ""
        failures.append(f"the candidate's process ended in {len(crashes)} runs: {'; '.join(crashes[:_SHOWN])}{more}")
    undecided = verdict.holds and verdict.why != "error"
    if strict and undecided:
        failures.append("these cases can't decide, and --shadow-strict asks for a proof")
    remarks = [*run.remarks, *(_smallest_losses(verdict, experiment=experiment) if undecided else ())]
    return SuiteVerdict(verdict=verdict, failures=tuple(failures), remarks=tuple(remarks))


def _smallest_losses(verdict: Verdict, *, experiment: Experiment) -> list[str]:
    """Of each undecided gate, the mean loss from which on these cases would have shown it to be broken."""
    return [f"undecided: {_smallest_loss(gate, experiment)}" for gate in verdict.gates if gate.state == "open"]


def _smallest_loss(gate: GateResult, experiment: Experiment) -> str:
    """In words. The bounds are the test's own: all differences moved by a loss, its upper bound moves by as much."""
    metric = experiment.metrics[gate.metric.partition("@p")[0]] if gate.metric in experiment.metrics else None
    if gate.kind not in {"no_worse", "better"} or gate.ratio or gate.difference is None or gate.upper is None:
        return f"'{gate.sentence}' compares no means, so the smallest loss that {gate.n} cases show is not known"
    loss = gate.upper - gate.difference + (gate.margin if gate.kind == "no_worse" else 0.0)
    most = None if metric is None or metric.low is None or metric.high is None else metric.high - metric.low
    if most is not None and loss >= most:
        return f"{gate.n} cases are too few to show any loss of {gate.metric}: '{gate.sentence}'"
    return f"a loss of {gate.metric} from about {loss:.2g} on would have been found by these {gate.n} cases"
