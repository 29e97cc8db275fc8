"""A home's counters into the store, where those of several homes add up.

They stand there under a random name that lies in the home, beside what it counts: moved or renamed, the home goes on
under it. Each time they are kept they get a new token, which the home writes down first. A copy of a home, by whatever
means, has the name too, and the tokens until it was made. Whichever of both comes second finds a token that it does not
know, takes a name of its own, and leaves what was counted until they parted to the first.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.logs import logger
from shadoweval.private import private_folder, replace_private
from shadoweval.protocols import Store
from shadoweval.transport.locks import sole

__all__ = ["HomeCounters"]

log: Final = logger(__name__)

_MOST: Final = 20


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a home has told its store."""

    source: str
    """Its name there."""
    tokens: tuple[str, ...] = ()
    """The last one that was certainly kept, then those that may have been."""
    counters: dict[str, int] = {}
    """What it has counted by then."""
    before: dict[str, int] = {}
    """What was counted of it under another name."""


class HomeCounters:
    """Keeps the counters of one experiment's spool in its store."""

    def __init__(self, experiment: str, spool: Path, *, store: Store) -> None:
        self._experiment, self._path, self._store = experiment, spool / "published.json", store
        self._counters: Mapping[str, int] = {}
        self._token = ""
        """The last one of this object."""
        self._kept = False
        """Whether it has certainly reached the store."""

    def keep(self, counters: Mapping[str, int]) -> None:
        """Keep them, if they are others than the last time.

        Raises:
            StoreError, OSError: they are not kept; the next time they are.
        """
        if not counters or (self._kept and counters == self._counters):
            return
        private_folder(self._path.parent)
        lock = sole(self._path.with_suffix(".lock"))
        if lock is None:  # another process is at it, with the same counters or newer ones
            return
        try:
            self._keep(dict(counters))
        finally:
            os.close(lock)

    def _keep(self, counters: dict[str, int]) -> None:
        mine = self._read(counters)
        while not self._said(mine, counters):
            log.warning(
                "another home has this one's name in the store, as a copy has: from now on they are told apart",
                extra={"experiment": self._experiment, "home": str(self._path.parent)},
            )
            mine = Published(source=secrets.token_hex(8), before=mine.counters)
        self._counters = counters

    def _said(self, mine: Published, counters: dict[str, int]) -> bool:
        tokens = mine.tokens
        if tokens and tokens[-1] == self._token:
            tokens = tokens[-1:] if self._kept else tokens
        if not tokens or tokens[-1] != self._token or self._kept:
            self._token = secrets.token_hex(8)
            tokens = (*tokens[:1], *tokens[1:][-_MOST:], self._token)
        self._kept = False
        said = msgspec.structs.replace(mine, tokens=tokens, counters=counters)
        replace_private(self._path, msgspec.json.encode(said))
        new = {name: n - mine.before.get(name, 0) for name, n in counters.items() if n > mine.before.get(name, 0)}
        self._kept = self._store.replace_counters(self._experiment, said.source, new, token=self._token, known=tokens)
        return self._kept

    def _read(self, counters: dict[str, int]) -> Published:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Published)
        except FileNotFoundError:
            return Published(source=secrets.token_hex(8))
        except msgspec.DecodeError as error:
            log.warning("%s is damaged: counted goes on under another name", self._path, extra={"why": str(error)})
            return Published(source=secrets.token_hex(8), before=counters)
