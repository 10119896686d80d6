"""Takes answers from where the course keeps them: the solution notebook and the bank of mistakes."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

from autograder.cells import BEGIN, END, Role, read_cell
from autograder.course import Unit


@cache
def solutions(unit: Unit) -> dict[str, str]:
    """Return the solution of each exercise and written question, without its markers."""
    document = json.loads(unit.solution_path.read_text(encoding="utf-8"))
    return {
        cell.name: "\n".join(line for line in cell.source.split("\n") if line.strip() not in (BEGIN, END))
        for raw in document["cells"]
        if (cell := read_cell(raw)) is not None and cell.role in (Role.EXERCISE, Role.WRITTEN)
    }


def from_bank(unit: Unit, entry: str, exercise: str) -> str:
    """Return the source of a bank entry under the exercise's name, with all of the module it needs, and no docstrings."""
    tree = ast.parse(_bank_path(unit).read_text(encoding="utf-8"))
    bound: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update({alias.asname or alias.name: node for alias in node.names})
        elif isinstance(node, ast.Assign):
            bound.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.decorator_list = [d for d in node.decorator_list if not _enters_the_bank(d)]
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    if entry not in bound:  # a class that the bank makes of others
        (made,) = (each.implementation for each in unit.bank if each.name == entry)
        assert isinstance(made, type)
        bases = ", ".join(base.__name__ for base in made.__bases__)
        bound[entry] = ast.parse(f"class {entry}({bases}):\n    pass").body[0]
        tree.body.append(bound[entry])
    needed, waiting = set(), [entry]
    while waiting:
        name = waiting.pop()
        if name in bound and bound[name] not in needed:
            needed.add(bound[name])
            waiting += [n.id for n in ast.walk(bound[name]) if isinstance(n, ast.Name)]
    # The learner's function has the exercise's name; a helper that had it already would be another function.
    for node in ast.walk(bound[entry]):
        if isinstance(node, ast.Name) and node.id == entry:
            node.id = exercise
    chosen = bound[entry]
    assert isinstance(chosen, (ast.FunctionDef, ast.ClassDef))
    chosen.name = exercise
    return "\n\n".join(ast.unparse(node) for node in tree.body if node in needed)


def _enters_the_bank(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id in ("mistake", "right")


def _bank_path(unit: Unit) -> Path:
    assert unit.solutions is not None
    return unit.solutions / "mistakes" / f"{unit.stem}.py"
