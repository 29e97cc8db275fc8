"""How often work moves from one module of ours to another: one pair into the evidence, three gates' intervals.

    python -m benchmarks.moves

Three gates, three metrics, three attributes. A move is a call from one module of the package into another. Many moves
for one number mean that it has many owners: who wants to follow it opens as many files.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType

from benchmarks.verdict import METRICS, made_columns
from shadoweval.evidence.looks import ALWAYS
from shadoweval.verdict.gates import at_most, no_worse
from shadoweval.verdict.trial import Trial

GATES = [no_worse("recall@5", by=0.02), no_worse("errors", by=0.01), at_most("latency.p95", ratio=1.2)]
ABOUT = [metric for metric in METRICS if metric.name in {gate.base for gate in GATES}]
PAIRS = 1_000


def moves(work: Callable[[], object]) -> Counter[tuple[str, str]]:
    """Calls from module to module while `work` runs."""
    seen: Counter[tuple[str, str]] = Counter()

    def profile(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and frame.f_back is not None:
            caller, callee = (f.f_globals.get("__name__", "") for f in (frame.f_back, frame))
            if caller != callee and caller.startswith("shadoweval.") and callee.startswith("shadoweval."):
                seen[caller, callee] += 1

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen


def main() -> None:
    columns = made_columns(PAIRS)
    trial = Trial(ABOUT, GATES)
    trial.add(columns.part(slice(0, PAIRS - 1)))
    last = columns.part(slice(PAIRS - 1, PAIRS))
    pair = moves(lambda: trial.add(last))
    intervals = moves(lambda: [c.interval(ALWAYS, promotion_alpha=0.05, alpha=0.05) for c in trial.claims])
    for what, seen in (("one pair into the evidence", pair), ("three gates' intervals", intervals)):
        print(f"{what}: {seen.total()} moves")
        for (caller, callee), times in seen.most_common():
            print(f"  {times:>3}  {caller} -> {callee}")


if __name__ == "__main__":
    main()
