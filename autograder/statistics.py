"""Exact tests with a stated probability of a false alarm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from scipy.stats import binom

FALSE_ALARM = 1e-9
"""The chance that a right answer fails one check by bad luck, at most. Expectations within a check share it."""

EQUAL_ALARM = 1e-12
"""The chance that two rows of a table are equal which `expect.distinct` puts up with."""


@dataclass(frozen=True)
class Interval:
    """Counts from `low` to `high`, both included, are compatible with the hypothesis."""

    low: int
    high: int

    def __contains__(self, count: int) -> bool:
        return self.low <= count <= self.high


@lru_cache(maxsize=1024)
def binomial_interval(trials: int, p: float, false_alarm: float = FALSE_ALARM) -> Interval:
    """Return the counts outside of which a Binomial(trials, p) falls with probability at most `false_alarm`.

    Half of it on each side. Exact: taken from the quantile function, no normal approximation.
    """
    if trials < 1 or p in (0, 1):
        return Interval(round(trials * p), round(trials * p))
    # Smallest k with P(X <= k) >= half, so P(X < k) < half; smallest k with P(X > k) <= half.
    return Interval(int(binom.ppf(false_alarm / 2, trials, p)), int(binom.isf(false_alarm / 2, trials, p)))


def miss_probability(trials: int, p: float, other: float, false_alarm: float = FALSE_ALARM) -> float:
    """Return the chance that Binomial(trials, other) passes for Binomial(trials, p): the test's error of the second kind."""
    accepted = binomial_interval(trials, p, false_alarm)
    return float(binom.cdf(accepted.high, trials, other) - binom.cdf(accepted.low - 1, trials, other))


def equal_probability(rows: int, columns: int, p: float) -> float:
    """Return a bound on the chance that some two rows of a table of Bernoulli(p) coins are equal: the sum over all pairs."""
    return rows * (rows - 1) / 2 * float((p * p + (1 - p) * (1 - p)) ** columns)


def smallest_bias_caught(trials: int, p: float, miss: float = 1e-6, false_alarm: float = FALSE_ALARM) -> float:
    """Return the smallest b, to 1e-4, such that coins of rate p + b or p - b pass for coins of rate p with less than `miss`."""
    steps = range(1, round(min(p, 1 - p) * 1e4))
    return next(
        (
            b / 1e4
            for b in steps
            if all(miss_probability(trials, p, p + s * b / 1e4, false_alarm) < miss for s in (1, -1))
        ),
        1.0,
    )


@lru_cache(maxsize=1024)
def middle_probability(trials: int, p: float) -> tuple[int, float]:
    """Return floor(trials * p) and the chance that a Binomial(trials, p) is that or one more."""
    middle = int(trials * p)
    return middle, float(binom.pmf(middle, trials, p) + binom.pmf(middle + 1, trials, p))


def binomial_shares(trials: int, p: float) -> list[float]:
    """Return P(Binomial(trials, p) = k) for k = 0 … trials."""
    return [float(q) for q in binom.pmf(range(trials + 1), trials, p)]
