"""What is said of a line's health, by sign of life, spool and time."""

from datetime import UTC, datetime, timedelta

from shadoweval.codec import encode_envelope
from shadoweval.records import Envelope
from shadoweval.testing import make_observation, make_query
from shadoweval.transport import SpoolTransport
from shadoweval.worker.health import health_of
from shadoweval.worker.heartbeat import Heart

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def heart(folder, clock=lambda: NOW):
    folder.mkdir(exist_ok=True)
    return Heart(folder, "support", clock=clock)


def test_trouble_and_lateness_beside_a_living_worker_are_said(tmp_path):
    """What the worker waits for, and a call that waits longer than five minutes."""
    query = make_query(asked_at=NOW)
    envelope = Envelope(experiment="support", query=query, served=make_observation(query))
    SpoolTransport(tmp_path / "spool" / "support").offer(encode_envelope(envelope))
    heart(tmp_path).beat(3, "the store is locked")

    soon = health_of(tmp_path, "support", now=NOW)
    silent = health_of(tmp_path, "support", now=NOW + timedelta(seconds=301))
    heart(tmp_path, clock=lambda: NOW + timedelta(seconds=300)).beat()
    late = health_of(tmp_path, "support", now=NOW + timedelta(seconds=301))

    assert soon.waiting.frames == 1
    assert soon.waiting.oldest == NOW
    assert soon.alarms == ("the worker waits for this to pass: the store is locked",)
    assert silent.state == "worker gives no sign"
    assert "the oldest call in the spool has waited for 5 min" in late.alarms[-1]


def test_failures_of_last_week_are_no_loop(tmp_path):
    """Ten deaths, a week ago: forgiven."""
    for _ in range(10):
        heart(tmp_path, clock=lambda: NOW - timedelta(days=7)).end("StoreError: gone")
    heart(tmp_path).beat()

    assert health_of(tmp_path, "support", now=NOW).alarms == ()


def test_what_waits_because_it_was_killed_is_no_alarm(tmp_path):
    """Somebody asked for it."""
    assert health_of(tmp_path, "support", now=NOW, tasks=3, killed=True).alarms == ()
    assert len(health_of(tmp_path, "support", now=NOW, tasks=3).alarms) == 1
