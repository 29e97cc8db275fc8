"""May a gate rest on a judge? A model may reward what no answer should be rewarded for; each way has a probe.

A share of the pairs is judged again with a probe in the candidate's place. A judge that a probe fools decides no gate,
and a candidate whose answers look like a probe is not promoted by a judge, whatever that judge made of the probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shadoweval.protocols import Metric
from shadoweval.verdict.conduct import Problem
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.summary import JudgeProbe
from shadoweval.verdict.trial import Trial

__all__ = ["fooled_by", "judge_problems", "judged_gates"]

_FEWEST: Final = 8
"""Probed pairs below which nothing is known of a judge."""
_MOST_FOOLED: Final = 0.25
"""Share of the probed pairs in which a probe may pass; of 20 a judge that errs in a tenth exceeds it once in ninety."""

_NONE: Final = {"any probe": JudgeProbe(reason="no served run of a pair that it scored has an outcome")}


def judged_gates(metric: Metric, gates: Sequence[Gate]) -> bool:
    """Whether a gate that counts rests on what a judge says."""
    return metric.judged and any(gate.base == metric.name and not gate.dry_run for gate in gates)


def judge_problems(trial: Trial) -> Iterator[Problem]:
    """Judges that can't decide, and what about the candidate's answers a judge may have been fooled by."""
    judged = [metric for metric in trial.metrics if judged_gates(metric, trial.gates)]
    for metric in judged:
        sentence = ""
        if metric.name in trial.judge_probes and trial.counts[metric.name].both:
            sentence = _fooled(metric, trial.judge_probes[metric.name])
        if sentence:
            yield Problem(name="judge", metric=metric.name, sentence=sentence)
    if judged and trial.like_probes:
        named = ", ".join(metric.name for metric in judged)
        yield Problem(
            name="like_probes",
            sentence="The candidate's answers look like those that judges are probed with "
            f"({'; '.join(trial.like_probes)}), and {named} is a judge's opinion, which such answers "
            "can win. Read some of them; take a gate that measures, or marks of people, to promote it.",
        )


def fooled_by(probes: Mapping[str, JudgeProbe]) -> dict[str, JudgeProbe]:
    """The probes that a judge rewards so often that it decides nothing."""
    return {
        name: probe
        for name, probe in probes.items()
        if probe.counted >= _FEWEST and probe.fooled > _MOST_FOOLED * probe.counted
    }


def _fooled(metric: Metric, probes: Mapping[str, JudgeProbe]) -> str:
    fooled = fooled_by(probes)
    if fooled:
        named = "; ".join(f"{name} passed in {probe.fooled} of {probe.counted}" for name, probe in fooled.items())
        return (
            f"{metric.name} can't decide: its judge fails probes that were put in the candidate's place ({named} "
            f"probed pairs; at most {_MOST_FOOLED:.0%} may). Ask another model, mend what it is asked, or take the "
            "gate out."
        )
    few = {name: probe for name, probe in probes.items() if probe.counted < _FEWEST} or ({} if probes else _NONE)
    if few:
        name, probe = min(few.items(), key=lambda each: each[1].counted)
        why = f" ({probe.reason})" if probe.reason else ""
        return (
            f"{metric.name} can't decide yet: of its judge only {probe.counted} pairs are known in which it was probed "
            f"with {name}{why}, and {_FEWEST} are needed. Wait for pairs that it can score."
        )
    return ""
