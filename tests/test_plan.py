"""Calls that travel together: what each returns and raises is what it would alone, in a notebook and across the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from autograder.course import Course
from autograder.probes import Message
from autograder.sandbox import Limits, Sandbox
from autograder.student import Remote, Student, StudentError, StudentGone, local_student
from tests.conftest import linux

CELL = """
import torch
from torch import nn

class Scale(nn.Module):
    def __init__(self, by):
        super().__init__()
        if by < 0:
            raise ValueError(f"by is {by}")
        self.by = by
    def forward(self, x):
        return self.by * x

seen = []
def writes(x):
    seen.append(float(x.sum()))
    x.zero_()
    return len(seen)

rows = []
def grows():
    rows.append(1)
    return torch.ones(len(rows))

from builtins import repr
def three(): return 3
def hangs(seconds):
    import time
    time.sleep(seconds)
    return seconds
def waits(x): return torch.relu(x)
def ends(): raise SystemExit
def hungry(): return [0] * 10**12
"""


@pytest.fixture(params=["notebook", pytest.param("sandbox", marks=linux)])
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    if request.param == "notebook":
        namespace: dict[str, Any] = {}
        exec(CELL, namespace)
        yield local_student(namespace)
    else:
        sandbox: Sandbox = request.getfixturevalue("mini_sandbox")
        there = Student(sandbox.open())
        there.run("cell", CELL)
        yield there


def counted(student: Student) -> list[Message]:
    """Note the messages that are sent from now on."""
    sent: list[Message] = []
    plain = student._transport.request

    def request(message: Message) -> Message:
        sent.append(message)
        return plain(message)

    student._transport.request = request  # type: ignore[method-assign]
    return sent


def test_one_message_carries_all(student: Student) -> None:
    scale, x = student.Scale, torch.randn(3, 4)
    sent = counted(student)
    plan = student.together()
    layer = plan.call(scale, by=2.5)
    ys = [plan.call(layer, x), plan.call(layer, x=x)]
    seen = plan.observe(layer, x.clone().requires_grad_(), cotangent=torch.ones(3, 4))
    assert sent == []
    assert all(torch.equal(y.get(), 2.5 * x) for y in ys)
    assert isinstance(layer.get(), Remote)
    assert bool((seen.get().gradients[0] == 2.5).all())
    assert len(sent) == 1
    assert torch.equal(layer.get()(x), 2.5 * x), "what was made can be used afterwards"


def test_a_tensor_travels_once_and_each_call_has_its_own(student: Student) -> None:
    writes, x, other = student.writes, torch.ones(5), torch.full((5,), 2.0)
    sent = counted(student)
    plan = student.together()
    counts = [plan.call(writes, each) for each in (x, x, other, x)]
    assert [count.get() for count in counts] == [1, 2, 3, 4]
    assert [float(t.sum()) for t in sent[0]["inputs"]] == [5.0, 10.0] if "inputs" in sent[0] else True
    assert bool((x == 1).all())
    assert student.seen == [5.0, 5.0, 10.0, 5.0]


def test_each_answer_raises_its_own(student: Student) -> None:
    plan = student.together()
    good, bad = plan.call(student.Scale, 2.0), plan.call(student.Scale, -1.0)
    on_bad, on_good = plan.call(bad, torch.ones(2)), plan.call(good, torch.ones(2))
    on_that = plan.call(on_bad, torch.ones(2))
    number = plan.call(student.three)
    on_number = plan.call(number)
    assert on_good.get().tolist() == [2.0, 2.0]
    for step in (bad, on_bad, on_that):
        with pytest.raises(StudentError, match="by is -1") as raised:
            step.get()
        assert raised.value.types[0] == "ValueError"
    assert number.get() == 3
    with pytest.raises(StudentError, match="not callable"):
        on_number.get()


def test_whatever_a_step_raises_the_next_is_made(student: Student) -> None:
    plan = student.together()
    steps = [plan.call(student.ends), plan.call(student.hungry), plan.call(student.three)]
    with pytest.raises(StudentError, match="SystemExit"):
        steps[0].get()
    with pytest.raises(StudentError) as raised:
        steps[1].get()
    assert "MemoryError" in raised.value.types
    assert steps[2].get() == 3


def test_a_plan_is_carried_out_once(student: Student) -> None:
    plan = student.together()
    assert plan.call(student.three).get() == 3
    with pytest.raises(RuntimeError, match="carried out"):
        plan.call(student.three)


def test_what_calls_the_library_is_noticed(student: Student) -> None:
    student.watch = ("relu",)
    plan = student.together()
    step = plan.call(student.waits, torch.ones(2))
    step.get()
    assert student.library == {"relu"}


@linux
def test_each_step_has_the_time_of_an_answer(mini: Course) -> None:
    with Sandbox([mini.notebooks], [], ["torch"], Limits(answer_s=1.0)) as box:
        student = Student(box.open())
        student.run("cell", CELL)
        plan = student.together()
        steps = [plan.call(student.hangs, 0.4) for _ in range(4)]
        assert [step.get() for step in steps] == [0.4] * 4
        plan = student.together()
        steps = [plan.call(student.three), plan.call(student.hangs, 60.0)]
        with pytest.raises(StudentGone) as gone:
            steps[0].get()
        assert gone.value.code == "timeout"


FORGED: dict[str, Callable[[list[Message]], Any]] = {
    "no list": lambda replies: None,
    "too few": lambda replies: replies[:-1],
    "too many": lambda replies: [*replies, replies[0]],
    "not replies": lambda replies: [1, 2],
    "no word of the library": lambda replies: [{"output": 1}, {"output": 2}],
    "after itself": lambda replies: [{"after": 0}, {"after": 1}],
    "after a later one": lambda replies: [{"after": 1}, {"after": 0}],
    "after nothing": lambda replies: [{"after": -1}, {"after": "x"}],
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_replies_are_no_answers(name: str) -> None:
    student = local_student({"three": lambda: 3})
    plan = student.together()
    steps = [plan.call(student.three), plan.call(student.three)]
    plain = student._transport.request

    def forged(message: Message) -> Message:
        return {"value": FORGED[name](plain(message)["value"])}

    student._transport.request = forged  # type: ignore[method-assign]
    for step in steps:
        with pytest.raises(StudentGone) as gone:
            step.get()
        assert gone.value.code == "protocol"


def test_what_a_step_returned_can_be_an_argument(student: Student) -> None:
    plan = student.together()
    one, three = plan.call(student.Scale, 1.5), plan.call(student.three)
    named = plan.call(student.Scale, by=three)
    with_it = plan.call(student.repr, [one, {"also": three}])
    bad = plan.call(student.Scale, by=-1.0)
    with_bad = plan.call(student.repr, [{"in": bad}])
    assert named.get()(torch.ones(1)).tolist() == [3.0]
    assert with_it.get() == "[Scale(), {'also': 3}]"
    with pytest.raises(StudentError, match="by is -1"):
        with_bad.get()


@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)], ids=str)
def test_repeated_calls_return_each_its_own(student: Student, shape: tuple[int, ...]) -> None:
    """Tensors that are alike travel as one, and come apart again."""
    outputs = student.repeat(student.Scale(3.0), 4, torch.ones(shape))
    assert len(outputs) == 4
    assert all(torch.equal(output, 3 * torch.ones(shape)) and not output.requires_grad for output in outputs)


def test_repeated_calls_may_return_things_that_differ(student: Student) -> None:
    x = torch.ones(3)
    assert student.repeat(student.writes, 3, x) == [1, 2, 3]
    assert torch.equal(x, torch.ones(3)), "each call has a copy"
    student_made = student.repeat(student.grows, 3)
    assert [tuple(output.shape) for output in student_made] == [(1,), (2,), (3,)]
    assert student.repeat(student.three, 0) == []
