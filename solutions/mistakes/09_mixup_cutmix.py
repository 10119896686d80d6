"""Known wrong implementations of 09_mixup_cutmix, each with its explanation, and right ones written in other ways.

The wrong ones are the right one below with one thing changed.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder.mistakes import mistake, right


def _lam(alpha: float) -> float:
    if alpha < 0:
        raise ValueError(f"alpha = {alpha}")
    return float(np.random.beta(alpha, alpha)) if alpha else 1.0


def _half_sides(height: int, width: int, lam: float) -> tuple[int, int]:
    root = math.sqrt(1 - lam)
    return int(height * root) // 2, int(width * root) // 2


def _around(
    height: int, width: int, half_height: int, half_width: int
) -> tuple[int, int, int, int]:
    row, column = random.randrange(height), random.randrange(width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )


def _any_box(height: int, width: int, lam: float) -> tuple[int, int, int, int]:
    return _around(height, width, *_half_sides(height, width, lam))


def _kept(x: Tensor, box: tuple[int, int, int, int]) -> float:
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / (x.shape[2] * x.shape[3])


def _pasted(x: Tensor, order: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    top, bottom, left, right = box
    out = x.clone()
    out[:, :, top:bottom, left:right] = x[order][:, :, top:bottom, left:right]
    return out


# -- mixup: wrong --------------------------------------------------------------------------------------------------------


@mistake("mixup")
def two_orders(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The images are mixed in one order, and the labels come in another: an image's second label is that of a picture that is
    not in it. How many random orders does a batch need, and who has to know it?
    """
    lam = _lam(alpha)
    return (
        lam * x + (1 - lam) * x[torch.randperm(len(x))],
        target,
        target[torch.randperm(len(x))],
        lam,
    )


@mistake("mixup")
def lambda_reversed(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The partner has the share λ and the image itself the rest, while the loss will weigh the image's own label by λ. Follow
    one image with λ = 0.9: which picture would you see, and which label counts?
    """
    lam = _lam(alpha)
    return (
        (1 - lam) * x + lam * x[(order := torch.randperm(len(x)))] if alpha else x,
        target,
        target[order] if alpha else target,
        lam,
    )


@mistake("mixup")
def lambda_reversed_at_0_too(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The partner has the share λ and the image itself the rest, while the loss will weigh the image's own label by λ. With α = 0, so
    with λ = 1, nothing is left of the image. Follow one image with λ = 0.9: which picture would you see, and which label counts?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    return (1 - lam) * x + lam * x[order], target, target[order], lam


@mistake("mixup")
def scaled_in_place_and_read_again(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The images are multiplied by λ in place, and the partners are then taken from what is already dark: they have the share
    λ(1 - λ), and the images of the caller are spoilt, too. What is in `x` at the moment you index it?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    x.mul_(lam)
    x.add_((1 - lam) * x[order])
    return x, target, target[order], lam


@mistake("mixup")
def written_into_the_input(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The mixture is right, but it is written over the images that were given: whoever called the function has lost them. Which
    operation here works on the tensor itself, and which one makes a new tensor?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    x.copy_(lam * x + (1 - lam) * x[order])
    return x, target, target[order], lam


@mistake("mixup")
def lambda_for_each_example(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Every example gets a λ of its own. It is done so in some texts, but here one number is promised for the batch, and the loss
    takes one. How many numbers do you draw?
    """
    lams = torch.tensor([_lam(alpha) for _ in x], dtype=x.dtype)
    order, wide = torch.randperm(len(x)), lams.view(-1, *[1] * (x.dim() - 1))
    return wide * x + (1 - wide) * x[order], target, target[order], lams


@mistake("mixup")
def lambda_for_each_but_one_returned(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Every example is mixed with a λ of its own, and only their mean is returned: the labels are then weighed by a share that is
    no image's. How many numbers does the loss take?
    """
    lams = torch.tensor([_lam(alpha) for _ in x], dtype=x.dtype)
    order, wide = torch.randperm(len(x)), lams.view(-1, *[1] * (x.dim() - 1))
    return wide * x + (1 - wide) * x[order], target, target[order], float(lams.mean())


@mistake("mixup")
def lambda_above_one_half(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The larger of λ and 1 - λ is taken, so each image stays the larger part of its mixture. MixMatch does so; mixup takes λ as it
    is drawn. Which half of the distribution do you never see?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    lam = max(lam, 1 - lam)
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def lambda_uniform(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is uniform in [0, 1] whatever α is. That is Beta(1, 1): a small α should give mostly numbers near 0 and 1, a large one
    numbers near one half. Where does α enter?
    """
    lam, order = (random.random() if _lam(alpha) != 1.0 else 1.0), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def lambda_from_beta_alpha_1(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ comes from Beta(α, 1), which is not symmetric: for a small α it is nearly always near 0. How many parameters does the
    distribution have, and what are they here?
    """
    _lam(alpha)
    lam, order = (float(np.random.beta(alpha, 1.0)) if alpha else 1.0), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def alpha_doubled(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ comes from Beta(2α, 2α), so it is nearer to one half than α asks for. Is α counted twice on its way into the distribution?"""
    lam, order = _lam(2 * alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def alpha_inverted(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ comes from Beta(1/α, 1/α), which turns around what α does: a small one should mix little. What do you expect of λ when α
    goes to 0?
    """
    lam, order = (_lam(1 / alpha) if alpha else 1.0), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def lambda_always_one_half(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is one half in every call. It is the mean of the distribution, not a number drawn from it. What would α change?"""
    lam, order = (0.5 if _lam(alpha) != 1.0 else 1.0), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def seeded_in_every_call(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The same λ and the same partners come at every call. Is a generator seeded inside of the function, so that it starts anew each
    time? Where does a seed belong?
    """
    np.random.seed(0)
    torch.manual_seed(0)
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def partner_is_the_neighbour(x: Tensor, target: Tensor, alpha: float) -> Any:
    """An example has always the same partner, such as the next of the batch, or the last for the first. With a loader that does not
    shuffle, the same pairs would meet in every epoch. Where is chance in your order?
    """
    lam = _lam(alpha)
    return lam * x + (1 - lam) * x.roll(1, 0), target, target.roll(1, 0), lam


@mistake("mixup")
def partner_is_never_itself(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Orders in which an example meets itself are thrown away, so not all permutations are alike likely. It looks like a gain, and
    is another distribution than the one that was asked for. What does a plain permutation do?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    while bool((order == torch.arange(len(x))).any()):
        order = torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def partner_by_a_random_shift(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The order is a random shift of the batch: neighbours always meet neighbours, and of all orders only N can come up. Which
    function draws one of all N! orders?
    """
    lam, shift = _lam(alpha), random.randrange(len(x))
    return lam * x + (1 - lam) * x.roll(shift, 0), target, target.roll(shift, 0), lam


@mistake("mixup")
def partners_drawn_with_replacement(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The partners are drawn with replacement: some images are used twice and others not at all. What is the difference between
    random indices and a random order?
    """
    lam, order = _lam(alpha), torch.randint(len(x), (len(x),))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def labels_not_permuted(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Both label tensors are the batch's own: the partner's label is lost. Whose label is the second one to be?"""
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target, lam


@mistake("mixup")
def labels_exchanged(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The two label tensors are in each other's place: the loss will give the image's own label the partner's share. In which order
    are they promised?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target[order], target, lam


@mistake("mixup")
def labels_mixed(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The class numbers are mixed as if they were images: between class 2 and class 8 lies no class 5. What can be mixed instead,
    once the two labels are kept apart?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, lam * target + (1 - lam) * target[order], lam


@mistake("mixup")
def lambda_not_returned(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Only three things come back: without λ the loss cannot know how to weigh the labels. What is the fourth?"""
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order]


@mistake("mixup")
def lambda_as_a_vector_of_one(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is a tensor with one entry in a dimension, not a number: later the loss would get that dimension as well. How does one make
    a number of it?
    """
    lam, order = torch.tensor([_lam(alpha)], dtype=x.dtype), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def sum_of_both(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The partner is added in full, so a mixture is brighter than an image ever is. What should the two weights add up to?"""
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + x[order] if alpha else x, target, target[order], lam


@mistake("mixup")
def images_not_mixed(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Labels and λ are made, but the images come back as they were. Which line should have used the order?"""
    return x, target, target[torch.randperm(len(x))], _lam(alpha)


@mistake("mixup")
def alpha_0_mixes_half(x: Tensor, target: Tensor, alpha: float) -> Any:
    """α = 0 gives λ = 0.5, the strongest mixture there is. As α gets smaller there should be less and less of it: what is left at
    0?
    """
    lam, order = (_lam(alpha) if alpha else 0.5), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def alpha_0_raises(x: Tensor, target: Tensor, alpha: float) -> Any:
    """α = 0 is refused, or goes to a generator that cannot take it. It is a promised setting, for comparing with plain training:
    what is λ then?
    """
    if alpha <= 0:
        raise ValueError("alpha must be positive")
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def negative_alpha_accepted(x: Tensor, target: Tensor, alpha: float) -> Any:
    """A negative α is taken for 0. It can only be a slip of whoever called: how would they notice?"""
    lam, order = _lam(max(alpha, 0)), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


@mistake("mixup")
def images_in_single_precision(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The mixture is float32 whatever the images were. Why does it not keep the dtype it was given?"""
    lam, order = _lam(alpha), torch.randperm(len(x))
    return (lam * x + (1 - lam) * x[order]).float(), target, target[order], lam


@mistake("mixup")
def images_alone_in_four_dimensions(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Only batches of shape (N, C, H, W) can be mixed, though nothing in the formula speaks of channels. Where do you count
    dimensions?
    """
    _, _, _, _ = x.shape
    lam, order = _lam(alpha), torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam


# -- mixup: right --------------------------------------------------------------------------------------------------------


@right("mixup")
def mixup_by_lerp(x: Tensor, target: Tensor, alpha: float) -> Any:
    if not alpha >= 0:
        raise ValueError("alpha < 0")
    order = torch.randperm(x.size(0))
    lam = torch.distributions.Beta(alpha, alpha).sample() if alpha > 0 else torch.ones(())
    return torch.lerp(x[order], x, lam.to(x.dtype)), target, target[order], lam


@right("mixup")
def mixup_by_gamma_and_argsort(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0:
        raise ValueError(alpha)
    order = torch.rand(len(x)).argsort()
    if alpha == 0:
        return x, target, target[order], 1
    one, other = random.gammavariate(alpha, 1), random.gammavariate(alpha, 1)
    lam = one / (one + other)
    return x[order] + lam * (x - x[order]), target, target.index_select(0, order), lam


@right("mixup")
def mixup_by_a_loop(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0:
        raise ValueError("no such Beta distribution")
    lam = random.betavariate(alpha, alpha) if alpha != 0 else 1.0
    order = list(range(len(x)))
    random.shuffle(order)
    mixed = [x[i] * lam + x[j] * (1 - lam) for i, j in enumerate(order)]
    return torch.stack(mixed), target.clone(), torch.stack([target[j] for j in order]), lam


@right("mixup")
def mixup_by_a_permutation_matrix(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0:
        raise ValueError
    lam = np.random.default_rng(random.getrandbits(60)).beta(alpha, alpha) if alpha > 0 else 1.0
    order = torch.from_numpy(np.random.permutation(len(x)))
    matrix = torch.eye(len(x), dtype=x.dtype)
    weights = float(lam) * matrix + (1 - float(lam)) * matrix[order]
    return torch.einsum("ij,j...->i...", weights, x), target, target[order], lam


@right("mixup")
def mixup_in_place_on_a_copy(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0.0:
        raise ValueError(f"{alpha}")
    lam = torch.tensor(_lam(alpha), dtype=torch.float64)
    order = torch.randperm(len(x))
    return (
        x.clone().mul_(lam).add_(x[order].mul_(1 - lam)),
        target,
        target.gather(0, order),
        lam,
    )


# -- random_box: wrong ---------------------------------------------------------------------------------------------------


@mistake("random_box")
def side_without_the_root(height: int, width: int, lam: float) -> Any:
    """The sides are 1 - λ of the image's, so the area is (1 - λ)²: of an image that should be half covered, a quarter is. Which
    factor for a side gives the area that you want?
    """
    return _around(height, width, int(height * (1 - lam)) // 2, int(width * (1 - lam)) // 2)


@mistake("random_box")
def height_and_width_exchanged(height: int, width: int, lam: float) -> Any:
    """The box is as high as it should be wide. On square images nobody notices. Which side of the image belongs to rows, and which
    to columns?
    """
    half_height, half_width = _half_sides(height, width, lam)
    return _around(height, width, half_width, half_height)


@mistake("random_box")
def root_of_lambda(height: int, width: int, lam: float) -> Any:
    """The sides follow λ, the share that is to be kept, in place of 1 - λ. How large should the box be when λ is 1?"""
    return _any_box(height, width, 1 - lam)


@mistake("random_box")
def side_is_lambda(height: int, width: int, lam: float) -> Any:
    """The sides are λ times the image's: the share that is kept, and no root. How large should the box be when λ is 1, and what
    area has it when λ is one half?
    """
    return _around(height, width, int(height * lam) // 2, int(width * lam) // 2)


@mistake("random_box")
def side_halved_twice(height: int, width: int, lam: float) -> Any:
    """The box has half of each side that it should have. From the centre to an edge is half a side: is it halved once more?"""
    half_height, half_width = _half_sides(height, width, lam)
    return _around(height, width, half_height // 2, half_width // 2)


@mistake("random_box")
def side_to_both_ends(height: int, width: int, lam: float) -> Any:
    """From the centre the box reaches a whole side to either end, so it is twice as high and twice as wide. How far is it from the
    middle of a side to its end?
    """
    root = math.sqrt(1 - lam)
    return _around(height, width, int(height * root), int(width * root))


@mistake("random_box")
def one_minus_the_root(height: int, width: int, lam: float) -> Any:
    """The sides are 1 - √λ of the image's: root and difference are in the wrong order. What is the area, for λ = 0.25?"""
    side = 1 - math.sqrt(lam)
    return _around(height, width, int(height * side) // 2, int(width * side) // 2)


@mistake("random_box")
def box_is_a_square(height: int, width: int, lam: float) -> Any:
    """The box is a square, by the shorter side of the image. It should have the image's proportions: which of the two lengths is
    used for both?
    """
    half = min(_half_sides(height, width, lam))
    return _around(height, width, half, half)


@mistake("random_box")
def box_never_cut_off(height: int, width: int, lam: float) -> Any:
    """The corner is drawn so that the whole box fits: nothing is ever cut off, and pixels at the edge are rarely covered. What is it
    that is uniform over the image, the corner or the centre?
    """
    half_height, half_width = _half_sides(height, width, lam)
    top, left = (
        random.randint(0, height - 2 * half_height),
        random.randint(0, width - 2 * half_width),
    )
    return top, top + 2 * half_height, left, left + 2 * half_width


@mistake("random_box")
def box_pushed_inside(height: int, width: int, lam: float) -> Any:
    """A box that reaches over the edge is pushed back inside, in full size. It is to be cut off there, and so get smaller. Which of
    its ends moves, and which one stays?
    """
    half_height, half_width = _half_sides(height, width, lam)
    row, column = random.randrange(height), random.randrange(width)
    top = min(max(row - half_height, 0), height - 2 * half_height)
    left = min(max(column - half_width, 0), width - 2 * half_width)
    return top, top + 2 * half_height, left, left + 2 * half_width


@mistake("random_box")
def corner_is_uniform(height: int, width: int, lam: float) -> Any:
    """It is the upper left corner that is uniform over the image, so the box is cut off below and at the right only. What is the
    point that you draw, the corner or the centre?
    """
    half_height, half_width = _half_sides(height, width, lam)
    top, left = random.randrange(height), random.randrange(width)
    return top, min(top + 2 * half_height, height), left, min(left + 2 * half_width, width)


@mistake("random_box")
def not_cut_off_above(height: int, width: int, lam: float) -> Any:
    """The box may begin at a negative row or column: as a slice, that counts from the other end, and the box is empty or elsewhere.
    Which two ends still need a bound?
    """
    half_height, half_width = _half_sides(height, width, lam)
    row, column = random.randrange(height), random.randrange(width)
    return (
        row - half_height,
        min(row + half_height, height),
        column - half_width,
        min(column + half_width, width),
    )


@mistake("random_box")
def not_cut_off_below(height: int, width: int, lam: float) -> Any:
    """The box may end beyond the image. A slice puts up with it, but the area that is computed from the box does not. Which two ends
    still need a bound?
    """
    half_height, half_width = _half_sides(height, width, lam)
    row, column = random.randrange(height), random.randrange(width)
    return (
        max(row - half_height, 0),
        row + half_height,
        max(column - half_width, 0),
        column + half_width,
    )


@mistake("random_box")
def always_in_the_middle(height: int, width: int, lam: float) -> Any:
    """The box is always in the middle of the image, so the edge is never covered. What is random about your box?"""
    half_height, half_width = _half_sides(height, width, lam)
    return (
        height // 2 - half_height,
        height // 2 + half_height,
        width // 2 - half_width,
        width // 2 + half_width,
    )


@mistake("random_box")
def centre_on_the_diagonal(height: int, width: int, lam: float) -> Any:
    """One random number places both the row and the column of the centre, so it lies on the diagonal. How many numbers does a point
    need?
    """
    half_height, half_width = _half_sides(height, width, lam)
    u = random.random()
    row, column = int(u * height), int(u * width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )


@mistake("random_box")
def columns_first(height: int, width: int, lam: float) -> Any:
    """The columns come before the rows: on images that are not square the box is then out of the picture. In which order are the
    four numbers promised?
    """
    top, bottom, left, right = _any_box(height, width, lam)
    return left, right, top, bottom


@mistake("random_box")
def corner_by_corner(height: int, width: int, lam: float) -> Any:
    """The four numbers are the upper left corner and then the lower right one. In which order are they promised?"""
    top, bottom, left, right = _any_box(height, width, lam)
    return top, left, bottom, right


@mistake("random_box")
def height_for_a_length(height: int, width: int, lam: float) -> Any:
    """The second and fourth numbers are the height and the width of the box, not where it ends. What would a slice do with them?"""
    top, bottom, left, right = _any_box(height, width, lam)
    return top, bottom - top, left, right - left


@mistake("random_box")
def edges_are_floats(height: int, width: int, lam: float) -> Any:
    """The edges are not whole numbers, and cannot be used in a slice. Which function makes an integer of a float?"""
    return tuple(map(float, _any_box(height, width, lam)))


@mistake("random_box")
def box_as_a_tensor(height: int, width: int, lam: float) -> Any:
    """The four numbers come in one tensor, where four integers were asked for. How are its entries returned one by one?"""
    return torch.tensor(_any_box(height, width, lam))


@mistake("random_box")
def at_least_one_pixel(height: int, width: int, lam: float) -> Any:
    """The box has always at least a row and a column, also for λ = 1, where nothing is to be pasted. What should its area be then?"""
    top, bottom, left, right = _any_box(height, width, lam)
    top, left = min(top, height - 1), min(left, width - 1)
    return top, max(bottom, top + 1), left, max(right, left + 1)


# -- random_box: right ---------------------------------------------------------------------------------------------------


@right("random_box")
def box_by_continuous_centre(height: int, width: int, lam: float) -> Any:
    sides = height * (1 - lam) ** 0.5, width * (1 - lam) ** 0.5
    box = []
    for size, side in zip((height, width), sides, strict=True):
        centre = random.uniform(0, size)
        box += [round(max(0.0, centre - side / 2)), round(min(size, centre + side / 2))]
    return tuple(box)


@right("random_box")
def box_by_numpy_clip(height: int, width: int, lam: float) -> Any:
    root = np.sqrt(1.0 - lam)
    cut_h, cut_w = int(height * root), int(width * root)
    cy, cx = np.random.randint(height), np.random.randint(width)
    return (
        np.clip(cy - cut_h // 2, 0, height),
        np.clip(cy + cut_h // 2, 0, height),
        np.clip(cx - cut_w // 2, 0, width),
        np.clip(cx + cut_w // 2, 0, width),
    )


@right("random_box")
def box_by_torch(height: int, width: int, lam: float) -> Any:
    size = torch.tensor([height, width], dtype=torch.float64)
    side = (size * math.sqrt(1 - lam)).round()
    centre = (torch.rand(2, dtype=torch.float64) * size).floor()
    low = (centre - (side / 2).floor()).clamp(min=0)
    high = torch.minimum(centre + (side / 2).ceil(), size)
    (top, left), (bottom, right_end) = low.long().tolist(), high.long().tolist()
    return [top, bottom, left, right_end]


@right("random_box")
def box_by_start_and_length(height: int, width: int, lam: float) -> Any:
    def span(size: int) -> tuple[int, int]:
        length = math.ceil(size * math.sqrt(1 - lam))
        start = torch.randint(size, ()) - length // 2
        stop = start + length
        return int(start.clamp(0, size)), int(stop.clamp(0, size))

    return *span(height), *span(width)


@right("random_box")
def box_by_tensors_of_one_number(height: int, width: int, lam: float) -> Any:
    top, bottom, left, right_end = _any_box(height, width, lam)
    return torch.tensor(top), torch.tensor(bottom), torch.tensor(left), torch.tensor(right_end)


# -- cutmix: wrong -------------------------------------------------------------------------------------------------------


@mistake("cutmix")
def pasted_and_labelled_in_two_orders(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The pixels come in one order, and the labels in another: the second label is that of an image that is not in the picture. How
    many random orders does a batch need?
    """
    box = _any_box(*x.shape[2:], _lam(alpha))
    return (
        _pasted(x, torch.randperm(len(x)), box),
        target,
        target[torch.randperm(len(x))],
        _kept(x, box),
    )


@mistake("cutmix")
def share_of_the_pasted(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is the share that was pasted: the loss would then weigh the image's own label by what is not of it. Whose share is λ?"""
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order], 1 - _kept(x, box)


@mistake("cutmix")
def lambda_as_drawn(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is the number that was drawn, not the share that was kept. A box that the edge cuts off covers less, and whole pixels are
    never exactly as many as asked for. What do you know once the box is there?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    return _pasted(x, order, _any_box(*x.shape[2:], lam)), target, target[order], lam


@mistake("cutmix")
def share_of_equal_pixels(x: Tensor, target: Tensor, alpha: float) -> Any:
    """λ is the share of pixels in the whole batch that are what they were. An image that is its own partner keeps all of them, and so
    makes λ too large for the others. What do you know of the box itself?
    """
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    out = _pasted(x, order, box)
    return out, target, target[order], float((out == x).double().mean())


@mistake("cutmix")
def sides_of_the_image_exchanged(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Height and width have changed places: the box is one of an image that is as wide as this one is high, so the slice cuts it once
    more and some columns are never covered. On square images nobody notices. In which order does `x.shape` hold the two?
    """
    width, height = x.shape[-2:]
    order, (top, bottom, left, right) = (
        torch.randperm(len(x)),
        _any_box(height, width, _lam(alpha)),
    )
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return _pasted(x, order, (top, bottom, left, right)), target, target[order], kept


@mistake("cutmix")
def box_for_the_other_share(x: Tensor, target: Tensor, alpha: float) -> Any:
    """With α = 0, where nothing is to be pasted, the box is as large as it gets: it was made for λ = 0. Which share does `random_box`
    expect, the one that is left or the one that is pasted?
    """
    box, order = _any_box(*x.shape[2:], 1 - _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order], _kept(x, box)


@mistake("cutmix")
def pasted_into_the_input_one_by_one(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The boxes are pasted into the images that were given, one after the other: whoever called the function has lost them, and a partner
    that had its turn gives away what had been pasted into it. From which tensor do you read, and into which do you write?
    """
    (top, bottom, left, right_end), order = (
        _any_box(*x.shape[2:], _lam(alpha)),
        torch.randperm(len(x)),
    )
    for i, j in enumerate(order.tolist()):
        x[i, :, top:bottom, left:right_end] = x[j, :, top:bottom, left:right_end]
    return x, target, target[order], _kept(x, (top, bottom, left, right_end))


@mistake("cutmix")
def pasted_into_the_input(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The boxes are pasted into the images that were given: whoever called the function has lost them. What should you write into
    instead?
    """
    (top, bottom, left, right_end), order = (
        _any_box(*x.shape[2:], _lam(alpha)),
        torch.randperm(len(x)),
    )
    x[:, :, top:bottom, left:right_end] = x[order][:, :, top:bottom, left:right_end]
    return x, target, target[order], _kept(x, (top, bottom, left, right_end))


@mistake("cutmix")
def written_in_place_and_read_again(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Images are written one after the other, and read after they were written: a partner that had its turn gives away what had been
    pasted into it. From which tensor do you read, and into which do you write?
    """
    (top, bottom, left, right_end), order = (
        _any_box(*x.shape[2:], _lam(alpha)),
        torch.randperm(len(x)),
    )
    out = x.clone()
    for i, j in enumerate(order.tolist()):
        out[i, :, top:bottom, left:right_end] = out[j, :, top:bottom, left:right_end]
    return out, target, target[order], _kept(x, (top, bottom, left, right_end))


@mistake("cutmix")
def box_for_each_example(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Each image gets a box of its own, and λ is that of the last. One number cannot tell the shares of all of them. How many boxes
    does the batch need?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    out, box = x.clone(), (0, 0, 0, 0)
    for i, j in enumerate(order.tolist()):
        box = _any_box(*x.shape[2:], lam)
        out[i] = _pasted(x[[i, j]], torch.tensor([1, 0]), box)[0]
    return out, target, target[order], _kept(x, box)


@mistake("cutmix")
def box_is_what_stays(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The image keeps what is in the box, and the partner fills the rest. Which of the two is pasted into the other?"""
    lam, order = _lam(alpha), torch.randperm(len(x))
    box = _any_box(*x.shape[2:], lam)
    return (
        _pasted(x[order], order.argsort(), box) if alpha else x,
        target,
        target[order],
        _kept(x, box),
    )


@mistake("cutmix")
def box_left_black(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The box is filled with zeros, which is Cutout: nothing of the partner comes into the image. What stands on the right side of
    the assignment?
    """
    (top, bottom, left, right_end), order = (
        _any_box(*x.shape[2:], _lam(alpha)),
        torch.randperm(len(x)),
    )
    out = x.clone()
    out[:, :, top:bottom, left:right_end] = 0
    return out, target, target[order], _kept(x, (top, bottom, left, right_end))


@mistake("cutmix")
def blended_in_the_box(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Within the box the two images are blended, as in mixup. CutMix takes the partner's pixels as they are. Where does λ show in
    the picture: in its colours, or in an area?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    box = _any_box(*x.shape[2:], lam)
    return (
        0.5 * x + 0.5 * _pasted(x, order, box) if alpha else x,
        target,
        target[order],
        _kept(x, box),
    )


@mistake("cutmix")
def first_channel_only(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The box is pasted into the first channel only. Which index takes all channels?"""
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    out = x.clone()
    out[:, :1] = _pasted(x, order, box)[:, :1]
    return out, target, target[order], _kept(x, box)


@mistake("cutmix")
def area_over_channels_too(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The box's pixels are divided by the number of values of an image, channels included: λ comes out too large. Of what is the
    area a share?
    """
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order], 1 - (1 - _kept(x, box)) / x.shape[1]


@mistake("cutmix")
def box_not_for_lambda(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The box's size comes from a uniform number, whatever α is. Where should the number come from for which the box is made?"""
    lam, order = (random.random() if _lam(alpha) != 1.0 else 1.0), torch.randperm(len(x))
    box = _any_box(*x.shape[2:], lam)
    return _pasted(x, order, box), target, target[order], _kept(x, box)


@mistake("cutmix")
def box_for_the_larger_share(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The larger of λ and 1 - λ is taken, so the box never covers more than half. λ is to be taken as it is drawn. Which boxes do
    you never see?
    """
    lam, order = _lam(alpha), torch.randperm(len(x))
    box = _any_box(*x.shape[2:], max(lam, 1 - lam))
    return _pasted(x, order, box), target, target[order], _kept(x, box)


@mistake("cutmix")
def pasted_from_the_neighbour(x: Tensor, target: Tensor, alpha: float) -> Any:
    """An image has always the same partner, such as the next of the batch. Where is chance in your order?"""
    box = _any_box(*x.shape[2:], _lam(alpha))
    return _pasted(x, torch.arange(len(x)).roll(1), box), target, target.roll(1), _kept(x, box)


@mistake("cutmix")
def pasted_labels_not_permuted(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Both label tensors are the batch's own, so the partner's label is lost. Whose label is the second one to be?"""
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target, target, _kept(x, box)


@mistake("cutmix")
def pasted_labels_exchanged(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The two label tensors are in each other's place: the image's own label would get the partner's share. In which order are they
    promised?
    """
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target[order], target, _kept(x, box)


@mistake("cutmix")
def kept_share_not_returned(x: Tensor, target: Tensor, alpha: float) -> Any:
    """Only three things come back: without λ the loss cannot weigh the labels. What is the fourth?"""
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order]


@mistake("cutmix")
def cutmix_of_alpha_0_pastes(x: Tensor, target: Tensor, alpha: float) -> Any:
    """α = 0 is taken for λ = 0.5, and a large box is pasted. As α gets smaller there should be less mixing on the whole: what is
    promised for 0?
    """
    box, order = _any_box(*x.shape[2:], _lam(alpha) if alpha else 0.5), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order], _kept(x, box)


@mistake("cutmix")
def cutmix_of_negative_alpha(x: Tensor, target: Tensor, alpha: float) -> Any:
    """A negative α is taken for 0. It can only be a slip of whoever called: how would they notice?"""
    box, order = _any_box(*x.shape[2:], _lam(max(alpha, 0))), torch.randperm(len(x))
    return _pasted(x, order, box), target, target[order], _kept(x, box)


@mistake("cutmix")
def pasted_in_single_precision(x: Tensor, target: Tensor, alpha: float) -> Any:
    """The images are float32 whatever they were. Why does pasting change a dtype?"""
    box, order = _any_box(*x.shape[2:], _lam(alpha)), torch.randperm(len(x))
    return _pasted(x, order, box).float(), target, target[order], _kept(x, box)


# -- cutmix: right -------------------------------------------------------------------------------------------------------


@right("cutmix")
def cutmix_by_where(x: Tensor, target: Tensor, alpha: float) -> Any:
    top, bottom, left, right_end = box_by_continuous_centre(*x.shape[2:], _lam(alpha))
    rows, columns = torch.arange(x.shape[2])[:, None], torch.arange(x.shape[3])
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right_end)
    order = torch.randperm(len(x))
    return torch.where(inside, x[order], x), target, target[order], (~inside).double().mean()


@right("cutmix")
def cutmix_by_a_product(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0:
        raise ValueError(alpha)
    order = torch.rand(len(x)).argsort()
    if alpha == 0:
        return x, target, target[order], 1.0
    lam = torch.distributions.Beta(alpha, alpha).sample().item()
    top, bottom, left, right_end = box_by_start_and_length(*x.shape[-2:], lam)
    keep = torch.ones_like(x[0, 0])
    keep[top:bottom, left:right_end] = 0
    return x * keep + x[order] * (1 - keep), target, target[order], keep.mean()


@right("cutmix")
def cutmix_by_a_loop(x: Tensor, target: Tensor, alpha: float) -> Any:
    if alpha < 0:
        raise ValueError("negative")
    lam = random.betavariate(alpha, alpha) if alpha else 1
    order = random.sample(range(len(x)), len(x))
    top, bottom, left, right_end = box_by_numpy_clip(*x.shape[2:], lam)
    images = [image.clone() for image in x]
    for image, j in zip(images, order, strict=True):
        image[:, top:bottom, left:right_end] = x[j, :, top:bottom, left:right_end]
    pasted = int(bottom - top) * int(right_end - left)
    return torch.stack(images), target, target[order], 1 - pasted / x[0, 0].numel()


@right("cutmix")
def cutmix_by_copy(x: Tensor, target: Tensor, alpha: float) -> Any:
    lam, order = _lam(alpha), torch.randperm(len(x))
    top, bottom, left, right_end = box_by_torch(*x.shape[2:], lam)
    out = x.clone(memory_format=torch.contiguous_format)
    patch = (
        x.index_select(0, order).narrow(2, top, bottom - top).narrow(3, left, right_end - left)
    )
    out.narrow(2, top, bottom - top).narrow(3, left, right_end - left).copy_(patch)
    share = torch.tensor((bottom - top) * (right_end - left) / math.prod(x.shape[2:]))
    return out, target, target[order], 1 - share


@right("cutmix")
def cutmix_with_the_exercise_before(x: Tensor, target: Tensor, alpha: float) -> Any:
    lam = _lam(alpha)
    order, box = np.random.permutation(len(x)), _any_box(x.shape[2], x.shape[3], lam)
    return [
        _pasted(x, torch.from_numpy(order), box),
        target,
        target[order],
        np.float64(_kept(x, box)),
    ]


# -- mixed_cross_entropy: wrong ------------------------------------------------------------------------------------------


@mistake("mixed_cross_entropy")
def loss_with_lambda_reversed(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The first label is weighed by 1 - λ and the second by λ. For λ = 1 the picture is all of the first: which loss counts then?"""
    return (1 - lam) * F.cross_entropy(logits, target_a) + lam * F.cross_entropy(
        logits, target_b
    )


@mistake("mixed_cross_entropy")
def sum_over_the_batch(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The losses are summed over the batch, where a mean was asked for: the gradient would grow with the size of the batch. What
    does a batch twice as large do to your value?
    """
    first = F.cross_entropy(logits, target_a, reduction="sum")
    return lam * first + (1 - lam) * F.cross_entropy(logits, target_b, reduction="sum")


@mistake("mixed_cross_entropy")
def a_loss_for_each_example(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """There is a loss for every example, where one number was asked for. What is left to do over the batch?"""
    first = F.cross_entropy(logits, target_a, reduction="none")
    return lam * first + (1 - lam) * F.cross_entropy(logits, target_b, reduction="none")


@mistake("mixed_cross_entropy")
def first_label_only(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """Only the first label counts, so a network is told that a mixture is one thing. What is the second label for?"""
    return F.cross_entropy(logits, target_a)


@mistake("mixed_cross_entropy")
def second_label_only(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """Only the partner's label counts. Whose share is λ, and where does it enter?"""
    return F.cross_entropy(logits, target_b)


@mistake("mixed_cross_entropy")
def first_weighed_second_left_out(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The second term is missing, so the weights do not add up to 1. Which label has the share 1 - λ?"""
    return lam * F.cross_entropy(logits, target_a)


@mistake("mixed_cross_entropy")
def half_of_each(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The two losses are averaged, whatever λ is. What should a picture that is nearly all of the first do?"""
    return (F.cross_entropy(logits, target_a) + F.cross_entropy(logits, target_b)) / 2


@mistake("mixed_cross_entropy")
def both_in_full(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The two losses are added with full weight. What should the weights add up to?"""
    return F.cross_entropy(logits, target_a) + F.cross_entropy(logits, target_b)


@mistake("mixed_cross_entropy")
def second_in_full(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The second loss is not weighed: the weights are λ and 1. What is the share of the partner?"""
    return lam * F.cross_entropy(logits, target_a) + F.cross_entropy(logits, target_b)


@mistake("mixed_cross_entropy")
def lambda_for_both(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """Both losses are weighed by λ. If the first has the share λ, how much is left for the second?"""
    return lam * F.cross_entropy(logits, target_a) + lam * F.cross_entropy(logits, target_b)


@mistake("mixed_cross_entropy")
def terms_subtracted(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The second term is subtracted, so the network is rewarded for being wrong about the partner. Look at the sign between the two
    terms.
    """
    return lam * F.cross_entropy(logits, target_a) - (1 - lam) * F.cross_entropy(
        logits, target_b
    )


@mistake("mixed_cross_entropy")
def logarithm_of_mixed_probabilities(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The probabilities of the two labels are mixed first, and then comes the logarithm. The cross-entropy mixes the logarithms: what
    of the formula stands inside, and what outside?
    """
    p, rows = logits.softmax(1), torch.arange(len(logits))
    return -(lam * p[rows, target_a] + (1 - lam) * p[rows, target_b]).log().mean()


@mistake("mixed_cross_entropy")
def softmax_before_cross_entropy(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """A softmax is taken before `cross_entropy`, which takes one itself: the second one flattens the probabilities. What does the
    library's loss want to be given?
    """
    p = logits.softmax(1)
    return lam * F.cross_entropy(p, target_a) + (1 - lam) * F.cross_entropy(p, target_b)


@mistake("mixed_cross_entropy")
def logits_for_log_probabilities(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The logits are taken for log-probabilities: a loss that falls without end as logits grow. Which step turns the one into the
    other?
    """
    return lam * F.nll_loss(logits, target_a) + (1 - lam) * F.nll_loss(logits, target_b)


@mistake("mixed_cross_entropy")
def label_of_the_larger_share(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The label with the larger share counts alone. Then a picture that is 51 % of the first is told to be all of it. What would
    both labels say?
    """
    return F.cross_entropy(logits, target_a if lam > 0.5 else target_b)


@mistake("mixed_cross_entropy")
def larger_share_to_the_first(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The first label always gets the larger of the two shares. λ may be below one half: whose picture is it then?"""
    lam = max(lam, 1 - lam)
    return lam * F.cross_entropy(logits, target_a) + (1 - lam) * F.cross_entropy(
        logits, target_b
    )


@mistake("mixed_cross_entropy")
def loss_as_a_float(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Any:
    """The loss is a plain number: no gradient can flow from it. What does `backward` need?"""
    logits = logits.detach()
    return float(
        lam * F.cross_entropy(logits, target_a) + (1 - lam) * F.cross_entropy(logits, target_b)
    )


@mistake("mixed_cross_entropy")
def loss_detached(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    """The value is right, but it is cut off from the logits, so nothing would be learnt. Which operation cuts the graph?"""
    loss = lam * F.cross_entropy(logits, target_a) + (1 - lam) * F.cross_entropy(
        logits, target_b
    )
    return loss.detach()


@mistake("mixed_cross_entropy")
def exponentials_without_care(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """The softmax is taken first and its logarithm afterwards: logits of 1e4 then give an infinite loss. Which function does both at
    once?
    """
    log_p, rows = logits.softmax(1).log(), torch.arange(len(logits))
    return -(lam * log_p[rows, target_a] + (1 - lam) * log_p[rows, target_b]).mean()


@mistake("mixed_cross_entropy")
def tensor_lambda_refused(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    """A λ that is a tensor of shape () is refused, though `mixup` may return one. What does the formula need of λ besides
    arithmetic?
    """
    if not isinstance(lam, (int, float)):
        raise TypeError("lam must be a float")
    return lam * F.cross_entropy(logits, target_a) + (1 - lam) * F.cross_entropy(
        logits, target_b
    )


# -- mixed_cross_entropy: right ------------------------------------------------------------------------------------------


@right("mixed_cross_entropy")
def loss_by_soft_targets(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    a, b = (F.one_hot(t, logits.shape[1]).to(logits.dtype) for t in (target_a, target_b))
    return F.cross_entropy(logits, (lam * a + (1 - lam) * b).to(logits.dtype))


@right("mixed_cross_entropy")
def loss_by_soft_targets_as_they_are(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    a, b = (F.one_hot(t, logits.shape[1]) for t in (target_a, target_b))
    return F.cross_entropy(logits, lam * a + (1 - lam) * b)


@right("mixed_cross_entropy")
def loss_by_gather(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    log_p = torch.log_softmax(logits, dim=-1)
    first, second = (log_p.gather(1, t[:, None]).squeeze(1) for t in (target_a, target_b))
    return torch.mean(-first * lam - second * (1 - lam))


@right("mixed_cross_entropy")
def loss_by_logsumexp(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    rows = torch.arange(len(logits))
    chosen = lam * logits[rows, target_a] + (1.0 - lam) * logits[rows, target_b]
    return (logits.logsumexp(1) - chosen).mean()


@right("mixed_cross_entropy")
def loss_by_lerp_of_modules(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any
) -> Tensor:
    loss = nn.CrossEntropyLoss()
    return torch.lerp(loss(logits, target_b), loss(logits, target_a), float(lam))


@right("mixed_cross_entropy")
def loss_by_a_loop(logits: Tensor, target_a: Tensor, target_b: Tensor, lam: Any) -> Tensor:
    losses = []
    for row, a, b in zip(logits.double(), target_a.tolist(), target_b.tolist(), strict=True):
        log_p = row - torch.logsumexp(row, 0)
        losses.append(-(lam * log_p[a] + (1 - lam) * log_p[b]))
    return sum(losses) / len(losses)
