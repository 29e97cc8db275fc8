"""Shadow evaluation of LLM, RAG and agent pipelines.

Public are this module, `shadoweval.scoring`, `.adapters.*`, `.records`, `.protocols`, `.errors` and `.testing`;
everything else may change without notice. Importing this package does nothing and loads nothing: names are looked up at
first use.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` costs as much as the rest of `--help`
if TYPE_CHECKING:
    from typing import Any, Final

    from shadoweval.candidate.environment import Target
    from shadoweval.candidate.sandbox import Limits, Sandbox
    from shadoweval.candidate.tools.entity_world import EntityWorld
    from shadoweval.candidate.tools.instance_world import InstanceWorld
    from shadoweval.candidate.tools.replay import Replay
    from shadoweval.candidate.tools.simulated import Simulate
    from shadoweval.candidate.tools.sqlite_world import SqliteWorld
    from shadoweval.candidate.tools.stubs import Live, Refuse, Stubs
    from shadoweval.capture import record_cache, record_hits, record_model_call, retriever, step, tool
    from shadoweval.errors import ShadowEvalError
    from shadoweval.evaluation.evaluate import evaluate
    from shadoweval.evaluation.labelling import label
    from shadoweval.evaluation.queries import with_queries
    from shadoweval.evaluation.scored_pairs import evaluate_pairs
    from shadoweval.experiment import Experiment
    from shadoweval.mirror import redact_secrets
    from shadoweval.mirror.asked import current_query
    from shadoweval.records import Hit, Labels, Outcome, Pair, PairScore, Query, Scored, ToolCall, Unscored, Verdict
    from shadoweval.reporting.html import report
    from shadoweval.schedules import Schedule
    from shadoweval.settings import Settings
    from shadoweval.traffic.admission import Traffic
    from shadoweval.traffic.breaker import Breaker, BreakerLimits
    from shadoweval.traffic.flags import StaticFlags
    from shadoweval.traffic.gauges import Gauge
    from shadoweval.verdict.gates import at_least, at_most, better, no_worse
    from shadoweval.verdict.rules import Rules
    from shadoweval.worker.opening import load_experiment, open_receiver, open_store

__version__ = "0.1.0"

__all__ = [
    "Breaker",
    "BreakerLimits",
    "EntityWorld",
    "Experiment",
    "Gauge",
    "Hit",
    "InstanceWorld",
    "Labels",
    "Limits",
    "Live",
    "Outcome",
    "Pair",
    "PairScore",
    "Query",
    "Refuse",
    "Replay",
    "Rules",
    "Sandbox",
    "Schedule",
    "Scored",
    "Settings",
    "ShadowEvalError",
    "Simulate",
    "SqliteWorld",
    "StaticFlags",
    "Stubs",
    "Target",
    "ToolCall",
    "Traffic",
    "Unscored",
    "Verdict",
    "at_least",
    "at_most",
    "better",
    "current_query",
    "evaluate",
    "evaluate_pairs",
    "label",
    "load_experiment",
    "no_worse",
    "open_receiver",
    "open_store",
    "record_cache",
    "record_hits",
    "record_model_call",
    "redact_secrets",
    "report",
    "retriever",
    "step",
    "tool",
    "with_queries",
]

_HOMES: Final = {
    "shadoweval.candidate.environment": ("Target",),
    "shadoweval.candidate.sandbox": ("Limits", "Sandbox"),
    "shadoweval.candidate.tools.entity_world": ("EntityWorld",),
    "shadoweval.candidate.tools.instance_world": ("InstanceWorld",),
    "shadoweval.candidate.tools.replay": ("Replay",),
    "shadoweval.candidate.tools.simulated": ("Simulate",),
    "shadoweval.candidate.tools.sqlite_world": ("SqliteWorld",),
    "shadoweval.candidate.tools.stubs": ("Live", "Refuse", "Stubs"),
    "shadoweval.capture": ("record_cache", "record_hits", "record_model_call", "retriever", "step", "tool"),
    "shadoweval.errors": ("ShadowEvalError",),
    "shadoweval.evaluation.evaluate": ("evaluate",),
    "shadoweval.evaluation.labelling": ("label",),
    "shadoweval.evaluation.queries": ("with_queries",),
    "shadoweval.evaluation.scored_pairs": ("evaluate_pairs",),
    "shadoweval.experiment": ("Experiment",),
    "shadoweval.mirror": ("redact_secrets",),
    "shadoweval.mirror.asked": ("current_query",),
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
    "shadoweval.schedules": ("Schedule",),
    "shadoweval.settings": ("Settings",),
    "shadoweval.traffic.admission": ("Traffic",),
    "shadoweval.traffic.breaker": ("Breaker", "BreakerLimits"),
    "shadoweval.traffic.flags": ("StaticFlags",),
    "shadoweval.traffic.gauges": ("Gauge",),
    "shadoweval.verdict.gates": ("at_least", "at_most", "better", "no_worse"),
    "shadoweval.verdict.rules": ("Rules",),
    "shadoweval.worker.opening": ("load_experiment", "open_receiver", "open_store"),
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from shadoweval._optional import missing_extra  # noqa: PLC0415 - nothing is loaded before it is needed

        raise missing_extra(error, needed_for=f"shadoweval.{name}") or error from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
