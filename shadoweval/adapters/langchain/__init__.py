"""LangChain and LangGraph: `mirrored(runnable, mirror)`, and `ShadowMiddleware(mirror)` for agents.

Modules by side: `recorder_*` writes down what LangChain does in a recording, `mirror_*` makes queries of runs,
`candidate_*` answers for tools, memory and caches in a shadow. Names are looked up at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shadoweval.adapters.langchain.mirror_middleware import ShadowMiddleware
    from shadoweval.adapters.langchain.mirror_runnable import mirrored

__all__ = ["ShadowMiddleware", "mirrored"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Whoever wraps a runnable has langchain_core; a middleware needs langchain, which not everybody has.
    module = "mirror_runnable" if name == "mirrored" else "mirror_middleware"
    return getattr(import_module(f"{__name__}.{module}"), name)
