"""Both arms over a case file: what the pytest fixture `shadow` runs.

The incumbent runs first, in a process of its own and under the same stubs; what it did is the record that the
candidates are shadowed with, as if it had been served. From there on everything is as with live traffic.
"""

from __future__ import annotations

import asyncio
import contextvars
import tempfile
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from shadoweval.clock import Clock, utc_now
from shadoweval.errors import CaseFileError, ShadowEvalError
from shadoweval.evaluation.cases import Case, Turn, labels_of, queries_of, read_cases
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.queries import with_queries
from shadoweval.evaluation.suite_conversations import by_conversation, with_turns_before
from shadoweval.evaluation.suite_setting import set_apart
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import INCUMBENT, Arm, Envelope, Evaluation, Observation, Outcome, Query
from shadoweval.reporting.calls import answer_text
from shadoweval.worker.ingestion import arms_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = [
    "Playing",
    "SuiteOptions",
    "SuiteRun",
    "case_file",
    "chosen_cases",
    "complete",
    "play",
]

_T = TypeVar("_T")
_CRASHES: Final = frozenset({"crash", "out_of_memory"})


class BudgetSpentError(ShadowEvalError):
    """A suite may spend no more; what it has run until then says nothing."""

    def __init__(self, experiment: str, why: str) -> None:
        self.experiment, self.why = experiment, why
        super().__init__(
            f"The suite of {experiment!r} has spent its budget before its end: {why}. Raise --shadow-budget, or take "
            "fewer cases."
        )


class SuiteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a suite is run, whatever it is about."""

    processes: int = 1
    """Processes an arm: so many cases run at a time."""
    repeats: int = 1
    """How often each case is asked; it counts once, by the mean of what its runs score."""
    usd: float | None = None
    """What all arms may spend together; None: what they like."""
    attributes: tuple[tuple[str, str], ...] = ()
    """What a case's attributes must be; empty: all cases."""
    only: frozenset[str] = frozenset()
    """Of which cases (`Case.identity`); empty: of all."""
    progress: Callable[[str, int, int], object] | None = None
    """Called with the experiment's name, how many runs are done and how many there are."""


class SuiteRun(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a suite."""

    evaluation: Evaluation
    cases: tuple[Case, ...]
    observations: dict[str, dict[Arm, Observation]]
    """Query id -> arm -> what it did; a case's first run has the case's id."""
    remarks: tuple[str, ...] = ()
    """What the suite leaves out."""

    def crashes(self, arm: Arm) -> tuple[str, ...]:
        """Of each run that ended an arm's process, the case and how."""
        failures = ((name, arms[arm].failure) for name, arms in self.observations.items() if arm in arms)
        ends = ((name, failure) for name, failure in failures if failure and failure.kind in _CRASHES)
        return tuple(f"{name}: {failure.message or failure.kind}" for name, failure in ends)


def play(
    experiment: Experiment,
    *,
    cases: str | Path | None = None,
    candidates: Sequence[Arm] | None = None,
    options: SuiteOptions = SuiteOptions(),  # noqa: B008 - frozen
    clock: Clock = utc_now,
) -> SuiteRun:
    """Run a suite, both arms live.

    Raises:
        CaseFileError: the cases can't be read, or none is left by `options.attributes`.
        ExperimentError, UnknownCandidateError: the incumbent is not named, or no candidate is called so.
        BudgetSpentError: it would have spent more.
    """
    names = list(experiment.candidates) if candidates is None else list(candidates)
    targets = [str(experiment.target(name)) for name in (INCUMBENT, *names)]
    suite = chosen_cases(case_file(experiment, cases), options=options)
    with tempfile.TemporaryDirectory(prefix="shadow-suite-") as path:
        own = set_apart(experiment, Path(path) / "home", usd=options.usd)
        playing = Playing(own, suite, options=options, clock=clock)
        evaluation = playing.judged(names, store_file=Path(path) / "suite.db")
    note = f"A suite of {len(suite)} cases; arms: {', '.join(targets)}."
    evaluation = msgspec.structs.replace(evaluation, notes=(*evaluation.notes, note))
    return SuiteRun(evaluation=evaluation, cases=suite, observations=dict(playing.observations))


def case_file(experiment: Experiment, cases: str | Path | None) -> Path:
    """Where a suite's cases are.

    Raises:
        CaseFileError: nobody says.
    """
    file = cases or experiment.labels
    if file is None:
        why = f"experiment {experiment.name!r} has no labels either; give cases='file.jsonl'"
        raise CaseFileError("cases", 0, why)
    return Path(file)


def chosen_cases(file: Path, *, options: SuiteOptions) -> tuple[Case, ...]:
    """The cases that a suite asks.

    Raises:
        CaseFileError: they can't be read, or none has the attributes that are asked for.
    """
    every, wanted = read_cases(file), options.attributes
    chosen = tuple(case for case in every if all(str(case.attributes.get(name)) == value for name, value in wanted))
    if options.only:
        chosen = tuple(case for case in chosen if case.identity in options.only)
    chosen = with_turns_before(chosen, every)
    if not chosen:
        parts = ", ".join(f"{name}={value}" for name, value in wanted)
        raise CaseFileError(str(file), 0, f"none of its {len(every)} cases has the attributes {parts}")
    return chosen


class Playing:
    """A suite under way.

    Args:
        experiment: As `set_apart` made it.
        cases: What is asked.
        options: How.
        clock: Now.
        exchanges: As of `CandidatePool`.
    """

    def __init__(
        self,
        experiment: Experiment,
        cases: tuple[Case, ...],
        *,
        options: SuiteOptions,
        clock: Clock = utc_now,
        exchanges: tuple[str, str] | None = None,
    ) -> None:
        self.experiment, self.cases, self.options, self._clock = experiment, cases, options, clock
        self.observations: defaultdict[str, dict[Arm, Observation]] = defaultdict(dict)
        self._exchanges = exchanges
        self._done = self._all = 0

    def queries(self) -> list[Query]:
        """In the file's order, round after round. A repeated case is one unit, however often it is asked."""
        repeats, entry = self.options.repeats, str(self.experiment.target(INCUMBENT))
        queries: list[Query] = []
        for number in range(1, repeats + 1):
            for query in queries_of(self.cases, entry=entry, clock=self._clock):
                unit = query.unit or (f"case {query.id}" if repeats > 1 else "")
                name = query.id if number == 1 else f"{query.id}#{number}"
                queries.append(msgspec.structs.replace(query, id=name, unit=unit))
        return queries

    def judged(self, names: Sequence[Arm], *, store_file: Path, served: Sequence[Envelope] = ()) -> Evaluation:
        """Run the candidates, and the incumbent before them where it was not `served`; evaluate in a new store."""
        from shadoweval.store import SqlStore  # noqa: PLC0415 - the fixture loads nothing before it is used

        with SqlStore(f"sqlite:///{store_file}") as store:
            complete(self._run(names, store=store, served=served))
            store.add_labels(labels_of(self.cases))
            evaluation = evaluate(self.experiment, candidates=names, once=True, store=store, clock=self._clock)
            return with_queries(evaluation, self.experiment, store=store)  # the store goes

    async def incumbent(self) -> list[Envelope]:
        """Run the incumbent alone: the envelopes that the mirror would have sent, had its runs been served."""
        async with self._pool([INCUMBENT]) as pool:
            return await self._served(pool)

    async def _run(self, names: Sequence[Arm], *, store: Store, served: Sequence[Envelope]) -> None:
        own, arms = self.experiment, [*([] if served else [INCUMBENT]), *names]
        async with self._pool(arms) as pool:
            envelopes = served or await self._served(pool)
            drawn = {each.id: [arm for arm in arms_of(own, each) if arm in arms] for each in envelopes}
            self._all = self._done + sum(map(len, drawn.values()))
            store.add_envelopes(list(envelopes), arms=drawn)
            store.add_counters(own.name, "suite", {"eligible": len(envelopes), "mirrored": len(envelopes)})
            worker = Worker(own, store=store, receiver=_NoReceiver(), pool=pool, on_observation=self._observed)
            await worker.run(until_idle=True)
        self._look_at_budget()

    def _pool(self, arms: Sequence[Arm]) -> CandidatePool:
        processes, exchanges = self.options.processes, self._exchanges
        return candidate_pool(self.experiment, arms=arms, processes=processes, watched=False, exchanges=exchanges)

    async def _served(self, pool: CandidatePool) -> list[Envelope]:
        queries = self.queries()
        self._all = len(queries) * (1 + len(pool.targets))
        room = asyncio.Semaphore(max(pool.capacity, 1))

        async def served(turns: Sequence[tuple[Query, Case]]) -> list[Envelope]:
            """One query, or the turns of a conversation in their order, each with the answers before."""
            envelopes: list[Envelope] = []
            for query, case in turns:
                if isinstance(case, Turn):
                    answers = [answer_text(each.served) for each in envelopes]
                    query = msgspec.structs.replace(query, inputs=case.inputs_after(answers))  # noqa: PLW2901
                async with room:
                    self._look_at_budget()
                    envelopes.append(await self._serve(query, pool=pool))
            return envelopes

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(served(turns)) for turns in by_conversation(queries, self.cases)]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [envelope for task in tasks for envelope in task.result()]

    async def _serve(self, query: Query, *, pool: CandidatePool) -> Envelope:
        placeholder = Observation(
            query_id=query.id, arm=INCUMBENT, place="served", outcome=Outcome(), started_at=query.asked_at, duration=0.0
        )
        blank = Envelope(experiment=self.experiment.name, query=query, served=placeholder)
        observation = await pool.run(blank, arm=INCUMBENT)
        used = observation.usage
        tokens = (used.input_tokens or 0) + (used.output_tokens or 0)
        self.experiment.admission.budget.charge(tokens=tokens, usd=used.cost_usd or 0.0)
        self._observed(blank, observation)
        return msgspec.structs.replace(blank, served=msgspec.structs.replace(observation, place="served"))

    def _observed(self, envelope: Envelope, observation: Observation) -> None:
        self.observations[envelope.id].setdefault(observation.arm, observation)
        self._done += 1
        if self.options.progress is not None:
            self.options.progress(self.experiment.name, self._done, max(self._all, self._done))

    def _look_at_budget(self) -> None:
        spent = self.experiment.admission.budget.reason(runs=True)
        if spent is not None:
            raise BudgetSpentError(self.experiment.name, spent)


def complete(work: Coroutine[Any, Any, _T]) -> _T:
    """Run it to its end, also where a loop runs already (an async test, a notebook): in a thread's own loop then."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="shadow-suite") as thread:
        return thread.submit(context.run, asyncio.run, work).result()


class _NoReceiver:
    """A receiver without envelopes: the suite puts them into the store itself."""

    def receive(self, limit: int) -> None:
        del limit

    def caught_up(self) -> bool:
        return True

    def counters(self) -> dict[str, int]:
        return {}
