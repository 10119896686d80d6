"""Explorers: a picture, and controls that redraw it.

The picture is an ordinary output of the cell that the controls update. So where no front end answers (nbconvert, nbval,
a notebook read on the web) the picture for the first settings is still there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from torch.nn import functional

from reglab import plots
from reglab.training import History, mean_and_spread

Mask = Callable[[Tensor, float], Tensor]
Bins = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


Drawing = tuple[Figure, str]
"""A figure, and what it shows in a sentence, for readers who cannot see it."""


def _explore(
    draw: Callable[..., Drawing],
    first: Sequence[Any],
    controls: Callable[[Any], Sequence[Any]],
    again: str = "",
    arrange: Callable[[Any, Sequence[Any]], Any] | None = None,
) -> None:
    """Display controls, and below them the picture that they redraw; the picture alone where there are no ipywidgets.

    Args:
        draw: of the controls' values, in their order, and, where there is a button, of how often it was clicked.
        first: the values at first.
        controls: makes the controls, given ipywidgets.
        again: what a button says that draws new random numbers.
        arrange: puts controls and button into boxes, given ipywidgets; side by side by default.
    """
    from IPython.display import Image, display

    seed = 0

    def image(values: Sequence[Any]) -> Any:
        figure, alt = draw(*values, *([seed] if again else []))
        return Image(data=plots.png(figure), alt=alt)  # type: ignore[no-untyped-call]

    try:
        import ipywidgets
    except ImportError:
        print("ipywidgets is not installed, so here is the picture without its sliders.")
        display(image(first))  # type: ignore[no-untyped-call]
        return
    made = list(controls(ipywidgets))
    buttons = [ipywidgets.Button(description=again, icon="refresh")] if again else []
    shown = [*made, *buttons]
    display(arrange(ipywidgets, shown) if arrange else ipywidgets.HBox(shown))  # type: ignore[no-untyped-call]
    picture: Any = display(image(first), display_id=True)  # type: ignore[no-untyped-call]

    def update(_change: object) -> None:
        if picture is not None:
            picture.update(image([control.value for control in made]))

    def redraw(button: object) -> None:
        nonlocal seed
        seed += 1
        update(button)

    for control in made:
        control.observe(update, names="value")
    for button in buttons:
        button.on_click(redraw)


def mask_explorer(maps: Tensor, masks: Mapping[str, Mask], p: float = 0.3, shown: int = 8) -> None:
    """Explore how kinds of dropout act on feature maps: sliders for p, a choice of the kind, a button for new masks.

    Args:
        maps: feature maps of one image, (C, H, W).
        masks: {kind: function of (x, p)}; it gets x of shape (1, C, H, W) and returns x with parts dropped.
        p: the first drop rate.
        shown: how many channels are drawn, the first of `maps`; what is counted is counted over all of them.
    """

    def draw(rate: float, kind: str, seed: int) -> Drawing:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            masked = masks[kind](maps.unsqueeze(0), rate).squeeze(0)
        # One scale for every p, so that the maps that did not change look so: room for what p = 1/2 makes of them.
        figure = plots.map_rows({"before": maps[:shown], kind: masked[:shown]}, top=2 * float(maps[:shown].max()))
        active, lost = maps != 0, (maps != 0) & (masked == 0)
        whole = int(((masked == 0).all(dim=(1, 2)) & active.any(dim=(1, 2))).sum())
        share = float(lost.sum() / active.sum().clamp(min=1))
        drawn = f" (the first {shown} are shown)" if shown < len(maps) else ""
        counts = f"{share:.0%} of the active pixels dropped, {whole} of {len(maps)} maps lost"
        figure.suptitle(f"{kind}, p = {rate:.2f}: {counts}{drawn}", fontsize=9.5)
        alt = f"Feature maps before and after dropping {kind} with p = {rate:.2f}: {counts}."
        return figure, alt

    first = next(iter(masks))
    _explore(
        draw,
        (p, first),
        lambda w: [
            w.FloatSlider(value=p, min=0, max=1, step=0.05, description="p", continuous_update=False),
            w.Dropdown(options=list(masks), value=first, description="drop by"),
        ],
        again="new masks",
    )


def gap_explorer(runs: Mapping[float, Sequence[History]], name: str, first: float | None = None, last: int = 3) -> None:
    """Explore how a setting acts on the gap: a slider over the values that were trained, and what came of each.

    Nothing is trained here; the slider only chooses among the runs.

    Args:
        runs: {value of the setting: histories, one a seed}, at least two seeds each, in the slider's order.
        name: what the values are of, such as "weight decay".
        first: the value that is shown first; by default the first of `runs`.
        last: losses are averaged over this many final epochs.
    """

    def draw(value: float) -> Drawing:
        mean = {
            m: mean_and_spread([h.last(m, last) for h in runs[value]]) for m in ("train_loss", "validation_loss", "gap")
        }
        figure = plots.gap_against(runs, value, name, last)
        said = ", ".join(f"{m.replace('_', ' ')} {a:.2f} ± {s:.2f}" for m, (a, s) in mean.items())
        figure.suptitle(f"{name} = {value:g}: {said}", fontsize=9.5)
        alt = f"Loss curves with {name} = {value:g}, and the gap for every value: {said}."
        return figure, alt

    start = next(iter(runs)) if first is None else first
    _explore(
        draw,
        (start,),
        lambda w: [
            w.SelectionSlider(
                options=[(f"{value:g}", value) for value in runs], value=start, description=name,
                style={"description_width": "initial"}, continuous_update=False,
            )
        ],
        arrange=lambda w, shown: shown[0],
    )  # fmt: skip


def unit_explorer(
    units: Tensor,
    drop: Mask,
    readout: Callable[[Tensor], Tensor],
    class_names: Sequence[str],
    p: float = 0.4,
) -> None:
    """Explore a layer's units on and off: sliders for p and for how many of the busiest are off, a button for new masks.

    Args:
        units: the activations of one layer for one image, (U,).
        drop: function of (x, p); it gets x of shape (1, U) and returns x with values dropped.
        readout: what follows, from (1, U) to logits (1, K).
        class_names: the names of the K classes.
        p: the first drop rate.
    """
    busiest, columns = units.argsort(descending=True), math.ceil(len(units) ** 0.5)

    def square(values: Tensor) -> Tensor:
        """The units line by line, in a grid that is nearly square; NaN where there is none."""
        missing = columns * math.ceil(len(values) / columns) - len(values)
        return torch.cat([values, values.new_full((missing,), math.nan)]).view(-1, columns)

    def draw(rate: float, off: int, seed: int) -> Drawing:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            left = units.clone()
            left[busiest[:off]] = 0
            after = drop(left.unsqueeze(0), rate).squeeze(0)
            before_probs, after_probs = (readout(u.unsqueeze(0)).softmax(dim=1).squeeze(0) for u in (units, after))
        figure, [[first, second, bars]] = plots.grid(1, 3, 9.6, 3.3)
        # One scale for every p, so that units that did not change look so: room for what p = 1/2 makes of them.
        top = 2 * max(float(units.max()), 1e-9)
        for axis, values, title in ((first, units, "evaluation"), (second, after, "with units off")):
            drawn = axis.imshow(square(values).cpu().numpy(), cmap=plots.MAPS, vmin=0, vmax=top)
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
        figure.colorbar(drawn, ax=[first, second], label="activation", fraction=0.04, pad=0.02)
        places = range(len(class_names))
        for shift, probs, name, colour in (
            (0.2, before_probs, "evaluation", plots.COLOURS[0]),
            (-0.2, after_probs, "with units off", plots.COLOURS[1]),
        ):
            bars.barh([place + shift for place in places], probs.tolist(), 0.38, color=colour, label=name)
        bars.set_yticks(list(places), list(class_names), fontsize=8)
        bars.set(xlabel="probability", xlim=(0, 1))
        bars.legend(fontsize=8, frameon=False)
        active = units != 0
        lost = int((active & (after == 0)).sum())
        counts = f"{lost} of {int(active.sum())} active units off"
        said = [f"{class_names[int(q.argmax())]} {float(q.max()):.2f}" for q in (before_probs, after_probs)]
        figure.suptitle(f"p = {rate:.2f}: {counts}; {said[0]} in evaluation, now {said[1]}", fontsize=9.5)
        alt = f"Units of a layer and class probabilities, p = {rate:.2f}: {counts}; {said[0]} in evaluation, now {said[1]}."
        return figure, alt

    _explore(
        draw,
        (p, 0),
        lambda w: [
            w.FloatSlider(value=p, min=0, max=1, step=0.05, description="p", continuous_update=False),
            w.IntSlider(
                value=0, min=0, max=int((units != 0).sum()), description="busiest off", continuous_update=False
            ),
        ],
        again="new mask",
    )


def connection_explorer(weight: Tensor, bias: Tensor, x: Tensor, p: float = 0.3) -> None:
    """Explore what a linear layer loses with one connection, one input, one unit, or connections at random.

    Args:
        weight: (O, I), small enough to be seen entry by entry.
        bias: (O,).
        x: one example, (I,).
        p: the first rate for connections at random, of weights and biases alike.
    """
    outputs, inputs = weight.shape
    kinds = ("one connection", "one input", "one unit", "connections at random")

    def draw(kind: str, unit: int, entry: int, rate: float, seed: int) -> Drawing:
        mask, bias_mask = torch.ones(outputs, inputs), torch.ones(outputs)
        if kind == kinds[0]:
            mask[unit, entry] = 0
        elif kind == kinds[1]:
            mask[:, entry] = 0
        elif kind == kinds[2]:
            mask[unit], bias_mask[unit] = 0, 0
        else:
            generator = torch.Generator().manual_seed(seed)
            mask = (torch.rand(outputs, inputs, generator=generator) >= rate).float()
            bias_mask = (torch.rand(outputs, generator=generator) >= rate).float()
        before, after = weight @ x + bias, (mask * weight) @ x + bias_mask * bias
        changed = int(((after - before).abs() > 1e-6).sum())
        figure, [[left, right]] = plots.grid(1, 2, 8.6, 3.2)
        kept = (mask * weight).masked_fill(mask == 0, float("nan"))
        top = float(weight.abs().max())
        drawn = left.imshow(kept.numpy(), cmap="PuOr", vmin=-top, vmax=top)
        left.patch.set(facecolor="white", edgecolor="#888888", hatch="xxx")
        left.set(xlabel="input", ylabel="unit", title="weights, hatched where dropped")
        left.set_xticks(range(inputs))
        left.set_yticks(range(outputs))
        left.grid(False)
        figure.colorbar(drawn, ax=left, fraction=0.04, pad=0.02).ax.set_title("weight", fontsize=8)
        places = torch.arange(outputs)
        right.bar(places - 0.2, before.numpy(), 0.4, label="all weights", color=plots.COLOURS[0])
        right.bar(places + 0.2, after.numpy(), 0.4, label="what is left", color=plots.COLOURS[1])
        right.axhline(0, color="black", linewidth=0.8)
        right.set(xlabel="unit", ylabel="pre-activation", title="before rescaling")
        right.set_xticks(range(outputs))
        right.legend(frameon=False, fontsize=8)
        gone = int((mask == 0).sum())
        told = f"{kind}: {gone} of {mask.numel()} weights dropped, {changed} of {outputs} units changed"
        figure.suptitle(told, fontsize=9.5)
        return figure, f"Weights and pre-activations with dropped: {told}."

    _explore(
        draw,
        (kinds[0], 0, 0, p),
        lambda w: [
            w.Dropdown(options=kinds, value=kinds[0], description="drop"),
            w.IntSlider(value=0, min=0, max=outputs - 1, description="unit", continuous_update=False),
            w.IntSlider(value=0, min=0, max=inputs - 1, description="input", continuous_update=False),
            w.FloatSlider(value=p, min=0, max=1, step=0.05, description="p", continuous_update=False),
        ],
        again="new mask",
        arrange=lambda w, shown: w.VBox([w.HBox([shown[0], shown[4]]), w.HBox(shown[1:4])]),
    )


def smoothing_explorer(
    targets: Callable[[float, int], Tensor],
    loss: Callable[[Tensor, float], Tensor],
    alpha: float = 0.1,
    classes: int = 5,
) -> None:
    """Explore smoothed targets: sliders for alpha and K; the targets as bars, and the loss against the gap between logits.

    Args:
        targets: of alpha and K, the targets (K,) of an example of class 0.
        loss: of logits (n, K) and alpha, the loss (n,) of examples of class 0; also for alpha = 0, to compare.
        alpha: the first smoothing.
        classes: the first K.
    """

    def draw(smoothing: float, count: int) -> Drawing:
        gaps = torch.linspace(-3, 12, 1501)
        logits = torch.zeros(len(gaps), count)
        logits[:, 0] = gaps
        with torch.no_grad():
            bars, hard, soft = (
                t.detach().double() for t in (targets(smoothing, count), loss(logits, 0.0), loss(logits, smoothing))
            )
        lowest = int(soft.argmin())
        figure, [[left, right]] = plots.grid(1, 2, 9.2, 3.4)
        left.bar(range(count), bars.tolist(), color=[plots.COLOURS[1], *[plots.COLOURS[0]] * (count - 1)])
        left.set(xlabel="class (0 is the true one)", ylabel="target", ylim=(0, 1.05))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_title(f"true class {float(bars[0]):.3f}, each other {float(bars[1]):.4f}")
        right.plot(gaps.tolist(), hard.tolist(), plots.LINES[1], color=plots.COLOURS[6], label="alpha = 0")
        right.plot(gaps.tolist(), soft.tolist(), color=plots.COLOURS[0], label=f"alpha = {smoothing:.2f}")
        right.set(xlabel="gap: true logit minus the others (logit units)", ylabel="loss (nats)", ylim=(-0.1, 4.5))
        where = f"lowest, {float(soft[lowest]):.2f}, at a gap of {float(gaps[lowest]):.2f}"
        bounded = smoothing > 0
        if bounded:
            right.plot(float(gaps[lowest]), float(soft[lowest]), plots.MARKERS[0], color=plots.COLOURS[1])
        right.set_title(where if bounded else "lowest beyond the picture: the gap has no bound")
        figure.legend(loc="outside lower right", ncols=2, frameon=False)  # where no curve ever is
        alt = (
            f"Targets for alpha = {smoothing:.2f} and {count} classes: {float(bars[0]):.3f} for the true one, "
            f"{float(bars[1]):.4f} for each other; the loss against the gap is "
            f"{where if bounded else 'falling throughout'}."
        )
        return figure, alt

    _explore(
        draw,
        (alpha, classes),
        lambda w: [
            w.FloatSlider(value=alpha, min=0, max=1, step=0.05, description="alpha", continuous_update=False),
            w.IntSlider(value=classes, min=2, max=30, description="K", continuous_update=False),
        ],
    )


def temperature_explorer(
    networks: Mapping[str, tuple[Tensor, Tensor]],
    bins: Bins,
    error: Callable[[Tensor, Tensor], Any],
    start: float = 1.0,
) -> None:
    """Explore what a temperature does to a reliability diagram: a slider for T, and a choice of the network.

    Args:
        networks: {name: (logits (N, K), labels (N,))}.
        bins: of probabilities and labels, returns mean confidence, accuracy and count of each bin.
        error: of probabilities and labels, returns the calibration error.
        start: the first temperature.
    """

    def draw(temperature: float, name: str) -> Drawing:
        logits, labels = networks[name]
        panels, errors = {}, {}
        for title, t in (("T = 1", 1.0), (f"T = {temperature:.2f}", temperature)):
            title = title if title not in panels else f"{title} (yours)"
            probs = (logits / t).softmax(dim=1)
            panels[title], errors[title] = bins(probs, labels), float(error(probs, labels))
        figure = plots.reliability_diagrams(panels, errors)
        loss = float(functional.cross_entropy(logits / temperature, labels))
        sure, right = float(probs.amax(dim=1).mean()), float((probs.argmax(dim=1) == labels).double().mean())
        said = (
            f"cross-entropy {loss:.3f} nats, mean confidence {sure:.3f}, accuracy {right:.3f}, "
            f"calibration error {errors[title]:.3f}"
        )
        figure.suptitle(f"{name}, T = {temperature:.2f}: {said}", fontsize=9)
        return figure, f"Reliability diagrams of {name} at T = 1 and {temperature:.2f}: {said}."

    first = next(iter(networks))
    _explore(
        draw,
        (start, first),
        lambda w: [
            w.FloatLogSlider(value=start, base=10, min=-1, max=1, step=0.02, description="T", continuous_update=False),
            w.Dropdown(options=list(networks), value=first, description="network"),
        ],
    )


def combination_explorer(
    techniques: Sequence[str],
    name_of: Callable[[Sequence[str]], str],
    metrics: Mapping[str, Mapping[str, Sequence[float]]],
    first: Sequence[str] = (),
) -> None:
    """Explore what combinations of techniques do: a checkbox a technique; the combination's row against the baseline.

    Nothing is trained here; combinations that are not in the table say so.

    Args:
        techniques: their names.
        name_of: the combination's name in the table, of the chosen techniques; of none, the baseline's.
        metrics: {metric, with its unit: {configuration: values, one a seed, in one order}}.
        first: the techniques that are chosen at first.
    """
    baseline = name_of(())
    # One scale for every choice, so that what moves is the combination.
    spans = {}
    for metric, values in metrics.items():
        ends = [mean + sign * spread for mean, spread in map(mean_and_spread, values.values()) for sign in (-1, 1)]
        room = 0.04 * (max(ends) - min(ends))
        spans[metric] = min(ends) - room, max(ends) + room

    def draw(*chosen: bool) -> Drawing:
        names = [t for t, on in zip(techniques, chosen, strict=True) if on]
        combination = name_of(names)
        known = next(iter(metrics.values()))
        singles = [name_of([t]) for t in names] if len(names) > 1 else []
        shown = [baseline, *singles, *([combination] if combination in known and names else [])]
        panels = {metric: {name: mean_and_spread(values[name]) for name in shown} for metric, values in metrics.items()}
        figure = plots.against_baseline(panels, baseline, combination)
        figure.set_size_inches(figure.get_figwidth(), 0.32 * len(shown) + 1.2)
        for axis, span in zip(figure.axes, spans.values(), strict=True):
            axis.set(xlim=span, ylim=(0.5 - len(shown), 0.5))
        if combination not in known:
            said = f"{combination} was not trained: choose none, one, two, four or all five"
        elif not names:
            said = "nothing chosen: the baseline alone"
        else:
            parts = []
            for metric, values in metrics.items():
                pairs = zip(values[combination], values[baseline], strict=True)
                mean, spread = mean_and_spread([a - b for a, b in pairs])
                error = spread / math.sqrt(len(values[baseline]))
                parts.append(f"{metric.split(' (')[0]} {mean:+.3f} ± {error:.3f}")
            said = f"{combination} minus {baseline}, by seed (± standard error): {', '.join(parts)}"
        figure.suptitle(said.replace(" -", " −"), fontsize=10)
        return figure, f"Mean and standard deviation of {', '.join(shown)}. {said[0].upper()}{said[1:]}."

    _explore(
        draw,
        [technique in first for technique in techniques],
        lambda w: [w.Checkbox(value=t in first, description=t, indent=False) for t in techniques],
    )


def depth_explorer(
    rules: Mapping[str, Callable[[float, int], Sequence[float]]],
    distribution: Callable[[list[float]], Sequence[float]],
    max_rate: float = 0.5,
    depth: int = 12,
) -> None:
    """Explore stochastic depth: sliders for the highest rate and the number of blocks, and a choice of the rule.

    Args:
        rules: {name: of the highest rate and the depth, returns the drop rate of each block}.
        distribution: of the drop rates, returns the chance of each depth, from 0 to the number of blocks.
        max_rate: the first rate.
        depth: the first number of blocks.
    """

    def draw(rate: float, blocks: int, rule: str) -> Drawing:
        rates = list(rules[rule](rate, blocks))
        chances = list(distribution(rates))
        expected = sum(1 - p for p in rates)
        deviation = sum(p * (1 - p) for p in rates) ** 0.5
        figure, [[left, right]] = plots.grid(1, 2, 9.2, 3.4)
        left.bar(range(1, blocks + 1), [1 - p for p in rates], color=plots.COLOURS[0])
        left.set(xlabel="block", ylabel="probability of running", ylim=(0, 1.02))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.bar(range(blocks + 1), chances, color=plots.COLOURS[5])
        right.axvline(expected, color=plots.COLOURS[1], linestyle="--", label="expected depth")
        right.set(xlabel="depth that runs (blocks)", ylabel="probability", xlim=(-0.6, blocks + 0.6))
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower right", frameon=False)  # where no bar is
        said = f"expected depth {expected:.2f} of {blocks}, standard deviation {deviation:.2f}"
        chosen = f"rates {rule}, max_rate {rate:.2f}: {said}"
        figure.suptitle(chosen, fontsize=10)
        return figure, f"Probability that each block runs, and of each depth; {chosen}."

    first = next(iter(rules))
    _explore(
        draw,
        (max_rate, depth, first),
        lambda w: [
            w.FloatSlider(value=max_rate, min=0, max=1, step=0.05, description="max_rate", continuous_update=False),
            w.IntSlider(value=depth, min=1, max=60, description="blocks", continuous_update=False),
            w.Dropdown(options=list(rules), value=first, description="rates"),
        ],
    )


def mix_explorer(
    pixels: Tensor, names: Sequence[str], box: Callable[[int, int, float], Sequence[Any]], lam: float = 0.7
) -> None:
    """Explore how two images are mixed: a slider for lambda, mixup beside CutMix, a button for another box.

    Args:
        pixels: two images, (2, C, H, W) in [0, 1].
        names: their classes.
        box: of height, width and lambda, returns (top, bottom, left, right).
        lam: the first share of the first image.
    """
    height, width = pixels.shape[2:]

    def draw(share: float, seed: int) -> Drawing:
        before = np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)
            top, bottom, left, right = (int(edge) for edge in box(height, width, share))
        np.random.set_state(before)
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        kept = 1 - float(inside.double().mean())
        shown = torch.stack(
            [*pixels, torch.lerp(pixels[1], pixels[0], share), torch.where(inside, pixels[1], pixels[0])]
        )
        said = [
            f"{way}\n{part:.2f} {names[0]}\n{1 - part:.2f} {names[1]}"
            for way, part in (("mixup", share), ("CutMix", kept))
        ]
        figure = plots.images(shown, [*names, *said], columns=4)
        figure.set_size_inches(7.2, 2.5)
        return figure, (
            f"{names[0]}, {names[1]}, and both mixed with lambda = {share:.2f}: blended, and with a box of the second pasted "
            f"into the first, which keeps {kept:.2f} of its pixels."
        )

    _explore(
        draw,
        (lam,),
        lambda w: [w.FloatSlider(value=lam, min=0, max=1, step=0.05, description="lambda", continuous_update=False)],
        again="another box",
    )
