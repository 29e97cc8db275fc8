"""A copy of an SQLite database for each query, in which the tools themselves run."""

from __future__ import annotations

import importlib
import os
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import ExitStack, closing, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadoweval._optional import require
from shadoweval.checks import checked_function, checked_instance, checked_keywords, checked_strings, checked_target
from shadoweval.errors import ExperimentError
from shadoweval.protocols import OpenWorld, Recorded, StubAnswer, ToolRequest, World
from shadoweval.records import Envelope

if TYPE_CHECKING:
    import sqlite3

__all__ = ["SqliteWorld"]


_Row = tuple[tuple[str, Any], ...]


class WatchedTables:
    """Rows of tables as they are when it is made, and what has become of them.

    Args:
        database: An SQLite file.
        tables: Names of tables.
    """

    def __init__(self, database: Path, tables: Collection[str]) -> None:
        self._database, self._tables = database, tuple(tables)
        self._before = self._rows()

    def changes(self) -> dict[str, list[dict[str, Any]]] | None:
        """Table -> rows that are new or other; `TABLE gone` -> rows that are there no more; None: none is watched."""
        if not self._tables:
            return None
        changed: dict[str, list[dict[str, Any]]] = {}
        for table, now in self._rows().items():
            before = self._before[table]
            for name, rows in ((table, now - before), (f"{table} gone", before - now)):
                if rows:
                    changed[name] = [dict(row) for row in rows.elements()]
        return changed

    def _rows(self) -> dict[str, Counter[_Row]]:
        import sqlite3  # noqa: PLC0415 - definitions of experiments import this module, and open nothing

        if not self._tables:
            return {}
        with closing(sqlite3.connect(f"file:{self._database.absolute()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            everything = {table: f"SELECT * FROM {_quoted(table)}" for table in self._tables}  # noqa: S608 - quoted
            return {table: Counter(_rows(connection.execute(query))) for table, query in everything.items()}


def _rows(rows: Iterable[Any]) -> Iterable[_Row]:
    return (tuple(zip(row.keys(), row, strict=True)) for row in rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@checked_keywords()
class SqliteWorld(World):
    """A copy of an SQLite database for each query, in which the tools themselves run, writes included.

    Whatever finds the database by the environment variable `env`, or connects by the SQLAlchemy engine `engine`, gets
    the copy during the run, so that code that writes without a tool lands there too. Copying costs time in proportion
    to the database.

    Before the candidate's first write, reads come from the incumbent's record where it has them, afterwards from the
    copy. The copy is of the present: what was written since the query was asked, the incumbent's own writes among it,
    is in there, unless `rewind` takes it out.

    Args:
        tools: Tools whose only effect is on this database. They are run, so a tool that also sends an e-mail must not
            be among them.
        env: Environment variable with the database's path.
        engine: `"module:attribute"` of a SQLAlchemy engine over SQLite in the candidate's process.
        path: The database where neither says it.
        rewind: Called with a connection to the copy and the envelope, to put back what was when the query was asked.
        watch: Tables whose changes are recorded for `task_success`; they are read before and after the run.

    Raises:
        ExperimentError: neither `env` nor `engine`.
    """

    exclusive = True

    def __init__(
        self,
        *,
        tools: Collection[str],
        env: str = "",
        engine: str = "",
        path: str | Path | None = None,
        rewind: Callable[[sqlite3.Connection, Envelope], None] | None = None,
        watch: Collection[str] = (),
    ) -> None:
        if not env and not engine:
            raise ExperimentError("SqliteWorld needs env or engine, else the tools would not find the copy.")
        self.tools = frozenset(checked_strings("SqliteWorld.tools", tools))
        self.env, self.engine = checked_instance("SqliteWorld.env", env, str), engine
        if engine:
            checked_target(engine, what="SqliteWorld.engine")
        if path is not None:
            checked_instance("SqliteWorld.path", path, (str, PathLike))
        self.path, self.rewind = path, checked_function("SqliteWorld.rewind", rewind)
        self.watch = checked_strings("SqliteWorld.watch", watch)

    def opened(self, record: Recorded, *, envelope: Envelope, scratch: Path) -> OpenSqliteWorld:  # noqa: ARG002 - the protocol's
        """The copy for one query.

        Raises:
            ExperimentError: no such database.
        """
        engine = _imported(self.engine) if self.engine else None
        named = os.environ.get(self.env) or self.path or (engine.url.database if engine is not None else "")
        source = Path(named or "")
        if not source.is_file():
            raise ExperimentError(
                f"SqliteWorld finds no database {str(source)!r}. Set {self.env or self.engine!r} where the worker "
                "runs, or give path."
            )
        copy = scratch / f"{uuid.uuid4().hex}.sqlite"
        self._copy(source, copy, envelope)
        with ExitStack() as stack:
            stack.callback(copy.unlink, missing_ok=True)
            if self.env:
                stack.enter_context(_named(self.env, copy))
            if engine is not None:
                stack.enter_context(_connected(engine, copy))
            return OpenSqliteWorld(self.tools, stack.pop_all(), tables=WatchedTables(copy, self.watch))
        raise AssertionError

    def _copy(self, source: Path, copy: Path, envelope: Envelope) -> None:
        import sqlite3  # noqa: PLC0415 - definitions of experiments import this module, and open nothing

        with (
            closing(sqlite3.connect(f"file:{source.absolute()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(copy)) as target,
        ):
            original.backup(target)
            if self.rewind is not None:
                self.rewind(target, envelope)
                target.commit()


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


@contextmanager
def _named(variable: str, copy: Path) -> Generator[None]:
    before = os.environ.get(variable)
    os.environ[variable] = str(copy)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


@contextmanager
def _connected(engine: Any, copy: Path) -> Generator[None]:
    """Have the engine connect to the copy; connections to the database itself are let go of before and after."""
    event = require("sqlalchemy.event", extra="store", needed_for="SqliteWorld(engine=...)")

    def connect(dialect: Any, record: Any, arguments: Any, settings: Any) -> Any:  # noqa: ARG001, PLR0917 - SQLAlchemy's signature
        return dialect.connect(str(copy), **settings)

    engine.dispose()
    event.listen(engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(engine, "do_connect", connect)
        engine.dispose()


class OpenSqliteWorld(OpenWorld):
    """`SqliteWorld` during one query."""

    def __init__(self, tools: Collection[str], held: ExitStack, *, tables: WatchedTables) -> None:
        self._tools, self._held, self._tables = tools, held, tables
        self._changed = False

    def precedes(self, request: ToolRequest) -> bool:
        """Every write, so that the candidate can read it again, and reads after the first write."""
        return request.name in self._tools and (self._changed or request.effect != "read")

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The tool's own result over the copy; what it raises passes through."""
        if request.name not in self._tools or request.live is None:
            return None
        self._changed = self._changed or request.effect != "read"
        return StubAnswer(answered="world", result=request.live())

    def observe_write(self, request: ToolRequest, answer: StubAnswer) -> None:  # noqa: ARG002 - the protocol's
        """From the first write on the record's reads are out of date."""
        self._changed = self._changed or request.name in self._tools

    def changes(self) -> Mapping[str, Any] | None:
        """The rows of the watched tables that are new or other, and those that are gone; None: none are watched."""
        return self._tables.changes()

    def close(self) -> None:
        """Put variable and engine back, and remove the copy."""
        self._held.close()
