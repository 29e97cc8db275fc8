"""Out of the request path: from the mirror's process to the worker's."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from shadoweval.capture.third_party import connections
from shadoweval.protocols import Transport
from shadoweval.transport.receiver import SpoolReceiver
from shadoweval.transport.spool import SpoolTransport

__all__ = ["SpoolReceiver", "open_transport", "prepare", "shared_transport"]

_shared: Final[dict[Path, Transport]] = {}


def shared_transport(folder: Path) -> Transport:
    """This process's only way into a spool, whoever asks for it.

    A script that is run again and again (Streamlit's) makes a new experiment each time, and all of them count in one
    place.
    """
    folder = folder.absolute()
    transport = _shared.get(folder)
    if transport is None:
        opened = open_transport(folder)
        transport = _shared.setdefault(folder, opened)  # another thread may have been quicker
        if transport is not opened:
            opened.close()
    return transport


def prepare() -> None:
    """Load what a first call needs, and open nothing: a parent does once what each of its forked children would."""
    if _ringed():
        import_module("shadoweval.transport.hand_off")
    with contextlib.suppress(Exception):  # the call that needs it tells
        connections.load()


def _ringed() -> bool:
    return sys.platform == "linux" and bool(sys.executable) and not getattr(sys, "frozen", False)


def open_transport(folder: Path, *, ring: bool = True) -> Transport:
    """The quickest way into the spool that this system has; `SpoolReceiver` reads it in any case.

    Args:
        folder: The experiment's spool.
        ring: Allow the ring with its collector process; it needs Linux, and a Python that can be started.
    """
    if ring and _ringed():
        from shadoweval.transport.hand_off import RingTransport  # noqa: PLC0415 - Linux only

        try:
            return RingTransport(folder)
        except (OSError, AttributeError):  # there is no shared memory, or no room in it
            pass
    return SpoolTransport(folder)
