"""What can be told from a learner's source without running it."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_UNUSUAL_MODULES = frozenset(
    "builtins ctypes faulthandler gc importlib inspect io marshal mmap multiprocessing os pathlib pickle pty resource "
    "shutil signal socket subprocess sys tempfile threading urllib".split()
)
_UNUSUAL_CALLS = frozenset("__import__ compile eval exec exit globals input locals open quit vars".split())
_WRAPPERS = ("time", "timeit", "capture", "prun")
"""Cell magics whose body is Python that runs as if they were not there."""


@dataclass(frozen=True)
class Use:
    """A name used at a line, 1-based."""

    name: str
    line: int


def parse(source: str) -> ast.Module | None:
    """Parse a cell; None if it is not Python."""
    try:
        return ast.parse(source)
    # Nesting deep enough exhausts the parser's stack or memory.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def plain_python(source: str) -> str:
    """Return the cell as plain Python: magics become calls of `get_ipython()`, and a `%%time` above a cell goes."""
    first, newline, rest = source.lstrip("\n").partition("\n")
    if first.startswith("%%") and first[2:].split(" ")[0] in _WRAPPERS:
        return plain_python(newline + rest)  # the empty line keeps the numbers of those below
    if parse(source) is not None or not any(line.lstrip()[:1] in tuple("%!?") for line in source.splitlines()):
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
    except SyntaxError:
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


def definitions_only(source: str) -> str:
    """Return the cell with only its imports, functions, classes and literal constants left; line numbers are kept.

    For cells that learners added: a helper they wrote must be there at grading, a training run need not.
    """
    tree = parse(source)
    if tree is None:
        return ""
    lines = source.split("\n")
    kept = [""] * len(lines)
    for node in tree.body:
        if isinstance(node, _DEFINITIONS) or _is_constant(node):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            last = node.end_lineno or node.lineno
            # Statements that share a line with `;` cannot be told apart by lines.
            if all(other is node or not _overlap(other, first, last) for other in tree.body):
                kept[first - 1 : last] = lines[first - 1 : last]
    return "\n".join(kept).rstrip()


def library_calls(source: str, forbidden: Collection[str]) -> list[Use]:
    """Return where a cell calls, or derives from, a library function or class of a forbidden name.

    `F.dropout(x)`, `nn.Dropout2d(p)` and `from torch.nn import Dropout2d as D; D(p)` are found; a learner's own function of
    the same name is not, nor is `isinstance(m, nn.Dropout2d)`.
    """
    tree = parse(source)
    if tree is None:
        return []
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("torch", "torchvision")
        for alias in node.names
    }

    def library_name(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return imported.get(node.id)
        if isinstance(node, ast.Attribute):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            return node.attr if isinstance(root, ast.Name) and root.id not in ("self", "cls") else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            asked = node.args[1] if len(node.args) > 1 else None
            return asked.value if isinstance(asked, ast.Constant) and isinstance(asked.value, str) else None
        return None

    uses = []
    for node in ast.walk(tree):
        called = [node.func] if isinstance(node, ast.Call) else node.bases if isinstance(node, ast.ClassDef) else []
        for expression in called:
            name = library_name(expression)
            if name in forbidden and name is not None:
                uses.append(Use(name, expression.lineno))
    return sorted(set(uses), key=lambda u: (u.line, u.name))


def unusual(source: str) -> list[Use]:
    """Return uses of modules and functions that no exercise on tensors needs, for an instructor's eye. Proves nothing."""
    tree = parse(source)
    if tree is None:
        return []
    uses = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            uses += [Use(a.name, node.lineno) for a in node.names if a.name.split(".")[0] in _UNUSUAL_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _UNUSUAL_MODULES:
            uses.append(Use(node.module or "", node.lineno))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _UNUSUAL_CALLS:
            uses.append(Use(f"{node.func.id}()", node.lineno))
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target).split(".")[0] == "torch":
                    uses.append(Use(f"{ast.unparse(target)} = …", node.lineno))
        elif isinstance(node, ast.Attribute) and node.attr in (
            "__globals__",
            "f_back",
            "f_globals",
            "f_locals",
            "tb_frame",
        ):
            uses.append(Use(node.attr, node.lineno))
    return sorted(set(uses), key=lambda u: (u.line, u.name))


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _overlap(node: ast.stmt, first: int, last: int) -> bool:
    return node.lineno <= last and (node.end_lineno or node.lineno) >= first
