"""What a tool does to the world, from what it declares about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from shadoweval.records import Effect

__all__ = ["effect_of"]


def effect_of(tool: Any, *, declared: Mapping[str, Effect] | None = None) -> Effect:
    """The effect of a LangChain or MCP tool, or of any object with `name`, `metadata`, `tags` or `annotations`.

    `declared` (tool name -> effect) wins. Else what the tool says: `metadata["effect"]`, the tags `read` and `write`,
    and MCP's `readOnlyHint` and `destructiveHint` (Model Context Protocol, ToolAnnotations) in `annotations`, in
    `metadata["annotations"]` or in `metadata` itself. A tool that says both is a write; one that says nothing is
    unknown, which counts as a write.
    """
    name = getattr(tool, "name", "")
    if declared and name in declared:
        return declared[name]
    said = set(_said(tool))
    if "write" in said:
        return "write"
    return "read" if "read" in said else "unknown"


def _said(tool: Any) -> Iterator[Effect]:
    found = getattr(tool, "metadata", None)
    metadata: Mapping[str, Any] = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
    words = (metadata.get("effect"), *(getattr(tool, "tags", None) or ()))
    if "write" in words:
        yield "write"
    if "read" in words:
        yield "read"
    for hints in (metadata, metadata.get("annotations"), getattr(tool, "annotations", None)):
        read_only, destructive = _hint(hints, "readOnlyHint"), _hint(hints, "destructiveHint")
        if read_only is False or destructive is True:
            yield "write"
        elif read_only is True:
            yield "read"


def _hint(hints: Any, name: str) -> Any:
    if isinstance(hints, Mapping):
        return cast("Mapping[str, Any]", hints).get(name)
    return getattr(hints, name, None)
