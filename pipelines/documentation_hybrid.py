"""The documentation assistant that may replace the one in production: finds passages by words and by meaning.

Needs the extra `semantic`, and the vectors of the documentation: `python -m pipelines.documentation_build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import SkipValidation

from pipelines.corpus import Passage, passages
from pipelines.documentation_chain import HITS, assistant, embedder
from pipelines.documentation_index import DocumentationIndex
from pipelines.documentation_vectors import cached_vectors
from shadoweval.scoring import Embedder

__all__ = ["HybridRetriever", "answer", "chain", "retriever"]


class HybridRetriever(BaseRetriever):
    """The passages that share the question's words or its meaning, as reciprocal rank fusion orders them."""

    index: SkipValidation[DocumentationIndex]
    model: SkipValidation[Embedder]
    k: int = HITS

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        return self.index.by_words_and_meaning(query, self.model.embed([query])[0], k=self.k)


@cache
def chain() -> Runnable[str, str]:
    """Return the assistant; it is built once in a process."""
    return assistant(retriever(passages(), embedder()), embedder())


def retriever(corpus: Sequence[Passage], model: Embedder, *, folder: Path | None = None) -> HybridRetriever:
    """Fill an index with the passages and their vectors, kept in `folder`, and return its retriever."""
    vectors = cached_vectors(corpus, model.embed, folder=folder)
    return HybridRetriever(index=DocumentationIndex(corpus, vectors=vectors), model=model)


def answer(question: str) -> str:
    """Answer one question about Python."""
    return chain().invoke(question)
