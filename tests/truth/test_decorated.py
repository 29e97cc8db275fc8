"""Rows that go the whole way: decorator, spool, worker, store, `evaluate`, printed verdict."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shadoweval import Experiment, Labels, Rules, Settings, evaluate, no_worse
from shadoweval.protocols import Metric
from shadoweval.records import Scored
from shadoweval.scoring import (
    PairScorer,
    answer_quality,
    citations,
    errors,
    exact_match,
    format,  # noqa: A004 - the metric's name
    refusal,
    semantic_similarity,
    support,
    tool_success,
    writes,
)
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

TARGETS = str(Path(__file__).parent / "targets")
if TARGETS not in sys.path:
    sys.path.insert(0, TARGETS)

ALWAYS = PairScorer(metrics=(Metric(name="mine"),), version="mine/1", score_one=lambda *_: {"mine": Scored(1.0)})
ERRORS = no_worse("errors", by=0.2)


def letters(texts):
    """Vectors by letters: a model of anybody's."""
    return [[1.0, *(float(text.count(letter)) for letter in "aeinostr")] for text in texts]


def distinct(number):
    return f"question {number}"


def follow_up(number):
    return "yes" if number % 2 else distinct(number)


@dataclass(frozen=True, kw_only=True)
class Decorated:
    """A candidate of `targets/truth_targets.py`, what it is asked, and what must come out of it."""

    candidate: str
    incumbent: str = "incumbent"
    decisions: tuple[str, ...]
    kind: int
    says: tuple[str, ...] = ()
    asks: object = distinct
    scorers: tuple = ()
    gates: tuple = ()
    calls: int = 60
    labelled: bool = False
    fault: str = ""


ROWS = [
    Decorated(kind=1, candidate="same", decisions=("promote",)),
    Decorated(kind=1, candidate="same", decisions=("promote",), asks=follow_up, calls=80),
    Decorated(
        kind=1,
        candidate="crashes_on_yes",
        decisions=("rollback",),
        says=("errors is no worse",),
        asks=follow_up,
        calls=80,
    ),
    Decorated(kind=1, candidate="crashes_often", decisions=("rollback",), says=("proven broken: errors",)),
    Decorated(
        kind=10,
        candidate="falls_silent",
        decisions=("hold",),
        says=("What a stage sees changed in mid-run", "answer of 'new': text before, empty text in"),
        calls=130,
    ),
    Decorated(
        kind=2,
        candidate="empty",
        decisions=("hold",),
        says=("mine",),
        scorers=(ALWAYS,),
        gates=(no_worse("mine", by=0.2),),
    ),
    Decorated(
        kind=2,
        candidate="looks_up_nothing",
        decisions=("hold", "rollback"),
        says=("tool_success",),
        scorers=(tool_success(),),
        gates=(no_worse("tool_success", by=0.2),),
    ),
    Decorated(
        kind=5,
        candidate="no_text",
        decisions=("hold", "rollback"),
        says=("exact_match",),
        scorers=(exact_match(),),
        gates=(no_worse("exact_match", by=0.2),),
        labelled=True,
    ),
    Decorated(
        kind=7,
        candidate="other_numbers",
        decisions=("hold",),
        says=("exact_match",),
        scorers=(exact_match(),),
        labelled=True,
    ),
    Decorated(
        kind=13,
        candidate="same",
        decisions=("promote",),
        scorers=(answer_quality(),),
        gates=(no_worse("answer_quality", by=0.2),),
        labelled=True,
    ),
    Decorated(
        kind=13,
        candidate="other_numbers",
        decisions=("rollback",),
        says=("proven broken: answer_quality",),
        scorers=(answer_quality(),),
        gates=(no_worse("answer_quality", by=0.2),),
        labelled=True,
    ),
    Decorated(
        kind=13,
        candidate="refuses",
        decisions=("rollback",),
        says=("proven broken: refusal", "refusals 0% -> 100%"),
        scorers=(refusal(),),
        gates=(no_worse("refusal", by=0.2),),
    ),
    Decorated(
        kind=13,
        incumbent="cites",
        candidate="makes_it_up",
        decisions=("rollback",),
        says=(
            "proven broken: citations",
            "proven broken: support",
            "support is no worse by 0.2                   0.0 instead of 1.0",
        ),
        scorers=(citations(), support()),
        gates=(no_worse("citations", by=0.2), no_worse("support", by=0.2)),
    ),
    Decorated(
        kind=13,
        incumbent="cites",
        candidate="cites_by_rank",
        decisions=("promote",),
        scorers=(citations(), support(), semantic_similarity(model=letters)),
        gates=(no_worse("citations", by=0.2), no_worse("support", by=0.2)),
        labelled=True,
    ),
    Decorated(
        kind=13,
        incumbent="in_json",
        candidate="in_fenced_json",
        decisions=("rollback",),
        says=("proven broken: format", "format JSON in a code fence 0% -> 100%"),
        scorers=(format({"type": "object", "required": ["answer"]}),),
        gates=(no_worse("format", by=0.2),),
    ),
    Decorated(kind=12, candidate="books", decisions=("hold",), says=("book",), scorers=(writes(),)),
    Decorated(
        kind=3,
        candidate="other_numbers",
        decisions=("rollback",),
        says=("proven broken: exact_match",),
        scorers=(exact_match(),),
        gates=(no_worse("exact_match", by=0.2),),
        labelled=True,
    ),
]


def _marks(row):
    return [pytest.mark.xfail(reason=row.fault, strict=True)] if row.fault else []


def shadowed(row, folder):
    """Serve, work, evaluate; the verdict."""
    import truth_targets

    experiment = Experiment(
        name="decorated",
        candidates={"new": f"truth_targets:{row.candidate}"},
        incumbent=f"truth_targets:{row.incumbent}",
        scorers=[errors(), *row.scorers],
        gates=[ERRORS, *row.gates],
        rules=Rules(min_hours=0, min_units=20),
        rerun=0.0,
        settings=Settings(home=str(folder / "home")),
    )
    served = experiment.mirror(1.0, control=0.0)(getattr(truth_targets, row.incumbent))
    for number in range(row.calls):
        served(row.asks(number))
    with SqlStore(f"sqlite:///{folder / 'decorated.db'}") as store:
        asyncio.run(work(experiment, store))
        if row.labelled:
            pairs = store.pairs("decorated", "new")
            store.add_labels({each.id: Labels(reference=each.served.outcome.answer) for each in pairs})
        return evaluate(experiment, store=store, closed=True).verdicts[0]


async def work(experiment, store):
    """As a worker does."""
    async with candidate_pool(experiment, arms=["new"]) as pool:
        receiver = SpoolReceiver(experiment.spool)
        await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=_marks(row), id=f"kind{row.kind}-{row.candidate}-{row.asks.__name__}") for row in ROWS],
)
def test_a_decorated_row(row, tmp_path):
    """The verdict says what must be said, after all of the way."""
    verdict = shadowed(row, tmp_path)
    assert verdict.decision in row.decisions, str(verdict)
    assert [part for part in row.says if part not in str(verdict)] == [], str(verdict)
