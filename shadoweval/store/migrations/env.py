"""Runs inside the transaction that `engine.open_engine` has begun, on its connection."""

from alembic import context

from shadoweval.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="shadow_schema",
    render_as_batch=True,
    compare_type=True,
    include_name=lambda name, kind, _parents: kind != "table" or (name or "").startswith("shadow_"),
)
context.run_migrations()
