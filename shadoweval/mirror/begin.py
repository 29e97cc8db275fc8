"""Where a mirrored call begins: decided and copied, before the incumbent runs."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from sys import modules
from time import perf_counter
from typing import Any, Final

import msgspec

from shadoweval.buckets import draw, ids, request_id
from shadoweval.capture.copying import encode
from shadoweval.capture.documents import as_text
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import MOST_ITEMS, Recorder, carried, current
from shadoweval.capture.third_party import connections, with_trace
from shadoweval.capture.wire.inputs import attribute_data, call_inputs, chosen
from shadoweval.mirror.call import Call, alone, last
from shadoweval.mirror.plan import Plan, Site
from shadoweval.mirror.shield import Shield

__all__ = ["begin"]

_EMPTY: Final = msgspec.Raw(encode({}))
_NONE: Final[Mapping[str, Any]] = {}
_running, _control, _last = current.get, alone.get, last.get
carried.append(alone)
_Decision = tuple[str, float | None, Mapping[str, Any]]


def begin(site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:  # noqa: C901 - the request path
    """Decide and copy. None: the call is not mirrored, and why is counted.

    In a shadow's process, where someone stands in for the tools, nothing is mirrored and nothing counted: there the
    incumbent is run again by a worker, not by a user.
    """
    outlet = site.outlet
    reason = None
    if installed.watching:
        if installed.interceptor is not None:
            return None
        reason = _nested()
    if reason is None and _last() is not None:
        last.set(None)
    if not outlet.opened:
        _open(site)
    if site.off:
        reason = "off"
    elif reason is None:
        if not site.by_chance:
            return _asked(site, args, kwargs)
        if draw() < site.sample:
            return _begun(site, ("", None, _NONE), args[site.skip :] if site.skip else args, kwargs)
        reason = "not_sampled"
    try:
        outlet.ledger.count(reason)
    except BaseException as error:
        if not Shield(site.plan.experiment, outlet.ledger, "decide").caught(error):
            raise
    return None


def _open(site: Site) -> None:
    asked, began = site.plan.asked, perf_counter()
    site.outlet.open()
    if asked is not None:
        asked(perf_counter() - began)


def _nested() -> str | None:
    """`nested` inside a call that is under way, mirrored or control; a task may outlive the call that started it."""
    recorder, control = _running(), _control()
    within = (recorder is not None and not recorder.closed) or (control is not None and not control.done)
    return "nested" if within else None


def _asked(site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:  # noqa: C901, PLR0912 - the request path
    """Where a unit, attributes or somebody else has a say, all in a function: most calls end here."""
    plan = site.plan
    asked = plan.asked
    began = 0.0 if asked is None else perf_counter()
    if site.skip:
        args = args[1:]
    try:
        unit, bucket, attributes = "", None, _NONE
        reason = None if plan.shut is None else plan.shut()
        if reason is None:
            if plan.attributes is not None:
                attributes = plan.attributes(*args, **kwargs)
            read = plan.unit
            unit = "" if read is None else read(*args, **kwargs) if kwargs else read(*args)
            if type(unit) is not str:
                unit = "" if unit is None else str(unit)
            if not unit.isascii():
                unit = as_text(unit)
            reason = None if plan.decide is None else plan.decide(unit or request_id(), attributes)
        if reason is None and unit:  # whoever finishes the draft works its bucket out
            reason = None if sha256(site.salted + unit.encode()).digest() < site.first_out else "not_sampled"
        elif reason is None:
            bucket = draw()
            reason = None if bucket < plan.sample else "not_sampled"
        if reason is not None:
            site.outlet.ledger.count(reason)  # in here: a hook of the user's may name a reason that does not exist
        if asked is not None:
            asked(perf_counter() - began)
    except BaseException as error:
        if not Shield(plan.experiment, site.outlet.ledger, "decide").caught(error):
            raise
        if asked is not None:
            asked(perf_counter() - began)
        return None
    if reason is not None:
        return None
    call = _begun(site, (unit, bucket, attributes), args, kwargs)
    if call is None and asked is not None:  # copied in vain, and nobody will tell of its end
        asked(perf_counter() - began)
    return call


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
            installed.watching += 1  # until `Call.ended`
            return call
        if call.bucket is None and not call.unit:  # sampled by chance: somewhere below the share
            call.bucket = draw() * plan.sample
        call.point = "snapshot"
        if plan.inputs is not None:
            args, kwargs = chosen(plan.inputs(*args, **kwargs))
        only = args[0] if len(args) == 1 and not kwargs else None
        if type(only) is str and len(only) <= plan.max_bytes:  # the commonest of all
            call.inputs = args, kwargs
        else:
            call.inputs = call_inputs(args, kwargs, max_bytes=plan.max_bytes)
        if plan.text is not None or plan.key is not None:
            call.text = _question(plan, args, kwargs)
        if connections.modules != len(modules):
            connections.connect()
        if connections.tracing:
            attributes = with_trace(attributes)
        call.attributes = attribute_data(attributes, max_bytes=plan.max_bytes) if attributes else _EMPTY
        call.started_at = site.clock()
        call.recorder = recorder = Recorder(plan.max_bytes, MOST_ITEMS, plan.hit_id)
        recorder.number = call.number
        last.set((ids.prefix, call.number))
        installed.watching += 1  # until `Call.ended`
    except BaseException as error:
        if not call.caught(error):
            raise
        return None
    return call


def _question(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the user's own readers say of it, as a draft has it."""
    text = None if plan.text is None else as_text(str(plan.text(*args, **kwargs)))
    return text if plan.key is None else (text, as_text(str(plan.key(*args, **kwargs))))
