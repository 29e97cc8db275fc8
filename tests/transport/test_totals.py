"""The sum over all processes, living and dead, counts each of them once."""

import os
import time
from pathlib import Path

import pytest

from shadoweval.counters import counters_file, read_counters, write_numbers
from shadoweval.transport import SpoolReceiver, SpoolTransport
from shadoweval.transport.ledger import Ledger
from shadoweval.transport.sums import SHARED
from shadoweval.transport.totals import total

KEPT = ["cursor.json", "reader.lock", "total.before.json", "total.json"]
"""What is left in a spool whose writers are dead and whose frames are settled."""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sums": 3, "folded": []}', None])
def test_a_damaged_total_costs_no_count(tmp_path, content):
    """Empty, torn, of another shape or gone, whenever it happens: the total before and the files make the same sum."""
    for n in range(1, 4):
        ledger = Ledger(tmp_path)
        ledger.count("mirrored")
        ledger.forget()  # as one that died
        assert total(tmp_path, "main", fold=True)["mirrored"] == n
        if content is None:
            (tmp_path / "total.json").unlink()
        else:
            (tmp_path / "total.json").write_bytes(content)
        assert total(tmp_path, "main")["mirrored"] == n
        assert total(tmp_path, "main", fold=True)["mirrored"] == n


def test_a_file_of_another_memory_is_the_deads_after_two_days(tmp_path: Path) -> None:
    """Its container may live and have no collector just now; then it would count again."""
    shared = tmp_path / f"{SHARED}0123456789ab.main.counters"
    shared.write_bytes(counters_file(["eligible", "mirrored"]))
    write_numbers(shared, [3, 2])
    assert total(tmp_path, "main", fold=True) == {"eligible": 3, "mirrored": 2}
    assert shared.exists()
    old = time.time() - 3 * 86_400
    os.utime(shared, (old, old))
    for _ in range(2):
        assert total(tmp_path, "main", fold=True) == {"eligible": 3, "mirrored": 2}
    assert not shared.exists()


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They have a second row of numbers: what was counted in memory."""
    path = tmp_path / "1-abc.main.counters"
    path.write_bytes(counters_file(["eligible", "mirrored"]))
    write_numbers(path, [3, 2])
    with path.open("ab") as file:
        file.write((4).to_bytes(8, "little") + (5).to_bytes(8, "little") + bytes(126 * 8))
    assert read_counters(path) == {"eligible": 7, "mirrored": 7}
    assert total(tmp_path, "main", fold=True) == total(tmp_path, "main") == {"eligible": 7, "mirrored": 7}


def test_hundreds_of_dead_processes_leave_one_sum(tmp_path: Path, monkeypatch) -> None:
    """Each left three files of counts and a segment: the reader takes all in, and then reads none of them again."""
    dead, spool = 200, tmp_path / "spool" / "support"
    for _ in range(dead):
        process = SpoolTransport(spool)
        process.ledger.count("mirrored")
        assert process.offer(b"frame") is None
        process.close()
        process.ledger.forget()  # as one that died
    assert len(list(spool.iterdir())) >= 4 * dead
    receiver, frames = SpoolReceiver(spool), 0
    while batch := receiver.receive(100):
        frames += len(batch.frames)
        batch.settle()
        assert receiver.counters()["mirrored"] == dead
    total(spool, "main", fold=True)

    read = []
    monkeypatch.setattr("shadoweval.transport.totals.read_counters", lambda file: read.append(file) or {})
    assert (frames, receiver.counters()) == (dead, {"eligible": dead, "mirrored": dead})
    assert read == []
    assert sorted(path.name for path in spool.iterdir()) == KEPT
    receiver.close()
