"""Copy a live call, and never hurt it."""

from typing import TYPE_CHECKING, Any

from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.overhead import overhead

if TYPE_CHECKING:
    from shadoweval.mirror.redaction.redactor import redact_secrets

__all__ = ["Mirror", "overhead", "redact_secrets"]


def __getattr__(name: str) -> Any:
    """Redaction comes in at first use: who redacts nothing pays nothing for its patterns."""
    if name != "redact_secrets":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shadoweval.mirror.redaction import redactor  # noqa: PLC0415 - see above

    return redactor.redact_secrets
