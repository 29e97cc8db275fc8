"""Shadow evaluation of LLM, RAG and agent pipelines.

Importing this package does nothing and loads nothing: names are looked up at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from shadoweval.candidate.limits import Limits
    from shadoweval.candidate.sandbox import Sandbox
    from shadoweval.candidate.tools.stubs import Stubs
    from shadoweval.capture import record_hits, record_model_call, retriever, step, tool
    from shadoweval.errors import ShadowEvalError
    from shadoweval.evaluation.evaluate import evaluate
    from shadoweval.experiment import Experiment
    from shadoweval.records import Hit, Labels, Outcome, Pair, PairScore, Query, Scored, ToolCall, Unscored, Verdict
    from shadoweval.reporting.html import report
    from shadoweval.traffic.admission import Traffic
    from shadoweval.verdict.gates import at_least, at_most, better, no_worse

__version__ = "0.1.0"

__all__ = [
    "Experiment",
    "Hit",
    "Labels",
    "Limits",
    "Outcome",
    "Pair",
    "PairScore",
    "Query",
    "Sandbox",
    "Scored",
    "ShadowEvalError",
    "Stubs",
    "ToolCall",
    "Traffic",
    "Unscored",
    "Verdict",
    "at_least",
    "at_most",
    "better",
    "evaluate",
    "no_worse",
    "record_hits",
    "record_model_call",
    "report",
    "retriever",
    "step",
    "tool",
]

_WHERE: Final = {
    "shadoweval.candidate.limits": ("Limits",),
    "shadoweval.candidate.sandbox": ("Sandbox",),
    "shadoweval.candidate.tools.stubs": ("Stubs",),
    "shadoweval.capture": ("record_hits", "record_model_call", "retriever", "step", "tool"),
    "shadoweval.errors": ("ShadowEvalError",),
    "shadoweval.experiment": ("Experiment",),
    "shadoweval.records": (
        "Hit",
        "Labels",
        "Outcome",
        "Pair",
        "PairScore",
        "Query",
        "Scored",
        "ToolCall",
        "Unscored",
        "Verdict",
    ),
    "shadoweval.reporting.html": ("report",),
    "shadoweval.evaluation.evaluate": ("evaluate",),
    "shadoweval.traffic.admission": ("Traffic",),
    "shadoweval.verdict.gates": ("at_least", "at_most", "better", "no_worse"),
}
_HOME: Final = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
