"""Many e-values at once: how to merge them, and which of them to name.

All take log e-values, so that nothing overflows. Sources: Vovk and Wang, "E-values: calibration, combination and
applications" (Annals of Statistics 2021); Wang and Ramdas, "False discovery rate control with e-values" (JRSS-B 2022).
Checked against ville and, for the closed test, against all subsets.
"""

import math

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, Floats, StatsInputError, share

__all__ = ["e_bh", "e_closed", "mean_log_e"]


def _log_e_values(log_e: Floats) -> FloatArray:
    """The log e-values as an array, -inf and inf allowed."""
    array = np.asarray(log_e, dtype=np.float64)
    if array.size == 0 or np.isnan(array).any():
        raise StatsInputError("Need at least one log e-value, and none may be NaN.")
    return array


def mean_log_e(log_e: Floats) -> float:
    """Log of the mean of J e-values: an e-value under any dependence."""
    values = _log_e_values(log_e)
    return float(np.logaddexp.reduce(values + np.log(1.0 / values.size)))


def e_bh(log_e: Floats, q: float) -> BoolArray:
    """Which nulls the e-BH procedure rejects: their false discovery rate is at most q, under any dependence.

    Use current e-values, shape (K,), not their running maxima: those carry no such guarantee.
    """
    values = _log_e_values(log_e)
    share(q, "q")
    order = np.argsort(-values, kind="stable")
    enough = values[order] + np.log(np.arange(1, values.size + 1)) >= math.log(values.size / q)
    rejected = np.zeros(values.size, dtype=np.bool_)
    if enough.any():
        rejected[order[: int(np.flatnonzero(enough)[-1]) + 1]] = True
    return rejected


def e_closed(log_e: Floats, alpha: float) -> BoolArray:
    """Which nulls can be named while the chance to name any true one stays at most alpha, under any dependence.

    The closed test with the mean as its merger: a null falls when the mean over every set that holds it reaches
    1 / alpha, so only the sets with the k smallest others matter. Names all that
    the Bonferroni bound K / alpha names, and more.
    """
    values = np.minimum(_log_e_values(log_e), 600.0)  # exp stays finite; capping only weakens the evidence
    needed = 1 / share(alpha, "alpha")
    e = np.exp(values)
    order = np.argsort(e, kind="stable")
    named = np.zeros(e.size, dtype=np.bool_)
    for rank, index in enumerate(order):
        others = np.delete(e[order], rank)
        sums = e[index] + np.concatenate([[0.0], np.cumsum(others)])
        named[index] = bool((sums / np.arange(1, e.size + 1) >= needed).all())
    return named
