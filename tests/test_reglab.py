"""The small library that the notebooks import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reglab import augment, data, make_data, models, plots, predict, training, widgets
from reglab.doctor import doctor
from torch import nn
from torch.nn import functional

FULL = Path("/usr/share/datasets/fashion-mnist")


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_is_light_and_makes_torchvision_importable() -> None:
    in_a_new_process(
        "import sys, reglab\n"
        "assert not {'torchvision', 'matplotlib', 'ipywidgets'} & set(sys.modules)\n"
        "import torchvision; from torchvision.ops import StochasticDepth; from torchvision import datasets"
    )


def test_schemas_are_declared_only_where_they_are_missing() -> None:
    """Beside a torchvision whose operators exist, nothing is declared; twice is once."""
    in_a_new_process(
        "import torch\n"
        "theirs = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'): theirs.define(name + '(Tensor dets, Tensor scores, float t) -> Tensor')\n"
        "import reglab; from reglab._torchvision import make_importable\n"
        "assert not make_importable()\n"
        "assert 'float t)' in str(torch.ops.torchvision.nms.default._schema)"
    )


# -- data ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> data.Data:
    return data.load()


def test_embedded_images_are_balanced_and_normalised(embedded: data.Data) -> None:
    sizes = [len(s) for s in (embedded.train, embedded.validation, embedded.test)]
    assert sizes == [4000, 1000, 2000]
    for split in (embedded.train, embedded.validation, embedded.test):
        assert split.images.shape[1:] == (1, 28, 28)
        assert (split.images.dtype, split.labels.dtype) == (torch.float32, torch.int64)
        assert split.labels.bincount().tolist() == [len(split) // 10] * 10
        assert split.first(30).labels.bincount().tolist() == [3] * 10
    assert abs(float(embedded.train.images.mean())) < 1e-5
    assert abs(float(embedded.train.images.std(correction=0)) - 1) < 1e-5
    pixels = embedded.pixels(embedded.test.images)
    assert float(pixels.min()) >= 0
    assert float(pixels.max()) == pytest.approx(1, abs=1e-5)


def test_splits_share_no_image(embedded: data.Data) -> None:
    splits = (embedded.train, embedded.validation, embedded.test)
    seen = [{image.numpy().tobytes() for image in split.images} for split in splits]
    assert len(set.union(*seen)) == sum(map(len, seen))


@pytest.mark.skipif(not FULL.is_dir(), reason="apt install dataset-fashion-mnist, which CI does")
def test_embedded_images_are_made_from_the_full_set(tmp_path: Path) -> None:
    """The committed file, byte for byte, is what the script makes of the real Fashion-MNIST."""
    made = tmp_path / "made.npz"
    make_data.main(["--output", str(made)])
    assert made.read_bytes() == data.EMBEDDED.read_bytes()


@pytest.mark.skipif(not FULL.is_dir(), reason="apt install dataset-fashion-mnist, which CI does")
def test_the_full_set_of_debian_needs_no_download(tmp_path: Path) -> None:
    full = data.load("fashion_mnist", tmp_path)
    assert [len(s) for s in (full.train, full.validation, full.test)] == [50_000, 10_000, 10_000]
    assert full.train.images.shape[1:] == (1, 28, 28)


def test_embedded_file_is_small_and_carries_its_licence() -> None:
    assert data.EMBEDDED.stat().st_size < 5_000_000
    notice = data.EMBEDDED.with_name("fashion_mnist_small.LICENSE.txt").read_text()
    assert "MIT" in notice
    assert "Zalando" in notice


def test_what_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "CIFAR10", offline)
    with pytest.raises(data.DataUnavailable, match='use load\\("embedded"\\)'):
        data.load("cifar10", tmp_path)
    with pytest.raises(ValueError, match="choose one of embedded, fashion_mnist, cifar10"):
        data.load("imagenet")  # type: ignore[arg-type]
    monkeypatch.setattr(data, "EMBEDDED", tmp_path / "none.npz")
    with pytest.raises(data.DataUnavailable, match="restore it"):
        data.load()


def test_an_idx_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x0d\x01\0\0\0\0"))
    with pytest.raises(ValueError, match="not an idx file"):
        make_data.read_idx(path)


# -- models and training -------------------------------------------------------------------------------------------------


def test_the_slot_holds_what_it_is_given() -> None:
    model = models.SmallCNN(lambda: nn.Dropout(0.3), where=(1, 3))
    kinds = [type(block[2]).__name__ for block in model.blocks]  # type: ignore[index]
    assert kinds == ["Dropout", "Identity", "Dropout"]
    assert model(torch.randn(5, 1, 28, 28)).shape == (5, 10)
    assert models.SmallCNN(in_channels=3)(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_feature_maps_are_those_before_the_slot() -> None:
    model = models.SmallCNN(lambda: nn.Dropout(1.0)).train()
    maps = models.feature_maps(model, torch.randn(4, 1, 28, 28))
    assert [tuple(m.shape) for m in maps] == [(4, 16, 14, 14), (4, 32, 7, 7), (4, 64, 4, 4)]
    assert all(bool((m >= 0).all()) and bool((m > 0).any()) for m in maps)
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_training_follows_from_its_seed_and_learns(embedded: data.Data) -> None:
    small = embedded.with_train(200)

    def run(seed: int) -> list[float]:
        return training.over_seeds(lambda: models.SmallCNN(), small, 3, seeds=[seed])[0].train_loss

    first = run(0)
    assert first == run(0)
    assert first != run(1)
    assert first[-1] < first[0] < 2.4


def test_two_models_see_the_same_batches_whatever_else_they_draw(embedded: data.Data) -> None:
    seen: list[list[int]] = []

    def record() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        mine: list[int] = []
        seen.append(mine)

        def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            mine.extend(labels.tolist())
            return nn.functional.cross_entropy(logits, labels)

        return loss

    small = embedded.with_train(100)
    for slot in (nn.Identity, lambda: nn.Dropout(0.5)):
        training.train(models.SmallCNN(slot), small, 1, seed=3, loss=record())
    assert seen[0] == seen[1]


def test_training_leaves_the_threads_as_they_were(embedded: data.Data) -> None:
    threads = torch.get_num_threads()
    training.train(models.SmallCNN(), embedded.with_train(50), 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("look", [training.logits_of, models.feature_maps])
@pytest.mark.parametrize("outer", [True, False])
def test_looking_at_a_model_leaves_each_module_in_its_mode(look: Callable[..., object], outer: bool) -> None:
    """Also one that differs from the model's own, and also when the look fails."""
    model = models.SmallCNN(lambda: nn.Dropout(1.0)).train(outer)
    model.get_submodule("blocks.1").train(not outer)
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    seen: list[bool] = []
    model.get_submodule("blocks.1.2").register_forward_hook(lambda module, *_: seen.append(module.training))
    look(model, torch.randn(4, 1, 28, 28))
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError):
        look(model, torch.randn(4, 2, 28, 28))
    assert [module.training for module in model.modules()] == modes
    assert seen == [False]


def scores(logits: list[list[float]], labels: list[int]) -> tuple[float, float]:
    """What `evaluate` says of a network that answers with these logits."""
    rows = torch.tensor(logits, dtype=torch.float32)
    network = nn.Linear(rows.shape[1], rows.shape[1], bias=False)
    nn.init.eye_(network.weight)
    return training.evaluate(network, data.Split(rows, torch.tensor(labels)))


def test_evaluation_agrees_with_arithmetic() -> None:
    loss, accuracy = scores([[0, 0, 0, 2], [-3, -1, -2, -9], [5, 9, 7, 7], [1, 1, 4, 0]], [3, 1, 0, 2])
    terms = [
        np.log(3 + np.exp(2)) - 2,
        np.log(sum(np.exp([-3, -1, -2, -9]))) + 1,
        np.log(sum(np.exp([5, 9, 7, 7]))) - 5,
        np.log(sum(np.exp([1, 1, 4, 0]))) - 4,
    ]
    assert loss == pytest.approx(sum(terms) / 4, abs=1e-6)
    assert accuracy == 3 / 4


def test_only_a_first_place_of_its_own_counts_as_right() -> None:
    """A network whose logits are all alike, or NaN, gets nothing right."""
    assert scores([[1, 1, 1], [2, 2, 0], [0, 2, 2]], [0, 1, 0])[1] == 0
    assert scores([[float("nan")] * 3, [0, 1, 0]], [0, 1])[1] == 1 / 2


def test_spread_needs_two_values() -> None:
    assert training.mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    with pytest.raises(ValueError, match="fewer than two"):
        training.mean_and_spread([1.0])


# -- pictures ------------------------------------------------------------------------------------------------------------


def test_every_figure_has_labelled_axes(embedded: data.Data) -> None:
    history = training.History([1.0, 0.5], [1.1, 0.9], [0.4, 0.6], [0.3, 0.5])
    runs = {"a": [history, history], "b": [history, history]}
    for figure in (
        plots.curves(runs),
        plots.final_values(runs, ["validation_loss", "gap"]),
        plots.gap_curves([history] * 2),
    ):
        for axis in figure.axes:
            assert axis.get_ylabel(), figure
            assert axis.get_xlabel() or [t.get_text() for t in axis.get_xticklabels()], figure
        assert plots.png(figure).startswith(b"\x89PNG")
    assert plots.png(plots.images(embedded.pixels(embedded.train.images[:3]), ["a", "b", "c"])).startswith(b"\x89PNG")


def test_the_explorer_redraws_on_every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import ipywidgets

    shown: list[object] = []

    class Picture:
        updates = 0

        def update(self, _image: object) -> None:
            Picture.updates += 1

    def display(thing: object, display_id: bool = False) -> Picture | None:
        shown.append(thing)
        return Picture() if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    titles: list[str] = []
    monkeypatch.setattr(widgets.plots, "png", lambda figure: titles.append(figure.get_suptitle()) or b"")
    maps = torch.rand(12, 7, 7)
    before = torch.get_rng_state()
    kinds = {"pixels": lambda x, p: nn.functional.dropout(x, p), "none": lambda x, p: x}
    widgets.mask_explorer(maps, kinds, p=0.3)
    controls = shown[0]
    assert isinstance(controls, ipywidgets.HBox)
    slider, choice, button = controls.children
    slider.value = 0.6
    choice.value = "none"
    button.click()
    assert Picture.updates == 3
    assert all("of 12 maps lost (the first 8 are shown)" in title for title in titles)
    assert "0% of the active pixels dropped, 0 of" in titles[-1]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        (None, "You made no prediction"),
        ("a", "You predicted it"),
        ("(B)", "turned out otherwise"),
        ("x", "You made no prediction"),
    ],
)
def test_predictions_are_compared(mine: str | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = predict.predict("Which?", ["this", "that"], mine)
    asked.compare("a", "Because.")
    shown = capsys.readouterr().out
    assert said in shown
    assert "Measured: (a) this" in shown


@pytest.mark.parametrize(("mine", "folded"), [(None, True), ("a", False)])
def test_run_all_does_not_give_the_answer_away(mine: str | None, folded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(predict, "_display", shown.append)
    predict.predict("Which?", ["this", "that"], mine).compare("a")
    assert ("<details>" in shown[-1]._repr_html_()) is folded


def test_the_doctor_finds_this_machine_well() -> None:
    report = doctor()
    assert report.ok, str(report)
    assert {f.what for f in report} >= {"python", "torch", "torchvision", "data", "autograder"}


def test_the_doctor_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "EMBEDDED", tmp_path / "none.npz")
    report = doctor()
    assert not report.ok
    assert "restore notebooks/reglab" in str(report)
    assert "Needs attention: data." in report._repr_html_()
    assert np.load(Path(data.__file__).with_name("fashion_mnist_small.npz")).files


def test_a_batch_may_be_changed_before_the_network_sees_it(embedded: data.Data) -> None:
    seen: list[tuple[float, object]] = []

    def transform(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, object]:
        return torch.zeros_like(images), ("mixed", labels)

    def loss(logits: torch.Tensor, target: tuple[str, torch.Tensor]) -> torch.Tensor:
        seen.append((float(logits.detach().std(dim=0).max()), target[0]))
        return functional.cross_entropy(logits, target[1])

    training.train(models.SmallCNN(), embedded.with_train(100), 1, loss=loss, batch_transform=transform)
    assert seen == [(0.0, "mixed")] * 2  # all images are alike by then


def test_a_residual_network_has_its_blocks_in_stages() -> None:
    made: list[tuple[int, int]] = []

    def block(channels: int, number: int) -> nn.Module:
        made.append((channels, number))
        return nn.Identity()

    network = models.ResNet(block, in_channels=3, num_classes=7, width=4, stages=(2, 1, 3), stride=2)
    assert made == [(4, 1), (4, 2), (8, 3), (16, 4), (16, 5), (16, 6)]
    sizes = []
    network.end.register_forward_pre_hook(lambda _module, inputs: sizes.append(tuple(inputs[0].shape)))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 7)
    assert sizes == [(2, 16, 4, 4)]


def test_each_image_is_moved_and_mirrored_by_itself() -> None:
    torch.manual_seed(0)
    image = torch.zeros(1, 2, 9, 11)
    image[0, 0, 4, 3], image[0, 1, 5, 3] = 1.0, 2.0  # left of the middle column, 5
    images = image.repeat(400, 1, 1, 1)
    moved = augment.shift_and_flip(images, shift=2, flip=0.25)
    assert moved.shape == images.shape
    assert bool((images == image).all())
    (_, rows, columns), (_, below, beside) = moved[:, 0].nonzero().T, moved[:, 1].nonzero().T
    assert len(rows) == 400
    assert bool((below == rows + 1).all() and (beside == columns).all()), "channels move together"
    places = set(zip(rows.tolist(), columns.tolist(), strict=True))
    mirrored = {(r, c) for r in range(2, 7) for c in range(5, 10)}
    assert places == {(r, c) for r in range(2, 7) for c in range(1, 6)} | mirrored
    assert 60 < int((columns > 5).sum()) < 120  # a quarter of 400, but for the fifth of it that lands in column 5
    assert bool((augment.shift_and_flip(images, shift=0, flip=0.0) == images).all())
    ones = torch.ones(5, 1, 4, 6)
    assert bool((augment.shift_and_flip(ones) == ones).all()), "what moves in repeats the edge"
