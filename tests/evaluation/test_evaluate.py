"""From stored pairs to an Evaluation."""

import datetime as dt
import json
import random

import msgspec
import pytest

from shadoweval import Experiment, Rules, better, no_worse
from shadoweval.candidate.cold_start import GIVEN_UP
from shadoweval.errors import UnknownCandidateError
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.examples import Examples
from shadoweval.evaluation.run_counts import RunCounts
from shadoweval.records import Envelope, Failure, Refusal, Step, ToolCall, Usage, WriteEffect
from shadoweval.scoring import errors, recall
from shadoweval.scoring.writes import Writes
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_pair, make_query

COUNT = 600


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    labels = tmp_path / "labels.jsonl"
    lines = [json.dumps({"query": f"question number {n}", "relevant": {"right": 1}}) for n in range(1, COUNT + 1)]
    labels.write_text("\n".join(lines), encoding="utf-8")
    return Experiment(
        name="docs",
        candidates={"new": "app:new"},
        scorers=[recall(1), errors()],
        gates=[better("recall@1", by=0.02), no_worse("errors", by=0.05)],
        labels=labels,
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path / "home")),
    )


@pytest.fixture(name="clock")
def _clock():
    clock = FixedClock()
    clock.tick(3600)
    return clock


@pytest.fixture(name="store")
def _store(tmp_path, clock):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        yield store


def filled(store, *, incumbent, candidate, count=COUNT, failing=0.0):
    """`count` pairs whose arms find the right document with the given chances."""
    rng = random.Random(1)
    for number in range(1, count + 1):
        query = make_query(number)
        served = make_observation(query, hits=["right" if rng.random() < incumbent else "wrong"])
        store.add_envelopes([Envelope(experiment="docs", query=query, served=served)], arms={query.id: ["new"]})
        failure = Failure(kind="crash") if rng.random() < failing else None
        hits = ["right" if rng.random() < candidate else "wrong"]
        store.add_observation(make_observation(query, "new", hits=hits, failure=failure))
    store.add_counters("docs", "spool", {"eligible": count, "mirrored": count})


def test_a_better_candidate_is_promoted(experiment, store, clock):
    """A gain far beyond the gate is proven, with labels joined by the question's text."""
    filled(store, incumbent=0.5, candidate=0.9)

    evaluation = evaluate(experiment, store=store, clock=clock)

    (verdict,) = evaluation.verdicts
    assert verdict.promotes, verdict
    assert verdict.gates[0].incumbent == pytest.approx(0.5, abs=0.07)
    assert verdict.gates[0].candidate == pytest.approx(0.9, abs=0.05)
    assert evaluation.coverage["new"].gap == 0


def test_a_candidate_that_slows_the_incumbent_down_is_told_of_and_judged_as_any(experiment, store, clock):
    """Verdict and report say what the worker found; decision and gates are what they were."""
    filled(store, incumbent=0.5, candidate=0.9)
    before = evaluate(experiment, store=store, clock=clock)
    experiment.spool.mkdir(parents=True)
    found = '{"level": 3, "since": "2026-01-01T12:00:00Z", "ratio": 1.44, "most": 4}'
    (experiment.settings.folder / "resting-docs.json").write_text(found, encoding="utf-8")

    after = evaluate(experiment, store=store, clock=clock)

    sentence = "candidates slow the incumbent down: 1.4x in working minutes"
    assert sentence not in str(before.verdicts[0])
    assert sentence in str(after.verdicts[0])
    assert [note for note in after.notes if note.startswith(f"Alarm: {sentence}")]
    assert "no more runs begin since 2026-01-01 12:00 UTC" in after.notes[-1]
    assert after.verdicts[0].decision == before.verdicts[0].decision == "promote"
    assert after.verdicts[0].gates == before.verdicts[0].gates


def test_a_crashing_candidate_is_rolled_back(experiment, store, clock):
    """Crashes count as what they cost the user: they are not left out of the mean."""
    filled(store, incumbent=0.5, candidate=0.9, failing=0.4)

    (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert verdict.rolls_back, verdict


def test_an_equal_candidate_is_held_and_told_how_long(experiment, store, clock):
    """Without a difference nothing is claimed."""
    filled(store, incumbent=0.7, candidate=0.7)

    (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert verdict.decision in {"hold", "rollback"}
    assert not verdict.promotes


def test_nothing_at_all_is_held_as_an_error(experiment, store, clock):
    """Without a single pair there is no verdict but hold, and it says why."""
    (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert (verdict.decision, verdict.why) == ("hold", "error")
    assert verdict.reasons


def test_looking_again_changes_nothing_but_the_look(experiment, store, clock):
    """A second evaluation over the same pairs says the same."""
    filled(store, incumbent=0.5, candidate=0.9, count=300)

    first = evaluate(experiment, store=store, clock=clock)
    clock.tick(60)
    second = evaluate(experiment, store=store, clock=clock)

    assert (first.looks, second.looks) == (1, 2)
    assert second.verdicts == first.verdicts
    assert store.evaluations("docs")[0].id == second.id


def test_a_window_leaves_out_what_is_older(experiment, store, clock):
    """`since` counts back from now."""
    filled(store, incumbent=0.5, candidate=0.9, count=300)

    (verdict,) = evaluate(experiment, since=dt.timedelta(seconds=3600 - 200), store=store, clock=clock).verdicts

    assert verdict.pairs == 101


def test_unknown_candidates_are_named(experiment, store, clock):
    """A wrong name is met with the right ones."""
    with pytest.raises(UnknownCandidateError, match="It has: 'new'"):
        evaluate(experiment, candidates=["newer"], store=store, clock=clock)


def test_the_judge_of_spinnaker_can_decide(experiment, store, clock):
    """judge="kayenta": its score decides, the gates say so, and the verdict warns where that is unsound."""
    experiment.rule = "kayenta"
    filled(store, incumbent=0.5, candidate=0.9)

    (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert verdict.reasons[0] == "Kayenta's score is 100 of 100: pass"
    assert {gate.method.split(", as")[-1] for gate in verdict.gates} == {" Kayenta's NetflixACAJudge-v1.0 classifies"}
    assert any("takes only 2 values" in notice for notice in verdict.notices)
    assert any(notice.startswith("Judged as Kayenta does") for notice in verdict.notices)


def test_live_traffic_waits_for_a_day_and_a_sliding_window_says_what_it_is(experiment, store, clock):
    """By default 24 hours for a trial that goes on; a window that slides shows a trend, whatever it shows."""
    experiment.rules = Rules()
    filled(store, incumbent=0.5, candidate=0.9)

    live = evaluate(experiment, store=store, clock=clock)
    closed = evaluate(experiment, closed=True, store=store, clock=clock)
    slides = evaluate(experiment, since=dt.timedelta(hours=24), store=store, clock=clock)

    assert live.verdicts[0].reasons == ("0.2 of at least 24 hours of traffic",)
    assert closed.verdicts[0].promotes
    assert (live.trend, closed.trend, slides.trend) == (False, False, True)
    assert (slides.verdicts[0].decision, slides.verdicts[0].why) == ("hold", "inconclusive")
    assert "each look begins a trial of its own" in slides.verdicts[0].reasons[0]


def test_a_scorer_that_raises_holds_the_verdict_and_is_quoted(experiment, store, clock):
    """A broken scorer ends no look: its metric is in error, with the exception as the reason."""
    plain = experiment.scorers[0].score

    class Broken:
        version, metrics = experiment.scorers[0].version, experiment.scorers[0].metrics

        def score(self, pair):
            if pair.id.endswith("7"):
                raise KeyError("no such label")
            return plain(pair)

    experiment.scorers = (Broken(), experiment.scorers[1])
    filled(store, incumbent=0.5, candidate=0.9)

    (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert (verdict.decision, verdict.why) == ("hold", "error")
    assert "KeyError: 'no such label'" in verdict.reasons[0]


class TestExamples:
    def test_shows_failures_losses_gains_and_a_sample(self):
        """Of a long stream the worst and the best stay, in memory that does not grow."""
        metric = recall(1).metrics[0]
        examples = Examples(metric, each=2)
        for number in range(1, 101):
            served = {"hits": ["right"] if number % 3 else ["wrong"]}
            shadow = {"hits": ["right"] if number % 2 else ["wrong"]}
            if number == 50:
                shadow = {"failure": Failure(kind="timeout")}
            pair = make_pair(number, served=served, shadow=shadow)
            pair = msgspec.structs.replace(pair, labels=msgspec.structs.replace(pair.labels, relevant={"right": 1}))
            examples.see(pair, list(recall(1).score(pair)))

        whys = [example.why for example in examples.chosen()]

        assert whys == ["failure", "largest loss", "largest loss", "largest gain", "largest gain", "sample", "sample"]


class TestRunCounts:
    def test_money_is_projected_by_those_runs_that_have_prices(self):
        """A run with a call that nobody priced would make the rest too cheap; a state keeps what was counted."""
        priced = Step(kind="model", name="m", input_tokens=10, cost_usd=0.5)
        runs = RunCounts()
        for steps in ((priced,), (priced,), (priced, Step(kind="model", name="new", input_tokens=1))):
            usage = Usage(input_tokens=10, cost_usd=0.5)
            runs.add(make_pair(shadow={"steps": steps, "usage": usage}))
        again = RunCounts()
        again.restore(runs.to_state())
        assert again.projected(1000) == runs.projected(1000) == {"new": 500.0}
        assert again.costs["new"] == 1.5

    def test_compares_writes(self):
        """Writes that are the same, have another argument or are repeated are told apart by tool and arguments."""
        served = [ToolCall(name="refund", arguments={"n": n}, effect="write") for n in (1, 2)]
        writes = [("refund", 1), ("refund", 1), ("refund", 3)]
        runs = RunCounts()

        pair = make_pair(
            served={"calls": served},
            shadow={"writes": tuple(WriteEffect(tool=t, arguments={"n": n}) for t, n in writes)},
        )
        runs.add(pair, Writes().compared(pair))

        counted = {"same": 1, "changed": 1, "missing": 0, "extra": 0, "duplicated": 1, "reordered": 0}
        assert dict(runs.writes) == counted

    def test_counts_refusals_and_layers(self):
        """What was refused is summed by kind, and a missing layer keeps its reason."""
        runs = RunCounts()
        for number in (1, 2):
            runs.add(
                make_pair(
                    number,
                    shadow={
                        "refusals": (Refusal(kind="socket.connect", detail="a:1", layer="audit", count=2),),
                        "containment": ("seccomp", "netns missing: not permitted here"),
                    },
                )
            )

        assert runs.refusals == (Refusal(kind="socket.connect", detail="a:1", layer="audit", count=4),)
        assert runs.containment == {
            "seccomp": "in force in all runs",
            "netns": "missing in all runs: not permitted here",
        }

    def test_says_when_there_was_no_guard(self):
        """A run without containment is not passed over in silence."""
        runs = RunCounts()
        runs.add(make_pair())

        assert "none was in force" in runs.containment["guard"]

    def test_names_beyond_a_thousand_are_counted_as_others(self):
        """Refused acts, layers, versions and reasons that are new with each run: none is lost from the sums."""
        runs, times = RunCounts(), 1_100
        for n in range(times):
            acts = (Refusal(kind="tool", detail=f"tool {n}", count=2),)
            shadow = {
                "refusals": acts,
                "containment": (f"layer {n}",),
                "cold": f"{GIVEN_UP} reason {n}",
                "versions": {"target": f"v{n}", f"name {n}": "1"},
            }
            runs.add(make_pair(n, shadow=shadow))
        again = RunCounts()
        again.restore(msgspec.json.decode(msgspec.json.encode(runs.to_state())))

        for counts in (runs, again):
            state = counts.to_state()
            assert sum(refusal.count for refusal in counts.refusals) == 2 * times
            assert counts.refusals[0] == Refusal(kind="others", detail="more than 1,000 kinds", count=200)
            assert len(counts.refusals) == 51
            assert counts.refusals[-1] == Refusal(kind="others", detail="951 more kinds", count=1_902)
            assert [len(state[name]) for name in ("refused", "layers", "cold")] == [1_001] * 3
            assert sum(state["layers"].values()) == sum(state["cold"].values()) == times
            assert counts.containment["others"] == "missing in 100 of 1100 runs: more than 1,000 kinds"
            assert counts.notices[0].startswith("100 of 1,100 runs began in a new process")
            (versions,) = (seen for arm, seen in counts.versions.items() if "target" in seen)
            assert len(versions) == 1_001
            assert versions["target"].count(", ") == 1_000
            assert "others" in versions["target"]
