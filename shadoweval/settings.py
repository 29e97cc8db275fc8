"""Where things lie: read once by the doors from `shadoweval.toml` and the environment, then handed down.

The environment wins over the file, the file over the defaults::

    # shadoweval.toml
    home = ".shadoweval"                      # SHADOWEVAL_HOME
    store = "sqlite:///.shadoweval/shadow.db" # SHADOWEVAL_STORE
    retention = "30d"                         # SHADOWEVAL_RETENTION
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from shadoweval.errors import SettingsError

__all__ = ["Settings", "read_settings"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spool, store, flags and kill files lie."""

    home: str = ".shadoweval"
    """Folder for spool, kill files and, by default, the store."""
    store: str = ""
    """SQLAlchemy URL; empty: SQLite in `home`."""
    flags: str = ""
    """TOML flag file; empty: no flag file."""
    retention: str = ""
    """How long queries and what was derived from them are kept: `12h`, `30d`; empty: until someone erases them."""

    @property
    def folder(self) -> Path:
        """`home` as an absolute path."""
        return Path(self.home).expanduser().absolute()

    @property
    def store_url(self) -> str:
        """URL of the store."""
        return self.store or f"sqlite:///{self.folder / 'shadow.db'}"

    @property
    def spool(self) -> Path:
        """Folder that mirrors write to and workers read from."""
        return self.folder / "spool"


def read_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from `path` (default `shadoweval.toml` where it exists) and `SHADOWEVAL_*`.

    Raises:
        SettingsError: unreadable file, unknown name, or a value of the wrong type.
    """
    environ = os.environ if environ is None else environ
    file = path or Path(environ.get("SHADOWEVAL_SETTINGS", "shadoweval.toml"))
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError("file", str(file), why=f"it can't be read: {error}") from error
    for name in Settings.__struct_fields__:
        from_environment = environ.get(f"SHADOWEVAL_{name.upper()}")
        if from_environment:
            values[name] = from_environment
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(
            "file", str(file), why=f"{error}; known are {', '.join(Settings.__struct_fields__)}"
        ) from error
