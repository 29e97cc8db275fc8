"""The truth table's harness: pairs into a store, `evaluate` at every look, and the verdict that a person reads.

A row is a function that fills a `World`: what is asked, what both arms do, how it is scored and gated. `bad` rows say
what must come out of a candidate that must not be promoted, `good` ones by how many pairs one must have been promoted.
"""

import functools
import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlmodel import col

from shadoweval import Experiment, Labels, Rules, evaluate
from shadoweval.capture.failed_results import declared
from shadoweval.records import Envelope, Failure
from shadoweval.settings import Settings
from shadoweval.store import SqlStore, tables
from shadoweval.store.blobs import dump_observation
from shadoweval.store.engine import transaction
from shadoweval.store.rows import in_chunks, insert_new
from shadoweval.testing import NOON, FixedClock, make_observation, make_query
from shadoweval.verdict.gates import Gate

DAY, HOUR, MINUTE = 86_400, 3_600, 60
YES, NO, CRASH = {"answer": "yes"}, {"answer": "no"}, {"failure": Failure(kind="crash", error_type="ValueError")}
RIGHT = Labels(reference="yes")
LOOKS = 6
PAGE = Path(__file__).parents[2] / "docs" / "read-a-verdict.md"


@pytest.fixture(autouse=True)
def _nothing_declared(monkeypatch):
    """Tools of other tests' modules, imported by this process, say nothing of a world's tools of the same names."""
    for name in list(declared):
        monkeypatch.delitem(declared, name)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One query and what each arm did with it; `rerun` None: the incumbent was not run again."""

    at: float
    query: dict[str, Any]
    served: dict[str, Any]
    candidate: dict[str, Any]
    rerun: dict[str, Any] | None
    labels: Labels | None


@dataclass
class World:
    """What a row fills: `ask` adds a query, `judge` says how its pairs are scored and gated."""

    chance: random.Random = field(default_factory=lambda: random.Random(1))
    asked: list[Asked] = field(default_factory=list)
    scorers: list[Any] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    tried: list[Gate] = field(default_factory=list)
    """Gates that are tried first at each look, one after the other, in the place of the gates."""
    files: dict[str, str] = field(default_factory=dict)
    """What lies in the home: name -> content."""

    workers: list[str] = field(default_factory=list)
    """Definitions that workers know which are alive at each look."""
    mirrors: list[str] = field(default_factory=list)
    """Definitions under which queries are mirrored in turn."""
    retention: str = ""

    def ask(self, at, candidate=YES, served=YES, *, rerun="as served", labels=None, **query):
        """A query asked `at` seconds after the start; arms as changes for `make_observation`, the rest for the query.

        The incumbent's re-run is as what was served, unless it says otherwise.
        """
        again = served if rerun == "as served" else rerun
        self.asked.append(Asked(at=at, query=query, served=served, candidate=candidate, rerun=again, labels=labels))

    def right(self, chance):
        """The right answer with this chance."""
        return YES if self.chance.random() < chance else NO

    def judge(self, *scorers_and_gates, **options):
        """Scorers and gates in any order, and other options of `Experiment`."""
        self.gates = [each for each in scorers_and_gates if isinstance(each, Gate)]
        self.scorers = [each for each in scorers_and_gates if not isinstance(each, Gate)]
        self.options = options


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: a world, what must never be said of its candidate, and what must be said in the end."""

    name: str
    fill: Callable[[World], None]
    never: str
    decisions: tuple[str, ...]
    says: tuple[str, ...] = ()
    """Parts of the printed verdict at the end."""
    silent: tuple[str, ...] = ()
    by: int | None = None
    """Pairs after which a good candidate is promoted."""
    looks: int = LOOKS
    fault: str = ""
    """Why the row does not hold yet; it is then expected to fail."""

    def __str__(self):
        return self.name


ROWS: list[Row] = []


def _row(kind, fill, fault, **fields):
    ROWS.append(Row(name=f"kind{kind}-{fill.__name__}", fill=fill, fault=fault, **fields))
    return fill


def bad(kind, *decisions, fault="", **fields):
    """A row whose candidate is promoted at no look; `decisions`: what may be said in the end, hold where none is."""
    fields = {"never": "promote", "decisions": decisions or ("hold",), **fields}
    return lambda fill: _row(kind, fill, fault, **fields)


def good(kind, *, by, fault="", **fields):
    """A row whose candidate is rolled back at no look and promoted after `by` pairs, and in the end."""
    fields = {"never": "rollback", "decisions": ("promote",), "by": by, **fields}
    return lambda fill: _row(kind, fill, fault, **fields)


def unsound(kind, *, fault="", **fields):
    """A row whose evidence can't be trusted: neither promoted nor rolled back at any look."""
    fields = {"never": "promote rollback", "decisions": ("hold",), **fields}
    return lambda fill: _row(kind, fill, fault, **fields)


def parameters(rows):
    """The rows for `pytest.mark.parametrize`."""
    return [
        pytest.param(row, marks=[pytest.mark.xfail(reason=row.fault, strict=True)] if row.fault else [], id=row.name)
        for row in rows
    ]


class Stored:
    """A world's pairs on their way into a store, portion by portion, each followed by a look."""

    def __init__(self, world, folder):
        self.world = world
        self.clock, self.definitions = FixedClock(), itertools.cycle(world.mirrors or [""])
        options = {"rerun": 1.0, "rules": Rules(min_hours=0), **world.options}
        self.experiment = Experiment(
            name="truth",
            candidates={"new": "app:new"},
            scorers=world.scorers,
            gates=world.gates,
            settings=Settings(home=str(folder / "home"), retention=world.retention),
            **options,
        )
        for name, content in world.files.items():
            (folder / "home").mkdir(exist_ok=True)
            (folder / "home" / name).write_text(content, encoding="utf-8")
        self.store = SqlStore(f"sqlite:///{folder / 'truth.db'}", clock=self.clock)
        self.asked = sorted(enumerate(world.asked, start=1), key=lambda each: each[1].at)

    def look(self, **options):
        """Evaluate what is there."""
        options = {"clock": self.clock, **self.world.evaluation, **options}
        for definition in self.world.workers:
            self.store.sign("truth", f"worker of {definition}", place="", definition=definition)
        for gate in self.world.tried:
            self.experiment.gates = (gate,)
            evaluate(self.experiment, store=self.store, **options)
        self.experiment.gates = tuple(self.world.gates)
        return evaluate(self.experiment, store=self.store, **options).verdicts[0]

    def one_look(self):
        """Evaluate all pairs, with nothing of the looks before."""
        with transaction(self.store._engine, write=True) as connection:
            connection.execute(delete(tables.Progress))
        return self.look()

    def looks(self, ends):
        """A verdict after each of these numbers of pairs, an idle hour later at the last."""
        for first, last in itertools.pairwise([0, *ends]):
            self.put(self.asked[first:last])
            if last == len(self.asked):
                self.clock.tick(HOUR)
            counted = {name: n * last // len(self.asked) for name, n in self.world.counters.items()}
            self.store.add_counters("truth", "mirror", counted)
            yield last, self.look()

    def put(self, portion):
        """Write pairs as mirror and worker leave them."""
        queries = [
            make_query(number, asked_at=NOON + timedelta(seconds=each.at), **each.query) for number, each in portion
        ]
        envelopes, runs, labels = [], [], {}
        for (_, each), query in zip(portion, queries, strict=True):
            served = make_observation(query, **each.served)
            definition = next(self.definitions)
            envelopes.append(Envelope(experiment="truth", query=query, served=served, definition=definition))
            runs.append(make_observation(query, "new", **each.candidate))
            if each.rerun is not None:
                runs.append(make_observation(query, **{"place": "shadow", **each.rerun}))
            if each.labels is not None:
                labels[query.id] = each.labels
        self.clock.now = max(self.clock.now, queries[-1].asked_at)
        arms = {each.query_id: [] for each in runs}
        for run in runs:
            arms[run.query_id].append(run.arm)
        self.store.add_envelopes(envelopes, arms=arms)
        self._run(runs)
        self.store.add_labels(labels)

    def _run(self, runs):
        rows = [
            {
                "query_id": run.query_id,
                "arm": run.arm,
                "place": run.place,
                "duration": run.duration,
                "failed": run.failure.kind if run.failure else "",
                "live_writes": run.live_writes,
                "record": dump_observation(run),
            }
            for run in runs
        ]
        with transaction(self.store._engine, write=True) as connection:
            for chunk in in_chunks(rows):
                insert_new(connection, tables.Observation, chunk)
            connection.execute(update(tables.Task).where(col(tables.Task.state) == "open").values(state="done"))


def ends_of(row, count):
    """After how many pairs a row is looked at."""
    ends = {count * look // row.looks for look in range(1, row.looks + 1)}
    return sorted(ends | ({row.by} if row.by else set()) - {0})


@functools.cache
def sections():
    """Name of each section that quotes a sentence -> the sentence."""
    found = re.findall(r"^### (\w+)\n((?:> .*\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: " ".join(line[2:] for line in quote.splitlines()) for name, quote in found}


def matches(template, text):
    """Whether a text has the sentence, with anything for `…`."""
    return re.search(re.escape(template).replace("…", r"[^\n]*"), text) is not None


def unlisted(verdict):
    """What a verdict says that no section of the page quotes."""
    said = {*verdict.reasons, *verdict.notices, *(gate.reason for gate in verdict.gates if gate.reason)}
    return [sentence for sentence in said if not any(matches(template, sentence) for template in sections().values())]


@pytest.fixture
def stored(tmp_path):
    """Makes a `Stored` of a row; its store is closed in the end."""
    opened = []

    def make(row):
        world = World()
        row.fill(world)
        opened.append(Stored(world, tmp_path))
        return opened[-1]

    yield make
    for each in opened:
        each.store.close()
