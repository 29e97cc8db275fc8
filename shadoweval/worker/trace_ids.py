"""Ids of the trace and of the span of an arm's run, known before and after it is exported."""

from __future__ import annotations

import hashlib
import random

__all__ = ["RunIds", "root_ids"]


def root_ids(experiment: str, query_id: str, arm: str) -> tuple[int, int]:
    """Ids of the trace and of the span of an arm's run, so that what is said of the run later can name them."""
    digest = hashlib.sha256(f"{experiment}\0{query_id}\0{arm}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


class RunIds:
    """An OpenTelemetry `IdGenerator` whose next span has the ids that it was told; those of all others are random."""

    def __init__(self) -> None:
        self.told: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        """Of the run, or a random one."""
        return self.told[0] if self.told else random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        """Of the run, or a random one; only one span is told."""
        told, self.told = self.told, None
        return told[1] if told else random.getrandbits(64) or 1

    def is_trace_id_random(self) -> bool:
        """A hash is as good as random."""
        return True
