"""Passages and tool results in the kinds that pipelines hand over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from pydantic import BaseModel
from qdrant_client.models import ScoredPoint

__all__ = ["PASSAGES", "RESULTS"]


@dataclass
class Passage:
    """A retriever's own class."""

    id: str
    text: str
    score: float


class PassageModel(BaseModel):
    """The same as a pydantic model."""

    id: str
    text: str
    score: float


@dataclass
class Result:
    """A tool's own class."""

    status: str
    rows: list[int]
    text: str


class ResultModel(BaseModel):
    """The same as a pydantic model."""

    status: str
    rows: list[int]
    text: str


def _document(passage: dict[str, Any]) -> Document:
    return Document(page_content=passage["text"], metadata=passage["metadata"])


def _fields(passage: dict[str, Any]) -> dict[str, Any]:
    return {name: passage[name] for name in ("id", "text", "score")}


def _point(passage: dict[str, Any]) -> ScoredPoint:
    payload = {"text": passage["text"], **passage["metadata"]}
    return ScoredPoint(id=int(passage["id"].rpartition("-")[2]), version=1, score=passage["score"], payload=payload)


PASSAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "documents": _document,
    "documents with scores": lambda passage: (_document(passage), passage["score"]),
    "documents with numpy scores": lambda passage: (_document(passage), np.float32(passage["score"])),
    "strings": lambda passage: passage["text"],
    "dicts": lambda passage: {"id": passage["id"], "text": passage["text"], "metadata": passage["metadata"]},
    "dicts with scores": lambda passage: passage,
    "qdrant points": _point,
    "dataclasses": lambda passage: Passage(**_fields(passage)),
    "pydantic models": lambda passage: PassageModel(**_fields(passage)),
}
RESULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": lambda result: result,
    "text": lambda result: result["text"],
    "dataclass": lambda result: Result(**result),
    "pydantic": lambda result: ResultModel(**result),
    "message": lambda result: ToolMessage(result["text"], tool_call_id="call"),
}
