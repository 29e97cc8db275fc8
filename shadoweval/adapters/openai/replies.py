"""What OpenAI's requests, responses and chunks say, read from objects of the SDK and from plain JSON alike.

The text of an answer is what the SDK gives as such: `choices[0].message.content`, or `Response.output_text`. Reasoning,
refusals and the transcript of audio stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from shadoweval.adapters.openai.fields import (
    arguments_of,
    items,
    joined,
    kinds_of,
    part,
    reasoning_of,
    text_of,
    tokens_of,
    tool_call_body,
    unreadable,
)
from shadoweval.adapters.openai.streamed import ChatChunks, ResponseEvents
from shadoweval.errors import ShadowEvalError
from shadoweval.records import Effect

__all__ = [
    "HostedCall",
    "ModelFailedError",
    "Reply",
    "RequestedCall",
    "StreamedReply",
    "read_reply",
    "reply_data",
    "reply_of",
    "results_in",
]

_CALL: Final = "_call"
_FAILED: Final = frozenset({"failed", "cancelled"})
_HOSTED_READS: Final = frozenset({"web_search", "file_search", "code_interpreter", "image_generation", "tool_search"})
"""Tools that a provider runs and that change nothing outside it; whatever an MCP server does, nobody here knows."""


class ModelFailedError(ShadowEvalError):
    """An answer of a model that says that it failed."""

    def __init__(self, model: str, why: str) -> None:
        self.model, self.why = model, why
        super().__init__(f"{model or 'The model'} failed, and said so in its answer: {why}")


class RequestedCall(msgspec.Struct, frozen=True):
    """A tool call that the model asked for."""

    id: str
    name: str
    arguments: dict[str, Any]
    problem: str = ""
    """Why no tool can take it, as the error that it is recorded with; empty: nothing is known to be wrong with it."""
    function: bool = True
    """Whether it is of one of the functions that the request offers by name."""


class HostedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the provider made itself: nobody here could have answered it."""

    name: str
    arguments: dict[str, Any]
    result: Any = None
    error: str | None = None
    effect: Effect = "unknown"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    model: str = ""
    text: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    transcript: str | None = None
    """What was said, where the answer is audio."""
    tool_calls: tuple[RequestedCall, ...] = ()
    hosted: tuple[HostedCall, ...] = ()
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: dict[str, int] = {}
    """Tokens that are billed apart, by kind."""
    error: str | None = None
    """The model failed, and said so in an answer that the SDK takes for one."""


def read_reply(response: Any) -> Reply:
    """The answer in a ChatCompletion, Response, Completion or embeddings response, or in its JSON."""
    if part(response, "output") is not None:
        return _read_output(response)
    choice = next(iter(items(part(response, "choices"))), None)
    message = part(choice, "message")
    calls = [_requested(part(call, "id"), call) for call in items(part(message, "tool_calls"))]
    function = part(message, "function_call")
    if function is not None:
        calls.append(_requested(None, function))
    tokens_in, tokens_out = tokens_of(part(response, "usage"))
    text = text_of(part(message, "content") if message is not None else part(choice, "text"))
    return Reply(
        model=str(part(response, "model") or ""),
        text=text,
        reasoning=reasoning_of(message),
        refusal=text_of(part(message, "refusal")),
        transcript=text_of(part(message, "audio", "transcript")),
        tool_calls=tuple(calls),
        hosted=tuple(_executed(call) for call in items(part(message, "executed_tools"))),
        finish_reason=part(choice, "finish_reason"),
        error=_error(part(choice, "error") or (part(response, "error") if choice is None else None)),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        tokens=kinds_of(part(response, "usage")),
    )


def _requested(call_id: Any, call: Any) -> RequestedCall:
    name, arguments = tool_call_body(call)
    function = part(call, "custom") is None
    problem = unreadable(arguments) if function else ""
    return RequestedCall(str(call_id or ""), str(name or ""), arguments_of(arguments), problem, function)


def _executed(call: Any) -> HostedCall:
    """Groq's: what its own tools did."""
    name = str(part(call, "name") or part(call, "type") or "")
    effect: Effect = "unknown" if part(call, "type") == "mcp" else "read"
    return HostedCall(
        name=name, arguments=arguments_of(part(call, "arguments")), result=part(call, "output"), effect=effect
    )


def _error(error: Any) -> str | None:
    """`{"code", "message"}`, or a text."""
    if error is None or isinstance(error, str):
        return error or None
    code, message = part(error, "code"), part(error, "message")
    return ": ".join(str(each) for each in (code, message) if each) or str(error)


def _read_output(response: Any) -> Reply:
    output = list(items(part(response, "output")))
    contents = [each for item in output if part(item, "type") == "message" for each in items(part(item, "content"))]
    status = part(response, "status")
    error = _error(part(response, "error"))
    tokens_in, tokens_out = tokens_of(part(response, "usage"))
    return Reply(
        model=str(part(response, "model") or ""),
        text=joined(part(each, "text") for each in contents if part(each, "type") == "output_text"),
        reasoning=joined(_reasoning(item) for item in output if part(item, "type") == "reasoning"),
        refusal=joined(part(each, "refusal") for each in contents if part(each, "type") == "refusal"),
        tool_calls=tuple(_asked(item) for item in output if _is_call(item) and part(item, "call_id") is not None),
        hosted=tuple(_hosted(item) for item in output if _is_call(item) and part(item, "call_id") is None),
        finish_reason=status,
        error=error or (f"the response is {status}" if status in _FAILED else None),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        tokens=kinds_of(part(response, "usage")),
    )


def _reasoning(item: Any) -> str | None:
    texts = [part(each, "text") for many in ("content", "summary") for each in items(part(item, many))]
    return joined(texts)


def _is_call(item: Any) -> bool:
    return str(part(item, "type")).endswith(_CALL)


def _asked(item: Any) -> RequestedCall:
    """A call that the application is to make: of a function, a custom tool, a shell, a computer, a patch."""
    kind = str(part(item, "type")).removesuffix(_CALL)
    name = str(part(item, "name") or kind)
    if kind == "custom_tool":
        return RequestedCall(str(part(item, "call_id")), name, {"input": part(item, "input")}, function=False)
    what = next((each for key in _ACTIONS if (each := part(item, key)) is not None), None)
    function = kind == "function"
    problem = unreadable(what) if function else ""
    return RequestedCall(str(part(item, "call_id")), name, arguments_of(_plain(what)), problem, function)


_ACTIONS: Final = ("arguments", "action", "actions", "operation")
_INPUTS: Final = ("arguments", "action", "queries", "code")
_OUTPUTS: Final = ("output", "results", "outputs")


def _plain(value: Any) -> Any:
    """An object of the SDK as data."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in items(value)]
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value


def _hosted(item: Any) -> HostedCall:
    """A call that the provider has made: a search, code, an image, a tool of an MCP server."""
    kind = str(part(item, "type")).removesuffix(_CALL)
    asked = {name: _plain(part(item, name)) for name in _INPUTS if part(item, name) is not None}
    result = next((_plain(each) for name in _OUTPUTS if (each := part(item, name)) is not None), None)
    failed = part(item, "status") == "failed"
    return HostedCall(
        name=str(part(item, "name") or kind),
        arguments=arguments_of(asked["arguments"]) if "arguments" in asked else asked,
        result=result,
        error=_error(_plain(part(item, "error"))) or ("failed" if failed else None),
        effect="read" if kind in _HOSTED_READS else "unknown",
    )


def reply_of(response: Any) -> dict[str, Any]:
    """A model's answer as data: `content`, `tool_calls`, `finish_reason`, `model`.

    Where there is such, `reasoning`, `refusal` and `transcript` too. Give it as `outcome=` where a pipeline returns
    what the client gave it.

    Raises:
        ModelFailedError: the answer says that the model failed, which the SDK does not raise (`status: "failed"`).
    """
    reply = read_reply(response)
    if reply.error is not None:
        raise ModelFailedError(reply.model, reply.error)
    return reply_data(reply)


def reply_data(reply: Reply) -> dict[str, Any]:
    """A reply as data."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    beside = {name: text for name in ("reasoning", "refusal", "transcript") if (text := getattr(reply, name))}
    whole = {"content": reply.text, "tool_calls": calls, "finish_reason": reply.finish_reason, "model": reply.model}
    return {**whole, **beside}


class StreamedReply:
    """A streamed answer, put together from its chunks."""

    def __init__(self) -> None:
        self._chunks = ChatChunks()
        self._events: ResponseEvents | None = None

    def add(self, chunk: Any) -> None:
        """A ChatCompletionChunk, Completion or event of a response."""
        kind = part(chunk, "type")
        if isinstance(kind, str) and (kind == "error" or kind.startswith("response.")):
            self._events = self._events or ResponseEvents()
            self._events.add(kind, chunk)
        else:
            self._chunks.add(chunk)

    def reply(self) -> Reply:
        """The answer until now."""
        return read_reply((self._chunks if self._events is None else self._events).whole())


def results_in(body: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Results of tool calls that a request brings back, in their order, by the call's id.

    Those of the first function calling, which had no ids, by `""` and their name.
    """
    results: dict[str, list[Any]] = {}
    for call_id, result in _results(body):
        results.setdefault(call_id, []).append(result)
    return results


def _results(body: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for message in items(body.get("messages")):
        if part(message, "role") == "tool":
            yield str(part(message, "tool_call_id") or ""), part(message, "content")
        elif part(message, "role") == "function":
            yield "", part(message, "content")
    for item in items(body.get("input")):
        if str(part(item, "type")).endswith("_call_output"):
            yield str(part(item, "call_id")), part(item, "output")
