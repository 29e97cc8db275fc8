"""Experiment: what "better" means, written once, for the decorator, scheduled runs, reports and pytest.

support = Experiment(
    name="support", candidates={"rerank": "pipelines.support_rerank:answer"},
    scorers=[recall(k=5), latency()], gates=[better("recall@5", by=0.02), at_most("latency.p95", ratio=1.10)])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from shadoweval.candidate.sandbox import Sandbox, checked_arm
from shadoweval.capture.document_parts import HitId, checked_hit_id
from shadoweval.capture.outcomes import Extract
from shadoweval.checks import (
    checked_candidates,
    checked_choice,
    checked_file,
    checked_function,
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_moment,
    checked_name,
    checked_number,
    checked_scorer,
    checked_share,
    checked_strings,
    checked_target,
)
from shadoweval.errors import ArgumentError, ExperimentError, UnknownCandidateError
from shadoweval.mirror import Mirror
from shadoweval.mirror.decorator import MAX_BYTES
from shadoweval.mirror.outlet import Outlet
from shadoweval.mirror.plan import now
from shadoweval.protocols import Redactor, Scorer, Transport
from shadoweval.records import INCUMBENT, Arm
from shadoweval.settings import Settings, read_settings
from shadoweval.traffic.admission import Admission, Traffic
from shadoweval.verdict.gates import Gate, checked_gate, checked_metrics
from shadoweval.verdict.rules import Rules

if TYPE_CHECKING:
    from shadoweval.candidate.environment import Target
    from shadoweval.capture.failures import Failures
    from shadoweval.schedules import Schedule
    from shadoweval.scoring.writes import Writes

__all__ = ["Experiment"]

Rule = Literal["paired", "kayenta"]
_G = TypeVar("_G", Sandbox, Rules, Traffic)

_MOVED: Final = {
    **dict.fromkeys(("stubs", "limits", "allow", "guard", "warm"), "It belongs to sandbox=Sandbox({name}=...)."),
    **dict.fromkeys(("flags", "breaker", "budget", "transport"), "It belongs to traffic=Traffic({name}=...)."),
    "judge": "How the verdict is reached is rule='paired' or rule='kayenta'.",
}


@checked_keywords(_MOVED)
class Experiment:
    """One definition of an evaluation.

    Args:
        name: Names spool, kill file and reports; letters, digits, `.`, `_`, `-`.
        candidates: Name -> `"module:attribute"` or `Target`; they run in processes of their own: named, not passed.
        scorers: What is scored; `scoring.writes()` is among them whether it is named or not.
        gates: What must hold. Their metrics must be made by `scorers`.
        incumbent: `"module:attribute"`; needed only where nothing was mirrored (pytest, `calibrate` on a case file).
        labels: Case file whose judgements and references are joined to live queries by their text. It has to be there.
        sandbox: How candidates run: stubs, limits, the guard and what it allows.
        traffic: When mirroring stops (flags, breaker, budget), and the way out of the request path.
        rules: Error rates, and the floors below which nothing is promoted; see `Rules`.
        rule: How the verdict is reached: `paired`, or `kayenta` as Spinnaker's judge, with a warning where unsound.
        rerun: Share of the queries on which the incumbent is run again: noise floor, and the arm for seconds and cost.
        outcome: Called with what either arm returned: its answer, as text or `Outcome`. Importable, for candidates.
        failures: Called with what either arm returned or raised: True or a message: it failed; False: it did not; None:
            as usual (`capture.failures`). Importable, as `outcome`.
        hit_id: What labels call a retrieved document: a path (`"metadata.doc_id"`), or a function to import.
        schedules: What `shadoweval schedule` runs by itself, and when; their names differ.
        redact: Takes secrets out of every text that is sent or stored: `redact_secrets`, or `(text, key) -> text`.
        settings: Where things lie; None: read from `shadoweval.toml` and the environment at first use, a fork included.

    Raises:
        ExperimentError: something can't be used; the subclasses in `errors` say what.
    """

    def __init__(
        self,
        *,
        name: str,
        candidates: Mapping[str, str | Target],
        scorers: Sequence[Scorer] = (),
        gates: Sequence[Gate] = (),
        incumbent: str | Target | None = None,
        labels: str | Path | None = None,
        sandbox: Sandbox | None = None,
        traffic: Traffic | None = None,
        rules: Rules | None = None,
        rule: Rule = "paired",
        rerun: float = 0.2,
        outcome: Extract | None = None,
        failures: Failures | None = None,
        hit_id: HitId | str | None = None,
        schedules: Sequence[Schedule] = (),
        redact: Redactor | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.name = checked_name(name, of="an experiment")
        self.candidates = checked_candidates(name, candidates, check=checked_arm)
        self.sandbox = _checked_group("sandbox", sandbox, Sandbox)
        self._named_scorers = tuple(checked_scorer(each) for each in checked_list("scorers", scorers))
        self.gates = tuple(checked_gate(each) for each in checked_list("gates", gates))
        self.metrics = checked_metrics(name, self._named_scorers, self.gates)
        self.incumbent = None if incumbent is None else checked_arm(incumbent, "incumbent")
        self.labels = None if labels is None else checked_file("labels", labels)
        self.rules = _checked_group("rules", rules, Rules)
        self.rule = checked_choice("rule", rule, Rule)
        self.rerun = checked_share("rerun", rerun)
        self.outcome = checked_function("outcome", outcome)
        self.failures = checked_function("failures", failures)
        self.hit_id, self._hit_id = hit_id, checked_hit_id("hit_id", hit_id)
        self.schedules: tuple[Schedule, ...] = ()
        if schedules:
            from shadoweval.schedules import checked_schedules  # noqa: PLC0415 - most experiments have none

            self.schedules = checked_schedules(name, schedules)
        self.redact = checked_function("redact", redact)
        traffic = _checked_group("traffic", traffic, Traffic)
        self._outlet = Outlet(self.name, traffic.transport or self._opened_transport, None, spool=lambda: self.spool)
        self._settings = None if settings is None else checked_instance("settings", settings, Settings)
        self.admission = Admission(
            self.name, traffic, settings=lambda: self.settings, counters=self._outlet.counts, sampled=self._sampled
        )

    def __repr__(self) -> str:
        return f"Experiment({self.name!r}, candidates={list(self.candidates)}, gates={len(self.gates)})"

    @cached_property
    def settings(self) -> Settings:
        """Where things lie, read at first use."""
        return self._settings or read_settings()

    @cached_property
    def definition(self) -> str:
        """A digest of what is compared, and by what: the same on all hosts, however and wherever it runs there."""
        gates = sorted(msgspec.json.encode(msgspec.structs.replace(gate, group=None)).decode() for gate in self.gates)
        compared = [sorted(self.candidates.items()), self.incumbent, self.rerun]
        facts = [self.name, *compared, gates, sorted(self.metrics), self.rule]
        return sha256(msgspec.json.encode(facts)).hexdigest()[:12]

    @cached_property
    def scorers(self) -> tuple[Scorer, ...]:
        """What is scored: the scorers that were named, and `scoring.writes()`."""
        from shadoweval.scoring.writes import with_writes  # noqa: PLC0415 - who mirrors scores nothing

        return with_writes(self._named_scorers, self.writes)

    @cached_property
    def writes(self) -> Writes:
        """Who compares writes, by the effects and arguments that the stubs declare."""
        from shadoweval.scoring.writes import Writes  # noqa: PLC0415 - who mirrors scores nothing

        stubs, like_with_like = self.sandbox.stubs, self.metrics["writes"].like_with_like
        return Writes(effects=stubs.effects, compare=stubs.compare, like_with_like=like_with_like)

    @property
    def spool(self) -> Path:
        """Folder through which this experiment's envelopes go."""
        return self.settings.spool / self.name

    def target(self, arm: Arm) -> str | Target:
        """`"module:attribute"` of an arm, or where else it is imported.

        Raises:
            UnknownCandidateError: no candidate of that name.
            ExperimentError: the incumbent is asked for and was not named.
        """
        if arm == INCUMBENT:
            if self.incumbent is None:
                raise ExperimentError(f"{self.name!r} does not know its incumbent. Give incumbent='module:attribute'.")
            return self.incumbent
        if arm not in self.candidates:
            raise UnknownCandidateError(arm, experiment=self.name, known=self.candidates)
        return self.candidates[arm]

    @checked_keywords()
    def mirror(
        self,
        sample: float = 1.0,
        *,
        attributes: Callable[..., Mapping[str, Any]] | None = None,
        unit: Callable[..., str | None] | None = None,
        text: Callable[..., str] | None = None,
        key: Callable[..., str] | None = None,
        inputs: Callable[..., Any] | None = None,
        ignore: Sequence[str] = (),
        versions: Mapping[str, str] | None = None,
        control: float = 0.05,
        salt: str | None = None,
        max_bytes: int = MAX_BYTES,
        entry: str | None = None,
        redact: Redactor | None = None,
        clock: Callable[[], datetime] = now,
    ) -> Mirror:
        """Decorator that mirrors calls; `attributes`, `unit`, `text`, `key` and `inputs` get the call's own arguments.

        Args:
            sample: Share of the units that is mirrored, from 0 to 1.
            attributes: Gives what slices and targeting go by.
            unit: Gives the user or session. All of a unit's queries are mirrored, or none.
            text: Gives the question as people and labels have it; by default it is looked for by name.
            key: Gives what the query is known by; by default all arguments.
            inputs: Gives what a candidate is called with, a mapping of keyword arguments or the only argument, without
                what can't be copied: a database session, an HTTP request. By default all of the call's.
            ignore: Names of arguments that no candidate gets, as a shorter way than `inputs`: `["request", "say"]`.
            versions: What decides the answer, by name: prompt, model, index.
            control: Share of the sampled calls that is left alone, to compare durations with.
            salt: Which units are sampled; by default the experiment's name.
            max_bytes: Cap of the input, of the returned value and of all tool calls, each.
            entry: `"module:attribute"` of the incumbent where it is not where it was defined.
            redact: Becomes the experiment's own where that has none; `Experiment(redact=...)` is the better place.
            clock: The time of day, aware.

        Raises:
            ArgumentError, ShareError, TargetError: an argument that can't be used.
        """
        if callable(sample):
            raise ArgumentError("mirror()", sample, expected="a share", mend="Write @experiment.mirror(sample=0.1).")
        readers = {"attributes": attributes, "unit": unit, "text": text, "key": key, "inputs": inputs}
        for name, reader in {**readers, "redact": redact, "clock": clock}.items():
            checked_function(f"mirror({name})", reader)
        checked_moment("mirror(clock)", clock())
        if salt is not None:
            salt = str.__str__(checked_instance("mirror(salt)", salt, str))
        versions = checked_mapping("mirror(versions)", {} if versions is None else versions)
        for name, version in versions.items():
            (versions[name],) = checked_strings(f"mirror(versions)[{name!r}]", [version])
        if entry is not None:
            checked_target(entry, what="entry")
        self.redact = self.redact or redact
        self._outlet.definition = self.definition
        from shadoweval.transport import prepare  # noqa: PLC0415 - who imports an experiment may mirror nothing

        prepare()
        return Mirror(
            experiment=self.name,
            transport=self._outlet,
            sample=sample,
            control=control,
            salt=salt,
            attributes=attributes,
            unit=unit,
            text=text,
            key=key,
            inputs=inputs,
            ignore=ignore,
            outcome=self.outcome,
            failures=self.failures,
            hit_id=self._hit_id,
            versions=versions,
            redact=redact or self.redact,
            max_bytes=checked_number("mirror(max_bytes)", max_bytes, low=1, whole=True),
            **self.admission.guards,
            entry=entry,
            clock=clock,
        )

    @checked_keywords()
    def kill(self, reason: str = "") -> None:
        """Stop mirroring at once, here and wherever `home` is shared, and what is in flight in workers."""
        self.admission.switch.kill(reason)

    @checked_keywords()
    def resume(self, reason: str = "") -> bool:
        """Take a kill back. False: something else still kills it."""
        return self.admission.switch.resume(reason)

    def _opened_transport(self) -> Transport:
        from shadoweval.transport import shared_transport  # noqa: PLC0415 - no file before the first mirrored call

        return shared_transport(self.spool)

    def _sampled(self) -> float | None:
        """The smallest share that a mounting of this process lets through; None: there is no mounting."""
        plans = [site.plan for site in list(self._outlet.sites)]
        return min((plan.sample * (1.0 - plan.control) for plan in plans), default=None)


def _checked_group(what: str, options: _G | None, kind: type[_G]) -> _G:
    return kind() if options is None else checked_instance(what, options, kind, mend=f"Write {kind.__name__}(...).")
