"""The documentation in Qdrant: the words of each passage (BM25) and, where wanted, its meaning (vectors).

It is read through `QdrantClient`: from the server whose URL `DOCUMENTATION_QDRANT` names, where the first process that
may write fills a collection (`python -m pipelines.documentation_build` does, before a shadow needs it), or else in the
client's local mode, in this process's memory. That takes a second or two to fill, so each process fills one of its own,
and no process waits for another. What costs minutes, the vectors, comes from a file that all share.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_edge import Bm25, Bm25Config

from pipelines.corpus import Passage, fingerprint
from pipelines.documentation_vectors import read_text
from shadoweval.adapters.qdrant import watch

__all__ = ["DocumentationIndex"]

_POOL = 50  # Passages that each search looks at before it cuts to k.
_RRF_K = 60  # The constant of the paper.
_AT_ONCE: Final = 500  # Passages in one request.


class DocumentationIndex:
    """Search over passages; safe to share between threads.

    Args:
        corpus: the passages.
        vectors: one unit vector for each; without them only `by_words` works.
        url: of a Qdrant server; what `DOCUMENTATION_QDRANT` says if there is none, and else the client's local mode.
    """

    def __init__(
        self, corpus: Sequence[Passage], *, vectors: NDArray[np.float32] | None = None, url: str | None = None
    ) -> None:
        self._corpus = corpus
        texts = [read_text(passage) for passage in corpus]
        self._words = _Words(texts)
        url = url or os.environ.get("DOCUMENTATION_QDRANT")
        client = QdrantClient(url=url) if url else QdrantClient(":memory:")
        kind = "words" if vectors is None else "words-and-meaning"
        self._collection = f"documentation-{kind}-{fingerprint(corpus)[:12]}"
        if not client.collection_exists(self._collection):
            self._fill(client, texts, vectors=vectors)
        # The hits are those of the retriever, which fuses what two searches give; LangChain reports them.
        self._client = watch(client, hits=False, exact=True)

    def by_words(self, question: str, *, k: int) -> list[Document]:
        """Return the k best passages by BM25, best first; fewer if fewer hold any of the question's words."""
        return self._documents(self._by_words(question), k=k)

    def by_words_and_meaning(self, question: str, vector: NDArray[np.float32], *, k: int) -> list[Document]:
        """Return the k best passages by reciprocal rank fusion of BM25 and cosine (Cormack et al. 2009)."""
        # Not Qdrant's own fusion: it breaks ties at random, and a pipeline that differs from itself hides differences.
        fused: defaultdict[int, float] = defaultdict(float)
        for half in (self._by_words(question), self._scores(vector.tolist(), "meaning")):
            for rank, row in enumerate(half, start=1):
                fused[row] += 1 / (_RRF_K + rank)
        return self._documents(fused, k=k)

    def close(self) -> None:
        """Give up the client, and what it holds in memory."""
        self._client.close()

    def _fill(self, client: QdrantClient, texts: Sequence[str], *, vectors: NDArray[np.float32] | None) -> None:
        meaning = {} if vectors is None else {"meaning": models.VectorParams(size=vectors.shape[1], distance=_DOT)}
        words = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        client.create_collection(self._collection, vectors_config=meaning, sparse_vectors_config=words)
        for start in range(0, len(texts), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(texts)))
            named: dict[str, Any] = {"words": [self._words.of_passage(row) for row in rows]}
            if vectors is not None:
                named["meaning"] = vectors[start : rows.stop].tolist()
            client.upsert(self._collection, points=models.Batch(ids=list(rows), vectors=named))

    def _by_words(self, question: str) -> dict[int, float]:
        words = self._words.of_question(question)
        return self._scores(words, "words") if words.indices else {}

    def _scores(self, query: Any, using: str) -> dict[int, float]:
        found = self._client.query_points(
            self._collection, query=query, using=using, limit=_POOL, with_payload=False
        ).points
        # Rounded, as equal scores may differ by the order in which they were summed.
        return dict(_best_first({int(point.id): round(point.score, 5) for point in found}))

    def _documents(self, scores: Mapping[int, float], *, k: int) -> list[Document]:
        documents: list[Document] = []
        for row, score in _best_first(scores)[:k]:
            passage = self._corpus[row]
            documents.append(Document(passage.text, id=passage.id, metadata={"title": passage.title, "score": score}))
        return documents


_DOT: Final = models.Distance.DOT


class _Words:
    """Texts as BM25 weighs their words; the most frequent word is word 0.

    Local mode compares two texts word by word in the order of their numbers until one has no more: a question's words
    are mostly frequent ones, so it comes to its end early.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._bm25 = Bm25(Bm25Config(avg_len=_average_length(texts)))
        embedded = [self._bm25.embed_document(text) for text in texts]
        frequencies = Counter(word for one in embedded for word in one.indices)
        ranked = sorted(frequencies, key=lambda word: (-frequencies[word], word))
        self._numbers = {word: number for number, word in enumerate(ranked)}
        self._passages = embedded

    def of_passage(self, row: int) -> models.SparseVector:
        """The words of a passage of the corpus."""
        return self._numbered(self._passages[row])

    def of_question(self, question: str) -> models.SparseVector:
        """The words of a question that any passage holds."""
        return self._numbered(self._bm25.embed_query(question))

    def _numbered(self, words: Any) -> models.SparseVector:
        pairs = zip(words.indices, words.values, strict=True)
        known = sorted((self._numbers[word], weight) for word, weight in pairs if word in self._numbers)
        return models.SparseVector(indices=[word for word, _ in known], values=[weight for _, weight in known])


def _best_first(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    # Equals in the order of the corpus: the same in every process.
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def _average_length(texts: Sequence[str]) -> float:
    """Return the mean number of words that BM25 counts: without stop words, repetitions included."""
    # With b = 0 a word's weight is f (k + 1) / (f + k), so that its frequency f can be had back from it.
    k = 1.2
    frequencies = Bm25(Bm25Config(b=0.0, k=k))
    counted = sum(weight * k / (k + 1 - weight) for text in texts for weight in frequencies.embed_document(text).values)
    return max(1.0, counted / len(texts))
