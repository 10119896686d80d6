"""The results table: every configuration trains, on colour images too, and the table tells what was stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from reglab.data import Data, Split
from reglab.sweep import Run, read

from solutions.results import table, training
from solutions.results.__main__ import main
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
    text = table.render("embedded", table.reported([*runs, *(_run("mixup", seed, 0.1, 0.99) for seed in range(2))]), {})
    assert "| dropout | 0.860 ± 0.010 (**+0.050**) | 1.000 ± 0.100 (**−0.100**) |" in text
    assert f"| {table.BEST}: {first} | 0.910" in text
    assert second not in text.replace(first, "")
    assert "| mixup" not in text, "two seeds are too few"
    assert "| temperature scaling | 0.810" in text


def test_the_readme_shows_what_is_stored() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in RUNS.glob("*.csv"):
        study = path.stem.removesuffix("_time")
        assert study in STUDIES
        assert {run.configuration for run in read(path)} <= CONFIGURATIONS.keys()
        if told := table.of_study(RUNS, study):
            assert table.render(study, told, table.times(RUNS, study)) in readme


def test_the_command_makes_what_is_missing_and_tells_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path of CIFAR-10, whose images are not on this machine: on random ones, with a network as wide but less deep."""
    study = replace(STUDIES["cifar10"], settings={**STUDIES["cifar10"].settings, "stages": [1, 1], "epochs": 1})
    monkeypatch.setitem(STUDIES, "cifar10", study)
    asked: list[tuple[str, Path | None]] = []

    def load(name: str, cache: Path | None) -> Data:
        asked.append((name, cache))
        return tiny(3)

    monkeypatch.setattr(training, "load", load)
    written: list[Path] = []
    monkeypatch.setattr(table, "write", lambda runs, root: written.append(runs))
    command = ["results", "--study", "cifar10", "--runs", str(tmp_path), "--cache", str(tmp_path / "images")]
    only = ["--only", "baseline", "CutMix", "--seeds", "1"]
    training._data.cache_clear()
    for _ in range(2):
        monkeypatch.setattr("sys.argv", [*command, *only])
        main()
    training._data.cache_clear()
    assert asked == [("cifar10", tmp_path / "images")]
    assert [(run.configuration, run.seed) for run in read(tmp_path / "cifar10.csv")] == [("baseline", 0), ("CutMix", 0)]
    assert len(read(tmp_path / "cifar10_time.csv")) == 10
    assert written == [tmp_path] * 2
