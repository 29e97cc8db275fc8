"""Import an optional dependency at first use, or say which extra brings it."""

from __future__ import annotations

import importlib
from types import ModuleType

from shadoweval.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str, needed_for: str) -> ModuleType:
    """Import and return `module`.

    Raises:
        MissingExtraError: `module` itself is not installed. An ImportError from inside it passes unchanged.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.split(".", maxsplit=1)[0] == error.name.split(".")[0]:
            raise MissingExtraError(module, extra=extra, needed_for=needed_for) from error
        raise
