"""The documentation in a Qdrant shard: the words of each passage (BM25) and, where wanted, its meaning (vectors).

Qdrant runs inside the process (`qdrant-edge`, the server's own engine) and lets one process open a folder at a time.
Filling a shard takes a quarter of a second, so each process fills one of its own in a temporary folder, and no process
waits for another. What costs minutes, the vectors, comes from a file that all share.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from qdrant_edge import (
    Bm25,
    Bm25Config,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Modifier,
    Point,
    Query,
    QueryRequest,
    SearchParams,
    UpdateOperation,
)

from pipelines.corpus import Passage
from pipelines.documentation_vectors import read_text

__all__ = ["DocumentationIndex"]

_POOL = 50  # Passages that each search looks at before it cuts to k.
_RRF_K = 60  # The constant of the paper.


class DocumentationIndex:
    """Search over passages; safe to share between threads, not between processes.

    Args:
        corpus: the passages.
        vectors: one unit vector for each; without them only `by_words` works.
        scratch: where the shard's temporary folder is made; the system's place (`TMPDIR`) if there is none. It goes
            with the index, at `close` or at the end of the process; one that is killed leaves it.
    """

    def __init__(
        self,
        corpus: Sequence[Passage],
        *,
        vectors: NDArray[np.float32] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._corpus = corpus
        texts = [read_text(passage) for passage in corpus]
        self._bm25 = Bm25(Bm25Config(avg_len=_average_length(texts)))
        folder = tempfile.mkdtemp(prefix="documentation-", dir=scratch)
        self._shard = EdgeShard.create(
            folder,
            EdgeConfig(
                vectors=None if vectors is None else {"meaning": EdgeVectorParams(vectors.shape[1], Distance.Dot)},
                sparse_vectors={"words": EdgeSparseVectorParams(modifier=Modifier.Idf)},
                max_search_threads=1,
                wal_enabled=False,  # The shard is filled anew each time: there is nothing to recover.
            ),
        )
        self._give_up = weakref.finalize(self, _give_up, self._shard, folder)
        points: list[Point] = []
        for row, text in enumerate(texts):
            named: dict[str, Any] = {"words": self._bm25.embed_document(text)}
            points.append(Point(row, named if vectors is None else named | {"meaning": vectors[row].tolist()}))
        self._shard.update(UpdateOperation.upsert_points(points))

    def by_words(self, question: str, *, k: int) -> list[Document]:
        """Return the k best passages by BM25, best first; fewer if fewer hold any of the question's words."""
        return self._documents(self._by_words(question), k=k)

    def by_words_and_meaning(self, question: str, vector: NDArray[np.float32], *, k: int) -> list[Document]:
        """Return the k best passages by reciprocal rank fusion of BM25 and cosine (Cormack et al. 2009)."""
        # Not Qdrant's own fusion: it breaks ties at random, and a pipeline that differs from itself hides differences.
        fused: defaultdict[int, float] = defaultdict(float)
        for half in (self._by_words(question), self._scores(Query.Nearest(vector.tolist(), using="meaning"))):
            for rank, row in enumerate(half, start=1):
                fused[row] += 1 / (_RRF_K + rank)
        return self._documents(fused, k=k)

    def close(self) -> None:
        """Give up the shard and remove its folder."""
        self._give_up()

    def _by_words(self, question: str) -> dict[int, float]:
        return self._scores(Query.Nearest(self._bm25.embed_query(question), using="words"))

    def _scores(self, query: Query) -> dict[int, float]:
        found = self._shard.query(QueryRequest(query=query, limit=_POOL, params=SearchParams(exact=True)))
        # Rounded, as equal scores may differ by the order in which they were summed.
        return dict(_best_first({int(point.id): round(point.score, 5) for point in found}))

    def _documents(self, scores: Mapping[int, float], *, k: int) -> list[Document]:
        documents: list[Document] = []
        for row, score in _best_first(scores)[:k]:
            passage = self._corpus[row]
            documents.append(Document(passage.text, id=passage.id, metadata={"title": passage.title, "score": score}))
        return documents


def _best_first(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    # Equals in the order of the corpus: the same in every process.
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _give_up(shard: EdgeShard, folder: str) -> None:
    shard.close()
    shutil.rmtree(folder, ignore_errors=True)


def _average_length(texts: Sequence[str]) -> float:
    """Return the mean number of words that BM25 counts: without stop words, repetitions included."""
    # With b = 0 a word's weight is f (k + 1) / (f + k), so that its frequency f can be had back from it.
    k = 1.2
    frequencies = Bm25(Bm25Config(b=0.0, k=k))
    counted = sum(weight * k / (k + 1 - weight) for text in texts for weight in frequencies.embed_document(text).values)
    return max(1.0, counted / len(texts))
