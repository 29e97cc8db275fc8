"""Loads what the pipelines need before a candidate's process is shut off from the world."""

from __future__ import annotations

from tqdm import tqdm

from pipelines import documentation_bm25, documentation_hybrid

__all__ = ["documentation"]


def documentation() -> None:
    """Build both assistants' chains, so that the first question of a process is no slower than the next."""
    tqdm.monitor_interval = 0  # The embedding model's progress bars would start a thread, and this process forks.
    for pipeline in (documentation_bm25, documentation_hybrid):
        pipeline.answer("How do I sort a list?")
