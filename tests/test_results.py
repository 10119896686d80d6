"""The results table: every configuration trains, on colour images too, and the table tells what was stored."""

from __future__ import annotations

import pytest
import torch
from reglab.data import Data, Split
from reglab.sweep import Run, read

from solutions.results import table
from solutions.results.configurations import COMBINATIONS, CONFIGURATIONS, STUDIES, configurations_of
from solutions.results.training import build, measure
from tests.conftest import ROOT

RUNS = ROOT / "solutions" / "results" / "runs"


def tiny(channels: int) -> Data:
    """Random images, 28 x 28, of three classes."""
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        images = torch.randn(count, channels, 28, 28, generator=generator)
        return Split(images, torch.arange(count) % 3)

    return Data("tiny", split(24), split(12), split(12), ("a", "b", "c"), (0.0,) * channels, (1.0,) * channels)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_configuration_trains(name: str, channels: int) -> None:
    """Also with the widths and stages of CIFAR's network, but for fewer blocks."""
    small = {"epochs": 1, "batch_size": 8, "width": 4, "stages": [2, 1], "stride": 1 if channels == 3 else 2}
    metrics = measure(tiny(channels), configurations_of("cifar10")[name] | small, seed=0)
    assert all(value == value for value in metrics.values()), metrics
    assert 0 <= metrics["test_ece"] <= 1
    assert metrics["temperature"] > 0


def test_the_network_for_cifar_is_a_resnet_20() -> None:
    model = build(STUDIES["cifar10"].settings, in_channels=3, num_classes=10)
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions if c.stride == (1, 1)] == [16] * 7 + [32] * 6 + [64] * 6
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def _run(name: str, seed: int, loss: float, accuracy: float) -> Run:
    told = {"test_accuracy": accuracy, "test_loss": loss, "test_ece": 0.1, "tempered_loss": loss, "tempered_ece": 0.05}
    return Run(name, seed, {}, told | {"train_loss": 0.1, "validation_loss": loss})


def test_the_table_tells_paired_differences_and_the_best_combination() -> None:
    first, second = list(COMBINATIONS)[:2]
    runs = [
        _run(name, seed, loss + 0.1 * seed, accuracy + 0.01 * seed)
        for name, loss, accuracy in (
            ("baseline", 1.0, 0.8),
            ("dropout", 0.9, 0.85),
            (first, 0.7, 0.9),
            (second, 0.8, 0.99),
        )
        for seed in range(3)
    ]
    text = table.render("embedded", table.reported([*runs, _run("mixup", 0, 0.1, 0.99)]), {})
    assert "| dropout | 0.860 ± 0.010 (**+0.050**) | 1.000 ± 0.100 (**−0.100**) |" in text
    assert f"| best combination: {first} | 0.910" in text
    assert second not in text.replace(first, "")
    assert "mixup" not in text, "one seed has no spread"
    assert "| temperature scaling | 0.810" in text


def test_the_readme_shows_what_is_stored() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in RUNS.glob("*.csv"):
        if path.stem in STUDIES:
            stored = read(path)
            assert stored
            assert {run.configuration for run in stored} <= CONFIGURATIONS.keys()
            times: dict[str, list[float]] = {}
            if not path.with_name(f"{path.stem}_time.csv").exists():
                assert table.render(path.stem, table.reported(stored), times) in readme
