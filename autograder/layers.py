"""What checks of layers that drop parts of their input at random have in common, on top of `expect`.

`p` is the probability of dropping. Each raises `expect.Failure`, or lets StudentError pass. Those that end in `_planned` add
their calls to a plan and return what then expects something of the answers, so that many travel in one message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.expect import Failure
from autograder.student import Later, Plan, Remote, Student, StudentError, fixture

EXTREMES = (0, 0.0, 1, 1.0)
"""The values of p at which nothing or everything is dropped, as users give them."""


def made(target: Any, *args: Any, what: str, **options: Any) -> Remote:
    """Expect a layer to be made, also with p = 0 and p = 1, which are allowed; return it."""
    expect.function(target)
    return made_as_planned(lambda: target(*args, **options), what, options.get("p"))


def made_as_planned(attempt: Callable[[], Any], what: str, p: float | None = None) -> Remote:
    """Expect what `made` does of a planned call's `get`."""
    try:
        return expect.function(attempt(), f"what {what} makes")
    except StudentError as error:
        if p not in (0, 1) or not {"ValueError", "AssertionError"} & set(error.types):
            raise
        raise Failure(f"p{p:g}:refused", f"p = {p:g} is allowed, but {error.sentence()}") from None


class PlannedLayer:
    """A layer that a plan makes, and what is planned for it. All that is planned returns what then gives or expects it.

    Args:
        name: the class that makes it; `args` and `options` are for that class.
    """

    def __init__(self, student: Student, plan: Plan, name: str, *args: Any, **options: Any) -> None:
        self._plan, self._student, self._name, self._p = plan, student, name, options.get("p")
        self.made = plan.call(expect.function(getattr(student, name), name), *args, **options)

    def remote(self) -> Remote:
        """Expect it to have been made; return it."""
        return made_as_planned(self.made.get, self._name, self._p)

    def output(self, x: Tensor) -> Callable[[], Tensor]:
        """Plan its output. From the second time on, what is returned asks for another."""
        answer = expect.planned(self._plan.call(self.made, x), lambda: self.remote()(x))

        def output() -> Tensor:
            self.remote()
            return expect.tensor(self._read(answer, x), "the output", shape=x.shape)

        return output

    def _read(self, answer: Callable[[], Any], x: Tensor) -> Any:
        """Return the answer to x; where an error of the learner's has a name of its own, this is the place."""
        return answer()

    def mode(self, training: bool) -> Callable[[], None]:
        """Plan that it is put in a mode."""
        call = self._plan.call(self._student.fixture(set_mode), self.made, training)

        def mode() -> None:
            self.remote()
            call.get()

        return mode


def changes_nothing_in_evaluation(
    student: Student, layer: Callable[[Plan, float], PlannedLayer], x: Tensor, cotangent: Tensor, p: float
) -> None:
    """Expect evaluation mode to pass x and its gradient on, for p and for p = 1, and training mode to drop again.

    Args:
        layer: plans a layer with a drop probability.
        x: without zeros, and so large that 64 calls in training never keep all of it.
    """
    plan = student.together()
    layers = layer(plan, p), layer(plan, 1.0)
    modes = [each.mode(training=False) for each in layers]
    outputs = [each.output(x) for each in layers]
    passes = passes_through_planned(plan, layers[0].made, x, cotangent, "the output in evaluation mode")
    modes.append(layers[0].mode(training=True))
    trained = layers[0].output(x)
    for mode, output, code in zip(modes, outputs, ("eval", "eval_p1"), strict=False):
        mode()
        is_identity(output(), x, p, code)
    passes()
    modes[2]()
    drops = any(bool((trained() == 0).any()) for _ in range(64))
    expect.that(drops, "train_again:keeps", "back in training mode, nothing was dropped any more")


def rescales_what_is_kept(
    student: Student, layer: Callable[[Plan, float], PlannedLayer], x: Tensor, rates: Mapping[str, float]
) -> None:
    """Expect what is kept to be x / (1 - p).

    Args:
        layer: plans a layer with a drop probability.
        x: without zeros.
        rates: drop probabilities, by the family of codes that failures get.
    """
    plan = student.together()
    for (family, p), output in [(item, layer(plan, item[1]).output(x)) for item in rates.items()]:
        y = output()
        for _ in range(64):  # one call does, but where a single coin decides over everything: 0.8^65 < 1e-6
            y = y if bool((y != 0).any()) else output()
        expect.scale(y, x, p, family)


def wrong_rates(p: float) -> dict[str, float]:
    """Return what known mistakes drop, by name; for p in [0.13, 0.17] no two are nearer than 0.03 to each other."""
    # `randn > p` keeps what a normal number exceeds p with.
    return {"p^2": p * p, "tenths": round(p, 1), "normal": 0.5 * (1 + math.erf(p / math.sqrt(2)))}


def at_the_extremes(answer: Callable[[Tensor, float], Tensor], x: Tensor, what: str) -> None:
    """Expect nothing to be zero at p = 0, and everything at p = 1, given as integers and as floats.

    Args:
        answer: returns the output for an input without zeros and p.
        what: what the output is called.
    """
    for p in EXTREMES:

        def attempt(p: float = p) -> None:
            zero = answer(x, p) == 0
            some = "all" if bool(zero.all()) else "some" if bool(zero.any()) else "none"
            expect.that(
                some == ("all" if p else "none"),
                f"p{p:g}:{some}",
                f"at p = {p:g} {what} should be {'zero everywhere' if p else 'zero nowhere'}, but it is zero in "
                f"{int(zero.sum())} of {zero.numel()} places",
            )

        expect.eventually(attempt)


def refuses_p(build: Remote, p: float, what: str) -> None:
    """Expect a ValueError that shows the value for p below 0 and above 1.

    Args:
        build: called with p=….
        p: a probability; -p and 1 + p are tried among others.
        what: what is called.
    """
    plan = build._student.together()
    refuses_p_planned(plan, build, p, what)()


def refuses_p_planned(plan: Plan, build: Remote | Later, p: float, what: str) -> Callable[[], None]:
    """Plan the calls of `refuses_p`."""
    wrong = ((-p, ()), (-0.001, ()), (1.001, ()), (1 + p, ()), (-0.5, (-0.5,)), (1.5, (1.5,)), (5, (5,)))
    calls = [(bad, shown, plan.call(build, p=bad)) for bad, shown in wrong]

    def refused() -> None:
        accepted = {}
        for bad, shown, call in calls:
            try:
                expect.raised("ValueError", call.get, mentions=shown, what=f"{what}(p={bad:g})", code="p_refused")
            except Failure as failure:
                if failure.code == "p_refused:nothing":
                    accepted["negative" if bad < 0 else "above_1"] = failure
                elif not accepted:
                    raise
        if accepted:
            first = next(iter(accepted.values()))
            raise Failure("p_accepted:" + ("both" if len(accepted) > 1 else next(iter(accepted))), first.message)

    return refused


@fixture
def set_mode(module: Any, training: bool) -> None:
    # As users do, so that what a learner makes of these methods counts.
    module.train() if training else module.eval()


@fixture
def seed_of_torch() -> int:
    return torch.initial_seed()


def does_not_seed(student: Student, seed: int, attempt: Callable[[], object]) -> None:
    """Expect the seed of torch's generator to be the same after a call: a function that draws leaves seeding to others."""

    def current() -> Any:
        try:
            return student.fixture(seed_of_torch)()
        except StudentError:  # torch is not what it was: nothing can be seen
            return None

    student.seed(seed)
    before = current()
    attempt()
    after = current()
    expect.that(
        before is None or before == after,
        "seeds:torch",
        "the call seeds torch's random generator, and so makes every later random number of the program start over",
    )


def takes_positions(attempt: Callable[[], object], call: str) -> None:
    """Expect a call without names to do, after it did with names."""
    try:
        attempt()
    except (StudentError, Failure) as error:
        if isinstance(error, StudentError) and error.not_started:
            raise
        said = error.sentence() if isinstance(error, StudentError) else error.message
        raise Failure(
            "signature:positions",
            f"{call} should do the same as with names: is the order of the arguments kept? {said}",
        ) from None


def passes_through(student: Student, layer: Remote, x: Tensor, cotangent: Tensor, what: str) -> None:
    """Expect a call to return its input: the same dtype, and a gradient that comes through unchanged."""
    passes_through_planned(student.together(), layer, x, cotangent, what)()


def passes_through_planned(
    plan: Plan, layer: Remote | Later, x: Tensor, cotangent: Tensor, what: str
) -> Callable[[], None]:
    """Plan the calls of `passes_through`."""
    calls = [(dtype, plan.call(layer, x.to(dtype))) for dtype in (torch.float32, torch.float16)]
    seen = plan.observe(layer, x.clone().requires_grad_(), cotangent=cotangent)

    def passes() -> None:
        for dtype, call in calls:
            expect.tensor(call.get(), what, shape=x.shape, dtype=dtype)
        expect.masked_gradient(seen.get(), x, cotangent)

    return passes


def is_identity(y: Tensor, x: Tensor, p: float, code: str, what: str = "the output in evaluation mode") -> None:
    """Expect an output that is the input, neither dropped from nor rescaled."""
    expect.that(not bool((y == 0).any()), f"{code}:drops", f"{what} should be the input, but values were dropped")
    expect.close(y, x, what, code, candidates={"1-p": x * (1 - p), "1/(1-p)": x / (1 - p)})


def kept_terms(y: Tensor, signs: Tensor, p: float) -> tuple[Tensor, float]:
    """Return which terms of a sum were kept, and the one number that all of them were multiplied by.

    Where a layer drops terms of a sum one by one, its output tells which, if term t is made to be plus or minus 2^t: sums of
    different terms are different then. No random number of the layer needs to be known, nor how it rescales.

    Args:
        y: sums, of any shape; in float32, up to 14 terms are told apart with room to spare.
        signs: +1 or -1 for each sum and each term, (…, T) with y's shape before T.
        p: the drop probability, between 0 and 1, for the factors to be expected: 1 / (1 - p), and those of known mistakes.

    Returns:
        kept: bool (…, T).
        factor: what they were multiplied by.

    Raises:
        Failure: `unreadable:terms`, if y is no such sum.
    """
    wide, count = y.to(torch.float64), signs.shape[-1]
    # Twenty times what rounding to float32, of each term or of their sum, can amount to.
    keep, slack = 1 - p, 4e-6 * 2**count
    # The right one first, then what known mistakes multiply by.
    for factor in (1 / keep, 1.0, 2.0, 1 / p, keep, p, 1 / keep**2, 1 / (1 + p), 1 + p):
        rest = (wide / factor).round()
        if bool(((wide / factor - rest).abs() > slack).any()) or bool((rest.abs() >= 2**count).any()):
            continue
        whole, kept = rest.to(torch.int64), []
        # Twice the right factor leaves whole numbers, too, but no odd one.
        if bool((whole != 0).any()) and not bool((whole & 1).any()):
            continue
        for t in range(count):
            kept.append((whole & 1) == 1)
            whole = (whole - kept[-1] * signs[..., t].to(torch.int64)) >> 1
        if not bool((whole != 0).any()):
            return torch.stack(kept, dim=-1), factor
    raise Failure(
        "unreadable:terms",
        "each output should be a sum of some of its terms, all multiplied by the same number, but here it is not",
    )


def varying_axes(kept: Tensor, letters: str) -> str:
    """Return the letters of the axes along which a table of decisions is not the same everywhere, in the order of the axes."""
    return "".join(letter for d, letter in enumerate(letters) if bool((kept != kept.narrow(d, 0, 1)).any()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and put their number back afterwards; serves as a decorator of checks, too.

    For tensors as small as those of checks others are no help, and where another program keeps a core busy each operation waits
    for them: a check of 10 ms was seen to take seconds in a notebook. At grading there is one thread anyway.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
