"""The parts of a document: under which names they stand, the surest first, and how they are asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from shadoweval.checks import checked_function
from shadoweval.errors import ArgumentError
from shadoweval.records.keys import UNREADABLE

__all__ = [
    "ALL_IDS",
    "ALL_METADATA",
    "ALL_SCORES",
    "ALL_TEXTS",
    "ATOMS",
    "COLUMNS",
    "HOLDERS",
    "IDS",
    "INNER",
    "LISTS",
    "METADATA",
    "OWN_IDS",
    "PLACES",
    "SCORES",
    "TEXTS",
    "HitId",
    "checked_hit_id",
    "chosen_by",
    "first",
    "first_of",
    "identity_text",
    "is_made_up",
    "is_number",
    "part",
]

IDS: Final = ("id", "_id", "doc_id")
SCORES: Final = ("score", "relevance_score", "_score")
TEXTS: Final = ("page_content", "text", "content")
METADATA: Final = ("metadata", "payload")

ALL_IDS: Final = (
    *(
        *IDS,
        "document_id",
        "documentId",
        "DocumentId",
        "docid",
        "docId",
        "chunk_id",
        "chunkId",
        "passage_id",
        "node_id",
    ),
    *("id_", "Id", "uuid", "pk", "pid", "corpus_id", "file_id", "external_id", "key", "x-amz-bedrock-kb-chunk-id"),
)
OWN_IDS: Final = tuple(name for name in ALL_IDS if name not in {"_id", "key"})
"""Names under which an application keeps its own id in the metadata of a store that gives ids of its own."""
PLACES: Final = (
    *("source", "url", "uri", "link", "href", "path", "file_path", "filepath", "filename", "file_name", "file"),
    *("x-amz-bedrock-kb-source-uri", "source_id"),
)
ALL_SCORES: Final = (
    *(*SCORES, "similarity", "similarity_score", "distance", "_distance", "cosine_distance", "vector_distance"),
    *(
        "vector_score",
        "@search.score",
        "@search.reranker_score",
        "rerank_score",
        "relevance",
        "certainty",
        "text_match",
    ),
    *("_relevance_score", "rank_score", "rrf_score", "$vectorscore"),
)
ALL_TEXTS: Final = (
    *(*TEXTS, "chunk", "chunk_text", "body", "snippet", "passage", "document", "contents", "abstract", "raw_content"),
    *("DocumentExcerpt", "Content", "answer", "description"),
)
INNER: Final = ("document", "node", "entity", "_source", "fields", "properties", "object", "chunk", "doc", "item")
"""What a hit wraps its document in."""
ALL_METADATA: Final = (*METADATA, "meta", "meta_data", "_metadata", "properties", "extra_info", "_additional")
LISTS: Final = (
    *(
        "points",
        "documents",
        "hits",
        "nodes",
        "matches",
        "results",
        "objects",
        "docs",
        "source_nodes",
        "source_documents",
    ),
    *("retrievalResults", "ResultItems", "children", "organic_results", "items", "value", "passages", "search_results"),
    *("chunks", "records", "rows", "data", "result", "context", "contexts"),
)
HOLDERS: Final = ("hits", "data", "result", "root", "web", "webPages", "response", "body", "retrieval", "Get")
"""What a response wraps its list in."""
COLUMNS: Final = ("ids", "documents", "metadatas", "distances")
HitId = Callable[[Any], Any]
"""Gives what a document is known by."""
ATOMS: Final = (str, int, float, bool, bytes, type(None))
_HASHES: Final = frozenset({32, 64})
"""Hexadecimal digits of a UUID, and of the hash that some frameworks give as an id."""


@functools.lru_cache
def is_number(kind: type) -> bool:
    """Whether it can be a score. Numpy's numbers are none of Python's, but say what float they are; arrays do too."""
    return issubclass(kind, int | float) or (hasattr(kind, "__float__") and not hasattr(kind, "__len__"))


def part(value: Any, name: str) -> Any:
    """An item of a mapping (or of what has keys as one has), else an attribute that is no method; None: it has none."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(name)
    if isinstance(value, ATOMS):
        return None
    inner = getattr(value, name, None)
    if inner is None and hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):  # sqlite3.Row and others
        return value[name] if name in value.keys() else None  # noqa: SIM118 - `in` asks a row for its values
    return None if inspect.isroutine(inner) else inner


def first(value: Any, names: Iterable[str]) -> Any:
    """The first part of it that is not None."""
    if value is None:
        return None
    return next((found for name in names if (found := part(value, name)) is not None), None)


def first_of(places: Iterable[Any], names: Sequence[str]) -> Any:
    """The first part that any of the places has under any of the names."""
    return next((found for place in places if (found := first(place, names)) is not None), None)


def checked_hit_id(what: str, hit_id: Any) -> HitId | None:
    """What a user gave as `hit_id`; raises ArgumentError for what is neither a function nor a path."""
    if isinstance(hit_id, str) and not hit_id.strip(".").strip():
        raise ArgumentError(what, hit_id, expected="a path", mend="Write for instance hit_id='metadata.doc_id'.")
    if not isinstance(hit_id, str):
        checked_function(what, hit_id)
    return None if hit_id is None else chosen_by(hit_id)


def chosen_by(hit_id: HitId | str) -> HitId:
    """The user's way to a document's identity: a function, or the path to it, such as `metadata.doc_id`."""
    if not isinstance(hit_id, str):
        return hit_id
    names = hit_id.split(".")
    return lambda document: functools.reduce(part, names, document)


def identity_text(identity: Any) -> str:
    """An identity as a text, whatever its class makes of it."""
    try:
        return str(identity)
    except Exception:  # noqa: BLE001 - a document without a name is recorded all the same
        return f"{UNREADABLE}{type(identity).__qualname__}"


def is_made_up(identity: Any) -> bool:
    """Whether it is a number, a UUID or a hash, as stores give them where nobody gave one."""
    if identity is None:
        return False
    if isinstance(identity, int) and not isinstance(identity, bool):
        return True
    digits = identity_text(identity).replace("-", "")
    return len(digits) in _HASHES and all(digit in "0123456789abcdefABCDEF" for digit in digits)
