"""The same pipeline as both arms, the whole way: decorator, spool, worker, store, `evaluate`, text and report.

A row is a function of a module in `shapes/`:

    @shape(call("How?"), call("Why?"))
    def plain(question):
        return f"because of {question}"

and each module of shapes has a file of tests, so that they run side by side:

    @pytest.mark.parametrize("row", rows("aa_arguments"))
    def test_arguments(row, compared):
        compared(row)

`compared` fails with a list of everything that differs, was refused, was lost or is said to be so.
"""

import asyncio
import importlib
import inspect
import sys
from collections import Counter
from pathlib import Path

import pytest

from shadoweval import Experiment, Settings, evaluate, no_worse
from shadoweval.codec import freeze
from shadoweval.errors import UncopyableError
from shadoweval.records import INCUMBENT
from shadoweval.reporting.html import report
from shadoweval.scoring import errors, overlap, tool_success
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.transport.waiting import waiting
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool
from tests.waiting import until

SHAPES = str(Path(__file__).parent / "shapes")
ARM = "same"


def rows(module):
    """The shapes of a module, which candidates import by the same name."""
    if SHAPES not in sys.path:
        sys.path.insert(0, SHAPES)
    importlib.import_module(module)
    shapes = importlib.import_module("aa_rows").shapes_of(module)
    return [pytest.param(row, marks=[pytest.mark.xfail(reason=row.fault)] if row.fault else [], id=str(row))
            for row in shapes]  # fmt: skip


@pytest.fixture
def compared(tmp_path):
    """Runs a row, and fails with what differs."""

    def run(row):
        faults = Shadowed(row, tmp_path).faults()
        assert not faults, "\n".join(faults)

    return run


async def as_a_caller(value):
    """Awaits what is to be awaited, takes all chunks of what has some."""
    if inspect.isawaitable(value):
        value = await value
    if hasattr(value, "__anext__"):
        return [chunk async for chunk in value]
    return list(value) if hasattr(value, "__next__") else value


def serve(row, pipeline):
    """Make the row's calls as production does; what a pipeline raises is its caller's to see."""

    async def one(call):
        value = pipeline(*call.arguments, **call.keywords)
        value = row.consume(value) if row.consume is not None else value
        return await as_a_caller(value)

    for call in row.calls:
        try:
            asyncio.run(one(call))
        except Exception as error:
            if type(error).__module__.startswith("shadoweval"):
                raise


class Shadowed:
    """One row after all of the way."""

    def __init__(self, row, folder):
        self.row = row
        self.experiment = Experiment(
            name="aa",
            candidates={ARM: row.target},
            incumbent=row.target,
            scorers=[errors(), tool_success(), overlap(k=5)],
            gates=[no_worse("errors", by=0.05)],
            rerun=1.0,
            settings=Settings(home=str(folder / "home")),
            **row.options,
        )
        serve(row, row.mount(self.experiment.mirror(control=0.0, **row.mirroring), row.pipeline))
        self.counts = {name: count for name, count in self.experiment._outlet.counts().items() if count}
        mirrored = self.counts.get("mirrored", 0)
        until(lambda: waiting(self.experiment.spool).frames >= mirrored)  # its collector may just be starting
        with SqlStore(f"sqlite:///{folder}/shadow.db") as store:
            asyncio.run(self._work(store))
            self.pairs = list(store.pairs("aa", ARM))
            self.evaluation = evaluate(self.experiment, store=store)
        self.html = report(self.evaluation, folder / "aa.html").read_text(encoding="utf-8")

    async def _work(self, store):
        async with candidate_pool(self.experiment, arms=[INCUMBENT, ARM]) as pool:
            receiver = SpoolReceiver(self.experiment.spool)
            await Worker(self.experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)

    def faults(self):
        """Everything that is not as it was."""
        return [*self._lost(), *self._different(), *self._said()]

    def _lost(self):
        count = len(self.row.calls)
        fate = "uncopyable" if self.row.uncopyable else "mirrored"
        if self.counts != {"eligible": count, fate: count}:
            yield f"{count} calls were counted as {self.counts}"
        if len(self.pairs) != (0 if self.row.uncopyable else count):
            yield f"{count} calls gave {len(self.pairs)} pairs: {self.evaluation.coverage[ARM]}"
        yield from (f"{pair.id} was not run again" for pair in self.pairs if pair.rerun is None)

    def _different(self):
        for pair in self.pairs:
            for observation in filter(None, (pair.candidate, pair.rerun)):
                where = f"{pair.query.text!r}, {observation.arm}"
                yield from (f"{where}: {text}" for text in differences(pair.served, observation))
                strange = {"refused"} if self.row.made_up else {"refused", "simulated"}
                yield from (f"{where}: {call.name} was {call.answered}" for call in observation.tool_calls
                            if call.answered in strange)  # fmt: skip
                yield from (f"{where}: refused {refusal}" for refusal in observation.refusals)

    def _said(self):
        (verdict,), coverage = self.evaluation.verdicts, self.evaluation.coverage[ARM]
        if verdict.rolls_back:
            yield f"said to be worse:\n{verdict}"
        if "WRITES DIFFER" in str(verdict):
            yield f"writes are said to differ:\n{verdict}"
        if coverage.gap or coverage.failed or coverage.waiting:
            yield f"the funnel has lost something: {coverage}"
        if verdict.live_writes or verdict.decision.upper() not in self.html.upper():
            yield f"the report does not say what the verdict says:\n{verdict}"


def differences(served, shadow):
    """What a shadow did otherwise than what was served, in words."""
    at_once = any(call.handed for seen in (served, shadow) for call in seen.tool_calls)
    for what, read in ASPECTS.items():
        was, came = read(served), read(shadow)
        if what == "hits" and at_once and was and came:  # of threads and tasks, which find theirs as they like
            was, came = (Counter((hit.id, hit.score, hit.text) for hit in hits) for hits in (was, came))
        if was != came:
            yield f"{what} was {was!r}, came as {came!r}"


def _outcome(read):
    return lambda observation: observation.outcome and read(observation.outcome)


def _frozen(value):
    try:
        return freeze(value)
    except UncopyableError:  # what a tool gave is recorded however deep it is nested
        return repr(value)


def _calls(seen):
    """Calls, of a run that failed too, in no order, since those of threads end as they like."""
    return Counter(
        (call.name, _frozen(call.arguments), _frozen(call.result), call.error, call.effect, call.occurrence)
        for call in seen.tool_calls
    )


def _own_steps(steps):
    """Without what another agent did whose work was the result of a tool: a shadow has its result, calls and hits."""
    of = {step.index: step for step in steps}

    def within_a_tool(step):
        above = of.get(step.parent)
        return above is not None and (above.kind == "tool" or within_a_tool(above))

    return [step for step in steps if step.kind in {"tool", "retrieval"} or not within_a_tool(step)]


ASPECTS = {
    "failure": lambda seen: seen.failure and (seen.failure.kind, seen.failure.error_type, seen.failure.message),
    "answer": _outcome(lambda outcome: outcome.answer),
    "value": _outcome(lambda outcome: freeze(outcome.value)),
    "chunks": _outcome(lambda outcome: outcome.chunks),
    "hits": _outcome(lambda outcome: outcome.hits),
    "tool calls": _calls,
    "steps": lambda seen: Counter((step.kind, step.name, step.error) for step in _own_steps(seen.steps)),
}
