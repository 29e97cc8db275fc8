"""What a sentence of a verdict tells the reader to type."""

from typing import Final

__all__ = ["NEW_WINDOW"]

NEW_WINDOW: Final = "(shadoweval evaluate --new-window --why ..., or evaluate(new_window=True))"
"""How a window is begun."""
