"""Short hashes by which queries and texts are known, and what is fixed about how records are written."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["TEXT_HASH", "UNREADABLE", "all_alike", "by_labelled_ids", "query_key", "short_hash", "text_identity"]

_BY_LABELLED_IDS: Final = frozenset(
    {
        *("recall", "precision", "hit_rate", "mrr", "ndcg", "average_precision", "bpref", "judged"),
        *("map", "r_precision", "context_precision", "span_recall", "span_precision", "span_iou"),
    }
)
TEXT_HASH: Final = "sha256:"
"""Begins the id of a hit that has a text and nothing else to be known by."""
UNREADABLE: Final = "unreadable:"
"""Begins the id of a hit whose identity could not be told; after it stands the type of the document."""
_LONGEST_NAME: Final = 128

CLASS: Final = "__class__"
"""Key under which an object that is read as data has the name of its class."""

MAX_BYTES: Final = 8 * 1024 * 1024
"""Default cap of one frozen value."""

SCHEMA: Final = 2
"""Of frames. 2: objects by their reduce protocol, what several places share, texts with half characters."""

_MANY: Final = 20


def as_text(text: str) -> str:
    """The text with `?` for lone surrogates, which no encoding has: half an emoji at the end of a model's tokens."""
    return text.encode("utf-8", "replace").decode()


def by_labelled_ids(metric: str) -> bool:
    """Whether a metric goes by the ids of documents which labels name."""
    return metric.partition("@")[0].partition("(")[0] in _BY_LABELLED_IDS


def query_key(text: str) -> str:
    """Hash of a text, by which labels find the queries that ask it: as it reads, but for spacing and normal form (NFC).

    Case counts: a pipeline may answer `US` and `us` differently.
    """
    normal = " ".join(text.split())
    if not normal.isascii():
        import unicodedata  # noqa: PLC0415 - the request path needs no key

        normal = unicodedata.normalize("NFC", normal)
    return short_hash(normal.encode("utf-8", "replace"))


def text_identity(text: str) -> str:
    """What a hit is known by that is a text alone: a name, such as `doc-17`, is itself; else the text's hash."""
    if 0 < len(text) <= _LONGEST_NAME and text.isascii() and not any(map(str.isspace, text)):
        return text
    return TEXT_HASH + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def short_hash(data: bytes) -> str:
    """The first 64 bits of the SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:16]


def all_alike(calls: int, *, queries: int, texts: int) -> str:
    """What is wrong where many calls count or read as one query; empty: nothing.

    Args:
        calls: How many.
        queries: How many different queries they are (`Query.key`, or the unit where there is one).
        texts: How many different texts they have.
    """
    if calls < _MANY:
        return ""
    if queries == 1:
        return (
            f"all {calls} calls are one query: their inputs, or what unit= or key= gives, are the same, so they count "
            "as one. Let mirror(inputs=...) give what was asked, or mirror(key=...) what tells queries apart."
        )
    if texts == 1:
        return (
            f"all {calls} calls read the same, so no label by text can tell them apart. "
            "Let mirror(text=...) give the question."
        )
    return ""
