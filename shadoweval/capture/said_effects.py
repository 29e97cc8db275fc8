"""The effect of a tool, as what a library knows of it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from shadoweval.records import Effect

__all__ = ["said_effect"]

_CAPITAL: Final = re.compile("[A-Z]")


def said_effect(metadata: Any, *, tags: Iterable[str] | None = None, annotations: Any = None) -> Effect:
    """The effect that `metadata["effect"]`, the tags `read` and `write`, and MCP's hints tell.

    MCP's `readOnlyHint` and `destructiveHint` (Model Context Protocol 2025-06-18, ToolAnnotations) are looked for in
    `annotations`, in `metadata["annotations"]` and in `metadata` itself. Who says both is a write; who says nothing is
    unknown, which counts as a write.
    """
    facts = cast("Mapping[str, Any]", metadata) if isinstance(metadata, Mapping) else {}
    said = set(_said(facts, tags or (), annotations))
    if "write" in said:
        return "write"
    return "read" if "read" in said else "unknown"


def _said(metadata: Mapping[str, Any], tags: Iterable[str], annotations: Any) -> Iterator[Effect]:
    words = (metadata.get("effect"), *tags)
    if "write" in words:
        yield "write"
    if "read" in words:
        yield "read"
    for hints in (metadata, metadata.get("annotations"), annotations):
        read_only, destructive = _hint(hints, "readOnlyHint"), _hint(hints, "destructiveHint")
        if read_only is False or destructive is True:
            yield "write"
        elif read_only is True:
            yield "read"


def _hint(hints: Any, name: str) -> Any:
    """A hint by its name in the protocol, or as attributes of the SDK's version 2 are named."""
    for spelling in (name, _CAPITAL.sub(lambda letter: f"_{letter[0].lower()}", name)):
        value = (
            cast("Mapping[str, Any]", hints).get(spelling)
            if isinstance(hints, Mapping)
            else getattr(hints, spelling, None)
        )
        if value is not None:
            return value
    return None
