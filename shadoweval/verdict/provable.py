"""Could a metric have come out worse? If not, that it is no worse proves nothing.

Two ways of saying nothing are looked for: scores that lie at their worst in both arms, whatever is answered, and scores
that do not change when the answer does. For the second a share of the pairs is scored again with a probe in the
candidate's place, which a metric of the answer must score worse. Facts of a run (`Metric.fact_of_run`) need no probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shadoweval.protocols import Metric
from shadoweval.verdict.conduct import Problem
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.summary import ProbeCount
from shadoweval.verdict.trial import Trial

__all__ = ["needs_probes", "unprovable"]

_NEARLY_ALL: Final = 0.95
"""Share of the pairs at the worst value in both arms from which a metric says nothing."""
_FEWEST_WORSE: Final = 0.05
"""Share of the probed pairs in which a probe must score worse than the incumbent did."""


def needs_probes(metric: Metric, gates: tuple[Gate, ...]) -> bool:
    """Whether some gate can be proven by a metric that never moves, and nothing says that this metric moves."""
    return not metric.fact_of_run and bool(_resting(metric, gates))


def unprovable(trial: Trial, probes: Mapping[str, ProbeCount]) -> Iterator[Problem]:
    """Metrics by which gates would be proven whatever the candidate answered, each with why and how to mend it."""
    for metric in trial.metrics:
        gates = _resting(metric, trial.gates)
        if gates and trial.counts[metric.name].both:
            sentence = _at_worst(metric, trial, gates)
            if not sentence and not _risen(metric, trial, gates):
                sentence = _unmoved(metric, probes.get(metric.name))
            if sentence:
                yield Problem(name="unprovable", metric=metric.name, sentence=sentence)


def _resting(metric: Metric, gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The metric's gates that a score which never moves could prove: all but a gain."""
    return tuple(gate for gate in gates if gate.base == metric.name and gate.kind != "better" and not gate.dry_run)


def _at_worst(metric: Metric, trial: Trial, gates: tuple[Gate, ...]) -> str:
    counts, worst = trial.counts[metric.name], metric.worst
    compared = tuple(gate for gate in gates if gate.compares)
    if worst is None or counts.means is None or not compared:
        return ""
    arms = [arm.values for arm in (counts.incumbent, counts.candidate)]
    if not all(values.size for values in arms):  # none of the pairs that were drawn has a score
        return ""
    shares = [float((values == worst).mean()) for values in arms]
    if min(shares) >= _NEARLY_ALL:
        return (
            f"{metric.name} proves nothing: it is at its worst, {worst:g}, in {shares[0]:.0%} of the incumbent's and "
            f"{shares[1]:.0%} of the candidate's pairs, so a candidate that answers nothing would score the same. "
            "Look whether labels and answers are of the same form and mend the scorer or the labels, or take the gate "
            "out."
        )
    margin = _margin(compared)
    room = abs(counts.means[0] - worst)
    if room <= margin and not _risen(metric, trial, gates):
        return (
            f"{metric.name} proves nothing: the incumbent's {counts.means[0]:.4g} is only {room:.4g} from the worst "
            f"value, {worst:g}, so with a margin of {margin:g} a candidate that always scores worst would pass. Write "
            "a smaller margin, or mend the scorer or the labels."
        )
    return ""


def _margin(gates: tuple[Gate, ...]) -> float:
    return max((gate.margin for gate in gates if not gate.ratio and gate.quantile is None), default=0.0)


def _risen(metric: Metric, trial: Trial, gates: tuple[Gate, ...]) -> bool:
    """Whether the candidate is better by more than the margin where the incumbent could hardly be worse.

    No probe can score worse than such an incumbent, and the metric has moved.
    """
    means, margin = trial.counts[metric.name].means, _margin(tuple(gate for gate in gates if gate.compares))
    if metric.worst is None or means is None or abs(means[0] - metric.worst) > margin:
        return False
    return abs(means[1] - metric.worst) > abs(means[0] - metric.worst) + margin


def _unmoved(metric: Metric, probes: ProbeCount | None) -> str:
    if metric.fact_of_run or probes is None or not probes.tried:
        return ""
    mend = (
        "Let the scorer read the answer, or take the gate out; of a fact of the run such as seconds, write "
        f"Metric(name={metric.name!r}, fact_of_run=True)."
    )
    if not probes.scored:
        reason = max(probes.reasons, key=lambda each: probes.reasons[each], default="no reason")
        return (
            f"{metric.name} proves nothing: of {probes.tried} pairs that were scored again with an empty answer and "
            f"with another query's, none got a score ({reason}), so nobody knows that it can come out worse. {mend}"
        )
    if probes.worse < _FEWEST_WORSE * probes.scored:
        return (
            f"{metric.name} proves nothing: an empty answer, or another query's, scored worse than the incumbent's own "
            f"in only {probes.worse} of {probes.scored} probed pairs (at least {_FEWEST_WORSE:.0%} must), so it can "
            f"hardly come out worse. {mend}"
        )
    return ""
