"""Erase what a user asked: in the store, and on its way there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadoweval.experiment import Experiment
from shadoweval.running.ingestion import Ingestion
from shadoweval.running.opening import open_receiver
from shadoweval.transport.wiping import wipe_settled

if TYPE_CHECKING:
    from shadoweval.store import SqlStore

__all__ = ["erase_unit"]


def erase_unit(experiment: Experiment, unit: str, *, store: SqlStore) -> int:
    """Delete all that a user or session asked until now, and overwrite it in the spool. Returns how many queries.

    What waits in the spool is ingested first. Where a worker is reading it, that worker drops what comes of this unit,
    within a second; so does any later one with what was on its way meanwhile.

    Raises:
        StoreError: the store can't be written, or the unit is empty.
    """
    receiver = open_receiver(experiment)
    waiting = Ingestion(experiment, store=store, receiver=receiver)
    try:
        waiting.drain()
        erased = store.erase(unit)
        waiting.drain()
    finally:
        receiver.close()
    wipe_settled(experiment.spool)
    return erased
