"""A drill: a candidate is made to fail, and whoever should see it is asked whether it did.

It runs in a home and store of its own, which are gone at the end: no counter, budget, switch, store or receiver of
production's knows of it. The incumbent answers cases in a contained process, so that it does nothing to the world.
What judges is what judges live traffic: worker, guard, gates, report, outbox, breaker, kill switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from shadoweval.candidate.faults import HOLD, MESSAGE, Fault
from shadoweval.errors import CaseFileError, ExperimentError, ShadowEvalError
from shadoweval.evaluation.cases import labels_of
from shadoweval.evaluation.conditions import Watch, refusal_conditions
from shadoweval.evaluation.courier import Courier
from shadoweval.evaluation.drill_seen import (
    Marked,
    Seen,
    Told,
    seen_by_receivers,
    seen_by_verdict,
    seen_by_worker,
    seen_in_report,
)
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.queries import with_queries
from shadoweval.evaluation.suite import Playing, SuiteOptions, case_file, chosen_cases
from shadoweval.experiment import Experiment
from shadoweval.protocols import Condition, Notifier, Store
from shadoweval.records import INCUMBENT, Arm, Envelope, Observation
from shadoweval.settings import Settings
from shadoweval.traffic.admission import Traffic
from shadoweval.traffic.breaker import Breaker, BreakerLimits
from shadoweval.traffic.gauges import Backlog, Gauge
from shadoweval.transport.spool import SpoolTransport
from shadoweval.worker.ingestion import arms_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.monitor import Monitor
from shadoweval.worker.opening import candidate_pool, open_receiver, open_store

if TYPE_CHECKING:
    from shadoweval.store import SqlStore

__all__ = ["Drill"]

_MODULE: Final = "shadoweval_drill_candidate"
_CASES: Final = 150
_LATER: Final = 0.5
"""Seconds by which a slow candidate is later, at least; five times the incumbent's median else."""
_BEHIND: Final = 1.0
"""For so many seconds a query may wait in a drill before the breaker opens; in production an hour."""
_PATIENCE: Final = 120.0
"""Seconds for which anything is waited for."""
_WRONG: Final = {
    "raises": "it raises in every run",
    "slow": "it answers late",
    "wrong": "it answers another question",
    "write": "it calls a tool that writes, and writes a file",
    "crash": "its process ends in every run",
}


class Drill:
    """One drill.

    Args:
        experiment: Whose candidate fails.
        fault: How.
        folder: An empty folder, which the caller deletes.
        candidate: Which one; None: the first.
        cases: A case file, which the incumbent answers; None: queries of `stored`, else the experiment's labels.
        stored: Production's store, of which queries are read as they were served; None: there is none.
        notifiers: Receivers that are told too, with a mark.

    Raises:
        UnknownCandidateError: no candidate of that name.
        ExperimentError: it runs in an environment of its own.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        fault: Fault,
        folder: Path,
        candidate: Arm | None = None,
        cases: str | Path | None = None,
        stored: Store | None = None,
        notifiers: Sequence[Notifier] = (),
    ) -> None:
        self.candidate = next(iter(experiment.candidates)) if candidate is None else candidate
        target = experiment.target(self.candidate)
        if not isinstance(target, str):
            why = f"A drill runs in this environment, and {self.candidate!r} has one of its own."
            raise ExperimentError(f"{why} Give the --candidate that is a 'module:attribute' here.")
        self._target, self._experiment = target, experiment
        self.fault: Fault = fault
        self._cases, self._stored, self._folder = cases, stored, folder.resolve()
        self._told, self._marked = Told(), [Marked(each, fault) for each in notifiers]
        self._receivers: list[Notifier] = [self._told, *self._marked]
        self._runs: list[Observation] = []
        self._later = _LATER
        self.own = self._set_apart(experiment)
        self._watch = Watch(self.own, self._receivers, worker=False)

    @property
    def title(self) -> str:
        """What is done, in a sentence."""
        return (
            f"{self.own.name}: drill of candidate {self.candidate!r}: {_WRONG[self.fault]}. Home and store are the "
            "drill's own, and gone at its end."
        )

    def _set_apart(self, experiment: Experiment) -> Experiment:
        settings = Settings(home=str(self._folder / "home"))
        self._backlog = Backlog(experiment.name, home=settings.folder)
        behind = Gauge(name="age of the oldest waiting query in seconds", read=self._backlog.age, limit=_BEHIND)
        breaker = Breaker(BreakerLimits(every=0.1), gauges=[behind])
        return Experiment(
            name=experiment.name,
            candidates={self.candidate: f"{_MODULE}:candidate"},
            scorers=experiment.scorers,
            gates=experiment.gates,
            incumbent=experiment.incumbent,
            labels=experiment.labels,
            sandbox=experiment.sandbox,
            rules=experiment.rules,
            rule="kayenta" if experiment.rule == "kayenta" else "paired",
            rerun=0.0 if experiment.incumbent is None else 1.0,
            outcome=experiment.outcome,
            failures=experiment.failures,
            hit_id=experiment.hit_id,
            redact=experiment.redact,
            settings=settings,
            traffic=Traffic(breaker=breaker, transport=SpoolTransport(settings.spool / experiment.name)),
        )

    def run(self) -> Iterator[Seen]:
        """Do it, and say of each of them what it saw.

        Raises:
            CaseFileError, ShadowEvalError: there are no queries, or the incumbent answers no case.
            CandidateError: a candidate can't be started.
        """
        if killed := self.own.admission.switch.reason():
            raise ShadowEvalError(f"A drill can't run while everything is killed by {killed}. Take that back first.")
        with open_store(self.own) as store, Courier(self.own, self._receivers) as courier:
            served, words = self._served(store)
            yield Seen("incumbent", len(served) > 1, words)
            self._later = max(5 * median(each.served.latency for each in served), _LATER)
            with self._importable(served):
                asyncio.run(self._failing(served, store))
                yield seen_by_worker(self.fault, self._runs, later=self._later, folder=self._folder)
                self._look(store, courier)
                made = evaluate(self.own, closed=True, store=store, notifiers=self._receivers)
                self._look(store, courier, also=refusal_conditions(made))
                yield seen_by_verdict(self.fault, made)
                whole = with_queries(made, self.own, store=store)
                yield seen_in_report(self.fault, whole, self._folder / "report.html")
                look = partial(self._look, store, courier)
                yield from asyncio.run(self._hanging(store, look, entry=served[0].query.entry))
        yield from seen_by_receivers(self.fault, made, told=self._told, others=self._marked)

    def _look(self, store: Store, courier: Courier, *, also: Sequence[Condition] = ()) -> None:
        """Look how things stand, and have receivers told before that can change again."""
        self._watch.once(store, also=also)
        courier.settle(seconds=_PATIENCE)

    def _served(self, store: Store) -> tuple[list[Envelope], str]:
        """Queries with what the incumbent did, and where they are from; their labels are in the store."""
        if self._stored is not None and self._cases is None:
            pairs = self._stored.pairs(self._experiment.name, self.candidate)
            chosen = list(islice((pair for pair in pairs if not pair.served.failed), _CASES))
            if len(chosen) > 1:
                store.add_labels({pair.id: pair.labels for pair in chosen})
                queries = [Envelope(experiment=self.own.name, query=pair.query, served=pair.served) for pair in chosen]
                return queries, f"{len(chosen)} stored queries, as it served them"
        try:
            cases = chosen_cases(case_file(self._experiment, self._cases), options=SuiteOptions())[:_CASES]
        except CaseFileError as error:
            raise ShadowEvalError(f"A drill needs queries: no two are stored yet, and {error}") from error
        store.add_labels(labels_of(cases))
        envelopes = asyncio.run(Playing(self.own, cases, options=SuiteOptions()).incumbent())
        good = [each for each in envelopes if not each.served.failed]
        if len(good) > 1:
            return good, f"answered {len(good)} of {len(envelopes)} cases in a contained process"
        failure = next((each.served.failure for each in envelopes if each.served.failure), None)
        why = f": {failure.kind}: {failure.message}" if failure else ""
        raise ShadowEvalError(
            f"The incumbent answers {len(good)} of {len(envelopes)} cases in a contained process, and a drill needs "
            f"two{why}. Give Sandbox(stubs=...) or other --cases, or run the drill where queries are stored."
        )

    @contextlib.contextmanager
    def _importable(self, served: Sequence[Envelope]) -> Generator[None]:
        """A module with the failing candidate, on the path of this process and its children."""
        others = list(dict.fromkeys(each.query.inputs for each in served))[:2]
        entry, folder = served[0].query.entry, str(self._folder)
        arguments = {"entry": entry, "folder": folder, "seconds": self._later, "others": others}
        made = f"faulty({self._target!r}, {self.fault!r}, **{arguments!r})"
        code = f"from shadoweval.candidate.faults import faulty\n\ncandidate = {made}\n"
        place = self._folder / "modules"
        place.mkdir()
        (place / f"{_MODULE}.py").write_text(code, encoding="utf-8")
        sys.path.insert(0, str(place))
        try:
            yield
        finally:
            sys.path.remove(str(place))
            sys.modules.pop(_MODULE, None)

    @contextlib.asynccontextmanager
    async def _worker(self, store: SqlStore) -> AsyncGenerator[Worker]:
        arms, receiver = [self.candidate, *([INCUMBENT] if self.own.rerun else [])], open_receiver(self.own)
        async with candidate_pool(self.own, arms=arms, store=store) as pool:
            monitor = Monitor(self.own, counters=receiver.counters)
            yield Worker(
                self.own, store=store, receiver=receiver, pool=pool, on_observation=self._observed, monitor=monitor
            )

    def _observed(self, _envelope: Envelope, observation: Observation) -> None:
        if observation.arm == self.candidate:
            self._runs.append(observation)

    async def _failing(self, served: Sequence[Envelope], store: SqlStore) -> None:
        """The candidate fails on every case."""
        store.add_envelopes(list(served), arms={each.id: arms_of(self.own, each) for each in served})
        counters = {"eligible": len(served), "mirrored": len(served)}
        store.add_counters(self.own.name, "drill", counters)
        async with self._worker(store) as worker:
            await worker.run(until_idle=True)

    async def _hanging(self, store: SqlStore, look: Callable[[], None], *, entry: str) -> list[Seen]:
        """A mirrored call whose candidate hangs: somebody kills the experiment; later the worker falls behind."""
        (self._folder / HOLD).touch()
        self._backlog.report(age=0.0, fill=0.0)  # what the worker before this one said is over
        serve = self.own.mirror(1.0, control=0.0, entry=entry)(_answer)
        serve(MESSAGE)
        async with self._worker(store) as worker:
            working = asyncio.create_task(worker.run())
            try:
                began = await _comes(lambda: store.owners(self.own.name), working)
                killed = await self._killed(serve, look, worker=worker, working=working)
                return [killed._replace(seen=began and killed.seen), await self._behind(serve, look, working)]
            finally:
                worker.stop()
                worker.stop()  # what hangs is given back
                await working

    async def _killed(
        self, serve: Callable[[str], str], look: Callable[[], None], *, worker: Worker, working: asyncio.Task[Any]
    ) -> Seen:
        began = time.monotonic()
        self.own.kill(f"drill: {self.fault}")
        ended = await _comes(lambda: worker.counts["killed"] > 0, working)
        took = time.monotonic() - began
        serve(MESSAGE)
        stopped = open_receiver(self.own).counters().get("killed", 0) > 0
        look()
        self.own.resume("drill")
        ran = f"what ran was ended after {took:.2f} s" if ended else "what ran was NOT ended"
        more = "the next call was not mirrored" if stopped else "the next call WAS mirrored"
        return Seen("kill", ended and stopped, f"{ran}, {more}")

    async def _behind(self, serve: Callable[[str], str], look: Callable[[], None], working: asyncio.Task[Any]) -> Seen:
        counted = open_receiver(self.own).counters
        opened = await _comes(lambda: serve(MESSAGE) and counted().get("breaker_open", 0), working)
        look()
        why = self.own.admission.breaker.reason()
        return Seen(
            "breaker",
            opened,
            f"opened: {why} (an hour in production)" if opened else "did not open although the worker fell behind",
        )


def _answer(question: str) -> str:
    """Stands for the incumbent while calls are mirrored: the real one would write to the world."""
    return question


async def _comes(condition: Callable[[], Any], working: asyncio.Task[Any]) -> bool:
    """Wait for a condition while the worker works; False: it has not come after a long time."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline or working.done():
            return False
        await asyncio.sleep(0.05)
    return True
