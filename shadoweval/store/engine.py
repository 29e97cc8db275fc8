"""Opening a database: pragmas, the schema by Alembic under a lock, and errors that say how to mend.

SQLite runs in WAL mode with `synchronous=NORMAL`: what was committed survives the death of any process (`kill -9`);
only a power cut or a crash of the machine may lose the last commits, never damage the file.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from shadoweval._optional import require
from shadoweval.clock import utc_now
from shadoweval.errors import NewerDatabaseError, StoreError, UnstorableError
from shadoweval.private import open_private, private_folder
from shadoweval.seldom import Seldom
from shadoweval.settings import without_secrets
from shadoweval.store.refusals import BUSY_MS, gave_way, refused, shown

__all__ = ["REVISIONS", "empty_log", "hold", "open_engine", "present", "repeated", "transaction"]

log: Final = logging.getLogger(__name__)

REVISIONS: Final = tuple(f"{number:04}" for number in range(1, 17))
"""All schemas that this version knows, oldest first: the files in `migrations/versions/`."""

_LOCK: Final = 7_041_776_125
"""Key of PostgreSQL's advisory lock while the schema is made."""

_CONNECT_SECONDS: Final = "10"
"""A host that answers nothing at all is given up after so long, not after the system's minutes."""

_TIMEOUTS: Final = {"lock_timeout": BUSY_MS, "statement_timeout": 300_000}
"""PostgreSQL's, in milliseconds: nobody waits for ever for a table that somebody locked, or for one statement."""

_PAGE_BYTES: Final = 16_384
"""Of a new SQLite file: an envelope takes 1 to 10 kB, and pages of 4 kB would leave a third of the file unused."""

_HELD: Final = {"writers": 704_177 << 32, "labels": 704_178 << 32, "scores": 704_179 << 32}
"""Keys of further advisory locks, to which the number of a table is added."""

_TURNS: Final = 6
"""Tries of what gives way to others, before the last one."""

_told: Final = Seldom()
_making: Final = threading.Lock()


@contextmanager
def transaction(engine: Engine, *, write: bool = False, alone: bool = False) -> Generator[Connection]:
    """One transaction: all of it is kept or none. A writing one waits for its turn at the start.

    On SQLite one transaction writes at a time. On PostgreSQL many do, none of them beside one that is `alone`: what
    erases, and what fixes how far a look reads, leaves nothing that comes in between. Rows are locked in the order
    envelopes, tasks, observations, scores, labels, counters, progress, and in the order of their keys.

    Raises:
        StoreError: the database refused; the message says how to mend it.
        UnstorableError: it refused one of the values, and would do so again.
    """
    try:
        with engine.connect().execution_options(shadow_write=write or alone) as connection, connection.begin():
            if write or alone:
                hold(connection, "writers", shared=not alone)
            yield connection
    except SQLAlchemyError as error:
        raise refused(engine.url, error) from error
    except (OverflowError, UnicodeError, sqlite3.Error) as error:  # a value that the driver can't bind
        raise UnstorableError(f"A value can't be stored ({type(error).__name__}: {error}).") from error


def hold(connection: Connection, what: Literal["writers", "labels", "scores"], *, shared: bool = False) -> None:
    """Wait until no other transaction of these tables holds the same; several may hold it `shared`. On SQLite nothing.

    It is let go with the transaction.
    """
    if connection.dialect.name == "postgresql":
        lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        # By the table, so that other schemas of the database don't wait; no table yet: nothing to hold.
        key = f"{_HELD[what]} + to_regclass('shadow_envelope')::oid::bigint"
        connection.execute(text(f"SELECT {lock}({key})"))


def present(connection: Connection) -> datetime:
    """Now, by the database's clock: hosts may have their own, and it tells them all the same."""
    if connection.dialect.name != "postgresql":
        return utc_now()
    return connection.execute(select(func.clock_timestamp())).scalar_one()


_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def repeated(work: Callable[_P, _Result]) -> Callable[_P, _Result]:
    """Do work of one transaction again, a few times, where it gave way to another session's: nothing of it was kept.

    It does so rarely: sessions of earlier versions, or of people, lock in an order of their own.
    """

    @functools.wraps(work)
    def tried(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
        for turn in range(_TURNS):
            try:
                return work(*args, **kwargs)
            except StoreError as error:
                if not gave_way(error):
                    raise
                if _told.due("gave way"):
                    log.info("gave way to another session, and try again", extra={"why": str(error)})
            time.sleep(random.uniform(0.0, 0.01 * 2**turn))  # noqa: S311 - no secret
        return work(*args, **kwargs)

    return tried


def open_engine(url: str) -> Engine:
    """An engine for the database at `url`, whose schema is this version's.

    Raises:
        StoreError: it can't be opened.
        NewerDatabaseError: it was written by a later version; nothing in it was changed.
        MissingExtraError: PostgreSQL without its driver.
    """
    try:
        target = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
    except (ArgumentError, ValueError):  # which may quote the URL, and its password
        target = None
    if target is None or "@" in (target.host or ""):
        raise StoreError(
            f"{without_secrets(url)!r} is no database URL. Write 'sqlite:////folder/shadow.db' or "
            "'postgresql://user@host/name', and in a password %40 for @, %2F for /, %3A for a colon."
        )
    backend = target.get_backend_name()
    if backend == "postgresql":
        require("psycopg", extra="postgres", needed_for="A store on PostgreSQL")
        patient = target.set(drivername="postgresql+psycopg")
        if "connect_timeout" not in target.query:
            patient = patient.update_query_dict({"connect_timeout": _CONNECT_SECONDS})
        engine = create_engine(patient, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "connect", _set_timeouts)
    elif backend == "sqlite" and target.database:
        _make_private(Path(target.database))
        engine = create_engine(target, hide_parameters=True)
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        raise StoreError(
            f"{without_secrets(url)!r}: the store needs PostgreSQL, or SQLite in a file; it must outlive this process."
        )
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
        private_folder(path.parent)
        with _making:  # nor may another thread's connection open it between our making and our closing it
            if not path.exists():
                os.close(open_private(path, os.O_EXCL | os.O_RDWR))
    except FileExistsError:
        if not path.exists():  # the folder is a file; else another process was faster
            raise StoreError(f"The store {str(path)!r} can't be made: {str(path.parent)!r} is no folder.") from None
    except OSError as error:
        raise StoreError(
            f"The store {str(path)!r} can't be opened: {error.strerror}. Check that this user may write to its folder."
        ) from error


def _set_timeouts(connection: Any, _record: object) -> None:
    """Those that neither the server, the role nor the URL sets."""
    with connection.cursor() as cursor:
        for name, milliseconds in _TIMEOUTS.items():
            unset = "SELECT set_config(%s, %s, false) WHERE current_setting(%s) = '0'"
            cursor.execute(unset, (name, str(milliseconds), name))
    connection.commit()


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own begins too late for DDL and for reads
    connection.execute(f"PRAGMA page_size={_PAGE_BYTES}").close()  # before WAL; a file that is not empty keeps its own
    for pragma in (f"busy_timeout={BUSY_MS}", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    _enter_wal(connection)


def _enter_wal(connection: Any) -> None:
    """Switch the file to WAL; while another process does the same, SQLite refuses at once whatever the timeout says."""
    deadline = time.monotonic() + BUSY_MS / 1000
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
        raise refused(engine.url, error) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("shadow_schema"):
        return None
    return connection.execute(text("SELECT version_num FROM shadow_schema")).scalar()


def _migrate(engine: Engine) -> None:
    with transaction(engine) as connection:
        revision = _revision(connection)
    if revision == REVISIONS[-1]:
        return
    # Imported here: a process that finds its schema loads a hundred modules less.
    command: Any = require("alembic.command", extra="store", needed_for="The store")
    config: Any = require("alembic.config", extra="store", needed_for="The store").Config()
    with transaction(engine, write=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '120s'"))  # another process may be making it
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        revision = _revision(connection)  # another process may have been faster
        if revision is not None and revision not in REVISIONS:
            raise NewerDatabaseError(shown(engine.url), revision, REVISIONS[-1])
        if revision != REVISIONS[-1]:
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
