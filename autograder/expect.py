"""What checks may expect of a value that came from a learner. A function raises `Failure`, or lets StudentError pass.

A failure carries a code besides its sentence: what was observed, in one word, the same for every seed and size. The codes
of an exercise's checks together are the fingerprint by which a known mistake is recognised (see `autograder.mistakes`).
Values are never trusted: None, a string, NaN, a wrong shape are failures with a sentence, not errors of the check.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autograder.evidence import Evidence, bars, images
from autograder.statistics import (
    EQUAL_ALARM,
    FALSE_ALARM,
    binomial_interval,
    binomial_shares,
    equal_probability,
    middle_probability,
)
from autograder.student import Later, Observation, Remote, StudentError

__all__ = [
    "Failure", "broadcast", "call", "close", "constant_axes", "constant_zero_pattern", "decisions", "distinct",
    "drop_rate", "eventually", "fresh", "function", "independent", "made", "masked_gradient", "mixed", "mode", "no_state",
    "planned", "precision", "raised", "raises", "scalar", "scale", "tensor", "that", "unchanged",
]  # fmt: skip

_AXES = {"N": "example", "C": "channel", "H": "height", "W": "width"}


class Failure(AssertionError):
    """An expectation that was not met.

    Attributes:
        code: what was observed, for diagnosis; free of seeds and sizes.
        evidence: pictures of it.
    """

    def __init__(self, code: str, message: str, evidence: Sequence[Evidence] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.evidence = code, message, tuple(evidence)


def that(condition: bool, code: str, message: str, evidence: Sequence[Evidence] = ()) -> None:
    """Expect `condition`, for what no function here expresses."""
    if not condition:
        raise Failure(code, message, evidence)


def mixed(attempt: Callable[[], Tensor], tries: int = 64) -> Tensor:
    """Expect one of `tries` outputs to be zero in some places and not in others; return it.

    The first is, but where one coin decides over everything: `varies:none` if some are zero throughout and others nowhere.
    """
    seen = set()
    for _ in range(tries):
        y = attempt()
        zero = _zeros(y)
        if bool(zero.any()) and not bool(zero.all()):
            return y
        seen.add(bool(zero.any()))
    if len(seen) > 1:
        raise Failure(
            "varies:none", "sometimes nothing is dropped and sometimes everything: one coin decides over it all"
        )
    if seen == {True}:
        raise Failure("drops:everything", f"everything was dropped: the whole output is zero, in {tries} calls")
    raise Failure("drops:nothing", f"nothing was dropped: no value of the output is zero, in {tries} calls")


def eventually(attempt: Callable[[], None], tries: int = 2) -> None:
    """Expect one of `tries` attempts to succeed; the last failure is what is reported.

    For what a right answer may miss by a hair's breadth of probability: `torch.rand` in float32 returns an exact 0.0 once
    in 2^24, so `rand(...) > 0` is not always true.
    """
    for _ in range(tries - 1):
        try:
            return attempt()
        except Failure:
            continue
    attempt()


# -- calls ---------------------------------------------------------------------------------------------------------------


def function(target: Any, what: str = "the exercise") -> Remote:
    """Expect something that can be called; return it."""
    if not isinstance(target, Remote):
        raise Failure(_type_code(target), f"{what} should be something to call, got {_describe(target)}")
    return target


def call(target: Any, *args: Any, what: str = "the exercise", **kwargs: Any) -> Any:
    """Expect something that can be called; return what it returns."""
    return function(target, what)(*args, **kwargs)


def planned(first: Later, again: Callable[[], Any]) -> Callable[[], Any]:
    """Return an attempt for `mixed` and `eventually`: a planned answer the first time, and what `again` returns afterwards."""
    answers = iter([first])

    def attempt() -> Any:
        later = next(answers, None)
        return again() if later is None else later.get()

    return attempt


def made(target: Any, *args: Any, what: str = "the exercise", **kwargs: Any) -> Remote:
    """Expect a call to return something that can be called in turn, such as a layer; return it."""
    return function(call(target, *args, what=what, **kwargs), f"what {what} makes")


def mode(module: Remote, training: bool) -> None:
    """Put a module in training or in evaluation mode, as users do."""
    call(module.train if training else module.eval, what="train()" if training else "eval()")


def raises(
    kind: str,
    target: Any,
    *args: Any,
    mentions: Sequence[object] = (),
    what: str = "the call",
    code: str = "raises",
    **kwargs: Any,
) -> None:
    """Expect the call to raise an exception named `kind` or a subclass, its message holding `mentions` in this order."""
    callee = function(target)
    raised(kind, lambda: callee(*args, **kwargs), mentions, what, code)


def raised(
    kind: str,
    attempt: Callable[[], object],
    mentions: Sequence[object] = (),
    what: str = "the call",
    code: str = "raises",
) -> None:
    """Expect an attempt, such as a planned call's `get`, to do what `raises` expects of a call."""
    try:
        attempt()
    except StudentError as error:
        if error.not_started:
            raise
        if kind not in error.types:
            raise Failure(f"{code}:{error.types[0]}", f"{what} should raise {kind}, but {error.sentence()}") from None
        rest = error.message
        for each in map(str, mentions):
            zeros = "0*" if "." in each else r"(?:\.0+)?"  # -0.50 shows -0.5, and 5.0 shows 5
            found = re.search(rf"(?<![\d.]){re.escape(each)}{zeros}(?!\.?\d)", rest)
            if found is None:
                raise Failure(
                    f"{code}:message",
                    f"the {kind} of {what} should say what was wrong with it, and show "
                    f"{', '.join(map(str, mentions))}: its message is “{error.message}”",
                ) from None
            rest = rest[found.end() :]
        return
    raise Failure(f"{code}:nothing", f"{what} should raise {kind}, but it was accepted")


def no_state(module: Mapping[str, Mapping[str, Any]]) -> None:
    """Expect a module (see `Student.module`) to learn nothing and to keep no mask.

    A single number that does not train, such as the module's own setting kept as a buffer, is no mask.
    """
    for group in ("parameters", "buffers"):
        for name, value in module[group].items():
            trains = isinstance(value, Tensor) and value.requires_grad
            if trains or not isinstance(value, Tensor) or value.numel() > 1:
                raise Failure(
                    f"state:{group}",
                    f"nothing is learnt here and every call draws its own mask, but the module keeps “{name}” among its "
                    f"{group}: it would be saved with the model",
                )


# -- values --------------------------------------------------------------------------------------------------------------


def tensor(
    value: Any,
    what: str = "the result",
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    finite: bool = True,
) -> Tensor:
    """Expect a real tensor, of this shape and dtype if given, without NaN or infinity; return it."""
    if not isinstance(value, Tensor):
        raise Failure(_type_code(value), f"{what} should be a torch.Tensor, got {_describe(value)}")
    if value.is_complex():
        raise Failure("dtype:complex", f"{what} should be real, got {_describe(value)}")
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise Failure(
            _shape_code(value.shape, shape), f"{what} should have shape {tuple(shape)}, got {tuple(value.shape)}"
        )
    if dtype is not None and value.dtype != dtype:
        got = str(value.dtype).removeprefix("torch.")
        raise Failure(f"dtype:{got}", f"{what} should keep the dtype {dtype}, got {value.dtype}")
    if finite and value.is_floating_point() and not bool((sound := torch.isfinite(value)).all()):
        kind = "NaN" if bool(torch.isnan(value).any()) else "infinity"
        # The first of the largest: `nonzero` would list every one of what may be millions.
        first = sound.flatten().to(torch.uint8).argmin()
        where = list(map(int, torch.unravel_index(first, value.shape))) if value.dim() else []
        raise Failure(
            f"finite:{kind.lower()}", f"{what} contains {kind}" + (f", first at index {where}" if where else "")
        )
    return value


def scalar(value: Any, what: str = "the result") -> float:
    """Expect one finite number, a float, an int or a 0-d tensor; return it as a float."""
    if isinstance(value, Tensor):
        if value.dim() != 0:
            code = "shape:one" if value.numel() == 1 else "shape:many"
            raise Failure(code, f"{what} should be one number, got a tensor of shape {tuple(value.shape)}")
        if value.is_complex() or value.dtype == torch.bool:
            kind = "bool" if value.dtype == torch.bool else "complex"
            raise Failure(f"type:{kind}", f"{what} should be a real number, got {_describe(value)}")
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Failure(_type_code(value), f"{what} should be one number, got {_describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Failure(f"finite:{'nan' if math.isnan(number) else 'infinity'}", f"{what} should be finite, got {number}")
    return number


def precision(dtype: torch.dtype) -> float:
    """Return the relative error that a right answer in `dtype` stays below: four roundings, or 1e-6 if that is more."""
    return max(1e-6, 4 * torch.finfo(dtype).eps) if dtype.is_floating_point else 1e-6


def close(
    actual: Any,
    expected: Tensor | float,
    what: str = "the result",
    code: str = "value",
    relative: float = 1e-6,
    absolute: float = 1e-6,
    candidates: Mapping[str, Tensor | float | Sequence[float]] | None = None,
) -> None:
    """Expect |actual - expected| <= absolute + relative * |expected| everywhere, and the same shape.

    Args:
        candidates: wrong values that a known mistake gives, by name, one or several; one that fits makes the code `code:name`.
    """
    if not isinstance(expected, Tensor):
        number = scalar(actual, what)
        fits = abs(number - expected) <= absolute + relative * abs(expected)
        named = ((n, v if isinstance(v, Sequence) else [v]) for n, v in (candidates or {}).items())
        found = next((n for n, values in named if any(abs(number - float(v)) <= 1e-5 for v in values)), None)
        that(fits, f"{code}:{found}" if found else code, f"{what} should be {expected:.6g}, got {number:.6g}")
        return
    got = tensor(actual, what, shape=expected.shape)
    wide, target = got.to(torch.float64), expected.to(torch.float64)
    difference = (wide - target).abs()
    # Written so that NaN, which compares false with everything, counts as a difference.
    wrong = ~(difference <= absolute + relative * target.abs())
    if not bool(wrong.any()):
        return
    worst = int(torch.where(wrong, difference, -1.0).argmax())
    where = [int(i) for i in torch.unravel_index(torch.tensor(worst), difference.shape)] if difference.dim() else []
    found = next(
        (n for n, v in (candidates or {}).items() if isinstance(v, Tensor) and _fits(wide, v.to(torch.float64))), None
    )
    raise Failure(
        f"{code}:{found}" if found else code,
        f"{what} differs from what is expected in {int(wrong.sum())} of {wrong.numel()} places: the largest difference is "
        f"{float(difference.flatten()[worst]):.3g}, at index {where}, where {float(target.flatten()[worst]):.6g} was "
        f"expected and {float(wide.flatten()[worst]):.6g} came",
    )


def unchanged(before: Tensor, after: Any, what: str = "the input") -> None:
    """Expect an argument to be what it was before the call."""
    same = isinstance(after, Tensor) and after.shape == before.shape and after.dtype == before.dtype
    if not (same and bool((after == before).all())):
        raise Failure(
            "input:changed", f"{what} was changed by the call: compute a new tensor instead of writing into it"
        )


# -- masks ---------------------------------------------------------------------------------------------------------------
#
# An output is read by where it is zero, given an input without zeros: that is the mask, however the learner drew it.


def constant_zero_pattern(y: Any, over: Sequence[str], layout: str = "NCHW", code: str = "varies") -> Tensor:
    """Expect zeros that do not depend on the axes `over`, but do on all others; return them reduced to those others.

    Args:
        y: an output for an input without zeros.
        over: axis names, out of "example", "channel", "height", "width".
        layout: one letter an axis of y.
        code: the failure's code; the letters of the axes along which zeros vary are added to it.

    Returns:
        A bool tensor over the remaining axes, in layout order, True where y is zero.
    """
    zero = _zeros(y, len(layout))
    if not bool(zero.any()):
        raise Failure("drops:nothing", "nothing was dropped: no value of the output is zero", [_maps(y, layout)])
    if bool(zero.all()):
        raise Failure("drops:everything", "everything was dropped: the whole output is zero", [_maps(y, layout)])
    varies = _varies(zero)
    wanted = [_AXES[letter] not in over for letter in layout]
    if varies != wanted:
        each = " and ".join(_AXES[x] for x, w in zip(layout, wanted, strict=True) if w)
        extra = [_AXES[x] for x, v, w in zip(layout, varies, wanted, strict=True) if v and not w]
        missing = [_AXES[x] for x, v, w in zip(layout, varies, wanted, strict=True) if w and not v]
        said = [f"it also changes along {' and '.join(extra)}"] if extra else []
        said += [f"it is the same along {' and '.join(missing)}"] if missing else []
        raise Failure(
            f"{code}:" + "".join(sorted(x for x, v in zip(layout, varies, strict=True) if v)),
            f"there should be one decision for each {each}, but {', '.join(said)}",
            [_maps(y, layout)],
        )
    for d, keep in enumerate(wanted):
        zero = zero if keep else zero.narrow(d, 0, 1)
    return zero.reshape([n for n, keep in zip(y.shape, wanted, strict=True) if keep])


def broadcast(value: Any, x: Tensor, what: str = "the mask") -> Tensor:
    """Expect a tensor that broadcasts to the shape of x; return it in that shape."""
    mask = tensor(value, what)
    try:
        return mask.broadcast_to(x.shape)
    except RuntimeError:
        raise Failure(
            _shape_code(mask.shape, x.shape),
            f"{what}'s shape, {tuple(mask.shape)}, does not broadcast to that of x, {tuple(x.shape)}",
        ) from None


def constant_axes(zero: Tensor, layout: str = "NCHW") -> list[str]:
    """Return the names of the axes along which a tensor is the same, as `constant_zero_pattern` takes them."""
    return [_AXES[letter] for letter, varies in zip(layout, _varies(zero), strict=True) if not varies]


def decisions(y: Any, axes: str = "NC", layout: str = "NCHW") -> Tensor:
    """Return where y is zero at the first position of every axis that is not in `axes`: bool, in the order of `axes`.

    A table of coins to test, also where the pattern along the other axes is wrong; that is for another check to say.
    """
    zero = _zeros(y, len(layout))
    for d, letter in enumerate(layout):
        zero = zero if letter in axes else zero.narrow(d, 0, 1)
    rest = [letter for letter in layout if letter in axes]
    table = zero.reshape([n for n, letter in zip(y.shape, layout, strict=True) if letter in axes])
    return table.permute([rest.index(letter) for letter in axes])


def drop_rate(
    y: Any,
    p: float,
    alarm: float = FALSE_ALARM,
    code: str = "rate",
    candidates: Mapping[str, float] | None = None,
) -> None:
    """Expect a share p of independent coins to have dropped: exact binomial, false alarm `alarm`.

    Coins are counted once: axes along which the zeros of y are the same are reduced first. There should be many, for that
    nothing or everything is dropped fails where 0 < p < 1.

    Args:
        candidates: rates that known mistakes give, by name; the nearest of those that fit makes the code `code:name`.
    """
    zero = _zeros(y)
    if 0 < p < 1:
        _both_occur(zero)
    for d, varies in enumerate(_varies(zero)):
        zero = zero if varies else zero.narrow(d, 0, 1)
    trials, count = zero.numel(), int(zero.sum())
    if _compatible(count, trials, p, alarm):
        return
    rate = count / trials
    rates = {"1-p": 1 - p, "half": 0.5, **(candidates or {})}
    fitting = [name for name in rates if count in binomial_interval(trials, rates[name])]
    found = min(fitting, key=lambda name: abs(rates[name] - rate), default="other")
    hint = f": that is 1 - p, the share to keep (p = {p:g} is the probability of dropping)" if found == "1-p" else ""
    raise Failure(
        f"{code}:{found}",
        f"a share {p:g} should be dropped, but {count} of {trials} ({rate:.3f}) were{hint}",
        [bars("Dropped and kept, in shares of all.",
              [("asked for", [0, 1], [p, 1 - p]), ("seen", [0, 1], [rate, 1 - rate])], "", "share", ["dropped", "kept"])],
    )  # fmt: skip


def independent(dropped: Tensor, p: float, names: tuple[str, str], alarm: float = FALSE_ALARM) -> None:
    """Expect a table of independent Bernoulli(p) coins (rows, columns); false alarm `alarm` in all.

    Neighbouring rows, and neighbouring columns, agree in a share p² + (1-p)² of their coins, pairs being disjoint; and the
    number dropped in a row falls on the two values around its mean not oftener than a binomial one does.

    Args:
        dropped: bool (rows, columns), at least two of each, True = dropped.
        p: the drop probability. Where the coins are far from it (`drop_rate` says so), their own rate is taken.
        names: what a row and a column are, such as ("example", "channel").
        alarm: a third of it for each of the three.
    """
    p = _rate_to_judge_by(dropped, p)
    share, alarm = p * p + (1 - p) * (1 - p), alarm / 3
    agreements = []
    for dim, name in enumerate(names):
        pairs = dropped.shape[dim] // 2
        first, second = dropped.narrow(dim, 0, 2 * pairs).unflatten(dim, (pairs, 2)).unbind(dim + 1)
        agreements.append((name, int((first == second).sum()), first.numel()))
    # Total agreement first: where it holds in one direction, coins of the other are no longer independent trials.
    agreements.sort(key=lambda a: a[1] < a[2])
    for name, agree, trials in agreements:
        if not _compatible(agree, trials, share, alarm):
            raise Failure(
                f"shared:{name}" if agree > share * trials else f"opposed:{name}",
                f"each {name} should have its own coins: two neighbours should agree in {share:.0%} of them, "
                f"but they agree in {agree / trials:.0%}",
                [_decided(dropped, names)],
            )
    rows, columns = dropped.shape
    middle, near = middle_probability(columns, p)
    counts = dropped.sum(dim=1)
    hits = int(((counts == middle) | (counts == middle + 1)).sum())
    # Fewer are no fault: only a count that varies too little is.
    if not _compatible(hits, rows, near, alarm) and hits > rows * near:
        shares = binomial_shares(columns, p)
        spread = [k for k, share in enumerate(shares) if share > 1e-3 or bool((counts == k).any())]
        seen = [float((counts == k).float().mean()) for k in spread]
        raise Failure(
            "count:fixed",
            f"the number of dropped {names[1]}s should vary from {names[0]} to {names[0]}, but it hardly does: toss a coin "
            f"for each {names[1]}",
            [bars("How many are dropped.", [("seen", spread, seen), ("coins", spread, [shares[k] for k in spread])],
                  f"dropped {names[1]}s", f"share of {names[0]}s")],
        )  # fmt: skip


def distinct(dropped: Tensor, p: float, names: tuple[str, str]) -> None:
    """Expect no two rows, and no two columns, of a table of coins to be the same: none is a copy of another.

    Two rows of k coins agree with probability s^k, s = p² + (1-p)², so some two of n with at most n (n-1) / 2 * s^k: see
    `equal_probability`. Let the table be large enough for that to be next to nothing; 96 rows of 96 coins give
    4560 * 0.68^96 < 4e-13 for any p in [0.2, 0.8]. Where it is not below 1e-12, because the coins' own rate is too far
    out, nothing is expected.
    """
    p = _rate_to_judge_by(dropped, p)
    for table, name in ((dropped, names[0]), (dropped.T, names[1])):
        if equal_probability(table.shape[0], table.shape[1], p) > EQUAL_ALARM:
            continue
        if len(table.unique(dim=0)) < len(table):
            raise Failure(
                f"copied:{name}",
                f"each {name} should have its own coins, but some have exactly the same as others",
                [_decided(dropped, names)],
            )


def fresh(
    first: Tensor,
    second: Tensor,
    p: float,
    elsewhere: Tensor | None = None,
    on_another: Tensor | None = None,
    alarm: float = FALSE_ALARM,
) -> None:
    """Expect two calls to have drawn their coins (bool, True = dropped) independently; false alarm `alarm`.

    The others tell apart why two calls are equal, by the code `stale:` and:

    Args:
        elsewhere: the first call of another object: `seeded` if it is equal too, else `stored`.
        on_another: the call with another input of the same shape: `from_input` if it is not equal, whatever `elsewhere` is.
    """
    p = _rate_to_judge_by(first, p)
    agree, trials, share = int((first == second).sum()), first.numel(), p * p + (1 - p) * (1 - p)
    if _compatible(agree, trials, share, alarm):
        return
    if agree < trials:
        code = "partly"
    elif on_another is not None and not bool((first == on_another).all()):
        code = "from_input"
    elif elsewhere is None:
        code = "repeated"
    else:
        code = "seeded" if bool((first == elsewhere).all()) else "stored"
    also = {"seeded": ", and so does another object", "from_input": ", and another input gives another mask"}.get(
        code, ""
    )
    raise Failure(
        f"stale:{code}",
        f"two calls should draw two masks, which agree in {share:.0%} of their places by chance: "
        f"these agree in {agree / trials:.0%}{also}",
        [images("Two calls: dropped (red) and kept.", [("first", _flat(first)), ("second", _flat(second))], "", "")],
    )


def scale(y: Any, x: Tensor, p: float, family: str = "scale") -> None:
    """Expect what survived to be x / (1 - p), to a relative 1e-6 (four roundings in half precision).

    Args:
        y: output, of the shape of x; zeros are taken as dropped.
        x: input without zeros.
        p: drop probability below 1.
        family: the failure's code, before the colon.
    """
    got = tensor(y, "the output", shape=x.shape)
    kept = got != 0
    if not bool(kept.any()):
        raise Failure("drops:everything", "everything was dropped: the whole output is zero")
    ratios = torch.where(kept, got.to(torch.float64) / x.to(torch.float64), math.nan)
    ratio, expected, tolerance = ratios[kept], 1 / (1 - p), precision(x.dtype)
    if bool(((ratio / expected - 1).abs() <= tolerance).all()):
        return
    typical = float(ratio.median())
    slack = max(1e-5, tolerance)
    constant = bool(((ratio - typical).abs() <= slack * abs(typical)).all())
    named = {
        "none": 1.0, "1/p": 1 / p if p else math.inf, "1-p": 1 - p, "p": p, "1/(1-p)^2": expected**2, "minus": -expected,
        "2": 2.0, "1/(1+p)": 1 / (1 + p), "1+p": 1 + p,
    }  # fmt: skip
    code = next((n for n, v in named.items() if constant and abs(typical - v) <= slack * abs(v)), "")
    if not code:
        code = "observed" if _is_observed_share(ratios, kept, slack) else "other" if constant else "varies"
    said = f"{typical:.4g}" if constant else f"numbers between {float(ratio.min()):.4g} and {float(ratio.max()):.4g}"
    shown = ratio.clamp(-1e6, 1e6)
    edges = torch.linspace(
        min(0.0, float(shown.min())), max(float(shown.max()), expected) * 1.05, 41, dtype=torch.float64
    )
    places = ((edges[1:] + edges[:-1]) / 2).tolist()
    heights = [torch.histogram(values, edges)[0] / len(values) for values in (shown, torch.tensor([expected]).double())]
    raise Failure(
        f"{family}:{code}",
        f"what is kept should be multiplied by 1 / (1 - p) = {expected:.4g} (p = {p:g}), but it is multiplied by {said}",
        [bars("What kept values were multiplied by.",
              [(name, places, h.tolist()) for name, h in zip(("seen", "right"), heights, strict=True)],
              "output / input", "share")],
    )  # fmt: skip


def masked_gradient(seen: Observation, x: Tensor, cotangent: Tensor) -> None:
    """Expect the gradient of an element-wise product: each input's gradient is multiplied by what the input was.

    Args:
        seen: a call observed with `x`, without zeros, as its first argument, and with `cotangent`.
    """
    y = tensor(seen.output, "the output", shape=x.shape)
    gradient = seen.gradients[0]
    if not seen.differentiable or gradient is None:
        raise Failure(
            "gradient:none",
            "no gradient reaches the input: the output should be computed from the input by differentiable operations",
        )
    got = tensor(gradient, "the gradient of the input", shape=x.shape)
    factor = y.to(torch.float64) / x.to(torch.float64)
    close(
        got, factor * cotangent, "the gradient of the input", "gradient", 10 * precision(x.dtype), 1e-6,
        {"through": cotangent},
    )  # fmt: skip


def _zeros(y: Any, dimensions: int | None = None) -> Tensor:
    values = tensor(y, "the output")
    if not values.numel() or (dimensions is not None and values.dim() != dimensions):
        raise Failure("shape", f"the output has an unexpected shape, {tuple(values.shape)}")
    return values == 0


def _varies(zero: Tensor) -> list[bool]:
    return [bool((zero != zero.narrow(d, 0, 1)).any()) for d in range(zero.dim())]


def _both_occur(dropped: Tensor) -> None:
    if not bool(dropped.any()) or bool(dropped.all()):
        what = "everything" if bool(dropped.any()) else "nothing"
        # One code for both: where a single coin decides over all, chance says which of the two it is.
        raise Failure("drops:all_alike", f"{what} was dropped: each part should have its own chance")


def _compatible(count: int, trials: int, p: float, alarm: float) -> bool:
    """Whether a count may be that of coins. Each test that can fail a right answer is made here, and spends `alarm`."""
    return count in binomial_interval(trials, p, alarm)


def _rate_to_judge_by(dropped: Tensor, p: float) -> float:
    """Return p, or the coins' own rate where they are off it: agreement can still be judged, and nothing else is.

    That a right answer's are off happens once in 1e3. It is then judged by its own rate, from which its agreement differs
    less than from that of p, so no alarm is spent on it.
    """
    _both_occur(dropped)
    trials, count = dropped.numel(), int(dropped.sum())
    return p if count in binomial_interval(trials, p, 1e-3) else count / trials


def _decided(dropped: Tensor, names: tuple[str, str]) -> Evidence:
    return images("Drawn decisions: dropped (red) and kept.", [("decisions", dropped.float())], names[1], names[0])


def _is_observed_share(ratios: Tensor, kept: Tensor, slack: float) -> bool:
    """Whether what is kept is divided by the share that is kept: of everything, or of each example (first axis)."""
    shares = kept.to(torch.float64)
    each = shares.flatten(1).mean(1).reshape(-1, *[1] * (kept.dim() - 1)) if kept.dim() else shares
    return any(bool(((ratios * share - 1).abs() <= slack)[kept].all()) for share in (shares.mean(), each))


def _flat(values: Tensor) -> Tensor:
    return values.float() if values.dim() == 2 else values.float().reshape(1, -1)


def _maps(y: Tensor, layout: str) -> Evidence:
    """Show the output's first example: up to three channels."""
    example = y.detach().select(layout.index("N"), 0).to(torch.float64)
    rest = layout.replace("N", "")
    channels = example.movedim(rest.index("C"), 0) if "C" in rest else example.unsqueeze(0)
    return images(
        "The first example's output, white where it is zero.",
        [(f"channel {i}", m if m.dim() == 2 else m.reshape(1, -1)) for i, m in enumerate(channels[:3])],
    )


def _type_code(value: Any) -> str:
    return f"type:{value.reference.kind if isinstance(value, Remote) else type(value).__name__}"


def _shape_code(shape: Sequence[int], expected: Sequence[int]) -> str:
    """Name a shape by its axes: a, b, … for the first, second, … of what was expected, 1 for 1; generic if one is neither."""
    letters = [
        "1" if n == 1 else chr(ord("a") + list(expected).index(n)) if n in expected else "?" for n in map(int, shape)
    ]
    return "shape" if "?" in letters else "shape:" + ("".join(letters) or "scalar")


def _fits(actual: Tensor, candidate: Tensor) -> bool:
    return actual.shape == candidate.shape and bool(((actual - candidate).abs() <= 1e-5 + 1e-4 * candidate.abs()).all())


def _describe(value: Any) -> str:
    if isinstance(value, Remote):
        return f"a {value.reference.kind}"
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"the {type(value).__name__} {value!r:.60}"
