"""Paired scores as production makes them; every generator returns arrays of shape (streams, pairs)."""

import math
from functools import cache

import numpy as np
from scipy import optimize, special, stats

_ITEMS = 5
_LATTICE = np.arange(_ITEMS + 1) / _ITEMS


def _joint(first, second, r: float):
    """Joint law of two discrete scores under a Gaussian copula with parameter r, with exact marginals."""
    cuts = [stats.norm.ppf(np.clip(np.cumsum(law), 0, 1)) for law in (first, second)]
    for cut in cuts:
        cut[-1] = 8.0
    normal = stats.multivariate_normal(mean=[0, 0], cov=[[1, r], [r, 1]])
    below = np.zeros((_ITEMS + 2, _ITEMS + 2))
    below[1:, 1:] = normal.cdf(np.stack(np.meshgrid(*cuts, indexing="ij"), axis=-1))
    joint = np.clip(np.diff(np.diff(below, axis=0), axis=1), 0, None)
    for _ in range(200):
        joint *= (first / joint.sum(axis=1))[:, np.newaxis]
        joint *= second / joint.sum(axis=0)
    return joint


@cache
def recall_law(incumbent: float, candidate: float, correlation: float):
    """Joint law of recall@5 of both arms: beta-binomial marginals, deviation about 0.3, given correlation."""
    laws = [stats.betabinom.pmf(range(_ITEMS + 1), _ITEMS, m * 1.207, (1 - m) * 1.207) for m in (incumbent, candidate)]
    means = [_LATTICE @ law for law in laws]
    deviations = [math.sqrt(_LATTICE**2 @ law - mean**2) for law, mean in zip(laws, means, strict=True)]

    def excess(r):
        covariance = _LATTICE @ _joint(*laws, r) @ _LATTICE - means[0] * means[1]
        return covariance / (deviations[0] * deviations[1]) - correlation

    return _joint(*laws, optimize.brentq(excess, 0.0, 0.98, xtol=1e-4)) if correlation else np.outer(*laws)


def recall(rng, shape, *, candidate: float = 0.80, correlation: float = 0.6):
    """Differences of recall@5, incumbent at 0.80."""
    joint = recall_law(0.80, candidate, correlation)
    cell = rng.choice(joint.size, size=shape, p=(joint / joint.sum()).ravel())
    return np.round(_LATTICE[cell % (_ITEMS + 1)] - _LATTICE[cell // (_ITEMS + 1)], 10)


@cache
def _beta_quantiles(mean: float, deviation: float):
    """Levels and quantiles of a beta law, for interpolation."""
    levels = np.linspace(1e-6, 1 - 1e-6, 20_001)
    size = mean * (1 - mean) / deviation**2 - 1
    return levels, stats.beta.ppf(levels, mean * size, (1 - mean) * size)


def judge(rng, shape, *, shift: float = 0.0, mean: float = 0.7, deviation: float = 0.2, correlation: float = 0.5):
    """Differences of continuous judge scores in [0, 1]: beta marginals, Gaussian copula."""
    shared = rng.standard_normal(shape)
    other = correlation * shared + math.sqrt(1 - correlation**2) * rng.standard_normal(shape)
    scores = []
    for normal, mu in ((shared, mean), (other, mean + shift)):
        scores.append(np.interp(special.ndtr(normal), *_beta_quantiles(mu, deviation)))
    return scores[1] - scores[0]


def binary(rng, shape, *, wins: float = 0.05, losses: float = 0.05):
    """Differences of successes in {-1, 0, 1}."""
    u = rng.random(shape)
    return np.where(u < wins, 1.0, np.where(u < wins + losses, -1.0, 0.0))


def rare_loss(rng, shape, *, size: float = 0.5, chance: float = 0.01):
    """Mean zero: now and then a big loss, else a tiny gain. Its negative has rare gains."""
    return np.where(rng.random(shape) < chance, -size, size * chance / (1 - chance))


def latencies(rng, shape, *, scale: float = 1.0, tail: float = 0.0, added: float = 0.0, shared: float = 0.5):
    """Log-normal latencies of both arms (deviation 0.8 of the log), half of it due to the query."""
    query = rng.standard_normal(shape)
    arms = [
        np.exp(0.8 * (math.sqrt(shared) * query + math.sqrt(1 - shared) * rng.standard_normal(shape))) for _ in range(2)
    ]
    return arms[0], scale * arms[1] + added * (rng.random(shape) < tail)


def costs(rng, shape, *, spread: float, shared: float = 0.6):
    """Log-normal amounts of both arms, `spread` the deviation of the log."""
    query = rng.standard_normal(shape)
    return [
        np.exp(spread * (math.sqrt(shared) * query + math.sqrt(1 - shared) * rng.standard_normal(shape)))
        for _ in range(2)
    ]
