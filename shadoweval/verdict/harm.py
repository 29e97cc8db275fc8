"""Proven harm beside the gates: in a part of the traffic, by a metric without a gate, by another kind of failure.

What is worse by more than its margin holds the verdict (an e-value of K / alpha, of K that are looked at), unless it is
waived by name; what is worse within it is said. A candidate that is good everywhere is held with a chance of at most
alpha, however often one looks, by Bonferroni's bound over the K.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

from shadoweval.evidence.profiles import AND
from shadoweval.evidence.variables import Variable
from shadoweval.verdict.conduct import Problem
from shadoweval.verdict.harm_margins import OF_RANGE, is_looked_at, tolerated_loss
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.writes import JUDGING, WRITES

__all__ = ["Harms", "harm_problems", "harms_of"]

_CIRCUMSTANCES: Final = ("fidelity=", "history=", "incumbent failed=")
"""Slices that the shadow or the incumbent made, and not whoever asked."""
_SHOWN: Final = 3
_FAR: Final = 2.0
"""How many margins the mean lies away of what must be settled first; nearer ones may be chance among many slices."""
_NEARLY: Final = 1.5
"""A slice of a metric that is worse over all is named only where it is worse by this much more."""


Kind = Literal["metric", "slice", "failures"]


class Harm(NamedTuple):
    """Something that is worse."""

    kind: Kind
    names: tuple[str, ...]
    """By each of which it can be waived; the first one is its own."""
    words: str
    """How much, beside how much is tolerated."""
    beyond: float
    """Log evidence that it is worse by more than the margin."""
    at_all: float
    """Log evidence that it is worse."""
    over: bool
    """Whether its mean lies far beyond the margin, proven or not."""


class Harms(NamedTuple):
    """What is proven worse, the surest first."""

    beyond: tuple[Harm, ...] = ()
    unsettled: tuple[Harm, ...] = ()
    """Proven worse, with a mean far beyond the margin, which is not proven yet."""
    within: tuple[Harm, ...] = ()
    waived: tuple[Harm, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is worse within its margin, to be read first; nothing where nothing is."""
        return (f"worse within the margin: {_listed(self.within)}",) if self.within else ()

    @property
    def barriers(self) -> tuple[str, ...]:
        """What must be settled before a promotion."""
        return (f"worse, and it is open whether by more than the margin: {_listed(self.unsettled)}",) * bool(
            self.unsettled
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What is worse and was waived."""
        return (f"Proven worse, and waived by Rules(waive=...): {_listed(self.waived)}",) if self.waived else ()


def harm_problems(trial: Trial, rules: Rules) -> Iterator[Problem]:
    """What is proven worse by more than its margin, for which the verdict holds."""
    found = harms_of(trial, rules).beyond
    metrics, slices, failures = ([harm for harm in found if harm.kind == kind] for kind in get_args(Kind))
    if metrics:
        yield Problem(
            name="worse_metric",
            sentence=f"Proven worse by a metric that no gate asks for: {_listed(metrics)}. Write a gate for it, mend "
            f"the candidate{_waive(metrics)}",
        )
    if slices:
        yield Problem(
            name="worse_slice",
            sentence=f"Proven worse by more than the margin in a part of the traffic: {_listed(slices)}. Mend the "
            f"candidate there{_waive(slices)}",
        )
    if failures:
        yield Problem(
            name="worse_failures",
            sentence=f"The candidate fails in ways in which the incumbent does not: {_listed(failures)}. Mend "
            f"it{_waive(failures)}",
        )


def _waive(harms: Sequence[Harm]) -> str:
    return f", or accept it by name: Rules(waive={[harms[0].names[0]]!r})."


def harms_of(trial: Trial, rules: Rules) -> Harms:
    """All that is proven worse beside the gates."""
    if not trial.pairs:
        return Harms()
    margins = _margins(trial, rules)
    slices, looked_at = _slices(trial, margins)
    harms = [*_metrics(trial, margins), *_failures(trial, margins.get("errors", OF_RANGE)), *slices]
    many = math.log(max(1, looked_at + len(trial.ungated) + len(trial.facts.failures)) / rules.alpha)
    harms.sort(key=lambda harm: -harm.beyond)
    beyond = [harm for harm in harms if harm.beyond >= many]
    worse = [harm for harm in harms if harm.beyond < many <= harm.at_all]
    unsettled = [harm for harm in worse if harm.over]
    within = [harm for harm in worse if not harm.over]
    waived = [harm for harm in (*beyond, *worse) if not {*harm.names}.isdisjoint(rules.waive)]
    parts = [_others(part, waived) for part in (beyond, unsettled, within)]
    return Harms(*(tuple(_plainest(part)) for part in (*parts, waived)))


def _margins(trial: Trial, rules: Rules) -> dict[str, float]:
    """The loss that is tolerated of each metric that is looked at.

    More failures, where a gate judges them, are no second harm by all the metrics in which a failure scores.
    """
    facts = trial.facts
    failures = max(0.0, (facts.candidate_failed - facts.incumbent_failed) / trial.pairs)
    failures = 0.0 if "errors" in trial.ungated else failures
    margins: dict[str, float] = {}
    for metric in trial.metrics:
        name, scale = metric.name, trial.contrasts[metric.name].scale
        waived = name in JUDGING and rules.writes == "waived"
        # Writes that no gate judges are a problem by themselves, and where nothing is written they say nothing.
        if is_looked_at(metric, trial.gates) and not waived and not (name == WRITES and name in trial.ungated):
            incumbent, _ = trial.counts[name].means or (0.0, 0.0)
            tolerated = tolerated_loss(metric, trial.gates, scale=scale, incumbent=incumbent)
            explained = failures if name in trial.ungated and metric.failure_scores is not None else 0.0
            margins[name] = min(tolerated + explained, 0.99)
    return margins


def _others(harms: Sequence[Harm], waived: Sequence[Harm]) -> list[Harm]:
    return [harm for harm in harms if harm not in waived]


def _plainest(harms: Sequence[Harm]) -> Iterator[Harm]:
    """Without pairs of values of which one is worse by itself, and without slices of a metric that is."""
    named = {harm.names[0] for harm in harms}
    for harm in harms:
        if named.isdisjoint(harm.names[1:]) and named.isdisjoint(_parts(harm)):
            yield harm


def _parts(harm: Harm) -> list[str]:
    metric, _, where = harm.names[0].partition(" in ")
    return [f"{metric} in {part}" for part in where.split(AND)] if AND in where else []


def _metrics(trial: Trial, margins: Mapping[str, float]) -> Iterator[Harm]:
    """Metrics that no gate asks for, by the views that a gate would be broken by."""
    for name, margin in margins.items():
        variable = trial.contrasts[name]
        if name in trial.ungated and variable.mean.n:
            words = _words(trial, name, variable.mean.mean, n=variable.mean.n, margin=margin)
            over = variable.mean.mean < -_FAR * margin
            beyond, at_all = _log_e(variable, -margin), _log_e(variable, 0.0)
            yield Harm("metric", (name,), words, beyond, at_all, over)


def _log_e(variable: Variable, bound: float) -> float:
    """Log evidence that the mean is below the bound, by the view that says so most clearly for its share of alpha."""
    first = variable.mean.log_e(bound, "less")
    views = [] if variable.views is None else variable.views.of(first, row=0, margin=bound, side="less")
    return max((view.log_e + view.log_share for view in views), default=first)


def _slices(trial: Trial, margins: Mapping[str, float]) -> tuple[list[Harm], int]:
    found, looked_at = trial.slices.weigh(margins)
    harms: list[Harm] = []
    for each in found:
        overall = trial.contrasts[each.metric].mean
        alike = overall.mean < 0 and each.mean >= _NEARLY * overall.mean and each.metric not in trial.ungated
        if not alike and not each.slice.startswith(_CIRCUMSTANCES) and AND + "fidelity=" not in each.slice:
            parts = each.slice.split(AND)
            names = (f"{each.metric} in {each.slice}", each.metric, each.slice, *parts)
            words = _words(trial, each.metric, each.mean, n=each.n, margin=margins[each.metric])
            over = each.mean < -_FAR * margins[each.metric]
            harms.append(Harm("slice", names, words, each.beyond, each.at_all, over))
    return harms, looked_at


def _failures(trial: Trial, margin: float) -> Iterator[Harm]:
    """Classes of failures; what a gate on all failures sees as well is said, and left to that gate."""
    facts = trial.facts
    more = 0 if "errors" in trial.ungated else facts.candidate_failed - facts.incumbent_failed
    for each in facts.failures:
        net = each.candidate - each.incumbent
        if net > 0:
            words = (
                f"the candidate alone in {each.candidate}, the incumbent alone in {each.incumbent} of {trial.pairs} "
                f"pairs, tolerated {margin:.3g}"
            )
            mean = each.evidence(trial.pairs)
            beyond, at_all = (mean.log_e(bound, "less") for bound in (-margin, 0.0))
            judged = net < _NEARLY * more
            over = not judged and net > _FAR * margin * trial.pairs
            yield Harm("failures", (each.name,), words, -math.inf if judged else beyond, at_all, over)


def _words(trial: Trial, metric: str, mean: float, *, n: int, margin: float) -> str:
    scale = trial.contrasts[metric].scale
    if scale.bounded:
        low, high = scale.span()
        return f"by {-mean * (high - low):.3g} in {n} units, tolerated {margin * (high - low):.3g}"
    return f"by {-mean:.0%} of the larger one in {n} units, tolerated {margin:.0%}"


def _listed(harms: Sequence[Harm]) -> str:
    more = f"; and {len(harms) - _SHOWN} more" if len(harms) > _SHOWN else ""
    return "; ".join(f"{harm.names[0]} ({harm.words})" for harm in harms[:_SHOWN]) + more
