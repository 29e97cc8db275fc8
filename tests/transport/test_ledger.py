"""Counts of a process that writes them into files of its own."""

import time
from pathlib import Path

import pytest

from shadoweval.transport import ledger as ledger_module
from shadoweval.transport.ledger import Ledger
from shadoweval.transport.totals import total


def test_nothing_is_opened_before_something_is_counted(tmp_path: Path) -> None:
    """Most children of a fork count nothing."""
    ledger = Ledger(tmp_path / "spool")
    assert ledger.main.snapshot() == {}
    assert not (tmp_path / "spool").exists()
    ledger.count("mirrored")
    ledger.mirrored.add("7")
    ledger.control.add("127", 2)
    assert ledger.main.snapshot() == total(tmp_path / "spool", "main") == {"eligible": 1, "mirrored": 1}
    assert total(tmp_path / "spool", "mirrored") == {"7": 1}
    assert total(tmp_path / "spool", "control") == {"127": 2}


def test_an_unknown_reason_is_refused_before_and_after(tmp_path: Path) -> None:
    """A loss without a name would not be counted."""
    ledger = Ledger(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyError):
            ledger.count("somehow")
        ledger.count("full")
    assert ledger.main.snapshot() == {"eligible": 2, "full": 2}


def test_a_folder_that_can_not_be_made_keeps_counts_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come into files when there are some."""
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(tmp_path / "file" / "spool")
    ledger.count("mirrored")
    assert ledger.main.snapshot() == {"eligible": 1, "mirrored": 1}
    (tmp_path / "file").unlink()
    ledger.tend()
    assert not (tmp_path / "file").exists()  # it has just been tried
    now = time.monotonic()
    monkeypatch.setattr(ledger_module.time, "monotonic", lambda: now + 1)
    ledger.count("mirrored")
    assert total(tmp_path / "file" / "spool", "main") == {"eligible": 2, "mirrored": 2}
    assert ledger.main.snapshot() == {"eligible": 2, "mirrored": 2}


def test_counters_that_a_call_holds_count_on(tmp_path: Path) -> None:
    """Those that stood for unopened ones pass on what comes later, whatever was opened or left meanwhile."""
    ledger = Ledger(tmp_path)
    early, mirrored = ledger.count, ledger.mirrored
    ledger.count("mirrored")
    early("mirrored")
    mirrored.add("3")
    assert ledger.main.snapshot() == {"eligible": 2, "mirrored": 2}
    assert mirrored.snapshot() == total(tmp_path, "mirrored") == {"3": 1}
