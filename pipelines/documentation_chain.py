"""What both documentation assistants share, so that they differ in their retrieval alone: prompt, model, chain."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough

from pipelines.chat_model import chat_model

__all__ = ["HITS", "assistant"]

HITS = 5  # Passages that the model reads.

_TASK = (
    "You answer questions about Python from the passages of its documentation that are given to you. Answer in one to "
    "three sentences and only from the passages. If they do not hold the answer, say that you do not know."
)
_PROMPT = ChatPromptTemplate.from_messages([("system", _TASK), ("user", "{passages}\n\nQuestion: {question}")])


def assistant(retriever: BaseRetriever) -> Runnable[str, str]:
    """Return the chain from a question to its answer: retrieve, read, reply."""
    return (
        {"passages": retriever | _as_text, "question": RunnablePassthrough()}
        | _PROMPT
        | chat_model()
        | StrOutputParser()
    )


def _as_text(documents: Iterable[Document]) -> str:
    return "\n\n".join(f"{document.metadata['title']}: {_unwrapped(document.page_content)}" for document in documents)


def _unwrapped(text: str) -> str:
    # Documentation is wrapped at 70 columns; a reader that works by line would take each line for a sentence.
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
