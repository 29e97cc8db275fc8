"""Takes what receivers are owed to them: a thread for each receiver, so that one that hangs delays nobody else.

Whoever runs does it: `shadoweval worker`, `evaluate`, `alerts`. Several of them, on several hosts, share what is owed
by leases; one that dies over an alert leaves it to be told again, with the same key.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self

from shadoweval.evaluation.alerts import NotTakenError
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Alert, Notifier, Store
from shadoweval.worker.opening import open_store

__all__ = ["Courier", "Opened", "untold_sentences"]

log: Final = logger(__name__)

_LEASE: Final = 45.0
"""Seconds that a try may take before another one may begin; a connection is given up after ten without a byte."""
_POLL: Final = 5.0
"""Seconds until it is looked again whether somebody is owed something."""
_FIRST, _MOST = 30.0, 21_600.0
"""Seconds between the first tries, and at most."""
_PATIENCE: Final = timedelta(minutes=5)
"""An alert that was not tried for so long is told in an alarm."""
_GRACE: Final = 3.0
"""Seconds for which a try that is under way is waited for at the end."""

Opened = Callable[[], AbstractContextManager[Store]]


class Courier:
    """Takes alerts of one experiment to `notifiers` while its block runs, and for `settle` until nothing is due.

    Args:
        experiment: Whose alerts.
        notifiers: The receivers; without any, nothing is begun.
        opened: Opens the store, for each receiver's thread.
    """

    def __init__(self, experiment: Experiment, notifiers: Sequence[Notifier], *, opened: Opened | None = None) -> None:
        self._name = experiment.name
        self._opened: Opened = partial(open_store, experiment) if opened is None else opened
        self._stop, self._settled = threading.Event(), [threading.Event() for _ in notifiers]
        self._wake = [threading.Event() for _ in notifiers]
        self._threads = [
            threading.Thread(target=self._serve, args=(notifier, *events), name="shadoweval alerts", daemon=True)
            for notifier, *events in zip(notifiers, self._wake, self._settled, strict=True)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for event in self._wake:
            event.set()
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def settle(self, *, seconds: float) -> bool:
        """Try whatever is due now. False: after `seconds` some receiver is still being tried."""
        for wake, settled in zip(self._wake, self._settled, strict=True):
            settled.clear()
            wake.set()
        deadline = time.monotonic() + seconds
        return all(event.wait(max(deadline - time.monotonic(), 0.0)) for event in self._settled)

    def _serve(self, notifier: Notifier, wake: threading.Event, settled: threading.Event) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                with self._opened() as store:
                    while not self._stop.is_set():
                        asked = wake.is_set()
                        wake.clear()
                        self._tell_all(notifier, store)
                        told = ""
                        if asked:
                            settled.set()
                        wake.wait(_POLL)
            except Exception as error:  # noqa: BLE001 - the store is away, locked, full: what is owed waits there
                if (why := f"{type(error).__name__}: {error}") != told and not self._stop.is_set():
                    log.warning("alerts wait for the store", extra={"experiment": self._name, "why": why})
                told = why
                settled.set()
                self._stop.wait(_POLL)

    def _tell_all(self, notifier: Notifier, store: Store) -> None:
        """Whatever is due now."""
        while not self._stop.is_set():
            alert = store.outbox.claim(self._name, notifier.receiver, seconds=_LEASE)
            if alert is None:
                return
            _tell(notifier, alert, store=store, experiment=self._name)


def _tell(notifier: Notifier, alert: Alert, *, store: Store, experiment: str) -> None:
    facts = {"experiment": experiment, "candidate": alert.candidate, "decision": alert.decision}
    facts["receiver"] = alert.receiver
    try:
        notifier.notify(alert)
    except Exception as error:  # noqa: BLE001 - whatever a notifier raises: it is told again
        why = str(error) if isinstance(error, NotTakenError) else type(error).__name__  # another's may quote a secret
        asked = getattr(error, "retry_after", None)
        wait = _backoff(alert.attempts, asked if isinstance(asked, int | float) else 0.0)
        store.outbox.refused(alert, why, wait=wait)
        tries = {"attempt": alert.attempts, "again_in": f"{wait:.0f} s", "why": why}
        log.warning("alert not taken, it is tried again", extra={**facts, **tries})
    else:
        store.outbox.taken(alert)
        log.info("alert taken", extra=facts)


def _backoff(attempts: int, asked: float) -> float:
    """Seconds until the next try: twice as many each time, drawn from the upper half; never less than are asked for."""
    longest = min(_FIRST * 2.0 ** min(attempts - 1, 20), _MOST)
    return max(random.uniform(longest / 2, longest), asked)  # noqa: S311 - spreads load


def untold_sentences(alerts: Sequence[Alert], now: datetime) -> list[str]:
    """An alarm for each alert that failed, or that waits for minutes: what, to whom, since when, and why."""
    sentences: list[str] = []
    for alert in alerts:
        since = f"since {alert.at:%Y-%m-%d %H:%M} UTC"
        what = f"the alert {alert.decision!r} of {alert.candidate!r} is not delivered to {alert.receiver} {since}"
        if alert.state == "undelivered":
            sentences.append(f"{what}: given up after {alert.attempts} tries, {alert.error}")
        elif alert.error:
            sentences.append(f"{what}: {alert.attempts} tries, {alert.error}; next one {alert.due:%Y-%m-%d %H:%M} UTC")
        elif now - alert.at > _PATIENCE:
            sentences.append(f"{what}: nobody who knows its address has taken it there")
    return sentences
