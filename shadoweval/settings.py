"""Where things lie: read once by the doors from `shadoweval.toml` and the environment, then handed down.

The environment wins over the file, the file over the defaults::

    # shadoweval.toml
    home = ".shadoweval"                      # SHADOWEVAL_HOME
    store = "sqlite:///.shadoweval/shadow.db" # SHADOWEVAL_STORE
    retention = "30d"                         # SHADOWEVAL_RETENTION
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from shadoweval.checks import checked_keywords
from shadoweval.clock import parse_span
from shadoweval.errors import SettingsError, closest

__all__ = ["Settings", "read_settings"]


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where spool, store, flags and kill files lie."""

    home: str = ".shadoweval"
    """Folder for spool, kill files and, by default, the store. Kept as text; a `Path` is taken too, as for `flags`."""
    store: str = ""
    """SQLAlchemy URL; empty: SQLite in `home`."""
    flags: str = ""
    """TOML flag file; empty: no flag file."""
    retention: str = ""
    """How long queries and what was derived from them are kept: `12h`, `30d`; empty: until someone erases them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, os.PathLike) and field.name in {"home", "flags"}:
                value = os.fspath(value)
                object.__setattr__(self, field.name, value)
            if not isinstance(value, str):
                raise SettingsError(field.name, value, why="it is no text; write it in quotes")
        if self.store and "://" not in self.store:
            why = f"it is no URL of a database; write for instance {'sqlite:///' + self.store!r}"
            raise SettingsError("store", self.store, why=why)
        if self.retention:
            parse_span(self.retention, name="retention")

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
        import tomllib  # noqa: PLC0415 - most processes have no such file

        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError("file", str(file), why=f"it can't be read: {error}") from error
    names = [field.name for field in fields(Settings)]
    for name, value in values.items():
        if name not in names:
            known = f"it holds {name!r}, known are {', '.join(names)}.{closest(name, names)}"
            raise SettingsError("file", str(file), why=known)
        if not isinstance(value, str):
            raise SettingsError("file", str(file), why=f"{name} = {value!r} is no text; write it in quotes")
    for name in names:
        from_environment = environ.get(f"SHADOWEVAL_{name.upper()}")
        if from_environment:
            values[name] = from_environment
    return Settings(**values)
