"""The build: deterministic, leak-free, and in step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest

from autograder import build
from autograder.build import BuildError
from autograder.cells import solution_lines, strip_solution
from autograder.course import Course


@pytest.fixture
def copy(mini: Course, tmp_path: Path) -> Course:
    """A copy of the small course that a test may spoil."""
    shutil.copytree(mini.notebooks.parent, tmp_path, dirs_exist_ok=True)
    return Course.open(tmp_path / "notebooks", tmp_path / "solutions")


def test_built_twice_is_byte_identical(copy: Course) -> None:
    unit = copy.unit("00_mini")
    before = unit.release_path.read_bytes()
    for path in (unit.release_path, unit.manifest_path, unit.graded_manifest_path):
        path.unlink()
    build.build(unit)
    assert unit.release_path.read_bytes() == before
    assert build.verify(copy) == []


def test_what_is_built_is_a_valid_notebook(mini: Course) -> None:
    unit = mini.unit("00_mini")
    for path in (unit.release_path, unit.solution_path):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_nothing_of_a_solution_is_in_the_release(mini: Course) -> None:
    text = mini.unit("00_mini").release_path.read_text()
    assert "twice_what_was_given" not in text
    assert "Because it is simple" not in text
    assert "double is still to do" in text
    assert build.WRITTEN_STUB in text
    assert "<details><summary>Hint 3</summary>" in text


def test_outputs_are_kept_where_the_code_is_the_same(copy: Course) -> None:
    unit = copy.unit("00_mini")
    before = unit.solution_path.read_bytes()
    build.build(unit)
    assert unit.solution_path.read_bytes() == before


def test_outputs_follow_the_checks(copy: Course) -> None:
    """What `check` prints in the solution notebook depends on the points, which may change without its code."""
    path = copy.notebooks / "checks" / "00_mini.py"
    path.write_text(path.read_text().replace('@check("double", points=1)', '@check("double", points=5)'))
    fresh = Course.open(copy.notebooks, copy.solutions)
    build.build(fresh.unit("00_mini"))
    assert "double: 7 of 7 points" in fresh.unit("00_mini").solution_path.read_text()


def test_a_stale_notebook_is_found(copy: Course) -> None:
    path = copy.unit("00_mini").source_path
    path.write_text(path.read_text().replace("# # Doubling", "# # Twice"))
    assert {p.where for p in build.verify(copy)} == {"00_mini.ipynb", "solutions/00_mini.ipynb"}


def test_an_edited_stub_is_found(copy: Course) -> None:
    path = copy.unit("00_mini").release_path
    path.write_text(path.read_text().replace("Return twice x", "Return x twice"))
    assert [p.where for p in build.verify(copy)] == ["00_mini.ipynb"]


def test_a_stale_fingerprint_is_found(copy: Course) -> None:
    path = copy.solutions / "mistakes" / "00_mini.py" if copy.solutions else Path()
    path.write_text(path.read_text().replace("x * x\n", "x * x * x\n"))
    assert {p.where for p in build.verify(Course.open(copy.notebooks, copy.solutions))} == {
        "notebooks/checks/00_mini.json",
        "solutions/checks/00_mini.json",
    }


@pytest.mark.parametrize("name", ["notes.py", "lib/helper.py", "notes.md", "extra.ipynb"])
def test_a_leaked_line_is_found_anywhere(copy: Course, name: str) -> None:
    line = "    twice_what_was_given = x + x\n"
    path = copy.notebooks / name
    path.parent.mkdir(exist_ok=True)
    leaked = line
    if name.endswith(".ipynb"):
        leaked = json.dumps({"cells": [{"source": [line], "outputs": []}]})
    path.write_text(leaked)
    problems = build.verify(copy)
    assert [str(p) for p in problems] == [
        f"notebooks/{name}: holds a line of 00_mini's solution: twice_what_was_given = x + x"
    ]


def test_learners_get_fingerprints_and_texts_but_no_code(mini: Course) -> None:
    unit = mini.unit("00_mini")
    text = unit.manifest_path.read_text()
    assert "x * x" not in text
    assert "You square the values" in text
    assert unit.manifest.worth["double"].model_dump() == {"public": 3, "graded": 1}
    assert unit.graded_manifest.mistakes[0].fingerprint["agrees_with_the_reference"] == "value"


SOURCE_ERRORS = {
    "### BEGIN SOLUTION\n    twice": ("twice", "without"),
    '# %% exercise="double"': ('# %% exercise="double" setup=true', "one role"),
    "# <!-- hints: double -->": ("# <!-- hints: treble -->", "no exercise treble"),
    '# %% check="quadruple"': ('# %% check="double"', "taken"),
    '# %% exercise="quadruple"': ("# %%", "solution region"),
}


@pytest.mark.parametrize("found", SOURCE_ERRORS)
def test_a_source_that_breaks_a_rule_is_named(copy: Course, found: str) -> None:
    changed, sentence = SOURCE_ERRORS[found]
    path = copy.unit("00_mini").source_path
    assert found in path.read_text()
    path.write_text(path.read_text().replace(found, changed))
    with pytest.raises(BuildError, match=sentence):
        build.notebooks(copy.unit("00_mini"))


def test_strip_solution_keeps_indentation() -> None:
    source = "def f():\n    a = 1\n    ### BEGIN SOLUTION\n    b = 2\n    ### END SOLUTION\n    # after"
    assert strip_solution(source, "raise X") == "def f():\n    a = 1\n    raise X\n    # after"
    assert solution_lines(source) == ["b = 2"]
