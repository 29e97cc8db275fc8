"""What a hostile candidate comes to: decorator, spool, worker, store, `evaluate`, and the text that a person reads."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shadoweval import Experiment, Rules, Settings, evaluate, no_worse
from shadoweval.records import INCUMBENT
from shadoweval.scoring import errors
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

TARGETS = str(Path(__file__).parent / "targets")
if TARGETS not in sys.path:
    sys.path.insert(0, TARGETS)

ARM = "next"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate and what is to be said of it.

    `candidate` and `incumbent` are functions of `targets/hostile_targets.py`, or `module:function` of another file
    there. `says` are parts of `str(verdict)`, the text that is printed, asserted on and sent; `silent` must not be in
    it. `experiment` and `evaluation` are options of `Experiment` and `evaluate`. Each of `calls` is served once.
    """

    candidate: str
    decision: str
    says: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    incumbent: str = "plain"
    calls: int = 60
    experiment: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    """Why the row does not hold yet; it is then expected to fail."""

    def __str__(self):
        return self.candidate if self.incumbent == "plain" else f"{self.candidate}-{self.incumbent}"


def parameters(rows):
    """The rows for `pytest.mark.parametrize`."""
    return [pytest.param(row, marks=[pytest.mark.xfail(reason=row.fault, strict=True)] if row.fault else [],
                         id=str(row)) for row in rows]  # fmt: skip


def part(name):
    """A thing of `targets/hostile_targets.py`."""
    return getattr(__import__("hostile_targets"), name)


def target(name):
    """`"module:function"` of a target's name."""
    return name if ":" in name else f"hostile_targets:{name}"


class Shadowed:
    """A row after all of the way."""

    def __init__(self, row, folder):
        self.row, self.folder = row, folder
        self.experiment = Experiment(
            **{
                "name": "hostile",
                "candidates": {ARM: target(row.candidate)},
                "incumbent": target(row.incumbent),
                "scorers": [errors()],
                "gates": [no_worse("errors", by=0.2)],
                "rules": Rules(min_hours=0, min_units=20),
                "rerun": 0.0,
                "settings": Settings(home=str(folder / "home")),
                **row.experiment,
            }
        )

    def serve(self):
        """As production does."""
        module, _, name = target(self.row.incumbent).partition(":")
        self.mirrored(getattr(__import__(module), name))

    def mirrored(self, incumbent):
        """Each call of the row, with this incumbent."""
        served = self.experiment.mirror(1.0, control=0.0)(incumbent)
        for number in range(self.row.calls):
            served(str(number))

    async def work(self, store):
        """As a worker does."""
        arms = [INCUMBENT, ARM] if self.experiment.rerun and self.experiment.incumbent else [ARM]
        async with candidate_pool(self.experiment, arms=arms) as pool:
            receiver = SpoolReceiver(self.experiment.spool)
            await Worker(self.experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)

    def judged(self, *, serve=True):
        """Serve, work, evaluate; the evaluation."""
        if serve:
            self.serve()
        with SqlStore(f"sqlite:///{self.folder}/shadow.db") as store:
            asyncio.run(self.work(store))
            self.pairs = list(store.pairs("hostile", ARM))
            self.evaluation = evaluate(self.experiment, store=store, closed=True, **self.row.evaluation)
        return self.evaluation
