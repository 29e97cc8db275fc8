"""What waits in a spool: frames that no reader has settled yet. It looks, and changes nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.capture.wire.drafts import finished
from shadoweval.codec import decode_envelope
from shadoweval.errors import CodecError
from shadoweval.transport.frames import HEADER, payload_bytes, scan
from shadoweval.transport.receiver import read_cursor

__all__ = ["Waiting", "waiting"]

_COUNTED: Final = 100_000


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of a spool that are not in the store yet."""

    frames: int = 0
    """Counted to 100,000."""
    bytes: int = 0
    oldest: datetime | None = None
    """When the call was made that waits longest; None: none waits."""


def waiting(folder: Path) -> Waiting:
    """What waits in the spool `folder`; nothing where there is none."""
    if not folder.is_dir():
        return Waiting()
    settled, frames, size, oldest = read_cursor(folder), 0, 0, list[datetime]()
    for segment in sorted(folder.glob("*.seg")):
        try:
            with segment.open("rb") as file:
                total = os.fstat(file.fileno()).st_size
                begin = settled.get(segment.name, 0)
                if begin >= total:
                    continue
                size += total - begin
                oldest.append(_asked_at(file.fileno(), begin) or datetime.fromtimestamp(segment.stat().st_mtime, UTC))
                frames += _frames(file.fileno(), begin, total, most=_COUNTED - frames)
        except OSError:  # removed meanwhile, or not this user's to read: the alarm about the spool says it
            continue
    return Waiting(frames=frames, bytes=size, oldest=min(oldest, default=None))


def _frames(descriptor: int, at: int, end: int, *, most: int) -> int:
    count = 0
    while at < end and count < most:
        length = payload_bytes(_read(descriptor, HEADER, at))
        count += 1  # a torn or damaged stretch counts as one
        if length < 0:
            break
        at += HEADER + length
    return count


def _asked_at(descriptor: int, at: int) -> datetime | None:
    """When the call of the first frame was made; None where it can't be read."""
    length = payload_bytes(_read(descriptor, HEADER, at))
    if length < 0:
        return None
    try:
        (frame,) = scan(_read(descriptor, HEADER + length, at), limit=1, last=True).frames
        return decode_envelope(finished(frame), encoded=True).query.asked_at
    except (CodecError, ValueError):
        return None


def _read(descriptor: int, size: int, at: int) -> bytes:
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, size)
