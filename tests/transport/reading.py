"""What the tests of the transport read back."""

from pathlib import Path

from shadoweval.transport import SpoolReceiver


def frames(folder: Path) -> list[bytes]:
    """All that waits in a spool; it waits no longer."""
    receiver, waiting = SpoolReceiver(folder), list[bytes]()
    while (batch := receiver.receive(1000)) is not None:
        waiting += batch.frames
        batch.settle()
    receiver.close()
    return waiting
