"""Unit 09: the loss against soft targets as an oracle, the sizes of samples, and answers outside its bank."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import beta
from torch.nn import functional as F

from autograder.checks import load_module
from autograder.statistics import binomial_interval, miss_probability
from tests.conftest import ROOT
from tests.test_bank import SEEDS, expect_diagnosis, reference, results_of

STEM = "09_mixup_cutmix"
CHECKS = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
CALLS, SHARE = CHECKS["CALLS"], CHECKS["SHARE"]


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_loss_is_the_librarys_on_soft_targets(lam: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(31, 7, generator=generator)
    a, b = torch.randint(7, (2, 31), generator=generator)
    soft = lam * F.one_hot(a, 7) + (1 - lam) * F.one_hot(b, 7)
    mine = reference(STEM).mixed_cross_entropy(logits, a, b, lam)
    torch.testing.assert_close(mine, F.cross_entropy(logits, soft), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("low", "high", "middle", "other"), [(0.25, 0.35, 0.45, 1.0), (2.6, 3.4, 0.25, 1.0)])
def test_wrong_distributions_of_lambda_are_missed_once_in_a_million(
    low: float, high: float, middle: float, other: float
) -> None:
    for alpha in (low, high):
        right, wrong = (float(2 * beta.cdf(0.5 - middle, a, a)) for a in (alpha, other))
        assert miss_probability(CALLS, right, wrong, SHARE) < 1e-6


def test_counts_of_boxes_tell_uniform_from_beta() -> None:
    assert binomial_interval(CALLS, 0.254, SHARE).low > 40
    assert binomial_interval(CALLS, 0.055, SHARE).low >= 1


_MIXUP = """
def mixup(x, target, alpha):
    if alpha < 0:
        raise ValueError
    lam = np.random.beta(alpha, alpha) if alpha else 1.0
    order = torch.randperm(len(x))
    return BODY
"""
_LOSS = "def mixed_cross_entropy(logits, target_a, target_b, lam):\n    return BODY\n"
_BOX = """
def random_box(height, width, lam):
    h, w = int(height * (1 - lam) ** 0.5) // 2, int(width * (1 - lam) ** 0.5) // 2
    r, c = np.random.randint(height), np.random.randint(width)
    return BODY
"""
_CLIPPED = "max(r - h, 0), min(r + h, height), max(c - w, 0), min(c + w, width)"

OUTSIDE = {
    "reversed": ("mixup", _MIXUP, "(1 - lam) * x + lam * x[order], target, target[order], lam", None),
    "another order": ("mixup", _MIXUP, "lam * x + (1 - lam) * x.flip(0), target, target[order], lam", None),
    "None": ("mixup", _MIXUP, "None", ""),
    "a text": ("mixup", _MIXUP, "lam * x + (1 - lam) * x[order], target, target[order], str(lam)", ""),
    "squares": ("mixup", _MIXUP, "lam**2 * x + (1 - lam**2) * x[order], target, target[order], lam", ""),
    "subtracted": ("mixup", _MIXUP, "lam * x - (1 - lam) * x[order], target, target[order], lam", ""),
    "zero": ("mixed_cross_entropy", _LOSS, "0 * logits.sum()", ""),
    "minus": ("mixed_cross_entropy", _LOSS,
              "-lam * F.cross_entropy(logits, target_a) - (1 - lam) * F.cross_entropy(logits, target_b)", ""),
    "reversed loss": ("mixed_cross_entropy", _LOSS,
                      "F.cross_entropy(logits, target_b) * lam + F.cross_entropy(logits, target_a) * (1 - lam)",
                      "loss_with_lambda_reversed"),
    "sums": ("mixed_cross_entropy", _LOSS,
             "len(logits) * (lam * F.cross_entropy(logits, target_a) + (1 - lam) * F.cross_entropy(logits, target_b))",
             "sum_over_the_batch"),
    "an empty box": ("random_box", _BOX, "0, 0, 0, 0", None),
    "centre as a corner": ("random_box", _BOX, f"({_CLIPPED})[2:] + ({_CLIPPED})[:2]", "columns_first"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    exercise, template, body, expected = OUTSIDE[name]
    results = results_of(STEM, exercise, template.replace("BODY", body), seed)
    assert any(o.points == 0 for o in results)
    if expected is not None:
        expect_diagnosis(STEM, exercise, results, expected)
