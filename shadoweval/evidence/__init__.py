"""The engine of every verdict: numbers in, numbers out; it knows nothing of pipelines, stores or reports.

Pairs of scores become bounded variables (`variables`, `quantiles`) of independent units (`sessions`); `histbet` weighs
the mean of each by bets that are fixed in advance (`bets`); `looks` says what that is worth to someone who looks
always or once, `multiplicity` what several of them are worth together, `decay` what the newest ones say, `slices` what
the parts of the traffic say, `validity` whether to trust any of it, `planning` how long it takes, `ratios` what people
read of costs. `ppi` and `drift` decide nothing yet: the first will let people's labels correct a judge, the second
will watch the traffic that a promoted candidate meets.
"""

from shadoweval.evidence.bets import Side, discordant_log_e
from shadoweval.evidence.decay import DecayDetector
from shadoweval.evidence.drift import DriftDetector
from shadoweval.evidence.histbet import Edge, HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.looks import ALWAYS, ONCE, Looks, MarginTest
from shadoweval.evidence.multiplicity import e_bh, e_closed, mean_log_e
from shadoweval.evidence.planning import PairsToGo, PlannedPairs, pairs_needed, pairs_to_go, planned_pairs
from shadoweval.evidence.ppi import PredictionPowered, PredictionPoweredMean, ppi_mean
from shadoweval.evidence.quantiles import ORDER_LEVELS, Exceedances
from shadoweval.evidence.ratios import MeanRatio
from shadoweval.evidence.sessions import CAP, IDLE, SeenIds, Sessions, Units
from shadoweval.evidence.slices import AttributeColumn, SliceEvidence
from shadoweval.evidence.validity import (
    control_log_e,
    missing_is_tolerable,
    sample_ratio_log_e,
    tipping_mean,
    worst_case_bound,
)
from shadoweval.evidence.variables import (
    Beyond,
    CappedDifference,
    CappedRatio,
    Difference,
    Level,
    Noise,
    Relative,
    Scale,
    Scores,
    Variable,
)

__all__ = [
    "ALWAYS",
    "CAP",
    "IDLE",
    "ONCE",
    "ORDER_LEVELS",
    "AttributeColumn",
    "Beyond",
    "CappedDifference",
    "CappedRatio",
    "DecayDetector",
    "Difference",
    "DriftDetector",
    "Edge",
    "Exceedances",
    "HistBet",
    "Level",
    "Looks",
    "MarginTest",
    "MeanRatio",
    "Noise",
    "PairsToGo",
    "PlannedPairs",
    "PredictionPowered",
    "PredictionPoweredMean",
    "Relative",
    "Scale",
    "Scores",
    "SeenIds",
    "Sessions",
    "Side",
    "SliceEvidence",
    "StatsInputError",
    "Units",
    "Variable",
    "control_log_e",
    "discordant_log_e",
    "e_bh",
    "e_closed",
    "mean_log_e",
    "missing_is_tolerable",
    "pairs_needed",
    "pairs_to_go",
    "planned_pairs",
    "ppi_mean",
    "sample_ratio_log_e",
    "tipping_mean",
    "worst_case_bound",
]
