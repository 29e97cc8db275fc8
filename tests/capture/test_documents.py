"""A document's identity, score and text, whatever a retriever returns."""

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from shadoweval.capture.documents import hit_rows

SHA = hashlib.sha256(b"the text").hexdigest()


def document(**parts: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"id": None, "metadata": {}, "page_content": "the text", **parts})


@pytest.mark.parametrize(
    ("found", "row"),
    [
        ("the text", (SHA, 1, None, "the text")),
        ({"id": "a", "text": "the text", "score": 0.5}, ("a", 1, 0.5, "the text")),
        ({"_id": 7, "content": "the text"}, ("7", 1, None, "the text")),
        ({"doc_id": "a", "score": 1}, ("a", 1, 1.0, None)),
        (document(id="a"), ("a", 1, None, "the text")),
        (document(metadata={"_id": "m", "source": "s"}), ("m", 1, None, "the text")),
        (document(metadata={"source": "s", "relevance_score": 0.25}), ("s", 1, 0.25, "the text")),
        (document(), (SHA, 1, None, "the text")),
        ((document(id="a"), 0.75), ("a", 1, 0.75, "the text")),
        (SimpleNamespace(id=3, score=0.5, payload={"text": "inside"}), ("3", 1, 0.5, None)),
    ],
)
def test_documents_of_every_shape(found: Any, row: tuple[Any, ...]) -> None:
    """Mappings, LangChain documents, pairs with scores, points, bare text."""
    assert hit_rows([found]) == [row]


def test_lists_under_a_common_name() -> None:
    """Qdrant's `points`, a response's `documents`."""
    assert [row[0] for row in hit_rows(SimpleNamespace(points=[{"id": "a"}, {"id": "b"}]))] == ["a", "b"]
    assert [row[:2] for row in hit_rows({"documents": ({"id": "a"}, {"id": "b"})})] == [("a", 1), ("b", 2)]
    assert hit_rows(None) == []


def test_the_users_own_identity_comes_first() -> None:
    """`doc_id=`."""
    assert hit_rows([{"id": "a", "url": "u"}], lambda found: found["url"])[0][0] == "u"


def test_long_texts_are_cut() -> None:
    """At 65,536 characters."""
    assert len(hit_rows([{"id": "a", "score": 0.5, "text": "x" * 100_000}])[0][3] or "") == 65_536
