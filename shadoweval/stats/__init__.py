"""Statistics of paired comparisons: pure functions and small accumulators that know nothing of pipelines."""

from shadoweval.stats.bets import Side
from shadoweval.stats.decision import (
    Attribution,
    Decision,
    Outcome,
    attribute,
    guard_verdict,
    promote_evidence,
    rollback_evidence,
)
from shadoweval.stats.discordant import PairCounts, discordant_log_e
from shadoweval.stats.fixed import (
    FEWEST_DISCORDANT,
    MeanInterval,
    mcnemar_exact_p,
    non_inferiority_bound,
    paired_interval,
    paired_t_p,
    rule_of_three,
    sign_flip_p,
    wilson_interval,
)
from shadoweval.stats.grouped import histograms
from shadoweval.stats.histbet import HistBet
from shadoweval.stats.inputs import StatsInputError
from shadoweval.stats.latency import ORDER_LEVELS, PairedExceedance
from shadoweval.stats.latency_ratio import QuantileRatio
from shadoweval.stats.multiplicity import benjamini_hochberg, e_bh, e_bonferroni, e_closed, mean_log_e
from shadoweval.stats.paths import first_crossing, log_e_path

__all__ = [
    "FEWEST_DISCORDANT",
    "ORDER_LEVELS",
    "Attribution",
    "Decision",
    "HistBet",
    "MeanInterval",
    "Outcome",
    "PairCounts",
    "PairedExceedance",
    "QuantileRatio",
    "Side",
    "StatsInputError",
    "attribute",
    "benjamini_hochberg",
    "discordant_log_e",
    "e_bh",
    "e_bonferroni",
    "e_closed",
    "first_crossing",
    "guard_verdict",
    "histograms",
    "log_e_path",
    "mcnemar_exact_p",
    "mean_log_e",
    "non_inferiority_bound",
    "paired_interval",
    "paired_t_p",
    "promote_evidence",
    "rollback_evidence",
    "rule_of_three",
    "sign_flip_p",
    "wilson_interval",
]
