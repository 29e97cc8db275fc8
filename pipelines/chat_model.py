"""The chat model of the example pipelines: a real one where the environment names one, else an offline one.

Set `OPENAI_API_KEY`, `OPENAI_BASE_URL` (any OpenAI-compatible server) or both to use a language model; its name
comes from `OPENAI_MODEL`. Without them the pipelines run on `OfflineReader` and `OfflinePlanner`, which are
rules and extraction and say so in `model_name`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pipelines.offline_model import OfflineReader
from pipelines.planner import OfflinePlanner

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from pipelines.offline_model import Embedder
    from pipelines.planner import Plan

__all__ = ["DEFAULT_MODEL", "OfflinePlanner", "OfflineReader", "chat_model"]

DEFAULT_MODEL = "gpt-4.1-mini"


def chat_model(*, plan: Plan | None = None, embedder: Embedder | None = None, **settings: Any) -> BaseChatModel:
    """Return the model to talk to.

    Args:
        plan: What the offline model shall do with tools; without one it only reads.
        embedder: Lets the offline reader judge fit by meaning instead of by words.
        settings: Go to `ChatOpenAI` unchanged (temperature, timeout...); an offline model has none.
    """
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")):
        return OfflinePlanner(plan=plan) if plan is not None else OfflineReader(embedder=embedder)
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - costs seconds; offline nobody needs it

    chosen: dict[str, Any] = {
        "model": os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL,
        "temperature": 0,
        # Local servers often want no key, but the client refuses to start without one.
        "api_key": os.environ.get("OPENAI_API_KEY") or "none",
        "base_url": os.environ.get("OPENAI_BASE_URL") or None,
    }
    return ChatOpenAI(**(chosen | settings))
