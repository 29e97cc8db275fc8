"""What a thread that waits in a system call has named there: paths and addresses, as the kernel will read them."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH115

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from shadoweval.candidate.guard.inherited import PLACEHOLDER
from shadoweval.candidate.guard.policy import normal_address, real_path
from shadoweval.candidate.guard.rules import AT_FDCWD, PathAt

__all__ = ["Caller", "Peer", "signed"]

_PATH_MAX = 4096
_ADDRESS_MAX = 128  # struct sockaddr_storage
_MESSAGES_MAX = 64
_HEADER = struct.Struct("=QIxxxx")  # msghdr: msg_name, msg_namelen
_HEADER_STEP = 64  # sizeof(struct mmsghdr)

Peer = tuple[str, int]  # numeric address and port; a Unix socket's path and -1; "" and 0: no address


class Caller:
    """A process, one of whose threads waits for an answer.

    Its memory can change while we look (another of its threads may write there), so what is read here names and guards
    accidents; Landlock judges the real objects.
    """

    def __init__(self, process: int) -> None:
        self.process = self.thread = process
        self._memory = -1

    def close(self) -> None:
        """Let go of its memory, until it is read again."""
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def read(self, address: int, size: int) -> bytes:
        """Up to `size` bytes; OSError where nothing is mapped."""
        if self._memory < 0:
            self._memory = os.open(f"/proc/{self.process}/mem", os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._memory, size, address)

    def _text(self, address: int) -> str:
        end = 4096 - address % 4096
        raw = self.read(address, min(end, _PATH_MAX))
        if b"\0" not in raw:
            raw += self.read(address + len(raw), _PATH_MAX)
        return os.fsdecode(raw.partition(b"\0")[0])

    def descriptor(self, number: int) -> str:
        """What its descriptor is: a path, or the kernel's word for it."""
        return os.readlink(f"/proc/{self.thread}/fd/{number}")

    def is_placeholder(self, number: int) -> bool:
        """Whether the descriptor stands for an inherited one."""
        try:
            return PLACEHOLDER in self.descriptor(number)
        except OSError:
            return False

    def path(self, target: PathAt, arguments: tuple[int, ...]) -> str:
        """The real path that `target` names among the call's arguments."""
        folder = signed(arguments[target.folder]) if target.folder >= 0 else AT_FDCWD
        pointer = arguments[target.path] if target.path >= 0 else 0
        text = self._text(pointer) if pointer else ""
        if not text:
            return self.descriptor(folder)
        flags = arguments[target.flags] if target.flags >= 0 else 0
        text = self._absolute(text, folder)
        return real_path(text, follow=target.follow and not flags & 0x100)  # AT_SYMLINK_NOFOLLOW

    def _absolute(self, text: str, folder: int = AT_FDCWD) -> str:
        """The path as anybody may use it: what the caller calls its own, or names from where it stands."""
        own = f"/proc/{self.thread}"
        for alias, real in _ALIASES:
            if text == alias or text.startswith(alias + "/"):
                return own + real + text[len(alias) :]
        if text.startswith("/"):
            return text
        base = os.readlink(f"{own}/cwd") if folder == AT_FDCWD else self.descriptor(folder)
        return f"{base}/{text}"

    def address(self, pointer: int, size: int, *, connects: bool = False) -> Peer:
        """The peer that a `struct sockaddr` names.

        Args:
            pointer: where it is.
            size: of it.
            connects: AF_UNSPEC is no address, but the end of a connection. Elsewhere Linux reads it as AF_INET.
        """
        if not pointer or not size:
            return "", 0
        name, port = _decoded(self.read(pointer, min(size, _ADDRESS_MAX)), connects=connects)
        unix = port == -1 and name and not name.startswith("@")
        return (self._absolute(name) if unix else name), port

    def messages(self, pointer: int, count: int) -> Iterator[Peer]:
        """The peers that an array of `struct mmsghdr` (or one `struct msghdr`) names."""
        if count > _MESSAGES_MAX:
            raise OSError(f"{count} messages at once")
        for number in range(count):
            name, size = _HEADER.unpack(self.read(pointer + number * _HEADER_STEP, _HEADER.size))
            yield self.address(name, size)


# Names of "myself", which mean the caller and not the reader. Longer ones first.
_ALIASES = (
    ("/proc/thread-self", ""),
    ("/proc/self", ""),
    ("/dev/stdin", "/fd/0"),
    ("/dev/stdout", "/fd/1"),
    ("/dev/stderr", "/fd/2"),
    ("/dev/fd", "/fd"),
)


def signed(value: int) -> int:
    """A system call's argument, read as the C type `int`."""
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _decoded(raw: bytes, *, connects: bool) -> Peer:
    family = int.from_bytes(raw[:2], "little")
    if family == socket.AF_UNSPEC and connects:
        return "", 0
    if family in {socket.AF_INET, socket.AF_UNSPEC} and len(raw) >= 8:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET6 and len(raw) >= 24:
        return normal_address(socket.inet_ntop(socket.AF_INET6, raw[8:24])), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_UNIX:
        path = raw[2:]
        name = "@" + path[1:].decode("utf-8", "replace") if path[:1] == b"\0" else os.fsdecode(path.partition(b"\0")[0])
        return name, -1
    return f"family {family}", 0
