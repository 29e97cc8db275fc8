"""The reading end: cursor, damage, and tidying up."""

import json
import os
import stat
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver, SpoolTransport
from shadoweval.transport import receiver as receiver_module
from shadoweval.transport.frames import framed


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def drained(receiver: SpoolReceiver) -> list[bytes]:
    found: list[bytes] = []
    while (batch := receiver.receive(100)) is not None:
        found += batch.frames
        batch.settle()
    return found


def test_folder_and_files_are_private(tmp_path: Path) -> None:
    """Queries are users' words: nobody else may read them."""
    writer = SpoolTransport(tmp_path / "spool")
    writer.offer(b"x")
    writer.ledger.main.add("eligible")
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    for path in (tmp_path / "spool").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    writer.close()


def test_segments_end_at_their_size_and_go_when_they_are_read(tmp_path: Path) -> None:
    """Read segments of a living writer are removed, all but the one it writes."""
    writer = SpoolTransport(tmp_path, segment_bytes=1000)
    for n in range(100):
        assert writer.offer(str(n).encode() * 10) is None
    assert len(segments(tmp_path)) > 3
    assert all(path.stat().st_size <= 1000 for path in segments(tmp_path))
    receiver = SpoolReceiver(tmp_path)
    assert drained(receiver) == [str(n).encode() * 10 for n in range(100)]
    assert len(segments(tmp_path)) == 1
    assert writer.offer(b"more") is None
    assert drained(receiver) == [b"more"]
    writer.close()
    assert receiver.receive(10) is None
    assert segments(tmp_path) == []
    receiver.close()


def test_the_cursor_forgets_removed_segments(tmp_path: Path) -> None:
    """It does not grow with the segments that ever were."""
    receiver = SpoolReceiver(tmp_path)
    for n in range(30):
        writer = SpoolTransport(tmp_path)
        writer.offer(str(n).encode())
        writer.close()
        assert drained(receiver) == [str(n).encode()]
    assert len(json.loads((tmp_path / "cursor.json").read_text())) <= 2
    receiver.close()


def test_damage_is_set_aside_once_with_its_reason(tmp_path: Path) -> None:
    """A flipped bit costs its frame; the damaged bytes are given out with the batch, and not again."""
    writer = SpoolTransport(tmp_path)
    for payload in (b"one", b"two", b"three"):
        writer.offer(payload)
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(framed(b"one")) + 17] ^= 1
    path.write_bytes(content)
    receiver = SpoolReceiver(tmp_path)
    batch = receiver.receive(10)
    assert batch is not None
    assert batch.frames == [b"one", b"three"]
    ((damage, reason),) = batch.corrupt
    assert damage == bytes(content[19:38])
    assert "checksum" in reason
    batch.settle()
    assert receiver.receive(10) is None
    writer.close()
    receiver.close()


def test_a_torn_tail_waits_for_its_writer_and_is_damage_after_its_death(tmp_path: Path) -> None:
    """A writer killed in the middle of a frame."""
    writer = SpoolTransport(tmp_path)
    writer.offer(b"whole")
    (path,) = segments(tmp_path)
    with path.open("ab") as file:
        file.write(framed(b"torn")[:-2])
    receiver = SpoolReceiver(tmp_path)
    assert drained(receiver) == [b"whole"]
    assert receiver.receive(10) is None
    writer.close()
    batch = receiver.receive(10)
    assert batch is not None
    assert (batch.frames, len(batch.corrupt)) == ([], 1)
    batch.settle()
    assert segments(tmp_path) == []
    receiver.close()


def test_a_damaged_cursor_gives_frames_again_rather_than_none(tmp_path: Path) -> None:
    """At least once, never not at all."""
    writer = SpoolTransport(tmp_path)
    writer.offer(b"x")
    receiver = SpoolReceiver(tmp_path)
    assert drained(receiver) == [b"x"]
    (tmp_path / "cursor.json").write_text("{nonsense")
    assert drained(receiver) == [b"x"]
    writer.close()
    receiver.close()


def test_a_frame_larger_than_what_is_read_at_once(tmp_path: Path) -> None:
    """10 MB in one frame, between small ones."""
    big = os.urandom(10_000_000)
    writer = SpoolTransport(tmp_path)
    for payload in (b"a", big, b"b"):
        assert writer.offer(payload) is None
    receiver = SpoolReceiver(tmp_path)
    assert drained(receiver) == [b"a", big, b"b"]
    writer.close()
    receiver.close()


def test_a_missing_spool_is_an_empty_one(tmp_path: Path) -> None:
    """A worker may start before the first call."""
    receiver = SpoolReceiver(tmp_path / "none")
    assert receiver.receive(10) is None
    assert receiver.counters() == {}


def test_the_deads_counters_are_folded_into_one_file(tmp_path: Path) -> None:
    """Restarts don't pile up files, and no count is lost or doubled, also when folding was interrupted."""
    receiver = SpoolReceiver(tmp_path)
    for n in range(5):
        child = os.fork()
        if not child:
            writer = SpoolTransport(tmp_path)
            writer.ledger.main.add("eligible", n + 1)
            writer.ledger.control.add("3")
            writer.offer(b"x")
            os._exit(0)
        os.waitpid(child, 0)
    assert receiver.counters() == {"eligible": 15}
    drained(receiver)
    assert receiver.counters() == {"eligible": 15}
    assert receiver.histogram("control") == {"3": 5}
    # A reader that died between writing the total and removing the files leaves both.
    total = json.loads((tmp_path / "total.json").read_text())
    assert len(total["folded"]) == 15
    drained(receiver)
    living = SpoolTransport(tmp_path)
    living.ledger.main.add("eligible")
    living.offer(b"y")
    living.close()
    drained(receiver)
    assert receiver.counters() == {"eligible": 16}
    assert len(list(tmp_path.glob("*.counters"))) == 3
    receiver.close()


@pytest.mark.parametrize("content", [b"", b"[", b"null", b"[1]", b'{"%s": "x"}', b'{"%s": 1000000}', b'{"%s": -1}'])
def test_a_damaged_cursor_loses_nothing(tmp_path, content):
    """Frames come again, which the store knows; a place beyond the end does not pass for read."""
    transport = SpoolTransport(tmp_path)
    transport.offer(b"frame")
    transport.close()
    (segment,) = tmp_path.glob("*.seg")
    (tmp_path / "cursor.json").write_bytes(content.replace(b"%s", segment.name.encode()))

    assert SpoolReceiver(tmp_path).receive(10).frames == [b"frame"]


def test_all_has_come_once_nothing_comes_after_it_was_asked(tmp_path, monkeypatch):
    """Where no collector lives each look takes what waits in memory, once, and the second look without any tells."""
    looks = []
    monkeypatch.setattr(receiver_module, "adopt", lambda root: looks.append(root) or True)
    receiver, transport = SpoolReceiver(tmp_path / "spool"), SpoolTransport(tmp_path / "spool")
    transport.offer(b"frame")
    assert not receiver.caught_up()
    batch = receiver.receive(9)
    batch.settle()  # something came, so it is asked anew
    assert receiver.receive(9) is None
    assert not receiver.caught_up()
    assert receiver.receive(9) is None
    assert receiver.caught_up()
    assert len(looks) == 3
    receiver.close()


def test_a_collector_that_lives_is_waited_for_until_it_has_looked_twice(tmp_path, monkeypatch):
    """It may have taken a frame out of memory and not written it yet; one that gives no sign is not waited for."""
    beats, clock = {}, iter(range(1, 10**12, 10**9))
    monkeypatch.setattr(receiver_module, "adopt", lambda root: False)
    monkeypatch.setattr(receiver_module, "beats_of", lambda root: dict(beats))
    monkeypatch.setattr(receiver_module.time, "monotonic_ns", lambda: next(clock))
    receiver, ring = SpoolReceiver(tmp_path / "spool"), tmp_path / "1.ring"
    answers = []
    for beat in (0, 2 * 10**9, 2 * 10**9, 3 * 10**9, 3 * 10**9):
        beats[ring] = beat
        receiver.receive(9)
        answers.append(receiver.caught_up())
    assert answers == [False, False, False, False, True]
    silent = [receiver.caught_up() for _ in range(12)]
    assert True in silent
    receiver.close()
