"""Where things lie: read once by the doors from `shadoweval.toml` and the environment, then handed down.

The environment wins over the file, the file over the defaults::

    # shadoweval.toml
    home = ".shadoweval"                      # SHADOWEVAL_HOME
    store = "sqlite:///.shadoweval/shadow.db" # SHADOWEVAL_STORE
    retention = "30d"                         # SHADOWEVAL_RETENTION
    checkouts = "/var/cache/shadoweval"       # SHADOWEVAL_CHECKOUTS
    webhook = "https://chat.example/hooks/x"  # SHADOWEVAL_WEBHOOK
    webhook_secret = "whsec_..."              # SHADOWEVAL_WEBHOOK_SECRET
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from shadoweval.checks import checked_keywords
from shadoweval.clock import parse_span
from shadoweval.errors import SettingsError, closest

__all__ = ["Settings", "read_settings", "without_secrets"]

_PASSWORD: Final = re.compile(r"^((?:[^:/]*://|(?![^:/]*://))[^:/?#@]*):.*@", re.DOTALL)
_PARAMETER: Final = re.compile(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*")


def without_secrets(url: str) -> str:
    """The URL as messages may show it: without its password and its parameters' secrets."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def _shown(name: str, value: object) -> object:
    return type(value).__name__ if name in {"store", "webhook", "webhook_secret"} else value


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where spool, store, flags and kill files lie."""

    home: str = ".shadoweval"
    """Folder for spool, kill files and, by default, the store. Kept as text; a `Path` is taken too, as for `flags`."""
    store: str = field(default="", repr=False)
    """SQLAlchemy URL; empty: SQLite in `home`. Its password is in no message, and in no candidate's environment."""
    flags: str = ""
    """TOML flag file; empty: no flag file."""
    retention: str = ""
    """How long queries and what was derived from them are kept: `12h`, `30d`; empty: until someone erases them."""
    webhook: str = field(default="", repr=False)
    """Addresses that `shadoweval evaluate` posts changed decisions to, with a space between them.

    An address is mostly its own secret: here nobody reads it in the list of processes."""
    webhook_secret: str = field(default="", repr=False)
    """What alerts are signed with, `whsec_` and base64, by which a receiver knows whose they are; while one takes the
    place of another both, with a space between them. Empty: they are not signed."""

    checkouts: str = ""
    """Folder for the commits that a `Target(git=...)` names; empty: `checkouts` in `home`."""

    def __post_init__(self) -> None:
        for name in (one.name for one in fields(self)):
            value = getattr(self, name)
            if isinstance(value, os.PathLike) and name in {"home", "flags", "checkouts"}:
                value = os.fspath(value)
                object.__setattr__(self, name, value)
            if not isinstance(value, str):
                raise SettingsError(name, _shown(name, value), why="it is no text; write it in quotes")
        if self.store and "://" not in self.store:
            shown = without_secrets(self.store)
            why = f"it is no URL of a database; write for instance {'sqlite:///' + shown!r}"
            raise SettingsError("store", shown, why=why)
        if self.retention:
            parse_span(self.retention, name="retention")

    @property
    def folder(self) -> Path:
        """`home` as an absolute path."""
        return Path(self.home).expanduser().absolute()

    @property
    def checkouts_folder(self) -> Path:
        """Where commits are checked out, as an absolute path."""
        return Path(self.checkouts).expanduser().absolute() if self.checkouts else self.folder / "checkouts"

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
    names = [one.name for one in fields(Settings)]
    for name, value in values.items():
        if name not in names:
            known = f"it holds {name!r}, known are {', '.join(names)}.{closest(name, names)}"
            raise SettingsError("file", str(file), why=known)
        if not isinstance(value, str):
            raise SettingsError(
                "file", str(file), why=f"{name} = {_shown(name, value)!r} is no text; write it in quotes"
            )
    for name in names:
        from_environment = environ.get(f"SHADOWEVAL_{name.upper()}")
        if from_environment:
            values[name] = from_environment
    return Settings(**values)
