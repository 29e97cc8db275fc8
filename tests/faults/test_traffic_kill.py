"""The kill switch under load: processes and threads burn the processor, many experiments are looked at.

The promise is 250 ms by file and 1 s for what is in flight. A shared machine may hold anybody up, so the median of
twenty has to keep it, and the worst ten times as much.
"""

import multiprocessing
import statistics
import threading
import time

import pytest

from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import KillSwitch
from tests.waiting import until

PROMISE = 0.25
TIMES = 20


def burn(stop=None):
    end = time.monotonic() + 120
    while time.monotonic() < end and not (stop and stop.is_set()):
        sum(range(10_000))


@pytest.fixture(name="load")
def _load():
    """Twice as many busy processes as there are processors, and four busy threads in this one."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=burn, daemon=True) for _ in range(2 * multiprocessing.cpu_count())]
    stop = threading.Event()
    threads = [threading.Thread(target=burn, args=(stop,), daemon=True) for _ in range(4)]
    for one in (*processes, *threads):
        one.start()
    yield
    stop.set()
    for process in processes:
        process.kill()
    for one in (*processes, *threads):
        one.join()


def seen_after(look, act):
    """Seconds from an act until a caller that asks every millisecond sees it.

    A turn that the machine gives to others counts 10 ms: how long it withholds the processor is not the switch's.
    """
    assert not look()
    act()
    delay, before = 0.0, time.monotonic()
    while not look():
        time.sleep(0.001)
        now = time.monotonic()
        delay, before = delay + min(now - before, 0.01), now
        assert delay < 30
    return delay


def keeps(delays):
    """Whether the median keeps the promise and the worst ten times as much; shown where it does not."""
    return statistics.median(delays) < PROMISE and max(delays) < 10 * PROMISE


def test_a_kill_by_file_is_seen_within_250_ms_under_load(tmp_path, load):
    """The file is made as `touch` makes it, by nobody this process knows of."""
    switch = KillSwitch("support", home=tmp_path)
    file = tmp_path / "kill" / "support"
    file.parent.mkdir()
    delays = []
    for number in range(TIMES):
        time.sleep(0.013 * number % 0.1)  # at every phase of the look's interval
        delays.append(seen_after(switch.killed, file.touch))
        file.unlink()
        until(lambda: not switch.killed(), every=0.001)

    assert keeps(delays), sorted(delays)


def test_a_kill_by_flag_file_is_seen_within_250_ms_under_load(tmp_path, load):
    """The flag file's `kill` goes through two looks, its own and the switch's."""
    file = tmp_path / "flags.toml"
    file.write_text("", encoding="utf-8")
    switch = KillSwitch("support", home=tmp_path, also=StaticFlags(file).kill_reason)

    def write(text):
        (tmp_path / "new").write_text(text, encoding="utf-8")
        (tmp_path / "new").replace(file)

    delays = []
    for number in range(TIMES):
        time.sleep(0.013 * number % 0.1)
        delays.append(seen_after(switch.killed, lambda: write("kill = ['support']\n")))
        write("")
        until(lambda: not switch.killed(), every=0.001)

    assert keeps(delays), sorted(delays)


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
