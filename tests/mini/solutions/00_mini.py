# ---
# jupyter:
#   autograder: {title: Doubling, technique: none, paper: none, minutes: 1}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Doubling

# %% setup=true
import torch

from autograder import check, progress, ready

# %% [markdown]
# <!-- hints: double -->


# %% exercise="double"
def double(x: torch.Tensor) -> torch.Tensor:
    """Return twice x."""
    ### BEGIN SOLUTION
    twice_what_was_given = x + x
    return twice_what_was_given
    ### END SOLUTION


# %% check="double"
check(double)


# %% exercise="quadruple"
def quadruple(x: torch.Tensor) -> torch.Tensor:
    """Return four times x."""
    ### BEGIN SOLUTION
    return double(double(x))
    ### END SOLUTION


# %% check="quadruple"
check(quadruple)

# %%
if ready(double):
    print(double(torch.tensor([1.0, 2.0])).tolist())

# %% [markdown] written="why"
# Why double?
#
# ### BEGIN SOLUTION
# Because it is simple.
# ### END SOLUTION

# %%
progress()
