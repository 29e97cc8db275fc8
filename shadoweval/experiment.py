"""Experiment: what "better" means, written once, for the decorator, scheduled runs, reports and pytest.

support = Experiment(
    name="support",
    candidates={"rerank": "pipelines.support_rerank:answer"},
    scorers=[recall(k=5), answer_quality(), tool_success(), latency()],
    gates=[
        better("recall@5", by=0.02),
        no_worse("tool_success", by=0.005),
        at_most("latency.p95", ratio=1.10, critical=True),
    ],
)

@support.mirror(sample=0.10)
def answer(question: str) -> str: ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from shadoweval.candidate.limits import Limits
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.checks import (
    checked_budget,
    checked_candidates,
    checked_metrics,
    checked_name,
    checked_share,
    checked_target,
)
from shadoweval.errors import ExperimentError, UnknownCandidateError
from shadoweval.mirror import Mirror, Redactor
from shadoweval.protocols import FlagProvider, Scorer, Transport
from shadoweval.records import INCUMBENT, Arm
from shadoweval.settings import Settings, read_settings
from shadoweval.traffic.breaker import Breaker
from shadoweval.traffic.budget import Budget
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import KillSwitch
from shadoweval.traffic.selftest import SelfTest
from shadoweval.traffic.usual import usual_gauges
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.rules import Rules

__all__ = ["Experiment"]


class Experiment:
    """One definition of an evaluation.

    Args:
        name: Names spool, kill file and reports; letters, digits, `.`, `_`, `-`.
        candidates: Name -> `"module:attribute"`; they run in processes of their own, so they are named, not passed.
        scorers: What is scored.
        gates: What must hold. Their metrics must be made by `scorers`.
        incumbent: `"module:attribute"`; needed only where nothing was mirrored (pytest, `calibrate` on a case file).
        labels: Case file whose judgements and references are joined to live queries by their text.
        rerun: Share of the queries on which the worker runs the incumbent again: noise floor, and the arm that
            seconds and dollars are compared with.
        stubs: How tools are answered in a shadow; the default replays, simulates and refuses, and runs nothing.
        limits: Deadline, memory, tokens and dollars of one run.
        allow: `"host:port"` that candidates may connect to (model endpoint, vector store); the guard refuses others.
        guard: Whether candidates run under the guard. Off only where it can't work; the report says so.
        warm: `"module:attribute"` called once in each candidate process before it serves (load an index, a model).
        outcome: Called with what either arm returned: its answer, as text or `Outcome`. Importable (a function of a
            module), since candidates need it too; None: texts, messages and mappings with an answer are understood.
        redact: Takes secrets out of every text before it leaves the mirror's process, and out of what candidates answer
            before it is stored: `mirror.redact_secrets`, or `(text, key) -> text`. Importable, as `outcome`.
        flags: Says for each request whether it may be mirrored; None: the flag file of the settings, if there is one,
            else sampling alone decides.
        breaker: Turns the mirror off while the incumbent suffers; None: one with the default limits. One without
            gauges of its own also looks at rate limits, losses and the worker's backlog.
        budget: What the candidates may use in a day (UTC): `calls`, `tokens`, `usd`; None: no limit.
        transport: The way out of the request path; None: chosen for the platform.
        rules: Error rates, and the floors below which nothing is promoted; see `verdict.rules`.
        judge: `paired`, or `kayenta` for the verdicts of Spinnaker's judge, with a warning where they are unsound.
        settings: Where things lie; None: read from `shadoweval.toml` and the environment at first use.

    Raises:
        ExperimentError: something can't be used; the subclasses in `errors` say what.
    """

    def __init__(
        self,
        *,
        name: str,
        candidates: Mapping[str, str],
        scorers: Sequence[Scorer] = (),
        gates: Sequence[Gate] = (),
        incumbent: str | None = None,
        labels: str | Path | None = None,
        rerun: float = 0.2,
        stubs: Stubs | None = None,
        limits: Limits | None = None,
        allow: Sequence[str] = (),
        guard: bool = True,
        warm: str | None = None,
        outcome: Callable[[Any], Any] | None = None,
        redact: Redactor | None = None,
        flags: FlagProvider | None = None,
        breaker: Breaker | None = None,
        budget: Mapping[str, float] | None = None,
        transport: Transport | None = None,
        rules: Rules | None = None,
        judge: Literal["paired", "kayenta"] = "paired",
        settings: Settings | None = None,
    ) -> None:
        self.name = checked_name(name, of="an experiment")
        self.candidates = checked_candidates(name, candidates)
        self.scorers = tuple(scorers)
        self.gates = tuple(gates)
        self.metrics = checked_metrics(name, self.scorers, self.gates)
        self.incumbent = None if incumbent is None else checked_target(incumbent)
        self.labels = None if labels is None else Path(labels)
        self.rerun = checked_share("rerun", rerun)
        self.stubs = stubs or Stubs()
        self.limits = limits or Limits()
        self.allow = tuple(allow)
        self.guard = guard
        self.warm = None if warm is None else checked_target(warm)
        self.outcome = outcome
        self.redact = redact
        self.breaker = breaker or Breaker()
        self._flags = flags
        self._budget = checked_budget(budget or {})
        self.rules = rules or Rules()
        self.judge = judge
        self._transport = transport
        self._settings = settings
        self._mounted: list[Mirror] = []
        self.breaker.watch(*usual_gauges(self.name, home=lambda: self.settings.folder, counters=self._counted))

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, candidates={list(self.candidates)}, gates={len(self.gates)})"

    @cached_property
    def settings(self) -> Settings:
        """Where things lie, read at first use."""
        return self._settings or read_settings()

    @cached_property
    def flags(self) -> FlagProvider | None:
        """Who says which requests may be mirrored."""
        return self._flags or (StaticFlags(self.settings.flags) if self.settings.flags else None)

    @cached_property
    def switch(self) -> KillSwitch:
        """The kill switch; flags can throw it too."""
        also = getattr(self.flags, "kill_reason", None) or getattr(self.flags, "killed", None)
        return KillSwitch(self.name, home=self.settings.folder, also=also)

    @cached_property
    def selftest(self) -> SelfTest:
        """The alarm for a mirror that mirrors nothing."""
        return SelfTest(self.name, home=self.settings.folder, share=self._share)

    def _counted(self) -> Counter[str]:
        """What became of calls in this process, all mountings together."""
        counters = {id(main): main for main in (mirror.outlet.tally.main for mirror in self._mounted)}
        return sum((Counter(main.snapshot()) for main in counters.values()), Counter[str]())

    def _share(self) -> float | None:
        """Share of the calls that should be mirrored, by the smallest mounting that this process knows of; or None."""
        shares = [plan.sample * (1.0 - plan.control) for plan in (mirror.plan for mirror in self._mounted)]
        told = getattr(self.flags, "share", None)
        if not shares:
            return None
        return min(shares) * (1.0 if told is None else told(self.name))

    @cached_property
    def budget(self) -> Budget:
        """What is left of today's budget, for all processes of this host."""
        calls, tokens = (self._budget.get(name) for name in ("calls", "tokens"))
        return Budget(
            self.name,
            home=self.settings.folder,
            calls=None if calls is None else int(calls),
            tokens=None if tokens is None else int(tokens),
            usd=self._budget.get("usd"),
        )

    @property
    def spool(self) -> Path:
        """Folder through which this experiment's envelopes go."""
        return self.settings.spool / self.name

    def target(self, arm: Arm) -> str:
        """`"module:attribute"` of an arm.

        Raises:
            UnknownCandidateError: no candidate of that name.
            ExperimentError: the incumbent is asked for and was not named.
        """
        if arm == INCUMBENT:
            if self.incumbent is None:
                raise ExperimentError(
                    f"Experiment {self.name!r} does not know its incumbent. Give incumbent='module:attribute'."
                )
            return self.incumbent
        if arm not in self.candidates:
            raise UnknownCandidateError(arm, experiment=self.name, known=self.candidates)
        return self.candidates[arm]

    def mirror(
        self,
        sample: float = 1.0,
        *,
        attributes: Callable[..., Mapping[str, Any]] | None = None,
        unit: Callable[..., str] | None = None,
        text: Callable[..., str] | None = None,
        **options: Any,
    ) -> Mirror:
        """Decorator that mirrors calls of a function, coroutine, generator or async generator.

        Args:
            sample: Share of the units that is mirrored, from 0 to 1.
            attributes: Called with the call's arguments: what slices and targeting go by.
            unit: Called with the arguments: user or session. All of a unit's queries are mirrored, or none.
            text: Called with the arguments: the question as a person would read it.
            options: Further options of `Mirror`. `redact` becomes the experiment's own where that has none; a worker
                knows it only if it imports the module of this mounting: `Experiment(redact=...)` is the better place.

        Raises:
            ShareError: `sample` is no share.
        """
        self.redact = self.redact or options.get("redact")
        options.setdefault("redact", self.redact)
        mirror = Mirror(
            experiment=self.name,
            transport=self._opened_transport,
            sample=sample,
            decide=self._decide,
            attributes=attributes,
            unit=unit,
            text=text,
            outcome=self.outcome,
            observe=self.breaker.observe,
            charge=self._charge if self._budget else None,
            **options,
        )
        self._mounted.append(mirror)
        return mirror

    def kill(self, reason: str = "") -> None:
        """Stop mirroring at once, here and wherever `home` is shared, and what is in flight in workers."""
        self.switch.kill(reason)

    def resume(self, reason: str = "") -> bool:
        """Take a kill back. False: something else still kills it."""
        return self.switch.resume(reason)

    def _opened_transport(self) -> Transport:
        if self._transport is None:
            from shadoweval.transport import open_transport  # noqa: PLC0415 - no file before the first mirrored call

            self._transport = open_transport(self.spool)
        return self._transport

    def _charge(self) -> None:
        self.budget.charge(calls=1)

    def _decide(self, unit: str, attributes: Mapping[str, Any]) -> str | None:
        """The reason not to mirror, or None. Raising means no, and is counted (`fault_decide`)."""
        if self.switch.killed():
            # Flags that can't be trusted kill too, but nobody asked for that: it has to raise the alarm.
            fault = getattr(self.flags, "reason", None)
            return "killed" if fault is None or fault() is None else "flag_error"
        lost = self._flag_loss(unit, attributes)
        if lost is not None:
            return lost
        if self._budget and self.budget.spent():
            return "budget_spent"
        return "breaker_open" if self.breaker.open() else None  # last: it thins by being asked

    def _flag_loss(self, unit: str, attributes: Mapping[str, Any]) -> str | None:
        if self.flags is None:
            return None
        try:
            told = getattr(self.flags, "loss", None)
            if told is not None:
                return told(self.name, unit, attributes)
            return None if self.flags.mirrored(self.name, unit, attributes) else "flag_off"
        except Exception:  # noqa: BLE001 - a broken flag provider means no, and has a reason of its own
            return "flag_error"
