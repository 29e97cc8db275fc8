"""Memory goes by bytes, whatever the count: large calls in numbers, a large answer, and what grows when it is read."""

import os
import subprocess
import sys

import pytest

from shadoweval.store import SqlStore

APP = """
import os, re, sys

from shadoweval import Experiment, Sandbox, Settings, Traffic, no_worse
from shadoweval.__main__ import main
from shadoweval.scoring import errors
from shadoweval.transport import SpoolTransport
from shadoweval.verdict.rules import Rules

def old(question): return question
def new(question): return "word " * 5_000_000 if question == "large answer" else question.upper()

HOME = Settings(home="home", store=os.environ["BIG_STORE"])
big = Experiment(name="big", candidates={"new": "bigapp:new"}, incumbent="bigapp:old", rerun=0.0, scorers=[errors()],
    gates=[no_worse("errors", by=0.1)], rules=Rules(min_hours=0.0), sandbox=Sandbox(guard=False),
    settings=HOME, traffic=Traffic(transport=SpoolTransport(HOME.spool / "big")))
served = big.mirror(1.0, control=0.0)(old)

if __name__ == "__main__":
    import bigapp
    if sys.argv[1] == "serve":
        bigapp.served("large answer")
        for number in range(300): bigapp.served(f"{number} " + "x" * 240_000)
    else:
        try: main(sys.argv[1:])
        except SystemExit: pass
        print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""
MOST = 300 * 1024
"""KiB."""


def typing_into(program, url, *, seconds):
    """A function that runs the program with words of a command line, and gives what it printed."""

    def typed(*words):
        done = subprocess.run(
            [sys.executable, program.name, *words],
            cwd=program.parent,
            env={**os.environ, "BIG_STORE": url, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return typed


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_worker_and_evaluate_stay_below_300_mb(tmp_path, url):
    """300 calls of 480 kB, which were one batch, and a candidate's answer of 25 MB, which is cut at its cap."""
    (tmp_path / "bigapp.py").write_text(APP, encoding="utf-8")
    typed = typing_into(tmp_path / "bigapp.py", url, seconds=240)

    typed("serve")
    worked = typed("worker", "--until-idle", "bigapp:big")
    evaluated = typed("evaluate", "bigapp:big")
    with SqlStore(url) as store:
        counted = store.funnel("big", "new")
        # Where the machine is busy the breaker may leave some out, and says so; nothing else is lost.
        assert counted.paired == counted.mirrored == 301 - sum(counted.not_mirrored.values())
        assert not counted.not_mirrored.keys() - {"breaker_open"}
        assert counted.paired > 100
        (large,) = [pair.candidate for pair in store.pairs("big", "new") if pair.query.text == "large answer"]
    assert large.outcome.truncated
    assert len(large.outcome.answer) <= 8 << 20
    for said in (worked, evaluated):
        assert int(said.split()[-1]) < MOST, said


SHAPES = """
import os, re, sys

from shadoweval import Experiment, Limits, Sandbox, Settings, Traffic, no_worse, retriever
from shadoweval.__main__ import main
from shadoweval.scoring import errors
from shadoweval.transport import SpoolTransport
from shadoweval.verdict.rules import Rules

@retriever
def many(question): return [{"id": str(n), "text": "x" * 40} for n in range(50_000)]

SHAPES = {
    "lists": lambda: [[] for _ in range(3_000_000)],
    "lists below the cap": lambda: [[] for _ in range(199_000)],
    "mappings": lambda: [{"a": n % 100} for n in range(199_000)],
    "texts": lambda: [f"{n % 5000:02x}" for n in range(250_000)],
    "numbers": lambda: [10**15 + n for n in range(100_000)],
    "huge numbers": lambda: [10**4000 + n for n in range(500)],
    "deep": lambda: deep(60, 3000),
    "hits": lambda: many("q"),
    "foreign letters": lambda: chr(1076) * 500_000,
}
def deep(levels, times):
    value = []
    for _ in range(levels): value = [value]
    return [value] * times

def old(question): return SHAPES[question.partition(" #")[0]]()
def new(question): return SHAPES[question.partition(" #")[0]]()
def attributes(question): return {f"{question} {n}": n for n in range(300)}

HOME = Settings(home="home", store=os.environ["BIG_STORE"])
big = Experiment(name="big", candidates={"new": "shapes:new"}, incumbent="shapes:old", rerun=0.0, scorers=[errors()],
    gates=[no_worse("errors", by=0.1)], rules=Rules(min_hours=0.0),
    sandbox=Sandbox(guard=False, limits=Limits(seconds=200)),
    settings=HOME, traffic=Traffic(transport=SpoolTransport(HOME.spool / "big")))
served = big.mirror(1.0, control=0.0, attributes=attributes)(old)

if __name__ == "__main__":
    import shapes
    if sys.argv[1] == "serve":
        for time in range(int(sys.argv[2])):
            for shape in SHAPES: shapes.served(f"{shape} #{time}")
    else:
        try: main(sys.argv[1:])
        except SystemExit: pass
        print("peak", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_what_grows_when_it_is_read_is_bounded(tmp_path):
    """Both arms answer 3 million empty lists, and other worst shapes: 300 MB at most, none is lost."""
    (tmp_path / "shapes.py").write_text(SHAPES, encoding="utf-8")
    url, times = f"sqlite:///{tmp_path / 'shadow.db'}", 2
    typed = typing_into(tmp_path / "shapes.py", url, seconds=250)

    typed("serve", str(times))
    worked = typed("worker", "--until-idle", "shapes:big")
    looks = [typed("evaluate", "shapes:big") for _ in range(2)]

    with SqlStore(url) as store:
        assert store.funnel("big", "new").paired == 9 * times
        failed = [pair.candidate.failure for pair in store.pairs("big", "new") if pair.candidate.failure]
    assert failed == []
    for said in (worked, *looks):
        assert int(said.split()[-1]) < MOST, said
