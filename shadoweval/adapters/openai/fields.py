"""Single fields of what OpenAI-compatible servers send: from the SDK's objects and from plain JSON alike.

Servers differ: content is a text or a list of parts, arguments are JSON text or an object, reasoning goes by three
names. What is text of the answer follows the SDK: `message.content`, and `Response.output_text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from shadoweval.capture.misfits import NOT_READ

__all__ = [
    "USAGE",
    "arguments_of",
    "fields_of",
    "items",
    "joined",
    "kinds_of",
    "part",
    "provider_of",
    "reasoning_of",
    "text_of",
    "tokens_of",
    "tool_call_body",
    "unreadable",
]

_TEXT_PARTS: Final = frozenset({None, "text", "output_text"})
_REASONING: Final = ("reasoning_content", "reasoning", "thinking")
"""DeepSeek, vLLM and Qwen; OpenRouter, Groq and Ollama; Mistral's parts and some gateways."""
_TOTALS: Final = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_DETAILS: Final = {
    ("prompt_tokens_details", "cached_tokens"): "cached_input",
    ("prompt_tokens_details", "cache_write_tokens"): "cache_write",
    ("prompt_tokens_details", "audio_tokens"): "audio_input",
    ("input_tokens_details", "cached_tokens"): "cached_input",
    ("input_tokens_details", "cache_write_tokens"): "cache_write",
    ("input_tokens_details", "audio_tokens"): "audio_input",
    ("completion_tokens_details", "reasoning_tokens"): "reasoning",
    ("completion_tokens_details", "audio_tokens"): "audio_output",
    ("output_tokens_details", "reasoning_tokens"): "reasoning",
    ("output_tokens_details", "audio_tokens"): "audio_output",
    ("prompt_cache_hit_tokens",): "cached_input",  # DeepSeek
    ("cache_read_input_tokens",): "cached_input",  # gateways to Anthropic
    ("cache_creation_input_tokens",): "cache_write",
}
"""Where a usage tells of tokens that are billed apart -> `records.TokenKind`; the first that tells counts."""
USAGE: Final = tuple(dict.fromkeys([*_TOTALS, *(path[0] for path in _DETAILS)]))
"""Fields of a usage that are read."""
_PROVIDERS: Final = {
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "openai.com": "openai",
    "anthropic.com": "anthropic",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "mistral.ai": "mistral_ai",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
    "cohere.com": "cohere",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
"""End of a host's name -> `gen_ai.provider.name`."""


def part(value: Any, *names: str) -> Any:
    """A nested attribute or key; None where there is none."""
    for name in names:
        value = cast("Any", value).get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def fields_of(value: Any) -> Mapping[str, Any]:
    """All fields of an object: to ask the SDK's models for one that is not there costs more than to get all of them."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    fields: dict[str, Any] = getattr(value, "__dict__", {})
    extra: dict[str, Any] | None = getattr(value, "__pydantic_extra__", None)
    return {**fields, **extra} if extra else fields


def items(value: Any) -> Iterable[Any]:
    """The elements of a list; none where it is no list."""
    return cast("list[Any]", value) if isinstance(value, list | tuple) else ()


def joined(texts: Iterable[str | None]) -> str | None:
    """The texts, one after the other; None: there are none."""
    known = [text for text in texts if text is not None]
    return "".join(known) if known else None


def text_of(content: Any) -> str | None:
    """The text in a message's content, a text or a list of parts; reasoning, refusals and references are none."""
    if content is None or isinstance(content, str):
        return content
    return joined(_text_of_part(each) for each in (items(content) or (content,)))


def _text_of_part(piece: Any) -> str | None:
    if isinstance(piece, str):
        return piece
    text = part(piece, "text") if part(piece, "type") in _TEXT_PARTS else None
    return text if isinstance(text, str) else None


def reasoning_of(message: Any) -> str | None:
    """What the model thought before it answered, where the server tells: a field, or parts of the content."""
    for name in _REASONING:
        thought = text_of(part(message, name))
        if thought:
            return thought
    parts = (each for each in items(part(message, "content")) if not isinstance(each, str))
    return joined(text_of(part(each, "thinking") or part(each, "text")) for each in parts if _is_thought(each))


def _is_thought(piece: Any) -> bool:
    return part(piece, "type") in {"thinking", "reasoning", "reasoning_text"}


def arguments_of(text: Any) -> dict[str, Any]:
    """Arguments as the model wrote them; what is no JSON object stands under `arguments`."""
    if isinstance(text, Mapping):
        return dict(cast("Mapping[str, Any]", text))
    try:
        read: Any = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        read = text
    return cast("dict[str, Any]", read) if isinstance(read, dict) else {"arguments": read}


def unreadable(text: Any) -> str:
    """Why arguments can't be read, as the error of their call; empty: they are a JSON object, or none were written."""
    if not text or isinstance(text, Mapping):
        return ""
    try:
        read: Any = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        return f"{NOT_READ}: {error}"
    return "" if isinstance(read, dict) else f"{NOT_READ}: they are no JSON object"


def tool_call_body(call: Any) -> tuple[Any, Any]:
    """Name and arguments of a tool call or of a piece of one: a function's, a custom tool's, or its own."""
    custom = part(call, "custom")
    if custom is not None:
        return part(custom, "name"), part(custom, "input")
    body = part(call, "function") or call
    return part(body, "name"), part(body, "arguments")


def tokens_of(usage: Any) -> tuple[int | None, int | None]:
    """Tokens in and out. Chat completions and embeddings say `prompt_tokens`, responses `input_tokens`."""
    prompt, completion, given, taken = (_count(part(usage, name)) for name in _TOTALS)
    return given if prompt is None else prompt, taken if completion is None else completion


def provider_of(client: Any) -> str:
    """Whose models a client asks, by OpenTelemetry's names; of a host that nobody knows, the host; empty: no client."""
    host = str(getattr(getattr(client, "base_url", None), "host", "") or "")
    return next((name for end, name in _PROVIDERS.items() if host == end or host.endswith(f".{end}")), host)


def kinds_of(usage: Any) -> dict[str, int]:
    """Tokens that are billed apart, by kind."""
    kinds: dict[str, int] = {}
    for path, kind in _DETAILS.items() if usage is not None else ():
        count = _count(part(usage, *path))
        if count is not None:
            kinds.setdefault(kind, count)
    return kinds


def _count(number: Any) -> int | None:
    return number if isinstance(number, int) else None
