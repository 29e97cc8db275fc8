"""Whether rebuilding a frozen value gave the same one, or the same one completed: see `completes`."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from shadoweval.codec.extensions import REFERENCE, SHARED

__all__ = ["completes"]


def completes(frozen: bytes, again: bytes) -> bool:
    """Whether `again` is `frozen` with nothing but further text keys in its mappings.

    Many a `__setstate__` sets what the object had not yet set (SQLAlchemy's rows: what is expired, who the parents
    are). Copies that `pickle` and `copy.deepcopy` make have that too.
    """
    return _Comparison().covered(_opened(frozen), _opened(again))


def _opened(frozen: bytes | memoryview) -> Any:
    return msgspec.msgpack.decode(frozen, ext_hook=lambda code, content: (code, _opened(content)))


class _Comparison:
    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        """Of what is at several places: its number in the one -> in the other."""

    def covered(self, part: Any, other: Any) -> bool:
        """Whether all of `part` is in `other`."""
        if type(part) is not type(other):
            return False
        if type(part) is dict:
            mapping, wider = cast("dict[Any, Any]", part), cast("dict[Any, Any]", other)
            return (
                mapping.keys() <= wider.keys()
                and all(isinstance(key, str) for key in wider.keys() - mapping.keys())
                and all(self.covered(value, wider[key]) for key, value in mapping.items())
            )
        if type(part) is list:
            return len(part) == len(other) and all(map(self.covered, part, other))
        if type(part) is tuple:
            return part[0] == other[0] and self._covered_extension(part[0], part[1], other[1])
        return bool(part == other) or part != part  # noqa: PLR0124 - no number equals itself if it is none

    def _covered_extension(self, code: int, part: Any, other: Any) -> bool:
        if code == REFERENCE:
            return self.numbers.get(part) == other
        if code == SHARED:
            self.numbers[part[0]] = other[0]
            return self.covered(part[1], other[1])
        return self.covered(part, other)
