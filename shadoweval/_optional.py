"""Import an optional dependency at first use, or say which extra brings it."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from shadoweval.errors import MissingExtraError

__all__ = ["missing_extra", "require"]

_OF_STORE: Final = frozenset(
    [
        *("alembic", "jinja2", "jsonschema", "markupsafe", "numpy"),
        *("py3langid", "referencing", "scipy", "sqlalchemy", "sqlmodel"),
    ]
)
"""What worker, evaluation and report import by name, in dozens of modules: the extra `store`."""


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


def missing_extra(error: ModuleNotFoundError, *, needed_for: str) -> MissingExtraError | None:
    """The sentence for an import that failed since the extra `store` is not installed; None: it is another module."""
    module = (error.name or "").split(".", maxsplit=1)[0]
    return MissingExtraError(module, extra="store", needed_for=needed_for) if module in _OF_STORE else None
