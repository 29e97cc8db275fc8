"""What a judge is asked, and what it said: the words that scorers and judges share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

__all__ = ["Message", "Question", "Reply", "Spent", "key_of"]

_VERSION: Final = 1
"""Of how a reply is read: with another one, what was kept is asked anew."""


class Message(msgspec.Struct, frozen=True):
    """One message of a question."""

    role: Literal["system", "user"]
    content: str


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a judge. The reply is one JSON object that fits the schema, or there is none."""

    messages: tuple[Message, ...]
    schema: Mapping[str, Any]
    """JSON schema of the reply, with its ranges, lengths and choices; `reason`, where it has one, decides nothing."""
    name: str
    """Of what is asked, for the endpoint: letters, digits and `_`."""
    query_id: str
    """Whose answer is judged: with the query its replies are erased, and by it a judge short of money draws."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What calls of a judge took."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=self.usd + other.usd,
        )


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge said, read and checked."""

    content: Mapping[str, Any]
    usage: Spent
    """What it took now; of a kept reply nothing."""
    cached: bool
    """Whether all of it was said before."""
    chance: float = 1.0
    """With which the query was drawn to be judged."""
    agreement: float = 1.0
    """Share of the repeats that said the same, but for their `reason`; `content` is what most of them said."""


def key_of(asked_of: Mapping[str, Any], question: Question, *, index: int) -> str:
    """What a reply is kept under: whatever could change it is in the key.

    Args:
        asked_of: The judge: its model, endpoint and parameters.
        question: Its messages and its schema; not the query, for the same question has the same reply.
        index: Which repeat.
    """
    parts = [_VERSION, dict(asked_of), question.messages, question.name, dict(question.schema), index]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
