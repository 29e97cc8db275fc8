"""What vector stores, rankers and search engines return, read as hits: the thorough way, for shapes of any kind.

A result is a container (a response that holds its documents under a name, parallel columns, arrays of distances and
ids, a table), in it are documents, perhaps paired with a score, and in a document its parts lie on the document itself,
on what it wraps (`document`, `node`, `entity`, `_source`, ...) or in its metadata. A document whose identity can't be
told gets none, and says so (`records.keys.UNREADABLE`); nothing is guessed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, cast

from shadoweval.capture.document_parts import (
    ALL_IDS,
    ALL_METADATA,
    ALL_SCORES,
    ALL_TEXTS,
    ATOMS,
    COLUMNS,
    HOLDERS,
    INNER,
    LISTS,
    OWN_IDS,
    PLACES,
    first,
    first_of,
    identity_text,
    is_made_up,
    is_number,
    part,
)
from shadoweval.records.keys import UNREADABLE, text_identity

__all__ = ["ranked", "row_of"]

_TABLES: Final = (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",)))
_TEXT_CAP: Final = 65_536
_DEPTH: Final = 6
_PAIR: Final = 2
_LONGEST_ROW: Final = 4


def _is_array(value: Any) -> bool:
    return hasattr(value, "tolist") and hasattr(value, "dtype") and hasattr(value, "shape")


def ranked(documents: Any, depth: int = 0) -> Iterable[Any]:
    """The documents of whatever a retriever returned, in its order, scores paired with them where they stand apart."""
    if _is_array(documents):
        documents = documents.tolist()
    if documents is None or isinstance(documents, Iterator | AsyncIterator) or depth > _DEPTH:
        return ()  # a generator is its caller's to consume: it has no hits to show
    if isinstance(documents, str):
        return (documents,)
    if isinstance(documents, list | tuple) and not hasattr(documents, "_asdict"):
        return _in_order(cast("Sequence[Any]", documents), depth)
    for columns in (_parallel(documents), _table(documents), _columns(documents)):
        if columns is not None:
            return columns
    for name in (*LISTS, *HOLDERS):
        inner = part(documents, name)
        held = inner is not None and not isinstance(inner, ATOMS) and name in HOLDERS
        if held or _is_list(inner):
            return ranked(inner, depth + 1)
    return _rest(documents, depth)


def _in_order(rows: Sequence[Any], depth: int) -> Iterable[Any]:
    """The documents in a list or tuple: its members; those of the lists in it, one for each query of a batch."""
    sides = _parallel(rows)
    if sides is not None:
        return sides
    if isinstance(rows, tuple):
        lists = [each for each in rows if _is_list(each)]
        if len(lists) == 1:  # documents, and how many there are, or what else was found
            return ranked(lists[0], depth + 1)
        if _is_row(rows):
            return (rows,)
    if rows and all(_is_list(each) for each in rows):
        return list(chain.from_iterable(ranked(each, depth + 1) for each in rows))
    return rows


def _rest(documents: Any, depth: int) -> Iterable[Any]:
    """A mapping of one list by a name of the user's, any other collection of documents, or one document."""
    if isinstance(documents, Mapping):
        values = list(cast("Mapping[str, Any]", documents).values())
        if len(values) == 1 and _is_list(values[0]) and depth:  # GraphQL's {"Get": {"Article": [...]}}
            return ranked(values[0], depth + 1)
        return (cast("Any", documents),)
    collected = hasattr(type(documents), "__iter__") and hasattr(type(documents), "__len__")
    if collected and not hasattr(type(documents), "keys") and first(documents, (*ALL_IDS, *ALL_TEXTS)) is None:
        return list(cast("Iterable[Any]", documents))
    return (documents,)


def _table(documents: Any) -> list[Any] | None:
    """The rows of a data frame."""
    if hasattr(type(documents), "columns"):
        for name, arguments in _TABLES:
            rows = getattr(documents, name, None)
            if rows is not None:
                return cast("list[Any]", rows(*arguments))
    return None


def _is_list(value: Any) -> bool:
    """Whether it holds documents in order, as lists do; not a row of a database, which holds one's parts."""
    return _is_array(value) or (isinstance(value, list | tuple) and not _is_row(cast("Sequence[Any]", value)))


def _is_row(row: Sequence[Any]) -> bool:
    """(id, text, score), (text, score), (document, score), a database's: one document's parts, not a list of them."""
    if hasattr(row, "_asdict") or hasattr(row, "_mapping"):
        return True
    numbers = [is_number(type(each)) for each in row]
    if not 1 < len(row) <= _LONGEST_ROW or not any(numbers) or any(isinstance(each, list) for each in row):
        return False
    return not all(numbers) or (len(row) == _PAIR and type(row[0]) is not type(row[1]))


def _parallel(documents: Any) -> list[Any] | None:
    """Two arrays side by side, ids (or documents) and scores: FAISS's (D, I), hnswlib's, bm25s's, Annoy's."""
    if not isinstance(documents, tuple) or len(cast("tuple[Any, ...]", documents)) != _PAIR:
        return None
    sides = [_column(side) for side in cast("tuple[Any, Any]", documents)]
    if any(side is None or not side for side in sides) or len(sides[0] or ()) != len(sides[1] or ()):
        return None
    first, second = (cast("list[Any]", side) for side in sides)
    if all(isinstance(each, float) for each in first) and not all(isinstance(each, float) for each in second):
        first, second = second, first
    if not all(isinstance(each, float) for each in second):
        return None
    return [pair for pair in zip(first, second, strict=True) if pair[0] != -1]  # FAISS: there was no more


def _column(side: Any) -> list[Any] | None:
    values = side.tolist() if _is_array(side) else side
    if isinstance(values, list) and len(cast("list[Any]", values)) == 1 and isinstance(values[0], list):
        values = values[0]
    return cast("list[Any]", values) if isinstance(values, list) else None


def _columns(documents: Any) -> list[dict[str, Any]] | None:
    """Chroma's answer: lists of ids, documents, metadatas and distances side by side, for one query or for several."""
    ids = _column(part(documents, "ids"))
    if ids is None or any(isinstance(each, list) for each in ids):
        return None
    columns = {name: _column(part(documents, name)) for name in COLUMNS}
    whole = {name: column for name, column in columns.items() if column is not None and len(column) == len(ids)}
    names = {"ids": "id", "documents": "text", "metadatas": "metadata", "distances": "distance"}
    return [{names[name]: column[at] for name, column in whole.items()} for at in range(len(ids))]


def row_of(document: Any, rank: int, hit_id: Callable[[Any], Any] | None) -> tuple[str, int, float | None, str | None]:
    """The row of one document, in the order of Hit's fields."""
    document, identity, score = _unpaired(document)
    places, metadata = _places(document)
    text = _text(document, places)
    everywhere = [*places, *metadata]
    if hit_id is not None:
        identity = hit_id(document)
    elif identity is None:
        identity = _identity(document, everywhere)
        if identity is None:
            text = text if text is not None else _text(None, metadata)
            identity = None if text is None else text_identity(text)
    score = _number(first_of(everywhere, ALL_SCORES)) if score is None else score
    known = f"{UNREADABLE}{type(document).__qualname__}" if identity is None else identity_text(identity)
    return known, rank, score, None if text is None else text[:_TEXT_CAP]


def _unpaired(document: Any) -> tuple[Any, Any, float | None]:
    """Document, identity and score of a pair or a row of a database; of anything else itself."""
    columns = _by_column(document)
    if columns is not None:
        return _flattened(columns), None, None
    if not isinstance(document, tuple | list):
        return document, None, None
    parts = list(cast("Sequence[Any]", document))
    numbers = [each for each in parts if is_number(type(each))]
    others = [each for each in parts if not is_number(type(each))]
    if not 1 < len(parts) <= _LONGEST_ROW or not numbers:
        return document, None, None
    if not others:  # (17, 0.8): an id and how alike it is
        first, score = parts[:_PAIR]
        return (None, first, _number(score)) if len(parts) == _PAIR else (document, None, None)
    identity = parts[0] if len(numbers) > 1 and isinstance(parts[0], int) else None
    if len(others) == _PAIR and all(isinstance(each, str) for each in others):  # ("d-1", "the text", 0.8)
        identity, others = others[0], others[1:]
    score = _number(numbers[-1])
    return (others[0], identity, score) if len(others) == 1 else (document, None, None)


def _by_column(document: Any) -> Mapping[str, Any] | None:
    """A row of SQLAlchemy, or a named tuple."""
    if hasattr(document, "_mapping"):
        return cast("Mapping[str, Any]", document._mapping)  # noqa: SLF001 - public, as its documentation says, in spite of its name
    return cast("Mapping[str, Any]", document._asdict()) if hasattr(document, "_asdict") else None


def _flattened(named: Mapping[str, Any]) -> Any:
    """A row of a database by its columns; one that selected an object and a number is that object with a score."""
    columns = dict(named)
    objects = [value for value in columns.values() if not isinstance(value, ATOMS) and not is_number(type(value))]
    if len(objects) == 1 and first(columns, ALL_IDS) is None and first(objects[0], (*ALL_IDS, *ALL_TEXTS)) is not None:
        scores = [value for value in columns.values() if is_number(type(value))]
        return {"document": objects[0], "score": scores[0] if scores else None}
    return columns


def _places(document: Any) -> tuple[list[Any], list[Any]]:
    """Where a document's parts may lie: itself and what it wraps; and the metadata of these."""
    if document is None or isinstance(document, ATOMS):
        return [], []
    wrapped = [part(document, name) for name in INNER]
    places = [document, *(each for each in wrapped if not isinstance(each, ATOMS) and not _is_list(each))]
    metadata = [part(place, name) for place in places for name in ALL_METADATA]
    return places, [each for each in metadata if not isinstance(each, ATOMS)]


def _identity(document: Any, places: Sequence[Any]) -> Any:
    """The application's own id before one that a store has made up (a UUID, a number), then where it comes from."""
    if hasattr(document, "dtype") and hasattr(document, "item") and not hasattr(document, "__len__"):
        document = document.item()
    if isinstance(document, int) and not isinstance(document, bool):
        return document
    named = first_of(places, ALL_IDS)
    if named is None or is_made_up(named):
        own = (first(place, OWN_IDS) for place in places[1:])
        named = next((each for each in own if isinstance(each, str) and not is_made_up(each)), named)
    if named is None:
        named = first_of(places, PLACES)
    return named


def _number(score: Any) -> float | None:
    try:
        return None if score is None or isinstance(score, bool) else float(score)
    except (TypeError, ValueError):
        return None


def _text(document: Any, places: Sequence[Any]) -> str | None:
    if isinstance(document, str):
        return document
    for place in places:
        found = first(place, ALL_TEXTS)
        if isinstance(found, Mapping):  # {"content": {"text": ...}}
            found = first(cast("Any", found), ALL_TEXTS)
        if isinstance(found, list):  # parts of a content
            texts = [first(each, ALL_TEXTS) for each in cast("list[Any]", found)]
            found = "".join(text for text in texts if isinstance(text, str)) or None
        if found is not None and isinstance(found, ATOMS):
            return str(found)
    return None
