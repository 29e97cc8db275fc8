"""Whether an arm does the same again when it is asked the same again, and whether it is right every time.

The worker runs both arms again (`Sandbox(repeats=)`) on the queries on which the incumbent is run again
(`Experiment(rerun=)`). All of these runs are shadows, so that the arms are compared like with like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

import msgspec

from shadoweval.checks import checked_function, checked_keywords, checked_number, checked_scorer
from shadoweval.codec import canonical
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import NOT_RERUN, Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.function_names import name_of
from shadoweval.scoring.text_metrics import token_f1_of, unicode_tokens

__all__ = ["consistency"]

_NAME: Final = "consistency"
_ONCE: Final = Unscored("it was not run twice: Sandbox(repeats=1) runs both arms again", informative=False)
_NOTHING: Final = Unscored("the runs have neither answers, hits nor tool calls to compare")

_Agree = Callable[[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """Agreement of an arm's runs of one query with one another, and whether some of them pass every time."""

    metrics: tuple[Metric, ...]
    version: str
    agree: _Agree
    passes: Scorer | None = None
    at_least: float = 1.0
    k: int = 2

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """The incumbent by its re-run and the repeats of that, the candidate by its run and the repeats of that."""
        again = None if pair.rerun is None else self._of(pair.rerun, pair)
        candidate = self._of(pair.candidate, pair)
        for at, metric in enumerate(self.metrics):
            yield PairScore(
                metric=metric.name,
                query_id=pair.id,
                incumbent=Unscored(NOT_RERUN, informative=False) if again is None else again[at],
                candidate=candidate[at],
                scorer_version=self.version,
                noise=None if again is None else again[at],
            )

    def _of(self, first: Observation, pair: Pair) -> list[Score]:
        runs = [run for run in (first, *first.again) if not (run.failed and run.unscored)]
        if len(runs) < 2:
            return [_ONCE for _ in self.metrics]
        return [self._agreement(runs), *([] if self.passes is None else [self._passed(self.passes, runs, pair)])]

    def _agreement(self, runs: Sequence[Observation]) -> Score:
        alike = [self._alike(*two) for two in combinations(runs, 2)]
        known = [each for each in alike if each is not None]
        return Scored(sum(known) / len(known)) if known else _NOTHING

    def _alike(self, one: Observation, other: Observation) -> float | None:
        """Mean over what at least one of them has; a run that failed agrees with nothing."""
        if one.outcome is None or other.outcome is None:
            return 0.0
        parts: list[float] = []
        texts = one.outcome.answer, other.outcome.answer
        if any(text is not None for text in texts):
            parts.append(self._texts_alike(texts[0] or "", texts[1] or ""))
        for left, right in ((_hits(one), _hits(other)), (_calls(one), _calls(other))):
            if left or right:
                parts.append(2 * (left & right).total() / (left.total() + right.total()))
        return sum(parts) / len(parts) if parts else None

    def _texts_alike(self, one: str, other: str) -> float:
        """An empty answer agrees with nothing: saying nothing is no way to be consistent."""
        if not (one.strip() and other.strip()):
            return 0.0
        return 1.0 if one == other else self.agree(one, other)

    def _passed(self, passes: Scorer, runs: Sequence[Observation], pair: Pair) -> Score:
        """Share of the ways to choose `k` of the runs in which all pass (Yao et al. 2024, tau-bench)."""
        if len(runs) < self.k:
            return Unscored(f"it was run {len(runs)} times, pass^{self.k} takes {self.k}", informative=False)
        passed = 0
        for run in runs:
            if run.failed:
                continue
            score = next(iter(passes.score(msgspec.structs.replace(pair, candidate=run, stored=())))).candidate
            if isinstance(score, Unscored):
                return score
            passed += score.value >= self.at_least
        return Scored(comb(passed, self.k) / comb(len(runs), self.k))


def _hits(run: Observation) -> Counter[tuple[str, ...]]:
    return Counter((hit.id,) for hit in run.hits)


def _calls(run: Observation) -> Counter[tuple[str, ...]]:
    return Counter((call.name, canonical(call.arguments)) for call in run.tool_calls)


def _same_words(one: str, other: str) -> float:
    return token_f1_of(one, other, tokens=unicode_tokens)


@checked_keywords()
def consistency(
    *, passes: Scorer | None = None, at_least: float | None = None, k: int = 2, agree: _Agree | None = None
) -> Consistency:
    """`consistency`: how far an arm's runs of the same query agree; with `passes` also `pass^K`: all of K runs pass.

    Args:
        passes: A scorer of one metric that says whether a run is right: `exact_match()`, `task_success()`.
        at_least: The score from which a run passes; by default the metric's best.
        k: How many runs must all pass; `Sandbox(repeats=)` must be at least one less.
        agree: How alike two answers are, from 0 to 1; by default the F1 of their words.

    Raises:
        ArgumentError: something can't be used.
    """
    checked_function("consistency(agree)", agree)
    checked_number("consistency(k)", k, low=2, whole=True)
    metrics = [Metric(name=_NAME, like_with_like=True, fact_of_run=True)]
    version, least = f"{_NAME}/1" if agree is None else f"{_NAME}/own {name_of(agree)}/1", 1.0
    if passes is not None:
        checked_scorer(passes)
        if len(passes.metrics) != 1 or not passes.metrics[0].higher_is_better:
            expected = "a scorer of one metric, of which higher is better"
            raise ArgumentError("consistency(passes)", passes, expected=expected, mend="Write exact_match().")
        best = passes.metrics[0].best
        if at_least is None and best is None:
            raise ArgumentError("consistency(at_least)", at_least, expected="a number, since the metric has no best")
        least = checked_number("consistency(at_least)", best if at_least is None else at_least)
        metrics.append(Metric(name=f"pass^{k}", like_with_like=True, fact_of_run=True))
        version = f"{version}/{passes.version}/{least:g}"
    elif at_least is not None:
        raise ArgumentError("consistency(at_least)", at_least, expected="given with passes=, whose score it is of")
    return Consistency(
        metrics=tuple(metrics), version=version, agree=agree or _same_words, passes=passes, at_least=least, k=k
    )
