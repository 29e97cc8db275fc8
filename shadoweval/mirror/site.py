"""A decorated function: where its calls begin."""

from __future__ import annotations

from time import time
from typing import Any

import msgspec

from shadoweval.capture.copying import encode
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import Call, alone
from shadoweval.mirror.outlet import Outlet
from shadoweval.mirror.plan import Plan, now
from shadoweval.mirror.sampling import draw

__all__ = ["Site"]


class Site:
    """A decorated function: what is the same for all of its calls, worked out once."""

    def __init__(self, plan: Plan, entry: str, *, method: bool) -> None:
        self.plan, self.entry = plan, entry
        self.outlet: Outlet = plan.outlet
        self.skip = 1 if method else 0
        self.sample = plan.sample
        self.off = plan.sample <= 0.0
        self.asks = any(reader is not None for reader in (plan.unit, plan.attributes, plan.decide))
        self.by_chance = not self.asks and plan.sample < 1.0
        self.clock: Any = time if plan.clock is now else plan.clock
        self.raw = msgspec.Raw(encode((plan.experiment, entry, plan.salt, plan.versions)))

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Decide and copy. None: the call is not mirrored, and why is counted.

        In a shadow's process, where someone stands in for the tools, nothing is mirrored and nothing counted: there the
        incumbent is run again by a worker, not by a user.
        """
        if installed.interceptor is not None:
            return None
        outlet = self.outlet
        if not outlet.opened:
            outlet.open()
        if self.off:
            reason = "off"
        elif _within_another():
            reason = "nested"
        elif self.by_chance and draw() >= self.sample:
            reason = "not_sampled"
        else:
            call = Call(self, outlet.tally)
            try:
                return call.begun(args[self.skip :] if self.skip else args, kwargs)
            except BaseException as error:
                if not call.caught(error):
                    raise
            return None
        outlet.tally.count(reason)
        return None


def _within_another() -> bool:
    """Whether this belongs to a call that is under way. A task may outlive the call that started it."""
    recorder, control = current.get(), alone.get()
    return (recorder is not None and not recorder.closed) or (control is not None and not control.done)
