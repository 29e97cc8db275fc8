"""A scorer of one's own is a function: `@per_arm` scores one arm's run, `@pairwise` both at once.

    @per_arm
    def brevity(answer: str) -> float:
        return 1 / (1 + len(answer.split()))

    Experiment(scorers=[brevity], ...)

It asks for what it needs by the names of its arguments. It may be async, and it stays what it was: `brevity("no")` is
called as before.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, TypedDict, Unpack, cast, overload

from shadoweval.checks import (
    checked_function,
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_number,
)
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.own_functions import OF_PAIR, OF_RUN, OwnFunction, Reader, own_metrics, score_of, source_digest
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["OwnScorer", "pairwise", "per_arm"]

_Side = Literal["incumbent", "candidate"]
_BATCH: Final = 64
_OF_SCORER: Final = frozenset({"name", "version", "batch", "metrics", "made_by"})


class _Options(TypedDict, total=False):
    """What both decorators take: below `made_by`, fields of the function's `Metric`."""

    name: str | None
    version: str
    batch: bool | int
    metrics: Iterable[Metric] | None
    made_by: Mapping[str, str]
    higher_is_better: bool
    low: float | None
    high: float | None
    like_with_like: bool
    failure_scores: float | None
    fact_of_run: bool
    costly: bool
    descriptive: bool
    length_sensitive: bool
    unit: str
    of_pair: bool


class OwnScorer:
    """A user's function as a scorer (`protocols.BatchScorer`), made by `@per_arm` or `@pairwise`."""

    readers: ClassVar[Mapping[str, Reader]]
    """Name of an argument -> what gives it."""

    def __init__(self, function: Callable[..., Any], *, of: str, options: Mapping[str, Any]) -> None:
        of_metric = {key: value for key, value in options.items() if key not in _OF_SCORER}
        own = OwnFunction(function, of=of, readers=self.readers, batch=options.get("batch", 0))
        name = options.get("name") or own.name
        self._own = own
        self.metrics = own_metrics(name, options.get("metrics"), of_metric)
        self.made_by: Mapping[str, str] = options.get("made_by", {})
        """Whose word it is: model, prompt."""
        described = hashlib.sha256(repr((self.metrics, sorted(self.made_by.items()))).encode()).hexdigest()[:4]
        self.version: str = options.get("version") or f"{name}/{source_digest(function)}{described}"
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself."""
        return self._own.function(*args, **kwargs)

    def score(self, pair: Pair) -> Iterable[PairScore]:
        """Both arms under each metric."""
        return self.score_many([pair])

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """As `score`, of many pairs: a function that takes a batch, or is async, is asked for many runs at once."""
        raise NotImplementedError

    def _answers(self, runs: Iterable[tuple[Observation, Pair]]) -> list[list[Any]]:
        """Of each run what the function said: once, or for each reference."""
        asked = [self._own.asked(run, pair) for run, pair in runs]
        flat = iter(self._own.answers([call for calls in asked if not isinstance(calls, Unscored) for call in calls]))
        return [[calls] if isinstance(calls, Unscored) else [next(flat) for _ in calls] for calls in asked]

    def _value(self, said: Any, metric: Metric) -> Any:
        """What the function said of one metric."""
        if not isinstance(said, Mapping):
            if len(self.metrics) > 1 and not isinstance(said, Unscored | BaseException):
                names = ", ".join(each.name for each in self.metrics)
                return TypeError(f"the scorer gave {type(said).__name__} and not a dict of {names}")
            return said
        return cast("Mapping[str, Any]", said).get(metric.name)


class _PerArm(OwnScorer):
    readers: ClassVar[Mapping[str, Reader]] = {**OF_RUN, **OF_PAIR, "observation": lambda run, _: run}

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """As `OwnScorer.score_many`."""
        runs = [
            (run, pair)
            for pair in pairs
            for run in (pair.served, pair.candidate, pair.rerun)
            if run is not None and not run.failed
        ]
        answers = dict(zip([(pair.id, id(run)) for run, pair in runs], self._answers(runs), strict=True))

        def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
            said = answers[pair.id, id(observation)]
            return {
                metric.name: _best([score_of(self._value(each, metric)) for each in said], metric)
                for metric in self.metrics
            }

        scorer = PairScorer(metrics=self.metrics, version=self.version, score_one=score_one)
        for pair in pairs:
            yield from scorer.score(pair)


class _Pairwise(OwnScorer):
    readers: ClassVar[Mapping[str, Reader]] = {
        **OF_PAIR,
        "incumbent": lambda _, pair: pair.served,
        "candidate": lambda _, pair: pair.candidate,
        **{f"incumbent_{name}": lambda _, pair, read=read: read(pair.served, pair) for name, read in OF_RUN.items()},
        **{f"candidate_{name}": lambda _, pair, read=read: read(pair.candidate, pair) for name, read in OF_RUN.items()},
    }

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """As `OwnScorer.score_many`."""
        whole = [pair for pair in pairs if not (pair.served.failed or pair.candidate.failed)]
        answers = dict(
            zip([each.id for each in whole], self._answers((each.candidate, each) for each in whole), strict=True)
        )
        for pair in pairs:
            said = answers.get(pair.id)
            for metric in self.metrics:
                yield PairScore(
                    metric=metric.name,
                    query_id=pair.id,
                    incumbent=self._side(said, metric, "incumbent", pair),
                    candidate=self._side(said, metric, "candidate", pair),
                    scorer_version=self.version,
                )

    def _side(self, said: list[Any] | None, metric: Metric, side: _Side, pair: Pair) -> Score:  # noqa: PLR0917 - one of four
        if said is not None:
            return _best([_of_side(self._value(each, metric), metric, side) for each in said], metric)
        own, other = (pair.served, pair.candidate) if side == "incumbent" else (pair.candidate, pair.served)
        for run in (own, other):
            if run.failed and run.unscored:
                return Unscored(run.unscored, informative=False)
        end = metric.failure_scores if own.failed else metric.best
        if end is None or metric.failure_scores is None:
            return Unscored("failed: there are no two answers to compare")
        return Scored(end)


def _of_side(value: Any, metric: Metric, side: _Side) -> Score:
    """One arm's part of what a function said of both: a pair of numbers, or the candidate's of a sum that is fixed."""
    if isinstance(value, tuple | list):
        both = cast("Sequence[Any]", value)
        if len(both) != 2:
            return score_of(TypeError(f"the scorer gave {len(both)} values and not (incumbent, candidate)"))
        return score_of(both[side == "candidate"])
    score = score_of(value)
    if side == "candidate" or isinstance(score, Unscored):
        return score
    if metric.low is None or metric.high is None:
        return score_of(TypeError("one number for both arms needs a metric with low= and high="))
    return Scored(metric.low + metric.high - score.value)


def _best(scores: Sequence[Score], metric: Metric) -> Score:
    """The best of those by several references; each of them is as good as the others."""
    values = [each.value for each in scores if isinstance(each, Scored)]
    if not values:
        return scores[0]
    return Scored(max(values) if metric.higher_is_better else min(values))


def _declared(kind: type[OwnScorer], of: str, function: Any, *, given: Mapping[str, Any]) -> Any:
    options = dict(given)
    for name in ("name", "version"):
        if options.get(name) is not None:
            checked_instance(f"@{of}({name})", options[name], str, mend="Write for instance 'mine/1'.")
    if options.get("metrics") is not None:
        options["metrics"] = checked_list(f"@{of}(metrics)", options["metrics"], mend="Write [Metric(name=...)].")
    if options.get("made_by") is not None:
        options["made_by"] = checked_mapping(f"@{of}(made_by)", options["made_by"])
    batch = options.get("batch", 0)
    whole = int(batch) if isinstance(batch, bool) else batch
    options["batch"] = _BATCH if batch is True else checked_number(f"@{of}(batch)", whole, low=0, whole=True)
    if isinstance(function, OwnScorer):
        raise ArgumentError(f"what @{of} declares", function, expected="a function that is no scorer yet")
    if function is not None:
        return kind(function, of=of, options=options)

    def declare(declared: Callable[..., Any]) -> OwnScorer:
        return kind(checked_function(f"what @{of} declares", declared, awaited=True), of=of, options=options)

    return declare


@overload
def per_arm(function: Callable[..., Any], /) -> OwnScorer: ...
@overload
def per_arm(**options: Unpack[_Options]) -> Callable[[Callable[..., Any]], OwnScorer]: ...
@checked_keywords(options=_Options.__annotations__)
def per_arm(
    function: Callable[..., Any] | None = None, /, **options: Unpack[_Options]
) -> OwnScorer | Callable[[Callable[..., Any]], OwnScorer]:
    """Make a scorer of a function, sync or async, that scores one arm's run: a number of any kind, or None.

    Its arguments are matched by name: `answer`, `value`, `hits`, `tool_calls`, `steps`, `usage`, `observation` of the
    run; `query` (its text), `attributes`, `reference`, `references`, `relevant`, `expected_calls`, `labels`, `pair`. A
    run that has not got one is unscored, unless the argument has a default. With `reference` it is called for each of
    several, and the best counts. A failed run is not shown to it: see `Metric.failure_scores`.

    Args:
        function: The function, when the decorator is used without parentheses.
        options: `name`: of the metric, by default the function's. `version`: changes whenever the same run could score
            differently; by default from the name and the function's source, in which what it calls is not seen.
            `batch`: the function gets lists, of at most so many runs (True: 64), and returns as many numbers.
            `metrics`: where it returns a dict, what it makes. `made_by`: whose word it is, for report and telemetry,
            `{"model": "gpt-4.1", "prompt": PROMPT}`; of a prompt the hash is shown. The others are fields of the
            metric, such as `low`, `high`, `higher_is_better`; see `Metric`.

    Raises:
        ArgumentError, UnknownArgumentError: an argument, of either, that can't be used.
    """
    return _declared(_PerArm, "per_arm", function, given=options)


@overload
def pairwise(function: Callable[..., Any], /) -> OwnScorer: ...
@overload
def pairwise(**options: Unpack[_Options]) -> Callable[[Callable[..., Any]], OwnScorer]: ...
@checked_keywords(options=_Options.__annotations__)
def pairwise(
    function: Callable[..., Any] | None = None, /, **options: Unpack[_Options]
) -> OwnScorer | Callable[[Callable[..., Any]], OwnScorer]:
    """Make a scorer of a function, sync or async, that sees both arms' runs.

    It returns two numbers, `(incumbent, candidate)`, or one from 0 to 1: how far it prefers the candidate, of which
    the incumbent gets the rest. Arguments, by name: `incumbent` and `candidate` (observations), `incumbent_answer`,
    `candidate_answer` and so on with `value`, `hits`, `tool_calls`, `steps` and `usage`, and what both share (see
    `per_arm`). Where one arm failed it loses, and the function is not asked.

    Args:
        function: The function, when the decorator is used without parentheses.
        options: As of `per_arm`.

    Raises:
        ArgumentError, UnknownArgumentError: an argument, of either, that can't be used.
    """
    return _declared(_Pairwise, "pairwise", function, given=options)
