"""Graded-only checks of 11_capstone: the recipe is trained, and scored on images that are in no file a learner gets.

Who does what. The trainings, one a seed, run in the learner's process, which is given the training images, a seed, and a
number of steps at a time. Afterwards it is given hidden images without labels, in an order of the judge's, and returns logits;
labels, error and calibration error stay here. The baseline is trained by the same `Trainer` in the judge's own process: its
code is ours.

What is bounded, and by whom. A step is one forward and one backward pass: `Trainer` counts them, so an optimizer or a
transform that makes more is found, whether its author knows the rule or not. But `Trainer` runs in the learner's process, and
code there that is written against it can say what it likes. What no code can do is work without using its processor: the
kernel counts that, and the judge reads it from outside (`student.seconds`), so training and predicting together may take
BUDGET.processor times what the baseline takes here. Time spent waiting is bounded by the limits of the sandbox. What is left
is a recipe that hides up to that much training from a count in its own process; the code it takes is shown to the instructor
(`autograder.source.unusual`).

The scale was set after trainings with many seeds (`python solutions/experiments/11_capstone.py`), see ERRORS.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reglab.data import Split, load
from reglab.recipe import BUDGET, Trainer, baseline, calibration_error_of, error_of
from torch import Tensor

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw
from autograder.student import fixture

HIDDEN = Path(__file__).parent / "hidden" / "fashion_mnist_hidden.npz"

BASELINE_SEEDS = (0, 1, 2)
"""The baseline's numbers are means over these, so that one lucky training of it is nobody's bad luck."""

SEEDS = 3
"""How often a recipe is trained; its numbers are means, too. One training's error spreads by 0.007, the mean by 0.004."""

STEPS_AT_ONCE = 10
"""Steps a message: the baseline needs 0.06 s for them, three times that is allowed, and an answer may take 5: a machine may be
25 times as slow, or as busy."""

IMAGES_AT_ONCE, AGAIN, AT_START = 250, 500, 20
"""Hidden images a message; how many of them are asked for again, in other company; and training images that show the weights
a training starts from."""

CLOSE, OTHER = 1e-3, 1e-6
"""What two logits for one image may differ by, relative to the largest of all. And by how much an image is brighter when it is
asked for again, where it is bright: too little to tell in a logit, enough not to be found among images that were seen.
"""

BUSY = 6
"""Seconds by the clock for each second of processor time that the trainings may take, besides what every submission has: on a
busy machine they need them."""

ERRORS = {"some": 0.04, "much": 0.07, "most": 0.10}
CALIBRATION = {"half": 0.5, "third": 1 / 3}
"""By how much the error has to be below the baseline's, and which part of the baseline's calibration error may be left."""

WORSE = 0.05
"""By how much the error may be above the baseline's where calibration is to earn anything. Whoever knows little and says so is
calibrated, too; whoever is as good as the baseline should not lose by chance, and the mean's spread is 2 % of it.
"""


@dataclass(frozen=True)
class Scores:
    """What was measured on the hidden images: means over the trainings of the recipe, and of the baseline."""

    error: float
    calibration: float
    baseline_error: float
    baseline_calibration: float


@dataclass(frozen=True)
class Baseline:
    """Means over BASELINE_SEEDS."""

    error: float
    calibration: float
    seconds: float


@dataclass
class Meter:
    """Grants the trainings of a recipe what they may use, and sees that they use no more: BUDGET.processor times what the
    baseline takes.

    What the kernel would stop is more by all that a submission has anyway, so that it is here that a recipe within its budget
    and one beyond it are told apart, however slow the machine.

    Attributes:
        student: where the recipe is trained.
        baseline: processor seconds that one training of the baseline takes. It goes up when the machine is found to have
            become slower: other work on the same core makes the same steps take longer. Down it does not go, since what was
            used in the meantime was used at that pace.
        started: what the student's process had used before.
    """

    student: Any
    baseline: float = 0.0
    started: float = 0.0

    def start(self, baseline: float) -> None:
        """Count from now on."""
        self.started = self.student.seconds()
        self._grant(baseline)

    def expect_affordable(self, trainings: int, when: str) -> None:
        """Fail if so many trainings have used more than they may. `when` says where in them that was."""
        used = (self.student.seconds() - self.started) / trainings
        if used > BUDGET.processor * self.baseline:
            with self.student.waiting():
                now = _seconds_now() * BUDGET.steps
            if now > self.baseline:
                self._grant(now)
        expect.that(
            used <= BUDGET.processor * self.baseline,
            "training:slow",
            f"{when} it had used more than {BUDGET.processor:g} times the processor time that the baseline needs for "
            "everything, so the training was stopped: the recipe is too slow for its budget",
        )

    def _grant(self, baseline: float) -> None:
        """Raise `baseline`, and what the sandbox allows with it."""
        more = SEEDS * BUDGET.processor * (baseline - self.baseline)
        self.student.grant(BUSY * more, processor=more)
        self.baseline = baseline


@fixture
def begin(build: Any, images: torch.Tensor, labels: torch.Tensor, seed: int) -> Any:
    """Build the recipe where it is to be trained."""
    from reglab.recipe import Trainer

    return Trainer(build, images, labels, seed)


@fixture
def only_build(build: Any) -> None:
    """An untouched stub says so here."""
    build()


@check("build_recipe", points=2)
def trains_within_its_budget(student: Any, draw: Draw) -> dict[str, float]:
    """At grading the recipe is trained three times within its budget, and predicts images that it has never seen."""
    scores = _scores(student, draw)
    return {
        "error": scores.error,
        "calibration error": scores.calibration,
        "error of the baseline": scores.baseline_error,
        "calibration error of the baseline": scores.baseline_calibration,
    }


@check("build_recipe", points=3)
def error_is_a_little_lower(student: Any, draw: Draw) -> None:
    """On hidden images its error is at least 4 % below the baseline's."""
    _expect_error(student, draw, "some")


@check("build_recipe", points=3)
def error_is_lower(student: Any, draw: Draw) -> None:
    """On hidden images its error is at least 7 % below the baseline's."""
    _expect_error(student, draw, "much")


@check("build_recipe", points=3)
def error_is_much_lower(student: Any, draw: Draw) -> None:
    """On hidden images its error is at least 10 % below the baseline's."""
    _expect_error(student, draw, "most")


@check("build_recipe", points=3)
def calibration_error_is_halved(student: Any, draw: Draw) -> None:
    """On hidden images its calibration error is at most half of the baseline's."""
    _expect_calibration(student, draw, "half")


@check("build_recipe", points=3)
def calibration_error_is_a_third(student: Any, draw: Draw) -> None:
    """On hidden images its calibration error is at most a third of the baseline's."""
    _expect_calibration(student, draw, "third")


def _expect_error(student: Any, draw: Draw, step: str) -> None:
    scores = _scores(student, draw)
    most = (1 - ERRORS[step]) * scores.baseline_error
    expect.that(
        scores.error <= most,
        f"error:{step}",
        f"the error on hidden images should be at most {most:.4f}, that is {ERRORS[step]:.0%} below the baseline's "
        f"{scores.baseline_error:.4f}, and it is {scores.error:.4f}",
    )


def _expect_calibration(student: Any, draw: Draw, step: str) -> None:
    scores = _scores(student, draw)
    bearable = (1 + WORSE) * scores.baseline_error
    expect.that(
        scores.error <= bearable,
        "calibration:error",
        f"calibration counts where the error on hidden images is at most {bearable:.4f}, that is {WORSE:.0%} above the baseline's "
        f"{scores.baseline_error:.4f}, and it is {scores.error:.4f}: to know little and say so is no achievement",
    )
    most = CALIBRATION[step] * scores.baseline_calibration
    expect.that(
        scores.calibration <= most,
        f"calibration:{step}",
        f"the calibration error on hidden images should be at most {most:.4f}, a {step} of the baseline's "
        f"{scores.baseline_calibration:.4f}, and it is {scores.calibration:.4f}",
    )


# -- training ------------------------------------------------------------------------------------------------------------


def _scores(student: Any, draw: Draw) -> Scores:
    """Train for all checks at once. A stub that is untouched says so, and what breaks a rule is not trained."""
    build = expect.function(student.build_recipe)
    if "training" not in student.kept:
        student.fixture(only_build)(build)
        expect.that(
            not student.failed,
            "untrained",
            "it was not trained, since it does not pass all checks of the notebook: first mend "
            f"“{student.failed[0] if student.failed else ''}”",
        )
    scores: Scores = student.once("training", lambda: _measure(student, build, draw))
    return scores


def _measure(student: Any, build: Any, draw: Draw) -> Scores:
    """Train with several seeds, and score each training."""
    with student.waiting():
        ours = _baseline()
        data = load().train.first(BUDGET.images)
        hidden, labels = _hidden()
    meter, seeds = Meter(student), draw.sizes(SEEDS, 0, 10**6)
    meter.start(ours.seconds)
    results, few = [], data.images[:AT_START]
    untrained = [_logits(_started(student, build, data, seed)[1], few) for seed in seeds]
    for number, (seed, first) in enumerate(zip(seeds, untrained, strict=True), start=1):
        trainer, predict = _started(student, build, data, seed)
        expect.that(
            bool(
                (_logits(predict, few) - first).abs().max() <= CLOSE * (1 + first.abs().max())
            ),
            "training:warm",
            f"training {number} does not start from the weights that its seed gave before the first training: something of an "
            "earlier one is left over",
        )
        _train(trainer, number, meter)
        logits = _predict(predict, hidden, draw)
        meter.expect_affordable(number, f"when all images were predicted in training {number}")
        results.append((error_of(logits, labels), calibration_error_of(logits, labels)))
    error, calibration = (float(np.mean(column)) for column in zip(*results, strict=True))
    return Scores(error, calibration, ours.error, ours.calibration)


def _started(student: Any, build: Any, data: Split, seed: int) -> tuple[Any, Any]:
    """Return a trainer of the recipe, and its `predict`."""
    trainer = student.fixture(begin)(build, data.images, data.labels, seed)
    trainer = expect.function(trainer, "the trainer of the recipe")
    return trainer, expect.function(trainer.predict, "predicting")


def _train(trainer: Any, number: int, meter: Meter) -> None:
    train, passes = (
        expect.function(part, "training") for part in (trainer.train, trainer.passes)
    )
    for done in range(STEPS_AT_ONCE, BUDGET.steps + 1, STEPS_AT_ONCE):
        losses = train(STEPS_AT_ONCE)
        numbers = isinstance(losses, list) and len(losses) == STEPS_AT_ONCE
        expect.that(
            numbers and all(isinstance(v, float) and v - v == 0 for v in losses),
            "training:nan",
            f"the loss became NaN or infinite between steps {done - STEPS_AT_ONCE + 1} and {done} of {BUDGET.steps}: the training "
            "exploded",
        )
        seen = passes()
        forward, backward = (
            round(expect.scalar(seen.get(n) if isinstance(seen, dict) else None, f"{n} passes"))
            for n in ("forward", "backward")
        )
        expect.that(
            max(forward, backward) <= done,
            "training:passes",
            f"the first {done} steps took {forward} forward passes and {backward} backward ones: a step has one of each",
        )
        meter.expect_affordable(
            number, f"after {done} of {BUDGET.steps} steps of training {number}"
        )


def _predict(predict: Any, images: Tensor, draw: Draw) -> Tensor:
    """Return the logits for all images, asked for in an order of ours, and some of them, nearly the same, again among others."""
    order, again = draw.permutation(len(images)), draw.permutation(len(images))[:AGAIN]
    logits = torch.empty(len(images), 10, dtype=torch.float64)
    for part in order.split(IMAGES_AT_ONCE):
        logits[part] = _logits(predict, images[part])
    slack = CLOSE * (1 + float(logits.abs().max()))
    for part in again.split(IMAGES_AT_ONCE):
        near = images[part] + OTHER * images[part].clamp(min=0)
        difference = float((_logits(predict, near) - logits[part]).abs().max())
        expect.that(
            difference <= slack,
            "hidden:company",
            "the same image was given other logits when it was asked for again, among other images: a prediction may depend "
            f"on nothing but the image (largest difference {difference:.3g})",
        )
    return logits


def _logits(predict: Any, images: Tensor) -> Tensor:
    logits = expect.tensor(
        predict(images), "what the model returns for images", shape=(len(images), 10)
    )
    expect.that(
        logits.is_floating_point(),
        "hidden:integers",
        f"logits should be floating-point, got {logits.dtype}",
    )
    return logits.to(torch.float64)


@cache
def _hidden() -> tuple[Tensor, Tensor]:
    """Return the hidden images, normalised as the training images are, and their labels."""
    with np.load(HIDDEN, allow_pickle=False) as file:
        images, labels = (
            torch.from_numpy(file["images"]),
            torch.from_numpy(file["labels"]).long(),
        )
    data = load()
    return ((images / 255.0 - data.mean[0]) / data.std[0]).unsqueeze(1), labels


@cache
def _baseline() -> Baseline:
    """Train and score the baseline: in this process, which needs no isolation from code of ours, and once in its life."""
    hidden, labels = _hidden()
    state, results = torch.get_rng_state(), []
    data = load().train.first(BUDGET.images)
    try:
        for seed in BASELINE_SEEDS:
            started = time.process_time()
            trainer = Trainer(baseline, data.images, data.labels, seed)
            trainer.train(BUDGET.steps)
            logits = trainer.predict(torch.cat([hidden, hidden[:AGAIN]]))[
                : len(hidden)
            ].double()
            seconds = time.process_time() - started
            results.append(
                (error_of(logits, labels), calibration_error_of(logits, labels), seconds)
            )
    finally:
        torch.set_rng_state(state)
    return Baseline(*(float(np.mean(column)) for column in zip(*results, strict=True)))


def _seconds_now(steps: int = 40) -> float:
    """Return the processor seconds that a step of the baseline takes at the moment."""
    data, state = load().train.first(BUDGET.images), torch.get_rng_state()
    trainer = Trainer(baseline, data.images, data.labels, 0)
    started = time.process_time()
    trainer.train(steps)
    torch.set_rng_state(state)
    return (time.process_time() - started) / steps
