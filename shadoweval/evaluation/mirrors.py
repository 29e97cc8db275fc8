"""What the mirroring processes counted, as an evaluation shows it."""

from __future__ import annotations

from shadoweval.experiment import Experiment
from shadoweval.worker.opening import open_receiver
from shadoweval.worker.resting import read_slowed

__all__ = ["mirrors_seen", "slowed"]


def slowed(experiment: Experiment) -> tuple[str, ...]:
    """What its worker found out about the incumbent's calls; no gate goes by it."""
    return tuple(filter(None, [read_slowed(experiment.settings.folder, experiment.name).sentence]))


def mirrors_seen(experiment: Experiment) -> tuple[dict[str, float], tuple[str, ...]]:
    """Mirrored calls against those left alone, as the mirroring processes counted them; and the alarm if any.

    The alarm says that nothing new was mirrored although there were calls.
    """
    from shadoweval.mirror import overhead  # noqa: PLC0415 - only an evaluation of a live spool needs it

    if not experiment.spool.exists():
        return {}, ()
    receiver = open_receiver(experiment)
    silence = experiment.admission.selftest.check(receiver.counters())
    alarm = () if silence is None or silence.meant else (f"Alarm: {silence}",)
    alarm = (*alarm, *(f"Alarm: {sentence}" for sentence in slowed(experiment)))
    return overhead(receiver.histogram("mirrored"), receiver.histogram("control")), alarm
