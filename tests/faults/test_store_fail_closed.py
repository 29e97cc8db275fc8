"""From the store through `evaluate`: whatever is wrong with the traffic, the runs or the scores, nothing is promoted.

The base world is promoted, so each hole alone is what stops it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from shadoweval import Experiment, Rules, no_worse
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.records import (
    INCUMBENT,
    Envelope,
    Failure,
    Labels,
    Observation,
    PairScore,
    Query,
    Scored,
    ToolCall,
    Unscored,
    Verdict,
)
from shadoweval.scoring import errors, recall
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import NOON, FixedClock, make_observation, make_query

COUNT = 300
STEP = timedelta(minutes=5)


class World:
    """Equal arms in 300 queries over 25 hours; a hole overrides what it spoils."""

    rules = Rules()
    count = COUNT
    lost: ClassVar[dict[str, int]] = {}

    def scorer(self, pair) -> list[PairScore]:
        return list(recall(1).score(pair))

    def query(self, n: int) -> dict[str, Any]:
        return {"asked_at": NOON + n * STEP, "bucket": 0.05, "salt": "s"}

    def arm(self, n: int, arm: str) -> dict[str, Any]:
        """What one arm did: `incumbent`, `again` or `new`."""
        return {"hits": ["right" if n % 5 else "wrong"], "versions": {"prompt": "8" if arm == "new" else "7"}}

    def envelopes(self, envelopes: list[Envelope]) -> list[Envelope]:
        return envelopes

    def fill(self, store: SqlStore) -> None:
        asked: list[Query] = [make_query(n, **self.query(n)) for n in range(1, self.count + 1)]
        sent = [
            Envelope(experiment="docs", query=q, served=make_observation(q, **self.arm(n, INCUMBENT)))
            for n, q in enumerate(asked, start=1)
        ]
        self.store(store, self.envelopes(sent))
        store.add_labels({q.id: Labels(relevant={"right": 1}) for q in asked})
        store.add_counters(
            "docs", "spool", {"eligible": len(sent) + sum(self.lost.values()), "mirrored": len(sent), **self.lost}
        )

    def store(self, store: SqlStore, sent: list[Envelope]) -> None:
        store.add_envelopes(sent, arms={e.id: ["new", INCUMBENT] for e in sent})
        for n, envelope in enumerate(sent, start=1):
            for arm, name in (("new", "new"), (INCUMBENT, "again")):
                store.add_observation(self.ran(envelope, arm, self.arm(n, name)))

    def ran(self, envelope: Envelope, arm: str, changes: dict[str, Any]) -> Observation:
        return make_observation(envelope.query, arm, **{"place": "shadow", **changes})


def changed(name: str, change: Callable[[World, int], dict[str, Any]]) -> type[World]:
    """A world in which one arm did something else in some queries."""

    class Hole(World):
        def arm(self, n: int, arm: str) -> dict[str, Any]:
            return {**super().arm(n, arm), **(change(self, n) if arm == name else {})}

    return Hole


def asked(change: Callable[[int], dict[str, Any]], **fields: Any) -> type[World]:
    """A world in which some queries were asked otherwise."""

    def query(self: World, n: int) -> dict[str, Any]:
        return {**World.query(self, n), **change(n)}

    return type("Hole", (World,), {"query": query, **fields})


def scored(change: Callable[[PairScore, int], PairScore | None]) -> type[World]:
    """A world in which the scorer says something else."""

    def scorer(self: World, pair) -> list[PairScore]:
        number = int(pair.id.removeprefix("q-"))
        return [new for one in World.scorer(self, pair) if (new := change(one, number)) is not None]

    return type("Hole", (World,), {"scorer": scorer})


def without_candidate(score: PairScore, number: int) -> PairScore:
    side = Unscored("the index was away") if number % 2 else score.candidate
    return PairScore(
        metric=score.metric, query_id=score.query_id, incumbent=score.incumbent, candidate=side, noise=score.noise
    )


def not_a_number(score: PairScore, _number: int) -> PairScore:
    return PairScore(
        metric=score.metric, query_id=score.query_id, incumbent=Scored(math.nan), candidate=Scored(math.nan)
    )


class Sent(World):
    """The first envelope's run never ended."""

    def store(self, store: SqlStore, sent: list[Envelope]) -> None:
        store.add_envelopes(sent[:1], arms={sent[0].id: ["new"]})
        super().store(store, sent)

    def ran(self, envelope: Envelope, arm: str, changes: dict[str, Any]) -> Observation:
        other = "nobody" if envelope.id == "q-1" else arm
        return super().ran(envelope, other, changes)


class Twice(World):
    """Two layers mirrored each call."""

    def envelopes(self, envelopes: list[Envelope]) -> list[Envelope]:
        twins = []
        for envelope in envelopes:
            query = make_query(
                1,
                id=f"{envelope.id}b",
                text=envelope.query.text,
                asked_at=envelope.query.asked_at + timedelta(seconds=0.01),
                salt="s",
            )
            twin = make_observation(query, hits=["right"], versions={"prompt": "7"})
            twins += [envelope, Envelope(experiment="docs", query=query, served=twin)]
        return twins


class Damaged(World):
    """A tenth of what came could not be read."""

    def fill(self, store: SqlStore) -> None:
        super().fill(store)
        for number in range(40):
            store.set_aside("docs", b"SE\x01", "corrupt", place=f"byte {number}")


SHADOW = "new"
CRASH = {"hits": (), "failure": Failure(kind="crash")}
HOLES: dict[str, tuple[type[World], str]] = {
    "every run fails": (changed(SHADOW, lambda w, n: CRASH), "failed in all 300|proven broken"),
    "every score is no number": (scored(not_a_number), "recall@1 has no pair.*ValueError: A score is a finite number"),
    "zero traffic": (type("Hole", (World,), {"count": 0}), "no query came at all"),
    "one metric is missing": (scored(lambda s, n: None), "recall@1 has no pair.*the scorer said nothing"),
    "half the pairs have no score in one arm": (scored(without_candidate), "lacks only the candidate's score"),
    "the flag's share goes to and fro": (
        asked(lambda n: {"bucket": 0.3 if n % 50 == 0 else 0.05}, rules=Rules(share=0.1)),
        "changed to and fro",
    ),
    "the flag's salt goes to and fro": (asked(lambda n: {"salt": "t" if n % 100 > 50 else "s"}), "under 2 salts"),
    "the clock jumps ahead": (
        asked(lambda n: {"asked_at": NOON + n * STEP + timedelta(days=300 if n > 200 else 0)}),
        "in the future",
    ),
    "the worker's clock is behind": (
        changed(SHADOW, lambda w, n: {"started_at": NOON + n * STEP - timedelta(hours=1)}),
        "before its query was asked",
    ),
    "every call is mirrored twice": (Twice, "probably mirrored twice"),
    "the candidate's prompt changes": (
        changed(SHADOW, lambda w, n: {"versions": {"prompt": "8" if n < 200 else "9"}}),
        "'prompt' of 'new' changed in mid-run",
    ),
    "the incumbent's index changes": (
        changed(INCUMBENT, lambda w, n: {"versions": {"index": str(n // 200)}}),
        "'index' of the 'incumbent' changed in mid-run",
    ),
    "the re-run is another pipeline": (
        changed("again", lambda w, n: {"versions": {"prompt": "6"}}),
        "not the same pipeline",
    ),
    "the re-run finds other documents": (changed("again", lambda w, n: {"hits": ["wrong"]}), "its own re-run"),
    "queries are lost before the worker": (type("Hole", (World,), {"lost": {"full": 60}}), "'full' \\(60\\)"),
    "envelopes can't be read": (Damaged, "'set_aside' \\(40\\)"),
    "tools were simulated": (
        changed(SHADOW, lambda w, n: {"calls": [ToolCall(name="t", effect="read", answered="simulated")]}),
        "simulated, refused or altered",
    ),
    "a shadow wrote": (changed(SHADOW, lambda w, n: {"live_writes": int(n == 7)}), "1 live writes"),
    "the first run has not ended": (Sent, "There are no pairs"),
    "one user asked everything": (asked(lambda n: {"unit": "ann"}), "1 of at least 200 units"),
    "half a day of traffic": (asked(lambda n: {"asked_at": NOON + n * STEP / 2}), "12.5 of at least 24 hours"),
}


class _Scorer:
    version = "1"
    metrics = recall(1).metrics

    def __init__(self, score: Callable[[Any], list[PairScore]]) -> None:
        self.score = score


def verdict_of(world: World, folder) -> Verdict:
    experiment = Experiment(
        name="docs",
        candidates={"new": "app:new"},
        scorers=[_Scorer(world.scorer), errors()],
        gates=[no_worse("recall@1", by=0.1), no_worse("errors", by=0.1)],
        rules=world.rules,
        settings=Settings(home=str(folder / "home")),
    )
    clock = FixedClock()
    clock.tick(7 * 24 * 3600)
    with SqlStore(f"sqlite:///{folder / 's.db'}", clock=clock) as store:
        world.fill(store)
        (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts
    return verdict


def test_the_base_world_is_promoted(tmp_path) -> None:
    """Equal arms, proven no worse: promoted. The holes below are what stops it."""
    verdict = verdict_of(World(), tmp_path)
    assert verdict.promotes, verdict


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_is_never_promoted_and_named(name, tmp_path) -> None:
    """Hold or rollback, with a sentence that says what is wrong."""
    hole, sentence = HOLES[name]
    verdict = verdict_of(hole(), tmp_path)
    assert not verdict.promotes, verdict
    said = "\n".join((*verdict.reasons, *verdict.notices, *(gate.reason for gate in verdict.gates)))
    assert re.search(sentence, said), verdict


def test_envelopes_that_come_again_count_once(tmp_path) -> None:
    """A spool that is read twice after a crash makes no second witness."""

    class Again(World):
        def store(self, store: SqlStore, sent: list[Envelope]) -> None:
            super().store(store, sent)
            super().store(store, sent)

    once, again = verdict_of(World(), tmp_path / "a"), verdict_of(Again(), tmp_path / "b")
    assert (again.pairs, again.units) == (once.pairs, once.units) == (COUNT, COUNT)
    assert again == once


def test_more_candidates_need_more_evidence_each(tmp_path) -> None:
    """Of K candidates each is promoted at alpha / K, so that trying many does not find a lucky one."""
    clock = FixedClock()
    clock.tick(7 * 24 * 3600)
    needed = []
    for names in (["new"], ["new", "other", "third"]):
        experiment = Experiment(
            name="docs",
            candidates=dict.fromkeys(names, "app:new"),
            scorers=[errors()],
            gates=[no_worse("errors", by=0.1)],
            settings=Settings(home=str(tmp_path / "home")),
        )
        with SqlStore(f"sqlite:///{tmp_path / f's{len(names)}.db'}", clock=clock) as store:
            World().fill(store)
            (verdict,) = evaluate(experiment, candidates=["new"], store=store, clock=clock).verdicts
        needed.append(verdict.gates[0].details["needed to hold"])
    assert needed == [pytest.approx(math.log(20)), pytest.approx(math.log(60))]
