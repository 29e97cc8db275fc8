"""Statistics of paired comparisons: pure functions and small accumulators that know nothing of pipelines."""

from shadoweval.evidence.bets import Side
from shadoweval.evidence.cluster_robust import ClusterRobustMean
from shadoweval.evidence.clusters import CAP, cluster_means, first_occurrences, joined_groups
from shadoweval.evidence.decision import (
    Attribution,
    Decision,
    Outcome,
    attribute,
    guard_verdict,
    promote_evidence,
    rollback_evidence,
)
from shadoweval.evidence.discordant import PairCounts, discordant_log_e
from shadoweval.evidence.drift import DecayDetector, DriftDetector
from shadoweval.evidence.fixed import (
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
from shadoweval.evidence.grouped import histograms
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.latency import ORDER_LEVELS, PairedExceedance
from shadoweval.evidence.latency_ratio import QuantileRatio
from shadoweval.evidence.missing import missing_is_tolerable, tipping_mean, worst_case_bound
from shadoweval.evidence.multiplicity import benjamini_hochberg, e_bh, e_bonferroni, e_closed, mean_log_e
from shadoweval.evidence.noise import best_repeats, control_log_e, noise_floor_evidence, rerun_variance
from shadoweval.evidence.paths import first_crossing, log_e_path
from shadoweval.evidence.planning import PairsToGo, PlannedPairs, pairs_needed, pairs_to_go, planned_pairs
from shadoweval.evidence.ppi import PredictionPowered, PredictionPoweredMean, ppi_mean
from shadoweval.evidence.ratio import CappedRatio, MeanRatio
from shadoweval.evidence.srm import sample_ratio_log_e
from shadoweval.evidence.thresholds import PredictableQuantiles

__all__ = [
    "CAP",
    "FEWEST_DISCORDANT",
    "ORDER_LEVELS",
    "Attribution",
    "CappedRatio",
    "ClusterRobustMean",
    "DecayDetector",
    "Decision",
    "DriftDetector",
    "HistBet",
    "MeanInterval",
    "MeanRatio",
    "Outcome",
    "PairCounts",
    "PairedExceedance",
    "PairsToGo",
    "PlannedPairs",
    "PredictableQuantiles",
    "PredictionPowered",
    "PredictionPoweredMean",
    "QuantileRatio",
    "Side",
    "StatsInputError",
    "attribute",
    "benjamini_hochberg",
    "best_repeats",
    "cluster_means",
    "control_log_e",
    "discordant_log_e",
    "e_bh",
    "e_bonferroni",
    "e_closed",
    "first_crossing",
    "first_occurrences",
    "guard_verdict",
    "histograms",
    "joined_groups",
    "log_e_path",
    "mcnemar_exact_p",
    "mean_log_e",
    "missing_is_tolerable",
    "noise_floor_evidence",
    "non_inferiority_bound",
    "paired_interval",
    "paired_t_p",
    "pairs_needed",
    "pairs_to_go",
    "planned_pairs",
    "ppi_mean",
    "promote_evidence",
    "rerun_variance",
    "rollback_evidence",
    "rule_of_three",
    "sample_ratio_log_e",
    "sign_flip_p",
    "tipping_mean",
    "wilson_interval",
    "worst_case_bound",
]
