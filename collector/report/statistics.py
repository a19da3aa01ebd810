"""What the report decides with: tests and bounds for counts of sessions. Pure: no I/O.

Inside and outside are counts of sessions, `hot` of `sessions`. Sources: Fisher's exact test; Wilson (1927) for a share's
interval; Donner and Zou (2012), "Closed-form confidence intervals for functions of the normal mean and standard
deviation", for the ratio of two shares by the intervals of each (MOVER-R), which unlike the logarithm's holds where
nothing outside is hot; Benjamini and Hochberg (1995); Tarone (1990) for tests that cannot be significant; Hoeffding
(1963), theorem 1, for means of bounded variables.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from collector.report.columns import Floats, Ints

Z95 = 1.959964
"""Of a two-sided 95 % interval."""
_NEGLIGIBLE = 1e-12
_HIGHEST_RATE = 1e9


def fisher(hot_in: int, sessions_in: int, hot_out: int, sessions_out: int) -> float:
    """Fisher's exact test that inside is hot more often: its one-sided p-value, doubled, for nobody said beforehand
    which side it would be. 1 where inside is not hotter.
    """
    sessions, hot = sessions_in + sessions_out, hot_in + hot_out
    if hot_in * sessions <= hot * sessions_in:
        return 1.0
    term = math.exp(_log_choose(sessions_in, hot_in) + _log_choose(sessions_out, hot_out) - _log_choose(sessions, hot))
    tail = term  # from here on terms fall
    for more in range(hot_in, min(sessions_in, hot)):
        term *= (sessions_in - more) * (hot - more) / ((more + 1) * (sessions_out - hot + more + 1))
        tail += term
        if term <= tail * _NEGLIGIBLE:
            break
    return min(1.0, 2 * tail)


@lru_cache(maxsize=4096)
def smallest_p(sessions_in: int, sessions: int, hot: int) -> float:
    """The least that `fisher` can give to so many of the sessions, whichever are hot: above the level of the test they
    need not be counted among what is tested.
    """
    most = min(sessions_in, hot)
    return fisher(most, sessions_in, hot - most, sessions - sessions_in)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def more_than_its_time(hot_share: float, time_share: float, sessions: int) -> float:
    """A bound on the p-value of: of hot sessions' hot time, this share fell into what took that share of their time,
    both means over sessions. Holds for any number of them, however their samples hang together.
    """
    if hot_share <= time_share or not sessions:
        return 1.0
    if time_share <= 0:
        return 0.0
    divergence = hot_share * math.log(hot_share / time_share)
    if hot_share < 1:
        divergence += (1 - hot_share) * math.log((1 - hot_share) / (1 - time_share))
    return min(1.0, 2 * math.exp(-sessions * divergence))


def chances(samples: Ints, hot: int) -> Floats:
    """For each session the probability that it has a sample over the threshold if all samples were alike, so that it
    only depends on how many there are; together they come to so many hot sessions.
    """
    low, high = 0.0, 1.0
    while np.expm1(-high * samples).sum() > -hot and high < _HIGHEST_RATE:
        low, high = high, high * 4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.expm1(-middle * samples).sum() > -hot else (low, middle)
    found: Floats = -np.expm1(-high * samples)
    return found


def more_than_chances(hot: float, expected: float, spread: float) -> float:
    """The p-value, both sides, of so many hot sessions where `expected` were, by a score test; `spread` is the
    variance of the difference.
    """
    if hot <= expected or spread <= 0:
        return 1.0
    return math.erfc((hot - expected) / math.sqrt(2 * spread))


def wilson(hot: Floats, sessions: Floats, z: float = Z95) -> tuple[Floats, Floats]:
    """Both ends of shares' confidence intervals."""
    share, spread = hot / sessions, z * z / sessions
    middle = share + spread / 2
    half = z * np.sqrt(np.maximum(0.0, share * (1 - share)) / sessions + spread / sessions / 4)
    return np.maximum(0.0, (middle - half) / (1 + spread)), np.minimum(1.0, (middle + half) / (1 + spread))


def risk_ratio_low(hot_in: Ints, sessions_in: Ints, hot_out: Ints | Floats, sessions_out: Ints) -> Floats:
    """The lower ends of the 95 % intervals of ratios of two shares; 0 where a side is empty."""
    some = (sessions_in > 0) & (sessions_out > 0)
    n_in, n_out = np.where(some, sessions_in, 1.0), np.where(some, sessions_out, 1.0)
    inside, outside = np.where(some, hot_in, 0.0) / n_in, np.where(some, hot_out, 0.0) / n_out
    low = wilson(inside * n_in, n_in)[0]
    high = wilson(outside * n_out, n_out)[1]
    numerator, denominator = low * (2 * inside - low), high * (2 * outside - high)
    product = inside * outside
    root = np.sqrt(np.maximum(0.0, product * product - numerator * denominator))
    # Rationalised where the denominator vanishes: both forms are the same number.
    flat = np.abs(denominator) < _NEGLIGIBLE
    safe = np.where(flat, 1.0, denominator)
    beside = np.where(product + root > 0, product + root, 1.0)
    bound: Floats = np.where(flat, numerator / beside, (product - root) / safe)
    return np.where(some & (inside > 0), np.maximum(0.0, bound), 0.0)


def q_values(p_values: Sequence[float], tests: int) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values, of the smallest ones of so many `tests`."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    found = [1.0] * len(p_values)
    least = 1.0
    for rank, at in zip(range(len(p_values), 0, -1), order, strict=True):
        least = min(least, p_values[at] * tests / rank)
        found[at] = least
    return found
