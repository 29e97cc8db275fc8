"""What a database's refusal means: whether it lies in a value, whether it goes by itself, and how to mend it."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shadoweval.errors import StoreError, UnstorableError
from shadoweval.settings import without_secrets

__all__ = ["BUSY_MS", "gave_way", "refused", "shown"]

BUSY_MS: Final = 10_000
"""How long SQLite waits for another writer."""

_LOCKED: Final = f"Another process has been writing for {BUSY_MS / 1000:g} s; look for one that hangs."
_FULL: Final = "where the server keeps the database; nothing that was stored is damaged."
_MENDS: Final = (
    ("deadlock detected", "Two writers waited for each other and this one gave way; it is safe to try again."),
    ("lock timeout", "Another session holds the lock; look for one that hangs in pg_stat_activity."),
    ("disk is full", "Free space where the database lies; nothing that was stored is damaged."),
    ("disk i/o error", "Free space, and look at the disk and its quota; nothing that was stored is damaged."),
    ("no space left", f"Free space {_FULL}"),
    ("readonly", "Give this user the right to write to the file and its folder."),
    ("locked", _LOCKED),
    ("unable to open", "Check that the folder exists and this user may write to it."),
    ("not a database", "Point the store at another file, or restore this one from a backup."),
    ("malformed", "Restore the file from a backup, or salvage it with sqlite3's .recover."),
    ("no such table", "Its tables are incomplete: restore it from a backup, or point the store at an empty one."),
    ("authentication failed", "Correct the user and the password in the store's URL, or the server's pg_hba.conf."),
    ("no password supplied", "Give the password in the store's URL or by PGPASSWORD."),
    ("pg_hba.conf", "Let this host and user in, in the server's pg_hba.conf."),
    ("permission denied", "Grant this user what it needs on the schema and its tables."),
    (
        "does not exist",
        "Correct the store's URL; or its tables are incomplete: restore them, or use an empty database.",
    ),
    ("connection", "Check that the server runs and that the address and user are right."),
)
_LASTING: Final = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "permission denied",
    "does not exist",
)
"""What libpq says of a connection that no waiting will bring about; it gives no SQLSTATE."""
_STATES: Final = ("08", "40", "53", "57", "58", "55P03", "25006")
"""SQLSTATEs of what passes: connections, rolled back, resources, operator, system, lock; a server that only reads."""
_OF_VALUES: Final = ("22", "23", "54")
"""PostgreSQL's classes of errors that lie in a value: its form, a constraint, a limit of size."""
_GIVEN_WAY: Final = ("40001", "40P01", "23503")
"""Serialization fault, deadlock, and a key that another session took away between our reading and writing it."""
_GONE: Final = "57P04"
"""The database was dropped."""
_CODES: Final = frozenset((5, 6, 7, 10, 13, 14, 15))
"""SQLite's busy, locked, nomem, ioerr, full, cantopen (out of descriptors, say), protocol."""


def refused(url: URL, error: Exception) -> StoreError:
    """The error to raise: what the database said, how to mend it, and whether it passes."""
    why = str(getattr(error, "orig", None) or error).strip()
    if url.password:  # a driver may quote what it was given
        why = why.replace(str(url.password), "***")
    mend = next((mend for sign, mend in _MENDS if sign in why.lower()), "Nothing of this transaction was stored.")
    where = shown(url)
    if _is_of_a_value(error):
        return UnstorableError(f"The store {where!r} can't hold a value: {why.rstrip('.')}. {mend}")
    refusal = StoreError(f"The store {where!r} can't be used: {why.rstrip('.')}. {mend}")
    refusal.passing = _passes(error, why.lower())
    return refusal


def gave_way(error: StoreError) -> bool:
    """Whether another session was in the way, so that the same may well succeed at once."""
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in _GIVEN_WAY


def shown(url: URL) -> str:
    """The URL without its secrets."""
    return without_secrets(url.render_as_string(hide_password=False))


def _is_of_a_value(error: Exception) -> bool:
    """Whether another value would have gone through; else the database itself is out of order."""
    if isinstance(error, DataError | IntegrityError) or not isinstance(error, DBAPIError):
        return isinstance(error, StatementError)
    return str(getattr(error.orig, "sqlstate", "")).startswith(_OF_VALUES) or "binding parameter" in str(error.orig)


def _passes(error: Exception, why: str) -> bool:
    if isinstance(error, PoolTimeoutError):
        return True
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _CODES
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return state != _GONE and state.startswith(_STATES)
    if isinstance(cause, sqlite3.Error):
        return False
    lost = {"OperationalError", "InterfaceError"} & {each.__name__ for each in type(cause).__mro__}
    return bool(lost) and not any(sign in why for sign in _LASTING)
