"""Unit 09: the loss against soft targets as an oracle, the sizes of samples, and answers outside its bank."""

from __future__ import annotations

import numpy as np
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


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_is_mixed_as_the_library_mixes_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the library's own λ, box and order, which its soft targets and pixels tell, the reference makes its images."""
    import reglab  # noqa: F401  (makes torchvision importable)
    from torchvision.transforms import v2

    library = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[name](alpha=1.0, num_classes=12)
    ours = reference(STEM)
    function = getattr(ours, name)
    x, y = torch.rand(12, 3, 20, 30, generator=torch.Generator().manual_seed(0)), torch.arange(12)
    for seed in range(10):
        torch.manual_seed(seed)
        images, targets = library(x, y)
        share = float(targets.diagonal()[0])
        changed = (images != x).any(1).any(0)
        rows, columns = (changed.any(d).nonzero().flatten().tolist() for d in (1, 0))
        box = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if rows else (0, 0, 0, 0)
        monkeypatch.setattr(np.random, "beta", lambda a, b, share=share: share)
        monkeypatch.setattr(torch, "randperm", lambda n: torch.arange(n).roll(1))  # the library's order
        monkeypatch.setitem(function.__globals__, "random_box", lambda h, w, lam, box=box: box)
        mine, a, b, lam = function(x, y, 1.0)
        monkeypatch.undo()
        torch.testing.assert_close(mine, images)
        assert lam == pytest.approx(share, abs=1e-6)
        soft = lam * F.one_hot(a, 12) + (1 - lam) * F.one_hot(b, 12)
        torch.testing.assert_close(soft, targets, check_dtype=False)


@pytest.mark.parametrize("lam", [0.9, 0.75, 0.3, 0.0])
def test_the_derived_share_is_pasted_on_average(lam: float) -> None:
    """(r - r²/4)², r = √(1 - λ): over every centre of a large image, and by drawn boxes within five standard errors."""
    size, r = 1000, (1 - lam) ** 0.5
    half = int(size * r) // 2
    sides = [min(centre + half, size) - max(centre - half, 0) for centre in range(size)]
    derived = (r - r**2 / 4) ** 2
    assert (sum(sides) / size**2) ** 2 == pytest.approx(derived, abs=3e-3)
    np.random.seed(0)
    boxes = torch.tensor([reference(STEM).random_box(size, size, lam) for _ in range(4000)]).double()
    top, bottom, left, right = boxes.unbind(1)
    areas = (bottom - top) * (right - left) / size**2
    assert abs(float(areas.mean()) - derived) < 5 * float(areas.std()) / 4000**0.5 + 3e-3


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

_CUTMIX = """
def cutmix(x, target, alpha):
    if alpha < 0:
        raise ValueError
    lam = np.random.beta(alpha, alpha) if alpha else 1.0
    t, b, l, r = random_box(*x.shape[2:], lam)
    order, out = torch.randperm(len(x)), x.clone()
    BODY
    kept = 1 - (b - t) * (r - l) / (x.shape[2] * x.shape[3])
    return out, target, target[order], kept
"""

OUTSIDE = {
    "reversed": ("mixup", _MIXUP, "(1 - lam) * x + lam * x[order], target, target[order], lam", "lambda_reversed_at_0_too"),
    "flipped": ("mixup", _MIXUP, "lam * x + (1 - lam) * x.flip(0), target, target.flip(0), lam", "partner_is_the_neighbour"),
    "lambda of shape (1,)": (
        "mixup", _MIXUP.replace("np.random.beta(alpha, alpha)", "torch.distributions.Beta(alpha, alpha).sample((1,))"),
        "lam * x + (1 - lam) * x[order], target, target[order], torch.as_tensor(lam).reshape(-1)",
        "lambda_as_a_vector_of_one",
    ),
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
    "slices exchanged": (
        "cutmix", _CUTMIX, "out[:, :, l:r, t:b] = x[order][:, :, l:r, t:b]", "sides_of_the_image_exchanged"
    ),
    "the number that was drawn": (
        "cutmix", _CUTMIX.replace("kept =", "kept = lam if alpha else"),
        "out[:, :, t:b, l:r] = x[order][:, :, t:b, l:r]", "lambda_as_drawn",
    ),
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
