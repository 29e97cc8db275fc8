"""An OpenAI client as the incumbent: each chat completion or response that it makes is one query.

    client = mirrored_client(OpenAI(), support.mirror(sample=0.1))

The query's inputs are the request's body, so a candidate is a function that takes the keywords of
`chat.completions.create` or `responses.create` and returns an answer as text, or what `adapters.openai.reply_of` makes
of the SDK's response. Inside another mirrored pipeline the calls belong to that one; `adapters.openai.watch` records
them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec

from shadoweval.adapters.openai.recording import ModelCall, Observer, observed
from shadoweval.adapters.openai.replies import ModelFailedError, Reply, reply_data
from shadoweval.capture.outcomes import outcome_of
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.finish import finish
from shadoweval.mirror.mounting import site_of
from shadoweval.mirror.plan import Plan
from shadoweval.records import Outcome

__all__ = ["mirrored_client"]

_C = TypeVar("_C")
_PATHS: Final = frozenset({"/chat/completions", "/responses"})


def mirrored_client(client: _C, mirror: Mirror, *, entry: str | None = None) -> _C:
    """Mirror every chat completion and response of a client, `OpenAI` or `AsyncOpenAI`. Returns the client itself.

    A client that is mirrored again for the same experiment goes by the later mirror alone.

    Args:
        client: The client; its copies (`with_options`) are mirrored too.
        mirror: How. Its readers are called with the request's body as keywords (`model=`, `messages=`, ...).
        entry: `"module:attribute"` of a function that takes the same keywords, for re-runs of the incumbent.

    Raises:
        ArgumentError: not an OpenAI client, or not a mirror.
        TargetError: `entry` is not written as `"module:attribute"`.
    """
    site = site_of(mirror, entry, extract=_extracted, value_of=lambda answer: reply_data(answer[0]))

    def observer_of(path: str, body: Mapping[str, Any]) -> Observer | None:
        call = begin(site, (), dict(body)) if path in _PATHS else None
        return None if call is None else _MirroredRequest(call, path, body)

    return observed(client, observer_of, by=mirror.experiment)


def _extracted(plan: Plan, answer: tuple[Reply, int | None]) -> Outcome:
    """The outcome of a reply and its number of chunks; a mirror's own `outcome=` gets it as `reply_of` gives it."""
    reply, chunks = answer
    outcome = outcome_of(reply_data(reply), extract=plan.outcome, max_bytes=plan.max_bytes)
    return msgspec.structs.replace(outcome, chunks=chunks)


class _MirroredRequest:
    """Observes one request for its call; nothing of it stands in the caller's context meanwhile."""

    def __init__(self, call: Call, path: str, body: Mapping[str, Any]) -> None:
        self.call = call
        self.model = None if call.recorder is None else ModelCall(call.recorder, path, body)
        self.chunks = 0
        self.over = False

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""
        self.chunks += 1
        recorder = self.call.recorder
        if recorder is not None and self.model is not None:
            if recorder.first_chunk is None:
                recorder.first_chunk = perf_counter() - recorder.began
            self.model.chunk(chunk)

    def ended(self, response: Any) -> None:
        """The answer, or the end of the stream."""
        if self.over:
            return
        self.over = True
        model, recorder = self.model, self.call.recorder
        reply = Reply()
        if model is not None and recorder is not None:
            model.ended(response)
            reply = model.reply or reply
        if reply.error is not None:
            finish(self.call, error=ModelFailedError(reply.model, reply.error))
        else:
            finish(self.call, (reply, self.chunks or None))

    def failed(self, error: BaseException) -> None:
        """It failed, or its reader went away."""
        if self.over:
            return
        self.over = True
        if self.model is not None:
            self.model.failed(error)
        finish(self.call, error=error)

    def __del__(self) -> None:
        """Nobody reads the stream, or parses the raw response, any more."""
        self.failed(GeneratorExit())
