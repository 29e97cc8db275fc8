"""From whatever a retriever returns to hits: identity, score and text of each document.

Document identity is not standard. The user's `hit_id` says what it is; else it is looked for under the names in
`document_parts`, where an application's own id in the metadata comes before one that a store has made up. A document
with a text alone is known by its text; one whose identity can't be told says so, and is not scored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from shadoweval.capture.document_parts import (
    ALL_IDS,
    ALL_METADATA,
    ALL_SCORES,
    ALL_TEXTS,
    IDS,
    INNER,
    METADATA,
    OWN_IDS,
    PLACES,
    SCORES,
    TEXTS,
    HitId,
    identity_text,
    is_made_up,
    is_number,
)
from shadoweval.capture.wire.rows import HitRow
from shadoweval.codec import as_text

__all__ = ["hit_rows", "recorded_rows", "writable"]

_Row = tuple[str | None, float | None, str | None]

_METADATA_IDS: Final = (*OWN_IDS, *ALL_IDS, *PLACES)
_UNUSUAL: Final = frozenset((*ALL_IDS, *PLACES, *ALL_SCORES)) - {"source"}
"""What metadata may have besides `source` that matters."""
_OWN: Final = frozenset(OWN_IDS)
_NAMES: Final = frozenset((*IDS, *SCORES, *TEXTS, *METADATA))
_OTHERS: Final = frozenset((*ALL_IDS, *ALL_SCORES, *ALL_TEXTS, *ALL_METADATA, *PLACES, *INNER)) - _NAMES
_TEXT_CAP: Final = 65_536
_MOST_TYPES: Final = 1_000


def recorded_rows(documents: Any) -> Sequence[Any]:
    """Rows of hits as a recorder holds them (`capture.wire.rows.joined_hits` reads them): quick ones, or `hit_rows`."""
    if type(documents) is list:
        try:
            rows = _quick_rows(documents)
            if rows is not None:
                return rows
        except Exception:  # noqa: BLE001, S110 - whatever a document's class raises: `hit_rows` meets it again, or knows better
            pass
    return hit_rows(documents)


def _quick_rows(documents: list[Any]) -> list[_Row] | None:  # noqa: C901, PLR0911, PLR0912 - the request path: each function more is paid for once a document
    """Identity, score and text of documents of the common kinds; None: `hit_rows` must have a look.

    Common are lists of texts, dictionaries, dataclasses and pydantic models, or of pairs of one of these and a score.
    The rows say what those of `hit_rows` do, without ranks; where the identity is the text's it is None.
    """
    rows: list[_Row] = []
    for document in documents:
        kind, score = type(document), None
        if kind is tuple:
            if len(document) != 2:
                return None
            document, score = document  # noqa: PLW2901 - a pair's first is the document
            if type(score) is not float:
                if not is_number(type(score)):
                    return None
                score = float(score)
            kind = type(document)
        if kind is str:
            identity, text = None, document
        else:
            read = _readers[kind] if kind in _readers else _learnt(kind)
            if read is None:
                return None
            text, identity, own_score, metadata = read(document)
            if score is None:
                score = own_score
            if metadata:
                if type(metadata) is not dict:
                    return None
                if not _UNUSUAL.isdisjoint(metadata):
                    identity = _identity_in(metadata, identity, scored=score is not None)
                    if identity is None:
                        return None
                elif identity is None:
                    identity = metadata.get("source")
            if identity is not None and type(identity) is not str:
                identity = identity_text(identity)
            if score is not None and type(score) is not float:
                return None
        if (type(text) is not str or len(text) > _TEXT_CAP) and (text is not None or identity is None):
            return None
        rows.append((identity, score, text))
    return rows


def _identity_in(metadata: dict[str, Any], identity: Any, *, scored: bool) -> Any:
    """The document's identity, its own or that in its metadata; None: `hit_rows` must have a look."""
    if not scored and not metadata.keys().isdisjoint(ALL_SCORES):
        return None
    if not _OWN.isdisjoint(metadata) and is_made_up(identity):  # the application's own comes before
        return None
    if identity is not None:
        return identity
    return next((found for name in _METADATA_IDS if (found := metadata.get(name)) is not None), None)


def _parts_of_dict(fields: dict[str, Any]) -> _Parts | tuple[()]:
    """Text, identity, score and metadata: the first of their names that is not None. A loop would cost twice that."""
    get = fields.get
    text = get("page_content")
    if text is None:
        text = get("text")
        if text is None:
            text = get("content")
    identity = get("id")
    if identity is None:
        identity = get("_id")
        if identity is None:
            identity = get("doc_id")
    score = get("score")
    if score is None:
        score = get("relevance_score")
        if score is None:
            score = get("_score")
    if (identity is None or text is None or score is None) and not _OTHERS.isdisjoint(fields):
        return ()  # can't be unpacked: `hit_rows` has a look
    return text, identity, score, get("metadata") or get("payload")


_Parts = tuple[Any, Any, Any, Any]
_readers: Final[dict[type, Callable[[Any], Any] | None]] = {dict: _parts_of_dict}
"""Type of document -> what gives its text, identity, score and metadata; None: `hit_rows` must have a look."""


def _learnt(kind: type) -> Callable[[Any], Any] | None:
    """The reader of a type that was not met before."""
    if len(_readers) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
        _readers.clear()
        _readers[dict] = _parts_of_dict
    _readers[kind] = reader = _reader(kind)
    return reader


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    """Reads the fields of a dataclass or pydantic model from its `__dict__`, where that says what `getattr` would give.

    Not with slots, extra fields, or anything that answers for a name instead. To ask a pydantic model for a field that
    it has not costs ten times as much as to ask its `__dict__`.
    """
    fields: Any = getattr(kind, "model_fields", None)
    if not fields and hasattr(kind, "__dataclass_fields__"):
        fields = {field.name: field for field in dataclasses.fields(kind)}  # without class variables
    answering = next((base for base in kind.__mro__ if "__getattr__" in base.__dict__), None)
    if (
        not isinstance(fields, dict)
        or issubclass(kind, Mapping)  # its items are asked, not its fields
        or kind.__getattribute__ is not object.__getattribute__
        or not kind.__dictoffset__
        or (answering is not None and answering.__module__ != "pydantic.main")
        or getattr(kind, "model_config", {}).get("extra") == "allow"
        or not _NAMES.isdisjoint(getattr(kind, "__private_attributes__", ()))
        or not _OTHERS.isdisjoint(fields)
    ):
        return None
    # A property or method of that name is no field; a dataclass's default is what its instances have anyway.
    if any(name not in fields or hasattr(type(getattr(kind, name)), "__get__") for name in _NAMES & set(dir(kind))):
        return None
    names = [[name for name in role if name in fields] for role in (TEXTS, IDS, SCORES, METADATA)]
    if max(map(len, names)) > 1:  # the first that is not None
        parts = "parts_of_dict(fields)"
    else:
        parts = "(" + ", ".join(f"fields[{role[0]!r}]" if role else "None" for role in names) + ")"
    # Only the fields that the type has, and no loop. An instance with attributes of its own, or without some field,
    # gives what can't be unpacked, or raises: `hit_rows` has a look.
    source = f"lambda document: {parts} if len(fields := document.__dict__) == {len(fields)} else ()"
    return eval(source, {"parts_of_dict": _parts_of_dict, "len": len})  # noqa: S307 - names of fields only


def hit_rows(documents: Any, hit_id: HitId | None = None) -> list[HitRow]:
    """Rows in the order of Hit's fields, ranks from 1.

    Args:
        documents: Documents in ranked order (texts, mappings, objects, rows, pairs with a score), or what holds them.
        hit_id: Identity of one document.
    """
    from shadoweval.capture.document_shapes import ranked, row_of  # noqa: PLC0415 - most documents are of common kinds

    return [row_of(document, rank, hit_id) for rank, document in enumerate(ranked(documents), 1)]


def writable(rows: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows whose texts can be encoded."""
    return [tuple(as_text(part) if isinstance(part, str) else part for part in row) for row in rows]
