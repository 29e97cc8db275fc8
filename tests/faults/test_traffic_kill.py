"""The kill switch under load: other processes burn the processor, many experiments are looked at."""

import multiprocessing
import statistics
import time

import pytest

from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import KillSwitch


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(10_000))


@pytest.fixture(name="load")
def _load():
    """Twice as many busy processes as there are processors."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=burn, args=(30,), daemon=True) for _ in range(2 * multiprocessing.cpu_count())]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.kill()
        process.join()


def seen_after(look, act):
    """Seconds from an act until a caller that asks every millisecond sees it."""
    assert not look()
    began = time.monotonic()
    act()
    while not look():
        assert time.monotonic() - began < 10
        time.sleep(0.001)
    return time.monotonic() - began


def test_a_kill_by_file_is_seen_under_load(tmp_path, load):
    """Ten kills by another switch while the machine is overloaded: each is seen. The bound is ten times the promise."""
    switch, other = KillSwitch("support", home=tmp_path), KillSwitch("support", home=tmp_path)
    delays = []
    for _ in range(10):
        delays.append(seen_after(switch.killed, other.kill))
        other.resume()
        time.sleep(0.11)
        assert not switch.killed()

    assert statistics.median(delays) < 2.5


def test_a_kill_by_flag_file_is_seen_under_load(tmp_path, load):
    """The flag file's `kill` goes through two looks, its own and the switch's, and is seen all the same."""
    file = tmp_path / "flags.toml"
    file.write_text("", encoding="utf-8")
    switch = KillSwitch("support", home=tmp_path, also=StaticFlags(file).killed)

    def kill():
        (tmp_path / "new").write_text("kill = ['support']\n", encoding="utf-8")
        (tmp_path / "new").replace(file)

    assert seen_after(switch.killed, kill) < 10


def test_many_experiments_cost_their_own_looks_only(tmp_path):
    """Five hundred switches that nobody asks cost nothing; one kill concerns one of them."""
    switches = [KillSwitch(f"e{i}", home=tmp_path, interval=0.0) for i in range(500)]
    KillSwitch("e7", home=tmp_path).kill()

    assert [i for i, switch in enumerate(switches) if switch.killed()] == [7]


def test_the_process_that_kills_sees_it_with_the_next_call(tmp_path, load):
    """In process there is no interval: a hundred kills, each seen at once."""
    for i in range(100):
        switch = KillSwitch("support", home=tmp_path, clock=lambda: 0.0)
        assert not switch.killed(), i
        switch.kill()
        assert switch.killed()
        switch.resume()
