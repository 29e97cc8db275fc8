"""Opening a database: pragmas, the schema by Alembic under a lock, and errors that say how to mend.

SQLite runs in WAL mode with `synchronous=NORMAL`: what was committed survives the death of any process (`kill -9`);
only a power cut or a crash of the machine may lose the last commits, never damage the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from shadoweval._optional import require
from shadoweval.errors import NewerDatabaseError, StoreError

__all__ = ["empty_log", "open_engine", "transaction"]

REVISIONS: Final = ("0001", "0002", "0003", "0004")
"""All schemas that this version knows, oldest first: the files in `migrations/versions/`."""

_LOCK: Final = 7_041_776_125
"""Key of PostgreSQL's advisory lock while the schema is made."""

_BUSY_MS: Final = 10_000

_making: Final = threading.Lock()

_MENDS: Final = (
    ("disk is full", "Free space where the database lies; nothing that was stored is damaged."),
    ("disk i/o error", "Free space, and look at the disk and its quota; nothing that was stored is damaged."),
    ("no space left", "Free space where the server keeps the database; nothing that was stored is damaged."),
    ("readonly", "Give this user the right to write to the file and its folder."),
    ("locked", f"Another process has been writing for {_BUSY_MS / 1000:g} s; look for one that hangs."),
    ("unable to open", "Check that the folder exists and this user may write to it."),
    ("not a database", "Point the store at another file, or restore this one from a backup."),
    ("malformed", "Restore the file from a backup, or salvage it with sqlite3's .recover."),
    ("connection", "Check that the server runs and that the address and user are right."),
)


@contextmanager
def transaction(engine: Engine, *, write: bool = False) -> Generator[Connection]:
    """One transaction: all of it is kept or none. A writing one waits for its turn at the start, so it can't deadlock.

    Raises:
        StoreError: the database refused; the message says how to mend it.
    """
    try:
        with engine.connect().execution_options(shadow_write=write) as connection, connection.begin():
            yield connection
    except SQLAlchemyError as error:
        raise _refused(engine.url, error) from error


def _refused(url: URL, error: Exception) -> StoreError:
    why = str(getattr(error, "orig", None) or error).strip()
    mend = next((mend for sign, mend in _MENDS if sign in why.lower()), "Nothing of this transaction was stored.")
    shown = url.render_as_string(hide_password=True)
    return StoreError(f"The store {shown!r} can't be used: {why.rstrip('.')}. {mend}")


def open_engine(url: str) -> Engine:
    """An engine for the database at `url`, whose schema is this version's.

    Raises:
        StoreError: it can't be opened.
        NewerDatabaseError: it was written by a later version; nothing in it was changed.
        MissingExtraError: PostgreSQL without its driver.
    """
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            f"{url!r} is no database URL. Write 'sqlite:////folder/shadow.db' or 'postgresql://user@host/name'."
        ) from error
    backend = target.get_backend_name()
    if backend == "postgresql":
        require("psycopg", extra="postgres", needed_for="A store on PostgreSQL")
        engine = create_engine(target.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    elif backend == "sqlite" and target.database:
        _make_private(Path(target.database))
        engine = create_engine(target)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        raise StoreError(f"{url!r}: the store needs PostgreSQL, or SQLite in a file; it must outlive this process.")
    try:
        _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make_private(path: Path) -> None:
    """Make the file where there is none, readable by its owner only: it will hold what users asked.

    A file that is there is never opened here. POSIX drops all of a process's locks on a file when the process closes
    any descriptor of it: another thread's connection would go on without the locks that it counts on, and the database
    be damaged (sqlite.org, "How To Corrupt An SQLite Database File", 2.2).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _making:  # nor may another thread's connection open it between our making and our closing it
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.exists():  # the folder is a file; else another process was faster
            raise StoreError(f"The store {str(path)!r} can't be made: {str(path.parent)!r} is no folder.") from None
    except OSError as error:
        raise StoreError(
            f"The store {str(path)!r} can't be opened: {error.strerror}. Check that this user may write to its folder."
        ) from error


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own begins too late for DDL and for reads
    for pragma in (f"busy_timeout={_BUSY_MS}", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    _enter_wal(connection)


def _enter_wal(connection: Any) -> None:
    """Switch the file to WAL; while another process does the same, SQLite refuses at once whatever the timeout says."""
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("shadow_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def empty_log(engine: Engine) -> None:
    """Move SQLite's write-ahead log into the file and cut it to nothing, so that it keeps no deleted content.

    Raises:
        StoreError: the file can't be written.
    """
    if engine.dialect.name != "sqlite":
        return
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection  # below SQLAlchemy: a transaction would hold the log
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _refused(engine.url, error) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("shadow_schema"):
        return None
    return connection.execute(text("SELECT version_num FROM shadow_schema")).scalar()


def _migrate(engine: Engine) -> None:
    with transaction(engine) as connection:
        revision = _revision(connection)
    if revision == REVISIONS[-1]:
        return
    with transaction(engine, write=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        revision = _revision(connection)  # another process may have been faster
        if revision is not None and revision not in REVISIONS:
            raise NewerDatabaseError(engine.url.render_as_string(hide_password=True), revision, REVISIONS[-1])
        if revision != REVISIONS[-1]:
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
