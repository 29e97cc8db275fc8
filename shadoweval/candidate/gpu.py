"""How much GPU memory a run held, where its pipeline uses PyTorch on a GPU. Nothing is imported for it."""

from __future__ import annotations

from contextlib import suppress
from sys import modules
from typing import Any

__all__ = ["begin", "peak"]


def _used() -> Any:
    """`torch.cuda` where this process has used it; to ask for more would begin to use it."""
    cuda = getattr(modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_initialized() else None


def begin() -> None:
    """A run begins: peaks count from here."""
    with suppress(Exception):  # whatever a driver makes of it costs a number, and no run
        cuda = _used()
        for device in range(cuda.device_count() if cuda else 0):
            cuda.reset_peak_memory_stats(device)


def peak() -> int | None:
    """Bytes that PyTorch held at most since then, on all GPUs together; None: it uses none."""
    with suppress(Exception):
        cuda = _used()
        return sum(cuda.max_memory_allocated(device) for device in range(cuda.device_count())) if cuda else None
    return None
