"""Known wrong implementations of 05_label_smoothing, each with its explanation, and right ones written in other ways.

The wrong losses are the right one below with one thing changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder.mistakes import mistake, right


def _one_hot(target: Tensor, num_classes: int) -> Tensor:
    return F.one_hot(target, num_classes).float()


def _smoothed(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    return _one_hot(target, num_classes) * (1 - alpha) + alpha / num_classes


# -- smooth_labels: wrong ------------------------------------------------------------------------------------------------


@mistake("smooth_labels")
def spread_over_the_incorrect_classes(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha goes to the K - 1 incorrect classes, alpha/(K-1) each, and the true class keeps 1 - alpha. Many texts describe it
    in these words, and their formula says otherwise: alpha/K for every class. Which class do your targets leave out?
    """
    y = _one_hot(target, num_classes)
    return y * (1 - alpha) + (1 - y) * alpha / (num_classes - 1)


@mistake("smooth_labels")
def true_class_without_its_share(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The true class gets 1 - alpha and the others alpha/K: a row then sums to 1 - alpha/K, which is no distribution. The
    formula adds alpha/K to every class. To which one do you not add it?
    """
    y = _one_hot(target, num_classes)
    return torch.where(y == 1, 1 - alpha, alpha / num_classes)


@mistake("smooth_labels")
def others_share_among_themselves(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The true class gets 1 - alpha + alpha/K, as it should, but the others alpha/(K-1): two conventions mixed, and rows that
    sum to more than 1. How much is left for K - 1 classes when the true one has its part?
    """
    y = _one_hot(target, num_classes)
    return torch.where(y == 1, 1 - alpha + alpha / num_classes, alpha / (num_classes - 1))


@mistake("smooth_labels")
def not_smoothed(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The targets are one-hot: alpha has no effect. What should be left of the 1, and what should stand where the zeros are?"""
    return _one_hot(target, num_classes)


@mistake("smooth_labels")
def alpha_and_rest_swapped(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha and 1 - alpha have each other's place: a small alpha gives targets that are nearly the same for all classes. Try
    alpha = 0 on paper: what should come out?
    """
    return _one_hot(target, num_classes) * alpha + (1 - alpha) / num_classes


@mistake("smooth_labels")
def alpha_for_every_class(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Every class gets all of alpha. It is to be shared out among the K classes, so that a row still sums to 1."""
    return _one_hot(target, num_classes) * (1 - alpha) + alpha


@mistake("smooth_labels")
def share_added_to_the_one(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """alpha/K is added everywhere, but the one-hot part keeps its full size, so a row sums to 1 + alpha. From where is alpha to
    be taken before it is shared out?
    """
    return _one_hot(target, num_classes) + alpha / num_classes


@mistake("smooth_labels")
def added_and_renormalised(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """alpha/K is added to the one-hot targets, and the rows are then divided by their sum. They do sum to 1, but the smoothing
    is alpha/(1 + alpha), less than was asked for. Take alpha from the true class first: nothing needs to be divided then.
    """
    y = _one_hot(target, num_classes) + alpha / num_classes
    return y / y.sum(dim=1, keepdim=True)


@mistake("smooth_labels")
def only_shrunk(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The true class is lowered to 1 - alpha, and the others get nothing, so alpha is lost. The formula has a second term."""
    return _one_hot(target, num_classes) * (1 - alpha)


@mistake("smooth_labels")
def share_for_the_true_class_only(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Only the true class is as it should be: the others are 0. Is the alpha/K inside a product with the one-hot table?
    Then it reaches one class of each row.
    """
    return _one_hot(target, num_classes) * (1 - alpha + alpha / num_classes)


@mistake("smooth_labels")
def divided_by_the_batch(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha is divided by the number of examples. The mass is shared out among classes: a target of an example must not
    depend on how many others there are.
    """
    return _one_hot(target, num_classes) * (1 - alpha) + alpha / len(target)


@mistake("smooth_labels")
def share_subtracted(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """alpha/K is subtracted, so the targets of the other classes are negative. What the true class gives up, the classes get:
    look at the sign of the second term.
    """
    return _one_hot(target, num_classes) * (1 - alpha) - alpha / num_classes


@mistake("smooth_labels")
def always_uniform(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Every class gets 1/K, whatever alpha and the label are. That is the target for alpha = 1: the label has to come in."""
    return torch.full((len(target), num_classes), 1 / num_classes)


@mistake("smooth_labels")
def true_class_lowest(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The true class gets the least, and all others the most: the one-hot table is inverted. Which entries does your comparison
    mark, those that equal the label or those that differ from it?
    """
    y = 1 - _one_hot(target, num_classes)
    return y * (1 - alpha) + alpha / num_classes


@mistake("smooth_labels")
def two_classes_for_k(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha is divided by 2, which is right for two classes: with more, a row sums to more than 1. The number of classes is an
    argument.
    """
    return _one_hot(target, num_classes) * (1 - alpha) + alpha / 2


@mistake("smooth_labels")
def ten_classes_for_k(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha is divided by 10. These images have ten classes, but the function is told the number: use `num_classes`."""
    return _one_hot(target, num_classes) * (1 - alpha) + alpha / 10


@mistake("smooth_labels")
def alpha_fixed(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The smoothing is 0.1, whatever alpha is. It is the usual value, but the function is told which: use its argument."""
    return _smoothed(target, num_classes, 0.1)


@mistake("smooth_labels")
def alpha_in_percent(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha is taken for a percentage and divided by 100. It is a fraction: alpha = 0.1 spreads one tenth."""
    return _smoothed(target, num_classes, alpha / 100)


@mistake("smooth_labels")
def softmax_of_targets(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The targets go through a softmax, which makes them nearly even. They sum to 1 without it, if the formula is followed:
    softmax is for logits.
    """
    return _smoothed(target, num_classes, alpha).softmax(dim=1)


@mistake("smooth_labels")
def labels_counted_from_one(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The column beside the true class has the large target: labels are taken to count from 1. They count from 0, as columns
    do.
    """
    return _smoothed((target - 1) % num_classes, num_classes, alpha)


@mistake("smooth_labels")
def logarithm_of_targets(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The logarithms of the targets are returned. In the cross-entropy it is the prediction that stands under the logarithm;
    the targets stay what they are.
    """
    return _smoothed(target, num_classes, alpha).log()


@mistake("smooth_labels")
def first_example_only(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Only the first example is smoothed, the others are one-hot. Is there an index too many, or a `return` or an assignment
    that a loop should repeat?
    """
    y = _one_hot(target, num_classes)
    y[0] = y[0] * (1 - alpha) + alpha / num_classes
    return y


@mistake("smooth_labels")
def columns_sum_to_one(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The columns are made to sum to 1, so a target depends on how often its class occurs in the batch. A row is the
    distribution: check the dimension.
    """
    q = _smoothed(target, num_classes, alpha)
    return q / q.sum(dim=0)


@mistake("smooth_labels")
def noisy_labels(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """With probability alpha the label is replaced by a random class, and the row is one-hot. On average over many draws these
    are the smoothed targets, but each draw is a wrong label for some examples. Return the average itself: nothing random
    is needed.
    """
    replaced = torch.rand(len(target)) < alpha
    return _one_hot(
        torch.where(replaced, torch.randint_like(target, num_classes), target), num_classes
    )


@mistake("smooth_labels")
def spread_at_random(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Alpha is spread over the classes in random portions. Each class gets the same, alpha/K: nothing random is needed."""
    portions = torch.rand(len(target), num_classes)
    return _one_hot(target, num_classes) * (1 - alpha) + alpha * portions / portions.sum(
        dim=1, keepdim=True
    )


@mistake("smooth_labels")
def classes_from_the_largest_label(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The number of classes is taken from the largest label of the batch. In a batch where the last class happens not to occur
    the table gets too few columns, and the loss no longer fits the logits. `F.one_hot` guesses in the same way unless it
    is told: `num_classes` is there for that.
    """
    classes = int(target.max()) + 1
    return F.one_hot(target) * (1 - alpha) + alpha / classes


@mistake("smooth_labels")
def classes_that_occur(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Columns are made for the classes that occur in the batch, and no others. Which class a column stands for then changes from
    batch to batch: use `num_classes`, whatever occurs.
    """
    y = (target[:, None] == target.unique()).float()
    return y * (1 - alpha) + alpha / num_classes


@mistake("smooth_labels")
def whole_numbers(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The table holds integers, in which 0.92 becomes 0. `F.one_hot` and `zeros_like(target)` have the labels' integer dtype;
    what you write into such a table is cut off. Make the table in floating point first.
    """
    y = torch.full((len(target), num_classes), alpha / num_classes).to(target.dtype)
    return y.scatter(1, target[:, None], int(1 - alpha + alpha / num_classes))


@mistake("smooth_labels")
def half_precision(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The targets are in half precision, which has about three digits, so rows no longer sum to 1. `float()` is float32,
    `half()` is not.
    """
    return _smoothed(target, num_classes, alpha).half()


@mistake("smooth_labels")
def classes_in_rows(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The table is transposed: a row a class, a column an example. Logits are (N, K), and the targets should lie beside them in
    the same way.
    """
    return _smoothed(target, num_classes, alpha).T


@mistake("smooth_labels")
def targets_of_the_true_class(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Only one number an example is returned, the target of the true class. The other classes have targets, too: that is the
    whole idea.
    """
    return torch.full(target.shape, 1 - alpha + alpha / num_classes)


@mistake("smooth_labels")
def averaged_over_the_batch(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The targets are averaged over the batch, so one row is left for all examples. Each example has a label, and a row, of its
    own.
    """
    return _smoothed(target, num_classes, alpha).mean(dim=0)


@mistake("smooth_labels")
def targets_not_returned(target: Tensor, num_classes: int, alpha: float) -> None:
    """The function computes the targets and then forgets them: without `return` it gives None."""
    _smoothed(target, num_classes, alpha)


@mistake("smooth_labels")
def targets_as_a_list(target: Tensor, num_classes: int, alpha: float) -> Any:
    """The targets come as a Python list, with which the loss cannot be computed. Leave them a tensor."""
    return _smoothed(target, num_classes, alpha).tolist()


@mistake("smooth_labels")
def targets_as_an_array(target: Tensor, num_classes: int, alpha: float) -> Any:
    """The targets come as a NumPy array. The loss multiplies them with a tensor that carries a gradient: leave them a tensor;
    everything you need exists in torch.
    """
    return _smoothed(target, num_classes, alpha).numpy()


@mistake("smooth_labels")
def label_reshaped_in_place(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The targets are right, but the labels of the caller were changed on the way: functions whose name ends in `_`, such as
    `unsqueeze_`, work on the tensor they are given. The next function that uses the labels finds another shape.
    """
    y = torch.zeros(len(target), num_classes).scatter(1, target.unsqueeze_(1), 1.0)
    return y * (1 - alpha) + alpha / num_classes


@mistake("smooth_labels")
def smooth_arguments_exchanged(target: Tensor, alpha: float, num_classes: int) -> Tensor:
    """The arguments are in another order than was asked for, so that a call without names mixes up alpha and the number of
    classes. The order is target, num_classes, alpha.
    """
    return _smoothed(target, num_classes, alpha)


@mistake("smooth_labels")
def one_hot_along_the_batch(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """The labels are used as row numbers: `scatter_(0, …)` writes along the examples. The label says in which column the 1 of a
    row stands, and columns are dimension 1.
    """
    y = torch.zeros(len(target), num_classes).scatter_(
        0, target[None, :].expand(len(target), -1), 1.0
    )
    return y * (1 - alpha) + alpha / num_classes


@mistake("smooth_labels")
def one_column_for_all(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """`y[:, target] = 1` marks, in every row, the columns of all labels of the batch. To pair each row with its own label, index
    both dimensions: `y[torch.arange(N), target]`.
    """
    y = torch.zeros(len(target), num_classes)
    y[:, target] = 1
    return y * (1 - alpha) + alpha / num_classes


@mistake("smooth_labels")
def one_class_cannot_be_alone(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """`squeeze` removes every axis of length 1, that of the batch too when it holds a single example, and a row is returned
    instead of a table. Remove the axis that you mean, by its number, or none.
    """
    return _smoothed(target, num_classes, alpha).squeeze()


# -- smooth_labels: right ------------------------------------------------------------------------------------------------


@right("smooth_labels")
def by_scatter(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    table = torch.full((len(target), num_classes), alpha / num_classes, device=target.device)
    return table.scatter_(1, target.unsqueeze(1), 1 - alpha + alpha / num_classes)


@right("smooth_labels")
def by_comparison_in_double(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    y = (target.view(-1, 1) == torch.arange(num_classes)).double()
    return (1 - alpha) * y + alpha * torch.ones_like(y) / num_classes


@right("smooth_labels")
def by_loops(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    rows = []
    for label in target.tolist():
        row = [alpha / num_classes] * num_classes
        row[label] += 1.0 - alpha
        rows.append(row)
    return torch.tensor(rows)


@right("smooth_labels")
def by_the_identity(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    eye = torch.eye(num_classes)
    return torch.lerp(eye, torch.full_like(eye, 1 / num_classes), float(alpha))[target]


@right("smooth_labels")
def by_indexing(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    q = torch.zeros(target.size(0), num_classes) + alpha / num_classes
    q[torch.arange(target.size(0)), target] = 1 - (num_classes - 1) * alpha / num_classes
    return q


@right("smooth_labels")
def as_a_mixture_by_where(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    mine = torch.nn.functional.one_hot(target, num_classes=num_classes).bool()
    smoothed = alpha / num_classes
    return torch.where(mine, torch.tensor(1 - alpha + smoothed), torch.tensor(smoothed))


@right("smooth_labels")
def with_the_smaller_alpha_over_the_others(
    target: Tensor, num_classes: int, alpha: float
) -> Tensor:
    y = F.one_hot(target, num_classes)
    off = alpha * (num_classes - 1) / num_classes
    return y * (1.0 - off) + (1 - y) * (off / (num_classes - 1))


@right("smooth_labels")
def in_numpy_and_back(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    import numpy as np

    y = np.eye(num_classes, dtype=np.float32)[target.numpy()]
    return torch.from_numpy(y * (1 - alpha) + alpha / num_classes)


# -- LabelSmoothingCrossEntropy: wrong -----------------------------------------------------------------------------------


class _Loss(nn.Module):
    """The right loss, in parts."""

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.look_at(alpha, reduction)
        self.alpha, self.reduction = alpha, reduction

    def look_at(self, alpha: float, reduction: str) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"unknown reduction {reduction!r}")

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _smoothed(target, logits.shape[1], self.alpha)

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=1)

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return -(self.targets(logits, target) * self.logarithms(logits)).sum(dim=1)

    def reduce(self, losses: Tensor) -> Any:
        return {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[self.reduction]

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        return self.reduce(self.losses(logits, target))


@mistake("LabelSmoothingCrossEntropy")
class IgnoresAlpha(_Loss):
    """This is the plain cross-entropy: alpha has no effect. Where are the smoothed targets used?"""

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _one_hot(target, logits.shape[1])


@mistake("LabelSmoothingCrossEntropy")
class SpreadsOverTheIncorrectClasses(_Loss):
    """Alpha goes to the K - 1 incorrect classes only, alpha/(K-1) each. The formula gives alpha/K to every class, the true one
    among them. Look at the average of the log-probabilities: over how many classes is it taken?
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return spread_over_the_incorrect_classes(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class TrueClassWithoutItsShare(_Loss):
    """The true class counts 1 - alpha and the others alpha/K: the weights sum to less than 1. Every class gets alpha/K, the true
    one on top of its 1 - alpha.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return true_class_without_its_share(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class OthersShareAmongThemselves(_Loss):
    """The true class counts 1 - alpha + alpha/K, but the others alpha/(K-1): the weights sum to more than 1. Which convention is
    it to be?
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return others_share_among_themselves(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class AlphaAndRestSwapped(_Loss):
    """Alpha weighs the true class and 1 - alpha all of them: the two have each other's place. With alpha = 0 the plain
    cross-entropy should be left.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return alpha_and_rest_swapped(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class AlphaForEveryClass(_Loss):
    """The smoothing term is the sum over the classes times alpha; it should be their mean times alpha. Each class gets alpha/K:
    where does the division by K belong?
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return alpha_for_every_class(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class AddsWithoutTaking(_Loss):
    """alpha times the smoothing term is added to the full cross-entropy. The weights of the two terms should be 1 - alpha and
    alpha, so that they sum to 1.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return share_added_to_the_one(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class OnlyShrinks(_Loss):
    """The cross-entropy is multiplied by 1 - alpha and that is all: a smaller learning rate, not smoothing. The term that asks
    for some probability on every class is missing.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return only_shrunk(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class TrueClassOnly(_Loss):
    """Only the logarithm of the true class is used, with its smoothed target. The sum goes over all classes: those of the others
    are what keeps the logits from growing without end.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return share_for_the_true_class_only(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class IgnoresTheLabel(_Loss):
    """Every class has the same target, so the label does not matter: nothing can be learned from this loss. Only a part alpha of
    the target is even.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return always_uniform(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class TrueClassLowest(_Loss):
    """The true class has the least target and all others the most: this loss teaches the network to avoid the right answer."""

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return true_class_lowest(target, logits.shape[1], self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class ClassesFromTheLabels(_Loss):
    """The number of classes is taken from the largest label of the batch. Where the last class does not occur, the targets have
    fewer columns than the logits, and the two cannot be multiplied. How many classes there are, the logits say.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _smoothed(target, int(target.max()) + 1, self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class TenClassesAlways(_Loss):
    """The number of classes is fixed, at 10 perhaps. The loss should serve any: the logits have one column a class."""

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _smoothed(target, 10, self.alpha)


@mistake("LabelSmoothingCrossEntropy")
class RowsSumNotKept(_Loss):
    """A row's maximum or sum has shape (N,); to subtract it from (N, K), or to divide by it, it must stay (N, 1): `keepdim=True`.
    Without it the shapes do not fit, or where N = K each *column* gets a row's number.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits - logits.logsumexp(1)


@mistake("LabelSmoothingCrossEntropy")
class RowsLargestNotKept(RowsSumNotKept):
    def logarithms(self, logits: Tensor) -> Tensor:
        return (logits - logits.max(dim=1).values).log_softmax(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class NeitherOfTheRowKept(RowsSumNotKept):
    def logarithms(self, logits: Tensor) -> Tensor:
        shifted = logits - logits.max(dim=1).values
        return shifted - shifted.exp().sum(1).log()


@mistake("LabelSmoothingCrossEntropy")
class LogOfSoftmax(_Loss):
    """Softmax first and the logarithm after it: for large logits a probability becomes exactly 0, its logarithm minus infinity,
    and the loss is lost. There is a function that does both at once and never leaves the logarithms.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1).log()


@mistake("LabelSmoothingCrossEntropy")
class LogOfSoftmaxPlusEpsilon(_Loss):
    """A small number inside the logarithm keeps it finite, and makes it wrong: a probability below that number costs no more than
    the number itself, and its gradient vanishes just where the network is most wrong. Log-softmax needs no such patch.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return (logits.softmax(dim=1) + 1e-12).log()


@mistake("LabelSmoothingCrossEntropy")
class ExponentialsUnshifted(_Loss):
    """The exponentials are taken of the logits as they are: exp(89) is already too large for float32. A softmax does not change
    when the same number is subtracted from all logits of a row: which number makes every exponential 1 or less?
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits - logits.exp().sum(dim=1, keepdim=True).log()


@mistake("LabelSmoothingCrossEntropy")
class ShiftedByTheBatch(_Loss):
    """Before the exponentials the largest logit of the whole batch is subtracted. For an example whose own logits are far below
    it all exponentials are then 0, and the logarithm of their sum is minus infinity. Each row needs its own largest logit.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        shifted = logits - logits.max()
        return shifted - shifted.exp().sum(dim=1, keepdim=True).log()


@mistake("LabelSmoothingCrossEntropy")
class LogitsClamped(_Loss):
    """The logits are clamped to keep exponentials finite. Beyond the bounds the loss is wrong and its gradient is zero, so the
    network cannot come back. Subtracting the largest logit keeps them finite without any bound.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.clamp(-80, 80).log_softmax(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class SoftmaxTwice(_Loss):
    """Probabilities are handed to log-softmax, which takes them for logits: a softmax is applied twice. Between 0 and 1 they
    differ too little for the loss ever to become small. What do log-softmax and `F.cross_entropy` expect?
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1).log_softmax(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class SoftmaxOverTheBatch(_Loss):
    """The softmax runs over dimension 0, the examples. Probabilities then sum to 1 over the batch, for each class; they should do
    so over the classes, for each example.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=0)


@mistake("LabelSmoothingCrossEntropy")
class ProbabilitiesWithoutLogarithm(_Loss):
    """The targets are multiplied with probabilities; the cross-entropy has their logarithms. Without it, being wrong and sure of
    it costs at most 1.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class LogitsForLogarithms(_Loss):
    """The targets are multiplied with the logits themselves. Only a log-softmax makes log-probabilities of them: without it the
    loss has no lower bound.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return logits


@mistake("LabelSmoothingCrossEntropy")
class MinusForgotten(_Loss):
    """The sign is missing: log-probabilities are negative, and so is this loss, which falls as the network gets worse."""

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return -super().losses(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class LogarithmToBaseTwo(_Loss):
    """The logarithm is to base 2, which makes the loss larger by a factor of 1.44. Cross-entropy here is in nats, as everywhere
    in PyTorch: the natural logarithm.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return super().logarithms(logits) / torch.tensor(2.0).log()


@mistake("LabelSmoothingCrossEntropy")
class DivergenceForCrossEntropy(_Loss):
    """This is the Kullback-Leibler divergence from the targets to the prediction: the cross-entropy less the entropy of the
    targets. The gradient is the same, the number is not. What must be added to `F.kl_div`?
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        q = self.targets(logits, target)
        return F.kl_div(self.logarithms(logits), q, reduction="none").sum(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class DivergenceMeanOfEverything(_Loss):
    """`F.kl_div` with reduction “mean” averages over examples and classes, and leaves out the entropy of the targets: two reasons
    why the number is too small. Sum over the classes first, and add the entropy.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        q = self.targets(logits, target)
        return F.kl_div(self.logarithms(logits), q, reduction="none").mean(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class TargetsAndPredictionExchanged(_Loss):
    """The logarithm is taken of the targets, and the probabilities weigh it. It is the other way round: targets weigh the
    logarithms of the prediction.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return -(logits.softmax(dim=1) * self.targets(logits, target).log()).sum(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class SquaredErrors(_Loss):
    """This is the squared distance between probabilities and targets, the Brier score. The cross-entropy was asked for: a sum of
    targets times log-probabilities.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return (logits.softmax(dim=1) - self.targets(logits, target)).square().sum(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class OneSigmoidAClass(_Loss):
    """Every class has its own sigmoid and its own yes-or-no cross-entropy. Here exactly one class is true: the classes share a
    softmax, and only log-probabilities weighed by the targets count.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        q = self.targets(logits, target)
        return F.binary_cross_entropy_with_logits(logits, q, reduction="none").sum(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class MeanOverTheClassesToo(_Loss):
    """The mean is taken over all N times K terms, so the loss is too small by the factor K, and with it every gradient. Over the
    classes the terms are summed, over the examples they are averaged.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().losses(logits, target) / logits.shape[1]


@mistake("LabelSmoothingCrossEntropy")
class MeanOfTheTable(_Loss):
    """For “mean” the average is taken over all N times K terms of the table, so it is too small by the factor K; “sum” is right.
    Sum over the classes first: what is reduced is one loss an example.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        loss = super().forward(logits, target)
        return loss / logits.shape[1] if self.reduction == "mean" else loss


@mistake("LabelSmoothingCrossEntropy")
class SumForMean(_Loss):
    """“mean” gives the sum over the examples. The loss, and the size of a step, then depend on how many are in a batch."""

    def reduce(self, losses: Tensor) -> Any:
        return losses if self.reduction == "none" else losses.sum()


@mistake("LabelSmoothingCrossEntropy")
class MeanForSum(_Loss):
    """“sum” gives the mean. It is asked for where batches of different size are added up and divided once, at the end."""

    def reduce(self, losses: Tensor) -> Any:
        return losses if self.reduction == "none" else losses.mean()


@mistake("LabelSmoothingCrossEntropy")
class MeanAndSumExchanged(_Loss):
    """“mean” gives the sum, and “sum” the mean: the two branches have each other's result. Read them once more, aloud."""

    def reduce(self, losses: Tensor) -> Any:
        return {"mean": losses.sum(), "sum": losses.mean(), "none": losses}[self.reduction]


@mistake("LabelSmoothingCrossEntropy")
class IgnoresReduction(_Loss):
    """`reduction` has no effect: the mean is returned for all three. Each of them has its own branch."""

    def reduce(self, losses: Tensor) -> Any:
        return losses.mean()


@mistake("LabelSmoothingCrossEntropy")
class NeverReduces(_Loss):
    """`reduction` has no effect: a loss for each example is returned for all three, and `backward` needs a single number."""

    def reduce(self, losses: Tensor) -> Any:
        return losses


@mistake("LabelSmoothingCrossEntropy")
class NoneIsATable(_Loss):
    """With “none” the whole table of products comes back, (N, K). The loss of an example is the sum of its row: “none” leaves out
    the reduction over examples, not the sum over classes.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        if self.reduction == "none":
            return -(self.targets(logits, target) * self.logarithms(logits))
        return super().forward(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class NoneIsMissing(_Loss):
    """For “none” nothing is returned, so you get None: there are branches for “mean” and for “sum” alone."""

    def reduce(self, losses: Tensor) -> Any:
        return None if self.reduction == "none" else super().reduce(losses)


@mistake("LabelSmoothingCrossEntropy")
class NoneKeepsAnAxis(_Loss):
    """With “none” the losses come as a column, (N, 1). One number an example has the shape (N,): see what `keepdim` and
    `unsqueeze` do, or `gather`, which keeps the axis it looks along.
    """

    def reduce(self, losses: Tensor) -> Any:
        return losses[:, None] if self.reduction == "none" else super().reduce(losses)


@mistake("LabelSmoothingCrossEntropy")
class DividesByOneLess(_Loss):
    """The sum of the losses is divided by N - 1, and by 0 where there is one example. A mean of N numbers divides by N."""

    def reduce(self, losses: Tensor) -> Any:
        return (
            losses.sum() / (len(losses) - 1)
            if self.reduction == "mean"
            else super().reduce(losses)
        )


@mistake("LabelSmoothingCrossEntropy")
class MeanTwice(_Loss):
    """The mean over the batch is divided by the size of the batch once more. `mean` has done that already."""

    def reduce(self, losses: Tensor) -> Any:
        return (
            losses.mean() / len(losses) if self.reduction == "mean" else super().reduce(losses)
        )


@mistake("LabelSmoothingCrossEntropy")
class Detached(_Loss):
    """No gradient passes through the loss, so nothing can be learned from it. `detach()`, `.data` and `no_grad` cut it off: they
    belong around targets and measurements, not around the prediction.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        return super().logarithms(logits.detach())


@mistake("LabelSmoothingCrossEntropy")
class ReturnsAPythonNumber(_Loss):
    """The loss comes as a Python number, and `backward` needs a tensor. Leave out `.item()` and `float()`: they are for
    printing.
    """

    def reduce(self, losses: Tensor) -> Any:
        reduced = super().reduce(losses)
        return losses if self.reduction == "none" else reduced.item()


@mistake("LabelSmoothingCrossEntropy")
class LossWithOneEntry(_Loss):
    """The number is right, but it comes in a tensor of shape (1,). A loss has no axes, shape (): see what `keepdim` does, or leave
    out the brackets.
    """

    def reduce(self, losses: Tensor) -> Any:
        reduced = super().reduce(losses)
        return reduced if self.reduction == "none" else reduced.reshape(1)


@mistake("LabelSmoothingCrossEntropy")
class ReturnsNothing(_Loss):
    """`forward` computes the loss and then forgets it: without `return` it gives None."""

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        super().forward(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class WantsOneHotTargets(_Loss):
    """The target is taken for one-hot rows already, but it holds the number of a class for each example, shape (N,). Making rows
    of it is the loss's part: `smooth_labels` does it.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return target * (1 - self.alpha) + self.alpha / logits.shape[1]


@mistake("LabelSmoothingCrossEntropy")
class ArgumentsOfForwardExchanged(_Loss):
    """`forward` takes the target first and the logits second. Losses are called with the prediction first, as in
    `loss(model(x), target)`.
    """

    def forward(self, target: Tensor, logits: Tensor) -> Any:
        return super().forward(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class AcceptsAnyAlpha(_Loss):
    """An alpha such as 1.5 or -0.1 is accepted, and gives targets that are negative or larger than 1. Say so at once, with a
    ValueError in `__init__`.
    """

    def look_at(self, alpha: float, reduction: str) -> None:
        super().look_at(0.0, reduction)


@mistake("LabelSmoothingCrossEntropy")
class AcceptsNegativeAlpha(_Loss):
    """An alpha above 1 is refused, but a negative one is not. The interval has two ends."""

    def look_at(self, alpha: float, reduction: str) -> None:
        super().look_at(max(alpha, 0.0), reduction)


@mistake("LabelSmoothingCrossEntropy")
class AcceptsAlphaAboveOne(_Loss):
    """A negative alpha is refused, but one above 1 is not. The interval has two ends."""

    def look_at(self, alpha: float, reduction: str) -> None:
        super().look_at(min(alpha, 1.0), reduction)


@mistake("LabelSmoothingCrossEntropy")
class ClampsAlpha(_Loss):
    """A bad alpha is moved to the nearest end of the interval, in silence. Whoever passes 10 meant something else, percent for
    instance, and should learn of it: raise a ValueError.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__(
            min(max(alpha, 0.0), 1.0),
            reduction.lower() if reduction in ("mean", "sum", "none") else "mean",
        )


@mistake("LabelSmoothingCrossEntropy")
class AssertsAlpha(_Loss):
    """A bad alpha is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError, which the caller can tell from other errors.
    """

    def look_at(self, alpha: float, reduction: str) -> None:
        assert 0 <= alpha <= 1, f"alpha must lie in [0, 1], got {alpha}"
        super().look_at(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class RefusesNoSmoothing(_Loss):
    """alpha = 0 is refused, although it is allowed: it is the plain cross-entropy, with which every experiment compares."""

    def look_at(self, alpha: float, reduction: str) -> None:
        if not 0 < alpha <= 1:
            raise ValueError(f"alpha must lie in (0, 1], got {alpha}")
        super().look_at(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class RefusesFullSmoothing(_Loss):
    """alpha = 1 is refused, although it is allowed: a target that is even is of little use, but well defined."""

    def look_at(self, alpha: float, reduction: str) -> None:
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {alpha}")
        super().look_at(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class AcceptsAnyReduction(_Loss):
    """An unknown reduction, a spelling mistake for instance, is accepted and taken for one of the three. Compare it with the three
    names, and raise a ValueError if it is none of them.
    """

    def look_at(self, alpha: float, reduction: str) -> None:
        super().look_at(alpha, "mean")

    def reduce(self, losses: Tensor) -> Any:
        return {"sum": losses.sum(), "none": losses}.get(self.reduction, losses.mean())


@mistake("LabelSmoothingCrossEntropy")
class UnknownReductionIsAKeyError(_Loss):
    """An unknown reduction ends in a KeyError, from a dictionary that does not know it. An argument that is wrong is a ValueError:
    look at it in `__init__`.
    """

    def look_at(self, alpha: float, reduction: str) -> None:
        super().look_at(alpha, "mean")


@mistake("LabelSmoothingCrossEntropy")
class AnotherDefaultAlpha(_Loss):
    """Made without arguments, the loss does not smooth with 0.1. The signature that you were given says `alpha: float = 0.1`:
    leave it as it is.
    """

    def __init__(self, alpha: float = 0.2, reduction: str = "mean") -> None:
        super().__init__(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class NoSmoothingByDefault(_Loss):
    """Made without arguments, the loss does not smooth at all. The signature that you were given says `alpha: float = 0.1`: leave
    it as it is.
    """

    def __init__(self, alpha: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class SumByDefault(_Loss):
    """Made without arguments, the loss gives the sum. The signature that you were given says `reduction: str = "mean"`: leave it
    as it is.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "sum") -> None:
        super().__init__(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class NotReducedByDefault(_Loss):
    """Made without arguments, the loss gives one number an example. The signature that you were given says
    `reduction: str = "mean"`: leave it as it is.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "none") -> None:
        super().__init__(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class ArgumentsExchanged(_Loss):
    """The arguments are in another order than was asked for, so that `LabelSmoothingCrossEntropy(0.3)` takes 0.3 for the reduction.
    Keep the order of the signature: alpha first.
    """

    def __init__(self, reduction: str = "mean", alpha: float = 0.1) -> None:
        super().__init__(alpha, reduction)


@mistake("LabelSmoothingCrossEntropy")
class SmoothsInTrainingOnly(_Loss):
    """In evaluation mode the targets are not smoothed. A loss has no mode: what it is to measure is the caller's choice, and a
    validation loss that changes with `eval()` cannot be compared with the training loss.
    """

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _smoothed(target, logits.shape[1], self.alpha if self.training else 0.0)


@mistake("LabelSmoothingCrossEntropy")
class RemembersTheFirstTargets(_Loss):
    """The targets of the first batch are kept and used again for the next, whose labels are others. Make them in each call."""

    kept: Tensor | None = None

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = super().targets(logits, target)
        # Padded or cut, so that it fits: what would show is only that the numbers are wrong.
        examples, classes = logits.shape
        table = torch.zeros(max(examples, len(self.kept)), max(classes, self.kept.shape[1]))
        table[: len(self.kept), : self.kept.shape[1]] = self.kept
        return table[:examples, :classes]


@mistake("LabelSmoothingCrossEntropy")
class WritesIntoTheLogits(_Loss):
    """The largest logit is subtracted in place, so the caller's logits are changed, and autograd may refuse it: `-=` and functions
    whose name ends in `_` write into the tensor they are given. Compute a new one.
    """

    def logarithms(self, logits: Tensor) -> Tensor:
        logits -= logits.max(dim=1, keepdim=True).values
        return super().logarithms(logits)


@mistake("LabelSmoothingCrossEntropy")
class ChangesTheLogitsUnseen(_Loss):
    """The largest logit is subtracted in place, behind autograd's back: whoever uses the logits after the loss, for the accuracy or
    a second loss, finds other numbers. Subtract into a new tensor.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        with torch.no_grad():
            logits -= logits.max(dim=1, keepdim=True).values
        return super().forward(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class EntropyOfZero(_Loss):
    """With alpha = 0 the result is NaN: somewhere 0 is multiplied with log 0, in the entropy of the targets. The limit of q log q
    is 0, but 0 times minus infinity is not: `torch.special.entr` knows, or use a form without the logarithm of a target.
    """

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        q = self.targets(logits, target)
        return (q * (q.log() - self.logarithms(logits))).sum(dim=1) - (q * q.log()).sum(dim=1)


@mistake("LabelSmoothingCrossEntropy")
class NotAModule:
    """The loss is a plain class: without `nn.Module` as its base it cannot be a part of a model, has no `train()` and `eval()`, and
    is not moved with the rest. Derive from `nn.Module`, and call `super().__init__()` first.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        self.loss = _Loss(alpha, reduction)

    def __call__(self, logits: Tensor, target: Tensor) -> Any:
        return self.loss(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class CalledForwardByAnotherName(nn.Module):
    """The class has no `forward`, so calling it fails. `nn.Module` calls the method of that name: a method such as `loss` or
    `compute` is never found.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.inner = _Loss(alpha, reduction)

    def compute(self, logits: Tensor, target: Tensor) -> Any:
        return self.inner(logits, target)


@mistake("LabelSmoothingCrossEntropy")
class ReadsWhatWasNeverSet(_Loss):
    """`forward` reads an attribute that `__init__` did not set: the error names it. Compare the two names letter by letter."""

    def targets(self, logits: Tensor, target: Tensor) -> Tensor:
        return _smoothed(target, logits.shape[1], self.smoothing)  # type: ignore[arg-type]


@mistake("LabelSmoothingCrossEntropy")
class SqueezesTheBatchAway(_Loss):
    """`squeeze` removes every axis of length 1, that of the batch too when it holds a single example. Then the classes are no longer
    where they are looked for. Remove the axis that you mean, by its number, or none.
    """

    def forward(self, logits: Tensor, target: Tensor) -> Any:
        logits = logits.squeeze()
        return super().forward(logits, target)


# -- LabelSmoothingCrossEntropy: right -----------------------------------------------------------------------------------


@right("LabelSmoothingCrossEntropy")
class InParts(_Loss):
    pass


@right("LabelSmoothingCrossEntropy")
class ByCrossEntropyOnSoftTargets(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if alpha < 0 or alpha > 1:
            raise ValueError("alpha")
        if reduction not in {"mean", "sum", "none"}:
            raise ValueError("reduction")
        self.alpha = alpha
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        soft = _smoothed(target, logits.size(1), self.alpha)
        return F.cross_entropy(logits, soft, reduction=self.reduction)


@right("LabelSmoothingCrossEntropy")
class ByDivergenceAndEntropy(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if not (alpha >= 0 and alpha <= 1):
            raise ValueError(alpha)
        if reduction not in ["none", "mean", "sum"]:
            raise ValueError(reduction)
        self.alpha, self.how = alpha, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        q = by_scatter(target, logits.shape[-1], self.alpha)
        divergence = F.kl_div(F.log_softmax(logits, dim=-1), q, reduction="none")
        losses = (divergence + torch.special.entr(q)).sum(-1)
        if self.how == "mean":
            return losses.mean()
        return losses.sum() if self.how == "sum" else losses


@right("LabelSmoothingCrossEntropy")
class ByTwoTerms(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.reduction = alpha, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"{self.alpha} is out of range")
        log_p = F.log_softmax(logits, 1)
        nll = -log_p.gather(1, target[:, None])[:, 0]
        losses = (1 - self.alpha) * nll - self.alpha * log_p.mean(1)
        if self.reduction == "mean":
            return losses.mean()
        elif self.reduction == "sum":
            return losses.sum()
        elif self.reduction == "none":
            return losses
        raise ValueError(f"reduction {self.reduction} is not known")


@right("LabelSmoothingCrossEntropy")
class ByLogSumExp(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if abs(alpha - 0.5) > 0.5 or reduction not in ("mean", "sum", "none"):
            raise ValueError("alpha in [0, 1]; reduction mean, sum or none")
        self.alpha = torch.tensor(float(alpha))
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        true = logits[torch.arange(len(logits)), target]
        mixed = (1 - self.alpha) * true + self.alpha * logits.mean(dim=1)
        losses = torch.logsumexp(logits, dim=1) - mixed
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


@right("LabelSmoothingCrossEntropy")
class ByNllLoss(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if alpha > 1 or alpha < 0:
            raise ValueError(f"alpha={alpha}")
        if reduction != "mean" and reduction != "sum" and reduction != "none":
            raise ValueError(f"reduction={reduction}")
        self.register_buffer("alpha", torch.tensor(float(alpha)))
        self.reduction = reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = nn.LogSoftmax(dim=1)(logits)
        smooth = -log_p.mean(dim=1)
        if self.reduction == "mean":
            smooth = smooth.mean()
        if self.reduction == "sum":
            smooth = smooth.sum()
        hard = F.nll_loss(log_p, target, reduction=self.reduction)
        return torch.lerp(hard, smooth, self.alpha)


@right("LabelSmoothingCrossEntropy")
class ByPlainCrossEntropyAndUniform(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if not 0.0 <= alpha <= 1.0:
            raise ValueError("smoothing out of range")
        self.alpha = alpha
        self.ce = nn.CrossEntropyLoss(reduction=reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        uniform = torch.full_like(logits, 1 / logits.shape[1])
        return (1 - self.alpha) * self.ce(logits, target) + self.alpha * self.ce(
            logits, uniform
        )


@right("LabelSmoothingCrossEntropy")
class ByShiftedExponentials(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        self.reducers = {"mean": torch.mean, "sum": torch.sum, "none": torch.clone}
        if not 0 <= alpha <= 1 or reduction not in self.reducers:
            raise ValueError(f"{alpha}, {reduction}")
        self.alpha, self.reduction = alpha, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        shifted = logits - logits.amax(dim=1, keepdim=True)
        log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
        q = by_comparison_in_double(target, logits.shape[1], self.alpha)
        return self.reducers[self.reduction](-torch.einsum("nk,nk->n", q, log_p.double()))


@right("LabelSmoothingCrossEntropy")
class ByLoops(nn.Module):
    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if min(max(alpha, 0), 1) != alpha:
            raise ValueError(f"bad alpha: {alpha!r}")
        if reduction not in "mean sum none".split():
            raise ValueError(f"bad reduction: {reduction!r}")
        self.settings = (alpha, reduction)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        alpha, reduction = self.settings
        losses = []
        for row, label in zip(logits, target.tolist(), strict=True):
            log_p = torch.log_softmax(row, dim=0)
            q = [alpha / len(row) + (1 - alpha) * (k == label) for k in range(len(row))]
            losses.append(-sum(weight * log_p[k] for k, weight in enumerate(q)))
        stacked = torch.stack(losses)
        return {"mean": stacked.mean, "sum": stacked.sum}.get(reduction, lambda: stacked)()


@right("LabelSmoothingCrossEntropy")
class ByLogSoftmaxTwice(nn.CrossEntropyLoss):
    """Log-softmax of log-probabilities changes nothing: they are logits whose softmax sums to 1."""

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"no reduction {reduction}")
        super().__init__(reduction=reduction)
        if alpha != alpha or alpha < 0 or alpha > 1:
            raise ValueError(f"no smoothing {alpha}")
        self.alpha = alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        q = _smoothed(target, logits.shape[1], self.alpha)
        return super().forward(logits.log_softmax(1), q)
