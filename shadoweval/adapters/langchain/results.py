"""What LangChain's events say: names, documents, tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["run_name", "used_tokens"]

_NO_TOKENS: Final = (None, None)


def run_name(serialized: Any, default: str) -> str:
    """Name of what is run, from its serialised form."""
    if isinstance(serialized, Mapping):
        known = cast("Mapping[str, Any]", serialized)
        path = known.get("id")
        return str(known.get("name") or (cast("list[Any]", path)[-1] if path else default))
    return default


def used_tokens(response: Any) -> tuple[int | None, int | None]:
    """Input and output tokens of an LLMResult: `usage_metadata` of its messages, else `llm_output`."""
    told, tokens_in, tokens_out = False, 0, 0
    for generations in response.generations:
        for generation in generations:
            usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
            if usage:
                told = True
                tokens_in += usage.get("input_tokens", 0)
                tokens_out += usage.get("output_tokens", 0)
    if told:
        return tokens_in, tokens_out
    output: Any = response.llm_output
    usage = output.get("token_usage") if output else None
    return (usage.get("prompt_tokens"), usage.get("completion_tokens")) if usage else _NO_TOKENS
