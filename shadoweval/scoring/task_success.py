"""Did an agent leave the world as it should be? What its run has changed, against a goal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval.capture.identity import call_key
from shadoweval.checks import checked_function, checked_keywords, checked_strings
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.assignment import best_assignment
from shadoweval.scoring.own_functions import source_digest
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["task_success"]

_NO_GOAL: Final = Unscored("no goal of the task", informative=False)
_NO_WORLD: Final = (
    "no world says what the run has changed; write SqliteWorld(watch=[...]), InstanceWorld(watch=...) or an EntityWorld"
)
_NOTHING: Final = object()


@checked_keywords()
def task_success(
    goal: Callable[[Mapping[str, Any]], Any] | None = None, *, ignore: Collection[str] = ()
) -> TaskSuccess:
    """`task_success`: 1 where the world is at the end of a run as the goal says, else 0.

    Worlds say what a run has changed: `SqliteWorld(watch=["refunds"])` the rows that are new or other by table,
    `InstanceWorld(watch=vars)` the parts that are other, `EntityWorld` the entities. A case's `goal` says what must
    have changed to what: rows, of which it names the fields that count; parts by their fields; None for what must be
    gone. What it does not name must not have changed. What was served in production has no world: there the
    incumbent's re-run is compared (`Experiment(rerun=1.0)`).

    Args:
        goal: A function of what has changed that says whether the task is done; None: the case file's `goal`.
        ignore: Names of tables or parts that may change in any way.
    """
    checked_function("task_success(goal)", goal)
    return TaskSuccess(goal, ignore=checked_strings("task_success(ignore)", ignore))


class TaskSuccess:
    """Scorer of `task_success`."""

    def __init__(self, goal: Callable[[Mapping[str, Any]], Any] | None, *, ignore: Collection[str]) -> None:
        self._goal, self._ignore = goal, frozenset(ignore)
        named = "case" if goal is None else source_digest(goal)
        self._scorer = PairScorer(
            metrics=(Metric(name="task_success", fact_of_run=True),),
            version=f"task_success/1 {named} {sorted(self._ignore)}",
            score_one=self._score_one,
        )
        self.metrics, self.version = self._scorer.metrics, self._scorer.version

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """Both arms; the incumbent's re-run where what was served has no world."""
        for score in self._scorer.score(pair):
            served = pair.served
            again = score.noise if served.changed is None and not served.failed else None
            yield msgspec.structs.replace(score, incumbent=again or score.incumbent)

    def _score_one(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        goal = pair.labels.goal
        if self._goal is None and goal is None:
            return {"task_success": _NO_GOAL}
        if observation.changed is None:
            return {"task_success": Unscored(observation.unwatched or _NO_WORLD, informative=False)}
        changed = {name: part for name, part in observation.changed.items() if name not in self._ignore}
        done = meets(goal or {}, changed) if self._goal is None else bool(self._goal(changed))
        return {"task_success": Scored(float(done))}


def meets(goal: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether just that has changed which the goal names, and to what it says."""
    return all(_fits(goal.get(name), changed.get(name), whole=True) for name in {**goal, **changed})


def _fits(wanted: Any, got: Any, *, whole: bool = False) -> bool:
    if isinstance(wanted, Mapping):
        fields = cast("Mapping[str, Any]", wanted)
        return isinstance(got, Mapping) and all(
            _fits(value, cast("Mapping[str, Any]", got).get(name, _NOTHING)) for name, value in fields.items()
        )
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple | type(None)):
        rows, there = cast("list[Any]", wanted), cast("list[Any]", got or [])
        fitting = [[float(_fits(row, other)) for other in there] for row in rows]
        return len(rows) == len(there) == len(best_assignment(fitting))
    if whole and not wanted and not got and not isinstance(wanted, bool | int | float | str):
        return True  # nothing is wanted there, and nothing is there
    return got is not _NOTHING and call_key({"": wanted}) == call_key({"": got})
