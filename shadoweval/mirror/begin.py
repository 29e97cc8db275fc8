"""Where a mirrored call begins: decided and copied, before the incumbent runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from shadoweval.capture.copying import encode
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.third_party import connections, with_trace
from shadoweval.capture.wire.inputs import asked, attribute_data, call_inputs, chosen
from shadoweval.mirror.call import Call, alone
from shadoweval.mirror.plan import Site
from shadoweval.mirror.sampling import decided, draw, ids
from shadoweval.mirror.shield import Shield

__all__ = ["begin"]

_EMPTY: Final = msgspec.Raw(encode({}))
_running, _control = current.get, alone.get
_Decision = tuple[str, float | None, Mapping[str, Any]]


def begin(  # noqa: C901 - the request path: each function more is paid for at each call
    site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call | None:
    """Decide and copy. None: the call is not mirrored, and why is counted.

    In a shadow's process, where someone stands in for the tools, nothing is mirrored and nothing counted: there the
    incumbent is run again by a worker, not by a user.
    """
    if installed.interceptor is not None:
        return None
    outlet = site.outlet
    if not outlet.opened:
        outlet.open()
    recorder, control = _running(), _control()
    if site.off:
        reason = "off"
    elif (recorder is not None and not recorder.closed) or (control is not None and not control.done):
        reason = "nested"  # in a call that is under way; a task may outlive the call that started it
    elif site.by_chance and draw() >= site.sample:
        reason = "not_sampled"
    else:
        if site.skip:
            args = args[1:]
        decision: str | _Decision = ("", None, {})
        if site.asks:
            try:
                decision = decided(site.plan, args, kwargs)
            except BaseException as error:
                if not Shield(site.plan.experiment, outlet.ledger, "decide").caught(error):
                    raise
                return None
        if type(decision) is tuple:
            return _begun(site, decision, args, kwargs)
        reason = str(decision)
    outlet.ledger.count(reason)
    return None


def _begun(site: Site, decision: _Decision, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:  # noqa: PLR0917 - the request path
    """A call that is in the sample: left alone as a control call, or with its input copied."""
    call = Call(site)
    plan = site.plan
    call.unit, call.bucket, attributes = decision
    try:
        call.number = ids.next()
        # As many mirrored calls as control calls are timed, both chosen at random.
        drawn = draw()
        call.timed = drawn < 2.0 * plan.control
        if drawn < plan.control:
            call.lost("control")
            return call
        if call.bucket is None and not call.unit:  # sampled by chance: somewhere below the share
            call.bucket = draw() * plan.sample
        call.point = "snapshot"
        _copy(call, args, kwargs)
        attributes = with_trace(attributes)
        call.attributes = attribute_data(attributes, max_bytes=plan.max_bytes) if attributes else _EMPTY
        call.started_at = site.clock()
        if connections.waiting:
            connections.connect()
        call.recorder = Recorder(plan.max_bytes)
        installed.watching += 1  # until `Call.ended`
    except BaseException as error:
        if not call.caught(error):
            raise
        return None
    return call


def _copy(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The input, and the question in it as text."""
    plan = call.site.plan
    if plan.inputs is not None:
        args, kwargs = chosen(plan.inputs(*args, **kwargs))
    only = args[0] if len(args) == 1 and not kwargs else None
    if type(only) is str and len(only) <= plan.max_bytes and plan.text is None:  # the commonest of all
        call.text, call.inputs = only, (args, kwargs)
    else:
        call.inputs = call_inputs(args, kwargs, max_bytes=plan.max_bytes)
        call.text = str(plan.text(*args, **kwargs)) if plan.text is not None else asked(args, kwargs)
