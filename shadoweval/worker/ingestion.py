"""From the transport into the store, for the worker and for whoever must be sure that nothing waits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from shadoweval.buckets import within
from shadoweval.codec import decode_envelope
from shadoweval.errors import CodecError
from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import INCUMBENT, Arm, Envelope, all_alike
from shadoweval.scoring.retrieval import NO_RETRIEVAL, by_retrieval
from shadoweval.transport.receiver import wipe_settled

__all__ = ["Ingestion", "arms_of"]

log: Final = logging.getLogger(__name__)

_BATCH: Final = 500
_MANY: Final = 20


def arms_of(experiment: Experiment, envelope: Envelope) -> Sequence[Arm]:
    """All candidates, and the incumbent again on a share of the queries that the query's id decides."""
    known = experiment.incumbent or envelope.query.entry.partition(":")[0]
    again = [INCUMBENT] if known and within(experiment.rerun, "rerun", envelope.id) else []
    return [*experiment.candidates, *again]


class Ingestion:
    """Moves one experiment's envelopes into its store.

    `counts` is where `envelopes` and `set_aside` are counted.
    """

    def __init__(
        self, experiment: Experiment, *, store: Store, receiver: Receiver, counts: Counter[str] | None = None
    ) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._experiment, self._store, self._receiver = experiment, store, receiver
        self._calls = 0
        self._units: set[str] = set()
        self._texts: set[str] = set()
        """Of the calls so far, two at most: whether there is more than one."""
        self._alike = ""
        self._retrieved = not any(by_retrieval(metric) for metric in experiment.metrics)
        """Whether any call has recorded a retrieval, or nothing is scored that needs one."""

    def step(self) -> int:
        """Move one batch. Returns how many frames were taken: 0 where none wait, or another process is reading."""
        batch = self._receiver.receive(_BATCH)
        if batch is None:
            return 0
        envelopes: list[Envelope] = []
        for frame, why in batch.corrupt:
            self._set_aside(frame, why)
        for frame in batch.frames:
            try:
                envelopes.append(decode_envelope(frame, encoded=True))
            except CodecError as error:
                self._set_aside(frame, str(error))
        self._look_at_queries(envelopes)
        added = self._store.add_envelopes(
            envelopes, arms={envelope.id: arms_of(self._experiment, envelope) for envelope in envelopes}
        )
        self.counts["envelopes"] += added
        self.keep_counters()
        batch.settle()
        if added < len(envelopes):  # some are of users who were erased, or came twice
            wipe_settled(self._experiment.spool)
        return len(batch.frames) + len(batch.corrupt)

    def _look_at_queries(self, envelopes: Sequence[Envelope]) -> None:
        """Warn once where all calls until now count, or read, as one query, or none has retrieved what is scored."""
        for envelope in envelopes:
            for values, value in ((self._units, envelope.query.cluster), (self._texts, envelope.query.text_key)):
                if len(values) <= 1:
                    values.add(value)
            if envelope.served.hits or any(step.kind == "retrieval" for step in envelope.served.steps):
                self._retrieved = True
        self._calls += len(envelopes)
        if not self._retrieved and self._calls >= _MANY:
            self._retrieved = True
            log.warning("none of the first %d calls recorded a retrieval: %s", self._calls, NO_RETRIEVAL)
        alike = all_alike(self._calls, queries=len(self._units), texts=len(self._texts))
        if alike and not self._alike:
            log.warning("queries can't be told apart: %s", alike, extra={"experiment": self._experiment.name})
        self._alike = alike

    def drain(self) -> int:
        """Move all that waits. Returns how many frames were taken."""
        taken = 0
        while more := self.step():
            taken += more
        return taken

    def keep_counters(self) -> None:
        """Keep the mirrors' counters beside what they count."""
        self._store.add_counters(self._experiment.name, "spool", self._receiver.counters())

    def _set_aside(self, frame: bytes, why: str) -> None:
        self.counts["set_aside"] += 1
        self._store.set_aside(self._experiment.name, frame, why)
        log.warning(
            "envelope set aside", extra={"experiment": self._experiment.name, "reason": why, "bytes": len(frame)}
        )
