"""Where the calls of functions and coroutines begin: in the compiled parts, if they were built, else at `Site.begin`.

A compiled call becomes a `Call` for whatever is not of the commonest kind; the functions here do that.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from shadoweval import native
from shadoweval.capture.copying import encode, encode_value
from shadoweval.capture.inputs import attribute_data, call_inputs, chosen
from shadoweval.capture.interception import installed
from shadoweval.capture.langchain import hook, watch
from shadoweval.capture.outcomes import answer_text
from shadoweval.capture.recorder import Recorder, current
from shadoweval.mirror.call import EMPTY, UNCARRIED, Call, alone
from shadoweval.mirror.decision import decided
from shadoweval.mirror.overhead import bin_name
from shadoweval.mirror.question import asked
from shadoweval.mirror.sampling import draw, ids
from shadoweval.mirror.site import Site
from shadoweval.mirror.trace_context import traced

__all__ = ["quick"]

_calls = native.part("calls")


def quick(site: Site) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """What begins a call that is entered once and ends once: it has `enter`, `returned` and `raised`."""
    return site.begin if _calls is None else _calls.Gate(site).begin


def _resumed(quick: Any) -> Call:
    """The compiled call as a `Call`, in the state that it is in."""
    call = Call(quick.site, quick.tally)
    call.began, call.point, call.over = quick.began, quick.point, quick.over
    call.number, call.unit, call.bucket, call.timed = quick.number, quick.unit, quick.bucket, quick.timed
    call.attributes = EMPTY if quick.attributes is None else quick.attributes
    call.text, call.inputs, call.started_at = quick.text, quick.inputs, quick.started_at
    call.recorder, call.token = quick.recorder, quick.token
    return call


def _left_alone(quick: Any) -> Call:
    """Chosen to compare durations with."""
    call = _resumed(quick)
    call.lost("control")
    return call


def _carry_on(quick: Any, value: Any, ended: float) -> None:
    """Hand over what is not of the commonest kind."""
    call = _resumed(quick)
    with call:
        if call.recorder is not None:
            call.finish(call.recorder, value, ended)


if _calls is not None:
    _calls.connect(
        current=current,
        alone=alone,
        installed=installed,
        hook=hook,
        watch=watch,
        draw=draw,
        ids=ids,
        recorder=Recorder,
        time=time,
        encode=encode,
        encode_value=encode_value,
        answer_text=answer_text,
        call_inputs=call_inputs,
        chosen=chosen,
        asked=asked,
        attribute_data=attribute_data,
        decided=decided,
        left_alone=_left_alone,
        resumed=_resumed,
        carry_on=_carry_on,
        bin_name=bin_name,
        traced=traced,
        uncarried=UNCARRIED,
    )
