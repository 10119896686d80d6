"""Submissions that attack the grader: no point that was not earned, no secret, no neighbour changed, bounded time.

The corpus is `attacks/*.toml`, each entry graded by the real judge in the real sandbox; how an entry is written is said in
`attacks/README.md`. Sources too long to keep and files that are no notebooks are made here; single system calls are in
`test_sandbox.py`, malformed notebooks and messages by the thousand in `test_fuzz.py`, odd values in `test_junk.py`.

What is attacked, and where:

- `secrets`: solutions, checks and imports of them; the environment; /proc; the parent's memory and its own; frames; the
  host's files; open descriptors; the seed; sockets.
- `forging`: torch, builtins, the encoding, the server, frames and collected objects replaced; `__eq__`,
  `__torch_function__`, `__torch_dispatch__`, modes, torch.library, tensor subclasses, NaN; objects and descriptors that
  change between probes; hooks, finalisers, metaclasses.
- `wire`: answers before the question and after it, floods, nesting, sizes and shapes that lie, half messages, threads that
  answer; the judge's stand-ins asked for too much.
- `resources`: forks, threads, memory, disk, inodes, descriptors, output; SIGSTOP, SIGTERM ignored, daemons, sleeping, work
  that cannot be interrupted.
- `neighbours`: writing outside of /tmp; /tmp, modules and random state poisoned; the warm process and others killed.
- `display`: escape codes, markup and formulas in texts. File names and metadata are in this file, below.
- `library`: the library's own version in disguise. What cannot be refused must be flagged.
- `source`: cells that are hard to read.
- Below: long sources, metadata of odd types, zip and JSON bombs, names of files, links, results and classmates' work among
  the notebooks.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from autograder import classroom
from autograder.cli import app
from autograder.course import Course
from autograder.feedback import render
from autograder.judge import grade, preload_modules
from autograder.report import ExerciseReport, Report, State
from autograder.sandbox import Limits, Sandbox
from tests.conftest import ROOT, linux
from tests.reports import CONTROLS, HOSTILE, Page

pytestmark = linux

CORPUS: dict[str, list[dict[str, Any]]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["attack"]
    for path in sorted((ROOT / "tests" / "attacks").glob("*.toml"))
}
SECRET = "planted-" + "secret"  # in two parts, so that this file does not hold it
ACCURACY = "\ndef accuracy(logits, target):\n    return (logits.argmax(1) == target).float().mean()\n"
RAW = """
import os, msgpack, torch
from autograder import wire
def _raw(header, tensors=b""):
    frame = memoryview(wire._LENGTHS.pack(len(header), len(tensors)) + header + tensors)
    while frame: frame = frame[os.write(3, frame):]
"""
"""Writes a frame of any header and bytes to the judge."""
LONG = {
    "2000 cell magics": "%%time\n" * 2000 + ACCURACY,
    "600 line magics": "%pip x\n" * 600 + ACCURACY,
    "a help request of 8000 dots": "%x\n" + "a." * 4000 + " ?" + ACCURACY,
    "an attribute chain of 400": "x = 1\nx" + ".b" * 400 + " = 1" + ACCURACY,
    "an integer of 6000 digits in a target": f"torch[0x{'f' * 6000}].x = 1" + ACCURACY,
    "10000 unary minuses": "x = " + "-" * 10_000 + "1" + ACCURACY,
    "nested parentheses": "x = " + "(" * 10_000 + ACCURACY,
    "nested subscripts": "x = a" + "[0]" * 10_000 + ACCURACY,
    "nested calls": "x = a" + "()" * 10_000 + ACCURACY,
    "nested lambdas": "x = " + "lambda: " * 4_000 + "1" + ACCURACY,
    "a long ternary": "x = " + "1 if 0 else " * 8_000 + "1" + ACCURACY,
    "a long power": "x = " + "2 ** " * 12_000 + "1" + ACCURACY,
    "200 KB of statements": "a.b=1\n" * 35_000 + ACCURACY,
    "14000 imports of one name": "import a\n" * 10_000 + ACCURACY,
    "a NUL": "x = '\0'" + ACCURACY,
    "a lone surrogate": "x = '\ud800'" + ACCURACY,
    "a byte order mark": "\ufeff" + ACCURACY,
    "an endless string": "%time 1\nx = '''" + ACCURACY,
}  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Course, Sandbox]]:
    """A course with secrets in its solutions, and a sandbox for it, opened by a judge with one in its environment."""
    folder = tmp_path_factory.mktemp("attacked")
    for name in ("notebooks", "solutions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "solutions").rglob("*.py"):
        path.write_text(f"{path.read_text(encoding='utf-8')}\n# {SECRET}-solution\n", encoding="utf-8")
    (folder / "notes.txt").write_text(f"{SECRET}-notes")
    course = Course.open(folder / "notebooks", folder / "solutions")
    assert course.solutions
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_TOKEN", f"{SECRET}-environment")
        # Shorter times than at grading: what has to be waited for is the same.
        limits = Limits(answer_s=2.0, total_s=12.0)
        with Sandbox([course.notebooks], [course.solutions], preload_modules(course), limits) as sandbox:
            yield course, sandbox


@pytest.fixture(scope="module")
def expected(target: tuple[Course, Sandbox]) -> dict[str, Any]:
    """The report on a right submission, before any attack."""
    course, sandbox = target
    with Sandbox([course.notebooks], [], preload_modules(course), sandbox.limits) as fresh:
        return neighbours_report(course, fresh)


def submit(
    course: Course, sandbox: Sandbox, cells: dict[str, str], more: list[str] | None = None, **metadata: Any
) -> Report:
    """Grade the solution of a unit with its exercises' cells replaced, and more cells before the first of these."""
    unit = course.unit_of(next(iter(cells)))
    notebook = json.loads(unit.solution_path.read_text(encoding="utf-8"))
    made = []
    for cell in notebook["cells"]:
        ours = cell["metadata"].get("autograder", {})
        if ours.get("role") == "exercise" and ours["name"] in cells:
            made += [{"cell_type": "code", "metadata": {}, "source": source} for source in more or []]
            more = None
            cell["source"] = cells[ours["name"]]
            cell["metadata"].update(metadata)
        made.append(cell)
    data = json.dumps({**notebook, "cells": made}).encode()
    return grade(data, "mallory", course, sandbox, f"{SECRET}-seed", f"{unit.stem}.ipynb")


def attacked(report: Report, exercise: str) -> ExerciseReport:
    return next(e for e in report.exercises if e.name == exercise)


def neighbours_report(course: Course, sandbox: Sandbox) -> dict[str, Any]:
    """The report, but for the time it took, on a student who did everything right."""
    unit = course.unit("00_start_here")
    report = grade(unit.solution_path.read_bytes(), "ada", course, sandbox, "attack", "00_start_here.ipynb")
    return report.model_dump(mode="json", exclude={"seconds"})


def assert_harmless(report: Report) -> None:
    """Nothing failed that is ours, nothing secret is told, and everything that is shown is bounded and inert."""
    assert report.state is State.GRADED, report.sentence
    assert report.broken == []
    text = report.model_dump_json(exclude={"seed"})
    assert SECRET not in text
    assert len(text) < 1_000_000
    Page(render(report))


SLOW = "no answer within"
"""May be said of any attack in place of its own sentence: on a busy machine it can run out of time; a misspelt one does not."""


@pytest.mark.parametrize(
    ("theme", "attack"),
    [(theme, attack) for theme, attacks in CORPUS.items() for attack in attacks],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_attack(target: tuple[Course, Sandbox], expected: dict[str, Any], theme: str, attack: dict[str, Any]) -> None:
    course, sandbox = target
    exercise = attack["exercise"]
    code = ACCURACY * attack.get("right", False) + RAW * attack.get("raw", False) + attack["code"]
    report = submit(course, sandbox, {exercise: code, **attack.get("others", {})}, attack.get("cells"))
    assert_harmless(report)
    result = attacked(report, exercise)
    assert result.points == attack["points"], result.sentence
    said = " ".join([result.sentence, *result.notes, *(c.message for c in result.checks)])
    if "says" in attack:
        assert re.search(f"{attack['says']}|{SLOW}", said), said[:2000]
    else:  # the cell ran to its end, so that nothing in it is misspelt
        assert not re.search("stopped with|is not valid Python|could not be run to its end", said), said[:2000]
    assert report.seconds < 3 * sandbox.limits.total_s  # generous, for a busy machine
    assert bool(report.unusual) or not attack.get("unusual")
    assert neighbours_report(course, sandbox) == expected


def test_the_corpus_is_whole() -> None:
    """Nobody drops an entry or a theme unnoticed; each says what it is for."""
    assert set(CORPUS) == {"display", "forging", "library", "neighbours", "resources", "secrets", "source", "wire"}
    entries = [attack for attacks in CORPUS.values() for attack in attacks]
    assert len(entries) >= 100
    assert len({attack["name"] for attack in entries}) == len(entries)
    known = {"name", "why", "exercise", "points", "says", "unusual", "raw", "right", "others", "cells", "code"}
    for attack in entries:
        assert {"name", "why", "exercise", "points", "code"} <= set(attack) <= known, attack["name"]
        # A misspelt attack that failed at once would pass for one that was withstood.
        assert attack["points"] or "says" in attack, attack["name"]


@pytest.mark.parametrize("name", LONG)
def test_source_that_is_hard_to_read(target: tuple[Course, Sandbox], expected: dict[str, Any], name: str) -> None:
    course, sandbox = target
    report = submit(course, sandbox, {"accuracy": LONG[name]})
    assert_harmless(report)
    assert neighbours_report(course, sandbox) == expected


@pytest.mark.parametrize("metadata", [
    {"autograder": {"role": []}}, {"autograder": {"role": "exercise", "name": {"a": 1}}}, {"autograder": 7},
    {"autograder": {"role": "setup"}}, {"nbgrader": {"points": 10**400}}, {"tags": "x" * 100_000},
    {"autograder": {"role": "exercise", "name": "accuracy", "points": 10**6, "max_points": 0}},
    {"nbgrader": {"grade": True, "points": 100, "solution": True, "schema_version": 3}},
    {"name": HOSTILE[0], "tags": list(HOSTILE), HOSTILE[1]: HOSTILE[2]},
], ids=lambda m: str(m)[:60])  # fmt: skip
def test_metadata_of_odd_types(
    target: tuple[Course, Sandbox], expected: dict[str, Any], metadata: dict[str, Any]
) -> None:
    course, sandbox = target
    report = submit(course, sandbox, {"accuracy": ACCURACY}, **metadata)
    assert_harmless(report)
    assert attacked(report, "accuracy").points == attacked(report, "accuracy").max_points == 4
    assert neighbours_report(course, sandbox) == expected


def test_hostile_text_in_a_notebooks_metadata(target: tuple[Course, Sandbox]) -> None:
    """What a notebook says about itself, its unit and its kernel is shown as text or not at all."""
    course, sandbox = target
    notebook = json.loads(course.unit("00_start_here").release_path.read_text(encoding="utf-8"))
    for text in HOSTILE:
        said = {"unit": text, "title": text, "technique": text, "minutes": text}
        notebook["metadata"] = {
            "autograder": said,
            "kernelspec": {"name": text},
            "title": text,
            "authors": [{"name": text}],
        }
        report = grade(json.dumps(notebook).encode(), text, course, sandbox, "attack", f"{text}.ipynb")
        assert report.state is State.GRADED
        Page(render(report))
        other = grade(json.dumps({**notebook, "cells": []}).encode(), text, course, sandbox, "attack", text)
        assert other.state is State.UNREADABLE
        Page(render(other))


def _zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("00_start_here.ipynb", bytes(50 << 20))
    return file.getvalue()


def _cells(text: str) -> bytes:
    return b'{"metadata": {}, "cells": [' + text.encode() + b"]}"


BOMBS = {
    "a zip archive": _zip_bomb(),
    "a compressed notebook": gzip.compress(bytes(50 << 20)),
    "lists nested a million deep": b"[" * 1_000_000,
    "lists nested in a cell": _cells("[" * 500_000 + "]" * 500_000),
    "maps nested in a map": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "an integer of a million digits": _cells("1" * 1_000_000),
    "a float beyond all floats": _cells("1e999999999, NaN, -Infinity"),
    "ten million empty lists": _cells(",".join(["[]"] * 10_000_000)),
    "ten million empty maps in outputs": _cells(
        '{"cell_type": "code", "outputs": [' + ",".join(["{}"] * 10_000_000) + "]}"
    ),
    "six million small texts": _cells(",".join(['"ab"'] * 6_000_000)),
    "a hundred thousand cells": _cells(",".join(['{"cell_type": "code", "source": "x=1"}'] * 100_000)),
    "a key said a million times": b"{" + b'"cells":[],' * 1_000_000 + b'"cells":7}',
    "megabytes of code": _cells(json.dumps({"cell_type": "code", "source": "x = 1\n" * 2_000_000})),
    "a source in a million pieces": _cells(json.dumps({"cell_type": "code", "source": ["x\n"] * 1_000_000})),
    "UTF-16": '{"cells": []}'.encode("utf-16"),
    "bytes that are no text": b'{"cells": [\xff\xfe\x00]}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_is_a_bomb_gets_a_sentence(target: tuple[Course, Sandbox], name: str) -> None:
    course, sandbox = target
    report = grade(BOMBS[name], "mallory", course, sandbox, "attack", "00_start_here.ipynb")
    assert report.state is State.UNREADABLE
    assert report.points == 0
    assert 20 < len(report.sentence) < 400


NAMES = (
    *(text.replace("/", "∕").replace("\0", "") for text in HOSTILE),
    "=cmd|' !A0", "+1+1", "@SUM(1)", "-1", "\t=1", "..", "...", "-rf", "--out", "~", "$(id)", "`id`", "%2e%2e%2fetc", "a\nb",
    "a;b,c", "CON", "x" * 240, "é" * 100, "..\\..\\x", "[red]x[/red]", "'", '"', "＝1",
)  # fmt: skip


def test_names_of_students_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini: Course) -> None:
    """A class of hostile names: every result lies where it should, and shows them as text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    submitted, out = tmp_path / "in" / "submitted", tmp_path / "in" / "results"
    data = mini.unit("00_mini").release_path.read_bytes()
    folders = [name for name in NAMES if name.strip(".") and not name.startswith(".")]
    for name in folders:
        (submitted / name).mkdir(parents=True)
        (submitted / name / "00_mini.ipynb").write_bytes(data)
    raw = bytes(submitted) + b"/\xff\xfe"  # not UTF-8
    Path(raw.decode("utf-8", "surrogateescape")).mkdir()
    Path((raw + b"/00_mini.ipynb").decode("utf-8", "surrogateescape")).write_bytes(data)
    before = {p for p in tmp_path.rglob("*") if out not in p.parents and p != out}
    done = CliRunner().invoke(
        app, ["grade", str(submitted), "--out", str(out), "--notebooks", str(mini.notebooks)], catch_exceptions=False
    )
    assert done.exit_code in (0, 1), done.output
    assert not (CONTROLS - {"\t"}) & set(done.stdout.replace("\x1b", ""))
    assert {p for p in tmp_path.rglob("*") if out not in p.parents and p != out} == before
    pages = list((out / "feedback").iterdir())
    assert len(pages) == len(folders) + 1
    for page in pages:
        Page(page.read_text(encoding="utf-8"))
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(folders) + 2
    for cell in (c for row in rows for c in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
        assert not CONTROLS & set(cell)


def test_links_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini: Course) -> None:
    """A link to the solution, to a secret or to a folder above is nobody's submission."""
    monkeypatch.chdir(tmp_path)
    assert mini.solutions
    (tmp_path / "secret.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": SECRET}]}))
    honest = tmp_path / "submitted" / "ada"
    honest.mkdir(parents=True)
    (honest / "00_mini.ipynb").write_bytes(mini.unit("00_mini").release_path.read_bytes())
    evil = tmp_path / "submitted" / "mallory"
    evil.mkdir()
    (evil / "00_mini.ipynb").symlink_to(mini.solutions / "00_mini.ipynb")
    (evil / "secret.ipynb").symlink_to(tmp_path / "secret.ipynb")
    (evil / "loop").symlink_to(tmp_path / "submitted")
    (tmp_path / "submitted" / "eve").symlink_to(mini.solutions)
    done = CliRunner().invoke(
        app, ["grade", str(tmp_path / "submitted"), "--out", "results", "--notebooks", str(mini.notebooks)]
    )
    assert done.exit_code in (0, 1), done.output
    written = [p for p in (tmp_path / "results").rglob("*") if p.is_file() and p.suffix in (".json", ".html", ".csv")]
    assert not any(SECRET in p.read_text(encoding="utf-8") for p in written)
    assert not any("twice_what_was" in p.read_text(encoding="utf-8") for p in written)
    assert [p.name for p in sorted((tmp_path / "results" / "feedback").iterdir())] == ["ada--00_mini.html"]


HUNTER = """
import os
found = []
for root, _, files in os.walk(os.environ["PYTHONPATH"].split(":")[-1]):
    for name in files:
        try: data = open(os.path.join(root, name), "rb").read()
        except OSError: continue
        if b"SQLite " + b"format" in data or b"planted-" + b"secret" in data: found.append(name)
def double(x): raise ValueError(f"found {found}")
"""
"""Looks for the gradebook and for classmates' work in all that it can read of the course."""


@pytest.fixture
def class_of_two(mini: Course, answer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small course, in which a class is to be graded whose one member is after the other's work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("notebooks", "solutions"):
        shutil.copytree(mini.notebooks.parent / name, tmp_path / name)
    (tmp_path / "class").mkdir()
    for student, source in (("ada", f"def double(x): return 2 * x  # {SECRET}"), ("mallory", HUNTER)):
        (tmp_path / "class" / f"{student}.ipynb").write_text(json.dumps(answer(double=source)))
    return tmp_path


def in_class(*arguments: str) -> Result:
    command = ["grade", *arguments, "--workers", "0"]
    return CliRunner().invoke(app, command, catch_exceptions=False)


@pytest.mark.parametrize(
    ("folder", "arguments", "said"),
    [
        ("notebooks", ["../class", "--out", "."], "name another folder with --out"),
        (".", ["class", "--out", "notebooks"], "name another folder with --out"),
        (".", ["notebooks"], "move the submissions to a folder of their own"),
        (".", ["."], "move the submissions to a folder of their own"),
        (".", ["class", "--gradebook", "notebooks/grades.sqlite"], "put it elsewhere"),
        (".", ["class", "--gradebook", "notebooks/grades.sqlite", "--out", "."], "put it elsewhere"),
        (".", ["class", "--gradebook", "env/lib/grades.sqlite"], "put it elsewhere"),
        (".", ["class", "--gradebook", "sqlite:///env/grades.sqlite"], "put it elsewhere"),
    ],
)
def test_results_and_work_where_every_learner_could_read_them_are_refused(
    class_of_two: Path, monkeypatch: pytest.MonkeyPatch, folder: str, arguments: list[str], said: str
) -> None:
    shutil.copytree("class", "notebooks", dirs_exist_ok=True)
    Path("env/lib").mkdir(parents=True)
    needed = classroom.readable_by_code([class_of_two / "env"])
    monkeypatch.setattr(classroom, "readable_by_code", lambda readable: [*needed, *readable])
    monkeypatch.chdir(folder)
    done = in_class(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(class_of_two.rglob("grades.csv"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["notebooks/class", "--out", "notebooks/results"],
        ["notebooks/class/ada.ipynb", "notebooks/class/mallory.ipynb", "--gradebook", "grades.sqlite"],
        ["class", "--out", "."],
    ],
)
def test_results_and_work_among_the_notebooks_are_hidden(class_of_two: Path, arguments: list[str]) -> None:
    shutil.move("class", "notebooks/class") if "class" not in arguments else None
    done = in_class(*arguments)
    assert done.exit_code == 0, done.output
    (report,) = (json.loads(path.read_text()) for path in class_of_two.rglob("mallory--00_mini.json"))
    assert "found []" in report["exercises"][0]["sentence"]


def test_scratch_space_made_unwritable_is_repaired(target: tuple[Course, Sandbox]) -> None:
    course, sandbox = target
    spoil = "import os, tempfile\nos.chmod(tempfile.gettempdir(), 0o555)" + ACCURACY
    assert submit(course, sandbox, {"accuracy": spoil}).points
    use = "import tempfile\ntempfile.TemporaryFile().close()" + ACCURACY
    report = submit(course, sandbox, {"accuracy": use})
    assert attacked(report, "accuracy").points == attacked(report, "accuracy").max_points
