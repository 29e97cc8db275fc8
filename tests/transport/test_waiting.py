"""What waits in a spool is counted without touching it."""

from shadoweval.transport import SpoolReceiver, SpoolTransport
from shadoweval.transport.waiting import waiting


def test_only_what_is_not_settled_waits(tmp_path):
    """Frames before the cursor are done; a folder that is not there holds nothing."""
    transport, receiver = SpoolTransport(tmp_path / "spool"), SpoolReceiver(tmp_path / "spool")
    for number in range(5):
        transport.offer(b"frame" * number)
    assert (waiting(tmp_path / "spool").frames, waiting(tmp_path / "none").frames) == (5, 0)

    batch = receiver.receive(3)
    assert waiting(tmp_path / "spool").frames == 5
    batch.settle()

    left = waiting(tmp_path / "spool")
    assert (left.frames, left.bytes, left.oldest is None) == (2, 2 * 16 + 15 + 20, False)


def test_a_torn_frame_counts_as_one(tmp_path):
    """Bytes that are no frame, at the end."""
    transport = SpoolTransport(tmp_path)
    transport.offer(b"frame")
    (segment,) = tmp_path.glob("*.seg")
    with segment.open("ab") as file:
        file.write(b"SEf1 torn")

    assert waiting(tmp_path).frames == 2
