"""What people say about the arms' answers (`Labels.annotations`), as metrics that may gate.

A person's mark is about the answer that was given, so nothing else stands in for it: an answer without one is
unscored, and so is the incumbent's re-run. Where several people marked an answer, its score is their mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shadoweval.checks import checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import INCUMBENT, Annotation, Observation, Pair, PairScore, Score, Scored, Unscored, standing

__all__ = ["human_correctness", "human_preference"]

_NOBODY: Final = Unscored("no annotation", informative=False)
_ITSELF: Final = Unscored("people marked what was served, not its re-run", informative=False)


@dataclass(frozen=True, slots=True)
class HumanCorrectness:
    """Share of the annotators who called an arm's answer correct."""

    metrics: tuple[Metric, ...] = (Metric(name="human_correctness", fact_of_run=True),)
    version: str = "human_correctness/1"

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """Each arm by the marks for its own answer; a failed run is a wrong answer where the other arm has a mark."""
        marked = {
            run.arm: [each.mark == "correct" for each in standing(pair.labels.annotations) if _about(each, run)]
            for run in (pair.served, pair.candidate)
        }
        yield PairScore(
            metric=self.metrics[0].name,
            query_id=pair.id,
            incumbent=_correct(pair.served, marked),
            candidate=_ITSELF if pair.candidate.arm == INCUMBENT else _correct(pair.candidate, marked),
            scorer_version=self.version,
        )


def _about(annotation: Annotation, run: Observation) -> bool:
    return annotation.arm == run.arm and not annotation.over


def _correct(run: Observation, marked: Mapping[str, Sequence[bool]]) -> Score:
    if run.failed and run.unscored:
        return Unscored(run.unscored, informative=False)
    own = marked[run.arm]
    if own:
        return Scored(sum(own) / len(own))
    return Scored(0.0) if run.failed and any(marked.values()) else _NOBODY


@dataclass(frozen=True, slots=True)
class HumanPreference:
    """Share of the annotators who preferred an arm's answer to the other's; a tie is half of each."""

    metrics: tuple[Metric, ...] = (Metric(name="human_preference", fact_of_run=True),)
    version: str = "human_preference/1"

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """Both arms by the same marks, so that their scores sum to 1."""
        arms = {pair.served.arm, pair.candidate.arm}
        shares = [
            0.5 if each.mark == "tie" else float(each.arm == pair.candidate.arm)
            for each in standing(pair.labels.annotations)
            if each.over and {each.arm, each.over} == arms
        ]
        preferred = sum(shares) / len(shares) if shares else None
        yield PairScore(
            metric=self.metrics[0].name,
            query_id=pair.id,
            incumbent=_NOBODY if preferred is None else Scored(1 - preferred),
            candidate=_NOBODY if preferred is None else Scored(preferred),
            scorer_version=self.version,
        )


@checked_keywords()
def human_correctness() -> HumanCorrectness:
    """`human_correctness`: what people called correct or incorrect (`shadoweval labels`, `label()`)."""
    return HumanCorrectness()


@checked_keywords()
def human_preference() -> HumanPreference:
    """`human_preference`: which of both answers people preferred; compare by `better("human_preference", by=...)`."""
    return HumanPreference()
