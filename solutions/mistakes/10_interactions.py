"""Known wrong answers to 10_interactions, and right ones written in other ways than the reference."""

from __future__ import annotations

import copy
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder.mistakes import mistake, right

_NORM = nn.modules.batchnorm._BatchNorm
Loader = Iterable[tuple[Tensor, Tensor]]

# -- variance_shift: wrong -----------------------------------------------------------------------------------------------


def _norms(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if isinstance(m, _NORM)}


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Put modes and buffers back afterwards."""
    modes = {m: m.training for m in model.modules()}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    try:
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode
        for name, b in model.named_buffers():
            b.copy_(buffers[name])


@torch.no_grad()
def _inputs(
    model: nn.Module,
    loader: Loader,
    layers: Mapping[str, nn.Module] | None = None,
    output: bool = False,
) -> dict[str, list[Tensor]]:
    """The layers' inputs (or outputs), a tensor a batch, with the model in the mode it is in."""
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
            found[name].append((result if output else inputs[0]).clone())

        return hook

    handles = []
    for name, layer in (layers if layers is not None else _norms(model)).items():
        found[name] = []
        handles.append(layer.register_forward_hook(keep(name)))
    for x, _ in loader:
        model(x)
    for handle in handles:
        handle.remove()
    return found


def _pooled(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([p.transpose(0, 1).flatten(1) for p in parts], dim=1).var(1)


def _shift(
    model: nn.Module,
    loader: Loader,
    variance: Callable[[Sequence[Tensor]], Tensor] = _pooled,
    ratio: Callable[[Tensor, Tensor], Any] = lambda t, e: t / e,
    train: Callable[[nn.Module], object] = lambda m: m.train(),
    evaluate: Callable[[nn.Module], object] = lambda m: m.eval(),
    layers: Callable[[nn.Module], Mapping[str, nn.Module]] = _norms,
    output: bool = False,
) -> dict[str, Any]:
    """The right measurement, in parts that the mistakes change. Evaluation comes first."""
    with _kept(model):
        evaluate(model)
        still = _inputs(model, loader, layers(model), output)
        train(model)
        moved = _inputs(model, loader, layers(model), output)
    return {name: ratio(variance(moved[name]), variance(still[name])) for name in still}


@mistake("variance_shift")
def ratio_inverted(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The ratio is the other way round, evaluation over training. (So it is printed in the paper.) Here training is above, so that a
    number over 1 says that training varies more.
    """
    return _shift(model, loader, ratio=lambda t, e: e / t)


@mistake("variance_shift")
def ratio_of_standard_deviations(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """These are ratios of standard deviations, the roots of what was asked for: variances are compared. Is it `std` or `var` that you
    call?
    """
    return _shift(model, loader, ratio=lambda t, e: (t / e).sqrt())


@mistake("variance_shift")
def difference_of_variances(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The variances are subtracted, so a channel with large activations has a large shift whatever happens to it. Divide: batch norm
    itself divides by one of them.
    """
    return _shift(model, loader, ratio=lambda t, e: t - e)


@mistake("variance_shift")
def relative_change(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The change is given relative to evaluation, so that 0 means “no shift”. Asked for is the ratio itself, which is then 1."""
    return _shift(model, loader, ratio=lambda t, e: t / e - 1)


@mistake("variance_shift")
def statistics_of_the_training_pass(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The training pass comes first, and it moves the running statistics, with which the evaluation pass is then made: the patient is
    measured after the treatment. How do you keep what the model came with, or in which order do you measure?
    """
    with _kept(model):
        model.train()
        moved = _inputs(model, loader)
        model.eval()
        still = _inputs(model, loader)
    return {name: _pooled(moved[name]) / _pooled(still[name]) for name in still}


@mistake("variance_shift")
def measured_by_turns(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Each batch is measured in both modes before the next one. So from the second batch on evaluation uses running statistics that
    your training passes have moved. Finish with one mode before you begin with the other, evaluation first.
    """
    moved: dict[str, list[Tensor]] = defaultdict(list)
    still: dict[str, list[Tensor]] = defaultdict(list)
    with _kept(model):
        for batch in loader:
            for training, found in ((True, moved), (False, still)):
                model.train(training)
                for name, parts in _inputs(model, [batch]).items():
                    found[name] += parts
    return {name: _pooled(moved[name]) / _pooled(still[name]) for name in still}


@mistake("variance_shift")
def running_statistics_left_changed(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The ratios are right, but the model is not what it was: the training pass has moved batch norm's running statistics, and you left
    it at that. A measurement must not change what it measures. Work on a copy, or put the buffers back.
    """
    modes = {m: m.training for m in model.modules()}
    model.eval()
    still = _inputs(model, loader)
    model.train()
    moved = _inputs(model, loader)
    for m, mode in modes.items():
        m.training = mode
    return {name: _pooled(moved[name]) / _pooled(still[name]) for name in still}


@mistake("variance_shift")
def statistics_of_the_training_pass_and_left_changed(
    model: nn.Module, loader: Loader
) -> dict[str, Tensor]:
    """The training pass comes first and moves the running statistics. With these the evaluation pass is made, which is why the ratios
    are off; and they stay in the model. Keep the buffers and put them back, or work on a copy.
    """
    modes = {m: m.training for m in model.modules()}
    model.train()
    moved = _inputs(model, loader)
    model.eval()
    still = _inputs(model, loader)
    for m, mode in modes.items():
        m.training = mode
    return {name: _pooled(moved[name]) / _pooled(still[name]) for name in still}


@mistake("variance_shift")
def count_of_batches_left_changed(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Running means and variances are put back, but batch norm has a third buffer, `num_batches_tracked`, the number of batches that it
    has seen. With `momentum=None` it decides how much the next batch weighs.
    """
    counts = {name: b.clone() for name, b in model.named_buffers() if b.dim() == 0}
    result = _shift(model, loader)
    for name, b in model.named_buffers():
        if name in counts:
            b += 3
    return result


@mistake("variance_shift")
def only_dropout_trains(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """In your training pass batch norm itself stays in evaluation mode, so later layers see activations that were normalised as in
    evaluation. The whole model has to be in the mode it has in training.
    """

    def train(m: nn.Module) -> None:
        for each in m.modules():
            each.training = not isinstance(each, _NORM)

    return _shift(model, loader, train=train)


@mistake("variance_shift")
def only_the_librarys_dropout_trains(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only the library's dropout layers are put in training mode. Batch norm is not, and layers that you write yourself, which are none
    of its subclasses, are not either. What does `model.train()` do?
    """

    def train(m: nn.Module) -> None:
        for each in m.modules():
            each.training = isinstance(each, nn.modules.dropout._DropoutNd)

    return _shift(model, loader, train=train)


@mistake("variance_shift")
def only_plain_dropout_trains(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only layers of the class `nn.Dropout` are put in training mode: not `nn.Dropout2d`, which is no subclass of it, not layers that
    somebody wrote, and not batch norm. What does `model.train()` do?
    """

    def train(m: nn.Module) -> None:
        for each in m.modules():
            each.training = isinstance(each, nn.Dropout)

    return _shift(model, loader, train=train)


@mistake("variance_shift")
def own_layers_do_not_train(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Batch norm and the library's dropout train in your training pass, but not layers that somebody wrote, such as your own
    `SpatialDropout2d`. A list of classes is never complete: put everything in training mode.
    """

    def train(m: nn.Module) -> None:
        for each in m.modules():
            each.training = isinstance(each, (_NORM, nn.modules.dropout._DropoutNd))

    return _shift(model, loader, train=train)


@mistake("variance_shift")
def only_batch_norm_trains(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only batch norm is put in training mode, so nothing is dropped in either pass, and what dropout does to the variance is not seen.
    The whole model has to be in training mode.
    """

    def train(m: nn.Module) -> None:
        for each in m.modules():
            each.training = isinstance(each, _NORM)

    return _shift(model, loader, train=train)


@mistake("variance_shift")
def batch_norm_trains_in_both(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """In your evaluation pass batch norm normalises with the statistics of the batch. What users see is the model in evaluation mode,
    where its running statistics are used: everything in evaluation mode, batch norm too.
    """

    def evaluate(m: nn.Module) -> None:
        for each in m.modules():
            each.training = isinstance(each, _NORM)

    return _shift(model, loader, evaluate=evaluate)


@mistake("variance_shift")
def both_passes_in_one_mode(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """All ratios are 1: both passes were made in the same mode. `model.training = False` changes the mode of one module alone; `eval()`
    and `train()` reach all that are inside of it.
    """

    def evaluate(m: nn.Module) -> None:
        m.training = False
        for each in m.modules():
            each.training = True

    return _shift(model, loader, evaluate=evaluate)


@mistake("variance_shift")
def running_variance_for_evaluation(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """You divide by `running_var`. That is what batch norm *believes* its input to vary by, an average of training batches; asked for is
    by how much the input does vary in evaluation mode. The two differ, and that is the subject of this unit.
    """
    with _kept(model):
        model.train()
        moved = _inputs(model, loader)
    return {
        name: _pooled(moved[name]) / layer.running_var for name, layer in _norms(model).items()
    }


@mistake("variance_shift")
def evaluation_over_running_variance(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The variance in evaluation is compared with `running_var`, and no training pass is made. `running_var` is an average over the last
    part of training; the variance in training mode is to be measured on this loader.
    """
    with _kept(model):
        model.eval()
        still = _inputs(model, loader)
    return {
        name: _pooled(still[name]) / layer.running_var for name, layer in _norms(model).items()
    }


@mistake("variance_shift")
def batches_averaged(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The variance is taken within each batch and then averaged. So what differs between batches is lost, and a small last batch counts
    as much as a full one. Collect all inputs, or sums over them, and take one variance at the end.
    """
    return _shift(
        model,
        loader,
        lambda parts: torch.stack([p.transpose(0, 1).flatten(1).var(1) for p in parts]).mean(0),
    )


@mistake("variance_shift")
def batches_averaged_by_size(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The variance is taken within each batch and averaged by size. What is still missing is by how much the batches' means differ:
    the variance of everything is more than the mean of the variances.
    """

    def variance(parts: Sequence[Tensor]) -> Tensor:
        each = torch.stack([len(p) * p.transpose(0, 1).flatten(1).var(1) for p in parts])
        return each.sum(0) / sum(len(p) for p in parts)

    return _shift(model, loader, variance)


@mistake("variance_shift")
def ratios_averaged(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """There is a ratio for each batch, and these are averaged. A ratio of small samples is larger on average than that of large ones;
    take each variance over everything and divide once.
    """
    with _kept(model):
        model.eval()
        still = _inputs(model, loader)
        model.train()
        moved = _inputs(model, loader)
    return {
        name: torch.stack(
            [_pooled([t]) / _pooled([e]) for t, e in zip(moved[name], still[name], strict=True)]
        ).mean(0)
        for name in still
    }


@mistake("variance_shift")
def last_batch_only(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The ratios are those of the last batch: your hook writes over what it kept before. Add to a list instead, or to a sum."""
    return _shift(model, loader, lambda parts: _pooled(parts[-1:]))


@mistake("variance_shift")
def first_batch_only(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The ratios are those of the first batch. Is there a `break`, a `next(iter(loader))`, or a `return` inside of the loop?"""
    return _shift(model, loader, lambda parts: _pooled(parts[:1]))


def _merged(loader: Loader) -> list[tuple[Tensor, Tensor]]:
    batches = list(loader)
    return [(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))]


@mistake("variance_shift")
def all_in_one_batch(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """All examples are put into one large batch. In training mode each batch norm then normalises with other statistics than in
    training, where batches are as the loader makes them, and so the later layers get other inputs. Call the model batch by batch,
    and put together what comes out.
    """
    return _shift(model, _merged(loader))


@mistake("variance_shift")
def outputs_for_inputs(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """You measure what leaves batch norm. In training that has been normalised already; the shift is in what goes in. A forward hook is
    given both: layer, inputs, output.
    """
    return _shift(model, loader, output=True)


@mistake("variance_shift")
def squares_for_variances(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """You compare means of squares. That is the variance only where the mean is 0: the square of the mean has to be subtracted."""
    return _shift(
        model,
        loader,
        lambda parts: (
            torch.cat([p.transpose(0, 1).flatten(1) for p in parts], 1).square().mean(1)
        ),
    )


@mistake("variance_shift")
def positions_averaged_first(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The maps are averaged over their positions first, so only the variance of these means is left. Each position of each example is a
    value of its own.
    """
    return _shift(
        model,
        loader,
        lambda parts: torch.cat(
            [p.flatten(2).mean(2) if p.dim() > 2 else p for p in parts]
        ).var(0),
    )


@mistake("variance_shift")
def channels_not_in_front(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`reshape(C, -1)` of a tensor (N, C, …) does not exchange dimensions: it cuts the values as they lie in memory, so a row holds pieces
    of several channels. The channels have to become the first dimension before the rest is flattened: which function does that?
    """
    return _shift(
        model,
        loader,
        lambda parts: torch.cat([p.reshape(p.shape[1], -1) for p in parts], 1).var(1),
    )


@mistake("variance_shift")
def channels_not_in_front_at_the_end(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`reshape(C, -1)` of a tensor (N, C, …) does not exchange dimensions, also of all batches together: it cuts the values as they lie in
    memory, so a row holds pieces of several channels. The channels have to become the first dimension before the rest is flattened.
    """
    return _shift(
        model,
        loader,
        lambda parts: (x := torch.cat(list(parts))).reshape(x.shape[1], -1).var(1),
    )


@mistake("variance_shift")
def a_variance_for_each_position(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """There is a ratio for each channel and position. Batch norm has one variance for a channel: pool positions as well as examples."""
    return _shift(model, loader, lambda parts: torch.cat(list(parts)).var(0))


@mistake("variance_shift")
def one_number_a_layer(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """There is one number for a whole layer. Asked for is one for each channel, a tensor (C,): channels shift differently."""
    return _shift(model, loader, ratio=lambda t, e: (t / e).mean())


@mistake("variance_shift")
def two_dimensional_norms_only(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only `nn.BatchNorm2d` is looked for; batch norm of vectors is `nn.BatchNorm1d`. All kinds have a base class in common, in
    `nn.modules.batchnorm`.
    """
    return _shift(
        model,
        loader,
        layers=lambda m: {
            n: each for n, each in m.named_modules() if isinstance(each, nn.BatchNorm2d)
        },
    )


@mistake("variance_shift")
def one_dimensional_norms_only(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only `nn.BatchNorm1d` is looked for; batch norm of feature maps is `nn.BatchNorm2d`. All kinds have a base class in common, in
    `nn.modules.batchnorm`.
    """
    return _shift(
        model,
        loader,
        layers=lambda m: {
            n: each for n, each in m.named_modules() if isinstance(each, nn.BatchNorm1d)
        },
    )


@mistake("variance_shift")
def children_only(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Only layers that stand in the model itself are found, not those inside of its parts. `named_children()` looks one level deep,
    `named_modules()` everywhere.
    """
    return _shift(
        model,
        loader,
        layers=lambda m: {n: each for n, each in m.named_children() if isinstance(each, _NORM)},
    )


@mistake("variance_shift")
def names_without_their_path(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The keys are the last parts of the layers' names, so two layers called `bn` in different blocks become one. Take the whole name
    that `named_modules()` gives.
    """
    return {n.rpartition(".")[2]: value for n, value in _shift(model, loader).items()}


@mistake("variance_shift")
def layers_for_names(model: nn.Module, loader: Loader) -> dict[Any, Tensor]:
    """The keys are the layers themselves, not their names: a table of them cannot be printed or stored. `named_modules()` gives both."""
    norms = _norms(model)
    return {norms[n]: value for n, value in _shift(model, loader).items()}


@mistake("variance_shift")
def every_norm(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Layers that are no batch norm are there too, such as instance norm, which has no running statistics and no two modes. A name that
    holds “Norm” says too little; ask for the base class of batch norm.
    """
    return _shift(
        model,
        loader,
        layers=lambda m: {
            n: each for n, each in m.named_modules() if "Norm" in type(each).__name__
        },
    )


@mistake("variance_shift")
def hooks_left(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Your hooks are still in the model when you are done: from now on each forward pass keeps its activations for nobody, until memory
    is full. `register_forward_hook` returns a handle with a `remove()`.
    """
    result = _shift(model, loader)
    for layer in _norms(model).values():
        layer.register_forward_hook(lambda layer, inputs, output: None)
    return result


@mistake("variance_shift")
def everybodys_hooks_removed(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """All hooks of the model are gone afterwards, also those that were there before. Remove your own by their handles."""
    result = _shift(model, loader)
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return result


@mistake("variance_shift")
def left_in_evaluation_mode(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The model is left in evaluation mode. If it came in the middle of training, then training goes on without dropout. Note each
    module's mode first.
    """
    result = _shift(model, loader)
    model.eval()
    return result


@mistake("variance_shift")
def left_in_training_mode(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The model is left in training mode, so that the next prediction drops units and moves running statistics. Note each module's mode
    first.
    """
    result = _shift(model, loader)
    model.train()
    return result


@mistake("variance_shift")
def one_mode_for_the_whole_model(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`model.train(was_training)` puts every part in the mode of the whole. A part that was frozen, in evaluation mode inside of a model
    that trains, now trains. Note the mode of each module.
    """
    was = model.training
    result = _shift(model, loader)
    model.train(was)
    return result


@mistake("variance_shift")
def gradients_cleared(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The parameters' gradients are gone afterwards. Whoever accumulates gradients over several batches loses them: a measurement needs
    no `zero_grad()`.
    """
    model.zero_grad()
    return _shift(model, loader)


@mistake("variance_shift")
def parameters_left_frozen(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`requires_grad` of the parameters is switched off and stays off, so that the model does not train any more. `torch.no_grad()`
    around the passes is enough, and ends by itself.
    """
    for p in model.parameters():
        p.requires_grad_(False)
    return _shift(model, loader)


@mistake("variance_shift")
def gradients_switched_off_for_good(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`torch.set_grad_enabled(False)` holds for the whole program, until somebody switches it on again. As a block, `with
    torch.no_grad():`, it ends by itself.
    """
    result = _shift(model, loader)
    torch.set_grad_enabled(False)
    return result


@mistake("variance_shift")
def shifts_as_lists(model: nn.Module, loader: Loader) -> dict[str, Any]:
    """The numbers are right, but come as lists, with which nobody can calculate. Tensors were asked for: leave out `tolist()`."""
    return _shift(model, loader, ratio=lambda t, e: (t / e).tolist())


@mistake("variance_shift")
def pairs_for_ratios(model: nn.Module, loader: Loader) -> dict[str, Any]:
    """There is a pair of variances for each layer. Asked for is their ratio."""
    return _shift(model, loader, ratio=lambda t, e: (t, e))


@mistake("variance_shift")
def shifts_without_names(model: nn.Module, loader: Loader) -> Any:
    """The ratios come in a list, so that nobody knows which layer is which. A dictionary from names to ratios was asked for."""
    return list(_shift(model, loader).values())


@mistake("variance_shift")
def shifts_not_returned(model: nn.Module, loader: Loader) -> None:
    """The ratios are computed and then forgotten: without `return` the result is None."""
    _shift(model, loader)


@mistake("variance_shift")
def the_loader_is_used_up(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """`iter(loader)` is made once and used for both passes: the second finds nothing left. Begin each pass with `for x, _ in loader`
    of its own.
    """
    batches = iter(loader)
    with _kept(model):
        model.eval()
        still = _inputs(model, batches)
        model.train()
        moved = _inputs(model, batches)
        return {name: _pooled(moved[name]) / _pooled(still[name]) for name in still}


@mistake("variance_shift")
def batches_of_one_size(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The inputs of all batches are stacked, which needs batches of one size. The last batch is often smaller: use `torch.cat`, along
    the examples.
    """
    return _shift(model, loader, lambda parts: _pooled(list(torch.stack(list(parts)))))


# -- variance_shift: right -----------------------------------------------------------------------------------------------


@right("variance_shift")
def by_running_sums(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Nothing but sums is kept, and modes and buffers are put back by hand."""
    modes = [(m, m.training) for m in model.modules()]
    state = copy.deepcopy(model.state_dict())
    result: dict[bool, dict[str, Tensor]] = {}
    for training in (False, True):
        sums: dict[str, list[Any]] = {}
        handles = []
        for name, layer in model.named_modules():
            if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                sums[name] = [0, 0.0, 0.0]

                def hook(
                    _m: nn.Module,
                    args: tuple[Tensor, ...],
                    _y: Tensor,
                    s: list[Any] = sums[name],
                ) -> None:
                    x = args[0].double()
                    axes = [d for d in range(x.dim()) if d != 1]
                    s[0] += x.numel() // x.shape[1]
                    s[1] = s[1] + x.sum(axes)
                    s[2] = s[2] + x.square().sum(axes)

                handles.append(layer.register_forward_hook(hook))
        model.train(training)
        with torch.inference_mode():
            for batch in loader:
                model(batch[0])
        for handle in handles:
            handle.remove()
        result[training] = {n: q / k - (s / k) ** 2 for n, (k, s, q) in sums.items()}
    model.load_state_dict(state)
    for m, mode in modes:
        m.training = mode
    return {n: (result[True][n] / result[False][n]).float().clone() for n in result[True]}


@right("variance_shift")
def by_momentum_zero(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """With a momentum of 0 a training pass moves nothing but the count, which is put back."""
    norms = {
        n: m
        for n, m in model.named_modules()
        if isinstance(m, nn.modules.batchnorm._NormBase)
        and not isinstance(m, nn.modules.instancenorm._InstanceNorm)
    }
    modes = {m: m.training for m in model.modules()}
    old = {m: (m.momentum, m.num_batches_tracked.clone()) for m in norms.values()}
    kept: dict[tuple[str, bool], list[Tensor]] = defaultdict(list)
    handles = [
        m.register_forward_pre_hook(
            lambda m, args, n=n: kept[n, m.training].append(
                args[0].movedim(1, -1).flatten(0, -2)
            )
        )
        for n, m in norms.items()
    ]
    for m in norms.values():
        m.momentum = 0.0
    with torch.no_grad():
        for x, _target in loader:
            for mode in (True, False):
                model.train(mode)
                model(x)
    for handle in handles:
        handle.remove()
    for m, (momentum, count) in old.items():
        m.momentum = momentum
        m.num_batches_tracked.copy_(count)
    for m, mode in modes.items():
        m.training = mode
    out = {}
    for n in norms:
        t, e = (torch.cat(kept[n, mode]) for mode in (True, False))
        out[n] = t.var(0, unbiased=False) / e.var(0, unbiased=False)
    return out


@right("variance_shift")
def by_a_copy_of_the_state(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """The training pass comes first, on a copy; NumPy takes the variances."""

    def variances(m: nn.Module) -> dict[str, np.ndarray]:
        seen: dict[str, list[np.ndarray]] = {}
        for n, layer in m.named_modules():
            if "BatchNorm" in type(layer).__name__:
                layer.register_forward_hook(
                    lambda _l, i, _o, n=n: seen.setdefault(n, []).append(
                        i[0].detach().numpy().swapaxes(0, 1).reshape(i[0].shape[1], -1)
                    )
                )
        for x, _ in loader:
            m(x)
        return {n: np.concatenate(parts, axis=1).var(axis=1) for n, parts in seen.items()}

    train = variances(copy.deepcopy(model).train())
    still = variances(copy.deepcopy(model).eval())
    return {n: torch.tensor(train[n] / still[n]) for n in train}


@right("variance_shift")
def by_merging_batches(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    """Mean and variance are merged batch by batch, as Chan et al. do; global hooks see every layer."""
    names = {m: n for n, m in model.named_modules() if isinstance(m, _NORM)}
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = {m: m.training for m in model.modules()}
    out: dict[str, list[Tensor]] = {n: [] for n in names.values()}
    for phase in ("eval", "train"):
        getattr(model, phase)()
        merged: dict[str, tuple[int, Tensor, Tensor]] = {}

        def hook(
            m: nn.Module, args: tuple[Tensor, ...], merged: dict[str, Any] = merged
        ) -> None:
            if m not in names:
                return
            x = args[0].transpose(0, 1).flatten(1).double()
            n, mean, square = (
                x.shape[1],
                x.mean(1),
                (x - x.mean(1, keepdim=True)).square().sum(1),
            )
            if names[m] in merged:
                k, a, q = merged[names[m]]
                d = mean - a
                mean = a + d * n / (n + k)
                square = q + square + d * d * n * k / (n + k)
                n = n + k
            merged[names[m]] = (n, mean, square)

        handle = nn.modules.module.register_module_forward_pre_hook(hook)
        try:
            with torch.no_grad():
                [model(x) for x, _ in loader]
        finally:
            handle.remove()
        for name, (n, _mean, square) in merged.items():
            out[name].append(square / n)
    model.load_state_dict(state)
    for m, mode in modes.items():
        m.training = mode
    return {n: train / still for n, (still, train) in out.items()}


@right("variance_shift")
def by_a_context(model: nn.Module, loader: Loader) -> dict[str, Tensor]:
    return dict(sorted(_shift(model, loader).items(), reverse=True))


# -- recalibrate_batchnorm: wrong ----------------------------------------------------------------------------------------


def _recalibrate(
    model: nn.Module,
    loader: Loader,
    mode: Callable[[nn.Module], None] | None = None,
    reset: bool = True,
    momentum: Callable[[nn.Module], float | None] = lambda m: None,
    norms: Callable[[nn.Module], Iterable[nn.Module]] = lambda m: _norms(m).values(),
    put_momenta_back: bool = True,
    put_modes_back: bool = True,
) -> None:
    """The right procedure, in parts that the mistakes change."""
    modes = {m: m.training for m in model.modules()}
    layers = list(norms(model))
    momenta = {m: m.momentum for m in layers}
    if mode is None:
        model.eval()
        for m in layers:
            m.train()
    else:
        mode(model)
    for m in layers:
        if reset:
            m.reset_running_stats()
        m.momentum = momentum(m)
    with torch.no_grad():
        for x, _ in loader:
            model(x)
    if put_momenta_back:
        for m, old in momenta.items():
            m.momentum = old
    if put_modes_back:
        for m, old in modes.items():
            m.training = old


@torch.no_grad()
def _set(
    model: nn.Module,
    loader: Loader,
    statistics_of: Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]],
    mode: Callable[[nn.Module], None] | None = None,
    output: bool = False,
) -> None:
    """Write what a function makes of each layer's inputs into its running statistics."""
    with _kept(model):
        model.eval()
        for m in _norms(model).values():
            m.train()
        if mode is not None:
            mode(model)
        found = _inputs(model, loader, output=output)
    for name, m in _norms(model).items():
        mean, variance = statistics_of([p.transpose(0, 1).flatten(1) for p in found[name]])
        m.running_mean.copy_(mean)
        m.running_var.copy_(variance)


def _average(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    return (
        torch.stack([p.mean(1) for p in parts]).mean(0),
        torch.stack([p.var(1) for p in parts]).mean(0),
    )


@mistake("recalibrate_batchnorm")
def dropout_left_on(model: nn.Module, loader: Loader) -> None:
    """The whole model is in training mode meanwhile, so the statistics are those of activations with dropout: the very ones that do not
    fit evaluation. Everything but batch norm belongs into evaluation mode. (The library's own function makes this mistake for you.)
    """
    _recalibrate(model, loader, mode=lambda m: m.train())


@mistake("recalibrate_batchnorm")
def own_dropout_left_on(model: nn.Module, loader: Loader) -> None:
    """The library's dropout is switched off, but not layers that somebody wrote, such as your own `SpatialDropout2d`. Think the other way
    round: everything in evaluation mode, and then batch norm alone in training mode.
    """

    def mode(m: nn.Module) -> None:
        m.train()
        for each in m.modules():
            if isinstance(each, nn.modules.dropout._DropoutNd):
                each.eval()

    _recalibrate(model, loader, mode)


@mistake("recalibrate_batchnorm")
def other_dropout_left_on(model: nn.Module, loader: Loader) -> None:
    """Only layers of the class `nn.Dropout` are switched off: not `nn.Dropout2d`, which is no subclass of it, and not layers that somebody
    wrote. Think the other way round: everything in evaluation mode, and then batch norm alone in training mode.
    """

    def mode(m: nn.Module) -> None:
        m.train()
        for each in m.modules():
            if isinstance(each, nn.Dropout):
                each.eval()

    _recalibrate(model, loader, mode)


@mistake("recalibrate_batchnorm")
def old_statistics_counted(model: nn.Module, loader: Loader) -> None:
    """The old statistics are still in the average: with `momentum=None` they count for as many batches as `num_batches_tracked` says.
    What does `reset_running_stats()` do?
    """
    _recalibrate(model, loader, reset=False)


@mistake("recalibrate_batchnorm")
def old_statistics_and_dropout_on(model: nn.Module, loader: Loader) -> None:
    """The old statistics are still in the average, and everything is in training mode meanwhile, so that dropout is on. Forget the old
    statistics first, and let nothing but batch norm train.
    """
    _recalibrate(model, loader, mode=lambda m: m.train(), reset=False)


@mistake("recalibrate_batchnorm")
def moving_average(model: nn.Module, loader: Loader) -> None:
    """The running statistics are moved by the layers' own momentum: with 0.1, a dozen batches leave more than a quarter of the old ones,
    and the last batch weighs most. A plain average was asked for: see what `momentum=None` does.
    """
    _recalibrate(
        model, loader, reset=False, momentum=lambda m: 0.1 if m.momentum is None else m.momentum
    )


@mistake("recalibrate_batchnorm")
def moving_average_with_dropout(model: nn.Module, loader: Loader) -> None:
    """This is a pass in training mode, as every epoch has one: dropout is on, and the running statistics move by the layers' momentum
    from where they were. Nothing of that fits evaluation; begin with what has to be in which mode.
    """
    _recalibrate(
        model,
        loader,
        mode=lambda m: m.train(),
        reset=False,
        momentum=lambda m: 0.1 if m.momentum is None else m.momentum,
    )


@mistake("recalibrate_batchnorm")
def moving_average_from_the_start(model: nn.Module, loader: Loader) -> None:
    """The old statistics are forgotten, but then the layers' momentum is used, so that what `reset_running_stats()` puts there, mean 0 and
    variance 1, stays in the result. A plain average was asked for: see what `momentum=None` does.
    """
    _recalibrate(model, loader, momentum=lambda m: 0.1 if m.momentum is None else m.momentum)


@mistake("recalibrate_batchnorm")
def momentum_of_one_over_n(model: nn.Module, loader: Loader) -> None:
    """A momentum of one over the number of batches is no plain average: the first batch is multiplied by (1 - 1/n) at each later one.
    The weight of batch i in a running average is 1/i; `momentum=None` does that.
    """
    count = len(list(loader))
    _recalibrate(model, loader, momentum=lambda m: 1 / count)


@mistake("recalibrate_batchnorm")
def momentum_of_one(model: nn.Module, loader: Loader) -> None:
    """The statistics are those of the last batch: a momentum of 1 forgets all others. What average do you want?"""
    _recalibrate(model, loader, momentum=lambda m: 1.0)


@mistake("recalibrate_batchnorm")
def one_batch_is_enough(model: nn.Module, loader: Loader) -> None:
    """The statistics are those of the first batch. Is there a `break`, or `next(iter(loader))`?"""
    _recalibrate(model, list(loader)[:1])


@mistake("recalibrate_batchnorm")
def recalibrated_in_evaluation_mode(model: nn.Module, loader: Loader) -> None:
    """The running statistics are reset, and then the whole model is in evaluation mode, so batch norm learns nothing from the batches and
    is left with mean 0 and variance 1. Batch norm has to be in training mode.
    """
    _recalibrate(model, loader, mode=lambda m: m.eval())


@mistake("recalibrate_batchnorm")
def nothing_recalibrated(model: nn.Module, loader: Loader) -> None:
    """The running statistics are what they were. In evaluation mode batch norm does not touch them; or do you work on a copy and forget to
    write its statistics into the model that you were given?
    """
    _recalibrate(copy.deepcopy(model), loader)


@mistake("recalibrate_batchnorm")
def biased_variances(model: nn.Module, loader: Loader) -> None:
    """The variances of the batches are divided by n, not by n - 1. Batch norm normalises with the former, but its running variance is
    made of the latter, the unbiased ones.
    """
    _set(
        model,
        loader,
        lambda parts: (
            _average(parts)[0],
            torch.stack([p.var(1, correction=0) for p in parts]).mean(0),
        ),
    )


@mistake("recalibrate_batchnorm")
def pooled_statistics(model: nn.Module, loader: Loader) -> None:
    """Mean and variance are taken over all examples at once. That would be a good estimate, but another one than was asked for: the plain
    average of the batches' variances leaves out by how much their means differ, as running statistics do.
    """
    _set(
        model,
        loader,
        lambda parts: (torch.cat(list(parts), 1).mean(1), torch.cat(list(parts), 1).var(1)),
    )


@mistake("recalibrate_batchnorm")
def recalibrated_in_one_batch(model: nn.Module, loader: Loader) -> None:
    """All examples are put into one large batch, whose statistics are the result. Asked for is the average over the loader's batches; and
    what does not fit into memory cannot be done like this.
    """
    _recalibrate(model, _merged(loader))


@mistake("recalibrate_batchnorm")
def weighted_by_size(model: nn.Module, loader: Loader) -> None:
    """Batches count by their size. It was asked for a plain average, in which a smaller last batch counts like any other, as it does for
    batch norm itself.
    """

    def weighted(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        n = sum(p.shape[1] for p in parts)
        return (
            sum(p.shape[1] * p.mean(1) for p in parts) / n,
            sum(p.shape[1] * p.var(1) for p in parts) / n,
        )

    _set(model, loader, weighted)


@mistake("recalibrate_batchnorm")
def old_statistics_before(model: nn.Module, loader: Loader) -> None:
    """The inputs of each layer are taken with the model in evaluation mode, so layers before it still normalise with the old statistics.
    Once those are replaced, what reaches the later layers is something else. Batch norm has to train in this pass.
    """
    _set(model, loader, _average, mode=lambda m: m.eval())


@mistake("recalibrate_batchnorm")
def old_statistics_before_and_pooled(model: nn.Module, loader: Loader) -> None:
    """The inputs of each layer are collected with the model in evaluation mode, so layers before it still normalise with the old
    statistics, and what reaches the later layers is not what they will see. Besides, a plain average over batches was asked for,
    not one variance over everything. Batch norm has to train in this pass.
    """
    _set(
        model,
        loader,
        lambda parts: (torch.cat(list(parts), 1).mean(1), torch.cat(list(parts), 1).var(1)),
        mode=lambda m: m.eval(),
    )


@mistake("recalibrate_batchnorm")
def one_layer_at_a_time(model: nn.Module, loader: Loader) -> None:
    """One layer after the other gets new statistics, in a pass of its own in which the layers before it normalise with their new running
    ones. That is close, but needs a pass for each layer, and asked for is a single one in which all of them normalise with the
    statistics of the batch.
    """
    for name in _norms(model):
        with _kept(model):
            model.eval()
            found = _inputs(model, loader)
        mean, variance = _average([p.transpose(0, 1).flatten(1) for p in found[name]])
        with torch.no_grad():
            _norms(model)[name].running_mean.copy_(mean)
            _norms(model)[name].running_var.copy_(variance)


@mistake("recalibrate_batchnorm")
def statistics_of_outputs(model: nn.Module, loader: Loader) -> None:
    """These are mean and variance of what leaves batch norm. Its statistics are those of what goes in. A forward hook is given both."""
    _set(model, loader, _average, output=True)


@mistake("recalibrate_batchnorm")
def means_only(model: nn.Module, loader: Loader) -> None:
    """The running means are new, the running variances old. Batch norm has both, and it is the variance that dropout shifts."""
    old = {m: m.running_var.clone() for m in _norms(model).values()}
    _recalibrate(model, loader)
    for m, variance in old.items():
        m.running_var.copy_(variance)


@mistake("recalibrate_batchnorm")
def variances_only(model: nn.Module, loader: Loader) -> None:
    """The running variances are new, the running means old. Batch norm has both."""
    old = {m: m.running_mean.clone() for m in _norms(model).values()}
    _recalibrate(model, loader)
    for m, mean in old.items():
        m.running_mean.copy_(mean)


@mistake("recalibrate_batchnorm")
def standard_deviation_stored(model: nn.Module, loader: Loader) -> None:
    """`running_var` holds standard deviations now. It is a variance: batch norm takes the root itself."""
    _set(model, loader, lambda parts: (_average(parts)[0], _average(parts)[1].sqrt()))


@mistake("recalibrate_batchnorm")
def sums_of_batches(model: nn.Module, loader: Loader) -> None:
    """The batches' statistics are added up and not divided by the number of batches."""
    _set(
        model,
        loader,
        lambda parts: tuple(len(parts) * value for value in _average(parts)),  # type: ignore[arg-type]
    )


@mistake("recalibrate_batchnorm")
def two_dimensional_norms_recalibrated(model: nn.Module, loader: Loader) -> None:
    """Only `nn.BatchNorm2d` is recalibrated; batch norm of vectors is `nn.BatchNorm1d`. All kinds have a base class in common, in
    `nn.modules.batchnorm`.
    """
    _recalibrate(
        model,
        loader,
        norms=lambda m: [each for each in m.modules() if isinstance(each, nn.BatchNorm2d)],
    )


@mistake("recalibrate_batchnorm")
def children_recalibrated(model: nn.Module, loader: Loader) -> None:
    """Only layers that stand in the model itself are recalibrated, not those inside of its parts. `children()` looks one level deep,
    `modules()` everywhere.
    """
    _recalibrate(
        model,
        loader,
        norms=lambda m: [each for each in m.children() if isinstance(each, _NORM)],
    )


@mistake("recalibrate_batchnorm")
def momentum_left_at_none(model: nn.Module, loader: Loader) -> None:
    """The layers' momentum is left at None. If training goes on, running statistics average over everything ever seen, while the weights
    move on. Note each layer's momentum and put it back.
    """
    _recalibrate(model, loader, put_momenta_back=False)


@mistake("recalibrate_batchnorm")
def momentum_set_to_the_default(model: nn.Module, loader: Loader) -> None:
    """Afterwards every layer has a momentum of 0.1, the default, also those that had another. Note each layer's own."""
    _recalibrate(model, loader)
    for m in _norms(model).values():
        m.momentum = 0.1


@mistake("recalibrate_batchnorm")
def recalibrated_and_left_in_evaluation_mode(model: nn.Module, loader: Loader) -> None:
    """The model is left in evaluation mode. If it came in the middle of training, then training goes on without dropout. Note each
    module's mode first.
    """
    _recalibrate(model, loader)
    model.eval()


@mistake("recalibrate_batchnorm")
def recalibrated_and_left_in_training_mode(model: nn.Module, loader: Loader) -> None:
    """The model is left in training mode, so that the next prediction drops units and moves the statistics that you have just made. Note
    each module's mode first.
    """
    _recalibrate(model, loader)
    model.train()


@mistake("recalibrate_batchnorm")
def norms_left_in_training_mode(model: nn.Module, loader: Loader) -> None:
    """Batch norm is left in training mode, and the rest in evaluation mode: the next prediction normalises with its own batch and moves the
    statistics that you have just made. Note each module's mode first.
    """
    _recalibrate(model, loader, put_modes_back=False)


@mistake("recalibrate_batchnorm")
def one_mode_for_all_afterwards(model: nn.Module, loader: Loader) -> None:
    """`model.train(was_training)` puts every part in the mode of the whole. A part that was frozen, in evaluation mode inside of a model
    that trains, now trains. Note the mode of each module.
    """
    was = model.training
    _recalibrate(model, loader)
    model.train(was)


@mistake("recalibrate_batchnorm")
def weights_reset_too(model: nn.Module, loader: Loader) -> None:
    """`reset_parameters()` forgets more than the statistics: batch norm's weight and bias, which training has found, are 1 and 0 again.
    There is another method that resets the running statistics alone.
    """
    for m in _norms(model).values():
        m.reset_parameters()
    _recalibrate(model, loader)


@mistake("recalibrate_batchnorm")
def gradients_cleared_meanwhile(model: nn.Module, loader: Loader) -> None:
    """The parameters' gradients are gone afterwards. Nothing is trained here, so there is nothing to clear."""
    model.zero_grad()
    _recalibrate(model, loader)


@mistake("recalibrate_batchnorm")
def parameters_frozen_for_good(model: nn.Module, loader: Loader) -> None:
    """`requires_grad` of the parameters is switched off and stays off, so that the model does not train any more. `torch.no_grad()` around
    the pass is enough, and ends by itself.
    """
    for p in model.parameters():
        p.requires_grad = False
    _recalibrate(model, loader)


@mistake("recalibrate_batchnorm")
def no_gradients_ever_after(model: nn.Module, loader: Loader) -> None:
    """`torch.set_grad_enabled(False)` holds for the whole program, until somebody switches it on again. As a block, `with
    torch.no_grad():`, it ends by itself.
    """
    _recalibrate(model, loader)
    torch.set_grad_enabled(False)


@mistake("recalibrate_batchnorm")
def hooks_left_in_the_layers(model: nn.Module, loader: Loader) -> None:
    """Your hooks are still in the model when you are done. `register_forward_hook` returns a handle with a `remove()`."""
    for m in _norms(model).values():
        m.register_forward_hook(lambda layer, inputs, output: None)
    _recalibrate(model, loader)


@mistake("recalibrate_batchnorm")
def the_whole_batch_is_given(model: nn.Module, loader: Loader) -> None:
    """The model is called with the pair (x, target). A batch of the loader has both: take it apart, and give x alone to the model."""
    _recalibrate(model, ((batch, None) for batch in loader))  # type: ignore[misc]


# -- recalibrate_batchnorm: right ----------------------------------------------------------------------------------------


@right("recalibrate_batchnorm")
def by_hooks_and_lists(model: nn.Module, loader: Loader) -> nn.Module:
    """Batch statistics are taken by hooks, and written when the pass is over."""
    was = [m.training for m in model.modules()]
    means: dict[nn.Module, list[Tensor]] = defaultdict(list)
    variances: dict[nn.Module, list[Tensor]] = defaultdict(list)

    def hook(m: nn.Module, args: tuple[Tensor, ...]) -> None:
        x = args[0].detach()
        axes = tuple(d for d in range(x.dim()) if d != 1)
        means[m].append(x.mean(axes))
        variances[m].append(torch.var(x, axes))

    handles = []
    for m in model.modules():
        m.training = isinstance(m, _NORM)
        if m.training:
            handles.append(m.register_forward_pre_hook(hook))
    for x, _ in loader:
        model(x)
    for handle in handles:
        handle.remove()
    for m, training in zip(model.modules(), was, strict=True):
        m.training = training
    for m in means:
        m.running_mean = torch.stack(means[m]).mean(0)
        m.running_var = sum(variances[m]) / len(variances[m])
    return model


@right("recalibrate_batchnorm")
def by_one_over_i(model: nn.Module, loader: Loader) -> None:
    """The momentum of the i-th batch is 1 / i, so the old statistics are gone with the first."""
    modes = {m: m.training for m in model.modules()}
    norms = [m for m in model.modules() if "BatchNorm" in type(m).__name__]
    momenta = [m.momentum for m in norms]
    model.train(False)
    with torch.no_grad():
        for i, (x, _) in enumerate(loader, start=1):
            for m in norms:
                m.training = True
                m.momentum = 1 / i
            model(x)
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    for m, mode in modes.items():
        m.train(mode) if not list(m.children()) else setattr(m, "training", mode)


@right("recalibrate_batchnorm")
def by_a_copy(model: nn.Module, loader: Loader) -> None:
    """All is done on a copy; its statistics are copied back."""
    twin = copy.deepcopy(model).eval()
    for m in twin.modules():
        if isinstance(m, _NORM):
            m.train()
            m.momentum = None
            m.running_mean.zero_()
            m.running_var.fill_(1)
            m.num_batches_tracked.zero_()
    with torch.inference_mode():
        for batch in loader:
            twin(batch[0])
    for (name, buffer), (_, other) in zip(
        model.named_buffers(), twin.named_buffers(), strict=True
    ):
        if name.endswith(("running_mean", "running_var")):
            buffer.data.copy_(other)


@right("recalibrate_batchnorm")
def by_momentum_one(model: nn.Module, loader: Loader) -> None:
    """With a momentum of 1 the running statistics are the batch's, which are added up."""
    modes = [(m, m.training) for m in model.modules()]
    norms = [
        (m, m.momentum)
        for m, _ in modes
        if isinstance(m, nn.modules.batchnorm._NormBase) and m.running_mean is not None
    ]
    model.eval()
    for m, _ in norms:
        m.train()
        m.momentum = 1.0
    totals = [
        [torch.zeros_like(m.running_mean), torch.zeros_like(m.running_var)] for m, _ in norms
    ]
    count = 0
    with torch.no_grad():
        for x, _ in loader:
            model(x)
            count += 1
            for total, (m, _) in zip(totals, norms, strict=True):
                total[0] += m.running_mean
                total[1] += m.running_var
    for total, (m, momentum) in zip(totals, norms, strict=True):
        m.running_mean.copy_(total[0] / count)
        m.running_var.copy_(total[1] / count)
        m.momentum = momentum
    for m, mode in modes:
        m.training = mode


@right("recalibrate_batchnorm")
def in_parts(model: nn.Module, loader: Loader) -> None:
    return _set(model, loader, _average)


# -- run_ablation: wrong -------------------------------------------------------------------------------------------------

Build = Callable[[Any, int], Mapping[str, float]]
Table = dict[str, dict[str, tuple[float, float]]]


def _enough(seeds: Sequence[int]) -> None:
    if len(seeds) < 2:
        raise ValueError("at least two seeds are needed")


def _table(
    build: Build,
    configurations: Mapping[str, Any],
    seeds: Sequence[int],
    pair: Callable[[list[float]], Any] = lambda v: (statistics.mean(v), statistics.stdev(v)),
) -> dict[str, Any]:
    """The right table, with another entry for a list of values where a mistake says so."""
    _enough(seeds)
    table = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        table[name] = {m: pair([run[m] for run in runs]) for m in runs[0]}
    return table


@mistake("run_ablation")
def population_deviation(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The standard deviation is divided by n, as NumPy does by default. A few seeds are a sample of all there are: divide by n - 1, or
    five seeds look steadier than they are by a tenth.
    """
    return _table(build, configurations, seeds, lambda v: (float(np.mean(v)), float(np.std(v))))


@mistake("run_ablation")
def standard_error(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """This is the standard error of the mean, smaller than the standard deviation by the root of the number of seeds. It is worth
    knowing, but was not asked for: it says how sure the mean is, not how much a single network varies.
    """
    return _table(
        build,
        configurations,
        seeds,
        lambda v: (statistics.mean(v), statistics.stdev(v) / math.sqrt(len(v))),
    )


@mistake("run_ablation")
def variance_for_deviation(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The second number is the variance, in squared units. The standard deviation is its root."""
    return _table(
        build, configurations, seeds, lambda v: (statistics.mean(v), statistics.variance(v))
    )


@mistake("run_ablation")
def range_for_deviation(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The second number is the distance from the smallest value to the largest. It grows with the number of seeds, so that more
    care looks like more spread. A standard deviation was asked for.
    """
    return _table(build, configurations, seeds, lambda v: (statistics.mean(v), max(v) - min(v)))


@mistake("run_ablation")
def median_for_mean(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The first number is the median. A mean was asked for, to which the standard deviation belongs."""
    return _table(
        build, configurations, seeds, lambda v: (statistics.median(v), statistics.stdev(v))
    )


@mistake("run_ablation")
def best_for_mean(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The largest value over the seeds is reported. The more seeds, the better it looks, with no merit of the technique; and of a loss
    the largest is the worst. Report the mean.
    """
    return _table(build, configurations, seeds, lambda v: (max(v), statistics.stdev(v)))


@mistake("run_ablation")
def last_seed_for_mean(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The first number is that of the last seed alone: a variable of the loop that is used after it. Keep every run in a list."""
    return _table(build, configurations, seeds, lambda v: (v[-1], statistics.stdev(v)))


@mistake("run_ablation")
def sum_for_mean(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The first number is the sum over the seeds, not divided by how many there are."""
    return _table(build, configurations, seeds, lambda v: (sum(v), statistics.stdev(v)))


@mistake("run_ablation")
def spread_comes_first(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """Mean and standard deviation have changed places: the pair is (mean, spread)."""
    return _table(
        build, configurations, seeds, lambda v: (statistics.stdev(v), statistics.mean(v))
    )


@mistake("run_ablation")
def no_spread(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    """There are means and no spread. Without it nobody can tell a difference from noise: give the pair (mean, standard deviation)."""
    return _table(build, configurations, seeds, statistics.mean)


@mistake("run_ablation")
def all_values(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    """Every value is in the table, one for each seed. Asked for is what they come to: the pair (mean, standard deviation)."""
    return _table(build, configurations, seeds, lambda v: v)


@mistake("run_ablation")
def as_a_text(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    """The entries are texts. They are easy to read and cannot be compared or plotted: keep the numbers, and format them where you print."""
    return _table(
        build,
        configurations,
        seeds,
        lambda v: f"{statistics.mean(v):.3f} ± {statistics.stdev(v):.3f}",
    )


@mistake("run_ablation")
def entries_as_dictionaries(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Any:
    """The entries are dictionaries. A pair (mean, standard deviation) was asked for, which one can unpack."""
    return _table(
        build,
        configurations,
        seeds,
        lambda v: {"mean": statistics.mean(v), "std": statistics.stdev(v)},
    )


@mistake("run_ablation")
def rounded_numbers(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The numbers are rounded in the table. Differences between configurations are often in the third digit: round where you print."""
    return _table(
        build,
        configurations,
        seeds,
        lambda v: (round(statistics.mean(v), 3), round(statistics.stdev(v), 3)),
    )


@mistake("run_ablation")
def single_seed_accepted(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """A single seed is accepted. Its spread is not known: NaN, which runs into every table and plot without a word, or 0, which is
    worse, for it looks like certainty. Refuse fewer than two seeds with a ValueError.
    """
    with np.errstate(all="ignore"):
        table = {}
        for name, configuration in configurations.items():
            runs = [build(configuration, seed) for seed in seeds]
            metrics = runs[0] if runs else ()
            table[name] = {
                m: (
                    float(np.mean([r[m] for r in runs])),
                    float(np.std([r[m] for r in runs], ddof=1)) if len(runs) > 1 else math.nan,
                )
                for m in metrics
            }
    return table


@mistake("run_ablation")
def built_before_refusing(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """A single seed is refused, but only after a network was built with it, which may take an hour. What is known of the seeds before the
    first call of `build`?
    """
    if not seeds:
        raise ValueError("no seeds")
    table = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        table[name] = {
            m: (statistics.mean([r[m] for r in runs]), statistics.stdev([r[m] for r in runs]))
            for m in runs[0]
        }
    return table


@mistake("run_ablation")
def metrics_of_the_first_configuration(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The metrics are taken from the first configuration's runs for all: what `build` measures of another one besides is lost. Whose
    runs say which metrics a row has?
    """
    _enough(seeds)
    runs = {n: [build(c, seed) for seed in seeds] for n, c in configurations.items()}
    metrics = list(next(iter(runs.values()))[0])
    return {
        n: {
            m: (statistics.mean([r[m] for r in each]), statistics.stdev([r[m] for r in each]))
            for m in metrics
        }
        for n, each in runs.items()
    }


@mistake("run_ablation")
def no_seeds_crash(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """A single seed is refused, but without any seed the function fails with another error: test the number of seeds once, before
    anything else, with `< 2`.
    """
    table = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        metrics = runs[0]
        if len(runs) == 1:
            raise ValueError("one seed is not enough")
        table[name] = {
            m: (statistics.mean([r[m] for r in runs]), statistics.stdev([r[m] for r in runs]))
            for m in metrics
        }
    return table


@mistake("run_ablation")
def three_seeds_asked_for(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """Two seeds are refused. Three would be better, but two have a spread, and the promise is to take them: look at the comparison."""
    if len(seeds) <= 2:
        raise ValueError("too few seeds")
    return _table(build, configurations, seeds)


@mistake("run_ablation")
def asserts_the_seeds(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """Too few seeds are refused by `assert`, which vanishes under `python -O`. Wrong arguments are a ValueError."""
    assert len(seeds) >= 2
    return _table(build, configurations, seeds)


@mistake("run_ablation")
def built_twice(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Table:
    """Every pair is built twice, once for the mean and once for the spread: twice the time for the same numbers, or for two different
    ones if anything is random. Keep what `build` returns.
    """
    _enough(seeds)
    table: Table = {}
    for name, configuration in configurations.items():
        first = [build(configuration, seed) for seed in seeds]
        second = [build(configuration, seed) for seed in seeds]
        table[name] = {
            m: (
                statistics.mean([r[m] for r in first]),
                statistics.stdev([r[m] for r in second]),
            )
            for m in first[0]
        }
    return table


@mistake("run_ablation")
def built_for_each_metric(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """A pair is built again for each metric, so that four metrics cost four trainings. One call returns them all: keep it."""
    _enough(seeds)
    table: Table = {}
    for name, configuration in configurations.items():
        metrics = list(build(configuration, seeds[0]))
        table[name] = {}
        for m in metrics:
            values = [build(configuration, seed)[m] for seed in seeds]
            table[name][m] = (statistics.mean(values), statistics.stdev(values))
    return table


@mistake("run_ablation")
def built_once_to_see_the_metrics(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """One pair is built more than once, to see which metrics there are. That is a whole training; the runs that you need anyway say it
    as well.
    """
    _enough(seeds)
    build(next(iter(configurations.values())), seeds[0])
    return _table(build, configurations, seeds)


@mistake("run_ablation")
def seeds_counted(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """`build` gets 0, 1, 2, … and not the seeds that were given: `range(len(seeds))` counts them. Whoever asks for other seeds to check a
    result gets the same ones again.
    """
    _enough(seeds)
    return _table(build, configurations, range(len(seeds)))


@mistake("run_ablation")
def one_seed_for_all(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """Every run is made with the same seed, so there is no spread at all. Hand each of the seeds to `build`."""
    _enough(seeds)
    return _table(build, configurations, [seeds[0]] * len(seeds))


@mistake("run_ablation")
def first_seed_skipped(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """One of the seeds is never used: is there a slice, or a `range` that begins at 1?"""
    _enough(seeds)
    values = list(seeds[1:]) if len(seeds) > 2 else seeds
    return _table(build, configurations, values)


@mistake("run_ablation")
def names_for_configurations(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """`build` gets the name of a configuration, not the configuration: a loop over a dictionary gives its keys. Use `items()`."""
    return _table(build, {name: name for name in configurations}, seeds)


@mistake("run_ablation")
def arguments_exchanged(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """`build` is called with the seed first. The order is configuration, seed."""
    return _table(lambda configuration, seed: build(seed, configuration), configurations, seeds)


@mistake("run_ablation")
def sorted_by_name(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The rows are sorted by name. Whoever wrote the configurations down chose their order, the baseline first, say: keep it."""
    return _table(build, dict(sorted(configurations.items())), seeds)


@mistake("run_ablation")
def metrics_outside(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Any:
    """The table is inside out, {metric: {configuration: pair}}. Asked for is {configuration: {metric: pair}}."""
    table = _table(build, configurations, seeds)
    metrics = next(iter(table.values()))
    return {m: {name: row[m] for name, row in table.items()} for m in metrics}


@mistake("run_ablation")
def one_metric_only(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """There is one metric in the table, though `build` returns several. Which there are is for `build` to say: go through what it
    returns.
    """
    return {
        name: {"accuracy": row["accuracy"]}
        for name, row in _table(build, configurations, seeds).items()
    }


@mistake("run_ablation")
def values_pile_up(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The lists of values are made once, before the loop over configurations, so each row holds the values of all rows before it. Make
    them new for each configuration.
    """
    _enough(seeds)
    values: dict[str, list[float]] = {}
    table: Table = {}
    for name, configuration in configurations.items():
        for seed in seeds:
            for m, value in build(configuration, seed).items():
                values.setdefault(m, []).append(value)
        table[name] = {m: (statistics.mean(v), statistics.stdev(v)) for m, v in values.items()}
    return table


@mistake("run_ablation")
def only_one_configuration(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """There is only the first configuration in the table: the `return` stands inside of the loop."""
    _enough(seeds)
    name = next(iter(configurations))
    return _table(build, {name: configurations[name]}, seeds)


@mistake("run_ablation")
def differences_to_the_first(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """The first configuration is subtracted from all. That is a good next step, but the table should hold what was measured."""
    table = _table(build, configurations, seeds)
    base = next(iter(table.values()))
    return {
        name: {m: (mean - base[m][0], spread) for m, (mean, spread) in row.items()}
        for name, row in table.items()
    }


@mistake("run_ablation")
def rows_in_a_list(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Any:
    """The rows come in a list. A dictionary was asked for, in which a configuration is found by its name."""
    return [{"name": name, **row} for name, row in _table(build, configurations, seeds).items()]


@mistake("run_ablation")
def printed_and_not_returned(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> None:
    """The table is made and then forgotten: without `return` the result is None."""
    _table(build, configurations, seeds)


# -- run_ablation: right -------------------------------------------------------------------------------------------------


@right("run_ablation")
def by_numpy(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    seeds = list(seeds)
    if len(seeds) <= 1:
        raise ValueError(f"{len(seeds)} seeds")
    out: dict[str, dict[str, Any]] = {name: {} for name in configurations}
    for name in configurations:
        runs = [dict(build(seed=s, configuration=configurations[name])) for s in seeds]
        for metric in runs[-1]:
            values = np.array([r[metric] for r in runs])
            out[name][metric] = [values.mean(), values.std(ddof=1)]
    return out


@right("run_ablation")
def by_tensors(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Any:
    if not len(seeds) > 1:
        raise ValueError("more seeds, please")
    runs = {
        (n, s): build(c, s) for s in seeds for n, c in configurations.items()
    }  # seed by seed
    return {
        n: {
            m: (t := torch.tensor([runs[n, s][m] for s in seeds], dtype=torch.float64))
            is not None
            and (t.mean(), t.std())
            for m in runs[n, seeds[0]]
        }
        for n in configurations
    }


@right("run_ablation")
def by_float32_tensors(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    if len(seeds) < 2:
        raise ValueError(seeds)
    table: Table = {}
    for name, configuration in configurations.items():
        collected: dict[str, list[float]] = defaultdict(list)
        for seed in seeds:
            for metric, value in build(configuration, seed).items():
                collected[metric].append(value)
        table[name] = {}
        for metric, values in collected.items():
            std, mean = torch.std_mean(torch.tensor(values))
            table[name][metric] = (float(mean), std.item())
    return table


@right("run_ablation")
def by_the_statistics_modules_own_error(
    build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]
) -> Table:
    """`statistics.mean` and `stdev` raise a StatisticsError, which is a ValueError, themselves."""
    statistics.stdev(range(len(seeds)))
    table: Table = {}
    for name in configurations:
        rows = [build(configurations[name], seed) for seed in seeds]
        table[name] = {
            m: (
                statistics.mean(r[m] for r in rows),
                math.sqrt(statistics.variance(r[m] for r in rows)),
            )
            for m in rows[0]
        }
    return table


@right("run_ablation")
def by_hand(build: Build, configurations: Mapping[str, Any], seeds: Sequence[int]) -> Table:
    n = len(tuple(seeds))
    if n in (0, 1):
        raise ValueError("the spread of fewer than two values is not known")
    table: Table = {}
    for name, configuration in configurations.items():
        total: dict[str, float] = {}
        runs = []
        for seed in seeds:
            runs.append(build(configuration, seed))
            for metric in runs[-1]:
                total[metric] = total.get(metric, 0.0) + runs[-1][metric] / n
        table[name] = {
            metric: (mean, (sum((r[metric] - mean) ** 2 for r in runs) / (n - 1)) ** 0.5)
            for metric, mean in total.items()
        }
    return table
