# ---
# jupyter:
#   autograder: {title: Interactions, technique: Dropout and batch norm; combining techniques, paper: "Li et al. 2019", minutes: 120}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Interactions

# %% setup=true
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from autograder import check, progress, ready


# %% exercise="variance_shift"
def variance_shift(
    model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """How much more the inputs of each batch norm layer vary in training than in evaluation.

    For each channel of each layer: the variance of the layer's input with the whole model in
    training mode, divided by that with the whole model in evaluation mode and the running
    statistics that the model came with. A variance is taken over all examples of the loader
    and all positions together. (The paper prints the inverse of this ratio.)

    Args:
        model: any network with batch norm layers (`nn.BatchNorm1d`, `nn.BatchNorm2d`, ...);
            afterwards everything about it is what it was: the mode of each module, buffers,
            hooks, parameters and their gradients.
        loader: yields batches (x, target), as often as one likes; the last batch may be
            smaller. The model is called with x.

    Shape:
        - x: (N, ...), whatever the model takes
        - Output: a tensor (C,) for each batch norm layer with C channels

    Returns:
        {name of the layer in `model.named_modules()`: ratio of each channel}, an entry for
        every batch norm layer.
    """
    ### BEGIN SOLUTION
    variance: dict[bool, dict[str, Tensor]] = {}
    for training in (True, False):
        trial = deepcopy(model).train(
            training
        )  # a training pass moves running statistics: not ours
        inputs: dict[str, list[Tensor]] = {}
        for name, layer in trial.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                kept = inputs.setdefault(name, [])
                layer.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        with torch.no_grad():
            for x, _ in loader:
                trial(x)
        pooled = {
            name: torch.cat(kept).transpose(0, 1).flatten(1) for name, kept in inputs.items()
        }
        variance[training] = {name: values.var(dim=1) for name, values in pooled.items()}
    return {name: variance[True][name] / still for name, still in variance[False].items()}
    ### END SOLUTION


# %% [markdown]
# <!-- hints: variance_shift -->

# %% check="variance_shift"
check(variance_shift)


# %% exercise="recalibrate_batchnorm"
def recalibrate_batchnorm(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Estimate batch norm's running statistics anew, for the model as it is in evaluation.

    One pass over the loader with every batch norm layer in training mode, so that it
    normalises with the batch's own statistics, and everything else in evaluation mode, so that
    nothing is dropped. Afterwards running mean and running variance of each layer are the
    plain average, over the batches, of the batch's mean and its unbiased variance: nothing is
    left of what they were, and a smaller last batch counts like any other.

    Args:
        model: changed in place, but only in its running statistics (and batch norm's count of
            batches, which is up to you): the mode of each module, momenta, parameters, their
            gradients and hooks end as they were.
        loader: yields batches (x, target), as often as one likes. The model is called with x.

    Shape:
        - x: (N, ...), whatever the model takes

    Returns:
        Nothing; a result is not looked at.
    """
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}
    norms = {m: m.momentum for m in modes if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    model.eval()
    for layer in norms:
        layer.train().reset_running_stats()
        layer.momentum = None  # every batch counts the same
    with torch.no_grad():
        for x, _ in loader:
            model(x)
    for module, training in modes.items():
        module.training = training
    for layer, momentum in norms.items():
        layer.momentum = momentum
    ### END SOLUTION


# %% [markdown]
# <!-- hints: recalibrate_batchnorm -->

# %% check="recalibrate_batchnorm"
check(recalibrate_batchnorm)


# %% exercise="run_ablation"
def run_ablation(
    build: Callable[[Any, int], Mapping[str, float]],
    configurations: Mapping[str, Any],
    seeds: Sequence[int],
) -> dict[str, dict[str, tuple[float, float]]]:
    """Train each configuration with each seed, and say what came of it with its spread.

    Args:
        build: `build(configuration, seed)` trains one network and returns its metrics,
            {metric: number}. It is called once for each pair of a configuration and a seed.
        configurations: {name: configuration}; what a configuration is, only `build` knows.
        seeds: whole numbers, at least two: from one alone no spread can be had.

    Shape:
        - build returns the same metrics for every seed of a configuration

    Returns:
        {name: {metric: (mean, standard deviation)}} over the seeds, names in the order of
        `configurations`. The standard deviation is the sample's, with n - 1.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    ### BEGIN SOLUTION
    if len(seeds) < 2:
        raise ValueError(f"a spread needs at least two seeds, got {len(seeds)}")
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        values = {metric: [run[metric] for run in runs] for metric in runs[0]}
        table[name] = {m: (statistics.fmean(v), statistics.stdev(v)) for m, v in values.items()}
    return table
    ### END SOLUTION


# %% [markdown]
# <!-- hints: run_ablation -->

# %% check="run_ablation"
check(run_ablation)

# %% [markdown] written="question"
# ### BEGIN SOLUTION
# x
# ### END SOLUTION

# %%
progress()
