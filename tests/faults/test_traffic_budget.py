"""Budgets under faults: damage, full disks, kill -9, several processes at once."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from shadoweval.traffic.budget import Budget

SPEND = """
import sys
from pathlib import Path
from shadoweval.traffic.budget import Budget
budget = Budget("support", home=Path(sys.argv[1]), calls=int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
spent = 0
while not budget.spent():
    budget.charge(calls=1)
    spent += 1
    print(spent, flush=True)
print(spent)
"""


def spender(home, limit):
    process = subprocess.Popen(
        [sys.executable, "-c", SPEND, str(home), str(limit)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(processes):
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()


def budget_of(home, **limits):
    return Budget("support", home=home, **limits)


def the_file(home):
    (file,) = (home / "budget").iterdir()
    return file


def test_processes_overspend_by_at_most_a_call_each(tmp_path):
    """Two processes that spend one budget of 2,000 calls as fast as they can stop at 2,000 or 2,001."""
    processes = [spender(tmp_path, 2000) for _ in range(2)]
    let_go(processes)
    counts = [int(process.communicate(timeout=60)[0].split()[-1]) for process in processes]

    assert 2000 <= sum(counts) <= 2001
    assert budget_of(tmp_path, calls=1).spending().calls == sum(counts)


def test_kill_nine_forgets_nothing(tmp_path):
    """Processes killed while they spend: what each of them reported is charged, and the next ones go on from there."""
    reported = 0
    for _ in range(4):
        process = spender(tmp_path, 10**9)
        let_go([process])
        text = "".join(process.stdout.readline() for _ in range(50))
        process.send_signal(signal.SIGKILL)
        text += process.stdout.read()
        whole, _, _ = text.rpartition("\n")
        reported += int(whole.split("\n")[-1])
        process.communicate(timeout=60)
    spent = budget_of(tmp_path, calls=1).spending().calls

    assert reported <= spent <= reported + 4  # charged and killed before the report
    assert the_file(tmp_path).stat().st_size == 32


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"rubbish"),
        lambda file: file.write_bytes(b"x" * 64),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(bytes(32)),
        lambda file: os.truncate(file, 16),
    ],
    ids=["short", "foreign", "emptied", "zeros", "torn"],
)
def test_a_damaged_file_counts_as_spent(tmp_path, damage):
    """Whatever happened to the file of a running process: spent, with a reason, no crash and no wait."""
    budget = budget_of(tmp_path, calls=1000)
    budget.charge(calls=1)
    assert not budget.spent()
    damage(the_file(tmp_path))
    budget._answered = -1.0

    assert budget.spent()
    assert "damaged" in budget.reason()


def test_a_file_of_somebody_else_counts_as_spent(tmp_path):
    """A process that starts and finds rubbish does not spend."""
    budget_of(tmp_path, calls=10).charge(calls=1)
    the_file(tmp_path).write_bytes(b"rubbish")
    newcomer = budget_of(tmp_path, calls=10)

    assert newcomer.spent()
    assert newcomer.charge(calls=1) is False
    assert the_file(tmp_path).read_bytes() == b"rubbish"


def test_a_file_that_is_replaced_while_in_use_counts_as_spent(tmp_path):
    """Removing today's file does not give the running processes a second budget."""
    now = [1_772_366_400.0]
    budget = budget_of(tmp_path, calls=10, clock=lambda: now[0])
    budget.charge(calls=1)
    the_file(tmp_path).unlink()
    now[0] += 1.1

    assert budget.spent()
    budget_of(tmp_path, calls=10, clock=lambda: now[0]).charge(calls=1)
    now[0] += 1.1
    assert budget.spent()
    assert "replaced" in budget.reason()


def test_a_folder_that_cannot_be_made_counts_as_spent_until_it_can(tmp_path):
    """A file where the folder belongs: spent, until it is out of the way."""
    now = [1_772_366_400.0]
    (tmp_path / "budget").write_text("in the way", encoding="utf-8")
    budget = budget_of(tmp_path, calls=10, clock=lambda: now[0])
    assert budget.spent()
    (tmp_path / "budget").unlink()
    now[0] += 1.1

    assert not budget.spent()


@pytest.fixture(name="full_disk")
def _full_disk():
    """No file of this process can grow until `lift` is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, ignored)


def test_what_could_not_be_charged_is_owed(tmp_path, full_disk):
    """A charge on a full disk says False, the budget counts as spent, and the debt is written when there is room."""
    now = [1_772_366_400.0]
    budget = budget_of(tmp_path, calls=10, clock=lambda: now[0])
    assert budget.charge(calls=3) is False
    assert budget.spent()
    full_disk()
    now[0] += 1.1

    assert not budget.spent()
    assert budget.spending().calls == 3
