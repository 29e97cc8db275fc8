"""What a fault of the evidence does to a rollback. Whatever is wrong holds a promotion; this is about the other way.

A candidate must not be rolled back for what the shadow, the mirror or the worker did. Each problem's name stands here
with what may still roll back beside it:

- `stands`: the fault can't make a candidate look worse than it is, or losing those pairs can't, so the proof stands.
- `clean`: only what is also proven on the pairs free of the fault: no run ended by the shadow, no call made up.
- `rerun`: only what is also proven against the incumbent's own re-run, which ran where the candidate ran.
- `like_with_like`: as `never` for metrics that compare with the re-run (latency, cost), else as `stands`.
- `never`: nothing that is compared tells anything about the candidate.
- `always`: it rolls back by itself, whatever the gates say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from shadoweval.verdict.claims import Claim
from shadoweval.verdict.conduct import Problem

__all__ = ["ROLLBACKS", "effects_on", "withheld_sentence"]

Effect = Literal["stands", "clean", "rerun", "like_with_like", "never", "always"]

ROLLBACKS: Final[Mapping[str, Effect]] = MappingProxyType(
    {
        # Nothing but the number of pairs is in doubt; harm to the users of those that came is harm.
        "no_pairs": "stands",
        "coverage": "stands",
        "funnel": "stands",
        "one_unit": "stands",
        # What was picked, counted or ordered wrongly says nothing in either direction.
        "salt": "never",
        "flag": "never",
        "sample_ratio": "never",
        "order": "never",
        "future": "never",
        "clocks_disagree": "never",
        "doubled": "never",
        "pipelines": "never",
        # Both arms of each pair are still those that the pair says.
        "version": "stands",
        "stages": "stands",
        "rerun_version": "like_with_like",
        "reruns_ended": "like_with_like",
        "ended_by_shadow": "clean",
        "fidelity": "clean",
        "control": "rerun",
        # An incumbent that fails makes the candidate look better, not worse; its own failures are its own.
        "incumbent_fails": "stands",
        "candidate_fails": "stands",
        "failures_unjudged": "stands",
        "writes": "stands",
        "live_writes": "always",
        # Harm to some holds; whether it is enough to roll back is what the gates say.
        "worse_slice": "stands",
        "worse_metric": "stands",
        "worse_failures": "stands",
        # Of one metric: how it is scored.
        "unknown_ids": "never",
        "missing_metric": "stands",
        "unprovable": "stands",
        # A judge that a probe fools may be wrong about the candidate in either direction.
        "judge": "never",
        "like_probes": "stands",
        "scorer_errors": "stands",
        "scorer_version": "never",
        "unequal_missing": "never",
    }
)
"""What each problem leaves of a proven rollback; one that is not named here leaves nothing."""


def effects_on(claim: Claim, problems: Iterable[Problem]) -> frozenset[Effect]:
    """What the problems do to the evidence against the candidate under one claim; empty: it stands."""
    effects: set[Effect] = set()
    for problem in problems:
        if problem.metric in {"", claim.metric.name}:
            effect = ROLLBACKS.get(problem.name, "never")
            if effect == "like_with_like":
                effect = "never" if claim.metric.like_with_like else "stands"
            if effect == "rerun" and not claim.gate.compares:
                effect = "never"  # a level of the candidate's own has no re-run to be compared with
            effects.add(effect)
    return frozenset(effects - {"stands", "always"})


def withheld_sentence(sentences: Iterable[str]) -> tuple[str, ...]:
    """Why gates whose pairs look broken roll nothing back; nothing where there are none."""
    named = "; ".join(sentences)
    sentence = (
        f"Looks broken, and is not proven on pairs free of what is wrong with the evidence: {named}. Mend that first: "
        "neither a promotion nor a rollback can be trusted before."
    )
    return (sentence,) if named else ()
