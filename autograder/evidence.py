"""Pictures of what a check saw: plain data when made, drawn with matplotlib only when somebody looks."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

_BLUE, _ORANGE, _GREY = "#2f6db3", "#d9772b", "#8a8f98"  # apart for colour-blind eyes, and in print
_LIMIT = 64


class Panel(BaseModel):
    """One image: rows of numbers."""

    model_config = ConfigDict(frozen=True)
    title: str
    values: list[list[float]]


class Series(BaseModel):
    """One set of bars: y[i] at position x[i]."""

    model_config = ConfigDict(frozen=True)
    label: str
    x: list[float]
    y: list[float]


class Evidence(BaseModel):
    """A picture of images side by side, or of bars.

    Attributes:
        kind: "images" draws `panels`, "bars" draws `series`.
        caption: what to see, one sentence.
        x_names: for bars, names to print at positions 0, 1, … instead of numbers.
    """

    model_config = ConfigDict(frozen=True)
    kind: Literal["images", "bars"]
    caption: str
    x_label: str = ""
    y_label: str = ""
    panels: list[Panel] = []
    series: list[Series] = []
    x_names: list[str] = []


def images(
    caption: str, panels: Sequence[tuple[str, torch.Tensor]], x_label: str = "width", y_label: str = "height"
) -> Evidence:
    """Return evidence of 2-D tensors side by side; what is not finite is shown as 0, and large maps are cut."""
    return Evidence(
        kind="images",
        caption=caption,
        x_label=x_label,
        y_label=y_label,
        panels=[Panel(title=title, values=_rows(values)) for title, values in panels],
    )


def bars(
    caption: str,
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    x_names: Sequence[str] = (),
) -> Evidence:
    """Return evidence of bars: (label, positions, heights) for each set."""
    made = [Series(label=label, x=_finite(x), y=_finite(y)) for label, x, y in series]
    return Evidence(kind="bars", caption=caption, x_label=x_label, y_label=y_label, series=made, x_names=list(x_names))


def draw_png(evidence: Evidence) -> bytes:
    """Render evidence as a PNG about 5 inches wide."""
    # Figure without pyplot: no global state, no back end, nothing left open in the learner's notebook.
    from matplotlib.figure import Figure

    if evidence.kind == "images":
        count = len(evidence.panels)
        figure = Figure(figsize=(1.7 * count + 0.5, 2.1), dpi=110, layout="constrained")
        for axis, panel in zip(figure.subplots(1, count, squeeze=False)[0], evidence.panels, strict=True):
            limit = max((abs(v) for row in panel.values for v in row), default=1.0) or 1.0
            axis.imshow(panel.values, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            axis.set_title(panel.title, fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(evidence.x_label, fontsize=7)
        figure.axes[0].set_ylabel(evidence.y_label, fontsize=7)
    else:
        figure = Figure(figsize=(4.6, 2.3), dpi=110, layout="constrained")
        axis = figure.subplots()
        count = len(evidence.series)
        for i, (series, colour) in enumerate(zip(evidence.series, (_BLUE, _ORANGE, _GREY), strict=False)):
            gaps = [b - a for a, b in zip(series.x, series.x[1:], strict=False)]
            width = 0.8 * min(gaps, default=1.0) / count
            axis.bar(
                [x + (i - (count - 1) / 2) * width for x in series.x], series.y, width, label=series.label, color=colour
            )
        if evidence.x_names:
            axis.set_xticks(range(len(evidence.x_names)), evidence.x_names)
        axis.set_xlabel(evidence.x_label, fontsize=8)
        axis.set_ylabel(evidence.y_label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def data_uri(evidence: Evidence) -> str:
    """Return the rendered PNG as a data: URI."""
    return "data:image/png;base64," + base64.b64encode(draw_png(evidence)).decode()


def _rows(values: torch.Tensor) -> list[list[float]]:
    cut = values.detach().to(torch.float64)[:_LIMIT, :_LIMIT]
    return [[round(float(v), 4) for v in row] for row in torch.nan_to_num(cut).clamp(-1e6, 1e6)]


def _finite(values: Sequence[float]) -> list[float]:
    return [float(v) if abs(float(v)) < 1e12 else 0.0 for v in values]
