"""What OpenAI's requests, responses and chunks say, read from objects of the SDK and from plain JSON alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec

__all__ = ["Reply", "RequestedCall", "StreamedReply", "part", "read_reply", "reply_data", "reply_of", "results_in"]


class RequestedCall(msgspec.Struct, frozen=True):
    """A tool call that the model asked for."""

    id: str
    name: str
    arguments: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    model: str = ""
    text: str | None = None
    tool_calls: tuple[RequestedCall, ...] = ()
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def part(value: Any, *names: str) -> Any:
    """A nested attribute or key; None where there is none."""
    for name in names:
        value = cast("Any", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def _items(value: Any) -> Iterable[Any]:
    return cast("list[Any]", value) if isinstance(value, list | tuple) else ()


def _arguments(text: Any) -> dict[str, Any]:
    """Arguments as the model wrote them; what is no JSON object stands under `arguments`."""
    if isinstance(text, Mapping):
        return dict(cast("Mapping[str, Any]", text))
    try:
        read: Any = json.loads(text or "{}")
    except (TypeError, ValueError):
        read = text
    return cast("dict[str, Any]", read) if isinstance(read, dict) else {"arguments": read}


def _tokens(usage: Any) -> dict[str, int | None]:
    """Chat completions and embeddings say `prompt_tokens`, responses `input_tokens`."""
    prompt, completion = part(usage, "prompt_tokens"), part(usage, "completion_tokens")
    return {
        "input_tokens": part(usage, "input_tokens") if prompt is None else prompt,
        "output_tokens": part(usage, "output_tokens") if completion is None else completion,
    }


def read_reply(response: Any) -> Reply:
    """The answer in a ChatCompletion, Response, Completion or embeddings response, or in its JSON."""
    tokens = _tokens(part(response, "usage"))
    model = str(part(response, "model") or "")
    output = part(response, "output")
    if output is not None:
        return _read_output(response, model, tokens)
    choice = next(iter(_items(part(response, "choices"))), None)
    message = part(choice, "message")
    text = part(message, "content") if message is not None else part(choice, "text")
    calls = tuple(
        _requested(part(call, "id"), part(call, "function"))
        for call in _items(part(message, "tool_calls"))
        if part(call, "function") is not None
    )
    return Reply(model=model, text=text, tool_calls=calls, finish_reason=part(choice, "finish_reason"), **tokens)


def _requested(call_id: Any, function: Any) -> RequestedCall:
    return RequestedCall(str(call_id or ""), str(part(function, "name")), _arguments(part(function, "arguments")))


def _read_output(response: Any, model: str, tokens: dict[str, int | None]) -> Reply:
    texts: list[str] = []
    calls: list[RequestedCall] = []
    for item in _items(part(response, "output")):
        if part(item, "type") == "function_call":
            calls.append(_requested(part(item, "call_id"), item))
        texts += [str(text) for piece in _items(part(item, "content")) if (text := part(piece, "text")) is not None]
    text = "".join(texts) if texts else None
    return Reply(model=model, text=text, tool_calls=tuple(calls), finish_reason=part(response, "status"), **tokens)


def reply_of(response: Any) -> dict[str, Any]:
    """A model's answer as data: `content`, `tool_calls`, `finish_reason`, `model`.

    Give it as `outcome=` where a pipeline returns what the client gave it.
    """
    return reply_data(read_reply(response))


def reply_data(reply: Reply) -> dict[str, Any]:
    """A reply as data."""
    calls = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    return {"content": reply.text, "tool_calls": calls, "finish_reason": reply.finish_reason, "model": reply.model}


class StreamedReply:
    """A streamed answer, put together from its chunks."""

    def __init__(self) -> None:
        self.whole: Any = None
        self.model = ""
        self.texts: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.finish_reason: str | None = None
        self.usage: Any = None

    def add(self, chunk: Any) -> None:
        """A ChatCompletionChunk, Completion or event of a response."""
        kind = part(chunk, "type")
        if isinstance(kind, str) and kind.startswith("response."):
            self._add_event(kind, chunk)
            return
        self.model = part(chunk, "model") or self.model
        self.usage = part(chunk, "usage") or self.usage
        for choice in _items(part(chunk, "choices")):
            if part(choice, "index"):
                continue  # the first choice is the answer
            self.finish_reason = part(choice, "finish_reason") or self.finish_reason
            text = part(choice, "delta", "content") or part(choice, "text")
            if text:
                self.texts.append(text)
            for call in _items(part(choice, "delta", "tool_calls")):
                self._add_call(call)

    def _add_call(self, delta: Any) -> None:
        call = self.calls.setdefault(part(delta, "index") or 0, ["", "", ""])
        pieces = (part(delta, "id"), part(delta, "function", "name"), part(delta, "function", "arguments"))
        for position, piece in enumerate(pieces):
            call[position] += piece or ""

    def _add_event(self, kind: str, event: Any) -> None:
        if kind == "response.output_text.delta":
            self.texts.append(str(part(event, "delta") or ""))
        elif kind in {"response.completed", "response.incomplete", "response.failed"}:
            self.whole = part(event, "response")

    def reply(self) -> Reply:
        """The answer until now."""
        if self.whole is not None:
            return read_reply(self.whole)
        parts = [call for _, call in sorted(self.calls.items())]
        return Reply(
            model=self.model,
            text="".join(self.texts) if self.texts else None,
            tool_calls=tuple(RequestedCall(id_, name, _arguments(text)) for id_, name, text in parts),
            finish_reason=self.finish_reason,
            **_tokens(self.usage),
        )


def results_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """Results of tool calls that a request brings back, by the call's id: `tool` messages, `function_call_output`."""
    messages, items = _items(body.get("messages")), _items(body.get("input"))
    results = {str(part(m, "tool_call_id")): part(m, "content") for m in messages if part(m, "role") == "tool"}
    outputs = [item for item in items if part(item, "type") == "function_call_output"]
    return results | {str(part(item, "call_id")): part(item, "output") for item in outputs}
