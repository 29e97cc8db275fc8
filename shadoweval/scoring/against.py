"""What a run's tool calls are held against: what the incumbent was served with, or the case file's right calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from shadoweval.capture.interception import INTERRUPTED
from shadoweval.records import Pair, PairScore, ToolCall, Unscored
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["NO_REFERENCE", "Against", "AgainstServed", "agent_calls", "reference_calls"]

Against = Literal["incumbent", "reference"]
"""`incumbent`: what was served for the same query; `reference`: `expected_calls` of the case file."""

NO_REFERENCE: Final = Unscored("no expected tool calls", informative=False)
_INCUMBENT_FAILED: Final = "the incumbent failed, so what it would have done is not known"


def agent_calls(calls: tuple[ToolCall, ...]) -> list[ToolCall]:
    """The calls that an agent made itself: not those of its tools' own code, nor those that wait for a person."""
    return [call for call in calls if call.within is None and not (call.error or "").startswith(INTERRUPTED)]


def reference_calls(pair: Pair, against: Against) -> list[ToolCall] | None:
    """The calls to compare with; None: nobody said which are right."""
    calls = pair.served.tool_calls if against == "incumbent" else pair.labels.expected_calls
    return None if calls is None else agent_calls(calls)


class AgainstServed:
    """A scorer that holds each run against what was served; where that failed, there is nothing to hold it against."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer
        self.metrics, self.version = scorer.metrics, scorer.version

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """The candidate, and the incumbent's re-run, against what was served."""
        failure = pair.served.failure
        if failure is None or failure.kind == "aborted":
            yield from self._scorer.score(pair)
            return
        why = Unscored(_INCUMBENT_FAILED, informative=False)
        for metric in self.metrics:
            yield PairScore(
                metric=metric.name,
                query_id=pair.id,
                incumbent=why,
                candidate=why,
                scorer_version=self.version,
                noise=pair.rerun and why,
            )
