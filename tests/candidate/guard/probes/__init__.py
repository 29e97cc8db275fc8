"""Ways to change the world from inside a candidate. Each is first shown to work, then refused."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODULES = ("network", "libraries", "files", "inherited", "processes", "kernel")
_PACKAGES = (
    "aiohttp", "confluent_kafka", "duckdb", "grpc", "pandas", "polars", "pyarrow", "pycurl", "qdrant_client", "redis",
    "requests", "uvloop",
)  # fmt: skip
MISSING = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
"""Packages that the probes of `packages` reach out by and that are not installed: the extra `bench` brings them."""


@dataclass(frozen=True)
class Probe:
    """An act, what has to be there before the guard begins, and the kinds of refusal that may name it."""

    act: Callable[[Any], Any]
    kinds: tuple[str, ...]
    before: Callable[[Any], Any] | None = None


PROBES: dict[str, Probe] = {}


def probe(
    *kinds: str, before: Callable[[Any], Any] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function under its name."""

    def register(act: Callable[..., Any]) -> Callable[..., Any]:
        assert act.__name__ not in PROBES, act.__name__
        PROBES[act.__name__] = Probe(act, kinds, before)
        return act

    return register


def load() -> dict[str, Probe]:
    """All probes; those of `packages` where the extra `bench` is installed."""
    for name in MODULES if MISSING else (*MODULES, "packages"):
        importlib.import_module(f"{__name__}.{name}")
    return PROBES


def native(name: str, *arguments: Any) -> int:
    """Call the C library past Python; OSError if it answers below zero."""
    library = ctypes.CDLL(None, use_errno=True)
    result = getattr(library, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def tell(world: types.SimpleNamespace) -> None:
    """Say to the outside that the kernel let it happen, where the effect itself leaves no trace there."""
    os.write(world.witness, b"!")
