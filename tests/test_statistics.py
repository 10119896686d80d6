"""The arithmetic of false alarms and of misses, against sums written out; and the inputs checks draw."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from autograder.checks import load_module
from autograder.draw import Draw
from autograder.layers import wrong_rates
from autograder.statistics import (
    FALSE_ALARM,
    Interval,
    binomial_interval,
    binomial_shares,
    equal_probability,
    middle_probability,
    miss_probability,
    smallest_bias_caught,
)

ROOT = Path(__file__).resolve().parent.parent
UNIT = "03_spatial_dropout"


def pmf(n: int, k: int, p: float) -> float:
    """P(Binomial(n, p) = k), by logarithms of factorials."""
    if p in (0, 1):
        return float(k == n * p)
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
    return math.exp(log)


def between(n: int, p: float, low: int, high: int) -> float:
    return math.fsum(pmf(n, k, p) for k in range(max(low, 0), min(high, n) + 1))


@pytest.mark.parametrize("trials", [1, 7, 96, 480, 2304, 4608])
@pytest.mark.parametrize("p", [0.03, 0.2, 0.307, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("alarm", [FALSE_ALARM, FALSE_ALARM / 3, 0.05])
def test_interval_is_the_smallest_with_its_false_alarm(trials: int, p: float, alarm: float) -> None:
    accepted = binomial_interval(trials, p, alarm)
    slack = 1 + 1e-6
    assert between(trials, p, 0, accepted.low - 1) <= alarm / 2 * slack
    assert between(trials, p, accepted.high + 1, trials) <= alarm / 2 * slack
    # One narrower on either side would alarm too often.
    assert between(trials, p, 0, accepted.low) * slack >= alarm / 2
    assert between(trials, p, accepted.high, trials) * slack >= alarm / 2


def test_interval_of_certainties() -> None:
    assert binomial_interval(10, 0.0) == Interval(0, 0)
    assert binomial_interval(10, 1.0) == Interval(10, 10)
    assert 0 in binomial_interval(0, 0.5)
    assert 3 in Interval(1, 3)
    assert 4 not in Interval(1, 3)


@pytest.mark.parametrize(("trials", "p", "other"), [(100, 0.3, 0.7), (100, 0.3, 0.31), (960, 0.4, 0.5)])
def test_miss_probability(trials: int, p: float, other: float) -> None:
    accepted = binomial_interval(trials, p)
    exact = between(trials, other, accepted.low, accepted.high)
    assert miss_probability(trials, p, other) == pytest.approx(exact, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("trials", "p"), [(96, 0.2), (24, 0.4), (7, 0.307)])
def test_shares_and_middle(trials: int, p: float) -> None:
    shares = binomial_shares(trials, p)
    assert shares == pytest.approx([pmf(trials, k, p) for k in range(trials + 1)])
    middle, near = middle_probability(trials, p)
    assert middle <= trials * p < middle + 1
    assert near == pytest.approx(shares[middle] + shares[middle + 1])


def test_numbers_of_coins_suffice() -> None:
    """The sample sizes of the checks: every listed mistake is missed with probability below 1e-6."""
    public = load_module(ROOT / "notebooks" / "checks" / f"{UNIT}.py")
    graded = load_module(ROOT / "solutions" / "checks" / f"{UNIT}.py")
    rows, columns = public["MANY"][:2]
    for p in (0.201, 0.25, 0.3, 0.35, 0.399):
        assert 2 * equal_probability(2 * rows, columns, p) < 1e-12, "copied rows or columns"
        for n, k in ((rows, columns), (graded["CALLS"], graded["COINS"])):
            share = p * p + (1 - p) ** 2
            for pairs in (n // 2 * k, n * (k // 2)):
                assert pairs not in binomial_interval(pairs, share, FALSE_ALARM / 3), "one coin for a whole axis"
            _, near = middle_probability(k, p)
            assert n not in binomial_interval(n, near, FALSE_ALARM / 3), "a fixed number dropped"
    for p in (0.131, 0.15, 0.169, 0.601, 0.799):
        count, alarm = math.prod(public["COUNTED"]), FALSE_ALARM / 4
        assert miss_probability(count, p, 1 - p, alarm) < 1e-12, "keep and drop swapped"
        assert miss_probability(count, p, 0.5, alarm) < 1e-12, "always one half"
        if p < 0.5:
            rates = wrong_rates(p)
            assert miss_probability(count, p, rates["tenths"], alarm) < 1e-6, "p rounded to tenths"
            several = sorted([p, 1 - p, 0.5, *rates.values()])
            # Each named by the nearest: half of the least distance, 0.015, is more than 6 standard deviations.
            assert min(b - a for a, b in pairwise(several)) > 0.029
            assert smallest_bias_caught(count, p, 1e-6, alarm) <= 0.025
            graded_count = math.prod(graded["COUNTED"])
            assert graded_count >= 40_000
            assert smallest_bias_caught(graded_count, p, 1e-6, FALSE_ALARM / 3) <= 0.02
    for p in (0.201, 0.3, 0.399, 0.6, 0.8):
        # Patterns: that a right answer's zeros do not vary along one of its axes, or that nothing is dropped.
        for n, k in (public["FIRST"][:2], (9, 17)) if p < 0.5 else ():
            same = [(p**a + (1 - p) ** a) ** b for a, b in ((n, k), (k, n))]
            assert max(*same, (1 - p) ** (n * k)) < FALSE_ALARM


@pytest.mark.parametrize(("trials", "p"), [(1000, 0.3), (48_000, 0.25)])
def test_smallest_bias_caught(trials: int, p: float) -> None:
    bias = smallest_bias_caught(trials, p)
    assert max(miss_probability(trials, p, p + bias), miss_probability(trials, p, p - bias)) < 1e-6
    less = bias - 1e-4
    assert max(miss_probability(trials, p, p + less), miss_probability(trials, p, p - less)) >= 1e-6
    assert smallest_bias_caught(3, 0.5) == 1.0, "three coins tell nothing"


def test_equal_probability() -> None:
    """Against all tables of 3 rows of 2 coins, each weighted by its probability: the bound holds, and is not far off."""
    p, exact = 0.3, 0.0
    for bits in range(2**6):
        rows = [(bits >> 2 * r) & 3 for r in range(3)]
        if len(set(rows)) < 3:
            ones = bin(bits).count("1")
            exact += p**ones * (1 - p) ** (6 - ones)
    assert exact <= equal_probability(3, 2, p) <= 3 * exact
    assert equal_probability(2, 2, p) == pytest.approx((p * p + (1 - p) ** 2) ** 2)


def test_probabilities_are_no_share_of_few_coins() -> None:
    """A layer that divides by the share it happened to keep is never right by luck: see `Draw.probability`."""
    draw = Draw("seed", "name")
    for low, high in ((0.2, 0.4), (0.6, 0.8)):
        for p in {draw.probability(low, high) for _ in range(300)}:
            assert low <= p <= high
            for coins in (24, 16 * 24, 999):
                assert min(abs(k / coins - p) for k in range(coins + 1)) > 1e-6


def test_draw_repeats_and_depends_on_seed_and_name() -> None:
    def some(seed: str, name: str) -> tuple[object, ...]:
        draw = Draw(seed, name)
        return (
            draw.signed(3, 4).tolist(), draw.normal(2).tolist(), draw.labels(9, 5).tolist(), draw.permutation(9).tolist(),
            draw.integer(0, 10**9), draw.sizes(3, 1, 99), draw.uniform(0, 1), draw.probability(), draw.student_seed,
        )  # fmt: skip

    assert some("a", "b") == some("a", "b")
    for other in (some("a", "c"), some("c", "b"), some("ab", "")):
        assert all(x != y for x, y in zip(some("a", "b")[:3], other[:3], strict=True))
    before = torch.get_rng_state()
    some("a", "b")
    assert bool((torch.get_rng_state() == before).all()), "the global random state is none of its business"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_signed_is_away_from_zero(dtype: torch.dtype) -> None:
    x = Draw("a", "b").signed(50, 60, dtype=dtype)
    assert x.dtype == dtype
    assert float(x.abs().min()) >= 0.5
    assert float(x.abs().max()) <= 1.5
    assert 0.4 < float((x > 0).double().mean()) < 0.6


def test_sizes_differ() -> None:
    draw = Draw("a", "b")
    for _ in range(200):
        sizes = draw.sizes(3, 2, 5)
        assert len(set(sizes)) == 3
        assert set(sizes) <= {2, 3, 4, 5}
