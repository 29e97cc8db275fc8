"""Scorers that ask for objects (`PairScorer(rebuild=True)`) run in guarded processes, one for each observation.

The process is a candidate's: the same guard, without egress and without a place to write to, the same limits. What goes
wrong in it costs a score, with the reason, and never the evaluation.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from shadoweval.codec import freeze
from shadoweval.evaluation.judging import judging
from shadoweval.experiment import Experiment
from shadoweval.protocols import Scorer, Store
from shadoweval.records import Envelope, Observation, Outcome, Pair, Query, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.rebuilding import TARGET
from shadoweval.store.blobs import dump, dump_observation, with_plain_values

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = ["guarded"]

_ARM: Final = "scorer"
_T = TypeVar("_T")


@contextmanager
def guarded(experiment: Experiment, store: Store) -> Generator[Experiment]:
    """The experiment, whose scorers run where they may, and whose judges remember in the store.

    It is itself where no scorer asks for objects.
    """
    with judging(experiment.name, store):
        if not any(map(_rebuilds, experiment.scorers)):
            yield experiment
            return
        held = copy.copy(experiment)
        processes = _Processes(experiment)
        held.scorers = tuple(processes.held(scorer) for scorer in experiment.scorers)
        try:
            yield held
        finally:
            processes.close()


def _rebuilds(scorer: Scorer) -> bool:
    return isinstance(scorer, PairScorer) and scorer.rebuild


class _Processes:
    """Guarded processes that score, had from a pool whose loop runs in a thread; begun by the first that scores."""

    def __init__(self, experiment: Experiment) -> None:
        self._limits = experiment.sandbox.limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shadow-scorers", daemon=True)
        self._pool: CandidatePool | None = None
        self._thread.start()

    def held(self, scorer: Scorer) -> Scorer:
        """The scorer with its function in a process, if it asks for objects."""
        if not isinstance(scorer, PairScorer) or not scorer.rebuild:
            return scorer
        path = f"{scorer.score_one.__module__}:{scorer.score_one.__qualname__}"

        def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
            seen = self._wait(self._run(_envelope(path, observation, pair)))
            if seen.failure is None:
                return {name: _score(each) for name, each in (seen.outcome or Outcome()).value.items()}
            kind = seen.failure.error_type or seen.failure.kind
            why = Unscored(f"{kind}: {seen.failure.message}")
            return {metric.name: why for metric in scorer.metrics}

        return replace(scorer, score_one=score_one, rebuild=False)

    async def _run(self, envelope: Envelope) -> Observation:
        from shadoweval.candidate.guard import GuardPolicy  # noqa: PLC0415 - few scorers ask for objects
        from shadoweval.candidate.pool import CandidatePool  # noqa: PLC0415

        if self._pool is None:
            pool = CandidatePool({_ARM: TARGET}, limits=self._limits, guard=GuardPolicy(scratch=""))
            self._pool = await pool.__aenter__()
        # In a process of its own: what one candidate's classes leave behind must not meet the next observation.
        return await self._pool.run(envelope, arm=_ARM, attempt=2)

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End them."""
        if self._pool is not None:
            self._wait(self._pool.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _envelope(path: str, observation: Observation, pair: Pair) -> Envelope:
    """What a process is asked: the arguments of `scoring.rebuilding.score`."""
    runs = (pair.served, pair.candidate, pair.rerun)
    stored = next((raw for run, raw in zip(runs, pair.stored, strict=False) if run is observation), b"")
    plain = msgspec.structs.replace(
        pair,
        served=with_plain_values(pair.served),
        candidate=with_plain_values(pair.candidate),
        rerun=pair.rerun and with_plain_values(pair.rerun),
        stored=(),
    )
    arguments = {
        "function": path,
        "observation": dump_observation(observation),
        "pair": dump(plain),
        "stored": stored,
    }
    query = Query(id=pair.id, text="", inputs=freeze(((), arguments)), asked_at=pair.query.asked_at)
    asked = Observation(
        query_id=pair.id, arm=_ARM, place="served", outcome=Outcome(), started_at=query.asked_at, duration=0.0
    )
    return Envelope(experiment="scorers", query=query, served=asked)


def _score(said: float | str) -> Score:
    return Unscored(said) if isinstance(said, str) else Scored(said)
