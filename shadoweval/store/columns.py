"""Column types that take whatever users wrote: what a database can't hold, or can't have in an index, is never bound.

PostgreSQL holds no NUL and no lone surrogate in a text, and no index row of more than 2,704 bytes; integers end
somewhere. The types work wherever a value meets a column, in conditions as in rows, so a search finds what was stored.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.types import BigInteger, Integer, TypeDecorator
from sqlmodel.sql.sqltypes import AutoString

__all__ = ["WROTE_LIVE", "Count", "LongCount", "Name", "Remark", "stored_name", "stored_remark"]

WROTE_LIVE: Final = text("live_writes > 0")
"""As an index says it, so that a database sees that the index answers it."""
_NAME_BYTES: Final = 500
"""Four of them, and what lies between, are an index row."""
_REMARK: Final = 8_000
"""Characters of a text for people that are kept."""
_MOST: Final = 2**31 - 1
_MOST_LONG: Final = 2**53
"""A thousand of them are a sum that fits, too."""
_DIGEST: Final = 16


def stored_name(text: str) -> str:
    """The text as searched columns hold it: itself, or cleaned and cut, with a digest of all of it at its end."""
    if text.isascii() and "\0" not in text and len(text) <= _NAME_BYTES:
        return text
    cleaned = _cleaned(text)
    encoded = cleaned.encode()
    if cleaned == text and len(encoded) <= _NAME_BYTES:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{encoded[: _NAME_BYTES - _DIGEST - 1].decode('utf-8', 'ignore')}#{digest}"


def _cleaned(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


class Name(TypeDecorator[str]):
    """A text that is searched for, see `stored_name`."""

    impl = AutoString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """What is bound."""
        return None if value is None else stored_name(value)


def stored_remark(text: str) -> str:
    """The text as people read it: cleaned, and cut at 8,000 characters."""
    return _cleaned(text[:_REMARK])


class Remark(TypeDecorator[str]):
    """A text for people, see `stored_remark`."""

    impl = AutoString
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """What is bound."""
        return None if value is None else stored_remark(value)


class Count(TypeDecorator[int]):
    """An integer of 32 bits; what lies beyond is the largest one."""

    impl = Integer
    cache_ok = True
    most = _MOST

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """What is bound."""
        return None if value is None else max(-self.most, min(value, self.most))


class LongCount(Count):
    """An integer of which sums fit into 64 bits."""

    impl = BigInteger
    cache_ok = True
    most = _MOST_LONG
