"""What the report decides with: tests and bounds for counts of sessions. Pure: no I/O.

Inside and outside are counts of sessions, `hot` of `sessions`. Sources: Fisher's exact test; Wilson (1927) for a
share's interval; Donner and Zou (2012), "Closed-form confidence intervals for functions of the normal mean and standard
deviation", for the ratio of two shares by the intervals of each (MOVER-R), which unlike the logarithm's holds where
nothing outside is hot; Benjamini and Hochberg (1995); Tarone (1990) for tests that cannot be significant; Welch
(1947) for means.
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


def rate_of(samples: Ints, hot: int) -> float:
    """How often a sample is over the threshold if all samples are alike: so that the sessions with so many samples each
    come to so many hot ones, a session being hot if any sample is.
    """
    low, high = 0.0, 1.0
    while hot_by_chance(samples, high).sum() < hot and high < _HIGHEST_RATE:
        low, high = high, high * 4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if hot_by_chance(samples, middle).sum() < hot else (low, middle)
    return high


def hot_by_chance(samples: Ints, rate: float) -> Floats:
    """Of sessions with so many samples, the probability that one is over the threshold at this rate."""
    found: Floats = -np.expm1(-rate * samples)
    return found


def more_than_by_chance(
    hot_in: float, chance_in: float, square_in: float, hot_out: float, chance_out: float, square_out: float
) -> float:
    """The p-value, both sides, that inside has more hot ones than its chances, the sums of `hot_by_chance`, let expect
    beside those outside; `square` are sums of their squares. A score test, given how many are hot altogether.
    """
    chance = chance_in + chance_out
    if not chance:
        return 1.0
    scale = (hot_in + hot_out) / chance
    expected = scale * chance_in
    spread_in, spread_out = scale * chance_in - scale**2 * square_in, scale * chance_out - scale**2 * square_out
    if hot_in <= expected or spread_in + spread_out <= 0:
        return 1.0
    spread = max(spread_in, 0.0) * max(spread_out, 0.0) / (spread_in + spread_out)
    return math.erfc((hot_in - expected) / math.sqrt(2 * spread)) if spread > 0 else 0.0


def higher_on_average(
    count_in: float, sum_in: float, square_in: float, count_out: float, sum_out: float, square_out: float
) -> float:
    """The p-value, both sides, that the mean inside is higher than outside (Welch's test, normal); `square` are sums of
    squares.
    """
    if count_in < 2 or count_out < 2:
        return 1.0
    mean_in, mean_out = sum_in / count_in, sum_out / count_out
    spread = max(0.0, square_in / count_in - mean_in**2) / (count_in - 1)
    spread += max(0.0, square_out / count_out - mean_out**2) / (count_out - 1)
    if mean_in <= mean_out:
        return 1.0
    return math.erfc((mean_in - mean_out) / math.sqrt(2 * spread)) if spread > 0 else 0.0


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
