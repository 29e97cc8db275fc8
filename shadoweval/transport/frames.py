"""Frames in a segment file: a header that finds its own damage, then the payload.

Header, 16 bytes little-endian: `SEf1`, length of the payload, its CRC-32, CRC-32 of these 12 bytes. A reader that meets
damage looks for the next header that checks out, so one bad stretch costs no more than itself.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

__all__ = ["HEADER", "framed", "header", "payload_bytes", "scan"]

_MAGIC: Final = b"SEf1"
_HEAD: Final = struct.Struct("<4sII")
_CHECK: Final = struct.Struct("<I")
HEADER: Final = _HEAD.size + _CHECK.size
MAX_FRAME: Final = 256 * 1024 * 1024
"""A longer payload is taken for damage."""
_ASIDE: Final = 65_536


class Scan(NamedTuple):
    """What a stretch of a segment holds."""

    frames: list[bytes]
    corrupt: list[tuple[bytes, str]]
    consumed: int
    """Bytes of the stretch that need not be looked at again."""
    wanted: int
    """Bytes needed from `consumed` on to get further; 0 where the limit ended the scan or nothing is left."""


def framed(payload: bytes | memoryview) -> bytes:
    """Payload with its header."""
    return header(payload) + payload


def header(payload: bytes | memoryview) -> bytes:
    """What stands before the payload."""
    head = _HEAD.pack(_MAGIC, len(payload), crc32(payload))
    return head + _CHECK.pack(crc32(head))


def _length(block: bytes, at: int) -> int:
    """Length of the payload whose header stands at `at`; -1 where no sound header stands there."""
    head = block[at : at + _HEAD.size]
    magic, length, _ = _HEAD.unpack(head)
    sound = magic == _MAGIC and length <= MAX_FRAME and _CHECK.unpack_from(block, at + _HEAD.size)[0] == crc32(head)
    return length if sound else -1


def payload_bytes(head: bytes) -> int:
    """Length of the payload that follows this header; -1 where it is none."""
    return _length(head, 0) if len(head) >= HEADER else -1


def _resync(block: bytes, start: int) -> int:
    """Where the next sound header stands at or after `start`; the end (less a header's beginning) where none does."""
    at = block.find(_MAGIC, start)
    while 0 <= at <= len(block) - HEADER:
        if _length(block, at) >= 0:
            return at
        at = block.find(_MAGIC, at + 1)
    if at >= 0:
        return at
    return max(start, len(block) - len(_MAGIC) + 1)


def scan(block: bytes, *, limit: int, last: bool, begins: int = 0) -> Scan:
    """Frames and damage at the beginning of `block`.

    `block` begins where a frame does, at byte `begins` of its file. With `last` nothing will ever follow it, so that an
    incomplete frame is damage.
    """
    frames: list[bytes] = []
    corrupt: list[tuple[bytes, str]] = []
    at, size = 0, len(block)

    def aside(end: int, why: str) -> None:
        corrupt.append((block[at : min(end, at + _ASIDE)], f"{why} (byte {begins + at})"))

    while at < size and len(frames) < limit:
        length = _length(block, at) if size - at >= HEADER else -2
        end = at + HEADER + length
        if length == -1:
            end = _resync(block, at + 1)
            end = size if last and end > size - HEADER else end
            aside(end, "no frame begins here")
        elif length < 0 or end > size:
            if not last:
                return Scan(frames, corrupt, at, HEADER + max(length, 0))
            end = _resync(block, at + 1)
            end = size if end > size - HEADER else end
            aside(end, "the frame is torn: its writer died while writing it")
        elif crc32(block[at + HEADER : end]) == int.from_bytes(block[at + 8 : at + 12], "little"):
            frames.append(block[at + HEADER : end])
        else:
            aside(end, "the payload fails its checksum")
        at = end
    return Scan(frames, corrupt, at, 0)
