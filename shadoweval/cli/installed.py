"""Which extras are installed, by what the package itself says it needs, and whether versions are new enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from typing import Final, NamedTuple

__all__ = ["Extra", "extras"]

_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+)(\[[^\]]*\])?\s*(?P<spec>[^;]*?)\s*(;(?P<marker>.*))?$")
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"](?P<extra>[\w.-]+)['\"]")
_BOUND: Final = re.compile(r"(?P<sign>>=|<=|<|>|==)\s*(?P<version>[\w.]+)")
_OURS: Final = frozenset({"all", "demo", "dev", "bench"})
"""Extras of extras, and those of this repository."""


class Extra(NamedTuple):
    """One extra, or the package alone (name `""`)."""

    name: str
    absent: tuple[str, ...]
    """Packages that are not installed."""
    unfit: tuple[str, ...]
    """Packages of a version that does not fit, in words."""
    there: int
    """How many are installed."""


def extras(package: str = "shadoweval") -> list[Extra]:
    """The package's own needs, then each extra's; empty where it was not installed but only put on the path."""
    try:
        needs = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    by_extra: dict[str, list[tuple[str, str]]] = {"": []}
    for extra, name, spec in _parsed(needs):
        if extra not in _OURS:
            by_extra.setdefault(extra, []).append((name, spec))
    return [_looked_at(extra, wanted) for extra, wanted in by_extra.items()]


def _parsed(needs: list[str]) -> Iterator[tuple[str, str, str]]:
    """Extra, package and versions of each requirement."""
    for need in needs:
        match = _REQUIREMENT.match(need)
        if match is not None:
            extra = _EXTRA.search(match["marker"] or "")
            yield extra["extra"] if extra else "", match["name"], match["spec"]


def _looked_at(extra: str, wanted: list[tuple[str, str]]) -> Extra:
    absent: list[str] = []
    unfit: list[str] = []
    for name, spec in wanted:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if not _fits(version, spec):
            unfit.append(f"{name} {version} (needs {spec})")
    return Extra(extra, tuple(absent), tuple(unfit), len(wanted) - len(absent))


def _fits(version: str, spec: str) -> bool:
    has = _numbers(version)
    for bound in _BOUND.finditer(spec):
        wanted = _numbers(bound["version"])
        order = (has > wanted) - (has < wanted)
        if not {">=": order >= 0, "<=": order <= 0, "<": order < 0, ">": order > 0, "==": order == 0}[bound["sign"]]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """The release's numbers, without zeros at the end: 2.0.45 -> (2, 0, 45)."""
    release = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in release[0].split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
