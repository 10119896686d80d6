"""Known wrong implementations of 00_start_here, each with its explanation, and right ones written in other ways."""

from __future__ import annotations

import torch
from torch import Tensor

from autograder.mistakes import mistake, right


@mistake("accuracy")
def argmax_over_the_batch(logits: Tensor, target: Tensor) -> Tensor:
    """The largest logit is looked for along the batch instead of along the classes, so you get one answer per class rather
    than one per example. Write down the shape of the logits and of what `argmax` returns: which of the two axes should be
    gone?
    """
    return (logits.argmax(dim=0) == target).float().mean()


@mistake("accuracy")
def argmax_of_everything(logits: Tensor, target: Tensor) -> Tensor:
    """`argmax` without a dimension flattens the whole batch and returns a single position in it. Each example makes its own
    choice: tell `argmax` which axis the classes are on.
    """
    return (logits.argmax() == target).float().mean()


@mistake("accuracy")
def counts_correct(logits: Tensor, target: Tensor) -> int:
    """The number of right answers comes back, not their share: it grows with the batch. What do you divide a count by to get
    a number between 0 and 1?
    """
    return int((logits.argmax(dim=1) == target).sum())


@mistake("accuracy")
def percentage(logits: Tensor, target: Tensor) -> Tensor:
    """The result is a percentage, up to 100. A fraction between 0 and 1 was asked for: percent are for printing, and mixing
    the two is a classic source of wrong plots.
    """
    return 100 * (logits.argmax(dim=1) == target).float().mean()


@mistake("accuracy")
def integer_division(logits: Tensor, target: Tensor) -> int:
    """`//` throws away everything after the decimal point, so the result is 0 unless every answer is right. Which division
    keeps the fraction?
    """
    return int((logits.argmax(dim=1) == target).sum()) // len(target)


@mistake("accuracy")
def mean_over_classes(logits: Tensor, target: Tensor) -> Tensor:
    """The accuracy of each class is computed first and then averaged, so a rare class counts as much as a common one. That is
    balanced accuracy, a useful number, but here every example counts the same.
    """
    hit = (logits.argmax(dim=1) == target).float()
    return torch.stack([hit[target == k].mean() for k in target.unique()]).mean()


@mistake("accuracy")
def divides_by_the_classes(logits: Tensor, target: Tensor) -> Tensor:
    """The count of right answers is divided by the number of classes. Each example is right or wrong once, so the most that
    can be right is the number of examples: which axis of the logits is that?
    """
    return (logits.argmax(dim=1) == target).sum() / logits.shape[1]


@mistake("accuracy")
def divides_by_a_fixed_batch_size(logits: Tensor, target: Tensor) -> Tensor:
    """The count is divided by a fixed batch size. The last batch of an epoch is often smaller, and there the accuracy comes
    out too low: take the number of examples from the tensors you are given.
    """
    return (logits.argmax(dim=1) == target).sum() / 32


@mistake("accuracy")
def error_rate(logits: Tensor, target: Tensor) -> Tensor:
    """This is the share of wrong answers: it falls as the network gets better. Look at the comparison: is True a hit or a
    miss?
    """
    return (logits.argmax(dim=1) != target).float().mean()


@mistake("accuracy")
def lowest_logit(logits: Tensor, target: Tensor) -> Tensor:
    """The class with the lowest logit is taken for the answer. A higher score means the network finds a class more likely."""
    return (logits.argmin(dim=1) == target).float().mean()


@mistake("accuracy")
def compares_the_values(logits: Tensor, target: Tensor) -> Tensor:
    """The largest logits themselves are compared with the targets. A logit is a score such as 2.7, a target is the number of
    a class: you need the place of the largest score, not its value. `max(dim=1)` returns both.
    """
    return (logits.max(dim=1).values == target).float().mean()


@mistake("accuracy")
def only_when_confident(logits: Tensor, target: Tensor) -> Tensor:
    """An answer only counts here if its probability is above one half. With several classes the largest can be well below
    that and still be the network's choice: accuracy asks which class comes first, not by how much.
    """
    probability, chosen = logits.softmax(dim=1).max(dim=1)
    return ((chosen == target) & (probability > 0.5)).float().mean()


@mistake("accuracy")
def one_value_per_example(logits: Tensor, target: Tensor) -> Tensor:
    """You return a zero or a one for each example: the last step is missing. What turns those into one number for the
    batch?
    """
    return (logits.argmax(dim=1) == target).float()


@mistake("accuracy")
def a_tensor_with_one_entry(logits: Tensor, target: Tensor) -> Tensor:
    """The number is right, but it comes in a tensor of shape (1,). A plain number, or a tensor without dimensions, is what
    formatting, logging and comparing expect: see what `keepdim` does, or leave out the brackets.
    """
    return (logits.argmax(dim=1) == target).float().mean(dim=0, keepdim=True)


@mistake("accuracy")
def every_pair_compared(logits: Tensor, target: Tensor) -> Tensor:
    """A column of answers (N, 1) compared with targets (N,) broadcasts to a table (N, N): every answer meets every target,
    its own and all others. Print the shape of the comparison; `keepdim` and `unsqueeze` are the usual culprits.
    """
    return (logits.argmax(dim=1, keepdim=True) == target).float().mean()


@mistake("accuracy")
def squeezes_the_batch_away(logits: Tensor, target: Tensor) -> Tensor:
    """`squeeze` removes every axis of length 1, the batch axis too when it holds a single example, and then the axis of the
    classes is no longer where you look for it. The logits have two axes from the start: nothing needs to go.
    """
    return (logits.squeeze().argmax(dim=1) == target).float().mean()


@mistake("accuracy")
def writes_into_the_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The number is right, but the caller's logits are changed on the way: functions whose name ends in `_`, and operators
    such as `-=`, write into the tensor they are given. A metric must only look.
    """
    logits -= logits.max(dim=1, keepdim=True).values
    return (logits.argmax(dim=1) == target).float().mean()


@mistake("accuracy")
def runner_up_counts(logits: Tensor, target: Tensor) -> Tensor:
    """An example counts as right when its class is among the two largest logits. That is top-2 accuracy; here only the
    network's first choice counts.
    """
    return (logits.topk(2, dim=1).indices == target[:, None]).any(dim=1).float().mean()


@mistake("accuracy")
def counts_one_hot_entries(logits: Tensor, target: Tensor) -> Tensor:
    """Comparing one-hot vectors entry by entry also counts the zeros that agree, and most entries are zeros: a wrong answer
    still scores well. Compare whole answers, one an example.
    """
    classes = logits.shape[1]
    chosen = torch.nn.functional.one_hot(logits.argmax(dim=1), classes)
    return (chosen == torch.nn.functional.one_hot(target, classes)).float().mean()


@mistake("accuracy")
def rounded(logits: Tensor, target: Tensor) -> float:
    """The result is rounded. Averages over batches then add up the rounding, and small improvements vanish: return the
    number as it is, and round where you print it.
    """
    return round(float((logits.argmax(dim=1) == target).float().mean()), 2)


@mistake("accuracy")
def mean_of_booleans(logits: Tensor, target: Tensor) -> Tensor:
    """The comparison gives True and False, and booleans have no mean in PyTorch: the error says that it wants floating-point
    numbers. Which method turns a tensor into those?
    """
    return (logits.argmax(dim=1) == target).mean()


@mistake("accuracy")
def mean_over_batches(logits: Tensor, target: Tensor) -> Tensor:
    """The batch is cut into parts and their accuracies are averaged. If the last part is smaller, its examples count more than
    the others: average over examples, or add up hits and divide once.
    """
    parts = zip(logits.split(8), target.split(8), strict=True)
    return torch.stack([(a.argmax(dim=1) == b).float().mean() for a, b in parts]).mean()


@mistake("accuracy")
def divides_by_one_less(logits: Tensor, target: Tensor) -> float:
    """The count is divided by N - 1. That belongs to the variance of a sample; a share is a count divided by the number that
    was counted, which is N.
    """
    return int((logits.argmax(dim=1) == target).sum()) / max(len(target) - 1, 1)


@mistake("accuracy")
def classes_counted_from_one(logits: Tensor, target: Tensor) -> Tensor:
    """The chosen class is moved by one before it is compared. Targets count from 0, as `argmax` does: compare the two as they
    are.
    """
    return (logits.argmax(dim=1) + 1 == target).float().mean()


@mistake("accuracy")
def a_text(logits: Tensor, target: Tensor) -> str:
    """The result is a text. It can be printed and not reckoned with: return the number, and format it where you print it."""
    return f"{float((logits.argmax(dim=1) == target).float().mean()):.2f}"


@mistake("accuracy")
def mean_probability(logits: Tensor, target: Tensor) -> Tensor:
    """This is the mean probability of the true class: it says how sure the network is, not how often it is right. Accuracy
    asks of each example only whether the first choice was correct.
    """
    return logits.softmax(dim=1).gather(1, target[:, None]).mean()


@mistake("accuracy")
def mean_logit(logits: Tensor, target: Tensor) -> Tensor:
    """The scores of the true classes are averaged, so the result has no upper bound. First turn each row into an answer,
    then into right or wrong, and average that.
    """
    return logits.gather(1, target[:, None]).mean()


@mistake("accuracy")
def all_or_nothing(logits: Tensor, target: Tensor) -> bool:
    """`torch.equal` and `all` ask whether every answer is right, and say True or False for the whole batch. Compare element by
    element, then see what share of the answers is True.
    """
    return torch.equal(logits.argmax(dim=1), target)


@mistake("accuracy")
def nothing_returned(logits: Tensor, target: Tensor) -> None:
    """The function computes its result and then forgets it: without `return` it gives None. Printing a value is not
    returning it.
    """
    (logits.argmax(dim=1) == target).float().mean()


@mistake("accuracy")
def the_first_example_only(logits: Tensor, target: Tensor) -> float:
    """Only the first example is looked at: a `return` inside a loop ends it at the first turn. Move it behind the loop."""
    for row, label in zip(logits, target, strict=True):
        return float(row.argmax() == label)
    return 0.0


@right("accuracy")
def mean_of_comparisons(logits: Tensor, target: Tensor) -> float:
    return (logits.argmax(dim=1) == target).float().mean().item()


@right("accuracy")
def a_loop_in_python(logits: Tensor, target: Tensor) -> float:
    hits = 0
    for row, label in zip(logits.tolist(), target.tolist(), strict=True):
        hits += row.index(max(row)) == label
    return hits / len(target)


@right("accuracy")
def a_sum_over_the_count(logits: Tensor, target: Tensor) -> Tensor:
    return torch.eq(torch.max(logits, -1)[1], target).sum() / target.numel()


@right("accuracy")
def by_sorting(logits: Tensor, target: Tensor) -> Tensor:
    best = logits.detach().sort(dim=1, descending=True).indices[:, 0]
    return 1 - torch.count_nonzero(best - target) / len(best)


@right("accuracy")
def by_top_one_in_double(logits: Tensor, target: Tensor) -> Tensor:
    return logits.topk(1, dim=1).indices.squeeze(1).eq(target).double().mean()


@right("accuracy")
def of_log_probabilities(logits: Tensor, target: Tensor) -> Tensor:
    return (logits.float().log_softmax(dim=1).argmax(dim=1) == target).to(torch.float32).mean()


@right("accuracy")
def in_numpy(logits: Tensor, target: Tensor) -> float:
    return (logits.detach().double().numpy().argmax(axis=1) == target.numpy()).mean()
