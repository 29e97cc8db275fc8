"""Copy a live call, and never hurt it."""

from shadoweval.buckets import bucket
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.overhead import overhead
from shadoweval.mirror.redaction.redactor import Redactor, redact_secrets

__all__ = ["Mirror", "Redactor", "bucket", "overhead", "redact_secrets"]
