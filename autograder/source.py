"""What can be told from a learner's source without running it."""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TypeGuard, TypeVar

T = TypeVar("T")

_LIBRARIES = ("torch", "torchvision")
_UNUSUAL_ATTRIBUTES = frozenset(
    "__globals__ __builtins__ __code__ __dict__ f_back f_globals f_locals tb_frame _C _VF DisableTorchFunction _getframe "
    "builtins ctypes importlib jit os overrides sys threading".split()
)
_UNUSUAL_MODULES = frozenset(
    "_thread asyncio atexit autograder.probes autograder.sandbox autograder.student autograder.wire builtins concurrent ctypes "
    "faulthandler gc importlib inspect io marshal mmap multiprocessing os pathlib pickle pty resource shutil signal socket "
    "subprocess sys tempfile threading torch._C torch._VF torch.jit torch.overrides unittest urllib".split()
)
_UNUSUAL_CALLS = frozenset("__import__ compile eval exec exit globals input locals open quit vars".split())
MAX_CELL = 100_000
"""Characters of a cell; a longer one is not read."""
_MOST_KEPT, _LONGEST_KEPT = 256, 4_000
"""Syntax trees that are kept, and characters of a cell whose tree is: most cells of a class are the course's own. A tree takes
up to a hundred times its cell's memory, which these bound."""
_LONGEST_MAGIC, _MOST_MAGICS = 10_000, 50
_MOST_ELEMENTS, _LONGEST_DATA, _LONGEST_TEXT = 500, 500, 4_000
"""Elements of a literal, characters of a string without spaces, and of one with: longer ones are looked at."""
_WRAPPERS = ("time", "timeit", "capture", "prun")
"""Cell magics whose body is Python that runs as if they were not there."""


@dataclass(frozen=True)
class Use:
    """A name used at a line, 1-based."""

    name: str
    line: int


def _remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    """Keep what a function says of the last short cells."""
    kept = lru_cache(_MOST_KEPT)(function)

    @wraps(function)
    def remembering(source: str) -> T:
        return kept(source) if len(source) <= _LONGEST_KEPT else function(source)

    return remembering


def parse(source: str) -> ast.Module | None:
    """Parse a cell; None if it is not Python, or longer than MAX_CELL. Nobody may change the tree: others are given it too."""
    if len(source) > MAX_CELL:
        return None
    return _parse(source)


@_remembered
def _parse(source: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a learner's odd escapes and comparisons
            return ast.parse(source)
    # Nesting deep enough exhausts the parser's stack or memory.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def plain_python(source: str) -> str:
    """Return the cell as plain Python: magics become calls of `get_ipython()`, and a `%%time` above a cell goes."""
    lines = source.split("\n")
    top = next((i for i, line in enumerate(lines) if line.strip()), 0)
    while top < len(lines) and lines[top].startswith("%%") and lines[top][2:].split(" ")[0] in _WRAPPERS:
        lines[top] = ""  # empty, so that the numbers of the lines below stay
        top += 1
    source = "\n".join(lines)
    # IPython's transformer takes time that grows faster than the cell, and more so with its magics.
    if len(source) > _LONGEST_MAGIC or sum(line.lstrip()[:1] in ("%", "!", "?") for line in lines) > _MOST_MAGICS:
        return source
    if parse(source) is not None:
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
    except Exception:  # whatever it stumbles over is for Python to name
        return source


def defines(source: str, name: str) -> bool:
    """Say whether a cell binds `name` at its top level. A cell that does not parse is searched line by line."""
    tree = parse(source)
    if tree is None:
        starts = (
            f"def {name}(",
            f"class {name}(",
            f"class {name}:",
            f"def {name} ",
            f"class {name} ",
            f"async def {name}(",
        )
        return any(line.startswith(starts) for line in source.splitlines())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return True
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return True
    return False


@_remembered
def globals_used(source: str) -> frozenset[str]:
    """Return the names that a piece of source takes from outside its own functions and classes."""

    def of(table: symtable.SymbolTable) -> Iterator[str]:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global()):
                yield symbol.get_name()
        for inner in table.get_children():
            yield from of(inner)

    if parse(source) is None:
        return frozenset()
    try:
        return frozenset(of(symtable.symtable(source, "cell", "exec")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()


def support(cells: Sequence[str], wanted: Collection[str]) -> list[str]:
    """Return, for each cell, only its statements that bind a wanted name, or a name that such a statement uses.

    For the cells around an exercise: a helper, import or constant that an answer needs must be there at grading, a training
    run need not. Imports, functions, classes, assignments, and `if` and `try` around these can be kept; loops, `with` and
    calls by themselves cannot. Lines stay where they were.
    """
    statements = [(i, s) for i, cell in enumerate(cells) for s in _statements(cell)]
    names, kept = set(wanted), set[int]()
    grown = True
    while grown:
        grown = False
        for number, (_, statement) in enumerate(statements):
            if number not in kept and statement.binds & names:
                kept.add(number)
                names |= globals_used(statement.text)
                grown = True
    lines = [[""] * (cell.count("\n") + 1) for cell in cells]
    for number in sorted(kept):
        index, statement = statements[number]
        text = statement.text.split("\n")
        lines[index][statement.first - 1 : statement.first - 1 + len(text)] = text
    return ["\n".join(kept_lines).rstrip() for kept_lines in lines]


@dataclass(frozen=True)
class _Statement:
    """A top-level statement that binds names and has its lines to itself."""

    text: str
    first: int
    binds: frozenset[str]


@_remembered
def _statements(source: str) -> tuple[_Statement, ...]:
    tree = parse(source)
    lines = source.split("\n")
    spans = [
        (min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", []))]), n.end_lineno or n.lineno)
        for n in (tree.body if tree else ())
    ]
    found = []
    for i, (first, last) in enumerate(spans):
        binds = frozenset(_bound(tree.body[i])) if tree else frozenset()
        # Statements that share a line with `;` cannot be told apart by lines.
        alone = (i == 0 or spans[i - 1][1] < first) and (i + 1 == len(spans) or spans[i + 1][0] > last)
        if binds and alone:
            found.append(_Statement("\n".join(lines[first - 1 : last]), first, binds))
    return tuple(found)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a kind that may be kept binds at the top level."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (
            n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        )
    elif isinstance(node, (ast.If, ast.Try)):
        handlers = [h.body for h in node.handlers] + [node.finalbody] if isinstance(node, ast.Try) else []
        for body in (node.body, node.orelse, *handlers):
            for inner in body:
                yield from _bound(inner)


def library_calls(
    source: str, forbidden: Collection[str], exercise: str = "", context: Sequence[str] = ()
) -> list[Use]:
    """Return where an answer calls, or derives from, a library function or class of a forbidden name.

    `F.dropout(x)`, `nn.Dropout2d(p)` and `from torch.nn import Dropout2d as D; D(p)` are found. A learner's own function or
    class of the same name is not, nor `isinstance(m, nn.Dropout2d)`, nor a comparison with the library's version below the
    answer.

    Where a function is fine and one of its arguments is not, "argument=" forbids that argument: with "keepdim=" any call of
    the library that has it is found, but for `keepdim=False`, `None` and 0, which ask for nothing.

    Args:
        source: the cell.
        forbidden: names, and names of arguments with an equals sign.
        exercise: look only at the definition of this name and at what it uses of the cell; everywhere if empty.
        context: other cells, whose imports hold here too.
    """
    tree = parse(source)
    if tree is None:
        return []
    library = _library_names([*context, source])

    def name_of(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            origin = library.get(node.id)
            return origin.rpartition(".")[2] if origin else None
        if isinstance(node, ast.Attribute):
            return node.attr if _root(node) in library else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            asked = node.args[1] if len(node.args) > 1 else None
            return asked.value if isinstance(asked, ast.Constant) and isinstance(asked.value, str) else None
        return None

    uses = []
    for node in _reached(tree, source, exercise):
        called = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        for expression in called:
            name = name_of(expression)
            if name in forbidden and name is not None:
                uses.append(Use(name, expression.lineno))
        if isinstance(node, ast.Call) and name_of(node.func) is not None:
            for given in node.keywords:
                nothing = isinstance(given.value, ast.Constant) and not given.value.value
                if f"{given.arg}=" in forbidden and not nothing:
                    uses.append(Use(f"{given.arg}=", given.value.lineno))
    return sorted(set(uses), key=lambda u: (u.line, u.name))


def _reached(tree: ast.Module, source: str, exercise: str) -> Iterator[ast.AST]:
    """Yield the nodes of an exercise's definition and of the definitions of its cell that it uses."""
    if exercise and defines(source, exercise):
        wanted = {exercise}
        statements, before = _statements(source), set[str]()
        while before != wanted:
            before = set(wanted)
            wanted = wanted.union(*(globals_used(s.text) for s in statements if s.binds & wanted))
        bodies: list[ast.stmt] = [node for node in tree.body if wanted & set(_bound(node))]
    else:
        bodies = tree.body
    for body in bodies:
        yield from ast.walk(body)


def _library_names(cells: Sequence[str]) -> dict[str, str]:
    """Return {name: what it stands for} for names that imports and assignments bind to torch or a part of it."""
    found = {"torch": "torch"}
    for cell in cells:
        for node in _binders(cell):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _LIBRARIES:
                found.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
            elif isinstance(node, ast.Import):
                found.update(
                    {
                        (a.asname or a.name).split(".")[0]: a.name
                        for a in node.names
                        if a.name.split(".")[0] in _LIBRARIES
                    }
                )
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and _root(node.value) in found:
                found.update({t.id: ast.unparse(node.value) for t in node.targets if isinstance(t, ast.Name)})
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.pop(node.name, None)  # the learner's own
    return found


@_remembered
def _binders(source: str) -> tuple[ast.AST, ...]:
    """Return the nodes of a cell, at any depth, that may bind a name to a part of a library."""
    tree = parse(source)
    kinds = (ast.ImportFrom, ast.Import, ast.Assign, ast.FunctionDef, ast.ClassDef)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds)) if tree else ()


def imports(cells: Sequence[str]) -> dict[str, str]:
    """Return {name: what it stands for} for names that imports bind."""
    found = {"torch": "torch"}
    for cell in cells:
        for node in _binders(cell):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                found.update({(a.asname or a.name).split(".")[0]: origin + a.name for a in node.names})
    return found


def _is_data(node: ast.AST) -> TypeGuard[ast.expr]:
    """Whether a literal is far longer than anything one writes by hand; a text with spaces may be a long explanation."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return len(node.elts) > _MOST_ELEMENTS
    if not isinstance(node, ast.Constant):
        return False
    value = node.value
    if isinstance(value, int):
        return value.bit_length() > 8 * _LONGEST_DATA
    return isinstance(value, (str, bytes)) and len(value) > (
        _LONGEST_TEXT if len(value.split()) > len(value) / 20 else _LONGEST_DATA
    )


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _changes_what_others_call(target: ast.Attribute, imported: Mapping[str, str]) -> bool:
    """Whether an assignment is such as `torch.equal = f`, `Trainer.train = g` or `optimizer.step = h`."""
    return _root(target) in imported or (target.attr == "step" and ast.unparse(target.value) != "self")


def _steps_unusually(node: ast.ClassDef, imported: Mapping[str, str]) -> bool:
    """Whether a class changes what `step()` of a ready-made optimizer does, or is one that computes gradients itself."""
    bases = [f"{imported.get(_root(base), '')} {ast.unparse(base)}" for base in node.bases]
    bases = [base for base in bases if "optim" in base and "lr_scheduler" not in base]
    own = any(isinstance(inner, ast.FunctionDef) and inner.name == "step" for inner in node.body)
    ready_made = any(not base.endswith("Optimizer") for base in bases)
    gradients = {"backward", "autograd"} & {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return bool(bases) and own and (ready_made or bool(gradients))


def unusual(source: str, imported: Mapping[str, str] | None = None) -> list[Use]:
    """Return uses of modules and functions that no exercise on tensors needs, for an instructor's eye. Proves nothing.

    Args:
        source: the cell.
        imported: what names stand for that other cells import: see `imports`.
    """
    if len(source) > MAX_CELL:
        return [Use(f"{len(source):,} characters, too many to be looked through", 1)]
    tree = parse(source)
    if tree is None:
        return []
    imported = {**(imported or {}), **imports([source])}
    uses = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and _changes_what_others_call(node, imported)
        ):
            uses.append(Use(f"{_root(node)}….{node.attr} = …", node.lineno))
        if isinstance(node, ast.Import):
            uses += [Use(a.name, node.lineno) for a in node.names if {a.name, a.name.split(".")[0]} & _UNUSUAL_MODULES]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if {module, module.split(".")[0]} & _UNUSUAL_MODULES:
                uses.append(Use(module, node.lineno))
            # `from torch import jit`
            uses += [Use(n, node.lineno) for a in node.names if (n := f"{module}.{a.name}") in _UNUSUAL_MODULES]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _UNUSUAL_CALLS:
                uses.append(Use(f"{node.func.id}()", node.lineno))
            elif node.func.id == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant):
                uses.append(Use("getattr() of a computed name", node.lineno))
            elif node.func.id == "setattr" and node.args and _root(node.args[0]) in imported:
                uses.append(Use(f"setattr({_root(node.args[0])}…)", node.lineno))
        elif isinstance(node, ast.ClassDef) and _steps_unusually(node, imported):
            uses.append(Use("an optimizer with a step() of its own: does it train once a step?", node.lineno))
        elif _is_data(node):
            uses.append(Use("data in the text of a cell: numbers of a trained network?", node.lineno))
        elif isinstance(node, ast.Attribute) and node.attr in _UNUSUAL_ATTRIBUTES:
            uses.append(Use(node.attr, node.lineno))
    return sorted({Use(u.name[:80], u.line) for u in uses}, key=lambda u: (u.line, u.name))[:50]
