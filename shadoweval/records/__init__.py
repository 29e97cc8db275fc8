"""The nouns, frozen: what travels from the mirror to the report.

Durations are seconds (float, monotonic clock), times are aware UTC datetimes, sizes are bytes, ranks start at 1.
Records are arrays on the wire: a later version may only append fields that have a default. What is in them is data
and refers back to no record, so those that come by the million are none of the garbage collector's (`gc=False`).
"""

from shadoweval.records.acts import *
from shadoweval.records.judging import *
from shadoweval.records.keys import all_alike, query_key
from shadoweval.records.scores import *
from shadoweval.records.traffic import *
from shadoweval.records.verdict import *

__all__ = [
    "FIRST_PROCESS",
    "INCUMBENT",
    "NOTHING_RAN",
    "NOT_DRAWN",
    "NOT_RERUN",
    "NO_GUARD",
    "Annotation",
    "Answered",
    "Arm",
    "AskedWhen",
    "Coverage",
    "Decision",
    "Divergence",
    "DivergenceShare",
    "Effect",
    "Envelope",
    "Evaluation",
    "Example",
    "Failure",
    "FailureCount",
    "FailureKind",
    "FailureOwner",
    "GateResult",
    "GateState",
    "Hit",
    "JudgeSeen",
    "Labels",
    "LossCluster",
    "Mark",
    "MetricSummary",
    "Observation",
    "Outcome",
    "Pair",
    "PairScore",
    "PastLook",
    "Place",
    "ProbeSeen",
    "Query",
    "QueryRow",
    "QueryTable",
    "Refusal",
    "Score",
    "Scored",
    "ShareSeen",
    "SliceResult",
    "StageChange",
    "StagesSeen",
    "Step",
    "TokenKind",
    "ToolCall",
    "Unscored",
    "Usage",
    "Verdict",
    "WriteComparison",
    "WriteEffect",
    "all_alike",
    "query_key",
    "standing",
]
