"""Evidence as SVG: well formed whatever it holds, and true to its numbers."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from autograder.evidence import Evidence, bars, images
from autograder.picture import data_uri, draw_svg
from tests.reports import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def elements(evidence: Evidence, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(draw_svg(evidence)).iter(SVG + name))


def test_bars_are_as_high_as_their_numbers() -> None:
    shown = bars("c", [("asked", [0, 1], [0.25, 0.75]), ("seen", [0, 1], [0.5, -0.25])], "", "share", ["a", "b"])
    heights = [float(r.get("height", 0)) for r in elements(shown, "rect") if r.get("width") != "10"]
    assert [h / heights[0] for h in heights] == pytest.approx([1, 3, 2, 1], rel=0.01)
    assert {"asked", "seen", "share", "a", "b", "0"} <= {t.text for t in elements(shown, "text")}


def test_an_image_has_a_pixel_a_number_blue_below_zero_and_red_above() -> None:
    shown = images("c", [("mask", torch.tensor([[0.0, 2.0, -2.0], [1.0, 0.0, 0.0]]))])
    href = elements(shown, "image")[0].get("href", "")
    file = base64.b64decode(href.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB")).astype(int)
    assert pixels.shape == (2, 3, 3)
    assert (pixels[0, 0] == pixels[1, 2]).all()
    assert pixels[0, 0].min() > 240
    assert pixels[0, 1, 0] > 150 > pixels[0, 1, 2]
    assert pixels[0, 2, 2] > 150 > pixels[0, 2, 0]
    assert pixels[1, 0, 1] > pixels[0, 1, 1]  # half as much, half as red


@pytest.mark.parametrize(
    "shown",
    [
        bars("c", [("x", [], [])], "", ""),
        bars("c", [("x", [5.0], [7.0])], "p", "q"),
        bars("c", [("x", [0, 1], [0, 0])], "p", "q"),
        bars("c", [("x", [1, 1, 1], [1e11, -1e11, 1e-300])], "p", "q"),
        bars("c", [("x", list(range(500)), [float("nan")] * 500)], "p", "q"),
        bars("c", [(text, [0, 1], [1, 2]) for text in HOSTILE], HOSTILE[0], HOSTILE[5], HOSTILE[:2]),
        images("c", [("x", torch.zeros(0, 4)), ("y", torch.full((70, 70), float("inf"))), ("z", torch.zeros(3, 0))]),
        images("c", [(text, torch.ones(1, 300)) for text in HOSTILE], HOSTILE[0], HOSTILE[5]),
        images("c", []),
    ],
)
def test_any_evidence_is_well_formed_and_harmless(shown: Evidence) -> None:
    names = {e.tag.removeprefix(SVG) for e in ElementTree.fromstring(draw_svg(shown)).iter()}
    assert names <= {"svg", "g", "text", "rect", "path", "image"}
    assert data_uri(shown).startswith("data:image/svg+xml;base64,")
