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
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import ALWAYS, ONCE, Looks, MarginTest
from shadoweval.evidence.planning import pairs_to_go, planned_pairs
from shadoweval.evidence.ppi import PredictionPowered, ppi_mean
from shadoweval.evidence.quantiles import ORDER_LEVELS, Exceedances
from shadoweval.evidence.ratios import MeanRatio
from shadoweval.evidence.sessions import SeenIds, Sessions, Units
from shadoweval.evidence.slices import AttributeColumn, SliceEvidence
from shadoweval.evidence.validity import control_log_e, missing_is_tolerable, sample_ratio_log_e
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
    "ONCE",
    "ORDER_LEVELS",
    "AttributeColumn",
    "Beyond",
    "CappedDifference",
    "CappedRatio",
    "DecayDetector",
    "Difference",
    "DriftDetector",
    "Exceedances",
    "HistBet",
    "Level",
    "Looks",
    "MarginTest",
    "MeanRatio",
    "Noise",
    "PredictionPowered",
    "Relative",
    "Scale",
    "Scores",
    "SeenIds",
    "Sessions",
    "Side",
    "SliceEvidence",
    "Units",
    "Variable",
    "control_log_e",
    "discordant_log_e",
    "missing_is_tolerable",
    "pairs_to_go",
    "planned_pairs",
    "ppi_mean",
    "sample_ratio_log_e",
]
