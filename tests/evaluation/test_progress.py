"""A look takes up where the last one ended, and says what a look at everything says."""

import datetime as dt
import random

import msgspec
import pytest

from shadoweval import Experiment, Rules, at_most, better, no_worse
from shadoweval.codec import freeze
from shadoweval.evaluation import examples
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.records import INCUMBENT, Envelope, Failure, Labels, ToolCall
from shadoweval.scoring import errors, latency, recall
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import NOON, FixedClock, make_observation, make_query


class Counting:
    """A scorer that counts the pairs it scored."""

    def __init__(self, scorer):
        self.metrics, self.version, self.scored = scorer.metrics, scorer.version, 0
        self._scorer = scorer

    def score(self, pair):
        self.scored += 1
        return self._scorer.score(pair)


@pytest.fixture(name="scorer")
def _scorer():
    return Counting(recall(1))


@pytest.fixture(name="experiment")
def _experiment(scorer, tmp_path):
    return Experiment(
        name="docs",
        candidates={"new": "app:new", "other": "app:other"},
        scorers=[scorer, errors(), latency()],
        gates=[better("recall@1", by=0.02), no_worse("errors", by=0.05), at_most("latency.p95", ratio=1.5)],
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path / "home")),
    )


@pytest.fixture(name="store")
def _store(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}") as store:
        yield store


@pytest.fixture(name="clock")
def _clock():
    clock = FixedClock()
    clock.tick(40 * 3600)
    return clock


class World:
    """Traffic that comes, ends, is labelled and is erased in any order."""

    def __init__(self, store, seed):
        self.store, self.random = store, random.Random(seed)
        self.open, self.count = [], 0

    def ask(self, *, at=None, text="", run=True):
        self.count += 1
        again = self.random.random() < 0.2
        query = make_query(
            self.count,
            text=text or f"question number {self.random.randint(1, self.count) if again else self.count}",
            unit=self.random.choice(["", "", "ann", "bob", f"user {self.count % 50}"]),
            attributes={"plan": self.random.choice(["free", "paid"])},
            asked_at=NOON + dt.timedelta(seconds=self.count * 20 if at is None else at),
        )
        served = make_observation(
            query, hits=self.random.choice([["right"], ["wrong"]]), duration=self.random.random(), versions={"v": "1"}
        )
        arms = ["new", "other", *([INCUMBENT] if self.random.random() < 0.3 else [])] if run else []
        self.store.add_envelopes([Envelope(experiment="docs", query=query, served=served)], arms={query.id: arms})
        if self.random.random() < 0.5:
            self.store.add_labels({query.id: Labels(relevant={"right": 1})})
        self.open += [(query, arm) for arm in arms]

    def end(self, which=-1):
        query, arm = self.open.pop(which)
        failure = Failure(kind=self.random.choice(["crash", "killed"])) if self.random.random() < 0.05 else None
        call = ToolCall(name="look", arguments={"n": (1, 2)}, result=(1, {2}), effect="read", answered="replayed")
        self.store.add_observation(
            make_observation(
                query,
                arm,
                place="shadow",
                hits=self.random.choice([["right"], ["wrong"]]),
                duration=self.random.random(),
                failure=failure,
                calls=[call],
            )
        )

    def step(self):
        roll = self.random.random()
        if roll < 0.72:
            self.ask()
            for _ in range(self.random.randint(1, 4)):
                if self.open:
                    self.end(self.random.randrange(len(self.open)) if self.random.random() < 0.2 else 0)
        elif roll < 0.82:
            while self.open:
                self.end()
        elif roll < 0.94:
            self.store.add_labels(
                {f"q-{self.random.randint(1, self.count + 1)}": Labels(relevant={"right": 1, "wrong": 0})}
            )
        elif roll < 0.97:
            self.ask(at=self.random.uniform(0, self.count * 20), run=self.random.random() < 0.5)
        elif roll < 0.985:
            self.store.erase(self.random.choice(["ann", "bob"]))
            self.open = []
        else:
            self.store.purge(NOON + dt.timedelta(seconds=self.count * 4))
            self.open = []


class Anew:
    """A store whose looks take up nothing, no score either, and leave nothing."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def look(self, *names, purpose, **options):
        look = self._store.look(*names, **options)
        look.scores = lambda _ids: {}
        return look


def said(evaluation):
    """All that an evaluation says about the pairs."""
    parts = msgspec.to_builtins(evaluation)
    names = evaluation.__struct_fields__
    own = {"id", "created_at", "since", "until", "looks", "history", "notes"}
    return [part for name, part in zip(names, parts, strict=True) if name not in own]


def assert_alike(one, other, path=""):
    """Equal, numbers to 1e-9."""
    if isinstance(one, float) or isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_alike(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_alike(left, right, f"{path}/{place}")
    else:
        assert one == other, path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_looks_whenever_one_likes_say_what_one_look_says(experiment, store, clock, seed):
    """Whatever comes late, is labelled later or is erased between the looks: the same as scoring everything anew."""
    world = World(store, seed)
    world.ask()
    for number in range(80):
        world.step()
        if world.random.random() < 0.25 or number == 79:
            looked = evaluate(experiment, store=store, clock=clock)
            anew = evaluate(experiment, store=Anew(store), clock=clock)
            assert_alike(said(looked), said(anew))


def filled(store, count, *, first=1):
    world = World(store, 7)
    world.count = first - 1
    for _ in range(count):
        world.ask()
        while world.open:
            world.end()
    return world


def test_a_further_look_scores_only_what_is_new(experiment, scorer, store, clock):
    """The cost of a look does not grow with the looks before, nor with the pairs that they have seen."""
    filled(store, 60)
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    first = scorer.scored
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    again = scorer.scored
    filled(store, 5, first=61)
    evaluate(experiment, candidates=["new"], store=store, clock=clock)

    assert first == again > 50
    assert again < scorer.scored <= again + 5


def ended(store, **asked):
    """Traffic of one more pair."""
    world = filled(store, 1, first=1000)
    if asked:
        world.ask(**asked)
        while world.open:
            world.end()
    return world


@pytest.mark.parametrize(
    ("change", "new"),
    [
        (lambda store: store.add_labels({"q-3": Labels(relevant={"else": 1})}), 1),
        (lambda store: store.add_labels({make_query(3).key: Labels(reference="yes")}), 3),
        (lambda store: store.erase("ann"), 0),
        (lambda store: store.purge(NOON + dt.timedelta(seconds=100)), 0),
        (lambda store: ended(store).ask(at=50), 0),
        (lambda store: ended(store, at=50), 1),
        (lambda store: filled(store, 1, first=1000).ask(at=50, run=False), 1),
    ],
    ids=["a label", "a label by text", "an erasure", "a purge", "a late query", "a late pair", "one that no arm runs"],
)
def test_what_changes_behind_the_mark_is_counted_anew_and_the_rest_not_scored_again(
    experiment, scorer, store, clock, change, new
):
    """No look rests on a state that does not hold any more; what was scored and rests on the same is in the store."""
    filled(store, 60)
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    change(store)
    scorer.scored = 0
    looked = evaluate(experiment, candidates=["new"], store=store, clock=clock)
    made, anew = scorer.scored, evaluate(experiment, candidates=["new"], store=Anew(store), clock=clock)

    assert made <= new + 1
    assert_alike(said(looked), said(anew))


def test_a_late_call_costs_the_pairs_behind_it(experiment, scorer, store, clock):
    """A call that began before a look and ended after it: the next look takes up a state that ends before it began.

    Looks one after the other leave such states, and the first look at many pairs does by itself; what is said is what
    a look at everything says.
    """
    world = filled(store, 600)
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    costs = []
    for behind in (100, 1, 30, 200):
        world.ask(at=(world.count - behind) * 20 + 1)
        while world.open:
            world.end()
        scorer.scored = 0
        evaluate(experiment, candidates=["new"], store=store, clock=clock)
        costs.append(scorer.scored)
        for _ in range(20):
            world.ask()
            while world.open:
                world.end()
        evaluate(experiment, candidates=["new"], store=store, clock=clock)
    anew = evaluate(experiment, candidates=["new"], store=Anew(store), clock=clock)

    assert max(costs) <= 400
    assert_alike(said(evaluate(experiment, candidates=["new"], store=store, clock=clock)), said(anew))


def test_older_states_are_few(experiment, store, clock, tmp_path):
    """However often one looks: one for each distance, and the newest."""
    import sqlite3

    world = filled(store, 40)
    for _ in range(12):
        for _ in range(60):
            world.ask()
            while world.open:
                world.end()
        evaluate(experiment, candidates=["new"], store=store, clock=clock)
    with sqlite3.connect(tmp_path / "s.db") as connection:
        rows = connection.execute("SELECT token, asked_at FROM shadow_progress ORDER BY asked_at").fetchall()
    connection.close()
    assert 2 <= len(rows) <= 4
    assert [token for token, _ in rows].index("") == len(rows) - 1


def test_another_scorer_scores_anew_and_another_gate_does_not(experiment, scorer, store, clock):
    """A state gathered for one question answers no other; a score is the same whoever asks."""
    filled(store, 60)
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    scorer.version, scorer.scored = "next", 0
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    rescored, scorer.scored = scorer.scored, 0
    experiment.gates = experiment.gates[:1]
    looked = evaluate(experiment, candidates=["new"], store=store, clock=clock)

    assert rescored > 50
    assert scorer.scored == 0
    assert len(looked.verdicts[0].gates) == 1
    assert looked.verdicts[0].pairs > 50


def test_a_change_during_a_look_leaves_nothing(experiment, scorer, store, clock):
    """A label that comes while a look reads is in the next look, although this one has read past it."""
    filled(store, 60)
    labelled = []
    plain = scorer.score

    def late(pair):
        if pair.id == "q-50" and not labelled:
            labelled.append(store.add_labels({"q-2": Labels(relevant={"right": 0, "wrong": 1})}))
        return plain(pair)

    scorer.score = late
    evaluate(experiment, candidates=["new"], store=store, clock=clock)
    looked = evaluate(experiment, candidates=["new"], store=store, clock=clock)

    assert labelled == [1]
    assert_alike(said(looked), said(evaluate(experiment, candidates=["new"], store=Anew(store), clock=clock)))


def test_damaged_progress_is_thrown_away(experiment, scorer, store, clock, tmp_path):
    """A state that can't be read costs time, not the verdict."""
    import sqlite3

    filled(store, 60)
    first = evaluate(experiment, candidates=["new"], store=store, clock=clock)
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("UPDATE shadow_progress SET record = substr(record, 1, 900)").rowcount == 1
    connection.close()
    assert evaluate(experiment, candidates=["new"], store=store, clock=clock).verdicts == first.verdicts


def test_erased_texts_are_not_in_what_a_look_left(experiment, store, clock, tmp_path):
    """What a user asked is gone from the state of earlier looks too."""
    world = World(store, 1)
    world.ask(text="my secret number is 4711")
    world.end()
    while world.open:
        world.end()
    filled(store, 30, first=2)
    evaluate(experiment, store=store, clock=clock)
    unit = next(iter(store.pairs("docs", "new"))).query.unit
    store.erase(unit) if unit else store.purge(NOON + dt.timedelta(seconds=21))

    assert b"4711" not in b"".join(path.read_bytes() for path in tmp_path.glob("s.db*"))


def test_a_query_without_text_is_shown_by_its_inputs():
    """Tables, numbers and bodies are read as data; a class that is named in them is not looked for."""
    inputs = freeze((({"rows": [[1, 2], [3, 4]]}, ("a", 1)), {"country": "de"}))
    assert examples._inputs_text(inputs) == '{"rows": [[1, 2], [3, 4]]}, ["a", 1], country="de"'
    strange = msgspec.msgpack.encode(msgspec.msgpack.Ext(4, msgspec.msgpack.encode(["no.such:Class", {"x": 1}])))
    whole = b"\x92\x91" + strange + b"\x80"
    assert examples._inputs_text(whole) == '{"x": 1}'
    assert examples._inputs_text(b"") == ""


def test_inputs_whose_keys_are_no_json_are_shown():
    """A mapping by bytes, as some clients return it."""
    assert examples._inputs_text(freeze((({b"a": 1},), {}))) == "{b'a': 1}"
