# ---
# jupyter:
#   autograder: {title: Label smoothing, technique: Targets that are never certain, paper: "Szegedy et al. 2016, section 7", minutes: 60}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Label smoothing

# %% setup=true
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready


# %% exercise="smooth_labels"
def smooth_labels(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Smoothed targets: y (1 - alpha) + alpha / K for one-hot targets y and K classes.

    Args:
        target: the true class of each example, int64 from 0 to K - 1.
        num_classes: the number K of classes, also where some of them do not occur in `target`.
        alpha: how much of each target is spread evenly over all K classes, the true one among
            them; in [0, 1].

    Shape:
        - target: (N,)
        - Output: (N, K)

    Returns:
        One row of targets an example, float32 or float64. What happens with an alpha outside
        [0, 1] is up to you.
    """
    ### BEGIN SOLUTION
    one_hot = F.one_hot(target, num_classes).float()
    return one_hot * (1 - alpha) + alpha / num_classes
    ### END SOLUTION


# %% [markdown]
# <!-- hints: smooth_labels -->

# %% check="smooth_labels"
check(smooth_labels)


# %% exercise="LabelSmoothingCrossEntropy"
class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy between smoothed targets and the softmax of logits (Szegedy et al. 2016).

    The loss of one example is -sum_k q_k log p_k, with the targets q of `smooth_labels` and
    p = softmax(logits). It is the same in training and in evaluation mode, and differentiable.

    Args:
        alpha: the smoothing, in [0, 1]; 0 is the plain cross-entropy.
        reduction: "mean" over the examples, "sum" over the examples, or "none".

    Shape:
        - logits: (N, K), float32, of any size: 10 000 and -10 000 give a finite loss and gradient
        - target: (N,), the true class of each example, int64
        - Output: one number, a tensor of shape (); with reduction "none", (N,)

    Raises:
        ValueError: if alpha is not in [0, 1], or reduction is none of the three. The constructor
            is the place to notice.
    """

    def __init__(self, alpha: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha has to be between 0 and 1, but is {alpha}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction is "mean", "sum" or "none", not {reduction!r}')
        self.alpha, self.reduction = alpha, reduction
        ### END SOLUTION

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        targets = smooth_labels(target, logits.shape[1], self.alpha)
        # log_softmax, not log(softmax): a probability that underflows to 0 has the logarithm -inf.
        losses = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, reduction={self.reduction!r}"


# %% [markdown]
# <!-- hints: LabelSmoothingCrossEntropy -->

# %% check="LabelSmoothingCrossEntropy"
check(LabelSmoothingCrossEntropy)

# %% [markdown] written="q"
# q
#
# ### BEGIN SOLUTION
# a
# ### END SOLUTION

# %%
progress()
