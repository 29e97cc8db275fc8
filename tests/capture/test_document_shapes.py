"""What the common vector stores, rankers and search engines return, read as hits.

Where a library is not installed, small classes imitate what its answers have.
"""

import dataclasses
import sqlite3
import uuid
from collections import namedtuple
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from qdrant_client.http.models import QueryResponse, ScoredPoint
from sqlalchemy import create_engine, text

from shadoweval.capture.document_parts import chosen_by
from shadoweval.capture.documents import recorded_rows
from shadoweval.capture.recorder import Recorder, recording
from shadoweval.capture.steps import record_hits, retriever
from shadoweval.capture.wire.rows import joined_hits
from shadoweval.errors import ArgumentError
from shadoweval.records.keys import TEXT_HASH, UNREADABLE

U1, U2 = str(uuid.UUID(int=17 << 64)), str(uuid.UUID(int=18 << 64))
TEXTS = ("the first text", "the second text")


def ids(documents: Any) -> list[str]:
    return [hit[0] for hit in joined_hits([recorded_rows(documents)], 100)]


class Body:
    """Answers of Elasticsearch's client: a body behind an object that is no mapping."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.body, name)


class Hits(list[Any]):
    """A library's own list."""


class Node:
    def __init__(self, node_id: str, text: str) -> None:
        self.id_, self.text, self.metadata = node_id, text, {"file_name": "f.md"}

    @property
    def node_id(self) -> str:
        return self.id_

    def get_content(self) -> str:
        return self.text


@dataclasses.dataclass
class NodeWithScore:
    node: Node
    score: float | None = None


@dataclasses.dataclass
class HaystackDocument:
    id: str
    content: str | None = None
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    score: float | None = None


class Frame:
    """A data frame of pandas."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows

    def __iter__(self) -> Any:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.rows)


def selected(rows: Any) -> Any:
    """What `rows` takes of a query's result; nothing of the database stays open."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("create table d (doc_id text, body text, similarity real)"))
        connection.execute(text("insert into d values ('a', 'the first text', 0.9), ('b', 'the second text', 0.5)"))
        taken = rows(connection.execute(text("select doc_id, body, similarity from d")))
    engine.dispose()
    return taken


def sqlite_rows() -> Any:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(
            "select 'a' as id, 'the first text' as content, 0.9 as score union all select 'b', 'the second text', 0.5"
        ).fetchall()


Result = namedtuple("Result", "documents scores")  # noqa: PYI024 - as bm25s has it
Row = namedtuple("Row", "id text distance")  # noqa: PYI024 - as psycopg makes it


def langchain(**metadata: Any) -> Document:
    return Document("the text", metadata=metadata)


def hashed(number: int) -> str:
    return f"{number:x}" * 64


SHAPES: dict[str, Any] = {
    "LangChain, by id": [Document("t", id="a"), Document("t", id="b")],
    "LangChain, by metadata": [langchain(doc_id="a"), langchain(doc_id="b")],
    "LangChain, by source": [langchain(source="a"), langchain(source="b")],
    "LangChain with numpy scores": list(
        zip([Document("t", id="a"), Document("t", id="b")], np.array([0.9, 0.5], dtype=np.float32), strict=True)
    ),
    "LangChain over Qdrant": [langchain(_id=U1, _collection_name="c", id="a"), langchain(_id=U2, id="b")],
    "LangChain over Qdrant with scores": [(langchain(_id=U1, doc_id="a"), 0.9), (langchain(_id=U2, doc_id="b"), 0.5)],
    "LangChain over a store that numbers": [
        Document("t", id=U1, metadata={"id": "a"}),
        Document("t", id=U2, metadata={"id": "b"}),
    ],
    "Qdrant response": QueryResponse(
        points=[ScoredPoint(id=n, version=1, score=0.9, payload={"document_id": i}) for n, i in ((1, "a"), (2, "b"))]
    ),
    "Qdrant points": [
        ScoredPoint(id=u, version=1, score=0.9, payload={"doc_id": i}) for u, i in ((U1, "a"), (U2, "b"))
    ],
    "Chroma": {"ids": [["a", "b"]], "documents": [list(TEXTS)], "metadatas": [[{}, None]], "distances": [[0.1, 0.2]]},
    "Chroma get": {"ids": ["a", "b"], "documents": list(TEXTS), "metadatas": None, "embeddings": None},
    "Pinecone": SimpleNamespace(
        matches=[SimpleNamespace(id=i, score=0.9, metadata={"text": "t"}) for i in "ab"], namespace=""
    ),
    "Pinecone dict": {"matches": [{"id": i, "score": 0.9, "values": []} for i in "ab"], "namespace": "n"},
    "Weaviate": SimpleNamespace(
        objects=[
            SimpleNamespace(
                uuid=uuid.UUID(u),
                properties={"doc_id": i, "text": "t"},
                metadata=SimpleNamespace(distance=0.1, score=None),
            )
            for u, i in ((U1, "a"), (U2, "b"))
        ]
    ),
    "Weaviate GraphQL": {
        "data": {"Get": {"Article": [{"content": "t", "_additional": {"id": i, "distance": 0.1}} for i in "ab"]}}
    },
    "Elasticsearch": {
        "took": 3,
        "hits": {
            "total": {"value": 2},
            "hits": [{"_index": "i", "_id": i, "_score": 1.5, "_source": {"text": "t"}} for i in "ab"],
        },
    },
    "Elasticsearch response": Body(
        {"hits": {"hits": [{"_id": i, "_score": 1.5, "_source": {"text": "t"}} for i in "ab"]}}
    ),
    "Elasticsearch DSL": Hits(SimpleNamespace(meta=SimpleNamespace(id=i, score=1.5), title="t") for i in "ab"),
    "rows (id, text, score)": [("a", "the first text", 0.9), ("b", "the second text", 0.5)],
    "rows (number, text, score)": [(3, "the first text", 0.9), (5, "the second text", 0.5)],
    "rows (id, score)": [("a", 0.9), ("b", 0.5)],
    "rows (number, score)": [(3, 0.9), (5, 0.5)],
    "lists [id, score]": [["a", 0.9], ["b", 0.5]],
    "named tuples": [Row("a", "t", 0.9), Row("b", "t", 0.5)],
    "SQLAlchemy rows": selected(lambda result: result.fetchall()),
    "SQLAlchemy mappings": selected(lambda result: result.mappings().all()),
    "sqlite3 rows": sqlite_rows(),
    "LlamaIndex nodes": [NodeWithScore(Node("a", "t"), 0.9), NodeWithScore(Node("b", "t"))],
    "LlamaIndex response": SimpleNamespace(response="x", source_nodes=[NodeWithScore(Node(i, "t")) for i in "ab"]),
    "Haystack": {"documents": [HaystackDocument(i, "t", {}, 0.9) for i in "ab"]},
    "Haystack, ids made up": [
        HaystackDocument(hashed(1), "t", {"doc_id": "a"}),
        HaystackDocument(hashed(2), "t", {"doc_id": "b"}),
    ],
    "FAISS": (np.array([[0.1, 0.2, 9.0]], dtype=np.float32), np.array([[3, 5, -1]])),
    "hnswlib": (np.array([[3, 5]]), np.array([[0.1, 0.2]], dtype=np.float32)),
    "Annoy": ([3, 5], [0.1, 0.2]),
    "ids alone": ["a", "b"],
    "numbers alone": [3, 5],
    "numpy ids": np.array([3, 5]),
    "sentence-transformers": [[{"corpus_id": 3, "score": 0.9}, {"corpus_id": 5, "score": 0.5}]],
    "CrossEncoder.rank": [
        {"corpus_id": 3, "score": np.float32(0.9), "text": "t"},
        {"corpus_id": 5, "score": np.float32(0.5), "text": "t"},
    ],
    "bm25s": Result(np.array([["a", "b"]], dtype=object), np.array([[1.5, 0.5]])),
    "bm25s with dicts": Result([[{"id": "a", "text": "t"}, {"id": "b", "text": "t"}]], [[1.5, 0.5]]),
    "documents beside scores": ([{"id": "a", "text": "t"}, {"id": "b", "text": "t"}], [0.9, 0.5]),
    "documents and their number": ([{"id": "a", "text": "t"}, {"id": "b", "text": "t"}], 2),
    "Redis": SimpleNamespace(total=2, docs=[SimpleNamespace(id=i, payload=None, vector_distance="0.1") for i in "ab"]),
    "RedisVL": [{"id": i, "vector_distance": "0.1", "content": "t"} for i in "ab"],
    "Milvus client": [
        [{"id": n, "distance": 0.9, "entity": {"doc_id": i, "text": "t"}} for n, i in ((1, "a"), (2, "b"))]
    ],
    "Milvus ORM": Hits([Hits(SimpleNamespace(id=n, distance=0.9, entity={"text": "t"}) for n in ("a", "b"))]),
    "Typesense": {"found": 2, "hits": [{"document": {"id": i, "text": "t"}, "text_match": 17} for i in "ab"]},
    "Meilisearch": {"hits": [{"id": i, "title": "t"} for i in "ab"], "query": "q", "limit": 20},
    "Vespa": {
        "root": {"id": "toplevel", "children": [{"id": i, "relevance": 0.9, "fields": {"text": "t"}} for i in "ab"]}
    },
    "Azure AI Search": [{"@search.score": 1.5, "chunk_id": i, "chunk": "t"} for i in "ab"],
    "Bedrock": {
        "retrievalResults": [
            {
                "content": {"text": "t"},
                "location": {"type": "S3"},
                "score": 0.9,
                "metadata": {"x-amz-bedrock-kb-source-uri": i},
            }
            for i in "ab"
        ]
    },
    "Kendra": {"ResultItems": [{"DocumentId": i, "DocumentExcerpt": {"Text": "t"}} for i in "ab"]},
    "Tavily": {"query": "q", "results": [{"url": i, "title": "t", "content": "t", "score": 0.9} for i in "ab"]},
    "SerpAPI": {"organic_results": [{"position": 1, "link": i, "snippet": "t"} for i in "ab"]},
    "Brave": {"web": {"results": [{"url": i, "description": "t"} for i in "ab"]}},
    "Bing": {"webPages": {"value": [{"url": i, "name": "n", "snippet": "t"} for i in "ab"]}},
    "OpenAI vector store": SimpleNamespace(
        data=[
            SimpleNamespace(file_id=i, filename="f", score=0.9, content=[{"type": "text", "text": "t"}]) for i in "ab"
        ]
    ),
    "MongoDB": [{"_id": i, "text": "t", "score": 0.9} for i in "ab"],
    "LanceDB": [{"doc_id": i, "text": "t", "_distance": 0.1} for i in "ab"],
    "pandas": Frame([{"chunk_id": i, "text": "t"} for i in "ab"]),
    "rerankers": SimpleNamespace(
        results=[SimpleNamespace(document=SimpleNamespace(doc_id=i, text="t"), score=0.9) for i in "ab"]
    ),
    "Pyserini": [SimpleNamespace(docid=i, score=1.5, lucene_docid=1) for i in "ab"],
    "two searches": [[{"id": "a", "text": "t"}], [{"id": "b", "text": "t"}]],
    **{
        f"dicts by {name}": [{name: "a", "text": "t"}, {name: "b", "text": "t"}]
        for name in (
            "document_id",
            "doc_id",
            "chunk_id",
            "pk",
            "uuid",
            "url",
            "source",
            "node_id",
            "file_path",
            "docId",
        )
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_documents_of_a_shape_are_known_by_their_ids(name: str) -> None:
    """In their order; an id that the application gave comes before one that the store made up."""
    found = ids(SHAPES[name])
    assert found in (["a", "b"], ["3", "5"]), found


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("LangChain with numpy scores", [0.9, 0.5]),
        ("Chroma", [0.1, 0.2]),
        ("FAISS", [0.1, 0.2]),
        ("bm25s", [1.5, 0.5]),
        ("rows (number, text, score)", [0.9, 0.5]),
        ("Milvus client", [0.9, 0.9]),
        ("Azure AI Search", [1.5, 1.5]),
        ("Elasticsearch", [1.5, 1.5]),
        ("SQLAlchemy rows", [0.9, 0.5]),
    ],
)
def test_scores_are_read(name: str, scores: list[float]) -> None:
    """Wherever they stand."""
    hits = joined_hits([recorded_rows(SHAPES[name])], 100)
    assert [hit[2] for hit in hits] == pytest.approx(scores)


@pytest.mark.parametrize(
    "documents",
    [
        [{"other": 1}],
        [{}],
        [object()],
        SimpleNamespace(results=[SimpleNamespace(index=3, relevance_score=0.9)]),
    ],
)
def test_what_has_no_identity_says_so(documents: Any) -> None:
    """No hash of it, which no label could ever name: Cohere's reranker, for one, gives places in its input."""
    (name,) = ids(documents)
    assert name.startswith(UNREADABLE)


def test_texts_alone_are_known_by_their_text() -> None:
    """So that two arms can be compared; labels can't name it, and the scorer says so."""
    assert ids(list(TEXTS)) == ids([Document(words) for words in TEXTS])
    assert all(name.startswith(TEXT_HASH) for name in ids(list(TEXTS)))


@pytest.mark.parametrize(
    "hit_id", ["metadata.page", lambda document: document.metadata["page"]], ids=["path", "function"]
)
def test_the_user_says_what_a_document_is_known_by(hit_id: Any) -> None:
    """At the retriever, at `record_hits`, and for the experiment; the nearest counts."""
    documents = [
        (Document("t", id="x", metadata={"page": "a"}), 0.9),
        (Document("t", id="y", metadata={"page": "b"}), 0.5),
    ]

    @retriever(hit_id=hit_id)
    def search() -> Any:
        return documents

    @retriever
    def plain() -> Any:
        return documents

    for own, run in (("id", search), (None, lambda: record_hits(documents, hit_id=hit_id)), (hit_id, plain)):
        recorder = Recorder(hit_id=None if own is None else (own if callable(own) else None) or chosen_by(own))
        with recording(recorder):
            run()
        assert [hit.id for hit in recorder.parts().hits] == ["a", "b"]


def test_a_path_that_leads_nowhere_is_no_identity() -> None:
    """It says so, and is not replaced by something else."""
    recorder = Recorder()
    with recording(recorder):
        record_hits([{"id": "a", "text": "t"}], hit_id="metadata.page")
    assert recorder.parts().hits[0].id == f"{UNREADABLE}dict"


@pytest.mark.parametrize("wrong", [17, "", "."])
def test_a_wrong_hit_id_is_an_error_where_it_is_written(wrong: Any) -> None:
    """With what to write instead."""
    with pytest.raises(ArgumentError, match="hit_id"):
        retriever(hit_id=wrong)


def test_a_search_that_found_nothing_is_a_search() -> None:
    """Recorded as a step, so that it is told from no search at all."""
    recorder = Recorder()
    with recording(recorder):
        record_hits([])
    assert [step.kind for step in recorder.parts().steps] == ["retrieval"]
