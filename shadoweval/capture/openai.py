"""What an OpenAI client is asked and answers, recorded at the one place that every request passes: `client.request`.

    client = watch(OpenAI())

Chat completions, responses, completions and embeddings; sync and async, streamed, raw and by `with_options`. Inside a
recording each request is a model call with its tokens, and the tool calls that the model asks for are tool calls,
with the results that the next request brings back. Outside a recording nothing is done.

Clients are watched one by one and stay what they are: the same objects come out of them, streams included. LangChain's
models tell their calls by callbacks; the clients inside them are not to be watched as well.

This module does not import openai.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar, cast

from shadoweval.capture.interception import error_text
from shadoweval.capture.openai_replies import Pieces, Reply, answered_calls, part, reply_of
from shadoweval.capture.recorder import Recorder, current

__all__ = ["Begin", "Listener", "ModelCall", "listen", "reply_of", "watch"]

_C = TypeVar("_C")
_PATHS: Final = frozenset({"/chat/completions", "/responses", "/completions", "/embeddings"})


class Listener(Protocol):
    """Told about one request; must not raise."""

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""
        ...

    def ended(self, response: Any) -> None:
        """The answer, or None where it was a stream that came to its end."""
        ...

    def failed(self, error: BaseException) -> None:
        """It failed; GeneratorExit: whoever reads the stream went away."""
        ...


Begin = Callable[[str, Mapping[str, Any]], Listener | None]
"""Gets a request's path and body before it is sent."""


def watch(client: _C) -> _C:
    """Record what this client, `OpenAI` or `AsyncOpenAI`, does inside recordings. Returns the client itself."""
    return listen(client, _recorded)


def _recorded(path: str, body: Mapping[str, Any]) -> Listener | None:
    recorder = current.get()
    if recorder is None:
        return None
    call = ModelCall(recorder, path, body)
    call.answered(body)
    return call


class _Asked(tuple[Any, ...]):
    """A tool call that the model asked for, in the place of a recorder's call; `Calls` lets the real one replace it."""

    __slots__ = ()


class Calls(list[Any]):
    """A recorder's calls, in which a call that is made takes the place of the one that was asked for."""

    def append(self, call: Any) -> None:
        """Add a call that was made."""
        for place, known in enumerate(self):
            if type(known) is _Asked and known[0] == call[0] and _same(known[1], call[1]):
                del self[place]
                break
        super().append(call)


def _same(asked: Any, made: Any) -> bool:
    from shadoweval.capture.recorder import canonical_text

    return canonical_text(asked) == canonical_text(made)
