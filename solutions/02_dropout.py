# ---
# jupyter:
#   autograder: {title: Dropout, technique: Dropping single activations, paper: "Srivastava et al. 2014; Gal & Ghahramani 2016", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% setup=true
import torch
from torch import Tensor, nn

from autograder import check, progress, ready


# %% exercise="dropout"
def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each value of x to zero with probability p, and divide what is kept by 1 - p.

    With `training=False`, and for p = 0, the input is returned as it is. For p = 1, training
    gives zeros. Coins are tossed anew at each call, one for every single value; the seed of the
    random generator is the caller's affair.

    Args:
        x: any floating-point tensor; it is not changed.
        p: the probability of dropping a value.
        training: whether anything is dropped.

    Shape:
        - x: any, of at least one dimension
        - Output: as x, in the same dtype and on the same device

    Returns:
        The output. Its gradient with respect to x is 1 / (1 - p) where a value was kept and 0
        where it was dropped.

    Raises:
        ValueError: if p is not in [0, 1]. The message shows it.
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
    if not training or p == 0:
        return x
    # In float32 whatever x is: uniforms in bfloat16 are too coarse for a small p.
    keep = torch.rand(x.shape, device=x.device) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0  # 0/0 would be NaN
    return x * keep * scale
    ### END SOLUTION


# %% [markdown]
# <!-- hints: dropout -->

# %% check="dropout"
check(dropout)


# %% exercise="Dropout"
class Dropout(nn.Module):
    """Dropout as a layer (Srivastava et al. 2014).

    In training mode it does what `dropout` does; in evaluation mode it returns its input as it is.

    Args:
        p: the probability of dropping a value.

    Shape:
        - Input: any, of at least one dimension
        - Output: as the input, in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. The message shows it.

    The layer has no parameters and no buffers: masks are drawn anew for each call and not kept.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.p = p
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return dropout(x, self.p, self.training)
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"p={self.p}"


# %% [markdown]
# <!-- hints: Dropout -->

# %% check="Dropout"
check(Dropout)


# %% exercise="mc_dropout_predict"
def mc_dropout_predict(model: nn.Module, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    """Predict with dropout switched on, `n_samples` times (Gal and Ghahramani 2016).

    Every layer that drops at random is active, whatever its class is called: the library's, and
    those you wrote yourself. Batch norm stays in evaluation mode: it uses its running statistics
    and does not update them. Other modules may be in either mode meanwhile.

    Args:
        model: maps x to logits (N, K). Afterwards each of its modules is in the mode it was in
            before, which may be training for some and evaluation for others; parameters, their
            gradients and buffers are as they were.
        x: a batch the model takes.
        n_samples: how many predictions are made, at least 1.

    Shape:
        - x: (N, ...)
        - mean_probs, std_probs: (N, K) each

    Returns:
        mean_probs: the softmax probabilities of each sample, averaged over the samples.
        std_probs: their standard deviation over the samples, computed with n_samples or with
            n_samples - 1; both are right. (So for one sample it is 0, or NaN.)
        Neither carries a graph.
    """
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}
    for module in modes:
        module.training = not isinstance(module, nn.modules.batchnorm._BatchNorm)
    try:
        with torch.no_grad():
            probs = torch.stack([model(x).softmax(dim=1) for _ in range(n_samples)])
    finally:  # also if the model raises: it was lent to us
        for module, was_training in modes.items():
            module.training = was_training
    return probs.mean(dim=0), probs.std(dim=0, correction=0)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: mc_dropout_predict -->

# %% check="mc_dropout_predict"
check(mc_dropout_predict)

# %% [markdown] written="too_much_dropout"
# **Your answer**
#
# ### BEGIN SOLUTION
# to do
# ### END SOLUTION

# %%
progress()
