"""Which schema a database has, found out without changing or making anything."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from shadoweval._optional import require
from shadoweval.errors import StoreError
from shadoweval.settings import without_secrets
from shadoweval.store.engine import REVISIONS
from shadoweval.store.refusals import refused

__all__ = ["schema_of"]


def schema_of(url: str) -> tuple[str | None, tuple[str, ...]]:
    """The schema of the database at `url` (None: it has none yet), and all that this version knows, oldest first.

    Raises:
        StoreError: it can't be reached, or is no database.
        MissingExtraError: PostgreSQL without its driver.
    """
    try:
        target = make_url(url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url)
    except (ArgumentError, ValueError):
        raise StoreError(f"{without_secrets(url)!r} is no database URL.") from None
    if target.get_backend_name() == "sqlite":
        target = target.set(database=f"file:{target.database}", query={"mode": "ro", "uri": "true"})
    else:
        require("psycopg", extra="postgres", needed_for="A store on PostgreSQL")
        target = target.set(drivername="postgresql+psycopg").update_query_dict({"connect_timeout": "5"})
    engine = create_engine(target, poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("shadow_schema"):
                return None, REVISIONS
            return connection.execute(text("SELECT version_num FROM shadow_schema")).scalar(), REVISIONS
    except SQLAlchemyError as error:
        raise refused(engine.url, error) from error
