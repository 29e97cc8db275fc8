"""Numbers as people say them."""

from __future__ import annotations

__all__ = ["number"]


def number(value: float | None, *, signed: bool = False) -> str:
    """Four significant digits; a dash where there is no value."""
    if value is None:
        return "–"
    value = value or 0.0  # no minus zero
    return f"{value:+.4g}" if signed and value else f"{value:.4g}"
