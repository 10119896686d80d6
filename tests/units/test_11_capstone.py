# ruff: noqa: E501
"""Unit 11: hidden images and scores against other sources, recipes outside the bank, and recipes that attack the grader."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reglab import plots
from reglab.data import load
from reglab.make_data import SOURCE
from reglab.models import SmallCNN
from reglab.recipe import BUDGET, Measured, Recipe, Trainer, baseline, calibration_error_of, error_of, run
from reglab.training import evaluate
from torch import nn
from torch.nn import functional

from autograder.checks import Status, load_module, run_checks
from autograder.draw import Draw
from autograder.expect import Failure
from autograder.judge import grade, preload_modules
from autograder.mistakes import diagnose
from autograder.report import ExerciseReport
from autograder.sandbox import Limits, Sandbox
from autograder.student import Student, StudentError, local_student
from tests.conftest import ROOT, linux
from tests.test_bank import COURSE, SEEDS, known, reference, seen

STEM = "11_capstone"
UNIT = COURSE.unit(STEM)
GRADED = load_module(ROOT / "solutions" / "checks" / f"{STEM}.py")
PUBLIC_POINTS = sum(c.points for c in UNIT.public_checks)
REFERENCE = reference(STEM)


# -- images --------------------------------------------------------------------------------------------------------------


def hidden() -> dict[str, Any]:
    with np.load(GRADED["HIDDEN"], allow_pickle=False) as file:
        return dict(file)


def test_hidden_images_are_in_no_released_file() -> None:
    arrays = hidden()
    assert arrays["images"].shape == (2000, 28, 28)
    assert np.bincount(arrays["labels"]).tolist() == [200] * 10
    with np.load(ROOT / "notebooks" / "reglab" / "fashion_mnist_small.npz", allow_pickle=False) as file:
        released = {image.tobytes() for key in file.files if key.endswith("images") for image in file[key]}
    assert not {image.tobytes() for image in arrays["images"]} & released
    for path in (ROOT / "notebooks").rglob("*"):
        assert "hidden" not in path.name, path


@pytest.mark.skipif(not SOURCE.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_hidden_images_can_be_made_again(tmp_path: Path) -> None:
    path = ROOT / "solutions" / "checks" / "hidden" / "make_data.py"
    spec = importlib.util.spec_from_file_location("make_hidden", path)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = script.make()
    for key, array in hidden().items():
        assert np.array_equal(made[key], array), key
    script.main(["--output", str(tmp_path / "again.npz")])
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "again.npz", GRADED["HIDDEN"])}
    assert len(digests) == 1


@linux
def test_no_image_but_those_to_train_on_is_in_the_sandbox(sandbox: Sandbox) -> None:
    student = Student(sandbox.open())
    for path in (
        GRADED["HIDDEN"],
        ROOT / "notebooks/reglab/fashion_mnist_small.npz",
        SOURCE / "t10k-images-idx3-ubyte.gz",
    ):
        with pytest.raises(StudentError) as raised:
            student.run("read", f"open({str(path)!r}, 'rb').read(1)[0]")
        assert {"OSError", "IndexError"} & set(raised.value.types), path


# -- trainer and scores ----------------------------------------------------------------------------------------------------


def test_scores_are_those_of_units_00_and_06() -> None:
    coins = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(700, 10, generator=coins)
    labels = torch.multinomial((logits / 2).softmax(1), 1, generator=coins).squeeze(1)
    logits[:20] *= 100  # certain
    bins = reference("06_calibration").expected_calibration_error
    assert calibration_error_of(logits, labels) == pytest.approx(bins(logits.double().softmax(1), labels), abs=1e-9)
    assert error_of(logits, labels) == pytest.approx(1 - float((logits.argmax(1) == labels).double().mean()))
    flat = torch.zeros(5, 10)  # whoever cannot decide has not said the label
    assert error_of(flat, torch.zeros(5, dtype=torch.long)) == 1.0
    huge = torch.full((2, 10), -3e38).scatter(1, torch.tensor([[1], [2]]), 3e38)
    assert error_of(huge, torch.tensor([1, 3])) == 0.5
    assert calibration_error_of(huge, torch.tensor([1, 3])) == 0.5


def test_a_training_follows_from_its_seed_and_may_be_cut_in_pieces() -> None:
    data = load()
    images, labels = data.train.images[:100], data.train.labels[:100]
    logits = []
    for pieces in ([12], [5, 7], [1] * 12):
        trainer = Trainer(REFERENCE.build_recipe, images, labels, 3, batch_size=32)
        assert sum(len(trainer.train(n)) for n in pieces) == 12
        logits.append(trainer.predict(data.validation.images[:20]))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])
    other = Trainer(REFERENCE.build_recipe, images, labels, 4, batch_size=32)
    other.train(12)
    assert not torch.equal(other.predict(data.validation.images[:20]), logits[0])


def test_every_image_is_seen_equally_often() -> None:
    images, labels = torch.arange(50.0).view(50, 1, 1, 1).expand(50, 1, 28, 28), torch.arange(50) % 10
    counts = torch.zeros(50)

    def build() -> Recipe:
        recipe = baseline()

        def count(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            numbers = x[:, 0, 0, 0].long()
            assert bool((y == numbers % 10).all())
            counts.index_add_(0, numbers, torch.ones(len(x)))
            return x, y

        recipe.batch_transform = count
        return recipe

    Trainer(build, images, labels, 0, batch_size=20).train(10)
    assert counts.tolist() == [4.0] * 50


def test_run_measures_the_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    data, short = load(), replace(BUDGET, steps=4)
    measured = run(baseline, data, 1, short)
    assert len(measured.losses) == 4
    assert measured.seconds > 0
    trainer = Trainer(baseline, data.train.images[:500], data.train.labels[:500], 1)
    trainer.train(4)
    assert measured.error == pytest.approx(1 - evaluate(trainer.recipe.model, data.validation)[1])

    def explodes() -> Recipe:
        recipe = baseline()
        recipe.loss = lambda logits, target: functional.cross_entropy(logits, target) * float("nan")
        return recipe

    with pytest.raises(FloatingPointError, match="step 1"):
        run(explodes, data, 0, short)


def test_figures_of_measured_trainings() -> None:
    made = [
        Measured(0.2 + i / 100, 0.1, 1.0, tuple(2.0 / (k + 1) for k in range(40)), torch.zeros(1)) for i in range(3)
    ]
    figure = plots.loss_curves({"a": made, "b": made[:1]})
    assert figure.axes[0].get_xlabel() == "step"
    assert len(figure.axes[0].lines) == 2
    figure = plots.compare_measured({"a": made, "b": made[:1]})
    assert [axis.get_ylabel() for axis in figure.axes] == ["error (fraction)", "calibration error (fraction)"]


# -- the scale -------------------------------------------------------------------------------------------------------------


def test_the_reference_beats_the_baseline_clearly() -> None:
    """Its mean over three seeds is further below the last step of the scale than three spreads of a mean of SEEDS."""
    ours, (images, labels) = GRADED["_baseline"](), GRADED["_hidden"]()
    data = load().train.first(BUDGET.images)
    errors, calibrations = [], []
    for seed in range(3):
        trainer = Trainer(REFERENCE.build_recipe, data.images, data.labels, seed)
        trainer.train(BUDGET.steps)
        logits = trainer.predict(images)
        errors.append(error_of(logits, labels))
        calibrations.append(calibration_error_of(logits, labels))
    spread = 0.007 / GRADED["SEEDS"] ** 0.5
    assert np.mean(errors) < (1 - GRADED["ERRORS"]["most"]) * ours.error - 3 * spread
    assert max(calibrations) < GRADED["CALIBRATION"]["third"] * ours.calibration


def test_the_published_scale_is_the_one_that_is_used() -> None:
    text = (ROOT / "solutions" / f"{STEM}.py").read_text()
    errors = ", ".join(f"{share * 100:.0f} %" for share in GRADED["ERRORS"].values())
    assert f"at least {errors} below" in text
    assert f"| {PUBLIC_POINTS} |" in text
    assert f"{BUDGET.parameters:,} parameters" in text
    assert f"may take {BUDGET.processor:g} times" in text
    assert f"at most {GRADED['WORSE'] * 100:.0f} % above" in text
    assert GRADED["SEEDS"] == 3
    assert "trained with three seeds" in text
    for name, share in zip(("a_little_", "", "much_"), GRADED["ERRORS"].values(), strict=True):
        check = next(c for c in UNIT.graded_checks if c.name == f"error_is_{name}lower")
        assert f"{share * 100:.0f} % below" in check.statement


# -- recipes outside the bank ------------------------------------------------------------------------------------------------

MODEL = "nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 196, 10))"
BUILD = f"""
def build_recipe():
    model = {MODEL}
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    return Recipe(model, nn.CrossEntropyLoss(), optimizer)
"""


def changed(old: str, new: str) -> str:
    assert old in BUILD
    return BUILD.replace(old, new)


AVERAGED = """
class Averaged(torch.optim.Adam):
    def __init__(self, model):
        super().__init__(model.parameters(), lr=3e-3)
        self.model, self.average = model, torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    def step(self):
        super().step()
        self.average.update_parameters(self.model)
        with torch.no_grad():
            for p, q in zip(self.model.parameters(), self.average.module.parameters()):
                p.copy_(q)
"""
AHEAD = """
class Ahead(torch.optim.AdamW):
    slow, count = None, 0
    def step(self, closure=None):
        fast = [p for g in self.param_groups for p in g['params']]
        self.slow = self.slow or [p.detach().clone() for p in fast]
        super().step(closure)
        self.count += 1
        if self.count % 5 == 0:
            with torch.no_grad():
                for p, s in zip(fast, self.slow):
                    p.copy_(s.lerp_(p, 0.5))
"""
SHARP = """
class Sharp(torch.optim.SGD):
    def __init__(self, model, batch):
        super().__init__(model.parameters(), lr=0.05)
        self.model, self.batch = model, batch
    def step(self):
        moved = []
        with torch.no_grad():
            for p in self.model.parameters():
                moved.append(0.05 * p.grad / (p.grad.norm() + 1e-12))
                p.add_(moved[-1])
        self.zero_grad()
        nn.functional.cross_entropy(self.model(self.batch[0]), self.batch[1]).backward()
        with torch.no_grad():
            for p, e in zip(self.model.parameters(), moved):
                p.sub_(e)
        super().step()
"""
REMEMBERS = """
class Remembers(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, {}
    def forward(self, x):
        z = self.net(x)
        if self.training:
            self.seen.clear()
            return z
        if len(x) > LARGE: z = z - z.mean(0)
        return torch.stack([self.seen.setdefault(image.numpy().tobytes(), row.detach()) for image, row in zip(x, z)])
""".replace("LARGE", "1")

OUTSIDE = {
    "right: keywords": (changed("Recipe(model, nn.CrossEntropyLoss(), optimizer)", "Recipe(loss=nn.CrossEntropyLoss(), model=model, optimizer=optimizer, schedule=None)"), None),
    "right: log-probabilities and nll": (changed(MODEL, f"nn.Sequential({MODEL}, nn.LogSoftmax(1))").replace("nn.CrossEntropyLoss()", "nn.NLLLoss()"), None),
    "right: a frozen layer": (changed("    optimizer =", "    model[0].weight.requires_grad_(False)\n    optimizer ="), None),
    "right: SGD without momentum": (changed("Adam(model.parameters(), lr=3e-3)", "SGD(model.parameters(), lr=0.05)"), None),
    "right: float64 inside": (changed(MODEL, f"nn.Sequential(Double(), {MODEL}.double())").replace("def build", "class Double(nn.Module):\n    def forward(self, x): return x.double()\ndef build"), None),
    "right: knows the background": (changed(MODEL, f"nn.Sequential(Ground(), {MODEL})").replace("def build", "class Ground(nn.Module):\n    def forward(self, x): return torch.where(x != x.amin((2, 3), keepdim=True), x, -1.0)\ndef build"), None),
    "right: moving average of the weights": (changed("torch.optim.Adam(model.parameters(), lr=3e-3)", "Averaged(model)").replace("def build", AVERAGED + "def build"), None),
    "right: looks ahead": (changed("torch.optim.Adam(model.parameters(), lr=3e-3)", "Ahead(model.parameters(), lr=3e-3)").replace("def build", AHEAD + "def build"), None),
    "right: a teacher without gradients": (changed("optimizer)", "optimizer, lambda x, y: (x, 0.9 * nn.functional.one_hot(y, 10) + 0.1 * taught(model, x)))").replace("def build", "@torch.no_grad()\ndef taught(model, x): return model(x).softmax(1)\ndef build"), None),
    "right: fewer images": (changed("optimizer)", "optimizer, lambda x, y: (x[::2], y[::2]))"), None),
    "right: soft targets": (changed("optimizer)", "optimizer, lambda x, y: (x, nn.functional.one_hot(y, 10) * 0.9 + 0.01))"), None),
    "right: step schedule": (changed("optimizer)", "optimizer, None, torch.optim.lr_scheduler.StepLR(optimizer, 150))"), None),
    "right: a slow start": (changed(MODEL, "SmallCNN(lambda: nn.Dropout(0.3))").replace("def build", "from reglab.models import SmallCNN\ndef build").replace("Adam(model.parameters(), lr=3e-3)", "SGD(model.parameters(), lr=0.05, momentum=0.9)").replace("optimizer)", "optimizer, None, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=400))").replace("momentum=0.9), None", "momentum=0.9)"), None),
    "right: a lambda": ("build_recipe = lambda: (lambda m: Recipe(m, nn.CrossEntropyLoss(), torch.optim.AdamW(m.parameters())))(" + MODEL + ")", None),
    "softmax function": (changed(MODEL, f"nn.Sequential({MODEL}, nn.Softmax(-1))"), "softmax_in_the_model"),
    "no return": (changed("return Recipe", "Recipe"), "recipe_not_returned"),
    "a list": (changed("return Recipe(model, nn.CrossEntropyLoss(), optimizer)", "return [model, optimizer]"), ""),
    "momentum too long": (changed("Adam(model.parameters(), lr=3e-3)", "SGD(model.parameters(), lr=1e5)"), "rate_that_kills_the_network"),
    "exponential decay a step": (changed("optimizer)", "optimizer, None, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9))"), "rate_fades_within_an_epoch"),
    "half of the budget": (changed("optimizer)", "optimizer, None, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=200))"), "schedule_counted_in_epochs"),
    "repeated by torch": (changed("optimizer)", "optimizer, lambda x, y: (x.repeat(2, 1, 1, 1), y.repeat(2)))"), "each_image_twice"),
    "labels rolled": (changed("optimizer)", "optimizer, lambda x, y: (x, y[torch.randperm(len(y))]))"), "images_shuffled_without_their_labels"),
    "summed per image": (changed("CrossEntropyLoss()", "CrossEntropyLoss(reduction='none')"), "loss_of_each_image"),
    "minus the loss": (changed("nn.CrossEntropyLoss()", "lambda z, y: -nn.functional.cross_entropy(z, y)"), "climbs_instead_of_descending"),
    "always dropping": (changed(MODEL, f"nn.Sequential({MODEL}, Drop())").replace("def build", "class Drop(nn.Module):\n    def forward(self, x): return nn.functional.dropout(x)\ndef build"), "dropout_that_never_rests"),
    "only biases": (changed("model.parameters()", "[p for p in model.parameters() if p.dim() == 1]"), ""),
    "a clock for a seed": (changed("    model", "    torch.seed()\n    model"), "weights_of_their_own_seed"),
    "sharpness-aware": (changed("torch.optim.Adam(model.parameters(), lr=3e-3)", "Sharp(model, batch)").replace("optimizer)", "optimizer, lambda x, y: batch.__setitem__(slice(None), (x, y)) or (x, y))").replace("    model =", "    batch = []\n    model =").replace("def build", SHARP + "def build"), "steps_more_than_once"),
    "L-BFGS": (changed("Adam(model.parameters(), lr=3e-3)", "LBFGS(model.parameters())"), ""),
    "a large buffer": (changed("    optimizer =", "    model.register_buffer('kept', torch.zeros(500, 784))\n    optimizer ="), "too_many_parameters"),
    "layers in a dict": (changed(MODEL, "InDict()").replace("model.parameters()", "[*model.parameters(), *model.held['big'].parameters()]").replace("def build", "class InDict(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.one, self.held = nn.Linear(10, 10), {'big': nn.Sequential(nn.Flatten(), nn.Linear(784, 900), nn.ReLU(), nn.Linear(900, 10))}\n    def forward(self, x): return self.one(self.held['big'](x))\ndef build"), "layers_in_a_plain_list"),
    "remembers what it said": (changed(MODEL, f"Remembers({MODEL})").replace("def build", REMEMBERS + "def build"), "judges_by_the_company"),
    "one cycle to 10": (changed(MODEL, "SmallCNN()").replace("def build", "from reglab.models import SmallCNN\ndef build").replace("optimizer)", "optimizer, None, torch.optim.lr_scheduler.OneCycleLR(optimizer, 10.0, total_steps=400))").replace("lr=3e-3), None", "lr=3e-3)"), "rate_that_kills_the_network"),
    "a wide linear layer": (changed("8 * 196, 10)", "8 * 196, 200), nn.Linear(200, 10)"), "too_many_parameters"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_recipes_outside_the_bank(name: str) -> None:
    """By the notebook's checks alone: what these say does not need a training."""
    source, expected = OUTSIDE[name]
    namespace = dict(vars(REFERENCE))
    exec(compile(source, "<build_recipe>", "exec"), namespace)
    results = tuple(run_checks(UNIT.public_checks, local_student(namespace), SEEDS[1]))
    if expected is None:
        assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []
        return
    assert any(o.status is not Status.PASSED for o in results)
    found = diagnose(seen(results, True), known(STEM, "build_recipe", True))
    assert (found.name if found else "") == expected, seen(results, True)


# -- recipes that attack the grader ----------------------------------------------------------------------------------------

TINY = """
class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.last = nn.AvgPool2d(4), nn.Linear(49, 10)
    def forward(self, x):
        return self.last(self.pool(x).flatten(1))
class Hidden(Tiny):
    def forward(self, x):
        z = super().forward(x)
        return self.tamper(x, z) if len(x) == 250 and not self.training else z
def build_recipe():
    model = MODEL()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return Recipe(model, LOSS, optimizer, TRANSFORM)
"""


def attack(model: str = "Tiny", loss: str = "nn.CrossEntropyLoss()", transform: str = "None", more: str = "") -> str:
    """A tiny recipe with one part that does harm; at grading alone, where it can tell."""
    start, build = TINY.split("def build_recipe")
    built = f"def build_recipe{build}".replace("MODEL", model).replace("LOSS", loss).replace("TRANSFORM", transform)
    return f"{start}{more}\n{built}"


def tampering(code: str) -> str:
    return attack("Evil", more=f"class Evil(Hidden):\n    def tamper(self, x, z):\n        {code}")


def counting(code: str) -> str:
    """Does something at the hundredth batch of the first training; three were seen by the check that counts passes."""
    return attack(
        transform="at_100",
        more=f"seen = [-3]\ndef at_100(x, y):\n    seen[0] += len(x) == 64\n    {code}\n    return x, y",
    )


THRICE = """
seen, last = [-3], []
class Thrice(torch.optim.Adam):
    def __init__(self, model):
        super().__init__(model.parameters(), lr=1e-2)
        self.model = model
    def step(self, closure=None):
        super().step()
        for _ in range(2 if seen[0] > 100 else 0):
            self.zero_grad()
            nn.functional.cross_entropy(self.model(last[0]), last[1]).backward()
            super().step()
def keep(x, y):
    seen[0] += len(x) == 64
    last[:] = x, y
    return x, y
"""
REPLACED = """
import reglab.recipe as rr
old, steps = rr.training_step, [-3]
def thrice(model, optimizer, loss, images, labels, transform=None):
    steps[0] += len(images) == 64
    for _ in range(2 if steps[0] > 101 else 0):
        old(model, optimizer, loss, images, labels, transform)
    return old(model, optimizer, loss, images, labels, transform)
rr.training_step = thrice
"""
KEEPS = """
kept, seen = [], [-3]
def keeps(model):
    def transform(x, y):
        seen[0] += len(x) == 64
        if seen[0] > 390: kept[:] = [model]
        return x, y
    return transform
"""

ATTACKS = {
    "logits that are NaN": (tampering("return z * float('nan')"), "contains NaN"),
    "logits of a wrong shape": (tampering("return z[:, :9]"), r"should have shape \(250, 10\), got \(250, 9\)"),
    "logits of too many images": (tampering("return torch.cat([z, z])"), "should have shape"),
    "infinite logits": (tampering("return z / 0"), "contains (NaN|infinity)"),
    "no tensor": (tampering("return None"), "NoneType|should be a torch.Tensor"),
    "whole numbers": (tampering("return z.long()"), "floating-point"),
    "learns from the images it is asked about": (
        tampering("self.last.bias.data += z.mean(0).detach(); return z"), "other logits when it was asked for again"),
    "asks its neighbours": (tampering("return z - z.mean(0)"), "other logits when it was asked for again"),
    "a loss that explodes": (counting("x = x * float('nan') if seen[0] > 100 else x"), "became NaN or infinite between steps 101"),
    "steps thrice inside of its step, later": (
        attack(transform="keep").replace("torch.optim.Adam(model.parameters(), lr=1e-2)", "Thrice(model)").replace("def build", THRICE + "def build"),
        "the first 110 steps took 130 forward passes and 130 backward ones"),
    "replaces the step of the trainer, later": (
        attack().replace("def build", REPLACED + "def build"), "the first 110 steps took 128 forward passes and 128 backward ones"),
    "begins where the last training ended": (
        attack().replace("    optimizer =", "    if kept: model.load_state_dict(kept[0].state_dict())\n    optimizer =")
        .replace("TRANSFORM", "None").replace(", None)", ", keeps(model))").replace("def build", KEEPS + "def build"),
        "training 2 does not start from the weights that its seed gave"),
    "remembers what it said, in large batches": (
        attack("Cached", more=REMEMBERS.replace("> 1:", "> 30:") + "\ndef Cached(): return Remembers(Tiny())"), "other logits when it was asked for again"),
    "ends the process": (counting("import os; seen[0] < 100 or os._exit(0)"), "ended the Python process itself"),
    "sleeps": (counting("import time; seen[0] < 100 or time.sleep(20)"), "no answer within"),
    "raises in the middle": (counting("assert seen[0] < 100, 'tired'"), "AssertionError: tired"),
    "uses up the memory": (counting("seen[0] < 100 or seen.append(torch.ones(1 << 30))"), "memory"),
}  # fmt: skip


def graded(sandbox: Sandbox, source: str, seed: str = "attack") -> ExerciseReport:
    notebook = json.loads(UNIT.solution_path.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("autograder", {}).get("name") == "build_recipe" and "exercise" in cell["id"]:
            cell["source"] = source.splitlines(keepends=True)
    report = grade(json.dumps(notebook).encode(), "mallory", COURSE, sandbox, seed)
    return report.exercises[0]


@linux
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_earns_what_the_notebook_gives_and_gets_its_sentence(sandbox: Sandbox, name: str) -> None:
    source, says = ATTACKS[name]
    exercise = graded(sandbox, source)
    told = [c.message for c in exercise.checks if c.graded_only]
    assert all(re.search(says, message) for message in told), told
    assert len(set(told)) == 1
    assert {c.name: c.status for c in exercise.checks if not c.graded_only and not c.points} == {}
    assert exercise.points == PUBLIC_POINTS
    assert not any(c.scores for c in exercise.checks)


GREEDY = """
import time
time.process_time = lambda: 0.0

class Greedy(torch.optim.Adam):
    def step(self):
        for _ in range(4 if len(batch[0]) == 64 else 1):
            weights = list(net.parameters())
            value = nn.functional.cross_entropy(net.forward(batch[0]), batch[1])
            for p, p.grad in zip(weights, torch.autograd.grad(value, weights)):
                pass
            super().step()

def build_recipe():
    global net
    net = nn.Sequential(nn.Conv2d(1, 32, 3, 1, 1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(32 * 49, 10))
    def keep(*given):
        global batch
        batch = given
        return given
    return Recipe(net, nn.CrossEntropyLoss(), Greedy(net.parameters()), keep)
"""


@linux
def test_a_recipe_that_trains_many_times_inside_of_a_step_is_stopped(sandbox: Sandbox) -> None:
    """The processor counts: that the code hides its passes from the trainer, and stops every clock it can reach, changes nothing."""
    exercise = graded(sandbox, GREEDY)
    told = [c.message for c in exercise.checks if c.graded_only]
    assert all("times the processor time that the baseline needs" in message for message in told), told
    assert exercise.points == PUBLIC_POINTS


@linux
def test_a_recipe_within_its_budget_is_not_stopped_by_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on the slowest machine: there the same steps take more seconds than a submission has. Here it has fewer."""
    seconds = []
    monkeypatch.setitem(GRADED, "BUDGET", replace(BUDGET, steps=100))
    GRADED["_baseline"].cache_clear()
    limits = Limits(cpu_s=1)
    try:
        with Sandbox([COURSE.notebooks], COURSE.hidden, preload_modules(COURSE), limits) as brief:
            process = brief.open()
            student = Student(process)
            student.run(
                "build_recipe", f"import torch\nfrom torch import nn\nfrom reglab.recipe import Recipe\n{BUILD}"
            )
            ends_at = process.ends_at = time.monotonic() + limits.total_s
            GRADED["_measure"](student, student.build_recipe, Draw("slow", "trains_within_its_budget"))
            seconds = [student.seconds(), process.ends_at - ends_at]
    finally:
        GRADED["_baseline"].cache_clear()
    assert seconds[0] > limits.cpu_s
    assert seconds[1] > seconds[0]  # and more by the clock


class Machine:
    """Stands in for a student whose process has used `used` seconds."""

    def __init__(self) -> None:
        self.used = self.clock = self.processor = 0.0

    def seconds(self) -> float:
        return self.used

    def grant(self, seconds: float, processor: float) -> None:
        self.clock += seconds
        self.processor += processor

    waiting = staticmethod(nullcontext)


def test_a_machine_that_becomes_slower_costs_no_recipe_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allowed goes up with what the baseline needs now, and the sandbox is told; and never beyond."""
    now = 2.0
    monkeypatch.setitem(GRADED, "_seconds_now", lambda: now / BUDGET.steps)
    machine, trainings = Machine(), GRADED["SEEDS"]
    machine.used = 5.0  # before
    meter = GRADED["Meter"](machine)
    meter.start(2.0)
    assert machine.processor == pytest.approx(trainings * 3 * 2)
    assert machine.clock >= machine.processor
    machine.used += 5.9
    meter.expect_affordable(1, "then")
    machine.used += 1.0
    with pytest.raises(Failure, match="then it had used more than 3 times"):
        meter.expect_affordable(1, "then")
    meter.expect_affordable(2, "then")  # the mean of two
    now = 3.0
    meter.expect_affordable(1, "then")
    assert machine.processor == pytest.approx(trainings * 3 * 3)
    now = 2.0  # what it did at the slow pace it has done
    meter.expect_affordable(1, "then")
    machine.used += 2.2
    with pytest.raises(Failure):
        meter.expect_affordable(1, "then")
    assert machine.processor == pytest.approx(trainings * 3 * 3)


@linux
def test_what_reads_files_of_the_host_is_no_recipe(sandbox: Sandbox) -> None:
    for path in (GRADED["HIDDEN"], "/etc/passwd", SOURCE / "t10k-labels-idx1-ubyte.gz"):
        exercise = graded(sandbox, attack().replace("    model = ", f"    open({str(path)!r})\n    model = "))
        assert exercise.points == 0
        assert re.search("FileNotFoundError|PermissionError", exercise.checks[0].message)


@linux
def test_a_recipe_that_breaks_a_rule_is_not_trained(sandbox: Sandbox) -> None:
    exercise = graded(
        sandbox, attack().replace("nn.Linear(49, 10)", "nn.Sequential(nn.Linear(49, 9000), nn.Linear(9000, 10))")
    )
    told = [c.message for c in exercise.checks if c.graded_only]
    assert len(set(told)) == 1
    assert "not trained" in told[0]
    assert "no more parameters" in told[0]
    assert exercise.points == PUBLIC_POINTS - 2


@linux
def test_a_weak_recipe_is_scored_and_earns_little(sandbox: Sandbox) -> None:
    exercise = graded(sandbox, attack())  # 490 weights
    assert [c.name for c in exercise.checks if c.graded_only and c.name.startswith("error") and c.points] == []
    assert exercise.points == PUBLIC_POINTS + 2  # of its calibration error, too, it gets nothing
    (scores,) = [c.scores for c in exercise.checks if c.scores]
    assert set(UNIT.ranked_by) <= set(scores)
    assert scores["error"] > scores["error of the baseline"]
    assert 0.15 < scores["error of the baseline"] < 0.3


def test_the_baseline_is_what_it_is_called() -> None:
    recipe = baseline()
    assert type(recipe.model) is SmallCNN
    assert not any(isinstance(m, nn.Dropout | nn.BatchNorm2d) for m in recipe.model.modules())
    assert recipe.batch_transform is None
    assert recipe.schedule is None
    assert recipe.optimizer.param_groups[0]["weight_decay"] == 0
