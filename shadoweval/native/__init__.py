"""Compiled counterparts of the request path's inner loops, where they were built (Linux, CPython, a C compiler).

They decide nothing: each has its Python, which runs everywhere, says what it means, and takes over for whatever is not
of the commonest kind. `SHADOWEVAL_PURE=1` leaves them alone. See docs/decisions/0007-compiled-request-path.md.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final

__all__ = ["COMPILED", "part"]

_PARTS: Final = ("buffer", "pack", "notes", "sites", "ring", "calls")


def _loaded() -> dict[str, Any]:
    """All of them, or none: they know each other's layout."""
    undivided = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
    if not undivided or os.environ.get("SHADOWEVAL_PURE"):
        return {}
    try:
        return {name: importlib.import_module(f"{__name__}.{name}") for name in _PARTS}
    except ImportError:  # not built, or not for this interpreter (a subinterpreter has none)
        return {}


_found: Final = _loaded()
COMPILED: Final = bool(_found)
"""Whether they are used in this process."""


def part(name: str) -> Any:
    """One of them; None where none were built."""
    return _found.get(name)
