"""The store in SQLite: what it does beyond the contract."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from shadoweval.errors import NewerDatabaseError, StoreError
from shadoweval.records import (
    INCUMBENT,
    Envelope,
    Evaluation,
    Example,
    Labels,
    Observation,
    Outcome,
    PairScore,
    Query,
    Scored,
)
from shadoweval.store import SqlStore, engine, tables

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "folder" / "shadow.db"


@pytest.fixture
def store(path):
    with SqlStore(f"sqlite:///{path}") as opened:
        yield opened


LEAVE_WAL = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.1)
try:
    print(*connection.execute("PRAGMA journal_mode=DELETE").fetchone())
except sqlite3.OperationalError as error:
    print(error)
"""


def test_opening_it_again_keeps_the_locks_of_who_has_it_open(path):
    """Else another process could take the log away under a connection of this one, and the file would be damaged."""
    with SqlStore(f"sqlite:///{path}") as first:
        add_pair(first, 1)
        connection = first._engine.connect()
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema")
        with SqlStore(f"sqlite:///{path}") as second:
            add_pair(second, 2)
        other = subprocess.run(
            [sys.executable, "-c", LEAVE_WAL, str(path)], capture_output=True, text=True, check=True, timeout=60
        )
        connection.close()

    assert other.stdout.strip() == "database is locked"


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    """It says which."""
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(StoreError, match=r"home' is no folder"):
        SqlStore(f"sqlite:///{tmp_path / 'home' / 'shadow.db'}")


def observation(query: Query, arm: str, place="shadow") -> Observation:
    return Observation(
        query_id=query.id,
        arm=arm,
        place=place,
        outcome=Outcome(answer=f"answer to {query.text}"),
        started_at=query.asked_at,
        duration=0.1,
    )


def add_pair(store: SqlStore, number: int, *, text: str = "", unit: str = "") -> Query:
    query = Query(
        id=f"q{number:04}", text=text or f"question {number}", unit=unit, asked_at=START + timedelta(hours=number)
    )
    served = observation(query, INCUMBENT, "served")
    store.add_envelopes(
        [Envelope(experiment="support", query=query, served=served)], arms={query.id: ("rerank", INCUMBENT)}
    )
    ran = observation(query, "rerank")
    store.add_observation(ran)
    store.add_observation(observation(query, INCUMBENT))
    score = PairScore(metric="recall@5", query_id=query.id, incumbent=Scored(1.0), candidate=Scored(0.5))
    store.add_scores("support", "rerank", [score])
    store.add_labels({query.id: Labels(reference=f"reference of {query.text}")})
    example = Example(query_id=query.id, text=query.text, incumbent=served, candidate=ran)
    store.add_evaluation(
        Evaluation(id=f"e{number}", experiment="support", created_at=START, examples={"rerank": (example,)})
    )
    return query


def change(path: Path, *statements: str) -> None:
    """Change the file behind the store's back."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    count = connection.execute(f"SELECT count(*) FROM shadow_{table}").fetchone()[0]
    connection.close()
    return count


def test_erasing_a_user_leaves_no_trace_of_them(store, path) -> None:
    """After `erase` neither the database nor its log holds a byte of what the user asked or was answered."""
    add_pair(store, 0, text="my illness is zyxomatosis", unit="ann")
    add_pair(store, 1, text="opening hours", unit="bob")
    store.set_aside("support", b"damaged frame of ann about zyxomatosis", "corrupt")
    assert store.erase("ann") == 1
    assert [pair.query.text for pair in store.pairs("support", "rerank")] == ["opening hours"]
    assert [rows(path, t) for t in ("task", "observation", "scores", "label", "aside")] == [2, 2, 1, 1, 0]
    assert [len(e.examples["rerank"]) for e in store.evaluations("support", limit=9)] == [1, 0]
    for file in path.parent.iterdir():
        assert b"zyxomatosis" not in file.read_bytes(), file.name


def test_the_list_of_the_erased_names_nobody(store, path) -> None:
    """What makes the store drop a user's late queries is a hash of their id."""
    add_pair(store, 0, unit="ann.smith@example.com")
    store.erase("ann.smith@example.com")
    assert rows(path, "erasure") == 1
    for file in path.parent.iterdir():
        assert b"ann.smith" not in file.read_bytes(), file.name


def test_nobody_is_not_erased(store) -> None:
    """An empty unit stands for all queries without one; erasing them needs another word."""
    add_pair(store, 0)
    with pytest.raises(StoreError, match="stands for nobody"):
        store.erase("")
    assert len(list(store.pairs("support", "rerank"))) == 1


def test_purging_keeps_what_is_younger(store, path) -> None:
    """Retention deletes whole queries by the time they were asked, and the labels nothing needs any more."""
    for number in range(4):
        add_pair(store, number)
    shared = add_pair(store, 5, text="question 0")
    store.add_labels({shared.key: Labels(reference="both")})
    assert store.purge(START + timedelta(hours=2)) == 2
    assert [pair.id for pair in store.pairs("support", "rerank")] == ["q0002", "q0003", "q0005"]
    assert rows(path, "label") == 4, "the label by key is still needed by a younger query"


def test_a_damaged_row_is_skipped_and_counted(store, path) -> None:
    """Bytes that rot in the file cost one pair, not the evaluation; the funnel says so."""
    for number in range(4):
        add_pair(store, number)
    change(
        path,
        "UPDATE shadow_envelope SET frame = X'00FF' WHERE query_id = 'q0001'",
        "UPDATE shadow_observation SET record = substr(record, 1, 9) WHERE query_id = 'q0002' AND arm = 'rerank'",
        "UPDATE shadow_evaluation SET record = X'C1' WHERE id = 'e3'",
    )
    assert [pair.id for pair in store.pairs("support", "rerank")] == ["q0000", "q0003"]
    assert store.damaged["pair"] == 2
    funnel = store.funnel("support", "rerank")
    assert (funnel.failed, funnel.paired, funnel.gap) == ({"corrupt": 2}, 2, 0)
    assert [e.id for e in store.evaluations("support", limit=9)] == ["e2", "e1", "e0"]


def test_a_damaged_label_costs_the_label_alone(store, path) -> None:
    """A label that can't be read leaves its pair unlabelled; the pair stays."""
    add_pair(store, 0)
    change(path, "UPDATE shadow_label SET record = X'C1'")
    (pair,) = store.pairs("support", "rerank")
    assert pair.labels == Labels()


def test_forgetting_deletes_evaluations_it_cannot_search(store, path) -> None:
    """An evaluation that can't be read can't be searched for a user's texts, so erasing deletes it."""
    add_pair(store, 0, unit="ann")
    add_pair(store, 1, unit="bob")
    change(path, "UPDATE shadow_evaluation SET record = X'C1' WHERE id = 'e1'")
    store.erase("ann")
    assert [e.id for e in store.evaluations("support", limit=9)] == ["e0"]
    assert rows(path, "evaluation") == 1


def test_a_damaged_envelope_does_not_stop_the_lease(store, path) -> None:
    """A frame that can't be decoded is set aside, and the worker gets the next one."""
    for number in range(2):
        query = Query(id=f"q{number}", text="x", asked_at=START + timedelta(seconds=number))
        served = observation(query, INCUMBENT, "served")
        store.add_envelopes([Envelope(experiment="support", query=query, served=served)], arms={query.id: ("rerank",)})
    change(path, "UPDATE shadow_envelope SET frame = X'00' WHERE query_id = 'q0'")
    assert [task.envelope.id for task in store.lease("support", limit=5, seconds=60, owner="w")] == ["q1"]
    assert store.funnel("support", "rerank").failed == {"corrupt": 1}


def test_a_newer_database_is_left_alone(path) -> None:
    """A schema from a later version is refused, named, and not changed."""
    SqlStore(f"sqlite:///{path}").close()
    change(path, "UPDATE shadow_schema SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(NewerDatabaseError, match="9999"):
        SqlStore(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_the_migrations_make_what_the_models_say(store) -> None:
    """The schema made by the migrations equals the models, and every migration is known to `REVISIONS`."""
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, tables.METADATA)
    assert [d for d in differences if "shadow_schema" not in str(d)] == []
    scripts = ScriptDirectory(str(Path(engine.__file__).parent / "migrations"))
    assert [script.revision for script in reversed(list(scripts.walk_revisions()))] == list(engine.REVISIONS)


@pytest.mark.parametrize("unit", ["u" * 700, "ü" * 300, "a\0b"])
def test_units_that_were_stored_whole_are_found(path, unit) -> None:
    """Before columns were cleaned and cut, SQLite held any unit; erasing finds its queries all the same."""
    with SqlStore(f"sqlite:///{path}") as store:
        add_pair(store, 0, unit=unit)
        add_pair(store, 1, unit="bob")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE shadow_envelope SET unit = ? WHERE query_id = 'q0000'", [unit])
        new = ("home", "erased", "owner", "segment", "definition", "scores", "slot", "judgement", "spending")
        for table in (f"shadow_{name}" for name in new):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("CREATE TABLE shadow_score (query_id TEXT, arm TEXT, at TEXT, scorer_version TEXT)")
        connection.execute("ALTER TABLE shadow_progress DROP COLUMN segments")
        connection.execute("ALTER TABLE shadow_alert DROP COLUMN text")
        connection.execute("DROP INDEX shadow_observation_wrote")
        connection.execute("UPDATE shadow_schema SET version_num = '0008'")
    connection.close()
    with SqlStore(f"sqlite:///{path}") as store:
        assert store.erase(unit) == 1
        assert [pair.id for pair in store.pairs("support", "rerank")] == ["q0001"]


def test_openers_of_a_new_file_wait_for_each_other(tmp_path) -> None:
    """SQLite refuses a second switch to WAL at once, whatever the timeout; opening waits and tries again."""
    for turn in range(20):
        url = f"sqlite:///{tmp_path / f'{turn}.db'}"
        with ThreadPoolExecutor(4) as threads:
            for opened in threads.map(SqlStore, [url] * 4):
                opened.close()


def test_the_file_is_its_owners_alone(store, path) -> None:
    """What users asked is not readable by other accounts of the machine."""
    add_pair(store, 0)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "SQLite in a file"),
        ("mysql://root@localhost/x", "PostgreSQL, or SQLite"),
        ("nonsense", "is no database URL"),
        ("sqlite:////proc/shadow.db", "can't be opened"),
        ("postgresql://nobody:secret@127.0.0.1:1/x", "Check that the server runs"),
        ("postgres://nobody:secret@127.0.0.1:1/x", "Check that the server runs"),
        ("postgresql://127.0.0.1:1/x?user=nobody&password=secret", "Check that the server runs"),
        ("postgresql://nobody:p@secret@127.0.0.1:1/x", "%40 for @"),
        ("postgresql://nobody:secret@127.0.0.1:port/x", "is no database URL"),
        ("mysql://nobody:secret@localhost/x", "PostgreSQL, or SQLite"),
    ],
)
def test_a_store_that_cannot_be_opened_says_how_to_mend_it(url, said) -> None:
    """The error names the store and the way out, and never the password."""
    with pytest.raises(StoreError, match=said) as raised:
        SqlStore(url)
    assert "secret" not in str(raised.value)


def test_a_file_that_is_no_database_is_not_overwritten(path) -> None:
    """A file of something else stays as it was."""
    path.parent.mkdir()
    path.write_bytes(b"precious notes, no database" * 100)
    with pytest.raises(StoreError, match="Point the store at another file"):
        SqlStore(f"sqlite:///{path}")
    assert path.read_bytes() == b"precious notes, no database" * 100


def test_changes_are_written_down(store) -> None:
    """Who changed what, when and why comes back newest first."""
    store.audit(who="ann", what="kill support", old="running", new="killed", reason="latency")
    store.audit(who="bob", what="kill support", old="killed", new="running")
    newest, oldest = store.audits()
    assert (newest.who, newest.new, oldest.reason) == ("bob", "running", "latency")
    assert newest.at.tzinfo is not None


def test_a_half_written_batch_is_not_kept(store) -> None:
    """Envelopes of one call are kept all or none."""
    good = Query(id="q1", text="x", asked_at=START)
    bad = Query(id="q2", text="x", asked_at=START.replace(tzinfo=None))
    batch = [Envelope(experiment="support", query=q, served=observation(q, INCUMBENT, "served")) for q in (good, bad)]
    with pytest.raises(StoreError):
        store.add_envelopes(batch, arms={})
    assert store.funnel("support", "rerank").mirrored == 0
