"""Retention and erasure: delete what a user asked, or what is old, in the store and on its way there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from shadoweval.clock import Clock, Seconds, parse_span, utc_now
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.transport.receiver import wipe_settled
from shadoweval.worker.ingestion import Ingestion
from shadoweval.worker.opening import open_receiver

if TYPE_CHECKING:
    from shadoweval.store import SqlStore

__all__ = ["Retention", "erase_unit", "kept_since", "purge_before", "retention_of"]

log: Final = logger(__name__)

_EVERY: Final = 3600.0
_STRIDES: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def erase_unit(experiment: Experiment, unit: str, *, store: SqlStore) -> int:
    """Delete all that a user or session asked until now, and overwrite it in the spool. Returns how many queries.

    What waits in the spool is ingested first. Where a worker is reading it, that worker drops what comes of this unit,
    within a second; so does any later one with what was on its way meanwhile.

    Raises:
        StoreError: the store can't be written, or the unit is empty.
    """
    receiver = open_receiver(experiment)
    ingestion = Ingestion(experiment, store=store, receiver=receiver)
    try:
        ingestion.drain()
        erased = store.erase(unit)
        ingestion.drain()
    finally:
        receiver.close()
    wipe_settled(experiment.spool)
    return erased


def retention_of(experiment: Experiment) -> timedelta | None:
    """How long the settings let queries be kept; None: for ever.

    Raises:
        SettingsError: `retention` is no span of time.
    """
    span = experiment.settings.retention
    return parse_span(span, name="retention") if span else None


def kept_since(age: timedelta, now: datetime) -> datetime:
    """The first moment whose queries a worker keeps, where they may be kept for `age`.

    It moves on in strides of a twelfth of `age`, at the same moments on all hosts, and never lags behind `now - age`:
    each purge that takes something away has the next look read anew all that is left, so it is not to happen hourly.
    """
    stride = age / _STRIDES
    return _EPOCH - (_EPOCH - (now - age)) // stride * stride


def purge_before(experiment: Experiment, before: datetime, *, store: SqlStore) -> int:
    """Delete queries asked before `before`, of all experiments in this store. Returns how many.

    What was read from this experiment's spool is overwritten there.
    """
    purged = store.purge(before)
    wipe_settled(experiment.spool)
    return purged


class Retention:
    """Purges what is older than the settings allow, at once and then every hour in which `kept_since` has moved on.

    Raises:
        SettingsError: `retention` is no span of time.
    """

    def __init__(
        self, experiment: Experiment, *, store: SqlStore, clock: Clock = utc_now, monotonic: Seconds = time.monotonic
    ) -> None:
        self._experiment, self._store = experiment, store
        self._age = retention_of(experiment)
        self._clock, self._monotonic = clock, monotonic
        self._due = monotonic()

    def step(self) -> int:
        """Purge if it is time to. Returns how many queries."""
        if self._age is None or self._monotonic() < self._due:
            return 0
        self._due = self._monotonic() + _EVERY
        purged = purge_before(self._experiment, kept_since(self._age, self._clock()), store=self._store)
        if purged:
            log.info("purged old queries", extra={"experiment": self._experiment.name, "queries": purged})
        return purged
