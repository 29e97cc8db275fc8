"""Read what a waiting system call of another process points to: paths and addresses."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH115

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from shadoweval.candidate.guard.descriptors import PLACEHOLDER
from shadoweval.candidate.guard.policy import normal_address
from shadoweval.candidate.guard.rules import AT_FDCWD, Target

__all__ = ["Caller", "Peer"]

_PATH_MAX = 4096
_ADDRESS_MAX = 128  # struct sockaddr_storage
_MESSAGES_MAX = 64
_HEADER = struct.Struct("=QIxxxx")  # msghdr: msg_name, msg_namelen
_HEADER_STEP = 64  # sizeof(struct mmsghdr)

Peer = tuple[str, int]  # numeric address and port; a Unix socket's path and -1; "" and 0: no address


class Caller:
    """A process whose thread waits for an answer.

    Its memory can change while we look (another of its threads may write there), so what is read here names and guards
    accidents; Landlock judges the real objects.
    """

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self._memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of its memory."""
        os.close(self._memory)

    def read(self, address: int, size: int) -> bytes:
        """Up to `size` bytes; OSError where nothing is mapped."""
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

    def path(self, target: Target, arguments: tuple[int, ...]) -> str:
        """The real path that `target` names among the call's arguments."""
        folder = _signed(arguments[target.folder]) if target.folder >= 0 else AT_FDCWD
        pointer = arguments[target.path] if target.path >= 0 else 0
        text = self._text(pointer) if pointer else ""
        if not text:
            return self.descriptor(folder)
        flags = arguments[target.flags] if target.flags >= 0 else 0
        own = f"/proc/{self.thread}"
        for alias, real in _ALIASES:
            if text == alias or text.startswith(alias + "/"):
                text = own + real + text[len(alias) :]
                break
        if not text.startswith("/"):
            base = os.readlink(f"{own}/cwd") if folder == AT_FDCWD else self.descriptor(folder)
            text = f"{base}/{text}"
        return real_path(text, follow=target.follow and not flags & 0x100)  # AT_SYMLINK_NOFOLLOW

    def address(self, pointer: int, size: int) -> Peer:
        """The peer that a `struct sockaddr` names."""
        if not pointer or not size:
            return "", 0
        return _decoded(self.read(pointer, min(size, _ADDRESS_MAX)))

    def messages(self, pointer: int, count: int) -> Iterator[Peer]:
        """The peers that an array of `struct mmsghdr` (or one `struct msghdr`) names."""
        if count > _MESSAGES_MAX:
            raise OSError(f"{count} messages at once")
        for place in range(count):
            name, size = _HEADER.unpack(self.read(pointer + place * _HEADER_STEP, _HEADER.size))
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


def real_path(text: str, *, follow: bool) -> str:
    """`text` without symbolic links; the last part is left alone unless `follow`."""
    folder, name = os.path.split(text.rstrip("/"))
    if follow or name in {"", ".", ".."}:
        return os.path.realpath(text)
    return f"{os.path.realpath(folder).rstrip('/')}/{name}"


def _signed(value: int) -> int:
    low = value & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def _decoded(raw: bytes) -> Peer:
    family = int.from_bytes(raw[:2], "little")
    if family == socket.AF_UNSPEC:
        return "", 0
    if family == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_INET6 and len(raw) >= 24:
        return normal_address(socket.inet_ntop(socket.AF_INET6, raw[8:24])), int.from_bytes(raw[2:4], "big")
    if family == socket.AF_UNIX:
        path = raw[2:]
        name = "@" + path[1:].decode("utf-8", "replace") if path[:1] == b"\0" else os.fsdecode(path.partition(b"\0")[0])
        return name, -1
    return f"family {family}", 0
