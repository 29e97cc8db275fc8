"""The documentation assistant in production: finds passages by their words (BM25)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import SkipValidation

from pipelines.corpus import Passage, passages
from pipelines.documentation_chain import HITS, assistant, embedder
from pipelines.documentation_index import DocumentationIndex

__all__ = ["WordRetriever", "answer", "chain", "retriever"]


class WordRetriever(BaseRetriever):
    """The passages that share the question's words, rare words weighing most."""

    index: SkipValidation[DocumentationIndex]
    k: int = HITS

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - LangChain passes it
    ) -> list[Document]:
        return self.index.by_words(query, k=self.k)


@cache
def chain() -> Runnable[str, str]:
    """Return the assistant; it is built once in a process."""
    return assistant(retriever(passages()), embedder())


def retriever(corpus: Sequence[Passage]) -> WordRetriever:
    """Fill an index with the passages and return its retriever."""
    return WordRetriever(index=DocumentationIndex(corpus))


def answer(question: str) -> str:
    """Answer one question about Python."""
    return chain().invoke(question)
