"""What a database's refusal means."""

import sqlite3

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from shadoweval.store.refusals import refused

psycopg = pytest.importorskip("psycopg")
URL = make_url("postgresql://user:secret@host/name")


def of(orig):
    return refused(URL, OperationalError("SELECT", {}, orig))


@pytest.mark.parametrize(
    ("state", "passing"),
    [
        ("57P01", True),  # terminated by an administrator
        ("57P03", True),  # starting up
        ("57014", True),  # statement timeout
        ("55P03", True),  # lock timeout
        ("40P01", True),  # deadlock
        ("53100", True),  # disk full
        ("53300", True),  # too many connections
        ("08006", True),
        ("25006", True),  # a standby
        ("57P04", False),  # dropped
        ("28P01", False),  # password
        ("42P01", False),  # no such table
        ("42501", False),  # privilege
        ("3D000", False),  # no such database
    ],
)
def test_states_of_postgresql(state, passing):
    """By SQLSTATE, whatever language the server speaks."""
    assert of(psycopg.errors.lookup(state)("...")).passing == passing


@pytest.mark.parametrize(
    ("text", "passing", "mend"),
    [
        ("connection failed: Connection refused", True, "Check that the server runs"),
        ("FATAL: the database system is starting up", True, ""),
        ('FATAL: password authentication failed for user "x"', False, "Correct the user and the password"),
        ('FATAL: database "x" does not exist', False, "Correct the store's URL"),
        ("no pg_hba.conf entry for host", False, "Let this host and user in"),
    ],
)
def test_connections_that_fail_without_a_state(text, passing, mend):
    """Libpq gives no SQLSTATE for what fails while connecting."""
    error = of(psycopg.OperationalError(text))

    assert error.passing == passing
    assert mend in str(error)
    assert "secret" not in str(error)


def test_a_lock_is_no_deadlock():
    """Each is called by its name."""
    assert "gave way" in str(of(psycopg.errors.DeadlockDetected("deadlock detected")))
    lock = str(of(psycopg.errors.LockNotAvailable("canceling statement due to lock timeout")))
    assert "holds the lock" in lock
    assert "deadlock" not in lock


def test_codes_of_sqlite(tmp_path):
    """A lock passes; a missing table and a file that is no database last."""
    first, second = (sqlite3.connect(tmp_path / "s.db", isolation_level=None, timeout=0) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")
    (tmp_path / "t.db").write_bytes(b"no database" * 1000)
    for connection, statement, passing in (
        (second, "BEGIN IMMEDIATE", True),
        (sqlite3.connect(":memory:"), "SELECT * FROM nothing", False),
        (sqlite3.connect(tmp_path / "t.db"), "SELECT * FROM sqlite_master", False),
    ):
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute(statement)
        assert of(raised.value).passing == passing
        connection.close()
    first.close()
