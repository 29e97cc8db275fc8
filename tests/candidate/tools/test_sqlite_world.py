import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from candidate_rig import call, envelope

from shadoweval import SqliteWorld, Stubs
from shadoweval.candidate.tools.session import Session
from shadoweval.errors import ExperimentError


@pytest.fixture
def database(tmp_path, monkeypatch):
    path = tmp_path / "real.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE orders (id TEXT, paid INTEGER, at INTEGER)")
        db.execute("INSERT INTO orders VALUES ('K-1', 0, 1), ('K-2', 0, 9)")
        db.commit()
    monkeypatch.setenv("TEST_DATABASE", str(path))
    return path


def pay(order):
    with closing(sqlite3.connect(os.environ["TEST_DATABASE"])) as db:
        db.execute("UPDATE orders SET paid = paid + 1 WHERE id = ?", (order,))
        db.commit()
    return "paid"


def paid(order):
    with closing(sqlite3.connect(os.environ["TEST_DATABASE"])) as db:
        return db.execute("SELECT paid FROM orders WHERE id = ?", (order,)).fetchone()


def run(opened, name, effect, function, order):
    answer = opened.answer(name, {"order": order}, effect=effect, live=lambda: function(order))
    return answer.answered, answer.result


def test_a_database_world_takes_the_writes(database, tmp_path):
    """Tools write for real into a copy, read it back, and the database and the variable are as before."""
    before = database.read_bytes()
    world = SqliteWorld(env="TEST_DATABASE", tools=("pay", "paid"))
    recorded = [call("paid", {"order": "K-1"}, (0,)), call("paid", {"order": "K-1"}, (7,), occurrence=2)]
    opened = Session(Stubs(worlds=[world]), envelope(calls=recorded), scratch=tmp_path)

    assert run(opened, "paid", "read", paid, "K-1") == ("replayed", (0,))
    assert run(opened, "pay", "write", pay, "K-1") == ("world", "paid")
    assert run(opened, "paid", "read", paid, "K-1") == ("world", (1,))
    assert run(opened, "mail", "write", pay, "K-1")[0] == "refused"
    assert opened.live_writes == 0

    opened.close()

    assert database.read_bytes() == before
    assert os.environ["TEST_DATABASE"] == str(database)
    assert list(tmp_path.glob("*.sqlite")) == [database]


def forget_later_orders(connection, given):
    connection.execute("DELETE FROM orders WHERE at > 5")


def test_a_database_world_can_be_rewound(database, tmp_path):
    """What was written after the query is taken out of the copy, not of the database."""
    world = SqliteWorld(env="TEST_DATABASE", tools=("paid",), rewind=forget_later_orders)
    opened = Session(Stubs(worlds=[world]), envelope(), scratch=tmp_path)

    assert run(opened, "paid", "read", paid, "K-2") == ("world", None)
    opened.close()
    assert paid("K-2") == (0,)


def test_a_database_that_is_not_there_is_named(tmp_path):
    """The variable and the path are in the message."""
    world = SqliteWorld(env="NO_DATABASE", tools=())

    with pytest.raises(ExperimentError, match="NO_DATABASE"):
        world.opened(None, envelope=envelope(), scratch=tmp_path)


def test_a_world_that_no_tool_would_find_is_not_made():
    """Without a variable or an engine the tools would write into the database itself."""
    with pytest.raises(ExperimentError, match="env or engine"):
        SqliteWorld(tools=("pay",))


def test_an_engine_connects_to_the_copy(database, tmp_path, monkeypatch):
    """A SQLAlchemy engine made at import reaches the copy during the run, and the database before and after."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    monkeypatch.setitem(sys.modules, "engine_of_mine", SimpleNamespace(engine=engine))

    def execute(statement):
        with engine.begin() as connection:
            cursor = connection.execute(sqlalchemy.text(statement))
            return [tuple(row) for row in cursor] if cursor.returns_rows else cursor.rowcount

    read = "SELECT paid FROM orders WHERE id = 'K-1'"
    assert execute(read) == [(0,)]
    before = database.read_bytes()
    world = SqliteWorld(engine="engine_of_mine:engine", tools=("run",))
    opened = Session(Stubs(worlds=[world]), envelope(), scratch=tmp_path)

    assert run(opened, "run", "write", execute, "UPDATE orders SET paid = 5") == ("world", 2)
    assert run(opened, "run", "read", execute, read) == ("world", [(5,)])
    opened.close()

    assert execute(read) == [(0,)]
    engine.dispose()
    assert database.read_bytes() == before


def test_an_async_write_counts_once_it_has_succeeded(database, tmp_path):
    """A coroutine that fails has written nothing; one that succeeds is a write, with the result that it gave."""

    async def settle(order):
        if order == "K-9":
            raise LookupError(order)
        return pay(order)

    opened = Session(Stubs(worlds=[SqliteWorld(env="TEST_DATABASE", tools=("settle",))]), envelope(), scratch=tmp_path)
    failing, fine = (
        opened.answer("settle", {"order": order}, effect="write", live=lambda order=order: settle(order))
        for order in ("K-9", "K-1")
    )

    with pytest.raises(LookupError):
        asyncio.run(failing.result)
    assert opened.writes() == ()
    assert asyncio.run(fine.result) == "paid"
    assert [write.arguments for write in opened.writes()] == [{"order": "K-1"}]
    opened.close()


def test_what_a_run_has_changed_in_watched_tables_is_told(database, tmp_path):
    """Rows as they are at the end, and as they were."""
    world = SqliteWorld(env="TEST_DATABASE", tools=("pay", "paid"), watch=["orders"])
    opened = Session(Stubs(worlds=[world]), envelope(), scratch=tmp_path)
    run(opened, "pay", "write", pay, "K-1")
    changed, _ = opened.changed()
    opened.close()

    assert changed["orders"] == [{"id": "K-1", "paid": 1, "at": 1}]
    assert changed["orders gone"] == [{"id": "K-1", "paid": 0, "at": 1}]
