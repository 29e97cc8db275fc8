"""What a run has changed in its worlds, as plain data that its record can hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from shadoweval import codec
from shadoweval.protocols import OpenWorld

__all__ = ["changes_in"]

_MOST: Final = 256 * 1024
"""Bytes, as JSON."""


def changes_in(worlds: Iterable[OpenWorld]) -> tuple[dict[str, Any] | None, str]:
    """What has changed, None where no world tells; and why not, where one should: a world's fault costs no run."""
    parts: dict[str, Any] = {}
    told = False
    try:
        for world in worlds:
            changes = world.changes() if hasattr(world, "changes") else None
            told |= changes is not None
            parts |= changes or {}
        plain = codec.plain(parts)
        size = len(codec.canonical(plain)) if parts else 0
    except Exception as error:  # noqa: BLE001 - a world of the user's may fail in any way
        return None, f"what the run has changed can't be read: {type(error).__name__}"
    if size > _MOST:
        return None, f"what the run has changed is too much to keep ({size:,} bytes)"
    return (plain, "") if told else (None, "")
