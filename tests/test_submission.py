"""Reading and aligning what learners hand in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder import source, submission
from autograder.course import Course
from autograder.submission import Found, Submission, Unreadable, align, identify, read_notebook

DOUBLE = "def double(x):\n    return 2 * x"


def aligned(notebook: Any, course: Course) -> Submission:
    cells, metadata = read_notebook(json.dumps(notebook).encode())
    return align(cells, identify(cells, metadata, course))


def sources(handed_in: Submission) -> str:
    return "\n".join(p.source for p in handed_in.programs)


def test_found_by_metadata(answer: Callable[..., Any], mini: Course) -> None:
    found = aligned(answer(double=DOUBLE), mini).answers["double"]
    assert (found.found, found.source, found.untouched) == (Found.METADATA, DOUBLE, False)


def test_found_by_cell_id_where_metadata_is_lost(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer(double=DOUBLE)
    notebook["metadata"] = {}
    for cell in notebook.cells:
        cell["metadata"] = {}
    handed_in = aligned(notebook, mini)
    assert handed_in.unit.stem == "00_mini"
    assert handed_in.answers["double"].found is Found.CELL_ID
    assert handed_in.answers["quadruple"].untouched
    assert handed_in.written["why"].untouched


def test_found_by_name_where_ids_are_lost_too(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer(double=DOUBLE)
    notebook["metadata"] = {}
    for cell in notebook.cells:
        cell["metadata"] = {}
        del cell["id"]
    assert aligned(notebook, mini).answers["double"].found is Found.NAME


def test_a_deleted_cell_is_missing(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer(quadruple="def quadruple(x): return 4 * x")
    notebook.cells = [c for c in notebook.cells if c["id"] != "exercise-double"]
    found = aligned(notebook, mini).answers["double"]
    assert found.found is Found.MISSING
    assert "deleted" in found.note


def test_a_solution_in_a_new_cell_beats_the_untouched_stub(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer()
    notebook.cells.insert(8, nbformat.v4.new_code_cell(DOUBLE))
    found = aligned(notebook, mini).answers["double"]
    assert (found.found, found.source) == (Found.NAME, DOUBLE)


def test_of_two_copies_the_last_counts_and_it_is_said(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer(double="def double(x): return 0")
    copy = json.loads(json.dumps(next(c for c in notebook.cells if c["id"] == "exercise-double")))
    notebook.cells.append({**copy, "source": DOUBLE})
    found = aligned(notebook, mini).answers["double"]
    assert found.source == DOUBLE
    assert "2 cells define double" in found.note


def test_a_renamed_exercise_says_so(answer: Callable[..., Any], mini: Course) -> None:
    found = aligned(answer(double="def dubble(x):\n    return 2 * x"), mini).answers["double"]
    assert "renamed" in found.note
    assert not found.untouched


def test_a_syntax_error_does_not_hide_the_exercise(answer: Callable[..., Any], mini: Course) -> None:
    found = aligned(answer(double="def double(x):\n    return 2 *"), mini).answers["double"]
    assert found.found is Found.METADATA


def test_setup_is_restored_and_training_is_not_run(answer: Callable[..., Any], mini: Course) -> None:
    notebook = answer(double="def double(x):\n    return SCALE * helper() * x")
    setup = next(c for c in notebook.cells if "import torch" in c.source)
    setup.source = "import torch\ntorch.manual_seed = None"
    own = "from math import pi\nSCALE = 3\nhelper = lambda: pi\nfor i in range(9**9): pass\nunused = train()"
    notebook.cells.append(nbformat.v4.new_code_cell(own))
    handed_in = aligned(notebook, mini)
    ran = sources(handed_in)
    assert "manual_seed" not in ran
    assert "from autograder import check" in ran
    assert "from math import pi" in ran
    assert "SCALE = 3" in ran
    assert "9**9" not in ran
    assert "train()" not in ran
    assert "check(double)" not in ran
    assert any("set-up cell was changed" in note for note in handed_in.notes)


def test_magics_are_no_syntax_error(answer: Callable[..., Any], mini: Course) -> None:
    handed_in = aligned(answer(double="%matplotlib inline\n!pip list\n" + DOUBLE), mini)
    program = next(p for p in handed_in.programs if p.exercise == "double")
    compile(program.source, "x", "exec")
    assert "return 2 * x" in program.source


def test_a_timed_cell_is_its_body(answer: Callable[..., Any], mini: Course) -> None:
    handed_in = aligned(answer(double="%%time\n" + DOUBLE), mini)
    program = next(p for p in handed_in.programs if p.exercise == "double")
    assert program.source == "\n" + DOUBLE  # with its lines where they were
    assert not handed_in.answers["double"].note


def test_format_3_is_read(mini: Course) -> None:
    old = {
        "nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""},
        "worksheets": [{"cells": [{"cell_type": "code", "language": "python", "input": [DOUBLE], "outputs": []}]}],
    }  # fmt: skip
    assert aligned(old, mini).answers["double"].found is Found.NAME


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the file is empty"),
        (b"{", "not valid JSON (line 1"),
        (b'{"cells": [' + b"{}," * 5000 + b"{}]}", "5001 cells"),
        (b'{"cells": [', "not valid JSON"),
        (b"\xff\xfe\x00", "not text"),
        (b"[1, 2]", "not a notebook"),
        (b'{"cells": 3}', "not a notebook"),
        (b"[" * 200_000, "nested"),
        (b'{"cells": []}', "none of its cells defines an exercise"),
        (
            b'{"cells": [], "metadata": {"autograder": {"unit": "77_gone"}}}',
            "'77_gone', which this course does not have",
        ),
        (b'{"cells": [1, null, {"source": 3}, {"cell_type": 7, "source": ["x", 1]}]}', "none of its cells"),
    ],
)
def test_the_unreadable_get_a_sentence(data: bytes, sentence: str, mini: Course) -> None:
    with pytest.raises(Unreadable) as problem:
        identify(*read_notebook(data), mini)
    assert sentence in str(problem.value)


def test_a_notebook_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "large.ipynb"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(Unreadable, match="100 MB and the limit is 32 MB"):
        submission.read_file(large)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
CELL = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown", "raw"]) | JSON,
        "source": st.sampled_from([DOUBLE, ["def double(x):\n", "  return x"], "class double: pass", "double = 1"]) | JSON,
        "id": st.sampled_from(["exercise-double", "cell-002"]) | JSON,
        "metadata": st.just({"autograder": {"role": "exercise", "name": "double"}})
        | st.fixed_dictionaries({"autograder": JSON}) | JSON,
    },
)  # fmt: skip


@given(st.lists(CELL | JSON, max_size=6), JSON)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_json_is_aligned_or_refused(mini: Course, cells: list[Any], metadata: Any) -> None:
    handed_in: Submission | None
    try:
        handed_in = aligned({"cells": cells, "metadata": metadata}, mini)
    except Unreadable as problem:
        handed_in, reason = None, str(problem)
    assert reason if handed_in is None else set(handed_in.answers) == {"double", "quadruple"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from torch.nn import functional as F\nF.dropout2d(x)", ["dropout2d"]),
        ("torch.nn.functional.dropout2d(x)", ["dropout2d"]),
        ("nn.Dropout2d(0.5)(x)", ["Dropout2d"]),
        ("from torch.nn import Dropout2d as D\nD(0.5)", ["Dropout2d"]),
        ("from torch.nn.functional import dropout2d\ndropout2d(x)", ["dropout2d"]),
        ("class A(nn.Dropout2d): pass", ["Dropout2d"]),
        ("getattr(nn, 'Dropout2d')(0.5)", ["Dropout2d"]),
        ("isinstance(m, nn.Dropout2d)", []),
        ("def dropout2d(x): return x\ndropout2d(x)", []),
        ("self.dropout2d(x)", []),
        ("class Ops:\n  @staticmethod\n  def dropout2d(x): return x\nOps.dropout2d(x)", []),
        ("import torch.nn.functional as tnf\ntnf.dropout2d(x)", ["dropout2d"]),
        ("fn = torch.nn.functional\nfn.dropout2d(x)", ["dropout2d"]),
        ("# F.dropout2d(x)\n'F.dropout2d(x)'", []),
    ],
)
def test_library_versions_are_named(code: str, expected: list[str]) -> None:
    found = source.library_calls(code, ("dropout2d", "Dropout2d"), context=["from torch import nn"])
    assert [u.name for u in found] == expected


def test_a_comparison_below_the_answer_is_no_use_of_the_library() -> None:
    code = "def helper(x): return nn.Dropout2d()(x)\ndef f(x): return {}(x)\nprint(nn.Dropout2d(0.2)(f(x)))"
    names = ("Dropout2d",)
    context = ["from torch import nn"]
    assert source.library_calls(code.format("abs"), names, "f", context) == []
    assert [u.line for u in source.library_calls(code.format("helper"), names, "f", context)] == [1]


def test_support_keeps_what_is_needed_where_it_was() -> None:
    cells = [
        "import os\nx = train()\n\n@decorated\ndef f():\n    return K\nprint(f())\nK: int = 3\na = 1; b = run()",
        "F = nn.functional\ntry:\n    import fast\nexcept ImportError:\n    fast = None\nfor K in range(9): pass",
    ]
    kept = source.support(cells, {"f", "fast", "a", "b"})
    assert kept[0].split("\n") == ["", "", "", "@decorated", "def f():", "    return K", "", "K: int = 3"]
    assert kept[1].split("\n") == ["", "try:", "    import fast", "except ImportError:", "    fast = None"]
    assert source.support(cells, {"nothing"}) == ["", ""]


def test_globals_used_are_those_from_outside() -> None:
    code = "class A(nn.Module):\n  def f(self, x: Tensor):\n    y = g(x)\n    return [y * S for _ in y]\n"
    assert source.globals_used(code) >= {"nn", "Tensor", "g", "S"}
    assert not source.globals_used(code) & {"x", "y", "self", "f"}
    assert source.globals_used("def (") == set()


@pytest.mark.parametrize(
    "own",
    [
        "F = torch.nn.functional",
        "import torch.nn.functional as F",
        "from torch.nn import functional as F",
        "if True:\n    from torch.nn import functional as F",
        "nn = torch.nn\nF = nn.functional",
        "class F:\n    relu = staticmethod(torch.relu)",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_an_answer_needs_from_other_cells_is_there(
    answer: Callable[..., Any], mini: Course, own: str, first: bool
) -> None:
    notebook = answer(double="def double(x):\n    return F.relu(x) - F.relu(-x) + x")
    notebook.cells.insert(3 if first else len(notebook.cells), nbformat.v4.new_code_cell(own + "\nlong_training()"))
    namespace: dict[str, Any] = {}
    for program in aligned(notebook, mini).programs:
        exec(program.source, namespace)
    assert namespace["double"](namespace["torch"].tensor(-3.0)) == -6


def test_unusual_is_for_the_instructors_eye() -> None:
    code = "import os, math\nfrom socket import socket\ntorch.equal = f\nopen('x')\nf.__globals__"
    assert [u.name for u in source.unusual(code)] == ["os", "socket", "torch….equal = …", "open()", "__globals__"]


OWN_STEP = "an optimizer with a step() of its own: does it train once a step?"
OWN_DATA = "data in the text of a cell: numbers of a trained network?"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from torch import jit", "torch.jit"),
        ("import torch.overrides as o", "torch.overrides"),
        ("modules = torch.sys.modules", "sys"),
        ("f = torch.jit.CompilationUnit(text).f", "jit"),
        ("from concurrent.futures import ThreadPoolExecutor", "concurrent.futures"),
        ("from autograder import wire", "autograder.wire"),
        ("f = torch.__dict__[name]", "__dict__"),
        ("import reglab.recipe as rr\nrr.training_step = thrice", "rr….training_step = …"),
        ("from reglab.recipe import Trainer\nTrainer.train, a = f, 1", "Trainer….train = …"),
        ("import reglab.recipe as rr\nsetattr(rr, 'training_step', thrice)", "setattr(rr…)"),
        ("adam.step = more", "adam….step = …"),
        ("class A(torch.optim.Adam):\n    def step(self): super().step()", OWN_STEP),
        ("from torch.optim import SGD as S\nclass A(S):\n    def step(self): pass", OWN_STEP),
        ("class A(torch.optim.Optimizer):\n    def step(self): loss().backward()", OWN_STEP),
        (f"weights = {'0123456789abcdef' * 40!r}", OWN_DATA),
        (f"weights = bytes({'text ' * 1000!r}, 'ascii')", OWN_DATA),
        (f"weights = {[0.5] * 600}", OWN_DATA),
        (f"weights = {hex(1 << 5000)}", OWN_DATA),
    ],
)
def test_ways_around_the_watch_of_the_library_are_unusual(code: str, name: str) -> None:
    assert [u.name for u in source.unusual(code)] == [name]


@pytest.mark.parametrize(
    "code",
    [
        "class A(torch.optim.Optimizer):\n    def step(self): self.param_groups[0]['lr'] = p.grad",
        "class S(torch.optim.lr_scheduler.LRScheduler):\n    def step(self): self.step = 3",
        "model.scale = 2\nself.head.bias = None",
        f"text = {'a long explanation of what was done, ' * 50!r}",
        f"numbers = {list(range(300))}",
    ],
)
def test_what_is_usual(code: str) -> None:
    assert source.unusual(code) == []


def test_names_that_other_cells_import_are_imported() -> None:
    imported = source.imports(["import reglab.recipe as rr", "from torch.optim import Adam"])
    code = "rr.training_step = f\nclass A(Adam):\n    def step(self): pass"
    assert [u.line for u in source.unusual(code, imported)] == [1, 2]
    assert source.unusual(code) == []


def test_a_cell_too_long_to_look_through_says_so() -> None:
    assert len(source.unusual("#" * (source.MAX_CELL + 1))) == 1


def test_the_courses_own_solutions_are_not_unusual(course: Course) -> None:
    for unit in course.units.values():
        imported = source.imports([cell.source for cell in unit.solution_cells])
        for cell in unit.solution_cells:
            assert not source.unusual(cell.source, imported), cell.name
