"""Pictures of what a check saw, as plain data; `picture` draws them when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

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


def _rows(values: torch.Tensor) -> list[list[float]]:
    cut = values.detach().to(torch.float64)[:_LIMIT, :_LIMIT]
    return [[round(float(v), 4) for v in row] for row in torch.nan_to_num(cut).clamp(-1e6, 1e6)]


def _finite(values: Sequence[float]) -> list[float]:
    return [float(v) if abs(float(v)) < 1e12 else 0.0 for v in values]
