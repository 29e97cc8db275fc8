"""Envelopes, observations, scores, labels and verdicts in SQLite or PostgreSQL."""

from shadoweval._optional import require

require("sqlmodel", extra="store", needed_for="The store")

from shadoweval.store.sql import SqlStore  # noqa: E402 - says which extra is missing first

__all__ = ["SqlStore"]
