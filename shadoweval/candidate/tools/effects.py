"""What a tool does to the world: the experiment's word, else what the tool says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadoweval.capture.tools import said_effect
from shadoweval.records import Effect

__all__ = ["effect_of"]


def effect_of(tool: Any, *, declared: Mapping[str, Effect] | None = None) -> Effect:
    """The effect of a LangChain or MCP tool, or of any object with `name`, `metadata`, `tags` or `annotations`.

    `declared` (tool name -> effect) wins. Else what the tool says, see `said_effect`.
    """
    name = getattr(tool, "name", "")
    if declared and name in declared:
        return declared[name]
    return said_effect(
        getattr(tool, "metadata", None),
        tags=getattr(tool, "tags", None),
        annotations=getattr(tool, "annotations", None),
    )
