"""Public checks of 11_capstone: is it a recipe that can be trained, does it learn, does it keep to the rules?

Nothing is trained in earnest here. Images are patterns of the draw, one a class, under noise: a network that learns anything
learns these in a few steps. All that needs the recipe runs where it is, in fixtures, and comes back as numbers.

What chance could do: `learns` asks for a cross-entropy below LEARNED within LONG steps, and looks after every SHORT. A network
whose images are shuffled under their labels was at 2.2 to 2.6 (22 seeds). Recipes that start slowly, such as SGD with a
one-cycle schedule, are at 2.2 after 40 steps, and far below long before LONG, when the rate is at its highest.
"""

from __future__ import annotations

from typing import Any

import torch
from reglab.recipe import BUDGET
from torch import Tensor

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.student import Fixture, fixture

EXERCISES = (
    Exercise(
        "build_recipe",
        hints=(
            "Begin with the baseline, in a Recipe, and see that the checks pass: that is `baseline()` written out. Then change "
            "one thing at a time and run section 5. Which of error and calibration does each change help?",
            "500 images are few: whatever makes more of them, or makes it harder to learn them by heart, helps the error. "
            "`shift_and_flip` from reglab.augment does the first, dropout before the last layer the second. Batch "
            "normalisation and a one-cycle schedule get a network further in 400 steps; soft targets help the calibration.",
            "The parts: `SmallCNN`, or a model of your own with batch normalisation; `torch.optim.AdamW`; "
            "`torch.optim.lr_scheduler.OneCycleLR` with `total_steps=BUDGET.steps`; a transform that returns (changed "
            "images, labels); `nn.CrossEntropyLoss` with some `label_smoothing`. Make the model first, then the optimizer from "
            "its parameters, then the schedule from the optimizer, and return all of them in a Recipe.",
        ),
    ),
)  # fmt: skip

CLASSES = 10
SIDE = 28
FEW = 3
"""Steps in which passes are counted."""

COUNT, SHORT, LONG, LEARNED = 40, 20, 200, 1.9
"""Images of a small batch, steps after which the loss on them is looked at, steps in all, and the loss to be reached: where
all ten classes are equally probable it is ln 10 = 2.303.
"""


# -- fixtures: what runs where the recipe is -----------------------------------------------------------------------------


@fixture
def described(build: Any) -> dict[str, Any]:
    """Say what is what in a recipe."""
    from reglab.recipe import Recipe

    recipe = build()
    if not isinstance(recipe, Recipe):
        return {"kind": type(recipe).__name__}
    schedule = recipe.schedule
    return {
        "kind": "Recipe",
        "model": isinstance(recipe.model, torch.nn.Module),
        "loss": callable(recipe.loss) and not isinstance(recipe.loss, type),
        "optimizer": isinstance(recipe.optimizer, torch.optim.Optimizer),
        "batch_transform": recipe.batch_transform is None or callable(recipe.batch_transform),
        "schedule": schedule is None or (callable(getattr(schedule, "step", None)) and not isinstance(schedule, type)),
        "shared": schedule is None or getattr(schedule, "optimizer", recipe.optimizer) is recipe.optimizer,
    }


@fixture
def held(build: Any) -> dict[str, int]:
    """Count the numbers in the model, its parameters, and those of them that the optimizer holds, and what else it holds."""
    recipe = build()
    of_model = {id(p): p for p in recipe.model.parameters()}
    trained = {i for i, p in of_model.items() if p.requires_grad}
    groups = [id(p) for group in recipe.optimizer.param_groups for p in group["params"]]
    return {
        "numbers": sum(held.numel() for held in (*of_model.values(), *recipe.model.buffers())),
        "trained": len(trained),
        "held": len(trained & set(groups)),
        "foreign": len(set(groups) - set(of_model)),
    }


@fixture
def one_batch(build: Any, images: torch.Tensor, labels: torch.Tensor) -> dict[str, Any]:
    """Take a batch through transform, model and loss, and say where anything but the optimizer changed a parameter."""
    recipe = build()
    model = recipe.model.train()
    parameters = list(model.parameters())

    def copy() -> list[Any]:
        return [p.detach().clone() for p in parameters]

    def moved(before: list[Any]) -> bool:
        return not all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))

    seen, start = {"changed": ""}, copy()
    x, target = images, labels
    if recipe.batch_transform is not None:
        result = recipe.batch_transform(x, target)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            return {"transformed": type(result).__name__}
        x, target = result
        seen["changed"] = "transform" if moved(start) else ""
    seen["x"] = x if isinstance(x, torch.Tensor) else type(x).__name__
    start = copy()
    logits = model(x)
    seen["changed"] = seen["changed"] or ("forward" if moved(start) else "")
    start = copy()
    loss = recipe.loss(logits, target)
    seen["changed"] = seen["changed"] or ("loss" if moved(start) else "")
    seen["loss"], seen["reached"] = loss, 0
    if isinstance(loss, torch.Tensor) and loss.dim() == 0 and loss.requires_grad:
        recipe.optimizer.zero_grad()
        loss.backward()
        seen["reached"] = sum(p.grad is not None for p in parameters)
    return seen


@fixture
def predictions(build: Any, images: torch.Tensor) -> dict[str, Any]:
    """Predict all images twice, one of them alone and some in other company; say whether that changed the model.

    What is predicted in other company is brighter by a millionth where it is bright: not what was seen and can be remembered,
    and no logit changes by as much as is looked at. What is dark stays as it was, so that a mask of the background does.
    """
    model = build().model.eval()
    near = images + 1e-6 * images.clamp(min=0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        first, second, alone, turned = model(images), model(images), model(near[:1]), model(near.flip(0)[:-3])
    after = model.state_dict()
    changed = [name for name, value in state.items() if not torch.equal(after[name], value)]
    return {"first": first, "second": second, "alone": alone, "turned": turned, "changed": changed[:3]}


@fixture
def learned(
    build: Any, images: torch.Tensor, labels: torch.Tensor, seed: int, short: int, most: int, goal: float
) -> dict[str, Any]:
    """Make steps until the cross-entropy is below the goal, or there are most; return it before and after, and what moved."""
    from reglab.recipe import Trainer

    trainer = Trainer(build, images, labels, seed, len(images))
    model = trainer.recipe.model
    start = [p.detach().clone() for p in model.parameters()]

    def entropy() -> float:
        return float(torch.nn.functional.cross_entropy(logits().double(), labels))

    def logits() -> Any:
        with torch.no_grad():
            rows = model.eval()(images)
        model.train()
        return rows

    before = after = entropy()
    losses: list[float] = []
    while len(losses) < most and after > goal and all(v - v == 0 for v in losses):
        losses += trainer.train(short)
        after = entropy()
    moved = max(float((p.detach() - s).abs().max()) for p, s in zip(model.parameters(), start, strict=True))
    rows = logits().double()
    alike = bool((rows - rows[:1]).abs().max() <= 1e-3 * rows.abs().max())
    return {"before": before, "after": after, "losses": losses, "moved": moved, "alike": alike}


@fixture
def passes(build: Any, images: torch.Tensor, labels: torch.Tensor, seed: int, steps: int) -> dict[str, int]:
    """Make some steps; count them, and the model's passes in them."""
    from reglab.recipe import Trainer

    trainer = Trainer(build, images, labels, seed)
    trainer.train(steps)
    return trainer.passes()


@fixture
def rates(build: Any, steps: int) -> list[float]:
    """The largest learning rate before each step of the budget, and after the last."""
    import warnings

    recipe = build()
    seen = [max(group["lr"] for group in recipe.optimizer.param_groups)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer's own step was not called
        for _ in range(steps if recipe.schedule is not None else 0):
            recipe.schedule.step()
            seen.append(max(group["lr"] for group in recipe.optimizer.param_groups))
    return [float(rate) for rate in seen]


@fixture
def twice(build: Any, images: torch.Tensor, labels: torch.Tensor, seeds: list[int]) -> dict[str, bool]:
    """Build with the seeds a, a and b; say what is the same, and what is one and the same."""
    made = []
    for seed in seeds:
        torch.manual_seed(seed)
        made.append(build())
    a, again, b = ([p.detach().clone() for p in recipe.model.parameters()] for recipe in made)

    def same(one: list[Any], other: list[Any]) -> bool:
        return len(one) == len(other) and all(torch.equal(p, q) for p, q in zip(one, other, strict=True))

    identities = [{id(p) for p in recipe.model.parameters()} for recipe in made]
    return {
        "repeats": same(a, again),
        "varies": not same(a, b),
        "shared": bool(identities[0] & identities[1]) or made[0].optimizer is made[1].optimizer,
    }


# -- what it is ----------------------------------------------------------------------------------------------------------


@check("build_recipe", points=2)
def returns_a_recipe(student: Any, draw: Draw) -> None:
    """`build_recipe()` takes no arguments and returns a `Recipe`, each part of which is what it should be."""
    seen = _described(student)
    kind = str(seen.get("kind"))
    expect.that(
        kind == "Recipe",
        f"recipe:{kind}",
        f"build_recipe() should return a Recipe, got {'None (is a return missing?)' if kind == 'NoneType' else f'a {kind}'}",
    )
    for part, wanted in (
        ("model", "a torch.nn.Module"),
        ("loss", "a function of logits and targets"),
        ("optimizer", "a torch.optim.Optimizer"),
        ("batch_transform", "a function of images and labels, or None"),
        ("schedule", "a scheduler of torch.optim.lr_scheduler, or None"),
    ):
        expect.that(seen.get(part) is True, f"recipe:{part}", f"the recipe's {part} should be {wanted}")
    expect.that(
        seen.get("shared") is True,
        "recipe:other_optimizer",
        "the schedule belongs to another optimizer than the recipe's, so it changes no rate that is used",
    )


@check("build_recipe", points=3)
def gives_logits(student: Any, draw: Draw) -> None:
    """The model turns images (N, 1, 28, 28) into logits (N, 10): real, finite, and not yet probabilities."""
    images, _ = _patterns(draw, 7)
    seen = _facts(student, predictions, 30 * images)
    logits = expect.tensor(seen.get("first"), "what the model returns", shape=(7, CLASSES))
    expect.that(
        logits.is_floating_point(), "logits:integers", f"logits should be floating-point numbers, got {logits.dtype}"
    )
    sums = logits.double().sum(dim=1)
    expect.that(
        not (bool((logits >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())),
        "logits:probabilities",
        "each row is positive and adds up to 1: these are probabilities already. The loss and the grader apply the softmax, so "
        "the model should return logits",
    )


@check("build_recipe", points=2)
def keeps_to_the_size(student: Any, draw: Draw) -> None:
    """The model has no more parameters, buffers counted, than the budget allows."""
    seen = _facts(student, held)
    numbers = _count(seen, "numbers")
    expect.that(
        numbers <= BUDGET.parameters,
        "size:large",
        f"the model has {numbers:,} numbers in its parameters and buffers, and the budget is {BUDGET.parameters:,}",
    )


@check("build_recipe", points=3)
def optimizes_the_whole_model(student: Any, draw: Draw) -> None:
    """The optimizer holds every parameter of this model that wants a gradient, and nothing else."""
    seen = _facts(student, held)
    trained, kept, foreign = (_count(seen, name) for name in ("trained", "held", "foreign"))
    expect.that(
        trained > 0, "optimizer:nothing", "no parameter of the model wants a gradient, so nothing can be trained"
    )
    expect.that(
        kept > 0,
        "optimizer:other_model" if foreign else "optimizer:frozen",
        "the optimizer holds no parameter of the recipe's model: was it given those of another one?",
    )
    expect.that(
        kept == trained,
        "optimizer:part",
        f"the optimizer holds {kept} of the model's {trained} parameter tensors: the others would stay as they were drawn",
    )
    expect.that(
        foreign == 0,
        "optimizer:foreign",
        f"the optimizer holds {foreign} tensors that are no parameters of the model: what is trained should be counted as part "
        "of it, so register every layer with the model",
    )


# -- one batch -----------------------------------------------------------------------------------------------------------


@check("build_recipe", points=2)
def keeps_the_batch(student: Any, draw: Draw) -> None:
    """The batch transform returns images and targets: finite, and no more images than it was given."""
    images, labels = _patterns(draw, 20)
    seen = _facts(student, one_batch, images, labels)
    if "transformed" in seen:
        expect.that(
            False,
            "batch:not_two",
            f"the batch transform should return (images, targets), got a {seen['transformed']}",
        )
    x = expect.tensor(seen.get("x"), "what the batch transform makes of images")
    expect.that(x.dim() > 0 and len(x) > 0, "batch:none", "the batch transform returns no images")
    expect.that(
        len(x) <= len(images),
        "batch:more",
        f"the batch transform makes {len(x)} images of {len(images)}: a step sees {BUDGET.batch_size} images and no more",
    )


@check("build_recipe", points=2)
def has_a_loss_to_descend(student: Any, draw: Draw) -> None:
    """The loss of a transformed batch is one finite number, and its gradient reaches the model."""
    images, labels = _patterns(draw, 20)
    seen = _facts(student, one_batch, images, labels)
    loss = seen.get("loss")
    expect.scalar(loss, "the loss")
    expect.that(
        _count(seen, "reached") > 0,
        "loss:no_gradient",
        "no gradient of the loss reaches a parameter: was it turned into a plain number, or detached?",
    )


@check("build_recipe", points=2)
def only_the_optimizer_trains(student: Any, draw: Draw) -> None:
    """Transform, model and loss change no parameter: training is what the optimizer does, one step a batch."""
    images, labels = _patterns(draw, 20)
    seen = _facts(student, one_batch, images, labels)
    where = str(seen.get("changed", ""))
    expect.that(
        not where,
        f"trains:{where}",
        f"the {where} changes parameters of the model: the budget is {BUDGET.steps} steps of the optimizer, and no other "
        "training",
    )


@check("build_recipe", points=2)
def makes_one_pass_a_step(student: Any, draw: Draw) -> None:
    """A step takes the model forward once and backward once, and the optimizer's `step()` computes no gradients of its own."""
    images, labels = _patterns(draw, BUDGET.batch_size)
    seen = _facts(student, passes, images, labels, draw.integer(0, 10**6), FEW)
    steps, forward, backward = (_count(seen, name) for name in ("steps", "forward", "backward"))
    expect.that(
        max(forward, backward) <= steps,
        "passes:many",
        f"{steps} steps took {forward} forward passes and {backward} backward ones: a step has one of each. An optimizer that "
        "needs a second pass, such as SAM or L-BFGS, is outside the budget; one that averages weights is not",
    )


# -- training and predicting ---------------------------------------------------------------------------------------------


@check("build_recipe", points=3)
def learns(student: Any, draw: Draw) -> None:
    """Its first steps lower the loss."""
    images, labels = _patterns(draw, COUNT)
    seed = draw.integer(0, 10**6)
    seen = _facts(student, learned, images, labels, seed, SHORT, LONG, LEARNED)
    losses = seen.get("losses")
    numbers = isinstance(losses, list) and all(isinstance(v, float) for v in losses)
    expect.that(
        numbers and all(v - v == 0 for v in losses),
        "learns:nan",
        f"the loss became NaN or infinite within {len(losses) if numbers else 0} steps: is the learning rate too high?",
    )
    before, after = (expect.scalar(seen.get(name), f"the loss {name}") for name in ("before", "after"))
    told = f"{len(losses)} steps on {COUNT} easy images took the cross-entropy from {before:.3f} to {after:.3f}"
    expect.that(
        expect.scalar(seen.get("moved"), "how far the weights moved") > 1e-4,
        "learns:still",
        f"{told}, and the weights have hardly moved: is the learning rate far too low, or the optimizer another model's?",
    )
    expect.that(
        seen.get("alike") is not True,
        "learns:alike",
        f"{told}, and every image gets the same logits: nothing of the image arrives at the end any more. Is the learning rate "
        "so high that the first steps threw the weights far away, or were all ReLUs pushed below 0?",
    )
    expect.that(
        after <= 1.5 * before, "learns:worse", f"{told}: it rises. Is the learning rate too high, or a sign wrong?"
    )
    expect.that(
        after <= LEARNED,
        "learns:nothing",
        f"{told}: that is next to nothing, though images do get different logits. Does each image keep its label on the way "
        "through the batch transform? If so, is the learning rate far too high or too low?",
    )


@check("build_recipe", points=2)
def has_rates_for_the_whole_budget(student: Any, draw: Draw) -> None:
    """The schedule lasts for all steps of the budget, and the rate is still worth something half way."""
    seen = student.fixture(rates)(_built(student), BUDGET.steps)
    values = [expect.scalar(rate, "a learning rate") for rate in (seen if isinstance(seen, list) else [None])]
    expect.that(min(values) >= 0, "rates:negative", f"a learning rate is negative: {min(values):.3g}")
    expect.that(max(values) > 0, "rates:zero", "the learning rate is 0 all along")
    half = values[len(values) // 2]
    expect.that(
        half >= 1e-3 * max(values),
        "rates:fade",
        f"half way through the budget the learning rate is {half:.3g}, of {max(values):.3g} at most: the schedule steps once a "
        "batch, not once an epoch",
    )


@check("build_recipe", points=3)
def predicts_each_image_by_itself(student: Any, draw: Draw) -> None:
    """In evaluation mode a prediction is the same each time, whatever other images are in the batch, and changes nothing."""
    images, _ = _patterns(draw, 20)
    seen = _facts(student, predictions, images)
    first = expect.tensor(seen.get("first"), "what the model returns")
    expect.that(
        first.dim() == 2 and len(first) == 20, "prediction:shape", "there should be a row of logits for each image"
    )
    slack = 1e-4 * (1 + float(first.double().abs().max()))
    changed = seen.get("changed")
    changed = changed if isinstance(changed, list) else ["something"]
    expect.that(
        not changed,
        "prediction:changes",
        f"predicting changes the model ({', '.join(map(str, changed))}): in evaluation mode it should not",
    )
    expect.close(
        seen.get("second"), first.double(), "the second prediction of the same images", "prediction:random", 0.0, slack
    )
    for name, rows in (("alone", first[:1]), ("turned", first.flip(0)[:-3])):
        expect.close(seen.get(name), rows.double(), "a prediction in other company", "prediction:company", 0.0, slack)


@check("build_recipe", points=2)
def follows_the_seed(student: Any, draw: Draw) -> None:
    """Every call builds a new model, drawn from the seed that was set before: the same seed, the same weights."""
    images, labels = _patterns(draw, 20)
    a, b = draw.sizes(2, 0, 10**6)
    seen = _facts(student, twice, images, labels, [a, a, b])
    expect.that(
        seen.get("shared") is not True,
        "seed:shared",
        "two calls return the same model or optimizer: the second training would go on where the first one ended",
    )
    expect.that(
        seen.get("varies") is True,
        "seed:fixed",
        "two seeds give the same weights: is a seed set inside? Then five seeds measure one and the same training",
    )
    expect.that(
        seen.get("repeats") is True,
        "seed:ignored",
        "the same seed gives other weights the second time: a training that cannot be repeated cannot be compared",
    )


def _described(student: Any) -> dict[str, Any]:
    """Return what the first check looks at; asked for once."""
    seen = student.once("described", lambda: student.fixture(described)(expect.function(student.build_recipe)))
    return seen if isinstance(seen, dict) else {}


def _built(student: Any) -> Any:
    """Return the learner's function, where what it returns is a recipe at all."""
    expect.that(
        _described(student).get("kind") == "Recipe", "recipe", "there is no recipe to look at: see the first check"
    )
    return expect.function(student.build_recipe)


def _facts(student: Any, of: Fixture, *inputs: Any) -> dict[str, Any]:
    """Return what a fixture tells of the recipe; nothing, if its process answers in another way than the fixture would."""
    seen = student.fixture(of)(_built(student), *inputs)
    return seen if isinstance(seen, dict) else {}


def _count(seen: Any, name: str) -> int:
    return round(expect.scalar(seen.get(name), name))


def _patterns(draw: Draw, count: int) -> tuple[Tensor, Tensor]:
    """Return images (count, 1, 28, 28) with mean 0 and variance about 1, and labels (count,), the classes in turn.

    Each class has a coarse pattern of its own, 7 x 7 fields of random signs. A shift or a mirror image leaves a good part
    of it, and ten random sets of 49 signs are far apart.
    """
    fields = draw.normal(CLASSES, 1, 7, 7).sign()
    labels = torch.arange(count) % CLASSES
    coarse = fields[labels].repeat_interleave(SIDE // 7, dim=2).repeat_interleave(SIDE // 7, dim=3)
    return 0.9 * coarse + draw.normal(count, 1, SIDE, SIDE, scale=0.4), labels
