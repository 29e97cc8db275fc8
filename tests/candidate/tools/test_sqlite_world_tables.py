"""What a run has changed in tables."""

import sqlite3
from contextlib import closing

import pytest

from shadoweval.candidate.tools.sqlite_world import WatchedTables


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute('CREATE TABLE "my refunds" (id INTEGER PRIMARY KEY, cents INTEGER)')
        db.execute("CREATE TABLE pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID")
        db.execute('INSERT INTO "my refunds" VALUES (1, 10), (2, 20)')
    return path


def change(path, *statements):
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_rows_that_are_new_other_and_gone_are_told(shop):
    """By table; tables that are as they were, or that nobody watches, are not named."""
    tables = WatchedTables(shop, ["my refunds", "pairs"])
    assert tables.changes() == {}
    change(shop, 'INSERT INTO "my refunds" VALUES (3, 30)', 'UPDATE "my refunds" SET cents = 21 WHERE id = 2',
           'DELETE FROM "my refunds" WHERE id = 1', "INSERT INTO pairs VALUES ('x', 1)")  # fmt: skip
    changes = tables.changes()

    assert sorted(row["id"] for row in changes["my refunds"]) == [2, 3]
    assert changes["my refunds gone"] == [{"id": 1, "cents": 10}, {"id": 2, "cents": 20}]
    assert changes["pairs"] == [{"a": "x", "b": 1}]
    assert WatchedTables(shop, ["pairs"]).changes() == {}
    assert WatchedTables(shop, []).changes() is None
