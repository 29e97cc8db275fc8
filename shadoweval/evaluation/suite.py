"""Both arms over a case file: what the pytest fixture `shadow` runs.

The incumbent runs first, in a process of its own and under the same stubs; what it did is the record that the
candidates are shadowed with, as if it had been served. From there on everything is as with live traffic.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import re
import tempfile
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from shadoweval.clock import Clock, utc_now
from shadoweval.errors import CaseFileError
from shadoweval.evaluation.cases import Case, labels_of, queries_of, read_cases
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.queries import with_queries
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import INCUMBENT, Arm, Envelope, Evaluation, Observation, Outcome, Query, Verdict
from shadoweval.reporting.html import report
from shadoweval.worker.ingestion import arms_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = ["Shadow"]

_LONGEST: Final = 150
"""Characters of a report's name, of the 255 bytes that a file's may have."""


class Shadow:
    """The pytest fixture: call it with an experiment and a case file, assert on the verdict.

    Args:
        report_folder: Where each call writes its HTML report; None: nowhere.
        test: Name of the test, which names its reports, so that none is written over another test's.
    """

    def __init__(self, *, report_folder: str | None = None, test: str = "") -> None:
        self.evaluation: Evaluation | None = None
        """The evaluation of the last call."""
        self._report_folder, self._test = report_folder, test
        self._reports = 0

    def __call__(
        self,
        experiment: Experiment,
        *,
        cases: str | Path | None = None,
        candidate: str | None = None,
        processes: int = 1,
    ) -> Verdict:
        """Run both arms over the cases and decide about the candidate.

        Args:
            experiment: What to run; it must name its incumbent.
            cases: Case file; None: the experiment's labels.
            candidate: Name; None: the only one there is.
            processes: Processes an arm.

        Raises:
            ShadowEvalError: the cases can't be read, an arm can't be imported, the name is unknown.
        """
        name = candidate or next(iter(experiment.candidates))
        self.evaluation = run_suite(experiment, cases=cases, candidates=[name], processes=processes)
        if self._report_folder is not None:
            report(self.evaluation, Path(self._report_folder) / self._report_name(experiment.name, name))
        return self.evaluation.verdicts[0]

    def _report_name(self, experiment: str, candidate: Arm) -> str:
        self._reports += 1
        again = f"-{self._reports}" if self._reports > 1 else ""
        name = f"{self._test}-{experiment}-{candidate}" if self._test else f"{experiment}-{candidate}"
        return f"{_file_name(name)}{again}.html"


def run_suite(
    experiment: Experiment,
    *,
    cases: str | Path | None = None,
    candidates: Sequence[Arm] | None = None,
    processes: int = 1,
    clock: Clock = utc_now,
) -> Evaluation:
    """Run the incumbent and the candidates over a case file, in a store that is thrown away; evaluate and return."""
    from shadoweval.store import SqlStore  # noqa: PLC0415 - the fixture loads nothing before it is used

    names = list(experiment.candidates) if candidates is None else list(candidates)
    targets = [experiment.target(name) for name in (INCUMBENT, *names)]
    suite = read_cases(_case_file(experiment, cases))
    folder = tempfile.TemporaryDirectory(prefix="shadow-suite-")
    with folder as path, SqlStore(f"sqlite:///{path}/suite.db") as store:
        _complete(_run(experiment, suite, store=store, names=names, processes=processes, clock=clock))
        store.add_labels(labels_of(suite))
        evaluation = evaluate(experiment, candidates=names, once=True, store=store, clock=clock)
        evaluation = with_queries(evaluation, experiment, store=store)  # the store goes
    note = f"A suite of {len(suite)} cases; arms: {', '.join(targets)}."
    return msgspec.structs.replace(evaluation, notes=(*evaluation.notes, note))


def _complete(work: Coroutine[None, None, None]) -> None:
    """Run it to its end, also where a loop runs already (an async test, a notebook): in a thread's own loop then."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="shadow-suite") as thread:
        thread.submit(context.run, asyncio.run, work).result()


def _file_name(name: str) -> str:
    """The name without what file systems refuse, and short enough for them; different names stay different."""
    name = name.replace("::", ".").replace("/", ".")
    plain = re.sub(r"[^\w.-]+", "-", name)
    if len(plain) <= _LONGEST and plain == name:
        return plain
    return f"{plain[-_LONGEST:]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _case_file(experiment: Experiment, cases: str | Path | None) -> Path:
    file = cases or experiment.labels
    if file is None:
        raise CaseFileError("cases", 0, f"experiment {experiment.name!r} has no labels either; give cases='file.jsonl'")
    return Path(file)


async def _run(
    experiment: Experiment, cases: tuple[Case, ...], *, store: Store, names: Sequence[Arm], processes: int, clock: Clock
) -> None:
    async with candidate_pool(experiment, arms=[INCUMBENT, *names], processes=processes) as pool:
        queries = list(queries_of(cases, entry=experiment.target(INCUMBENT), clock=clock))
        envelopes = await asyncio.gather(*(_served(experiment, query, pool=pool) for query in queries))
        arms = {
            envelope.id: [a for a in arms_of(experiment, envelope) if a in {INCUMBENT, *names}]
            for envelope in envelopes
        }
        store.add_envelopes(envelopes, arms=arms)
        store.add_counters(experiment.name, "suite", {"eligible": len(envelopes), "mirrored": len(envelopes)})
        await Worker(experiment, store=store, receiver=_NoReceiver(), pool=pool).run(until_idle=True)


async def _served(experiment: Experiment, query: Query, *, pool: CandidatePool) -> Envelope:
    """The envelope that the mirror would have sent, had the incumbent's run been served."""
    placeholder = Observation(
        query_id=query.id, arm=INCUMBENT, place="served", outcome=Outcome(), started_at=query.asked_at, duration=0.0
    )
    blank = Envelope(experiment=experiment.name, query=query, served=placeholder)
    observation = await pool.run(blank, arm=INCUMBENT)
    return msgspec.structs.replace(blank, served=msgspec.structs.replace(observation, place="served"))


class _NoReceiver:
    """A receiver without envelopes: the suite puts them into the store itself."""

    def receive(self, limit: int) -> None:
        del limit

    def caught_up(self) -> bool:
        return True

    def counters(self) -> dict[str, int]:
        return {}
