"""How an experiment stands beside its verdicts, told to receivers at each change.

Breaker, budget, traffic, kill switch and worker are a home's own, so their subjects name host and home; schedules and
what candidates were refused are the store's. Whoever runs watches (`worker`, `schedule`, `evaluate`, `alerts`): what is
told is compared with what each receiver was told before (`store/outbox.py`), so many watchers tell a change once.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from shadoweval.clock import Clock, utc_now
from shadoweval.evaluation.courier import Opened
from shadoweval.evaluation.schedule import overdue_sentences, plans_of
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Condition, Notifier, Store
from shadoweval.records import Evaluation
from shadoweval.worker.health import health_of
from shadoweval.worker.opening import open_receiver, open_store

__all__ = ["Watch", "refusal_conditions"]

log: Final = logger(__name__)

_EVERY: Final = 10.0
_SHOWN: Final = 3


class Watch:
    """Looks how an experiment stands, from when its block begins, and owes receivers each change.

    Args:
        experiment: Whose conditions.
        notifiers: Who is told; without any nothing is begun.
        worker: Whether the worker is looked at: it does not see itself hang.
        opened: Opens the store, for this thread.
        clock: Now.
    """

    def __init__(
        self,
        experiment: Experiment,
        notifiers: Sequence[Notifier],
        *,
        worker: bool = True,
        opened: Opened | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._experiment, self._worker, self._clock = experiment, worker, clock
        self.receivers = [notifier.receiver for notifier in notifiers]
        """Their names."""
        self._opened: Opened = partial(open_store, experiment) if opened is None else opened
        self._place = f"{socket.gethostname()}:{experiment.settings.folder}"
        self._counters: Mapping[str, int] | None = None
        self._told = dict[str, str]()
        self._fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="shadoweval watch", daemon=True)

    def __enter__(self) -> Self:
        if self.receivers:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self.receivers:
            self._thread.join(_EVERY)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                with self._opened() as store:
                    while not self._stop.is_set():
                        self.step(store)
                        self._fault = ""
                        self._stop.wait(_EVERY)
            except Exception as error:  # noqa: BLE001 - the store or the home is away: what changed is seen later
                if (why := f"{type(error).__name__}: {error}") != self._fault:
                    log.warning(
                        "conditions can't be looked at", extra={"experiment": self._experiment.name, "why": why}
                    )
                self._fault = why
                self._stop.wait(_EVERY)

    def once(self, store: Store, *, also: Sequence[Condition] = ()) -> None:
        """Look once, for a command that has something else to do: what can't be looked at is told, and no more."""
        if not self.receivers:
            return
        try:
            store.outbox.owe(self._experiment.name, also, self.receivers)
            self.step(store)
        except Exception as error:  # noqa: BLE001 - as above
            why = f"{type(error).__name__}: {error}"
            log.warning("conditions can't be looked at", extra={"experiment": self._experiment.name, "why": why})

    def step(self, store: Store) -> tuple[Condition, ...]:
        """Look once. What was found; it is owed where it is not what it was."""
        found = tuple(self._conditions(store))
        told = {condition.subject: condition.state for condition in found}
        if told != self._told:
            store.outbox.owe(self._experiment.name, found, self.receivers)
            self._told = told
        return found

    def _conditions(self, store: Store) -> Iterator[Condition]:
        experiment = self._experiment
        counters = open_receiver(experiment).counters()
        killed = experiment.admission.switch.reason()
        yield self._here("kill switch", "killed" if killed else "", f"killed by {killed}" if killed else "")
        spent = experiment.admission.budget.reason()
        yield self._here("budget", "spent" if spent else "", f"{spent}; nothing is mirrored until midnight UTC")
        silence = experiment.admission.selftest.check(counters) if counters else None
        silent = silence is not None and not silence.meant
        yield self._here("traffic", "none mirrored" if silent else "", str(silence))
        yield from self._breaker(counters)
        if self._worker:
            yield self._of_worker(store, killed=killed is not None)
        yield from self._schedules(store)

    def _breaker(self, counters: Mapping[str, int]) -> Iterator[Condition]:
        """Open while calls are left out for it; closed once others come and none is. Else nobody knows."""
        before, self._counters = self._counters, dict(counters)
        if before is None:
            return
        thinned, came = (counters.get(name, 0) - before.get(name, 0) for name in ("breaker_open", "eligible"))
        if thinned > 0:
            text = f"{thinned:,} of {came:,} calls in {_EVERY:.0f} s were not mirrored for it"
            yield self._here("breaker", "open", text)
        elif came > 0:
            yield self._here("breaker", "", "")

    def _of_worker(self, store: Store, *, killed: bool) -> Condition:
        experiment, settings = self._experiment, self._experiment.settings
        shared = not settings.store_url.startswith("sqlite:")
        tasks = 0 if shared else max(store.funnel(experiment.name, arm).waiting for arm in experiment.candidates)
        health = health_of(settings.folder, experiment.name, now=self._clock(), tasks=tasks, killed=killed)
        return self._here("worker", "in trouble" if health.alarms else "", "; ".join(health.alarms))

    def _schedules(self, store: Store) -> Iterator[Condition]:
        for plan in plans_of(self._experiment.schedules) if self._experiment.schedules else ():
            alarms = overdue_sentences([plan], store.slots, experiment=self._experiment.name, now=self._clock())
            state, text = "failing" if alarms else "", "; ".join(alarms)
            yield _condition(self._experiment.name, f"schedule {plan.schedule.title}", state, text=text)

    def _here(self, subject: str, trouble: str, text: str) -> Condition:
        return _condition(self._experiment.name, f"{subject} ({self._place})", trouble, text=text)


_WELL: Final = {"breaker": "closed", "budget": "left", "traffic": "mirrored", "kill": "released"}


def _condition(experiment: str, subject: str, trouble: str, *, text: str) -> Condition:
    """`trouble` is the state where it is not well, and `text` says more of it."""
    state = trouble or _WELL.get(subject.split(maxsplit=1)[0], "well")
    more = f"\n  {text}" if trouble and text else ""
    said = f"{experiment}: {subject}: {state.upper()}{more}"
    return Condition(subject=subject, state=state, well=not trouble, text=said)


def refusal_conditions(evaluation: Evaluation) -> list[Condition]:
    """Of each candidate, what the guard refused it in the window: sockets, files, processes; no tool calls.

    Once in a window: what was refused stays so until another window begins.
    """
    found: list[Condition] = []
    for candidate in (verdict.candidate for verdict in evaluation.verdicts):
        acts = [each for each in evaluation.refusals.get(candidate, ()) if each.kind not in {"tool", "others"}]
        shown = ", ".join(f"{act.kind} {act.detail} ({act.count:,} times)" for act in acts[:_SHOWN])
        more = f" and {len(acts) - _SHOWN} others" if len(acts) > _SHOWN else ""
        text = f"the guard refused it {shown}{more}"
        state = "refused" if acts else ""
        found.append(_condition(evaluation.experiment, f"containment of {candidate}", state, text=text))
    return found
