"""Unit 09's figures: the map of probabilities, and the explorer of mixed images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from reglab import plots, widgets


def test_a_map_has_its_axes_and_its_points() -> None:
    axis = torch.linspace(-1, 1, 21)
    chances = torch.sigmoid(5 * axis).expand(21, 21)
    figure = plots.probability_maps(
        {"a": chances, "b": chances}, axis, {"one": torch.zeros(3, 2), "two": torch.ones(2, 2)}
    )
    titles = [panel.get_title() for panel in figure.axes[:2]]
    assert titles == ["a", "b"]
    assert all(panel.get_xlabel() and panel.get_ylabel() for panel in figure.axes[:2])
    assert [len(np.asarray(line.get_xdata())) for line in figure.axes[0].get_lines()] == [3, 2]


def test_the_explorer_tells_what_is_kept_and_leaves_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Figure, str]] = []
    monkeypatch.setattr(widgets, "_explore", lambda draw, first, controls, again: drawn.append(draw(*first, 0)))
    pixels = torch.stack([torch.zeros(1, 10, 20), torch.ones(1, 10, 20)])

    def box(height: int, width: int, lam: float) -> tuple[int, int, int, int]:
        np.random.rand()
        torch.rand(())
        assert (height, width, lam) == (10, 20, 0.75)
        return 0, 5, 0, 4

    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), float(torch.rand(()))
    np.random.seed(3)
    torch.manual_seed(3)
    widgets.mix_explorer(pixels, ["coat", "bag"], box, 0.75)
    assert (np.random.rand(), float(torch.rand(()))) == expected
    [(figure, alt)] = drawn
    assert "0.90" in alt
    blended, pasted = (np.asarray(panel.get_images()[0].get_array()) for panel in figure.axes[2:4])
    assert blended.mean() == pytest.approx(0.25)
    assert pasted.mean() == pytest.approx(0.1)
    assert "0.90 coat" in figure.axes[3].get_title()
