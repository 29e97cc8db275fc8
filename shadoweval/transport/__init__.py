"""Out of the request path: from the mirror's process to the worker's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from shadoweval.protocols import Transport
from shadoweval.transport.receiver import SpoolReceiver
from shadoweval.transport.spool import SpoolTransport

__all__ = ["SpoolReceiver", "open_transport", "shared_transport"]

_shared: Final[dict[Path, Transport]] = {}


def shared_transport(folder: Path) -> Transport:
    """This process's only way into a spool, whoever asks for it.

    A script that is run again and again (Streamlit's) makes a new experiment each time, and each way out has files and
    a process of its own.
    """
    folder = folder.absolute()
    transport = _shared.get(folder)
    if transport is None:
        opened = open_transport(folder)
        transport = _shared.setdefault(folder, opened)  # another thread may have been quicker
        if transport is not opened:
            opened.close()
    return transport


def open_transport(folder: Path, *, ring: bool = True) -> Transport:
    """The quickest way into the spool that this system has; `SpoolReceiver` reads it in any case.

    Args:
        folder: The experiment's spool.
        ring: Allow the ring with its collector process; it needs Linux, and a Python that can be started.
    """
    if ring and sys.platform == "linux" and sys.executable and not getattr(sys, "frozen", False):
        from shadoweval.transport.hand_off import RingTransport  # noqa: PLC0415 - Linux only

        try:
            return RingTransport(folder)
        except (OSError, AttributeError):  # no sealed memfds, or no memory for them
            pass
    return SpoolTransport(folder)
