"""Records as JSON with names: on the wire they are arrays, which no script of a user's should have to count through."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from shadoweval.records.keys import as_text

__all__ = ["as_json"]


def _named(value: Any) -> Any:
    """The value as JSON knows it: records are objects with their fields' names, times are ISO 8601."""
    if isinstance(value, msgspec.Struct):
        return {field: _named(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(key): _named(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_named(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def as_json(value: Any) -> str:
    """One line of JSON."""
    return as_text(msgspec.json.encode(_named(value), enc_hook=str).decode())
