"""Figures in one style: colours that colour-blind readers tell apart, axes named, units given, spread over seeds shown.

Functions draw and return a `matplotlib.figure.Figure`; `show` displays it in the notebook with a text alternative.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from reglab.recipe import Measured
from reglab.training import History, differs, mean_and_spread

# Okabe and Ito's palette; line styles and markers repeat the distinction for prints in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MAPS = "viridis"

STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
}
DPI = 110

LABELS = {
    "train_loss": "training loss (nats)",
    "validation_loss": "validation loss (nats)",
    "train_accuracy": "training accuracy (fraction)",
    "validation_accuracy": "validation accuracy (fraction)",
    "gap": "validation minus\ntraining loss (nats)",
}


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def show(figure: Figure, alt: str) -> None:
    """Display a figure in the notebook.

    Args:
        figure: as the functions here return it.
        alt: one sentence for readers who cannot see it.
    """
    from IPython.display import Image, display

    display(Image(data=png(figure), alt=alt))  # type: ignore[no-untyped-call]


def grid(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure of rows x columns axes in the common style, width and height in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def images(pixels: Tensor, titles: Sequence[str], columns: int = 10, suptitle: str = "") -> Figure:
    """A grid of images, each with a title; pixels (N, C, H, W) in [0, 1], C = 1 for grey or 3 for colour."""
    rows = -(-len(pixels) // columns)
    figure, axes = grid(rows, columns, 0.95 * columns, 1.15 * rows + 0.3 * bool(suptitle))
    for index, axis in enumerate(axis for row in axes for axis in row):
        axis.set_axis_off()
        if index < len(pixels):
            picture = pixels[index].permute(1, 2, 0).cpu().numpy()
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_title(titles[index], fontsize=8)
    if suptitle:
        figure.suptitle(suptitle, fontsize=10.5)
    return figure


def map_rows(rows: Mapping[str, Tensor], unit: str = "activation", top: float | None = None) -> Figure:
    """Feature maps side by side: one row of maps a name, one column a channel, one colour scale for all.

    Args:
        rows: {name: (C, H, W)}, all of one C.
        unit: what the colours measure.
        top: the value of the brightest colour; by default the largest there is.
    """
    channels = len(next(iter(rows.values())))
    largest = max(float(maps.max()) for maps in rows.values())
    top = top or largest
    figure, axes = grid(len(rows), channels, 1.05 * channels + 0.9, 1.08 * len(rows) + 0.3)
    for (name, maps), line in zip(rows.items(), axes, strict=True):
        for channel, (axis, feature_map) in enumerate(zip(line, maps, strict=True)):
            drawn = axis.imshow(feature_map.cpu().numpy(), cmap=MAPS, vmin=0, vmax=top, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
            if line is axes[0]:
                axis.set_title(f"map {channel + 1}", fontsize=8)
        line[0].set_ylabel(name, fontsize=8.5)
    figure.colorbar(
        drawn, ax=[axis for line in axes for axis in line], label=unit, fraction=0.03, pad=0.01,
        extend="max" if largest > top else "neither",
    )  # fmt: skip
    return figure


def lines(
    x: Sequence[float], series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, title: str = ""
) -> Figure:
    """One line a name over common x values."""
    figure, [[axis]] = grid(1, 1, 6.4, 3.6)
    for index, (name, values) in enumerate(series.items()):
        axis.plot(
            x, values, label=name, color=COLOURS[index % 7], linestyle=LINES[index % 7], marker=MARKERS[index % 7],
            markersize=5,
        )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.set_xticks(list(x))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def curves(runs: Mapping[str, Sequence[History]], metrics: Sequence[str] = ("train_loss", "validation_loss")) -> Figure:
    """Learning curves, a panel a metric: the mean over seeds as a line, one standard deviation to each side as a band.

    Args:
        runs: {name: histories, one a seed}; at least two seeds and equally many epochs.
        metrics: names of `History`'s fields, or "gap".
    """
    figure, [axes] = grid(1, len(metrics), 3.3 * len(metrics), 3.3)
    for axis, metric in zip(axes, metrics, strict=True):
        for index, (name, histories) in enumerate(runs.items()):
            _mean_and_band(axis, histories, metric, name, index)
        axis.set(xlabel="epoch", ylabel=LABELS.get(metric, metric))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs), frameon=False)
    return figure


def final_values(runs: Mapping[str, Sequence[History]], metrics: Sequence[str], last: int = 1) -> Figure:
    """Where each run ended, a panel a metric: a dot a seed, and beside them the mean with one standard deviation.

    Args:
        runs: {name: histories, one a seed}.
        metrics: names of `History`'s fields, or "gap".
        last: average over this many final epochs.
    """
    figure, [axes] = grid(1, len(metrics), 3.4 * len(metrics), 3.2)
    letters = max(5, 30 // len(runs))  # that fit on a line of a label without touching the next label
    for axis, metric in zip(axes, metrics, strict=True):
        for index, histories in enumerate(runs.values()):
            values = [history.last(metric, last) for history in histories]
            mean, spread = mean_and_spread(values)
            colour, marker = COLOURS[index % 7], MARKERS[index % 7]
            axis.plot(
                [index - 0.12] * len(values), values, marker, color=colour, alpha=0.55, markersize=6, linestyle=""
            )
            axis.errorbar(index + 0.12, mean, spread, fmt="_", color=colour, markersize=16, capsize=4, linewidth=2)
        axis.set_xticks(range(len(runs)), [textwrap.fill(name, letters, break_long_words=False) for name in runs])
        axis.set_xlim(-0.5, len(runs) - 0.5)
        axis.set_ylabel(LABELS.get(metric, metric))
        axis.grid(visible=False, axis="x")
    return figure


def gap_curves(histories: Sequence[History]) -> Figure:
    """Loss and accuracy of one configuration, training against validation: mean and standard deviation over seeds."""
    figure, [axes] = grid(1, 2, 8.2, 3.4)
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        for index, split in enumerate(("train", "validation")):
            _mean_and_band(axis, histories, f"{split}_{quantity}", {"train": "training"}.get(split, split), index)
        axis.set(xlabel="epoch", ylabel=LABELS[f"validation_{quantity}"].removeprefix("validation "))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _mean_and_band(axis: Axes, histories: Sequence[History], metric: str, label: str, index: int) -> None:
    by_epoch = zip(*(getattr(history, metric) for history in histories), strict=True)
    statistics = [mean_and_spread(values) for values in by_epoch]
    epochs, mean = range(1, len(statistics) + 1), [m for m, _ in statistics]
    low, high = [m - s for m, s in statistics], [m + s for m, s in statistics]
    axis.plot(epochs, mean, label=label, color=COLOURS[index % 7], linestyle=LINES[index % 7])
    axis.fill_between(epochs, low, high, color=COLOURS[index % 7], alpha=0.18, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def spread_lines(
    x: Sequence[float], series: Mapping[str, Sequence[Sequence[float]]], xlabel: str, ylabel: str, title: str = ""
) -> Figure:
    """One line a name over common x values: the mean over seeds, with one standard deviation to each side as a band.

    Args:
        x: the common values.
        series: {name: rows, one a seed}, at least two rows of len(x) values each.
        xlabel: of the common axis.
        ylabel: of the values, with their unit.
        title: above it all.
    """
    figure, [[axis]] = grid(1, 1, 6.4, 3.6)
    for index, (name, rows) in enumerate(series.items()):
        statistics = [mean_and_spread(values) for values in zip(*rows, strict=True)]
        mean, low, high = ([m + sign * s for m, s in statistics] for sign in (0, -1, 1))
        colour = COLOURS[index % 7]
        marker = MARKERS[index % 7] if len(x) <= 12 else None
        axis.plot(x, mean, label=name, color=colour, linestyle=LINES[index % 7], marker=marker, markersize=5)
        axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(x) <= 12:
        axis.set_xticks(list(x))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def gap_against(runs: Mapping[float, Sequence[History]], selected: float, name: str, last: int = 1) -> Figure:
    """One setting's loss curves beside the gap of all settings, of which the selected one is marked.

    Args:
        runs: {value of the setting: histories, one a seed}; at least two seeds and equally many epochs.
        selected: the value whose curves are drawn.
        name: what the values are of, such as "weight decay".
        last: the gap and the validation loss are averaged over this many final epochs.
    """
    figure, [[left, right]] = grid(1, 2, 9.2, 3.6)
    for index, (metric, label) in enumerate((("train_loss", "training"), ("validation_loss", "validation"))):
        _mean_and_band(left, runs[selected], metric, label, index)
    top = max(max(history.validation_loss) for histories in runs.values() for history in histories)
    left.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, top))
    left.legend(loc="upper right", frameon=False)
    places = list(range(len(runs)))
    for index, (metric, label) in enumerate((("gap", "gap"), ("validation_loss", "validation loss"))):
        statistics = [mean_and_spread([h.last(metric, last) for h in histories]) for histories in runs.values()]
        means, spreads = [m for m, _ in statistics], [s for _, s in statistics]
        right.errorbar(
            places, means, spreads, label=label, color=COLOURS[index + 2], linestyle=LINES[index + 2],
            marker=MARKERS[index + 2], markersize=5, capsize=4,
        )  # fmt: skip
    right.axvline(list(runs).index(selected), color="black", alpha=0.15, linewidth=12)
    right.set_xticks(places, [f"{value:g}" for value in runs])
    right.set(xlabel=name, ylabel="at the end (nats)", ylim=(0, None))
    right.legend(loc="lower left", frameon=False)
    return figure


def overlaid_histograms(
    panels: Mapping[str, Mapping[str, Tensor]], xlabel: str, marked: Mapping[str, float] | None = None, bins: int = 40
) -> Figure:
    """Distributions to be compared: a panel a title, in it one outline a name, in shares, over bins common to all.

    Args:
        panels: {title: {name: values}}, the same names in each.
        xlabel: what was measured, with its unit.
        marked: {label: x}, places to be shown by a vertical line.
        bins: how many there are.
    """
    figure, [axes] = grid(1, len(panels), 4.1 * len(panels), 3.3)
    everything = [values for names in panels.values() for values in names.values()]
    low, high = min(float(v.min()) for v in everything), max(float(v.max()) for v in everything)
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for index, (name, values) in enumerate(names.items()):
            shares, edges = torch.histogram(values.double().cpu(), bins, range=(low, high))
            axis.stairs(
                (shares / values.numel()).tolist(), edges.tolist(), label=name, color=COLOURS[index % 7],
                linestyle=LINES[index % 7], fill=False, linewidth=1.8,
            )  # fmt: skip
        for index, (label, place) in enumerate((marked or {}).items()):
            axis.axvline(place, color=COLOURS[6], linestyle=LINES[(index + 3) % 7], linewidth=1.2, label=label)
        axis.set(xlabel=xlabel, ylabel="share of images in a bin (fraction)", title=title)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]), frameon=False)
    return figure


def clusters(panels: Mapping[str, Mapping[str, Tensor]], columns: int, xlabel: str, ylabel: str) -> Figure:
    """Points in a plane, a panel a title: each name has a colour and a marker, both axes have one scale.

    Args:
        panels: {title: {name: points (n, 2)}}.
        columns: panels in a row.
        xlabel: of each panel.
        ylabel: of each panel.
    """
    rows = -(-len(panels) // columns)
    figure, axes = grid(rows, columns, 2.9 * columns, 2.9 * rows)
    for axis, (title, names) in zip((a for line in axes for a in line), panels.items(), strict=False):
        for index, (name, points) in enumerate(names.items()):
            axis.plot(
                points[:, 0].tolist(), points[:, 1].tolist(), MARKERS[index % 7], color=COLOURS[index % 7], label=name,
                markersize=3, alpha=0.55, linestyle="",
            )  # fmt: skip
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.set_aspect("equal", adjustable="datalim")
        axis.legend(fontsize=7.5, loc="best", handletextpad=0.1, borderpad=0.2)
    return figure


def reliability_diagrams(
    panels: Mapping[str, tuple[Tensor, Tensor, Tensor]], errors: Mapping[str, float], networks: int = 1
) -> Figure:
    """Reliability diagrams side by side: accuracy against confidence by bin, and below it how many examples each bin holds.

    Args:
        panels: {name: (mean confidence, accuracy, count)}, each of shape (bins,), with equal bins of [0, 1].
        errors: {name: calibration error}, a fraction, for the titles.
        networks: how many networks' predictions of the same images are counted together. They are right or wrong largely
            together, so that chance is taken to be that of one network's.
    """
    figure, [top, bottom] = grid(2, len(panels), 2.6 * len(panels) + 0.4, 4.5)
    top[0].get_gridspec().set_height_ratios((3, 1))  # type: ignore[union-attr]
    for (name, bins), axis, below in zip(panels.items(), top, bottom, strict=True):
        confidence, accuracy, count = (part.detach().double().cpu() for part in bins)
        number, filled = len(count), count > 0
        centres = [(b + 0.5) / number for b in range(number)]
        axis.bar(centres, accuracy.tolist(), 0.92 / number, color=COLOURS[5], label="accuracy of the bin")
        c, a, n = (part[filled] for part in (confidence, accuracy, count))
        axis.vlines(c.tolist(), a.tolist(), c.tolist(), color=COLOURS[1], linewidth=2.5, label="gap to its confidence")
        # What the accuracy of n examples is off by chance, were the confidence right.
        chance = (c * (1 - c) * networks / n).clamp(min=0).sqrt().tolist()
        axis.errorbar(
            c.tolist(),
            c.tolist(),
            chance,
            fmt="none",
            ecolor="#777777",
            elinewidth=0.9,
            capsize=2,
            label="±1 standard deviation of chance",
        )
        axis.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--", label="calibrated")
        axis.set(xlim=(0, 1), ylim=(0, 1.02), title=f"{name}\nECE {errors[name]:.3f}")
        axis.tick_params(labelbottom=False)
        below.bar(centres, (count / count.sum().clamp(min=1)).tolist(), 0.92 / number, color=COLOURS[0])
        below.set(xlim=(0, 1), xlabel="confidence")
    most = max(float((count / count.sum().clamp(min=1)).max()) for _, _, count in panels.values())
    for below in bottom:
        below.set_ylim(0, 1.1 * most)
    top[0].set_ylabel("accuracy (fraction)")
    bottom[0].set_ylabel("share of\nexamples")
    figure.legend(*top[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def loss_curves(runs: Mapping[str, Sequence[Measured]], window: int = 15) -> Figure:
    """The training loss of recipes against the step: means over a window of steps and over seeds, a band for their range.

    Args:
        runs: measured trainings by name, one or more seeds each.
        window: steps that are averaged.
    """
    figure, rows = grid(1, 1, 6.4, 3.2)
    axis = rows[0][0]
    for index, (name, each) in enumerate(runs.items()):
        losses = torch.tensor([measured.losses for measured in each], dtype=torch.float64)
        smooth = losses.unfold(1, window, 1).mean(dim=2)
        steps = range(window, losses.shape[1] + 1)
        axis.plot(steps, smooth.mean(0).tolist(), color=COLOURS[index], linestyle=LINES[index], label=name)
        axis.fill_between(
            steps, smooth.amin(0).tolist(), smooth.amax(0).tolist(), color=COLOURS[index], alpha=0.2, linewidth=0
        )
    axis.set(xlabel="step", ylabel=f"training loss, mean of {window} steps (nats)", ylim=(0, None))
    axis.legend(frameon=False)
    return figure


def compare_measured(runs: Mapping[str, Sequence[Measured]]) -> Figure:
    """Error and calibration error of recipes side by side: a point a seed, a bar for the mean."""
    figure, rows = grid(1, 2, 6.4, 2.8)
    for axis, metric in zip(rows[0], ("error", "calibration_error"), strict=True):
        for index, (name, each) in enumerate(runs.items()):
            values = [float(getattr(measured, metric)) for measured in each]
            mean = sum(values) / len(values)
            axis.bar(index, mean, width=0.6, color=COLOURS[index], alpha=0.35, label=name)
            places = [index + 0.12 * (k - (len(values) - 1) / 2) for k in range(len(values))]
            axis.plot(places, values, MARKERS[index], color=COLOURS[index], markersize=5)
        axis.set_xticks(range(len(runs)), list(runs))
        axis.set(ylabel=f"{metric.replace('_', ' ')} (fraction)", ylim=(0, None))
        axis.grid(axis="x", visible=False)
    return figure


def heat_map(
    cells: Sequence[Sequence[Sequence[float] | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    title: str = "",
    axis: Axes | None = None,
) -> Figure:
    """A table of differences in colour: each cell says its mean and standard error, bold where it `differs` from 0.

    Blue is below 0, red above, white is 0; the scale is the same on both sides.

    Args:
        cells: a row a line; paired differences, one a seed, or None for an empty cell.
        rows: names of the lines, from the top.
        columns: names of the columns.
        label: what the colours measure, with its unit.
        title: above it.
        axis: drawn into; a figure of its own by default.
    """
    if axis is None:
        figure, [[axis]] = grid(1, 1, 1.15 * len(columns) + 2.0, 0.72 * len(rows) + 1.2)
    else:
        figure = axis.get_figure(root=True)  # type: ignore[assignment]
    told = [[mean_and_spread(cell) if cell else None for cell in line] for line in cells]
    top = max((abs(each[0]) for line in told for each in line if each), default=1.0) or 1.0
    values = [[each[0] if each else float("nan") for each in line] for line in told]
    drawn = axis.imshow(values, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto")
    for i, line in enumerate(cells):
        for j, cell in enumerate(line):
            if cell:
                mean, spread = mean_and_spread(cell)
                error = spread / len(cell) ** 0.5
                axis.text(
                    j, i, f"{mean:+.3f}\n± {error:.3f}".replace("-", "−"), ha="center", va="center", fontsize=8,
                    weight="bold" if differs(cell) else "normal",
                    color="white" if abs(mean) > 0.62 * top else "black",
                )  # fmt: skip
    # As many lines for each, or those of one line stand higher.
    lines = max(name.count(" ") for name in columns)
    below = [name.replace(" ", "\n") + "\n" * (lines - name.count(" ")) for name in columns]
    axis.set_xticks(range(len(columns)), below, fontsize=8.5)
    axis.set_yticks(range(len(rows)), [name.replace(" ", "\n") for name in rows], fontsize=8.5)
    axis.grid(visible=False)
    axis.set_title(title)
    figure.colorbar(drawn, ax=axis, label=label, fraction=0.045, pad=0.02)
    return figure


def against_baseline(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], baseline: str, selected: str = "", errors: str = "s.d."
) -> Figure:
    """Every configuration as a point with its error bar, a panel a metric, with a line for the baseline's mean.

    Args:
        panels: {metric, with its unit: {configuration: (mean, spread)}}, the same configurations in each, from the top.
        baseline: the configuration whose mean the line is at.
        selected: one that is drawn in another colour.
        errors: what the bars are, for the axis.
    """
    names = list(next(iter(panels.values())))
    figure, [axes] = grid(1, len(panels), 3.0 * len(panels) + 2.4, 0.21 * len(names) + 1.0)
    for axis, (metric, values) in zip(axes, panels.items(), strict=True):
        axis.axvline(values[baseline][0], color=COLOURS[6], linewidth=1, linestyle=LINES[1])
        for place, name in enumerate(names):
            mean, spread = values[name]
            chosen = name == selected
            axis.errorbar(
                mean, -place, xerr=spread, fmt=MARKERS[3] if chosen else MARKERS[0], capsize=2.5, linewidth=1.6,
                color=COLOURS[1] if chosen else COLOURS[0], markersize=7 if chosen else 4.5,
            )  # fmt: skip
        axis.set_yticks([-place for place in range(len(names))], names if axis is axes[0] else [], fontsize=8)
        axis.set_xlabel(f"{metric}, ± {errors}", fontsize=9)
    return figure


def probability_maps(panels: Mapping[str, Tensor], axis: Tensor, points: Mapping[str, Tensor]) -> Figure:
    """How a classifier of the plane divides it: a map of probabilities a panel, and the examples that it was trained on.

    Args:
        panels: {title: the probability of one class (n, n)}, a row a value of y, upwards.
        axis: the n coordinates, the same for x and y.
        points: {name: (m, 2)}.
    """
    figure, [axes] = grid(1, len(panels), 3.7 * len(panels) + 0.8, 3.7)
    ticks = axis.tolist()
    for panel, (title, chances) in zip(axes, panels.items(), strict=True):
        values = chances.cpu().numpy()
        drawn = panel.pcolormesh(ticks, ticks, values, cmap=MAPS, vmin=0, vmax=1, shading="nearest", rasterized=True)
        panel.contour(ticks, ticks, values, levels=[0.5], colors="black", linewidths=1.5)
        for index, (name, places) in enumerate(points.items()):
            panel.plot(
                places[:, 0].tolist(), places[:, 1].tolist(), MARKERS[index % 7], color=("white", COLOURS[1])[index % 2],
                markeredgecolor="black", markersize=4.5, linestyle="", label=name,
            )  # fmt: skip
        panel.set(title=title, xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
        panel.grid(False)
    figure.colorbar(drawn, ax=axes, label="probability (fraction)", fraction=0.04, pad=0.01)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(points), frameon=False)
    return figure
