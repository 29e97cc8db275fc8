"""What contained processes say of themselves: one channel for all of them, and the kernel tells who speaks.

Source: unix(7) on SCM_CREDENTIALS.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
from typing import Final, NamedTuple

import msgspec

from shadoweval.candidate.guard.policy import Containment
from shadoweval.records import Refusal

__all__ = ["Report", "Reports", "message"]

_MESSAGE_MAX: Final = 1 << 16
_WAIT_SECONDS: Final = 2
"""How long a candidate waits to report a refusal to a parent that does not read."""
_CREDENTIALS: Final = struct.Struct("3i")  # pid, user, group
_ANCILLARY: Final = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4)  # credentials and a descriptor

_envelope = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
_containment, _refusal = msgspec.msgpack.Decoder(Containment), msgspec.msgpack.Decoder(Refusal)


def message(record: Containment | Refusal) -> bytes:
    """A report as it is sent."""
    return msgspec.msgpack.encode((os.getpid(), record))


class Report(NamedTuple):
    """One message, of whichever content; candidate code can write to the channel too."""

    sender: int
    """Pid as the kernel knows it; where it does not say, as the message does."""
    content: bytes
    descriptors: list[int]

    def containment(self) -> Containment:
        """As a record of what holds the sender; MsgspecError where it is none."""
        return _containment.decode(self.content)

    def refusal(self) -> Refusal:
        """As a refusal; what is none counts as one."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        try:
            refusal = _refusal.decode(self.content)
        except msgspec.MsgspecError:
            return Refusal(kind="ipc", detail="a forged report", layer="notify")
        return Refusal(kind=refusal.kind, detail=refusal.detail, layer=refusal.layer)  # each counts once


class Reports:
    """Both ends of the channel.

    Attributes:
        candidate: the end for the contained processes.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
        self._channel, self.candidate = socket.socketpair(socket.AF_UNIX, kind)
        self._channel.setblocking(False)
        if sys.platform == "linux":
            self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.candidate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _WAIT_SECONDS, 0))

    def fileno(self) -> int:
        """Our end's descriptor, for a selector; -1 after `close`."""
        return self._channel.fileno()

    def receive(self) -> Report | None:
        """The next report, without waiting; None: there is none.

        Raises:
            EOFError: nobody is left who could send one.
        """
        try:
            content, ancillary, _, _ = self._channel.recvmsg(_MESSAGE_MAX, _ANCILLARY)
        except BlockingIOError:
            return None
        except ConnectionError as error:
            raise EOFError from error
        if not content:
            raise EOFError
        sender, descriptors = _sender_and_descriptors(ancillary)
        try:
            claimed, inner = _envelope.decode(content)
        except msgspec.MsgspecError:
            return Report(sender, b"", descriptors)
        return Report(sender or claimed, bytes(inner), descriptors)

    def close(self) -> None:
        """Close both ends."""
        self._channel.close()
        self.candidate.close()


def _sender_and_descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, list[int]]:
    """Pid of the sender (0: the kernel does not say), and the descriptors that came along."""
    sender, descriptors = 0, array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        elif level == socket.SOL_SOCKET and kind == getattr(socket, "SCM_CREDENTIALS", -1):
            sender = _CREDENTIALS.unpack(content)[0]
    return sender, list(descriptors)
