"""A stream of pairs before one gate: the claim that decides, fed as a trial feeds it."""

import numpy as np

from shadoweval.evidence.looks import ALWAYS
from shadoweval.evidence.variables import Scores
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import Claim, claim_of, contrast_of
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.gates import Gate

SECONDS = Metric(name="latency", higher_is_better=False, high=None, failure_scores=30.0)
DOLLARS = Metric(name="cost", higher_is_better=False, high=None, failure_scores=None)


def claim(gate: Gate, metric: Metric) -> Claim:
    return claim_of(gate, [metric], contrasts={metric.name: contrast_of(metric)})


def feed(claim: Claim, incumbent, candidate) -> None:
    """Count pairs, each a unit by itself."""
    known = np.ones(len(incumbent), dtype=bool)
    scores = Scores(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    for variable in claim.variables:
        variable.add_independent(scores)
    if claim.ratio is not None:
        claim.ratio.extend(incumbent, candidate)


def notice_log_e(claim: Claim) -> float:
    """Evidence that the candidate is worse at all."""
    return ALWAYS.merged([ALWAYS.log_e(test) for test in claim.notices])


def arms(differences, *, ties=1.0):
    """Scores in [0, 1] of both arms whose difference is exactly this one; where there is none both have `ties`."""
    losses, gains = np.maximum(-differences, 0.0), np.maximum(differences, 0.0)
    return (losses, gains) if ties == 0 else (1.0 - gains, 1.0 - losses)


def columns(scores: dict, *, asked_at=None, keys=None, clusters=None) -> Columns:
    """Pairs as a trial takes them; `scores` are both arms' values by metric."""
    n = len(next(iter(scores.values()))[0])
    known = np.ones(n, dtype=bool)
    return Columns(
        asked_at=1.7e9 + (np.arange(n, dtype=float) if asked_at is None else asked_at),
        key=(np.arange(n) if keys is None else keys).astype(np.uint64),
        cluster=(np.zeros(n) if clusters is None else clusters).astype(np.uint64),
        alone=np.full(n, clusters is None),
        scores={
            name: ScoreColumns(incumbent=a, candidate=b, incumbent_scored=known, candidate_scored=known)
            for name, (a, b) in scores.items()
        },
    )
