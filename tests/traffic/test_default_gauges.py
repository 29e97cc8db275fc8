"""What the default breaker of an experiment looks at."""

import asyncio
import time

import pytest

from shadoweval import Experiment, Traffic
from shadoweval.settings import Settings
from shadoweval.testing import FixedClock, MemoryTransport
from shadoweval.traffic.breaker import Breaker
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.gauges import Backlog, Throttling


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


@pytest.fixture(name="make")
def _make(tmp_path, clock):
    def make(**changes):
        traffic = {"transport": MemoryTransport(), "breaker": Breaker(clock=clock.seconds), **changes}
        settings = Settings(home=str(tmp_path))
        return Experiment(name="docs", candidates={"new": "a:b"}, settings=settings, traffic=Traffic(**traffic))

    return make


def served(experiment, clock, calls=40):
    """Calls, then a call two seconds later; the breaker's reason."""
    asked = experiment.mirror(1.0, control=0.0)(lambda question: question)
    for number in range(calls):
        assert asked(f"q{number}") == f"q{number}"
    clock.tick(2)
    asked("one more")
    return experiment.admission.breaker.reason()


def test_all_well_opens_nothing(make, clock):
    """Forty calls that arrive leave it closed."""
    experiment = make()

    assert served(experiment, clock) is None
    assert experiment.admission.breaker.state == "closed"


@pytest.mark.parametrize("transport", [MemoryTransport(capacity=0), MemoryTransport(fault=OSError("disk"))])
def test_losses_on_the_way_out_open_it(make, clock, transport):
    """A full spool and a broken transport: copying for nobody stops."""
    assert "lost on the way out" in served(make(transport=transport), clock)


def test_rate_limits_of_the_candidates_open_it(make, clock, tmp_path):
    """The worker told of HTTP 429: the candidates eat the incumbent's quota."""
    Throttling("docs", home=tmp_path).add(10)

    assert "rate limits" in served(make(), clock)


@pytest.mark.parametrize(
    ("report", "reason"), [({"age": 7200.0, "fill": 0.0}, "oldest"), ({"age": 0, "fill": 0.9}, "fill")]
)
def test_a_backlog_opens_it(make, clock, tmp_path, report, reason):
    """A worker that is hours behind, or a spool that is nearly full."""
    Backlog("docs", home=tmp_path).report(**report)

    assert reason in served(make(), clock)


def test_a_blocked_event_loop_opens_it(make, clock):
    """A loop that calls back more than a quarter of a second late, time and again."""
    experiment = make()

    @experiment.mirror(1.0, control=0.0)
    async def asked(question):
        return question

    async def scene():
        for _ in range(6):
            clock.tick(2)
            await asked("q")
            time.sleep(0.4)  # noqa: ASYNC251 - holding up the loop is the point
            await asyncio.sleep(0)

    asyncio.run(scene())

    assert "event loop lag" in experiment.admission.breaker.reason()


def test_a_definition_reads_no_settings(monkeypatch, tmp_path):
    """Defining and mounting an experiment looks at no file and no environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shadoweval.toml").write_text("damaged", encoding="utf-8")

    Experiment(name="docs", candidates={"new": "a:b"}).mirror(1.0)(lambda question: question)


@pytest.mark.parametrize(("text", "counted"), [(None, "flag_error"), ("kill = true\n", "killed")])
def test_a_broken_flag_file_is_no_kill_that_somebody_asked_for(make, tmp_path, text, counted):
    """Both stop the mirror and what is in flight; only the one that nobody asked for raises the alarm."""
    file = tmp_path / "flags.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    experiment = make(flags=StaticFlags(file))
    mirror = experiment.mirror(1.0, control=0.0)
    asked = mirror(lambda question: question)
    for number in range(30):
        asked(f"q{number}")
    counters = mirror.outlet.ledger.main.snapshot()

    assert experiment.admission.switch.killed()
    assert counters == {"eligible": 30, counted: 30}
    assert experiment.admission.selftest.check(counters).meant is (counted == "killed")
