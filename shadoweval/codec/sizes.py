"""How much memory a msgpack value takes once it is read: an empty list is one byte there, and 64 as an object."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["crowded", "elements", "heft"]

CROWD: Final = 200_000
"""Lists and mappings that one recorded value may hold; as many numbers or texts as fit into its bytes."""
_EACH: Final = 64
_STRUCTURES: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""First bytes of lists and mappings (msgpack's spec)."""
_OBJECTS: Final = _STRUCTURES + bytes([*range(0xA0, 0xC0), 0xD9])
"""These, and first bytes of short texts."""
_FIXED: Final = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
"""First byte of a number -> bytes behind it."""
_SIZED: Final = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
"""First byte of bytes or text -> how its length is written."""
_EXTENDED: Final = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSION: Final = range(0xD4, 0xD9)
_COUNTS: Final = {0xDC: 3, 0xDD: 5, 0xDE: 3, 0xDF: 5}


def heft(frame: bytes) -> int:
    """Bytes of memory that reading a frame takes at most, roughly; for saying how many are read at a time.

    Goes by bytes that may begin a list, a mapping or a short text: too much for texts that are not in ASCII.
    """
    return len(frame) + _EACH * (len(frame) - len(frame.translate(None, _OBJECTS)))


def crowded(raw: bytes) -> bool:
    """Whether a value holds more than `CROWD` lists and mappings. Hardly ever more than a look at its bytes."""
    if len(raw) <= CROWD or len(raw) - len(raw.translate(None, _STRUCTURES)) <= CROWD:
        return False
    return elements(raw, CROWD, texts=False) > CROWD


def elements(raw: bytes, most: int, *, texts: bool = True) -> int:
    """How many lists, mappings and, with `texts`, texts a value holds; counted until there are more than `most`.

    What is damaged counts as far as it can be read: whoever decodes it says what is wrong.
    """
    count, ranges = 0, [(0, len(raw))]
    while ranges:
        at, end = ranges.pop()
        while at < end and count <= most:
            head = raw[at]
            if head in _STRUCTURES:
                count += 1
                at += _COUNTS.get(head, 1)
                continue
            count += texts and (0xA0 <= head < 0xC0 or 0xD9 <= head <= 0xDB)
            begin, size, nested = _extent(raw, at, head)
            if nested:  # what it holds is a value of its own
                ranges.append((begin, min(begin + size, end)))
            at = begin + size
    return count


def _extent(raw: bytes, at: int, head: int) -> tuple[int, int, bool]:
    """Where the content of what is no list or mapping begins, how long it is, and whether it is another value."""
    if 0xA0 <= head < 0xC0:
        return at + 1, head & 31, False
    if head in _FIXED_EXTENSION:
        return at + 2, 1 << (head - _FIXED_EXTENSION.start), raw[at + 1 : at + 2] != b"\xff"
    size = _SIZED.get(head) or _EXTENDED.get(head)
    if size is None:
        return at + 1, _FIXED.get(head, 0), False
    behind = at + 1 + struct.calcsize(size)
    if behind >= len(raw):
        return len(raw), 0, False
    (length,) = struct.unpack_from(size, raw, at + 1)
    if head in _EXTENDED:
        return behind + 1, length, raw[behind : behind + 1] != b"\xff"
    return behind, length, False
