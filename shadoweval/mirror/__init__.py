"""Copy a live call, and never hurt it."""

from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.overhead import overhead
from shadoweval.mirror.redaction.redactor import Redactor, redact_secrets

__all__ = ["Mirror", "Redactor", "overhead", "redact_secrets"]
