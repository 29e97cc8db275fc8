"""Counts in memory that is shared with a collector and counts in files are one sum, whoever dies."""

import shutil
import sys
import time
from pathlib import Path

import pytest

from shadoweval.transport import ledger as ledger_module
from shadoweval.transport.ledger import Ledger, total

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport.ring import CountCopies, Ring


class Sharing:
    """A ledger beside a ring, as a transport keeps them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger, self.ring = Ledger(folder), Ring.create(4096)
        self.ledger.share(self.ring.page())
        self.ring.stem = self.ledger.stem
        self.copies = CountCopies(self.ring, folder)
        assert self.copies.update()

    def count(self, times: int) -> None:
        for _ in range(times):
            self.ledger.count("mirrored")
        self.ledger.mirrored.add("7", times)
        self.ledger.control.add("127", times)

    def total(self, *, fold: bool = False) -> int:
        found = total(self.folder, "main", fold=fold)
        assert found.get("mirrored") == found.get("eligible")
        assert total(self.folder, "mirrored").get("7", 0) == found.get("mirrored", 0)
        assert total(self.folder, "control").get("127", 0) == found.get("mirrored", 0)
        return found.get("mirrored", 0)

    def own_total(self) -> int:
        assert self.ledger.mirrored.snapshot().get("7", 0) == self.ledger.control.snapshot().get("127", 0)
        return self.ledger.main.snapshot().get("mirrored", 0)


@pytest.fixture
def sharing(tmp_path: Path) -> Sharing:
    return Sharing(tmp_path / "spool")


def test_both_add_up_here_and_for_readers(sharing: Sharing) -> None:
    """Into the file, into memory, into the file, into memory: each is counted once."""
    for n, into_memory in enumerate([False, True, False, True], 1):
        sharing.ledger.divert(into_memory)
        sharing.count(10)
        assert sharing.own_total() == 10 * n
        assert sharing.copies.update()
        assert sharing.total() == 10 * n


def test_what_is_counted_in_memory_stores_nothing_into_a_file(sharing: Sharing) -> None:
    """Such a store may wait for the disk; the collector's copy comes later."""
    sharing.ledger.divert(into_memory=True)
    before = {path: path.read_bytes() for path in sharing.folder.iterdir()}
    sharing.count(10)
    assert {path: path.read_bytes() for path in sharing.folder.iterdir()} == before
    assert sharing.own_total() == 10


def test_the_next_collector_counts_nothing_twice(sharing: Sharing) -> None:
    """It copies all numbers again, over those of the first one."""
    sharing.ledger.divert(into_memory=True)
    sharing.count(5)
    sharing.copies.update()
    sharing.copies.close()  # killed
    sharing.count(5)
    assert sharing.total(fold=True) == 5
    successor = CountCopies(sharing.ring, sharing.folder)
    assert successor.update()
    assert sharing.total() == 10


def test_files_are_the_deads_when_both_are_gone(sharing: Sharing) -> None:
    """An application that was killed leaves its files to its collector, which copies the rest."""
    sharing.ledger.divert(into_memory=True)
    sharing.count(5)
    sharing.copies.update()
    sharing.count(5)
    sharing.ledger.forget()  # killed
    assert sharing.total(fold=True) == 5
    assert list(sharing.folder.glob("*.main.counters"))
    sharing.copies.update()
    sharing.copies.close()
    assert sharing.total(fold=True) == 10
    assert sharing.total(fold=True) == 10
    assert not list(sharing.folder.glob("*.main.counters"))


def test_a_removed_folder_is_followed(sharing: Sharing) -> None:
    """Both find the new files; nothing of this process is lost or counted twice."""
    sharing.count(3)
    sharing.ledger.divert(into_memory=True)
    sharing.count(4)
    sharing.copies.update()
    shutil.rmtree(sharing.folder)
    sharing.ledger.tend()
    sharing.ring.stem = sharing.ledger.stem
    sharing.ledger.divert(into_memory=True)
    sharing.count(5)
    assert sharing.copies.update()
    assert sharing.own_total() == sharing.total() == 12


def test_a_closed_ring_leaves_its_counts_where_they_are(sharing: Sharing) -> None:
    """Its collector may copy later than the next ring's: each has files of its own."""
    sharing.count(1)
    sharing.ledger.divert(into_memory=True)
    sharing.count(2)
    sharing.ledger.retire()
    assert sharing.own_total() == 3
    sharing.count(4)
    following = Ring.create(4096)
    sharing.ledger.share(following.page())
    following.stem = sharing.ledger.stem
    sharing.ledger.divert(into_memory=True)
    sharing.count(8)
    assert CountCopies(following, sharing.folder).update()
    assert sharing.copies.update()
    sharing.copies.close()
    assert sharing.own_total() == sharing.total(fold=True) == sharing.total() == 15


def test_counters_that_a_call_holds_count_on_when_the_ring_is_closed(sharing: Sharing) -> None:
    """Another thread may be about to count while the transport is closed: no error, and no access to freed memory."""
    sharing.ledger.divert(into_memory=True)
    late = sharing.ledger.count
    sharing.ledger.retire()
    sharing.ring.close()
    late("mirrored")
    assert sharing.own_total() == 0


def test_what_can_not_be_copied_is_copied_later(sharing: Sharing) -> None:
    """Files that are away for a moment."""
    sharing.ledger.divert(into_memory=True)
    sharing.count(2)
    copies = CountCopies(sharing.ring, sharing.folder)
    away = sharing.folder.rename(sharing.folder.with_name("away"))
    assert not copies.update()
    away.rename(sharing.folder)
    assert copies.update()
    assert sharing.total() == 2


def test_a_folder_that_can_not_be_made_keeps_counts_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was counted for a collector: it comes into files when there are some."""
    (tmp_path / "file").write_text("in the way")
    ledger, ring = Ledger(tmp_path / "file" / "spool"), Ring.create(4096)
    ledger.share(ring.page())
    ledger.divert(into_memory=True)
    ledger.count("mirrored")
    assert ring.counts["main"].count(0) == len(ring.counts["main"])
    assert ledger.main.snapshot() == {"eligible": 1, "mirrored": 1}
    (tmp_path / "file").unlink()
    ledger.tend()
    assert not (tmp_path / "file").exists()  # it has just been tried
    now = time.monotonic()
    monkeypatch.setattr(ledger_module.time, "monotonic", lambda: now + 1)
    ledger.tend()
    assert total(tmp_path / "file" / "spool", "main") == {"eligible": 1, "mirrored": 1}
