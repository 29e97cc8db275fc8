"""A spool that can't be written is no silence."""

import logging
from pathlib import Path

import pytest

from shadoweval import seldom
from shadoweval.transport import SpoolTransport, segments, spool


def test_it_is_said_once_with_the_folder_and_how_to_mend_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand calls, one line a minute; counts stay."""
    monkeypatch.setattr(spool, "_RETRY", 0.0)
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "spool"
    with caplog.at_level(logging.WARNING, "shadoweval.transport"):
        writer = SpoolTransport(folder)
        assert {writer.offer(b"x") for _ in range(1000)} == {"transport_error"}
        writer.ledger.count("transport_error")
        SpoolTransport(tmp_path / "file" / "another").offer(b"x")
    (first, second) = caplog.records
    assert str(folder) in first.getMessage()
    assert f"{str(tmp_path / 'file')!r} is no folder" in first.getMessage()
    assert "write" in first.getMessage()
    assert first.__dict__["folder"] == str(folder)
    assert "another" in second.getMessage()
    assert writer.ledger.main.snapshot() == {"eligible": 1, "transport_error": 1}
    later = seldom.time.monotonic() + 61
    monkeypatch.setattr(seldom.time, "monotonic", lambda: later)
    segments.unwritable(folder, OSError(30, "Read-only file system"))
    assert len(caplog.records) == 3


def test_a_log_that_raises_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's handlers are its own."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record)

    handler = Broken()
    logging.getLogger("shadoweval.transport").addHandler(handler)
    try:
        (tmp_path / "file").write_text("in the way")
        assert SpoolTransport(tmp_path / "file").offer(b"x") == "transport_error"
    finally:
        logging.getLogger("shadoweval.transport").removeHandler(handler)


def test_trouble_is_seen_before_a_call_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking makes nothing."""
    (tmp_path / "file").write_text("in the way")
    assert segments.trouble(tmp_path / "a" / "b") is None
    assert not (tmp_path / "a").exists()
    assert segments.trouble(tmp_path) is None
    assert "no folder" in str(segments.trouble(tmp_path / "file" / "b"))
    monkeypatch.setattr(segments.os, "access", lambda *_: False)  # root may write anywhere
    assert "may not be written" in str(segments.trouble(tmp_path / "a"))
