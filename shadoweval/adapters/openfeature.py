"""Any OpenFeature provider as the one who says whether a call may be mirrored.

The specification lets a client answer with the caller's default whenever anything is wrong, so the default here is no.
Yes is a boolean `true` with a reason that says the provider evaluated it just now; a value that is stale, from a
disabled flag or of another type is no. (https://openfeature.dev/specification/sections/flag-evaluation) So is whatever
a provider says while its status is not READY: some go on answering from what they read before their source broke.

A provider runs in the caller's time and can't be interrupted without a thread. One evaluation that took longer than
`patience`, or is still running after that, and the provider is left alone for `pause` seconds. The calls that were
already inside a provider that never returns stay there: use one that evaluates in memory.

A flag that is off for everybody (its value is static, or it is disabled) kills: the kill switch asks ten times a
second, and workers end what is in flight. So does a second flag, `kill`, when it is on or can't be evaluated, and so
does a provider that is not ready.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from shadoweval._optional import require
from shadoweval.checks import checked_instance, checked_keywords, checked_number, checked_strings
from shadoweval.errors import ArgumentError
from shadoweval.protocols import FlagProvider
from shadoweval.traffic.flagfile import Loss

__all__ = ["OpenFeatureFlags"]

_log: Final = logging.getLogger("shadoweval.traffic")
_Answer = TypeVar("_Answer")
_NO: Final = frozenset({"ERROR", "STALE", "DISABLED"})


@checked_keywords()
class OpenFeatureFlags(FlagProvider):
    """A `FlagProvider` over OpenFeature; one evaluation a request.

    Args:
        flag: Key of a boolean flag; by default the experiment's name.
        client: An OpenFeature client; by default the one of `domain`.
        domain: OpenFeature domain.
        kill: Key of a boolean flag that kills while it is true; None: there is none.
        refused: Further reasons that count as no. With flagd add `DEFAULT`: it answers a rule that has no result, for
            instance since an attribute is missing, with the default variant.
        patience: Seconds that an evaluation may take.
        pause: Seconds for which a slow provider is left alone.
        clock: Monotonic seconds.

    Raises:
        ArgumentError: an argument that can't be used.
        MissingExtraError: `openfeature-sdk` is not installed.
    """

    def __init__(
        self,
        flag: str | None = None,
        *,
        client: Any = None,
        domain: str | None = None,
        kill: str | None = None,
        refused: Collection[str] = (),
        patience: float = 0.1,
        pause: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        api = require("openfeature.api", extra="flags", needed_for="OpenFeatureFlags")
        self._context = require("openfeature.evaluation_context", extra="flags", needed_for="OpenFeatureFlags")
        self._in_memory = require("openfeature.provider.in_memory_provider", extra="flags", needed_for="flags")
        self._client = api.get_client(domain) if client is None else client
        for name, key in (("flag", flag), ("domain", domain), ("kill", kill)):
            if key is not None:
                checked_instance(f"OpenFeatureFlags({name})", key, str)
        if not hasattr(self._client, "get_boolean_details"):
            expected = "an OpenFeature client"
            raise ArgumentError("OpenFeatureFlags(client)", client, expected=expected, mend="Write api.get_client().")
        self._flag, self._kill = flag, kill
        self._killed_by: str | None = None
        self._refused = _NO.union(checked_strings("OpenFeatureFlags(refused)", refused))
        self._patience = checked_number("OpenFeatureFlags(patience)", patience, above=0)
        self._pause = checked_number("OpenFeatureFlags(pause)", pause, low=0)
        self._clock = clock
        self._numbers = itertools.count()
        self._running: dict[int, float] = {}
        self._resumes = -float("inf")

    def mirrored(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> bool:
        """Whether the provider says yes. Without a unit no: it is the targeting key."""
        return self.loss(experiment, unit, attributes) is None

    def loss(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> Loss | None:
        """Why the call is not mirrored, as a name in `counters.LOSSES`; None: the provider says yes."""
        if not unit:
            return "not_targeted"
        return self._patiently(
            experiment, lambda: self._evaluated(self._flag or experiment, unit, attributes), "flag_error"
        )

    def kill_reason(self, experiment: str) -> str | None:
        """What kills the experiment, what is in flight included; None: no flag does. A resting provider: as before."""
        self._killed_by = self._patiently(experiment, lambda: self._kills(experiment), self._killed_by)
        return self._killed_by

    def reason(self) -> str | None:
        """Why nothing that the provider says can be trusted; None: it is ready."""
        status = self._unready()
        return status and f"The OpenFeature provider is {status}: nothing is mirrored until it is READY."

    def _unready(self) -> str | None:
        """The provider's status where it is not ready (specification 1.7); clients of others may have none."""
        ask = getattr(self._client, "get_provider_status", None)
        try:
            status = "READY" if ask is None else ask().value
        except Exception as error:  # noqa: BLE001 - a client of others: what it can't say is no
            status = f"without a status ({type(error).__name__})"
        return None if status == "READY" else str(status)

    def _patiently(self, experiment: str, ask: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """Ask the provider unless it is too slow."""
        began = self._clock()
        if began < self._resumes:
            return otherwise
        for number, started in list(self._running.items()):
            if began - started > self._patience:
                self._running.pop(number, None)  # counted once: after the pause the provider gets another chance
                self._rest(experiment, began, seconds=began - started)
                return otherwise
        number = next(self._numbers)
        self._running[number] = began
        try:
            return ask()
        finally:
            self._running.pop(number, None)
            took = self._clock() - began
            if took > self._patience:
                self._rest(experiment, began + took, seconds=took)

    def _evaluated(self, flag: str, unit: str, attributes: Mapping[str, Any]) -> Loss | None:
        if self._unready() is not None:
            return "flag_error"
        # A copy: providers and hooks may keep or change what they are given.
        context = self._context.EvaluationContext(targeting_key=unit, attributes=dict(attributes))
        try:
            details = self._client.get_boolean_details(flag, False, context)
        except Exception:  # noqa: BLE001 - hooks and clients of others: whatever they raise means no
            return "flag_error"
        if type(details.value) is not bool or _unsure(details):
            return "flag_error"
        if not details.value or details.reason in self._refused or self._disabled(flag):
            return "flag_off"
        return None

    def _kills(self, experiment: str) -> str | None:
        status = self._unready()
        if status is not None:
            return f"the OpenFeature provider, which is {status}"
        context, details_of = self._context.EvaluationContext(experiment), self._client.get_boolean_details
        kill = None if self._kill is None else details_of(self._kill, True, context)
        if kill is not None and (kill.value is not False or _unsure(kill)):
            return f"the OpenFeature flag {self._kill!r}"
        flag = self._flag or experiment
        details = details_of(flag, False, context)
        off = details.value is False and details.reason in {"STATIC", "DISABLED"}
        return f"the OpenFeature flag {flag!r}, which is off for everybody" if off or self._disabled(flag) else None

    def _disabled(self, flag: str) -> bool:
        """InMemoryProvider (openfeature-sdk 0.10) serves a disabled flag as if it were enabled."""
        provider = getattr(self._client, "provider", None)
        if not isinstance(provider, self._in_memory.InMemoryProvider):
            return False
        return getattr(getattr(provider, "_flags", {}).get(flag), "state", None) == "DISABLED"

    def _rest(self, experiment: str, now: float, *, seconds: float) -> None:
        self._resumes = now + self._pause
        _log.warning(
            "The flag provider is too slow for the request path: it is not asked for a while, nothing is mirrored",
            extra={"experiment": experiment, "seconds": seconds, "pause": self._pause},
        )


def _unsure(details: Any) -> bool:
    """Whether an answer is the caller's default, or an old one, since something is wrong."""
    return details.reason in {"ERROR", "STALE"} or getattr(details, "error_code", None) is not None
