"""The experiment of the mirror's benchmark: a candidate that computes for 2 ms, one that never ends.

shadoweval worker benchmarks.mirror_experiment:experiment
"""

import time
from typing import Any

from shadoweval import Experiment, Limits, Sandbox

__all__ = ["endless", "experiment", "hanging", "two_milliseconds"]


def two_milliseconds(question: str) -> dict[str, Any]:
    """Needs 2 ms of a core."""
    until = time.thread_time() + 0.002
    turns = 0
    while time.thread_time() < until:
        turns += 1
    return {"answer": question[:100]}


def endless(question: str) -> dict[str, Any]:  # noqa: ARG001 - as the incumbent's
    """Computes until it is ended."""
    while True:
        pass


experiment = Experiment(
    name="benchmark", candidates={"two": "benchmarks.mirror_experiment:two_milliseconds"}, rerun=0.0
)
hanging = Experiment(
    name="benchmark-hanging",
    candidates={"endless": "benchmarks.mirror_experiment:endless"},
    rerun=0.0,
    sandbox=Sandbox(limits=Limits(seconds=600.0)),
)
