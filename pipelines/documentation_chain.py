"""What both documentation assistants share, so that they differ in their retrieval alone: prompt, models, chain."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import accumulate

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough

from pipelines.chat_model import chat_model
from pipelines.documentation_sentences import KnownSentences, shown
from shadoweval.scoring import Embedder, SentenceModel

__all__ = ["HITS", "assistant", "embedder", "sentence_model", "within_room"]

HITS = 5  # Passages that are retrieved for a question.
_ROOM = 2_500  # Characters of them that the model reads, whole passages only; more cost time and answered no better.

_TASK = (
    "You answer questions about Python from the passages of its documentation that are given to you. Answer in one to "
    "three sentences and only from the passages. If they do not hold the answer, say that you do not know."
)
_PROMPT = ChatPromptTemplate.from_messages([("system", _TASK), ("user", "{passages}\n\nQuestion: {question}")])


def sentence_model() -> SentenceModel:
    """Return the embedding model of both assistants, loaded by its first text."""
    return SentenceModel(longest=128)  # tokens: of this length were the texts that MiniLM learned from


@cache
def embedder() -> Embedder:
    """Return what embeds questions and sentences in this process."""
    return Embedder(KnownSentences(sentence_model()))


def assistant(retriever: BaseRetriever, model: Embedder) -> Runnable[str, str]:
    """Return the chain from a question to its answer: retrieve, read, reply.

    Args:
        retriever: finds the passages.
        model: by which the offline reader judges what fits the question; a language model has no use for it.
    """
    return (
        {"passages": retriever | _as_text, "question": RunnablePassthrough()}
        | _PROMPT
        | chat_model(embedder=_Reading(model))
        | StrOutputParser()
    )


class _Reading(Embeddings):
    def __init__(self, model: Embedder) -> None:
        self._model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def within_room(documents: Iterable[Document]) -> list[Document]:
    """Return the hits that the model reads: as many, best first, as there is room for, and the first in any case."""
    hits = list(documents)
    room = accumulate(len(shown(hit.metadata["title"], hit.page_content)) for hit in hits)
    return [hit for hit, used in zip(hits, room, strict=True) if used <= _ROOM or hit is hits[0]]


def _as_text(documents: Iterable[Document]) -> str:
    return "\n\n".join(shown(hit.metadata["title"], hit.page_content) for hit in within_room(documents))
