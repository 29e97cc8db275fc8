"""A document's identity, score and text, whatever a retriever returns."""

import dataclasses
import hashlib
from collections import UserDict
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from qdrant_client.models import ScoredPoint

from shadoweval.capture import documents as documents_module
from shadoweval.capture.documents import hit_rows, recorded_rows
from shadoweval.capture.wire.rows import joined_hits

SHA = "sha256:" + hashlib.sha256(b"the text").hexdigest()


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


@dataclasses.dataclass
class Passage:
    id: str | int | None = "a"
    text: str | None = "the text"
    score: float | None = None


@dataclasses.dataclass(slots=True)
class Slotted:
    id: str = "a"
    text: str = "the text"


@dataclasses.dataclass
class WithProperty:
    text: str = "the text"

    @property
    def id(self) -> str:
        return "worked out"


class Model(BaseModel):
    doc_id: str = "a"
    content: str = "the text"
    relevance_score: float = 0.5


class Private(BaseModel):
    text: str = "the text"
    _id: str = "hidden"


class Open(BaseModel, extra="allow"):
    text: str = "the text"


class Answering(BaseModel):
    text: str = "the text"

    def __getattr__(self, name: str) -> Any:
        return "answered" if name == "id" else super().__getattr__(name)  # type: ignore[misc]


class Both(BaseModel):
    id: str | None = None
    doc_id: str = "second"
    text: str = "the text"


class Vector(list[float]):
    """A list of its own kind."""


DOCUMENTS: list[Any] = [
    "the text",
    "x" * 70_000,
    "half an emoji \ud83d",
    {"id": "a", "text": "the text"},
    {"id": 7, "text": "the text", "score": 1},
    {"id": "a", "text": "the text", "score": 0.5, "metadata": {"score": 0.25}},
    {"text": "the text", "metadata": {"source": "s", "score": 0.25}},
    {"text": "the text", "metadata": {"_id": None, "id": "i", "source": "s"}},
    {"page_content": None, "content": "the text", "payload": {"doc_id": 3}},
    {"text": 5, "id": "a"},
    {"text": "the text", "score": "0.5"},
    {"text": "the text", "metadata": SimpleNamespace(source="s")},
    {"other": 1},
    {},
    Document("the text"),
    Document("the text", id="a", metadata={"source": "s"}),
    Document("the text", metadata={"title": "t", "source": "s", "relevance_score": 0.5}),
    Passage(),
    Passage(id=None),
    Passage(id=3, score=0.5),
    Passage(text=None),
    Slotted(),
    WithProperty(),
    Model(),
    Private(),
    Open.model_validate({"id": "extra"}),
    Answering(),
    Both(),
    Both(id="first"),
    ScoredPoint(id=3, version=1, score=0.5, payload={"text": "inside"}),
    SimpleNamespace(id="a", text="the text"),
    AIMessage("the text", id="a"),
]
PAIRS: list[Any] = [(document, score) for document in DOCUMENTS for score in (0.5, 1, np.float32(0.25), np.int64(2))]


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *PAIRS, (1, 2, 3), ("a", "b"), ("a", None), ("a", Vector([0.5]))], ids=repr
)
def test_the_quick_way_says_what_the_thorough_one_says(document: Any) -> None:
    """Whatever is known of a document's type, the record is the same; alone and among others."""
    for documents in ([document], ["before", document, document], [{"id": "x", "text": "t", "score": 0.5}, document]):
        expected = joined_hits([[(*row[:1], 0, *row[2:]) for row in hit_rows(documents)]] * 2, 10)
        assert joined_hits([recorded_rows(documents)] * 2, 10) == expected


def test_numpy_numbers_are_scores_and_arrays_are_not() -> None:
    """A pair of a document and numpy's float32 is one; two lists beside each other are none."""
    assert hit_rows([({"id": "a"}, np.float32(0.5))])[0][:3] == ("a", 1, 0.5)
    assert hit_rows([({"id": "a"}, np.zeros(1))])[0][0] != "a"


def test_types_that_come_and_go_are_not_kept() -> None:
    """Classes made at run time are forgotten again."""
    for number in range(2_500):
        made = dataclasses.make_dataclass(f"Made{number}", [("id", str), ("text", str)])
        assert recorded_rows([made("a", "t")]) == [("a", None, "t")]
    assert len(documents_module._readers) <= 1_001
    assert recorded_rows([{"id": "a", "text": "t"}]) == [("a", None, "t")]


@dataclasses.dataclass
class Bare:
    text: str


@dataclasses.dataclass
class Two:
    text: str | None = None
    content: ClassVar[str] = "of the class"


@dataclasses.dataclass
class Tagged:
    text: str
    tag: ClassVar[str] = "a tag"


@dataclasses.dataclass
class Items(UserDict[str, Any]):
    text: str = "a field"

    def __post_init__(self) -> None:
        super().__init__(text="an item")


def scored(document: Any) -> Any:
    object.__setattr__(document, "score", 0.5)
    return document


@pytest.mark.parametrize(
    "odd",
    [scored(Bare("b")), scored(Document(page_content="b")), Two(), scored(Two("b")), Items(), scored(Tagged("b"))],
)
def test_one_that_is_not_as_others_of_its_type_is_read_as_it_is(odd: Any) -> None:
    """Attributes set later, values of the class, items beside fields: what a type's plan does not say."""
    for documents in ([odd], [type(odd)("a") if type(odd) is not Document else Document(page_content="a"), odd]):
        assert joined_hits([recorded_rows(documents)], 9) == joined_hits([hit_rows(documents)], 9)
