"""A mapping over another one: reads through, keeps what is written aside, remembers which keys were touched."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from typing import Any, Final

__all__ = ["OverlayMapping"]

_GONE: Final = object()


class OverlayMapping(MutableMapping[Hashable, Any]):
    """Copy on write by entity: memory grows with what is written, the base is never changed.

    Values of the base are handed out as they are: replace them, don't change them in place.
    """

    def __init__(self, base: Mapping[Any, Any] | None = None) -> None:
        self.base: Mapping[Any, Any] = {} if base is None else base
        self.kept: dict[Hashable, Any] = {}
        """What was written or deleted here."""
        self.read: set[Hashable] = set()
        """Keys that were asked for, also those that are not there."""

    @property
    def written(self) -> frozenset[Hashable]:
        """Keys that were written or deleted."""
        return frozenset(self.kept)

    def __getitem__(self, key: Hashable) -> Any:
        self.read.add(key)
        found = self.kept[key] if key in self.kept else self.base[key]
        if found is _GONE:
            raise KeyError(key)
        return found

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self.kept[key] = value

    def __delitem__(self, key: Hashable) -> None:
        if key not in self:
            raise KeyError(key)
        self.kept[key] = _GONE

    def __contains__(self, key: object) -> bool:
        if isinstance(key, Hashable):
            self.read.add(key)
        return self.kept[key] is not _GONE if key in self.kept else key in self.base

    def __iter__(self) -> Iterator[Hashable]:
        # Whoever lists everything has read whatever was written.
        self.read.update(self.kept)
        yield from (key for key, value in self.kept.items() if value is not _GONE)
        yield from (key for key in self.base if key not in self.kept)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def commit(self) -> None:
        """Move what was written into the base, which must be an overlay too."""
        if not isinstance(self.base, OverlayMapping):
            raise TypeError("only an overlay over an overlay can be committed")
        self.base.kept.update(self.kept)
        self.kept.clear()
