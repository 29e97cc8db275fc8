"""The candidate of the third example: it can't cancel anything, and asks customers to do so themselves."""

from __future__ import annotations

from typing import Final

from pipelines.orders import PROMPT, TOOLS, conversation

__all__ = ["answer"]

_PROMPT: Final = f"{PROMPT} You can't cancel orders: say that customers do so in their account."


def answer(question: str) -> str:
    """Answer one question of a customer."""
    return conversation(question, prompt=_PROMPT, tools=TOOLS[:1])
