"""The production application: both assistants as users reach them, each mirrored by one line."""

from __future__ import annotations

from typing import Any

from evals.documentation import documentation
from evals.support import support
from pipelines import documentation_bm25, support_agent
from pipelines.support_requests import intents_of

__all__ = ["ask_documentation", "ask_support"]

_LONG = 12
"""Words from which a question counts as long."""


def _shape(question: str) -> dict[str, str]:
    first, *_ = question.lower().split() or [""]
    kind = first if first in {"how", "why", "what", "which", "can", "is"} else "other"
    return {"kind": kind, "length": "long" if len(question.split()) >= _LONG else "short"}


def _request(question: str, customer: str) -> dict[str, str]:
    del customer
    wishes = intents_of(question)
    return {"wish": wishes[0] if len(wishes) == 1 else ("several" if wishes else "unclear")}


def _customer(question: str, customer: str) -> str:
    del question
    return customer


@documentation.mirror(sample=1.0, attributes=_shape)
def ask_documentation(question: str) -> str:
    """Answer a question about Python."""
    return documentation_bm25.answer(question)


@support.mirror(sample=1.0, attributes=_request, unit=_customer)
def ask_support(question: str, customer: str) -> dict[str, Any]:
    """Answer one message of a customer, and do what it takes."""
    return support_agent.answer(question, customer)
