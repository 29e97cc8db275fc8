"""What the runs of a trial did and what became of them: failures by whose they are, refusals, live writes.

The candidate's failures are judged by the gates. The shadow's are missing evidence: never proof, and never harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from shadoweval.evidence.validity import share_exceeds
from shadoweval.verdict.facts import MEND, UNFAITHFUL
from shadoweval.verdict.rules import NEW_WINDOW, Rules
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.writes import doubtful_writes

__all__ = ["ENDED", "Problem", "conduct_problems", "ended_notices", "ended_share", "undeclared_notice"]

ENDED: Final = "ended by the shadow: "
"""How the reason of a score begins that is missing since the shadow ended the run (`Observation.unscored`)."""
_SHOWN: Final = 3


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with the evidence."""

    name: str
    sentence: str
    metric: str = ""
    """The metric it is about; empty: the whole trial."""


def conduct_problems(trial: Trial, rules: Rules) -> Iterator[Problem]:
    """What is wrong with the runs, each as a sentence that says how to mend it."""
    facts = trial.facts
    if facts.live_writes:
        yield Problem(
            name="live_writes",
            sentence=f"The candidate made {facts.live_writes} live writes. A shadow may make none: stop it and declare "
            "the tool's effect.",
        )
    yield from _ended(trial, rules)
    yield from _unfaithful(trial, rules)
    if share_exceeds(facts.incumbent_failed, trial.pairs, rules.max_incumbent_failures):
        yield Problem(
            name="incumbent_fails",
            sentence=f"The incumbent failed in {facts.incumbent_failed} of {trial.pairs} pairs, at most "
            f"{rules.max_incumbent_failures:.0%} may: its failures are no merit of the candidate's. Mend the incumbent "
            "and wait until they are few beside all pairs, begin a new window after them "
            f"{NEW_WINDOW}, or say how many are usual: Rules(max_incumbent_failures=...).",
        )
    if trial.pairs and facts.candidate_failed == trial.pairs:
        yield Problem(
            name="candidate_fails",
            sentence=f"The candidate failed in all {trial.pairs} pairs. Look at its first failure: it is probably "
            "set up wrongly.",
        )
    writes = doubtful_writes(facts.writes, trial.gates, rules)
    if writes:
        yield Problem(name="writes", sentence=writes)
    judged = {m.name for m in trial.metrics if m.failure_scores is not None} & {
        g.base for g in trial.gates if not g.dry_run
    }
    if facts.candidate_failed and not judged and trial.gates:
        yield Problem(
            name="failures_unjudged",
            sentence=f"The candidate failed {facts.candidate_failed} times and no gate's metric counts failures. Add "
            "no_worse('errors', by=...).",
        )


def _unfaithful(trial: Trial, rules: Rules) -> Iterator[Problem]:
    calls = sum(trial.facts.fidelity.values())
    unlike = sum(trial.facts.fidelity[how] for how in UNFAITHFUL)
    if calls and 1 - unlike / calls < rules.min_fidelity:
        named = f" ({_named(trial.facts.unfaithful)})" if trial.facts.unfaithful else ""
        yield Problem(
            name="fidelity",
            sentence=f"{unlike} of the candidate's {calls} tool calls were simulated, refused or altered{named}; "
            f"at least {rules.min_fidelity:.0%} must be answered faithfully. Declare reads as "
            "reads, or add stubs or a world for the rest.",
        )


def ended_share(trial: Trial) -> float:
    """Share of the pairs of which the shadow ended a run."""
    return trial.facts.ended.total() / trial.pairs if trial.pairs else 0.0


def _too_many_ended(trial: Trial, rules: Rules) -> bool:
    return share_exceeds(trial.facts.ended.total(), trial.pairs, 1 - rules.min_coverage)


def _ended(trial: Trial, rules: Rules) -> Iterator[Problem]:
    if _too_many_ended(trial, rules):
        yield Problem(
            name="ended_by_shadow",
            sentence=f"{_ended_sentence(trial)} Too many to judge without them.",
        )
    if _reruns_share(trial) > 1 - rules.min_coverage and _needs_reruns(trial):
        yield Problem(name="reruns_ended", sentence=_reruns_sentence(trial))


def ended_notices(trial: Trial, rules: Rules) -> tuple[str, ...]:
    """What the shadow ended, where it is too little to hold for it."""
    notices: list[str] = []
    if ended_share(trial) and not _too_many_ended(trial, rules):
        notices.append(_ended_sentence(trial))
    if trial.facts.reruns_ended and not (_reruns_share(trial) > 1 - rules.min_coverage and _needs_reruns(trial)):
        notices.append(_reruns_sentence(trial))
    return tuple(notices)


def undeclared_notice(trial: Trial) -> tuple[str, ...]:
    """Results of tools that read like failures, and that nobody has declared to be or not to be any."""
    counted = trial.facts.undeclared
    if not counted:
        return ()
    tools: dict[str, Counter[str]] = {}
    why: dict[str, str] = {}
    for cause, n in counted.most_common():
        tool, _, rest = cause.partition(MEND)
        arm, _, reason = rest.partition(MEND)
        tools.setdefault(tool, Counter())[arm] += n
        why.setdefault(tool, reason)
    listed = [
        f"{tool} (incumbent {arms['incumbent']}, candidate {arms['candidate']}: {why[tool]})"
        for tool, arms in list(tools.items())[:_SHOWN]
    ]
    more = f" and {len(tools) - _SHOWN} more tools" if len(tools) > _SHOWN else ""
    first = next(iter(tools))
    return (
        (
            f"UNDECLARED: {counted.total()} results of tools read like failures and count as successes: "
            f"{', '.join(listed)}{more}. Say what a failure is, Stubs(failed={{{first!r}: ...}}), or that it is none."
        ),
    )


def _ended_sentence(trial: Trial) -> str:
    ended = trial.facts.ended
    return (
        f"The shadow, not the candidate, ended {ended.total()} of {trial.pairs} runs: {_named(ended)}. "
        f"They are unscored.{_mends(ended)}"
    )


def _reruns_share(trial: Trial) -> float:
    return trial.facts.reruns_ended.total() / trial.facts.reruns if trial.facts.reruns else 0.0


def _needs_reruns(trial: Trial) -> bool:
    compared = {metric.name for metric in trial.metrics if metric.like_with_like}
    return any(gate.base in compared and not gate.dry_run for gate in trial.gates)


def _reruns_sentence(trial: Trial) -> str:
    ended = trial.facts.reruns_ended
    return (
        f"The shadow ended {ended.total()} of {trial.facts.reruns} re-runs of the incumbent, with which latency, cost "
        f"and noise are compared: {_named(ended)}.{_mends(ended)}"
    )


def _named(causes: Counter[str]) -> str:
    """The most frequent by name."""
    ranked = causes.most_common()
    rest = sum(n for _, n in ranked[_SHOWN:])
    shown = [f"{cause.partition(MEND)[0]} ({n})" for cause, n in ranked[:_SHOWN]]
    return ", ".join([*shown, *([f"others ({rest})"] if rest else [])])


def _mends(causes: Counter[str]) -> str:
    lines = dict.fromkeys(cause.partition(MEND)[2] for cause, _ in causes.most_common(_SHOWN))
    return "".join(f" To mend it: {line.rstrip('.')}." for line in lines if line)
