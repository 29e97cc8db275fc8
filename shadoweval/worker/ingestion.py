"""From the transport into the store, for the worker and for whoever must be sure that nothing waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from shadoweval.codec import decode_envelope, heft
from shadoweval.errors import CodecError, UnstorableError
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Receiver, Store
from shadoweval.records import INCUMBENT, Arm, Envelope, all_alike
from shadoweval.scoring.rankings import NO_RETRIEVAL
from shadoweval.scoring.retrieval import by_retrieval
from shadoweval.transport.receiver import wipe_settled
from shadoweval.worker.parts import add_in_parts, reason_of
from shadoweval.worker.publishing import HomeCounters
from shadoweval.worker.repeats import rerun_drawn
from shadoweval.worker.rivals import rivals_of

__all__ = ["Ingestion", "arms_of"]

log: Final = logger(__name__)

_BATCH: Final = 500
_MANY: Final = 20
_ASIDE: Final = 65_536
_MEMORY: Final = 64 * 1024 * 1024
"""What is decoded at a time takes about so many bytes of memory at most (`codec.heft`)."""


def arms_of(experiment: Experiment, envelope: Envelope) -> Sequence[Arm]:
    """All candidates, and the incumbent again on a share of the queries that the query's id decides."""
    return [*experiment.candidates, *([INCUMBENT] if rerun_drawn(experiment, envelope) else [])]


def _portion(frames: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for frame in frames:
        yield frame
        size += heft(frame)
        if size >= _MEMORY:
            return


class Ingestion:
    """Moves one experiment's envelopes into its store.

    `counts` is where `envelopes` and `set_aside` are counted.
    """

    def __init__(
        self, experiment: Experiment, *, store: Store, receiver: Receiver, counts: Counter[str] | None = None
    ) -> None:
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._experiment, self._store, self._receiver = experiment, store, receiver
        self._published = HomeCounters(experiment.name, experiment.spool, store=store)
        self._calls = 0
        self._units: set[str] = set()
        self._texts: set[str] = set()
        """Of the calls so far, two at most: whether there is more than one."""
        self._alike = ""
        self._rivals: tuple[str, ...] = ()
        self._retrieved = not any(by_retrieval(metric) for metric in experiment.metrics)
        """Whether any call has recorded a retrieval, or nothing is scored that needs one."""

    def caught_up(self) -> bool:
        """Whether, when nothing came, nothing was on its way either."""
        return self._receiver.caught_up()

    def step(self) -> int:
        """Move one batch. Returns how many frames were taken: 0 where none wait, or another process is reading."""
        batch = self._receiver.receive(_BATCH)
        if batch is None:
            return 0
        for frame, why in batch.corrupt:
            self._set_aside(frame, why, place=why)
        frames, complete = iter(batch.frames), True
        while portion := list(_portion(frames)):
            complete &= self._add(portion)
        self._warn_of_queries()
        if batch.frames:
            self._warn_of_rivals()
        self.keep_counters()
        batch.settle()
        if not complete:  # some are of users who were erased, or came twice
            wipe_settled(self._experiment.spool)
        return len(batch.frames) + len(batch.corrupt)

    def _add(self, portion: Sequence[bytes]) -> bool:
        """Decode and store frames. Whether all that can be read were new."""
        envelopes: list[Envelope] = []
        arms, frames = dict[str, Sequence[Arm]](), dict[str, bytes]()
        came = dict[int, bytes]()
        """Frames by envelope, of which several may have one id."""
        for frame in portion:
            try:
                envelope = decode_envelope(frame, encoded=True)
                arms[envelope.id] = arms_of(self._experiment, envelope)
                self._look_at_query(envelope)
            except CodecError as error:
                self._set_aside(frame, str(error))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one call, it must not stop the others
                self._set_aside(frame, reason_of(error))
            else:
                envelopes.append(envelope)
                frames[envelope.id] = came[id(envelope)] = frame
        added = sum(
            add_in_parts(
                envelopes,
                lambda part: self._store.add_envelopes(part, arms=arms, frames=frames),
                refused=lambda envelope, why: self._set_aside(came[id(envelope)], why),
            )
        )
        self.counts["envelopes"] += added
        return added == len(envelopes)

    def _look_at_query(self, envelope: Envelope) -> None:
        for values, value in ((self._units, envelope.query.cluster), (self._texts, envelope.query.text_key)):
            if len(values) <= 1:
                values.add(value)
        if envelope.served.hits or any(step.kind == "retrieval" for step in envelope.served.steps):
            self._retrieved = True
        self._calls += 1

    def _warn_of_queries(self) -> None:
        """Warn once where all calls until now count, or read, as one query, or none has retrieved what is scored."""
        if not self._retrieved and self._calls >= _MANY:
            self._retrieved = True
            log.warning("none of the first %d calls recorded a retrieval: %s", self._calls, NO_RETRIEVAL)
        alike = all_alike(self._calls, queries=len(self._units), texts=len(self._texts))
        if alike and not self._alike:
            log.warning("queries can't be told apart: %s", alike, extra={"experiment": self._experiment.name})
        self._alike = alike

    def _warn_of_rivals(self) -> None:
        """Warn where another application, or the old one in a deploy, mirrors under another definition."""
        rivals = rivals_of(self._store, self._experiment.name)
        for sentence in rivals if rivals != self._rivals else ():
            log.warning("%s", sentence, extra={"experiment": self._experiment.name})
        self._rivals = rivals

    def drain(self) -> int:
        """Move all that waits. Returns how many frames were taken."""
        taken = 0
        while more := self.step():
            taken += more
        return taken

    def keep_counters(self) -> None:
        """Keep the mirrors' counters beside what they count."""
        self._published.keep(self._receiver.counters())

    def _set_aside(self, frame: bytes, why: str, *, place: str = "") -> None:
        self.counts["set_aside"] += 1
        try:
            self._store.set_aside(self._experiment.name, frame, why, place=place)
        except UnstorableError:  # too large even for that: what it was is lost, that it was is not
            self._store.set_aside(self._experiment.name, frame[:_ASIDE], why, place=place)
        log.warning(
            "envelope set aside", extra={"experiment": self._experiment.name, "reason": why, "bytes": len(frame)}
        )
