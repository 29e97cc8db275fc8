"""A cheap scorer first, a judge where that one leaves doubt, and of the rest a random share.

Which pairs the judge sees is settled before it is asked, by the cheap scores and a hash of the query's id; each score
carries the chance of that, so that means and gates are those of a judge that saw all (`verdict/drawn.py`), however
wrong the cheap scorer is where it is sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from shadoweval.buckets import within
from shadoweval.checks import checked_instance, checked_keywords, checked_number, checked_scorer
from shadoweval.errors import ArgumentError
from shadoweval.logs import logger
from shadoweval.protocols import BatchScorer, Metric, Scorer
from shadoweval.records import NOT_DRAWN, Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.own_scorers import OwnScorer
from shadoweval.scoring.pair_scorer import PairScorer, raised

__all__ = ["cascade", "of_all"]

log: Final = logger(__name__)

_SIDES: Final[frozenset[type]] = frozenset({Scored, Unscored})
_UNDRAWN: Final = Unscored(NOT_DRAWN, informative=False)
_NO_SCORE: Final = Unscored("the judge gave no score")
_SALT: Final = "cascade"
"""One for all cascades: what is judged at a share is judged at each larger one, so that kept replies are of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Scores by `judge`, asked for the pairs that are drawn; see `cascade`."""

    cheap: Scorer
    judge: Scorer
    unsure: tuple[float, float]
    share: float
    metrics: tuple[Metric, ...]
    version: str
    made_by: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def score(self, pair: Pair) -> Iterable[PairScore]:
        """Both arms, and the re-run as noise."""
        return self.score_many([pair])

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """As `score`; the judge is handed all pairs that are drawn at once."""
        cheap = _said(self.cheap, pairs)
        proxies = [self._proxies(cheap[pair.id]) for pair in pairs]
        chances = [self._chance(pair, own) for pair, own in zip(pairs, proxies, strict=True)]
        drawn = [pair for pair, chance in zip(pairs, chances, strict=True) if within(chance, _SALT, pair.id)]
        judged = _said(self.judge, drawn)
        for pair, chance, own in zip(pairs, chances, proxies, strict=True):
            score = judged.get(pair.id) or _unasked(pair)
            yield msgspec.structs.replace(
                score,
                metric=self.metrics[0].name,
                scorer_version=self.version,
                chance=chance * score.chance,
                proxies=own,
            )

    def _proxies(self, cheap: PairScore) -> tuple[float, float] | None:
        """The cheap scores in the judge's range and direction; None: an arm has none."""
        incumbent, candidate = cheap.incumbent, cheap.candidate
        if isinstance(incumbent, Unscored) or isinstance(candidate, Unscored):
            return None
        cheap_metric, metric = self.cheap.metrics[0], self.metrics[0]
        worst, best = _ends(metric)
        goodness = [_goodness(each.value, cheap_metric) for each in (incumbent, candidate)]
        mapped = [worst + good * (best - worst) for good in goodness]
        return mapped[0], mapped[1]

    def _chance(self, pair: Pair, proxies: tuple[float, float] | None) -> float:
        """With which the judge sees the pair: 1 where a run failed, or a cheap score is missing or leaves doubt."""
        if proxies is None or pair.served.outcome is None or pair.candidate.outcome is None:
            return 1.0
        answer = pair.served.outcome.answer
        same = answer is not None and answer == pair.candidate.outcome.answer and proxies[0] == proxies[1]
        low, high = self.unsure
        doubtful = any(low < _goodness(proxy, self.metrics[0]) < high for proxy in proxies)
        return 1.0 if doubtful and not same else self.share


def of_all(scorer: Scorer) -> Scorer:
    """As `scorer`, of every pair: of a cascade, its judge. For who probes a judge by answers that nobody gave."""
    if not isinstance(scorer, Cascade):
        return scorer
    if scorer.metrics[0].name == scorer.judge.metrics[0].name:
        return scorer.judge
    return replace(scorer, share=1.0)


@checked_keywords()
def cascade(
    cheap: Scorer,
    judge: Scorer,
    *,
    unsure: tuple[float, float] = (0.2, 0.8),
    share: float = 0.3,
    name: str | None = None,
) -> Cascade:
    """The judge's metric, of which the judge scores the doubtful pairs, and of the others a random share.

    A pair is doubtful where an arm's cheap score lies in the middle, unless both arms gave the same answer and the same
    cheap score. It is also judged where a run failed, or the cheap scorer has no score.

    Args:
        cheap: A scorer of runs that costs little, of one metric with a range: `answer_quality()`.
        judge: A scorer of runs that costs much, of one metric with a range: `correctness_judge(judge=...)`.
        unsure: Between which cheap scores, both excluded, there is doubt; 0 is the worst and 1 the best of their range.
        share: Of the pairs without doubt that are judged too: above 0, for nothing else shows where the cheap scorer
            is sure and wrong. A smaller share takes fewer calls, and gates more pairs to prove anything.
        name: Of the metric; None: the judge's.

    Raises:
        ArgumentError: a scorer of several metrics, of one without a range, of the pair and not of each run, or with
            `rebuild`.
    """
    of_cheap, of_judge = _only_metric("cascade(cheap)", cheap), _only_metric("cascade(judge)", judge)
    part = checked_number("cascade(share)", share, above=0, high=1)
    low, high = _checked_unsure(unsure)
    if name is not None:
        checked_instance("cascade(name)", name, str)
    own = of_judge.name if name is None else name
    made_by = {
        **getattr(judge, "made_by", {}),
        "cheap": f"{of_cheap.name} ({cheap.version})",
        "judged": f"where that lies between {low:g} and {high:g}, and else {part:.3g} of the pairs",
    }
    return Cascade(
        cheap=cheap,
        judge=judge,
        unsure=(low, high),
        share=part,
        metrics=(replace(of_judge, name=own, least_chance=part * of_judge.least_chance),),
        version=f"cascade/1 {low!r} {high!r} {part!r} ({cheap.version}; {judge.version})",
        made_by=made_by,
    )


def _only_metric(what: str, scorer: Scorer) -> Metric:
    metrics = checked_scorer(scorer).metrics
    mend = "Take a scorer of each arm's answer, such as token_f1() or correctness_judge(judge=...)."
    if len(metrics) != 1:
        names = [metric.name for metric in metrics]
        raise ArgumentError(what, names, expected="a scorer of a single metric", mend=mend)
    (metric,) = metrics
    of_both = isinstance(scorer, OwnScorer) and "observation" not in scorer.readers
    if of_both or metric.of_pair or metric.like_with_like:
        raise ArgumentError(what, metric.name, expected="a metric of each run by itself, of what was served", mend=mend)
    if metric.low is None or metric.high is None:
        raise ArgumentError(what, metric.name, expected="a metric with a range", mend="Give it low= and high=.")
    if isinstance(scorer, PairScorer) and scorer.rebuild:
        raise ArgumentError(what, metric.name, expected="a scorer without rebuild=True", mend=mend)
    return metric


def _checked_unsure(unsure: Any) -> tuple[float, float]:
    what, ends = "cascade(unsure)", unsure if isinstance(unsure, tuple | list) else ()
    if len(ends) != 2:
        raise ArgumentError(what, unsure, expected="two numbers from 0 to 1", mend="Write unsure=(0.2, 0.8).")
    low, high = (float(checked_number(what, end, low=0, high=1)) for end in ends)
    if low >= high:
        raise ArgumentError(what, unsure, expected="the lower number first", mend="Write unsure=(0.2, 0.8).")
    return low, high


def _ends(metric: Metric) -> tuple[float, float]:
    """The worst and the best value of a metric with a range."""
    assert metric.worst is not None
    assert metric.best is not None
    return metric.worst, metric.best


def _goodness(value: float, metric: Metric) -> float:
    """From 0, the worst of the metric's range, to 1."""
    worst, best = _ends(metric)
    return min(max((value - worst) / (best - worst), 0.0), 1.0)


def _unasked(pair: Pair) -> PairScore:
    again = None if pair.rerun is None else _UNDRAWN
    return PairScore(metric="", query_id=pair.id, incumbent=_UNDRAWN, candidate=_UNDRAWN, noise=again)


def _said(scorer: Scorer, pairs: Sequence[Pair]) -> dict[str, PairScore]:
    """A scorer's word on each pair, by the query's id; where it raises, the error is why there is no score."""
    if len(pairs) > 1 and isinstance(scorer, BatchScorer):
        try:
            by_id = {each.query_id: _checked(each) for each in scorer.score_many(pairs)}
            return {pair.id: by_id.get(pair.id) or _without(pair, _NO_SCORE) for pair in pairs}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whichever pair it was, the others shall have their scores
            log.warning("a scorer can't score many pairs at once", extra={"why": raised(error).reason})
    return {pair.id: _said_of(scorer, pair) for pair in pairs}


def _said_of(scorer: Scorer, pair: Pair) -> PairScore:
    try:
        return next((_checked(each) for each in scorer.score(pair)), _without(pair, _NO_SCORE))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - it must count with the chance with which the pair was drawn
        return _without(pair, raised(error))


def _without(pair: Pair, why: Score) -> PairScore:
    return PairScore(metric="", query_id=pair.id, incumbent=why, candidate=why)


def _checked(score: Any) -> PairScore:
    if isinstance(score, PairScore) and type(score.incumbent) in _SIDES and type(score.candidate) in _SIDES:
        return score
    raise TypeError(f"a scorer gives PairScore(...)s of Scored or Unscored, this one gave {score!r:.80}")
