"""Known wrong implementations of 06_calibration, each with its explanation, and right ones written in other ways."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from autograder.mistakes import mistake, right

Bins = tuple[Tensor, Tensor, Tensor]


def _sorted(confidence: Tensor, hit: Tensor, bins: Tensor, n_bins: int) -> Bins:
    """Mean of confidence and hits in each bin, and the count, given the bin of each example."""
    member = F.one_hot(bins, n_bins).to(confidence.dtype)
    count = member.sum(0)
    return (
        confidence @ member / count.clamp(min=1),
        hit.to(confidence.dtype) @ member / count.clamp(min=1),
        count,
    )


def _bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    confidence, chosen = probs.max(dim=1)
    return _sorted(
        confidence, chosen == target, (confidence * n_bins).long().clamp(max=n_bins - 1), n_bins
    )


# -- reliability_bins: wrong ---------------------------------------------------------------------------------------------


@mistake("reliability_bins")
def bins_of_the_true_class(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The probability of the true class is taken for the confidence. How sure the network is of its own choice must not depend
    on the answer: a network that is very sure and wrong would look modest. Which number of a row goes with `argmax`?
    """
    confidence = probs.gather(1, target[:, None]).squeeze(1)
    hit = probs.argmax(dim=1) == target
    return _sorted(confidence, hit, (confidence * n_bins).long().clamp(max=n_bins - 1), n_bins)


@mistake("reliability_bins")
def bins_of_all_classes(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Every probability of every row is put into a bin, K for each example. That is another kind of diagram, in which the many
    small probabilities drown the rest: here each example counts once, by its largest.
    """
    values, hit = probs.flatten(), F.one_hot(target, probs.shape[1]).flatten()
    return _sorted(values, hit, (values * n_bins).long().clamp(max=n_bins - 1), n_bins)


@mistake("reliability_bins")
def one_falls_out(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Every bin is open at its upper end, so a confidence of exactly 1 is in none of them. A network that is too sure of itself
    has many of those, and they are what you are looking for. What should the last bin do?
    """
    confidence, chosen = probs.max(dim=1)
    hit = (chosen == target).to(probs.dtype)
    parts = []
    for b in range(n_bins):
        inside = (confidence >= b / n_bins) & (confidence < (b + 1) / n_bins)
        n = inside.sum()
        parts.append(
            torch.stack([confidence[inside].mean(), hit[inside].mean(), n])
            if n
            else torch.zeros(3, dtype=probs.dtype)
        )
    confidence, accuracy, count = torch.stack(parts).T
    return confidence, accuracy, count


@mistake("reliability_bins")
def one_gets_a_bin_of_its_own(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """A confidence of exactly 1 times n_bins is n_bins, one more than the last bin's number: such examples get an extra bin, and
    the result is longer than promised. Limit the number of the bin to n_bins - 1.
    """
    confidence, chosen = probs.max(dim=1)
    bins = (confidence * n_bins).long()
    count = torch.bincount(bins, minlength=n_bins)
    hits, total = (
        torch.bincount(bins, w, minlength=n_bins) / count.clamp(min=1)
        for w in ((chosen == target).to(probs.dtype), confidence)
    )
    return total, hits, count


@mistake("reliability_bins")
def one_is_out_of_range(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """A confidence of exactly 1 times n_bins is n_bins, and a bin of that number does not exist: the index is out of range. It
    belongs to the last bin: `clamp` the number.
    """
    confidence, chosen = probs.max(dim=1)
    sums = torch.zeros(3, n_bins, dtype=probs.dtype)
    for c, h in zip(confidence.tolist(), (chosen == target).tolist(), strict=True):
        sums[:, int(c * n_bins)] += torch.tensor([c, h, 1], dtype=probs.dtype)
    return sums[0] / sums[2].clamp(min=1), sums[1] / sums[2].clamp(min=1), sums[2]


@mistake("reliability_bins")
def one_wraps_to_the_first_bin(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """A confidence of exactly 1 ends up in the first bin, among the least sure: taking the remainder does that to n_bins. What
    is surest belongs to the last bin.
    """
    confidence, chosen = probs.max(dim=1)
    return _sorted(confidence, chosen == target, (confidence * n_bins).long() % n_bins, n_bins)


@mistake("reliability_bins")
def empty_bins_are_nan(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The mean of nothing is 0 / 0, which is NaN, and one NaN makes every sum over bins NaN as well. Networks rarely have a
    confidence below 1/K, so there are always empty bins: divide by something that is at least 1.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence * count / count, accuracy * count / count, count


@mistake("reliability_bins")
def empty_bins_left_out(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Only bins with examples in them come back, so nobody can tell which interval a number belongs to. Each of the n_bins bins
    has a place, an empty one too, with accuracy and count 0.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence[count > 0], accuracy[count > 0], count[count > 0]


@mistake("reliability_bins")
def bins_end_with_the_last_filled(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The bins after the last one that holds an example are missing: `torch.bincount` makes as many as the largest number needs. A
    network that is never sure would get a shorter diagram: tell it with `minlength`.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    end = int(count.nonzero().max()) + 1
    return confidence[:end], accuracy[:end], count[:end]


@mistake("reliability_bins")
def empty_bins_count_one(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The count was raised to 1 to avoid dividing by 0, and returned like that: bins without examples claim to have one. Keep the
    true count, and use the raised one for dividing only.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, accuracy, count.clamp(min=1)


@mistake("reliability_bins")
def hits_for_accuracy(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The second result is the number of right answers in a bin, not their share. A confidence is compared with it later: both
    have to be fractions. Divide by what?
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, accuracy * count, count


@mistake("reliability_bins")
def sums_for_means(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Confidences and right answers are added up in each bin and left at that: both results grow with the number of examples. The
    mean and the share were asked for: divide both sums by the count, and by 1 where it is 0.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence * count, accuracy * count, count


@mistake("reliability_bins")
def sums_over_all_examples(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The sums of a bin are divided by the number of all examples, N, so that bins with few examples seem to have a low confidence
    and a low accuracy. Divide them by the count of the bin. (N comes in later, in the calibration error.)
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence * count / len(target), accuracy * count / len(target), count


@mistake("reliability_bins")
def error_for_accuracy(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The share of wrong answers is returned for the accuracy. Is True a hit or a miss in your comparison?"""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, torch.where(count > 0, 1 - accuracy, 0.0), count


@mistake("reliability_bins")
def accuracy_over_all_examples(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The right answers of a bin are divided by the number of all examples. The accuracy of a bin asks how many of *its* examples
    are right.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, accuracy * count / len(target), count


@mistake("reliability_bins")
def accuracy_of_the_sure_only(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """An answer only counts as right here if its probability is above one half. With many classes the largest can be well below
    that and still be the network's choice: whether it is right does not depend on how sure it is.
    """
    confidence, chosen = probs.max(dim=1)
    hit = (chosen == target) & (confidence > 0.5)
    return _sorted(confidence, hit, (confidence * n_bins).long().clamp(max=n_bins - 1), n_bins)


@mistake("reliability_bins")
def divided_by_one_more(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """One was added to the count before dividing, to avoid 0 / 0: that makes every mean too small, small bins most of all. Raise
    only the zeros, with `clamp(min=1)`.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence * count / (count + 1), accuracy * count / (count + 1), count


@mistake("reliability_bins")
def fraction_for_count(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The third result is the share of the examples in a bin. The number was asked for: a share does not tell whether an accuracy
    comes from three examples or from three hundred.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, accuracy, count / len(target)


@mistake("reliability_bins")
def only_the_right_are_counted(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The count is that of the right answers of a bin. All of its examples count, the wrong ones too."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence, accuracy, accuracy * count


@mistake("reliability_bins")
def centre_for_confidence(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The first result is the centre of each bin, which is the same for every network. The mean confidence of the examples in the
    bin may be up to half a bin away from it, and most where it matters: in the last bin nearly all are close to 1.
    """
    _, accuracy, count = _bins(probs, target, n_bins)
    return (torch.arange(n_bins, dtype=probs.dtype) + 0.5) / n_bins, accuracy, count


@mistake("reliability_bins")
def lower_edge_for_confidence(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The first result is the lower edge of each bin, the same for every network. Average the confidences of the examples that
    are in it.
    """
    _, accuracy, count = _bins(probs, target, n_bins)
    return torch.arange(n_bins, dtype=probs.dtype) / n_bins, accuracy, count


@mistake("reliability_bins")
def sum_for_mean_confidence(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The confidences of a bin are added up, and the sum is returned: it grows with the number of examples. The mean was asked
    for.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return confidence * count, accuracy, count


@mistake("reliability_bins")
def confidence_in_the_true_class(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Examples are put into the right bins, but the probability of the true class is averaged there. It is the largest of each
    row that the accuracy of the bin is compared with.
    """
    confidence, chosen = probs.max(dim=1)
    true = probs.gather(1, target[:, None]).squeeze(1)
    return _sorted(
        true, chosen == target, (confidence * n_bins).long().clamp(max=n_bins - 1), n_bins
    )


@mistake("reliability_bins")
def bins_of_equal_mass(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """All bins hold equally many examples: their edges are quantiles. Such bins exist, and have something for them, but here they
    are equally *wide*, and some hold many examples and others none.
    """
    confidence, chosen = probs.max(dim=1)
    rank = confidence.argsort().argsort()
    return _sorted(confidence, chosen == target, rank * n_bins // len(rank), n_bins)


@mistake("reliability_bins")
def bins_from_least_to_most(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The bins divide the range from the smallest confidence to the largest, as `torch.histc` and `np.histogram` do unless told
    otherwise. They then lie elsewhere for each batch, and nothing can be compared: the bins are those of [0, 1].
    """
    confidence, chosen = probs.max(dim=1)
    low, high = confidence.min(), confidence.max()
    place = (confidence - low) / (high - low).clamp(min=1e-9)
    return _sorted(
        confidence, chosen == target, (place * n_bins).long().clamp(max=n_bins - 1), n_bins
    )


@mistake("reliability_bins")
def bins_from_chance(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The bins divide the interval from 1/K to 1, since no confidence can be less. True, but the intervals were to be those of
    [0, 1], the same for any number of classes; some stay empty, and that does no harm.
    """
    confidence, chosen = probs.max(dim=1)
    place = (confidence - 1 / probs.shape[1]) / (1 - 1 / probs.shape[1])
    return _sorted(
        confidence, chosen == target, (place * n_bins).long().clamp(0, n_bins - 1), n_bins
    )


@mistake("reliability_bins")
def softmax_of_probabilities(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """A softmax is applied to what are probabilities already. All of them are between 0 and 1, so their exponentials hardly differ,
    and every prediction comes out nearly uniform. Logits are what a softmax is for.
    """
    return _bins(probs.softmax(dim=1), target, n_bins)


@mistake("reliability_bins")
def bins_rounded_to_the_nearest(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """A confidence times n_bins is rounded to the nearest whole number, so each bin reaches from half a width below its lower edge
    to half a width above. Round down: 0.09 of ten bins is in the first, [0, 0.1).
    """
    confidence, chosen = probs.max(dim=1)
    return _sorted(
        confidence,
        chosen == target,
        (confidence * n_bins).round().long().clamp(max=n_bins - 1),
        n_bins,
    )


@mistake("reliability_bins")
def bins_without_an_upper_edge(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Each bin holds all examples above its lower edge, so that most are counted several times. A bin needs both of its edges."""
    confidence, chosen = probs.max(dim=1)
    member = (confidence[:, None] >= torch.arange(n_bins) / n_bins).to(probs.dtype)
    count, hit = member.sum(0), (chosen == target).to(probs.dtype)
    return confidence @ member / count.clamp(min=1), hit @ member / count.clamp(min=1), count


@mistake("reliability_bins")
def edges_belong_to_both(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Bins are closed at both ends, `>=` and `<=`, so that an example whose confidence is exactly an inner edge is counted in two of
    them. Confidences such as 0.5 are not rare where networks are small or numbers rounded: which of the two signs needs its `=`,
    and in which bin both?
    """
    confidence, chosen = probs.max(dim=1)
    low = torch.arange(n_bins, dtype=probs.dtype) / n_bins
    high = torch.arange(1, n_bins + 1, dtype=probs.dtype) / n_bins
    member = ((confidence[:, None] >= low) & (confidence[:, None] <= high)).to(probs.dtype)
    count, hit = member.sum(0), (chosen == target).to(probs.dtype)
    return confidence @ member / count.clamp(min=1), hit @ member / count.clamp(min=1), count


@mistake("reliability_bins")
def edges_belong_to_nobody(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """Bins are open at both ends, `>` and `<`, so that an example whose confidence is exactly an edge is in none of them, and neither
    is a certain one. Let each bin own one of its ends, and the last one both.
    """
    confidence, chosen = probs.max(dim=1)
    low = torch.arange(n_bins, dtype=probs.dtype) / n_bins
    high = torch.arange(1, n_bins + 1, dtype=probs.dtype) / n_bins
    member = ((confidence[:, None] > low) & (confidence[:, None] < high)).to(probs.dtype)
    count, hit = member.sum(0), (chosen == target).to(probs.dtype)
    return confidence @ member / count.clamp(min=1), hit @ member / count.clamp(min=1), count


@mistake("reliability_bins")
def first_bin_lost(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The first bin is always empty: the loop starts at 1, or the numbers that `bucketize` counts from 1 are not brought back to
    0. With many classes there are confidences that low.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    keep = (torch.arange(n_bins) > 0).to(probs.dtype)
    return confidence * keep, accuracy * keep, count * keep


@mistake("reliability_bins")
def last_bin_lost(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The last bin is always empty: n_bins edges make n_bins - 1 bins. It is the one that matters most, since networks are sure
    of nearly everything.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    keep = (torch.arange(n_bins) < n_bins - 1).to(probs.dtype)
    return confidence * keep, accuracy * keep, count * keep


@mistake("reliability_bins")
def one_bin_too_few(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """There is one bin less than was asked for: n_bins edges, as `torch.linspace(0, 1, n_bins)` makes, are those of n_bins - 1
    bins. How many posts does a fence of n_bins fields need?
    """
    return _bins(probs, target, n_bins - 1)


@mistake("reliability_bins")
def always_fifteen_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """`n_bins` is not used: there are 15 bins whatever is asked for. Look for a 15 in your code, and for `1 / 15`."""
    return _bins(probs, target, 15)


@mistake("reliability_bins")
def another_default(probs: Tensor, target: Tensor, n_bins: int = 10) -> Bins:
    """Where n_bins is not given there is another number of bins than 15, which was asked for. Calibration errors are only comparable for the same
    bins: keep the signature.
    """
    return _bins(probs, target, n_bins)


@mistake("reliability_bins")
def accuracy_comes_first(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """All three results are right, but accuracy and confidence have changed places. Whoever unpacks them gets the diagram with its
    axes exchanged, in which a network that is too sure looks too modest. The order is confidence, accuracy, count.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return accuracy, confidence, count


@mistake("reliability_bins")
def count_comes_first(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """All three results are right, but the count comes first. The order is confidence, accuracy, count."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return count, confidence, accuracy


@mistake("reliability_bins")
def largest_over_the_batch(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The largest probability is looked for along the batch, so there is one for each class instead of one for each example. The
    classes are the second axis: `dim=1`.
    """
    confidence, chosen = probs.max(dim=0)
    return _sorted(
        confidence, chosen == target, (confidence * n_bins).long().clamp(max=n_bins - 1), n_bins
    )


@mistake("reliability_bins")
def arrays_for_tensors(probs: Tensor, target: Tensor, n_bins: int = 15) -> Any:
    """The numbers are right, but they come as NumPy arrays. Tensors were asked for: `torch.from_numpy` turns one into the
    other.
    """
    return tuple(part.numpy() for part in _bins(probs, target, n_bins))


@mistake("reliability_bins")
def lists_for_tensors(probs: Tensor, target: Tensor, n_bins: int = 15) -> Any:
    """The numbers are right, but they come as lists, with which nobody can calculate: `torch.tensor(values)` makes a tensor of
    one.
    """
    return tuple(part.tolist() for part in _bins(probs, target, n_bins))


@mistake("reliability_bins")
def bins_not_returned(probs: Tensor, target: Tensor, n_bins: int = 15) -> None:
    """The function computes its results and then forgets them: without `return` it gives None."""
    _bins(probs, target, n_bins)


@mistake("reliability_bins")
def writes_into_the_probabilities(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    """The numbers are right, but the caller's probabilities are changed on the way: functions whose name ends in `_`, and
    operators such as `*=`, write into the tensor they are given. Whatever is measured next is measured on something else.
    """
    result = _bins(probs, target, n_bins)
    probs *= n_bins
    return result


# -- reliability_bins: right ---------------------------------------------------------------------------------------------


@right("reliability_bins")
def a_loop_with_closed_upper_ends(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    confidence, chosen = torch.max(probs, 1)
    hit = chosen.eq(target)
    out = [torch.zeros(n_bins) for _ in range(3)]
    edges = torch.linspace(0, 1, n_bins + 1)
    for b, (low, high) in enumerate(pairwise(edges)):
        inside = confidence.gt(low) & confidence.le(high)
        if inside.any():
            out[0][b] = confidence[inside].mean()
            out[1][b] = hit[inside].float().mean()
            out[2][b] = inside.sum()
    return out[0], out[1], out[2]


@right("reliability_bins")
def by_bucketize(probs: Tensor, target: Tensor, n_bins: int = 15) -> Any:
    confidence = probs.amax(dim=-1)
    hit = (probs.argmax(dim=-1) == target).double()
    bins = torch.bucketize(confidence, torch.linspace(0, 1, n_bins + 1)[1:-1])
    count = torch.bincount(bins, minlength=n_bins)
    zeros = torch.zeros(n_bins, dtype=torch.float64)
    sums = [zeros.index_add(0, bins, w.double()) for w in (confidence, hit)]
    # The confidence of an empty bin is up to us: NaN says best that there is none.
    return [sums[0] / count, sums[1] / count.clamp(min=1), count]


@right("reliability_bins")
def in_numpy(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    p, y = probs.numpy().astype(np.float64), target.numpy()
    confidence, hit = p.max(1), p.argmax(1) == y
    count, _ = np.histogram(confidence, n_bins, (0, 1))
    size = np.maximum(count, 1)
    total, _ = np.histogram(confidence, n_bins, (0, 1), weights=confidence)
    hits, _ = np.histogram(confidence, n_bins, (0, 1), weights=hit.astype(float))
    return (
        torch.from_numpy(total / size),
        torch.from_numpy(hits / size),
        torch.from_numpy(count),
    )


@right("reliability_bins")
def by_scatter(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    confidence, chosen = probs.topk(1, dim=1)
    bins = torch.ceil(confidence * n_bins).long().sub(1).clamp(0, n_bins - 1).squeeze(1)
    what = torch.cat(
        [confidence, (chosen == target[:, None]).to(probs), torch.ones_like(confidence)], dim=1
    )
    sums = torch.zeros(n_bins, 3, dtype=probs.dtype).scatter_add(
        0, bins[:, None].expand(-1, 3), what
    )
    sums[:, :2] /= sums[:, 2:].clamp(min=1e-8)
    return sums.T


@right("reliability_bins")
def by_masks(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    confidence, chosen = probs.sort(dim=1, descending=True)
    confidence, hit = confidence[:, 0], chosen[:, 0] == target
    inside = (confidence * n_bins).floor().clamp(max=n_bins - 1) == torch.arange(n_bins)[
        :, None
    ]
    count = inside.sum(1)
    accuracy = torch.nan_to_num((inside & hit).sum(1) / count)
    return torch.where(inside, confidence, 0).sum(1) / count.clamp(min=1), accuracy, count


@right("reliability_bins")
def in_plain_python(probs: Tensor, target: Tensor, n_bins: int = 15) -> Bins:
    members: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for row, label in zip(probs.tolist(), target.tolist(), strict=True):
        best = max(row)
        members[min(int(best * n_bins), n_bins - 1)].append((best, row.index(best) == label))
    means = [
        [sum(m[k] for m in each) / len(each) if each else 0.0 for each in members]
        for k in (0, 1)
    ]
    return (
        torch.tensor(means[0]),
        torch.tensor(means[1]),
        torch.tensor([len(each) for each in members]),
    )


# -- expected_calibration_error: wrong -----------------------------------------------------------------------------------


@mistake("expected_calibration_error")
def mean_over_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The gaps of all bins are averaged, each with the same weight: a bin with one example counts as much as one with hundreds.
    Weigh each gap by the share of the examples in its bin.
    """
    confidence, accuracy, _ = _bins(probs, target, n_bins)
    return (accuracy - confidence).abs().mean()


@mistake("expected_calibration_error")
def mean_over_filled_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The gaps of the bins that are not empty are averaged, each with the same weight. That leaves out the empty ones, as it
    should be, but a bin with one example still counts as much as one with hundreds: weigh each gap by the share of the examples.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (accuracy - confidence).abs()[count > 0].mean()


@mistake("expected_calibration_error")
def sum_of_gaps(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The gaps of the bins are added up without any weights, so the result can be as large as the number of bins. Each gap
    counts by the share of the examples that are in its bin.
    """
    confidence, accuracy, _ = _bins(probs, target, n_bins)
    return (accuracy - confidence).abs().sum()


@mistake("expected_calibration_error")
def gaps_with_their_sign(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Gaps of accuracy minus confidence are added with their signs, so that a bin that is too sure of itself makes up for one that
    is not sure enough. What has to happen to each gap before the sum?
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (accuracy - confidence)).sum() / count.sum()


@mistake("expected_calibration_error")
def gaps_the_other_way_round(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Gaps of confidence minus accuracy are added with their signs: how much too sure the network is on the whole. Bins that are
    too sure and bins that are not sure enough cancel. Take the size of each gap first.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (confidence - accuracy)).sum() / count.sum()


@mistake("expected_calibration_error")
def size_of_the_sum(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The absolute value is taken at the very end, when the gaps have cancelled already: what remains is the difference of mean
    confidence and accuracy over all examples, and the bins make no difference. Take it in each bin.
    """
    hit = (probs.argmax(1) == target).to(probs.dtype)
    return (hit.mean() - probs.amax(1).mean()).abs()


@mistake("expected_calibration_error")
def largest_gap(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """This is the largest gap of any bin, known as the maximum calibration error. The *expected* error is the mean gap, weighted by
    the examples.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return ((accuracy - confidence).abs() * (count > 0)).max()


@mistake("expected_calibration_error")
def squared_gaps(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The gaps are squared. That gets rid of the signs too, but a gap of 0.1 then counts as 0.01: the absolute value was asked
    for.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (accuracy - confidence) ** 2).sum() / count.sum()


@mistake("expected_calibration_error")
def root_mean_square_gap(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """This is the root of the mean squared gap, in which large gaps count for more. It is used too, but the expected calibration
    error is the mean of the absolute gaps.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return ((count * (accuracy - confidence) ** 2).sum() / count.sum()).sqrt()


@mistake("expected_calibration_error")
def error_in_percent(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The result is in percent. A fraction was asked for; percent are for printing."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return 100 * (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def weighted_by_counts(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The gaps are weighted by the number of examples instead of their share, so the result grows with the batch. The weights
    should add up to 1.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (accuracy - confidence).abs()).sum()


@mistake("expected_calibration_error")
def divided_by_the_bins_too(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The weighted gaps are averaged over the bins, though their weights already add up to 1: that divides by n_bins once more.
    Add them up.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count / count.sum() * (accuracy - confidence).abs()).mean()


@mistake("expected_calibration_error")
def one_minus_the_error(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The result is 1 minus the error: it is large for a network that is well calibrated. An error is 0 when all is well."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return 1 - (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def gap_from_the_centre(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The accuracy of a bin is compared with the bin's centre. What it should be compared with is how sure the network was there:
    the mean confidence of its examples, which is the first of the three results of `reliability_bins`.
    """
    _, accuracy, count = _bins(probs, target, n_bins)
    centre = (torch.arange(n_bins) + 0.5) / n_bins
    return (count * (accuracy - centre).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def gap_of_each_example(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The confidence of each example is compared with whether that one example is right, which is 0 or 1. Even a network that is
    perfectly calibrated is far from either when it says 0.7. Only a group of examples has an accuracy: that is what the bins are
    for.
    """
    confidence, chosen = probs.max(dim=1)
    return ((chosen == target).to(probs.dtype) - confidence).abs().mean()


@mistake("expected_calibration_error")
def brier_score(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """This is the Brier score, the squared distance of the probabilities from the one-hot label. It is a fine score, but it also
    grows with every wrong answer, however honest its probability: calibration asks only whether the confidence is right on
    average.
    """
    return (probs - F.one_hot(target, probs.shape[1])).square().sum(1).mean()


@mistake("expected_calibration_error")
def error_rate_for_accuracy(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The confidence is compared with the share of *wrong* answers. A network that says 0.9 should be right in nine of ten
    cases.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (1 - accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def error_of_equal_mass_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The bins hold equally many examples each instead of being equally wide. That is known as the adaptive calibration error; here
    the bins are the equal intervals of [0, 1] that `reliability_bins` makes.
    """
    confidence, chosen = probs.max(dim=1)
    order = confidence.argsort()
    off = ((chosen == target).to(probs.dtype) - confidence)[order]
    return torch.stack([part.sum().abs() for part in off.tensor_split(n_bins)]).sum() / len(off)


@mistake("expected_calibration_error")
def too_sure_only(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Only bins in which the network is too sure of itself count. Being not sure enough is miscalibrated as well: take the
    absolute value of the gap.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (confidence - accuracy).clamp(min=0)).sum() / count.sum()


@mistake("expected_calibration_error")
def error_with_the_true_class(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The probability of the true class is taken for the confidence. It is known only once the answer is, and its gap is another
    quantity: how sure a network is, is the largest probability of the row.
    """
    confidence = probs.gather(1, target[:, None]).squeeze(1)
    bins = (confidence * n_bins).long().clamp(max=n_bins - 1)
    mean, accuracy, count = _sorted(confidence, probs.argmax(1) == target, bins, n_bins)
    return (count * (accuracy - mean).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def error_after_another_softmax(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """A softmax is applied to what are probabilities already, which makes all of them nearly equal. `probs` come from a softmax:
    use them as they are.
    """
    confidence, accuracy, count = _bins(probs.softmax(1), target, n_bins)
    return (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def certain_ones_lost(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Predictions with a confidence of exactly 1 are in no bin, because each is open at its upper end: the worst errors of a
    network that is too sure go uncounted. Your `reliability_bins` knows where they belong.
    """
    confidence, chosen = probs.max(dim=1)
    hit = (chosen == target).to(probs.dtype)
    total = probs.new_zeros(())
    for b in range(n_bins):
        inside = (confidence >= b / n_bins) & (confidence < (b + 1) / n_bins)
        total = total + (hit[inside] - confidence[inside]).sum().abs()
    return total / len(hit)


@mistake("expected_calibration_error")
def edges_weigh_twice(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Bins are closed at both ends, `>=` and `<=`, so that an example whose confidence is exactly an inner edge adds to two of them:
    the weights then sum to more than 1. Which of the two signs needs its `=`, and in which bin both?
    """
    confidence, chosen = probs.max(dim=1)
    off = (chosen == target).to(probs.dtype) - confidence
    total = probs.new_zeros(())
    for b in range(n_bins):
        total = (
            total
            + off[(confidence >= b / n_bins) & (confidence <= (b + 1) / n_bins)].sum().abs()
        )
    return total / len(off)


@mistake("expected_calibration_error")
def edges_weigh_nothing(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """Bins are open at both ends, `>` and `<`, so that an example whose confidence is exactly an edge is in none of them, and neither
    is a certain one. Let each bin own one of its ends, and the last one both.
    """
    confidence, chosen = probs.max(dim=1)
    off = (chosen == target).to(probs.dtype) - confidence
    total = probs.new_zeros(())
    for b in range(n_bins):
        total = (
            total + off[(confidence > b / n_bins) & (confidence < (b + 1) / n_bins)].sum().abs()
        )
    return total / len(off)


@mistake("expected_calibration_error")
def nan_of_empty_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The means of an empty bin are 0 / 0, which is NaN, and NaN times a weight of 0 is NaN: one empty bin spoils the sum. Leave
    empty bins out, or see to it that their means are numbers.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (accuracy - confidence).abs() * (count / count)).sum() / count.sum()


@mistake("expected_calibration_error")
def always_fifteen(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """`n_bins` is not handed on, so there are always 15 bins. How large an error comes out depends on the bins: pass n_bins to
    `reliability_bins`.
    """
    confidence, accuracy, count = _bins(probs, target)
    return (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def ten_by_default(probs: Tensor, target: Tensor, n_bins: int = 10) -> Tensor:
    """Without n_bins there are 10 bins; 15 was asked for. Calibration errors are only comparable for the same bins: keep the
    signature.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def a_gap_for_each_bin(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """You return the gap of each bin: the last step is missing. The error is one number, the sum of the weighted gaps."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return count / count.sum() * (accuracy - confidence).abs()


@mistake("expected_calibration_error")
def error_with_one_entry(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The number is right, but it comes in a tensor of shape (1,). A plain number, or a tensor without dimensions, is what
    formatting, logging and comparing expect.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return (count / count.sum() * (accuracy - confidence).abs()).sum(0, keepdim=True)


@mistake("expected_calibration_error")
def error_rounded(probs: Tensor, target: Tensor, n_bins: int = 15) -> float:
    """The result is rounded. Differences between networks are often smaller than that: return the number as it is, and round
    where you print it.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return round(float((count * (accuracy - confidence).abs()).sum() / count.sum()), 2)


@mistake("expected_calibration_error")
def error_not_returned(probs: Tensor, target: Tensor, n_bins: int = 15) -> None:
    """The function computes the error and then forgets it: without `return` it gives None."""
    confidence, accuracy, count = _bins(probs, target, n_bins)
    (count * (accuracy - confidence).abs()).sum() / count.sum()


@mistake("expected_calibration_error")
def changes_the_probabilities(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    """The number is right, but the caller's probabilities are changed on the way: functions whose name ends in `_`, and operators
    such as `-=`, write into the tensor they are given. A measurement must only look.
    """
    confidence, accuracy, count = _bins(probs, target, n_bins)
    probs -= F.one_hot(target, probs.shape[1])
    return (count * (accuracy - confidence).abs()).sum() / count.sum()


# -- expected_calibration_error: right -----------------------------------------------------------------------------------


@right("expected_calibration_error")
def weights_times_gaps(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    confidence, accuracy, count = _bins(probs, target, n_bins)
    return torch.dot(count / count.sum(), torch.abs(confidence - accuracy))


@right("expected_calibration_error")
def a_loop_over_bins(probs: Tensor, target: Tensor, n_bins: int = 15) -> float:
    confidence, chosen = probs.max(dim=1)
    hit = chosen == target
    error = 0.0
    for b in range(n_bins):
        inside = (confidence > b / n_bins) & (confidence <= (b + 1) / n_bins)
        if inside.sum() > 0:
            gap = hit[inside].float().mean() - confidence[inside].mean()
            error += inside.float().mean().item() * abs(gap.item())
    return error


@right("expected_calibration_error")
def sums_of_what_is_off(probs: Tensor, target: Tensor, n_bins: int = 15) -> Any:
    confidence, chosen = (part.numpy() for part in probs.double().max(dim=1))
    sums, _ = np.histogram(
        confidence, n_bins, (0, 1), weights=(chosen == target.numpy()) - confidence
    )
    return np.abs(sums).sum() / len(confidence)


@right("expected_calibration_error")
def nan_left_out(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    confidence, accuracy, count = _bins(probs, target, n_bins)
    gaps = (accuracy - confidence * count / count).abs()
    return (gaps * count).nansum() / len(target)


@right("expected_calibration_error")
def by_a_one_hot_matrix(probs: Tensor, target: Tensor, n_bins: int = 15) -> Tensor:
    confidence = probs.amax(1)
    hit = (probs.argmax(1) == target).to(probs.dtype)
    inner = torch.arange(1, n_bins, dtype=probs.dtype) / n_bins
    member = F.one_hot((confidence[:, None] >= inner).sum(1), n_bins).to(probs.dtype)
    return torch.einsum("n,nb->b", hit - confidence, member).abs().sum().div(probs.shape[0])


@right("expected_calibration_error")
def filled_bins_only(probs: Tensor, target: Tensor, n_bins: int = 15) -> float:
    confidence, accuracy, count = _bins(probs, target, n_bins)
    filled = count.nonzero().squeeze(1)
    gaps = torch.maximum(accuracy - confidence, confidence - accuracy)
    return float(torch.sum(gaps[filled] * count[filled]) / probs.size(0))


# -- fit_temperature: wrong ----------------------------------------------------------------------------------------------


def _slope(logits: Tensor, target: Tensor, t: float) -> float:
    """Positive where the network is too sure at t, so that t has to grow."""
    z = logits.detach().double()
    return float(
        (((z / t).softmax(1) * z).sum(1) - z.gather(1, target[:, None]).squeeze(1)).mean()
    )


def _fit(
    logits: Tensor, target: Tensor, low: float = 1e-2, high: float = 1e2, steps: int = 30
) -> float:
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _slope(logits, target, middle) > 0 else (low, middle)
    return math.sqrt(low * high)


@mistake("fit_temperature")
def inverse_temperature(logits: Tensor, target: Tensor) -> float:
    """The result is 1/T: the logits were *multiplied* by the number that was fitted. Divide, and a number above 1 makes
    predictions softer, as heat should.
    """
    return 1 / _fit(logits, target)


@mistake("fit_temperature")
def logarithm_returned(logits: Tensor, target: Tensor) -> float:
    """The logarithm of the temperature is returned. Searching in log T is a good way to keep T positive, but undo it at the end:
    `exp`.
    """
    return math.log(_fit(logits, target))


@mistake("fit_temperature")
def negative_temperature(logits: Tensor, target: Tensor) -> float:
    """The temperature comes out negative, which turns the order of the classes round: the most probable becomes the least. T has
    to stay above 0; searching in log T sees to that.
    """
    return -_fit(logits, target)


@mistake("fit_temperature")
def smallest_calibration_error(logits: Tensor, target: Tensor) -> float:
    """The temperature makes confidence and accuracy of the first choice agree: it was tuned to the calibration error. That looks
    at one probability of each row only, jumps from bin to bin, and can be cheated; temperature scaling minimises the
    cross-entropy, which looks at what the true class was given.
    """
    grid = torch.logspace(-1.4, 1.4, 240, dtype=torch.float64)

    def error(t: Tensor) -> float:
        confidence, accuracy, count = _bins((logits.detach().double() / t).softmax(1), target)
        return float((count * (accuracy - confidence).abs()).sum())

    return float(min(grid, key=error))


@mistake("fit_temperature")
def best_accuracy(logits: Tensor, target: Tensor) -> float:
    """The temperature with the highest accuracy was looked for. But dividing all logits by the same number changes no order, so the
    accuracy is the same for every T and says nothing: which number does depend on T?
    """
    grid = [k / 2 for k in range(1, 11)]
    return max(
        grid, key=lambda t: float(((logits.detach() / t).argmax(1) == target).double().mean())
    )


@mistake("fit_temperature")
def stays_at_one(logits: Tensor, target: Tensor) -> float:
    """The temperature is still what it began with, 1: the optimizer never moved it. Was the parameter handed to the optimizer, was
    it the one in the loss, and was `step()` called?
    """
    return 1.0


@mistake("fit_temperature")
def too_few_steps(logits: Tensor, target: Tensor) -> float:
    """The search stopped on its way: the temperature moved from 1 in the right direction, but not far enough. A fixed number of
    small steps is enough for some data and not for others. How would you notice that the loss no longer changes?
    """
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([log_t], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(logits.detach().double() / log_t.exp(), target).backward()
        optimizer.step()
    return float(log_t.detach().exp())


@mistake("fit_temperature")
def steps_that_end_too_soon(logits: Tensor, target: Tensor) -> float:
    """Temperatures near 1 are found, but for those far away the steps run out: the search stops between 1 and the best one. Let it
    go on until it no longer moves, or look in log T, where 20 is as near to 1 as 0.05 is.
    """
    best = _fit(logits, target)
    return min(max(best, math.exp(-2)), math.exp(2))  # as far as 200 steps of 1 % lead


@mistake("fit_temperature")
def coarse_grid(logits: Tensor, target: Tensor) -> float:
    """The best of a few temperatures on a grid is returned, so the result is only as good as the grid: a step of 0.5 is 25 % at
    T = 2, and below 0.5 there is nothing. Use the grid to begin with, then look between its points.
    """
    grid = [k / 2 for k in range(1, 41)]
    return min(grid, key=lambda t: float(F.cross_entropy(logits.detach().double() / t, target)))


@mistake("fit_temperature")
def fine_grid_of_hundredths(logits: Tensor, target: Tensor) -> float:
    """The grid's step of 0.01 is fine where T is about 1, and coarse where T is small: at T = 0.07 it is 14 %. Steps that are equal
    in log T are as fine everywhere.
    """
    best = _fit(logits, target)
    near = [max(round(best * 100) + k, 1) / 100 for k in (-1, 0, 1)]
    return min(near, key=lambda t: float(F.cross_entropy(logits.detach().double() / t, target)))


@mistake("fit_temperature")
def never_below_one(logits: Tensor, target: Tensor) -> float:
    """No temperature below 1 is ever returned: the search is limited to softening. Networks trained with label smoothing are often
    not sure enough, and the best T for them is below 1.
    """
    return max(1.0, _fit(logits, target))


@mistake("fit_temperature")
def never_above_one(logits: Tensor, target: Tensor) -> float:
    """No temperature above 1 is ever returned: the search is limited to sharpening. Most networks are too sure of themselves,
    and the best T for them is above 1.
    """
    return min(1.0, _fit(logits, target))


@mistake("fit_temperature")
def between_a_half_and_five(logits: Tensor, target: Tensor) -> float:
    """The search is limited to temperatures between 0.5 and 5, and returns the end of that interval when the best lies outside.
    Widen it: between 0.01 and 100 costs a few halvings more.
    """
    return min(max(_fit(logits, target), 0.5), 5.0)


@mistake("fit_temperature")
def between_a_tenth_and_ten(logits: Tensor, target: Tensor) -> float:
    """The search is limited to temperatures between 0.1 and 10, and returns the end of that interval when the best lies outside.
    The best may be anywhere between 0.05 and 20: widen it.
    """
    return min(max(_fit(logits, target), 0.1), 10.0)


@mistake("fit_temperature")
def at_most_ten(logits: Tensor, target: Tensor) -> float:
    """Temperatures above 10 are never found: that is where the search ends. The best may be as large as 20: widen it."""
    return min(_fit(logits, target), 10.0)


@mistake("fit_temperature")
def at_least_a_tenth(logits: Tensor, target: Tensor) -> float:
    """Temperatures below 0.1 are never found: that is where the search begins, or where T is clamped to keep it positive. The best
    may be as small as 0.05.
    """
    return max(_fit(logits, target), 0.1)


@mistake("fit_temperature")
def runs_the_wrong_way(logits: Tensor, target: Tensor) -> float:
    """The temperature runs away from the best one, to the end of the search or as far as its steps go: a sign is the wrong way round.
    Does T grow where the network is too sure of itself at this T, and does a step follow the loss down, not up?
    """
    low, high = 1e-2, 1e2
    for _ in range(30):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _slope(logits, target, middle) < 0 else (low, middle)
    return math.sqrt(low * high)


@mistake("fit_temperature")
def runs_the_wrong_way_from_the_middle(logits: Tensor, target: Tensor) -> float:
    """The search ran to its end, mostly the upper one, away from the best temperature: a sign is the wrong way round. If the network
    is too sure of itself at the middle, so that T has to grow, which half remains?
    """
    low, high = 0.05, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(logits, target, middle) < 0 else (low, middle)
    return middle


@mistake("fit_temperature")
def runs_to_the_smallest(logits: Tensor, target: Tensor) -> float:
    """The temperature ran to the smallest value that the search allows: what is minimised keeps falling as T goes to 0. That happens
    when a softmax comes before `F.cross_entropy`, which applies one itself; when logits / T are taken for log-probabilities,
    with no softmax at all; and when only the right answers are looked at. Which loss has a minimum, and where do the wrong
    answers enter it?
    """
    z = logits.detach().double()
    grid = torch.logspace(-2, 2, 41, dtype=torch.float64)
    return float(min(grid, key=lambda t: float(F.cross_entropy((z / t).softmax(1), target))))


@mistake("fit_temperature")
def softmax_over_the_batch(logits: Tensor, target: Tensor) -> float:
    """The softmax is taken along the batch: each example competes with the others for a class. It has to be taken along the classes,
    `dim=1`; then an offset common to a row makes no difference.
    """
    z = logits.detach().double()

    def loss(log_t: float) -> float:
        return float(F.nll_loss((z / math.exp(log_t)).log_softmax(0), target))

    return math.exp(minimize_scalar(loss, bounds=(-7, 9), method="bounded").x)


@mistake("fit_temperature")
def exponentials_overflow(logits: Tensor, target: Tensor) -> float:
    """The softmax is written out with `exp`, which overflows for large logits: infinity over infinity is NaN, no comparison with NaN
    is true, and the search goes astray. Use `log_softmax` or `F.cross_entropy`, which subtract the largest logit first.
    """
    z = logits.detach()
    low, high = math.log(0.04), math.log(25)
    for _ in range(40):
        middle = (low + high) / 2
        e = torch.exp(z / math.exp(middle))
        expected = (e / e.sum(1, keepdim=True) * z).sum(1).mean()
        low, high = (
            (middle, high) if expected > z.gather(1, target[:, None]).mean() else (low, middle)
        )
    return math.exp(middle)


@mistake("fit_temperature")
def loss_for_temperature(logits: Tensor, target: Tensor) -> Tensor:
    """The smallest loss is returned, and not the temperature at which it is found. Which of the two does `optimizer.step(closure)`
    return?
    """
    return F.cross_entropy(logits.detach() / _fit(logits, target), target)


@mistake("fit_temperature")
def temperature_with_a_graph(logits: Tensor, target: Tensor) -> Tensor:
    """What is returned is still the parameter that was trained, or carries the graph of how it was computed. Whatever is calculated
    with it later drags that along, and cannot be turned into NumPy: return `t.item()`.
    """
    return torch.tensor(_fit(logits, target), requires_grad=True)


@mistake("fit_temperature")
def gradient_left_in_the_logits(logits: Tensor, target: Tensor) -> float:
    """`backward()` went into the logits as well, and left its gradient there, to be added to the next one. Only T is to be fitted:
    begin with `logits.detach()`.
    """
    t = _fit(logits, target)
    if logits.requires_grad:
        F.cross_entropy(logits / t, target).backward()
    return t


@mistake("fit_temperature")
def gradient_of_the_logits_cleared(logits: Tensor, target: Tensor) -> float:
    """The logits no longer want a gradient after the call: `requires_grad_(False)` was applied to the caller's tensor. `detach()`
    gives one of your own, without a graph, and leaves theirs alone.
    """
    logits.requires_grad_(False)
    return _fit(logits, target)


@mistake("fit_temperature")
def logits_divided_in_place(logits: Tensor, target: Tensor) -> float:
    """The caller's logits are divided by the temperature: `/=` and functions whose name ends in `_` write into the tensor they are
    given. Applying the temperature is up to whoever asked for it.
    """
    t = _fit(logits, target)
    with torch.no_grad():
        logits /= t
    return t


@mistake("fit_temperature")
def numpy_of_what_wants_a_gradient(logits: Tensor, target: Tensor) -> float:
    """Logits that want a gradient cannot be turned into an array, as the error says. They come straight from a network now and then:
    `logits.detach().numpy()`.
    """
    return _fit(torch.from_numpy(logits.numpy()), target)


@mistake("fit_temperature")
def temperature_with_one_entry(logits: Tensor, target: Tensor) -> Tensor:
    """The number is right, but it comes in a tensor of shape (1,). `t.item()` makes a plain number of it."""
    return torch.tensor([_fit(logits, target)])


@mistake("fit_temperature")
def scaled_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The result is the logits divided by the temperature. Return the temperature itself: it is fitted on one set of images and used
    on another.
    """
    return logits.detach() / _fit(logits, target)


@mistake("fit_temperature")
def temperature_not_returned(logits: Tensor, target: Tensor) -> None:
    """The function fits a temperature and then forgets it: without `return` it gives None."""
    _fit(logits, target)


# -- fit_temperature: right ----------------------------------------------------------------------------------------------


@right("fit_temperature")
def by_lbfgs(logits: Tensor, target: Tensor) -> float:
    z = logits.detach().double()
    log_t = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(z / log_t.exp(), target)
        loss.backward()
        return loss

    optimizer.step(closure)
    return log_t.exp().item()


@right("fit_temperature")
def by_newton_in_one_over_t(logits: Tensor, target: Tensor) -> Tensor:
    z = logits.detach().to(torch.float64)
    true = z[torch.arange(len(z)), target].mean()
    b = 1 / z.std()
    for _ in range(100):
        q = torch.softmax(b * z, -1)
        mean = (q * z).sum(-1)
        variance = ((q * z * z).sum(-1) - mean**2).mean()
        step = (mean.mean() - true) / variance
        b = torch.clamp(b - step, b / 2, b * 2)  # from far away a full step may leap over 0
    return 1 / b


@right("fit_temperature")
def by_golden_section(logits: Tensor, target: Tensor) -> float:
    z, ratio = logits.detach().double(), (math.sqrt(5) - 1) / 2

    def loss(log_t: float) -> float:
        return F.cross_entropy(z * math.exp(-log_t), target, reduction="sum").item()

    low, high = -5.0, 5.0
    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if loss(a) < loss(b):
            high = b
        else:
            low = a
    return math.exp((low + high) / 2)


@right("fit_temperature")
def by_scipy(logits: Tensor, target: Tensor) -> Any:
    z, y = logits.detach().double().numpy(), target.numpy()

    def loss(log_t: float) -> Any:
        s = z / np.exp(log_t)
        s = s - s.max(axis=1, keepdims=True)
        return (np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(y)), y]).mean()

    return np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x)


@right("fit_temperature")
def by_adam(logits: Tensor, target: Tensor) -> float:
    s = torch.nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.Adam([s], lr=0.1)
    z = logits.clone().detach()
    for _ in range(250):
        optimizer.zero_grad()
        F.cross_entropy(z * torch.exp(-s), target).backward()
        optimizer.step()
    return torch.exp(s).item()


@right("fit_temperature")
def by_a_fine_grid_in_the_logarithm(logits: Tensor, target: Tensor) -> float:
    grid = torch.logspace(math.log10(0.04), math.log10(25), 700, dtype=torch.float64)
    z = logits.detach().double()[None] / grid[:, None, None]
    loss = (
        F.cross_entropy(z.flatten(0, 1), target.repeat(len(grid)), reduction="none")
        .view(len(grid), -1)
        .mean(1)
    )
    return grid[loss.argmin()].item()
