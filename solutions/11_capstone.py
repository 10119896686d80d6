# ---
# jupyter:
#   autograder: {title: Capstone, technique: A recipe of your own, paper: "all of them", minutes: 120, hides: [reglab/fashion_mnist_small.npz], leaderboard: {error: lowest, calibration error: lowest}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Capstone: a recipe of your own

# %% setup=true
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready
from reglab.augment import shift_and_flip
from reglab.models import ResNet, SmallCNN
from reglab.recipe import BUDGET, Recipe, baseline


# %% exercise="build_recipe"
def build_recipe() -> Recipe:
    """Build a network and everything that decides how it is trained.

    Args:
        None.

    Shape:
        - the model's input: (N, 1, 28, 28)
        - the model's output: logits, (N, 10)

    Returns:
        A new `Recipe`.
    """
    ### BEGIN SOLUTION
    layers: list[nn.Module] = []
    for inside, outside in ((1, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(inside, outside, 3, 2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(outside), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.3), nn.Linear(864, 10)]
    model = nn.Sequential(*layers, *head)
    adamw = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.05)
    one_cycle = torch.optim.lr_scheduler.OneCycleLR(adamw, 0.02, BUDGET.steps)
    softer = nn.CrossEntropyLoss(label_smoothing=0.05)

    def moved(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return shift_and_flip(images, shift=1, flip=0.0), labels

    return Recipe(model, softer, adamw, moved, one_cycle)
    ### END SOLUTION


# %% check="build_recipe"
check(build_recipe)

# %% [markdown] written="your_choice"
# **Your answer**
#
# ### BEGIN SOLUTION
# x
# ### END SOLUTION

# %%
progress()
