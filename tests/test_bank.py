"""Checks and bank test each other: every known mistake loses points and is recognised, every right answer loses none.

Covers every unit found in the folders: a new one is tested by adding its files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import pytest
import torch

from autograder import expect
from autograder.build import FINGERPRINT_SEED
from autograder.cells import KEY
from autograder.checks import Outcome, Status, fingerprint, run_checks
from autograder.course import Course, Unit
from autograder.draw import PUBLIC_SEED
from autograder.mistakes import Entry, KnownMistake, diagnose, is_telling
from autograder.probes import random_state_kept
from autograder.statistics import FALSE_ALARM
from autograder.student import local_student

ROOT = Path(__file__).resolve().parent.parent
COURSE = Course.open(ROOT / "notebooks", ROOT / "solutions")
SEEDS = (PUBLIC_SEED, "a secret")

TRAINED = frozenset({"build_recipe"})
"""Exercises of which an answer is trained at grading."""

ENTRIES = [(unit, entry) for unit in COURSE.units.values() for entry in unit.bank]
WRONG = [pytest.param(unit, entry, id=entry.name) for unit, entry in ENTRIES if entry.wrong]
RIGHT = [pytest.param(unit, entry, id=entry.name) for unit, entry in ENTRIES if not entry.wrong]
EXERCISES = [pytest.param(unit, e.name, id=e.name) for unit in COURSE.units.values() for e in unit.exercises]


@cache
def reference(stem: str) -> SimpleNamespace:
    """Execute a unit's solution from its source, so that a notebook that was not built yet cannot mislead."""
    namespace: dict[str, Any] = {"__name__": f"_reference_{stem}"}
    for cell in jupytext.read(COURSE.unit(stem).source_path).cells:
        if {"setup", "exercise"} & cell.metadata.keys():
            exec(compile(cell.source, f"<{stem}>", "exec"), namespace)
    return SimpleNamespace(**namespace)


@cache
def outcomes(stem: str, exercise: str, entry: str, seed: str) -> tuple[Outcome, ...]:
    """Run all checks of an exercise on an entry of the bank, or on the reference where `entry` is empty."""
    unit = COURSE.unit(stem)
    implementations = {e.name: e.implementation for e in unit.bank}
    answer = implementations[entry] if entry else getattr(reference(stem), exercise)
    # Builds on a right version of what it uses, as it does at grading.
    student = local_student({**vars(reference(stem)), exercise: answer})
    # In a notebook no graded check runs; where one trains for a while, a right answer is trained for the other seed alone.
    rightly = entry not in {e.name for e in unit.bank if e.wrong}
    public = exercise in TRAINED and rightly and seed == PUBLIC_SEED
    checks = [c for c in unit.checks(exercise) if not (public and c.graded_only)]
    with random_state_kept():
        return tuple(run_checks(checks, student, seed, reference(stem)))


@cache
def known(stem: str, exercise: str, public: bool = False) -> tuple[KnownMistake, ...]:
    """Return the mistakes of an exercise with the fingerprints that the build makes."""
    return tuple(
        KnownMistake(
            name=e.name,
            exercise=exercise,
            explanation=e.explanation,
            fingerprint=seen(outcomes(stem, exercise, e.name, FINGERPRINT_SEED), public),
        )
        for e in COURSE.unit(stem).bank
        if e.wrong and e.exercise == exercise
    )


def seen(results: tuple[Outcome, ...], public: bool = False) -> dict[str, str]:
    return fingerprint([o for o in results if not (public and o.check.graded_only)])


def results_of(stem: str, exercise: str, source: str, seed: str) -> tuple[Outcome, ...]:
    """Run all checks of an exercise on the source of an answer, with right versions of what it builds on."""
    namespace = dict(vars(reference(stem)))
    exec(compile(source, f"<{exercise}>", "exec"), namespace)
    with random_state_kept():
        return tuple(run_checks(COURSE.unit(stem).checks(exercise), local_student(namespace), seed, reference(stem)))


def expect_diagnosis(stem: str, exercise: str, results: tuple[Outcome, ...], expected: str) -> None:
    """Expect a wrong answer to be told this mistake ("": none), at grading and in the notebook."""
    assert any(o.status is not Status.PASSED for o in results)
    for public in (False, True):
        observed = seen(results, public)
        found = diagnose(observed, known(stem, exercise, public))
        assert (found.name if found else "") == expected, observed


def lost(results: Iterable[Outcome]) -> list[tuple[str, str]]:
    """Return what an answer lost, as names of checks and what they say."""
    return [(o.check.name, o.message) for o in results if o.status is not Status.PASSED]


def lost_by_reference(stem: str, seed: str) -> list[tuple[str, str]]:
    """Return what the reference loses on a seed, over all exercises of a unit."""
    return [
        each
        for exercise in COURSE.unit(stem).exercises
        for each in lost(
            run_checks(
                COURSE.unit(stem).checks(exercise.name),
                local_student(dict(vars(reference(stem)))),
                seed,
                reference(stem),
            )
        )
    ]


def solution_but(stem: str, changed: Mapping[str, Callable[[str], str]]) -> bytes:
    """Return a submission: the unit's solution with some exercises' sources changed."""
    notebook = json.loads(COURSE.unit(stem).solution_path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        ours, source = cell["metadata"].get(KEY, {}), "".join(cell["source"])
        if ours.get("role") == "exercise" and ours["name"] in changed:
            cell["source"] = changed[ours["name"]](source)
            assert cell["source"] != source
    return json.dumps(notebook).encode()


@pytest.mark.parametrize(("unit", "entry"), WRONG)
@pytest.mark.parametrize("seed", SEEDS)
def test_mistake_is_caught_and_recognised(unit: Unit, entry: Entry, seed: str) -> None:
    results = outcomes(unit.stem, entry.exercise, entry.name, seed)
    assert {o.status for o in results} <= {Status.PASSED, Status.FAILED, Status.RAISED}, results
    assert any(o.status is not Status.PASSED for o in results)
    found = diagnose(seen(results), known(unit.stem, entry.exercise))
    assert found is not None, seen(results)
    assert found.name == entry.name, (seen(results), found)


@pytest.mark.parametrize(("unit", "entry"), RIGHT)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_alternative_loses_nothing(unit: Unit, entry: Entry, seed: str) -> None:
    results = outcomes(unit.stem, entry.exercise, entry.name, seed)
    assert lost(results) == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
@pytest.mark.parametrize("seed", SEEDS)
def test_reference_loses_nothing(unit: Unit, exercise: str, seed: str) -> None:
    results = outcomes(unit.stem, exercise, "", seed)
    assert lost(results) == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_bank_is_large_and_told_apart(unit: Unit, exercise: str) -> None:
    mistakes = known(unit.stem, exercise)
    assert len(mistakes) >= 8
    assert sum(not e.wrong and e.exercise == exercise for e in unit.bank) >= 4
    prints: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for each in mistakes:
        prints.setdefault(tuple(sorted(each.fingerprint.items())), []).append(each.name)
    assert [names for names in prints.values() if len(names) > 1] == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_mutation_score(unit: Unit, exercise: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Report how many mistakes the checks catch, and how many the public ones alone catch and recognise."""
    names = [m.name for m in known(unit.stem, exercise)]
    table = known(unit.stem, exercise, public=True)
    caught = public = recognised = 0
    unseen, lost = set(), set()
    for name in names:
        for seed in SEEDS:
            results = outcomes(unit.stem, exercise, name, seed)
            caught += bool(seen(results))
            observed = seen(results, public=True)
            public += bool(observed)
            found = diagnose(observed, table)
            recognised += found is not None and found.name == name
            if not observed:
                unseen.add(name)
            elif found is None or found.name != name:
                lost.add(name)
    runs = len(names) * len(SEEDS)
    with capsys.disabled():
        print(
            f"\n{unit.stem} {exercise}: mutation score {caught}/{runs}; public checks alone catch {public} and recognise "
            f"{recognised}; only graded checks see {sorted(unseen) or 'none'}; publicly mistaken {sorted(lost) or 'none'}"
        )
    assert caught == runs
    assert public >= 0.9 * runs
    assert recognised >= 0.9 * public


RELATIVES = {
    # Both at once is what they are.
    "RescaledInEvaluationOnly": {"NoRescaling", "RescaledInEvaluation"},
    "TakesPForTheShareToKeep": {"KeepAndDropSwapped", "KeepAndDropSwappedButForZero", "RescaledByP"},
    # Whoever returns early at p = 0 does not show it there.
    "KeepAndDropSwapped": {"KeepAndDropSwappedButForZero"},
    "KeepAndDropSwappedButForZero": {"KeepAndDropSwapped"},
    "ConvKeepAndDropSwapped": {"ConvKeepAndDropSwappedButForZero"},
    "ConvKeepAndDropSwappedButForZero": {"ConvKeepAndDropSwapped"},
    "OneMaskForTheBatch": {"OneWeightMaskForTheBatch", "OneBiasMaskForTheBatch"},
    "MasksOnActivations": {"MaskPerUnit", "BiasSharesAWeightsCoin"},
    "ConvRescaledInEvaluationOnly": {"ConvNoRescaling", "ConvRescaledInEvaluation"},
    "ConvTakesPForTheShareToKeep": {"ConvKeepAndDropSwapped", "ConvKeepAndDropSwappedButForZero", "ConvRescaledByP"},
    "ConvOneMaskForTheBatch": {"ConvOneWeightMaskForTheBatch", "ConvOneBiasMaskForTheBatch"},
    "ConvMasksOnActivations": {"ConvMaskPerUnit", "ConvBiasSharesAWeightsCoin"},
    "statistics_of_the_training_pass_and_left_changed": {"statistics_of_the_training_pass"},
    "MaskOfOneAxis": {"MaskOfOneAxisButForZero"},
    "MaskOfOneAxisButForZero": {"MaskOfOneAxis"},
    # The same mistake, told in the same words.
    "BiasNeverMasked": {"BiasNeverMaskedButAtOne"},
    "BiasNeverMaskedButAtOne": {"BiasNeverMasked"},
    "ConvBiasNeverMasked": {"ConvBiasNeverMaskedButAtOne"},
    "ConvBiasNeverMaskedButAtOne": {"ConvBiasNeverMasked"},
    "ConvDimensionsDoNotFit": {"ConvBiasAlongThePixels"},
    "ConvBiasAlongThePixels": {"ConvDimensionsDoNotFit"},
    "pasted_into_the_input_one_by_one": {"written_in_place_and_read_again"},
}
"""What may be said of a mistake that is not in the bank, because it is as true of it."""


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
@pytest.mark.parametrize("public", [False, True], ids=["graded", "public"])
def test_a_mistake_outside_the_bank_is_not_taken_for_another(unit: Unit, exercise: str, public: bool) -> None:
    mistakes = known(unit.stem, exercise, public)
    wrong = {}
    for each in mistakes:
        others = [m for m in mistakes if m.name != each.name]
        for seed in SEEDS:
            found = diagnose(seen(outcomes(unit.stem, exercise, each.name, seed), public), others)
            if found is not None and found.name not in RELATIVES.get(each.name, ()):
                wrong[each.name] = found.name
    assert wrong == {}


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_every_mistake_shows_something_telling(unit: Unit, exercise: str) -> None:
    vague = [m.name for m in known(unit.stem, exercise) if not any(map(is_telling, m.fingerprint.values()))]
    assert vague == []


def points(unit: Unit, exercise: str, entry: str) -> int:
    return sum(o.points for o in outcomes(unit.stem, exercise, entry, SEEDS[1]))


def test_defining_properties_weigh_most() -> None:
    unit = COURSE.unit("03_spatial_dropout")
    totals = {e.name: sum(c.points for c in unit.checks(e.name)) for e in unit.exercises}
    assert totals == {"channel_mask": 8, "SpatialDropout2d": 27}
    assert sum(c.points for c in COURSE.unit("00_start_here").checks("accuracy")) == 4

    def lost(exercise: str, entry: str) -> int:
        return totals[exercise] - points(unit, exercise, entry)

    assert lost("SpatialDropout2d", "MaskPerElement") >= 13
    assert lost("SpatialDropout2d", "IgnoresTraining") >= 3
    assert lost("SpatialDropout2d", "NoRescaling") >= 4
    assert lost("SpatialDropout2d", "KeepAndDropSwapped") >= 4
    assert lost("SpatialDropout2d", "MaskDrawnOnce") >= 3
    for entry in (
        "mask_per_element",
        "mask_with_keep_and_drop_swapped",
        "mask_always_one_half",
        "mask_of_normal_numbers",
    ):
        assert lost("channel_mask", entry) >= 4, entry
    for exercise in totals:
        graded = sum(c.points for c in unit.checks(exercise) if c.graded_only)
        assert graded <= totals[exercise] / 8


COUNTING = {
    "dropout": 3, "Dropout": 3, "mc_dropout_predict": 1, "channel_mask": 3, "SpatialDropout2d": 3,
    "DropConnectLinear": 4, "drop_connect_inference": 3, "DropConnectConv2d": 4,
    "DropBlock2d": 4, "DropPath": 3, "ResidualBlock": 1, "mixup": 2, "random_box": 1, "cutmix": 1,
}  # fmt: skip
"""How many checks of an exercise test counts of coins; of others none does."""


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_a_check_fails_a_right_answer_once_in_a_billion(
    unit: Unit, exercise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarms that a check's tests of counts spend add up to less than FALSE_ALARM, with room for its patterns."""
    spent: list[float] = []
    plain = expect._compatible

    def noted(count: int, trials: int, p: float, alarm: float) -> bool:
        spent.append(alarm)
        return plain(count, trials, p, alarm)

    monkeypatch.setattr(expect, "_compatible", noted)
    tested = 0
    student = local_student(dict(vars(reference(unit.stem))))
    for check in unit.checks(exercise):
        if check.graded_only and exercise in TRAINED:
            continue  # no coins there, but seconds
        spent.clear()
        (outcome,) = run_checks([check], student, "alarms", reference(unit.stem))
        assert outcome.status is Status.PASSED
        assert sum(spent) <= 0.8 * FALSE_ALARM, (check.name, spent)
        tested += bool(spent)
    assert tested == COUNTING.get(exercise, 0)


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_most_points_are_public(unit: Unit, exercise: str) -> None:
    checks = unit.checks(exercise)
    assert len({c.name for c in checks}) == len(checks)
    assert sum(c.points for c in checks if not c.graded_only) > sum(c.points for c in checks if c.graded_only) > 0


@pytest.mark.parametrize("unit", COURSE.units.values(), ids=COURSE.units)
def test_names_are_unique_in_a_bank(unit: Unit) -> None:
    names = [e.name for e in unit.bank]
    assert len(set(names)) == len(names)


def test_outcomes_repeat() -> None:
    for unit in COURSE.units.values():
        for exercise in unit.exercises:
            once, again = (
                seen(outcomes.__wrapped__(unit.stem, exercise.name, known(unit.stem, exercise.name)[0].name, "x"))
                for _ in range(2)
            )
            assert once == again


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    unit, entry = [(unit, entry) for unit, entry in ENTRIES if entry.wrong][-1]
    outcomes.__wrapped__(unit.stem, entry.exercise, entry.name, "state")
    assert bool((torch.get_rng_state() == before).all())


# -- answers outside the bank --------------------------------------------------------------------------------------------

_MASK = """
def channel_mask(x, p, channel_dim=1):
    s = [1] * x.dim()
    s[0], s[channel_dim] = x.shape[0], x.shape[channel_dim]
    return BODY
"""

_LAYER = """
class SpatialDropout2d(nn.Module):
    def __init__(self, p=0.5, channel_dim=1):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.p, self.channel_dim = p, channel_dim

    def forward(self, x):
        if x.dim() != 4:
            raise ValueError(f"shape {tuple(x.shape)}")
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return torch.zeros_like(x)
        return x * channel_mask(x, self.p, self.channel_dim).to(x.dtype) / (1 - self.p)
"""


def _accuracy(body: str) -> tuple[str, str, str]:
    return "00_start_here", "accuracy", f"def accuracy(logits, target):\n    return {body}\n"


def _mask(body: str) -> tuple[str, str, str]:
    return "03_spatial_dropout", "channel_mask", _MASK.replace("BODY", body)


def _layer(old: str, new: str, times: int = 1) -> tuple[str, str, str]:
    assert old in _LAYER
    return "03_spatial_dropout", "SpatialDropout2d", _LAYER.replace(old, new, times)


_HIT = "(logits.argmax(1) == target)"
_TRAINING = "x * channel_mask(x, self.p, self.channel_dim).to(x.dtype) / (1 - self.p)"

OUTSIDE: dict[str, tuple[tuple[str, str, str], str]] = {
    "mean of booleans": (_accuracy(f"{_HIT}.mean()"), "mean_of_booleans"),
    "rounded to 4": (_accuracy(f"round(float({_HIT}.float().mean()), 4)"), "rounded"),
    "rounded to 3": (_accuracy(f"round(float({_HIT}.float().mean()), 3)"), "rounded"),
    "batches of 5": (
        _accuracy("torch.stack([(a.argmax(1) == b).float().mean() for a, b in zip(logits.split(5), target.split(5))]).mean()"),
        "mean_over_batches",
    ),
    "N - 1": (_accuracy(f"{_HIT}.sum() / (len(target) - 1)"), "divides_by_one_less"),
    "magnitude": (_accuracy("(logits.abs().argmax(1) == target).float().mean()"), ""),
    "one too many": (_accuracy("(logits.argmax(1) + 1 == target).float().mean()"), "classes_counted_from_one"),
    "softmax over the batch": (_accuracy("(logits.softmax(0).argmax(1) == target).float().mean()"), ""),
    "last dropped": (_accuracy(f"{_HIT}[:-1].float().mean()"), ""),
    "a percentage as text": (_accuracy(f'f"{{{_HIT}.float().mean():.2%}}"'), "a_text"),
    "an array": (_accuracy(f"{_HIT}.float().mean().numpy()"), ""),
    "a list": (_accuracy(f"[float({_HIT}.float().mean())]"), ""),
    "a constant": (_accuracy("0.5"), ""),
    "random": (_accuracy("float(torch.rand(()))"), ""),
    "randn": (_mask("torch.randn(s) > p"), "mask_of_normal_numbers"),
    "p squared": (_mask("torch.rand(s) >= p**2"), "mask_with_p_squared"),
    "p rounded": (_mask("torch.rand(s) >= round(p, 1)"), "mask_with_p_rounded"),
    "square root of p": (_mask("torch.rand(s) >= p**0.5"), ""),
    "signs": (_mask("torch.sign(torch.rand(s) - p)"), "mask_of_plus_and_minus_one"),
    "twos": (_mask("2 * (torch.rand(s) >= p)"), ""),
    "values of x": (
        _mask("(m := x.double().mean([d for d in range(4) if s[d] == 1], keepdim=True)) >= m.flatten().quantile(p)"),
        "",
    ),
    "exchanged": (_mask("torch.rand(x.shape[channel_dim], x.shape[0], 1, 1) >= p"), ""),
    "rows": (_mask("torch.rand(x.shape[0], x.shape[channel_dim], x.shape[2], 1) >= p"), ""),
    "mask as a list": (_mask("(torch.rand(s) >= p).tolist()"), ""),
    "the right layer, but 1 + p": (_layer("(1 - self.p)", "(1 + self.p)"), "DividedByOnePlusP"),
    "1 - p + 0.001": (_layer("/ (1 - self.p)", "/ (1.001 - self.p)"), ""),
    "a typo": (_layer("x, self.p, self.channel_dim)", "x, self.p, self.dim)"), "ReadsWhatWasNeverSet"),
    "no such function": (_layer(_TRAINING, "x * chanel_mask(x, self.p)"), ""),
    "numpy": (_layer(_TRAINING, f"({_TRAINING}).detach().numpy()"), "ReturnsAnArray"),
    "einsum": (
        _layer(_TRAINING, 'torch.einsum("nchw,nc->nchw", x, channel_mask(x, self.p, self.channel_dim)[:, :, 0, 0].to(x.dtype))'
                          " / (1 - self.p)"),
        "IndexesTheMaskAsChannelsFirst",
    ),
    "five dimensions": (_layer("x.dim() != 4", "x.dim() < 4"), "AcceptsFiveDimensions"),
    "bound of the denominator": (_layer("(1 - self.p)", "max(1 - self.p, 0.5)"), "DenominatorCutOff"),
    "arguments exchanged": (_layer("p=0.5, channel_dim=1", "channel_dim=1, p=0.5"), "ArgumentsExchanged"),
    "another default": (_layer("p=0.5", "p=0.2"), "AnotherDefault"),
    "detached": (_layer("return x\n", "return x.detach()\n"), "DetachedInEvaluation"),
    "double": (_layer("return x\n", "return x.double()\n"), "DoubleInEvaluation"),
    "half": (_layer("return x\n", "return x.half()\n"), ""),
    "a type error": (_layer("raise ValueError(f\"p", "raise TypeError(f\"p"), ""),
    "twice what is kept": (_layer("/ (1 - self.p)", "* 2"), ""),
    "minus": (_layer("return x *", "return -x *"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (stem, exercise, source), expected = OUTSIDE[name]
    expect_diagnosis(stem, exercise, results_of(stem, exercise, source, seed), expected)
