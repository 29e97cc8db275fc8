"""What LangChain's events say: names, documents, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.documents import Document

from shadoweval.capture.documents import hit_rows

__all__ = ["document_rows", "run_name", "used_tokens"]

_TEXT_CAP: Final = 65_536
_NO_TOKENS: Final = (None, None)


def run_name(serialized: Any, default: str) -> str:
    """Name of what is run, from its serialised form."""
    if isinstance(serialized, Mapping):
        known = cast("Mapping[str, Any]", serialized)
        path = known.get("id")
        return str(known.get("name") or (cast("list[Any]", path)[-1] if path else default))
    return default


def document_rows(documents: Sequence[Any]) -> list[Any]:
    """As `hit_rows`, which looks for an id, a score and a text where most documents have them at once."""
    # As mappings: to look for a field that a pydantic model has not costs ten times as much.
    found = [document.__dict__ if type(document) is Document else document for document in documents]
    try:
        rows = [_common(fields) for fields in found if not fields["metadata"]]
    except (TypeError, KeyError):  # documents of another kind
        rows = []
    if len(rows) < len(found) or any(key is None or len(text) > _TEXT_CAP for key, _, text in rows):
        return hit_rows(found)
    return rows


def _common(fields: Mapping[str, Any]) -> tuple[str | None, None, str]:
    return fields["id"], None, fields["page_content"]


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
