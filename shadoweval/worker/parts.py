"""What the store refuses costs itself: the rest of what came with it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from shadoweval.errors import StoreError, UnstorableError

__all__ = ["add_in_parts", "is_away", "reason_of"]

_Item = TypeVar("_Item")
_LONGEST: Final = 500


def add_in_parts(
    items: Sequence[_Item], add: Callable[[Sequence[_Item]], Any], *, refused: Callable[[_Item, str], None]
) -> list[Any]:
    """Add all items at once or, where one of them is refused, in halves, down to the one that is refused alone.

    Args:
        items: What is added.
        add: Adds several, all or none.
        refused: Is handed each one that can't be added, with the reason.

    Returns:
        What `add` returned of each part that it added.

    Raises:
        StoreError, OSError: the store can't be used; parts that were added stay, and adding them again changes nothing.
    """
    if not items:
        return []
    try:
        return [add(items)]
    except Exception as error:
        if is_away(error):
            raise
        if len(items) == 1:
            refused(items[0], reason_of(error))
            return []
    middle = len(items) // 2
    return [part for half in (items[:middle], items[middle:]) for part in add_in_parts(half, add, refused=refused)]


def is_away(error: Exception) -> bool:
    """Whether the store can't be used now; else what was added is at fault."""
    return isinstance(error, StoreError | OSError) and not isinstance(error, UnstorableError)


def reason_of(error: Exception) -> str:
    """Why a record can't be used, as it is kept beside it."""
    return f"{type(error).__name__}: {error}"[:_LONGEST]
