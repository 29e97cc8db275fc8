"""Both arms run again, for what is said of several runs."""

import asyncio
import textwrap

import pytest

from shadoweval import Experiment, Sandbox, no_worse
from shadoweval.errors import ArgumentError
from shadoweval.evaluation.suite import play
from shadoweval.mirror.redaction.redactor import redacted_observation
from shadoweval.records import Envelope, Failure, Observation
from shadoweval.scoring import consistency, exact_match
from shadoweval.settings import Settings
from shadoweval.store.blobs import dump_observation, load
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.repeats import repeats_of, with_repeats


def repeated(first, *others, times=None):
    rest = iter(others)

    async def again():
        return next(rest)

    return asyncio.run(with_repeats(first, again, times=len(others) if times is None else times))


def run(**changes):
    return make_observation(make_query(1), "new", **changes)


def test_further_runs_lie_in_the_first():
    """With all that they did; their live writes are counted in it."""
    seen = repeated(run(answer="a"), run(answer="b"), run(answer="c", live_writes=1))
    assert [each.outcome.answer for each in seen.again] == ["b", "c"]
    assert (seen.outcome.answer, seen.live_writes) == ("a", 1)


@pytest.mark.parametrize("last", [run(live_writes=1), run(failure=Failure(kind="killed"))], ids=["wrote", "killed"])
def test_what_has_written_or_was_killed_is_not_repeated(last):
    """It would write again, or be killed again."""
    assert repeated(last, times=3).again == ()
    assert repeated(run(), last, times=3).again == (last,)


def test_they_are_stored_and_redacted_with_it():
    """Values keep their types, and no text is left as it was."""
    first = repeated(run(answer="card 1234"), run(answer="card 1234"))
    assert load(dump_observation(first), Observation) == first
    clean = redacted_observation(first, lambda text, _key: text.replace("1234", "#"))
    assert b"1234" not in dump_observation(clean)
    assert clean.again[0].outcome.answer == "card #"
    broken = redacted_observation(first, lambda _text, _key: 1 / 0)
    assert (broken.again, broken.outcome) == ((), None)


def test_the_queries_of_a_rerun_are_repeated():
    """And no others; without a known incumbent none."""
    query = make_query(1)
    envelope = Envelope(experiment="e", query=query, served=make_observation(query))
    base = {"name": "e", "candidates": {"new": "a:b"}, "incumbent": "a:c", "sandbox": Sandbox(repeats=2)}
    assert repeats_of(Experiment(**base, rerun=1.0), envelope) == 2
    assert repeats_of(Experiment(**base, rerun=0.0), envelope) == 0
    assert repeats_of(Experiment(**{**base, "incumbent": None}, rerun=1.0), envelope) == 0
    for wrong in (-1, 1.5, 99, "2"):
        with pytest.raises(ArgumentError):
            Sandbox(repeats=wrong)


def test_the_whole_way(tmp_path, monkeypatch):
    """A candidate that tosses a coin is found out by pass^2, an incumbent that does not is the same every time."""
    (tmp_path / "coins.py").write_text(
        textwrap.dedent("""
            import random

            def sure(question):
                return "heads"

            def tossed(question):
                return random.choice(["heads", "tails"])
        """),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    cases = tmp_path / "cases.jsonl"
    cases.write_text("".join(f'{{"query": "toss {n}", "reference": "heads"}}\n' for n in range(40)), encoding="utf-8")
    experiment = Experiment(
        name="coins",
        candidates={"tossed": "coins:tossed"},
        incumbent="coins:sure",
        rerun=1.0,
        scorers=[consistency(passes=exact_match())],
        gates=[no_worse("pass^2", by=0.1)],
        sandbox=Sandbox(repeats=1),
        settings=Settings(home=str(tmp_path / "home")),
    )

    evaluation = play(experiment, cases=cases).evaluation

    means = {each.metric: each for each in evaluation.summaries["tossed"]}
    assert (means["consistency"].incumbent, means["pass^2"].incumbent) == (1.0, 1.0)
    assert 0.1 < means["pass^2"].candidate < 0.5
    assert 0.2 < means["consistency"].candidate < 0.8
    assert evaluation.verdicts[0].rolls_back, evaluation.verdicts[0]
