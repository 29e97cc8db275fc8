"""Loads what a pipeline needs before its process is shut off from the world."""

from __future__ import annotations

import sys

from tqdm import tqdm

__all__ = ["documentation"]

_ASSISTANTS = ("pipelines.documentation_bm25", "pipelines.documentation_hybrid")


def documentation() -> None:
    """Build the chain of the assistant that runs here, so that its first question is no slower than the next."""
    tqdm.monitor_interval = 0  # The embedding model's progress bars would start a thread, and this process forks.
    for assistant in _ASSISTANTS:
        if (pipeline := sys.modules.get(assistant)) is not None:  # a target is imported before it is warmed up
            pipeline.answer("How do I sort a list?")
