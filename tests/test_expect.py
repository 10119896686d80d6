"""Each expectation passes what it should, fails what it should, and says why: the code and the sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autograder import expect
from autograder.cells import STILL_TO_DO
from autograder.picture import data_uri
from autograder.student import Student, StudentError, local_student


def fails(code: str, says: str, attempt: Callable[[], Any]) -> expect.Failure:
    """Run an attempt that must fail with this code, and a sentence that holds `says`; its pictures must draw."""
    with pytest.raises(expect.Failure) as caught:
        attempt()
    assert caught.value.code == code
    assert says in caught.value.message
    for evidence in caught.value.evidence:
        assert data_uri(evidence).startswith("data:image/svg+xml;base64,")
        assert evidence.caption
    return caught.value


def coins(rows: int, columns: int, p: float, seed: int = 0) -> Tensor:
    return torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < p


def maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) + 0.5) * (torch.randint(0, 2, shape, generator=generator) * 2 - 1)


def masked(dropped: Tensor, *sizes: int) -> Tensor:
    """Return maps whose channels are zero where `dropped` (N, C) says so."""
    return maps(*dropped.shape, *sizes) * ~dropped[:, :, None, None]


def student(**namespace: Any) -> Student:
    return local_student(namespace)


# -- values --------------------------------------------------------------------------------------------------------------


def test_that() -> None:
    expect.that(True, "code", "why")
    fails("code", "why", lambda: expect.that(False, "code", "why"))


def test_eventually_gives_another_try() -> None:
    tries: list[int] = []

    def second_time() -> None:
        tries.append(1)
        expect.that(len(tries) == 2, "early", "too early")

    expect.eventually(second_time)
    assert len(tries) == 2
    tries.clear()
    fails("early", "too early", lambda: expect.eventually(second_time, tries=1))


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (None, "type:NoneType", "is a return missing?"),
        ("text", "type:str", "the str 'text'"),
        ((torch.ones(2), 1), "type:tuple", "a tuple of 2"),
        (torch.ones(3, 2), "shape:ba", "should have shape (2, 3), got (3, 2)"),
        (torch.ones(1, 2, 3), "shape:1ab", "got (1, 2, 3)"),
        (torch.ones(()), "shape:scalar", "got ()"),
        (torch.ones(6), "shape", "got (6,)"),
        (torch.ones(2, 3, dtype=torch.float64), "dtype:float64", "keep the dtype torch.float32"),
        (torch.ones(2, 3, dtype=torch.complex64), "dtype:complex", "should be real"),
        (torch.tensor([[0.0, 1.0, 2.0], [0.0, torch.nan, 0.0]]), "finite:nan", "contains NaN, first at index [1, 1]"),
        (torch.full((2, 3), -torch.inf), "finite:infinity", "contains infinity, first at index [0, 0]"),
    ],
)
def test_tensor(value: Any, code: str, says: str) -> None:
    fails(code, says, lambda: expect.tensor(value, "the mask", shape=(2, 3), dtype=torch.float32))


def test_tensor_passes() -> None:
    value = torch.ones(2, 3)
    assert expect.tensor(value, shape=(2, 3), dtype=torch.float32) is value
    assert expect.tensor(torch.full((), torch.nan), finite=False).dim() == 0
    assert expect.tensor(torch.empty(0)).numel() == 0
    fails("finite:nan", "contains NaN", lambda: expect.tensor(torch.tensor(torch.nan)))


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), torch.tensor(0.5, dtype=torch.float64)])
def test_scalar_passes(value: Any) -> None:
    assert expect.scalar(value) == 0.5
    assert expect.scalar(1) == 1.0
    assert expect.scalar(torch.tensor(3)) == 3.0


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "type:NoneType"),
        (True, "type:bool"),
        ("0.5", "type:str"),
        (1j, "type:complex"),
        ([0.5], "type:list"),
        (torch.tensor([0.5]), "shape:one"),
        (torch.tensor([[0.5]]), "shape:one"),
        (torch.ones(3), "shape:many"),
        (torch.empty(0), "shape:many"),
        (torch.tensor(True), "type:bool"),
        (torch.tensor(1j), "type:complex"),
        (torch.tensor(torch.nan), "finite:nan"),
        (float("inf"), "finite:infinity"),
        (10**400, "finite:infinity"),
    ],
)
def test_scalar_fails(value: Any, code: str) -> None:
    fails(code, "the answer should be", lambda: expect.scalar(value, "the answer"))


def test_precision_is_four_roundings() -> None:
    assert expect.precision(torch.float64) == expect.precision(torch.float32) == 1e-6
    assert expect.precision(torch.bfloat16) == 4 * 2**-7
    assert expect.precision(torch.float16) == 4 * 2**-10
    assert expect.precision(torch.int64) == 1e-6


def test_close_of_numbers() -> None:
    expect.close(0.5 + 1e-7, 0.5)
    expect.close(torch.tensor(0.1), 0.1)
    fails("value", "the answer should be 0.5, got 0.6", lambda: expect.close(0.6, 0.5, "the answer"))
    fails("rate:twice", "got 1", lambda: expect.close(1.0, 0.5, code="rate", candidates={"half": 0.25, "twice": 1.0}))
    fails("finite:nan", "finite", lambda: expect.close(float("nan"), 0.5))


def test_close_of_tensors() -> None:
    x = maps(3, 4)
    expect.close(x + 1e-7, x)
    expect.close(x.double(), x)
    off = x.clone()
    off[1, 2] += 0.5
    off[0, 0] += 0.25
    found = fails("value", "in 2 of 12 places", lambda: expect.close(off, x))
    assert "the largest difference is 0.5, at index [1, 2]" in found.message
    fails("value:twice", "differs", lambda: expect.close(2 * x, x, candidates={"other": -x, "twice": 2 * x}))
    fails("shape:ba", "should have shape (3, 4)", lambda: expect.close(x.T, x))
    fails("finite:nan", "NaN", lambda: expect.close(x * torch.nan, x))
    fails("value", "at index []", lambda: expect.close(torch.tensor(2), torch.tensor(1)))
    fails("type:NoneType", "None", lambda: expect.close(None, x))
    several = {"twice": [0.9, 1.0], "half": 0.25}
    fails("value:twice", "got 1", lambda: expect.close(1.0, 0.5, candidates=several))
    fails("value", "got 2", lambda: expect.close(2.0, 0.5, candidates=several))


def test_unchanged() -> None:
    x = maps(3, 4)
    expect.unchanged(x, x.clone())
    for after in (2 * x, x.double(), x.T, None, [x]):
        fails("input:changed", "logits was changed", lambda after=after: expect.unchanged(x, after, "logits"))


# -- calls ---------------------------------------------------------------------------------------------------------------


def test_function_call_and_made() -> None:
    there = student(add=lambda a, b=1: a + b, value=3, make=lambda n: nn.Linear(n, n), nothing=lambda: None, none=None)
    assert expect.function(there.add) is not None
    assert expect.call(there.add, 1, b=2) == 3
    assert expect.made(there.make, 2)(torch.ones(1, 2)).shape == (1, 2)
    fails("type:int", "should be something to call, got the int 3", lambda: expect.call(there.value))
    fails("type:NoneType", "the exercise should be something to call", lambda: expect.function(there.none))
    fails("type:NoneType", "what nothing makes should be", lambda: expect.made(there.nothing, what="nothing"))


def test_mode() -> None:
    layer = nn.Dropout()
    remote = expect.made(student(make=lambda: layer).make)
    expect.mode(remote, training=False)
    assert not layer.training
    expect.mode(remote, training=True)
    assert layer.training
    layer.train = 3  # type: ignore[assignment]
    fails("type:int", "train() should be something to call", lambda: expect.mode(remote, training=True))


class _Special(ValueError):
    pass


def _refuses(x: Any, error: type[Exception] = ValueError) -> None:
    raise error(f"expected 4 dimensions, got {x}")


def test_raises() -> None:
    there = student(refuses=_refuses, special=lambda x: _refuses(x, _Special), wrong=lambda x: _refuses(x, KeyError))
    for shape in ("(11, 13)", "torch.Size([11, 13])", "11x13", "11 rows and 13 columns.", "[11, 13]"):
        expect.raises("ValueError", there.refuses, shape, mentions=(11, 13))
    expect.raises("ValueError", there.special, 1)
    expect.raises("ValueError", there.refuses, -0.25, mentions=(-0.25,))
    for shown in ("-0.5", "-0.50", "p=-0.5."):
        expect.raises("ValueError", there.refuses, shown, mentions=(-0.5,))
    for shown in ("0.5", "-0.51", "-0.055", "p"):
        fails("raises:message", "show -0.5",
              lambda shown=shown: expect.raises("ValueError", there.refuses, shown, mentions=(-0.5,)))  # fmt: skip
    for shape in ("(13, 11)", "(111, 13)", "(11,)", "(11, 13.5)", "nothing"):
        fails(
            "raises:message", "show 11, 13",
            lambda shape=shape: expect.raises("ValueError", there.refuses, shape, mentions=(11, 13)),
        )  # fmt: skip
    fails(
        "raises:KeyError",
        "should raise ValueError, but your code raised",
        lambda: expect.raises("ValueError", there.wrong, 1),
    )


def test_raises_when_nothing_is_raised() -> None:
    there = student(accepts=lambda x: x, value=3, stub=_stub)
    fails("p:nothing", "f(2) should raise ValueError, but it was accepted",
          lambda: expect.raises("ValueError", there.accepts, 2, what="f(2)", code="p"))  # fmt: skip
    fails("type:int", "something to call", lambda: expect.raises("ValueError", there.value))
    with pytest.raises(StudentError) as caught:  # an untouched stub is no wrong answer
        expect.raises("ValueError", there.stub)
    assert caught.value.not_started


def _stub() -> None:
    raise NotImplementedError(f"it {STILL_TO_DO}")


def test_no_state() -> None:
    def state(**options: Any) -> dict[str, Any]:
        return {"parameters": {}, "buffers": {}, **options}

    expect.no_state(state())
    expect.no_state(state(buffers={"p": torch.tensor(0.5)}))
    expect.no_state(state(parameters={"p": torch.tensor([0.5])}))
    fails("state:buffers", "“mask” among its buffers", lambda: expect.no_state(state(buffers={"mask": torch.ones(2)})))
    fails("state:parameters", "“p”", lambda: expect.no_state(state(parameters={"p": nn.Parameter(torch.tensor(0.5))})))
    fails("state:parameters", "“w”", lambda: expect.no_state(state(parameters={"w": "junk"})))


# -- masks ---------------------------------------------------------------------------------------------------------------

WHOLE = ("height", "width")


def test_mixed() -> None:
    zero, one, both = torch.zeros(2, 2), torch.ones(2, 2), torch.eye(2)
    answers = iter([zero, one, both])
    assert expect.mixed(lambda: next(answers)) is both
    flips = iter([zero, one] * 40)
    fails("varies:none", "one coin decides", lambda: expect.mixed(lambda: next(flips)))
    fails("drops:everything", "whole output is zero", lambda: expect.mixed(lambda: zero))
    fails("drops:nothing", "nothing was dropped", lambda: expect.mixed(lambda: one))
    fails("type:NoneType", "None", lambda: expect.mixed(lambda: None))


def test_constant_zero_pattern_passes() -> None:
    dropped = coins(8, 12, 0.3)
    y = masked(dropped, 5, 7)
    assert bool((expect.constant_zero_pattern(y, over=WHOLE) == dropped).all())
    last = y.movedim(1, -1)
    assert bool((expect.constant_zero_pattern(last, over=WHOLE, layout="NHWC") == dropped).all())
    assert expect.constant_zero_pattern(y[:, :, :1, :1], over=WHOLE).shape == (8, 12)


@pytest.mark.parametrize(
    ("sizes", "letters"),
    [((8, 12, 5, 7), "CHNW"), ((1, 12, 1, 1), "C"), ((8, 1, 5, 7), "HNW"), ((8, 1, 1, 1), "N"), ((8, 12, 5, 1), "CHN")],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_constant_zero_pattern_names_the_axes(sizes: tuple[int, ...], letters: str, layout: str) -> None:
    mask = torch.rand(sizes, generator=torch.Generator().manual_seed(1)) > 0.4
    y = maps(8, 12, 5, 7) * mask
    y = y if layout == "NCHW" else y.movedim(1, -1)
    found = fails(
        f"there:{letters}", "one decision for each example and channel",
        lambda: expect.constant_zero_pattern(y, over=WHOLE, layout=layout, code="there"),
    )  # fmt: skip
    assert ("also changes along" in found.message) == bool({"H", "W"} & set(letters))
    assert ("is the same along" in found.message) == (not {"N", "C"} <= set(letters))


def test_constant_zero_pattern_fails_on_junk() -> None:
    fails("drops:nothing", "nothing", lambda: expect.constant_zero_pattern(maps(2, 3, 4, 5), over=WHOLE))
    fails("drops:everything", "everything", lambda: expect.constant_zero_pattern(torch.zeros(2, 3, 4, 5), over=WHOLE))
    fails("shape", "unexpected shape", lambda: expect.constant_zero_pattern(torch.zeros(2, 3), over=WHOLE))
    fails("shape", "unexpected shape", lambda: expect.constant_zero_pattern(torch.zeros(2, 0, 3, 4), over=WHOLE))
    fails("type:str", "torch.Tensor", lambda: expect.constant_zero_pattern("junk", over=WHOLE))
    fails("finite:nan", "NaN", lambda: expect.constant_zero_pattern(torch.full((2, 3, 4, 5), torch.nan), over=WHOLE))


def test_decisions() -> None:
    dropped = coins(8, 12, 0.3)
    y = masked(dropped, 5, 7)
    assert bool((expect.decisions(y) == dropped).all())
    assert bool((expect.decisions(y, "CN") == dropped.T).all())
    assert bool((expect.decisions(y.movedim(1, -1), layout="NHWC") == dropped).all())
    assert bool((expect.decisions(y, "N") == dropped[:, 0]).all())
    fails("shape", "unexpected shape", lambda: expect.decisions(dropped.float()))


@pytest.mark.parametrize("p", [0.2, 0.35, 0.7])
def test_drop_rate(p: float) -> None:
    y = masked(coins(48, 96, p), 2, 3)
    expect.drop_rate(y, p)
    expect.drop_rate(y.movedim(1, -1), p)
    fails("rate:1-p", "that is 1 - p, the share to keep", lambda: expect.drop_rate(y, 1 - p))
    fails("rate:other", "should be dropped", lambda: expect.drop_rate(y, 0.5))
    fails("big:half", "should be dropped", lambda: expect.drop_rate(masked(coins(48, 96, 0.5), 2, 3), p, code="big"))
    near = {"near": p + 0.03, "nearer": p}
    fails("rate:nearer", "should be dropped", lambda: expect.drop_rate(y, p / 2, candidates=near))


def test_drop_rate_counts_a_coin_once() -> None:
    """One coin for 48 rows is one trial, not 48: what is dropped then says nothing about the rate."""
    shared = coins(1, 96, 0.3).expand(48, 96)
    expect.drop_rate(masked(shared, 2, 3), 0.3)
    with pytest.raises(expect.Failure):
        expect.drop_rate(maps(48, 96, 2, 3) * ~coins(48, 96, 0.45)[:, :, None, None], 0.3)


def test_drop_rate_without_choice() -> None:
    expect.drop_rate(torch.zeros(48, 96), 1.0)
    expect.drop_rate(torch.ones(48, 96), 0.0)
    fails("rate:1-p", "0 of 1 (0.000)", lambda: expect.drop_rate(torch.ones(48, 96), 1.0))
    fails("drops:all_alike", "everything was dropped", lambda: expect.drop_rate(torch.zeros(48, 96), 0.3))
    fails("drops:all_alike", "nothing was dropped", lambda: expect.drop_rate(torch.ones(48, 96), 0.3))
    fails("type:NoneType", "None", lambda: expect.drop_rate(None, 0.3))


NAMES = ("example", "channel")


@pytest.mark.parametrize("p", [0.2, 0.3, 0.4, 0.6])
def test_independent_passes(p: float) -> None:
    for seed in range(50):
        expect.independent(coins(48, 96, p, seed), p, NAMES)
        expect.independent(coins(40, 24, p, seed), p, NAMES)
        expect.independent(coins(5, 7, 0.5, seed), p, NAMES)  # odd numbers, and a rate that is another check's


@pytest.mark.parametrize("p", [0.2, 0.3, 0.4])
def test_independent_fails(p: float) -> None:
    table = coins(48, 96, p)
    fails("shared:example", "each example should have its own coins",
          lambda: expect.independent(table[:1].expand(48, 96), p, NAMES))  # fmt: skip
    fails("shared:channel", "each channel should have its own coins",
          lambda: expect.independent(table[:, :1].expand(48, 96), p, NAMES))  # fmt: skip
    fails("shared:channel", "agree in", lambda: expect.independent(table.repeat_interleave(2, 1)[:, :96], p, NAMES))
    opposite = torch.stack([table[::2], ~table[::2]], 1).flatten(0, 1)
    fails("opposed:example", "agree in 0%", lambda: expect.independent(opposite, p, NAMES))
    order = torch.rand(48, 96, generator=torch.Generator().manual_seed(2)).argsort(1)
    for count in (int(96 * p), int(96 * p) + 1):
        fails("count:fixed", "should vary from example", lambda n=count: expect.independent(order < n, p, NAMES))
    fails("drops:all_alike", "nothing was dropped", lambda: expect.independent(table & False, p, NAMES))
    fails("drops:all_alike", "everything was dropped", lambda: expect.independent(table | True, p, NAMES))


def test_fresh() -> None:
    first, second, third = (coins(48, 96, 0.3, seed) for seed in range(3))
    expect.fresh(first, second, 0.3)
    expect.fresh(first, second, 0.3, elsewhere=first)  # two objects may begin alike
    expect.fresh(first, second, 0.7)
    fails("stale:repeated", "these agree in 100%", lambda: expect.fresh(first, first, 0.3))
    fails("stale:stored", "should draw two masks", lambda: expect.fresh(first, first, 0.3, elsewhere=third))
    fails("stale:seeded", "so does another object", lambda: expect.fresh(first, first, 0.3, elsewhere=first))
    fails("stale:from_input", "another input", lambda: expect.fresh(first, first, 0.3, on_another=second))
    fails("stale:repeated", "should draw", lambda: expect.fresh(first, first, 0.3, on_another=first))
    half = torch.where(torch.arange(96) < 48, first, second)
    fails("stale:partly", "should draw", lambda: expect.fresh(first, half, 0.3))


@pytest.mark.parametrize("p", [0.2, 0.3, 0.4, 0.8])
def test_distinct(p: float) -> None:
    for seed in range(50):
        expect.distinct(coins(96, 96, p, seed), p, NAMES)
    table = coins(96, 96, p)
    fails("copied:example", "exactly the same", lambda: expect.distinct(table[:48].repeat(2, 1), p, NAMES))
    fails("copied:channel", "exactly the same", lambda: expect.distinct(table[:, :48].repeat(1, 2), p, NAMES))
    one = table.clone()
    one[90] = one[3]
    fails("copied:example", "exactly the same", lambda: expect.distinct(one, p, NAMES))
    few = coins(4, 6, p)
    expect.distinct(torch.cat([few, few]), p, NAMES)  # too few to tell a copy from chance
    fails("drops:all_alike", "nothing", lambda: expect.distinct(table & False, p, NAMES))


def test_broadcast_and_constant_axes() -> None:
    x = maps(4, 6, 3, 5)
    assert expect.broadcast(torch.ones(4, 6, 1, 1), x).shape == x.shape
    for shape, letters in (((4, 6), "shape:ab"), ((6, 4, 1, 1), "shape:ba11"), ((7,), "shape")):
        fails(letters, "does not broadcast", lambda shape=shape: expect.broadcast(torch.ones(shape), x))
    fails("type:NoneType", "None", lambda: expect.broadcast(None, x))
    assert expect.constant_axes(coins(4, 6, 0.5)[:, :, None, None].expand(x.shape)) == ["height", "width"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_scale_passes(dtype: torch.dtype) -> None:
    p, mask = 0.307, ~coins(16, 24, 0.3)[:, :, None, None]
    x = maps(16, 24, 5, 7).to(dtype)
    for y in (
        x * mask / (1 - p), x * (mask.to(dtype) / (1 - p)), x / (1 - p) * mask, x * mask * (1 / (1 - p)),
        x * mask.to(dtype).div(torch.tensor(1 - p, dtype=dtype)), torch.where(mask, x / (1 - p), 0).to(dtype),
    ):  # fmt: skip
        expect.scale(y.to(dtype), x, p)


def test_scale_fails() -> None:
    p, mask = 0.307, ~coins(16, 24, 0.3)[:, :, None, None]
    x = maps(16, 24, 5, 7)
    share = mask.double().mean()
    each = mask.double().mean(1, keepdim=True)
    for code, factor in {
        "none": 1.0, "1/p": 1 / p, "1-p": 1 - p, "p": p, "1/(1-p)^2": (1 - p) ** -2, "minus": -1 / (1 - p), "2": 2.0,
        "1/(1+p)": 1 / (1 + p), "1+p": 1 + p, "other": 1.25, "observed": 1 / share,
    }.items():  # fmt: skip
        found = fails(
            f"scale:{code}", f"1 / (1 - p) = {1 / (1 - p):.4g}", lambda f=factor: expect.scale(x * mask * f, x, p)
        )
        assert f"multiplied by {float(factor):.4g}" in found.message
    fails("scale:observed", "numbers between", lambda: expect.scale(x * mask / each, x, p))
    fails("scale:varies", "numbers between", lambda: expect.scale(x * mask * maps(16, 24, 5, 7, seed=3), x, p))
    fails("drops:everything", "everything", lambda: expect.scale(x * 0, x, p))
    fails("scale:other", "multiplied by", lambda: expect.scale(x * mask * 1e30, x, p))
    fails("scale:other", "multiplied by", lambda: expect.scale(x * mask / (1 - p) * (1 + 1e-5), x, p))
    fails("shape:1bcd", "should have shape", lambda: expect.scale(x[:1], x, p))
    fails("type:NoneType", "None", lambda: expect.scale(None, x, p))
    fails("large:none", "multiplied", lambda: expect.scale(x * mask, x, p, "large"))


def test_masked_gradient() -> None:
    mask = ~coins(4, 6, 0.3)[:, :, None, None] / 0.7
    x, g = maps(4, 6, 3, 5), maps(4, 6, 3, 5, seed=1)
    there = student(
        right=lambda x: x * mask,
        detached=lambda x: x.detach() * mask,
        through=lambda x: x + (x * mask - x).detach(),
        half=lambda x: x * mask / 2 + (x * mask / 2).detach(),
        zeros=lambda x: torch.zeros_like(x),
        nothing=lambda x: None,
        unused=lambda x: torch.ones(4, 6, 3, 5, requires_grad=True) * 1,
        notanumber=lambda x: torch.where(mask > 0, x, (x * 0).sqrt() * torch.ones(()) / x.sub(x).add(1)),
    )

    def gradient(name: str) -> None:
        seen = there.observe(getattr(there, name), x.clone().requires_grad_(), cotangent=g)
        expect.masked_gradient(seen, x, g)

    gradient("right")
    fails("gradient:none", "no gradient reaches", lambda: gradient("detached"))
    fails("gradient:none", "no gradient reaches", lambda: gradient("zeros"))
    fails("gradient:none", "no gradient reaches", lambda: gradient("unused"))
    fails("gradient:through", "the gradient of the input differs", lambda: gradient("through"))
    fails("gradient", "the gradient of the input differs", lambda: gradient("half"))
    fails("type:NoneType", "None", lambda: gradient("nothing"))
    fails("finite:nan", "NaN", lambda: gradient("notanumber"))
