"""Who is alive: signs in the store, and how long they stand still."""

import os
import subprocess
import sys

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.errors import StoreError
from shadoweval.scoring import errors
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock
from shadoweval.worker import ownership
from shadoweval.worker.ownership import Ownership, is_gone, living, place_of


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url, clock=FixedClock()) as store:
        yield store


@pytest.fixture(name="seconds")
def _seconds():
    return FixedClock()


def experiment(**options):
    gates = [no_worse("errors", by=0.1)]
    options = {"candidates": {"new": "app:new"}, "scorers": [errors()], "gates": gates, **options}
    return Experiment(name="docs", **options)


@pytest.fixture(name="watcher")
def _watcher(store, seconds):
    watcher = Ownership(experiment(), store=store, seconds=seconds.seconds)
    yield watcher
    watcher.end(signed_off=True)


def sign(store, owner):
    store._clock.tick(1)
    store.sign("docs", owner, place="another-kernel pid:[1] 7 99", definition="x")


def watched(store, watcher, seconds, *, span, meanwhile=lambda: None):
    """All that are gone, looked for every five seconds."""
    gone = set()
    for _ in range(0, span, 5):
        before = {each.owner for each in store.signs("docs")}
        watcher.reclaim()
        gone |= before - {each.owner for each in store.signs("docs")}
        seconds.tick(5)
        meanwhile()
    return gone


def test_a_sign_that_stands_still_for_a_minute_is_a_dead_workers(store, seconds, watcher):
    """One that goes on is a living one's, however its clock goes."""
    sign(store, "dead")
    sign(store, "living")
    assert watched(store, watcher, seconds, span=60, meanwhile=lambda: sign(store, "living")) == set()
    assert watched(store, watcher, seconds, span=20, meanwhile=lambda: sign(store, "living")) == {"dead"}


def test_who_could_not_look_begins_to_watch_anew(store, seconds, watcher):
    """After an outage of the store everybody's sign is old, and nobody may be dead."""
    sign(store, "other")
    watched(store, watcher, seconds, span=55)
    seconds.tick(120)
    assert watched(store, watcher, seconds, span=55) == set()


def test_a_process_of_this_kernel_is_gone_at_once():
    """Nor does another one with its number pass for it; of other kernels and namespaces nothing is known."""
    here = place_of(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    place = place_of(process.pid)
    assert not is_gone(place)
    process.communicate()
    assert is_gone(place)
    boot, numbers, pid, began = here.split(" ")
    assert is_gone(f"{boot} {numbers} {pid} {int(began) - 1}")
    assert not is_gone(here)
    assert not is_gone(f"{boot} pid:[1] {process.pid} 1")
    assert not is_gone("")


def test_signs_go_on_while_the_loop_is_busy(store, watcher, monkeypatch):
    """From a thread; a store that is away for a moment ends none of it."""
    monkeypatch.setattr(ownership, "_EVERY", 0.01)
    seen, keep = [], store.sign

    def breaking(*args, **kwargs):
        seen.append(args)
        if len(seen) == 2:
            raise StoreError("gone")
        keep(*args, **kwargs)

    monkeypatch.setattr(store, "sign", breaking)
    watcher.sign()
    while len(seen) < 4:
        pass
    watcher.end(signed_off=True)
    assert list(store.signs("docs")) == []


def test_who_has_not_signed_for_a_minute_is_no_rival(store):
    """By the store's clock, which is the same for all."""
    sign(store, "other")
    assert [each.owner for each in living(store.signs("docs"))] == ["other"]
    store._clock.tick(61)
    assert list(living(store.signs("docs"))) == []
