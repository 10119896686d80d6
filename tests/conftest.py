"""Fixtures: the course of this repository, a small unrelated one, and sandboxes for both."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder import build
from autograder.course import Course, Unit
from autograder.judge import open_sandbox
from autograder.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is made of Linux namespaces")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are shared out among processes, keep those together that make use of the same judged answers.

    Tests of a unit's bank go to one process, which judges each answer once; of other tests, those of a module.
    """
    for item in items:
        group = item.nodeid.split("::")[0]
        callspec = getattr(item, "callspec", None)
        unit = callspec.params.get("unit") if callspec else None
        if isinstance(unit, Unit) and group in ("tests/test_bank.py", "tests/test_course.py"):
            group = unit.stem
        elif (item.path.parent.name, item.path.stem[:5]) == ("units", "test_"):
            group = item.path.stem[5:]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def course() -> Course:
    """The course of this repository."""
    return Course.open(ROOT / "notebooks", ROOT / "solutions")


@pytest.fixture(scope="session")
def sandbox(course: Course) -> Iterator[Sandbox]:
    with open_sandbox(course) as opened:
        yield opened


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A small course about doubling, built in a temporary folder: the engine knows nothing of either course."""
    folder = tmp_path_factory.mktemp("mini")
    shutil.copytree(ROOT / "tests" / "mini", folder, dirs_exist_ok=True)
    course = Course.open(folder / "notebooks", folder / "solutions")
    build.build(course.unit("00_mini"))
    return Course.open(folder / "notebooks", folder / "solutions")


@pytest.fixture(scope="session")
def mini_sandbox(mini: Course) -> Iterator[Sandbox]:
    with open_sandbox(mini) as opened:
        yield opened


@pytest.fixture
def answer(mini: Course) -> Callable[..., Any]:
    """Make a submission to the small course: its stub notebook with some cells' sources replaced."""

    def make(**sources: str) -> Any:
        notebook = nbformat.read(mini.unit("00_mini").release_path, as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("autograder", {}).get("name")
            if name in sources and cell.metadata["autograder"]["role"] in ("exercise", "written"):
                cell.source = sources[name]
        return notebook

    return make
