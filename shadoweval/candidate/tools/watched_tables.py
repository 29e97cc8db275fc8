"""What a run has changed in tables of an SQLite database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["WatchedTables"]

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
