"""What a verdict depends on, as digests: while none of it changes, nothing is graded again.

Python is compared by its syntax tree, so that a comment or a line break is no change; data by its bytes.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_BESIDE = {
    "__main__", "build", "classbook", "classroom", "cli", "collect", "feedback", "files", "fleet", "gradebook", "interactive",
    "leaderboard", "outline", "picture", "verdict", "worker",
}  # fmt: skip
"""Modules of the engine that no verdict depends on; a test holds the judge to importing none of them."""
_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "msgpack")


def combine(*parts: str | bytes) -> str:
    """Return the SHA-256 of a sequence of texts; where one ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()


@functools.cache
def engine() -> str:
    """Return the digest of what judges in every course: this package, Python and the packages that compute."""
    package = Path(__file__).resolve().parent
    files = [p for p in sorted(package.rglob("*.py")) if p.stem not in _BESIDE]
    return combine(
        platform.python_version(),
        *(f"{name} {version_of(name)}" for name in _PACKAGES),
        *(part for p in files for part in (p.relative_to(package).as_posix(), code(p.read_text(encoding="utf-8")))),
    )


def code(source: str) -> str:
    """Return Python source without what does not matter to it; source that does not parse, as it is."""
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError):
        return source


def checks_of(path: Path | None, names: Collection[str]) -> str:
    """Return what some checks of a module consist of: they themselves, and what of the module they mention.

    Imports and bare statements count always. EXERCISES, the declarations of all exercises, does not.

    Args:
        names: what the checks are called in the module.
    """
    if path is None or not path.exists():
        return ""
    body = [n for n in _statements(path.read_text(encoding="utf-8")) if "EXERCISES" not in n.defines]
    mentioned = set(names)
    while True:
        wanted = [n for n in body if not n.defines or n.defines & mentioned]
        more = set().union(*(n.mentions for n in wanted)) - mentioned
        if not more:
            return combine(*(n.text for n in wanted))
        mentioned |= more


def importable(folder: Path, beside: Collection[Path] = ()) -> str:
    """Return the digest of what Python can import from a folder: its modules, and its packages with their data.

    Args:
        beside: files that do not count.
    """
    packages = [p.parent for p in folder.rglob("__init__.py")]
    files = {path for package in packages for path in package.rglob("*") if path.is_file()} | set(folder.rglob("*.py"))
    kept = sorted(p for p in files if p not in beside and not {"__pycache__", ".ipynb_checkpoints"} & set(p.parts))
    return combine(*(part for p in kept for part in (p.relative_to(folder).as_posix(), p.read_bytes())))


def transitive(own: dict[str, str], uses: dict[str, Sequence[str]]) -> dict[str, str]:
    """Return each exercise's digest joined with those of the exercises it builds on, by name."""

    def reached(name: str, seen: frozenset[str] = frozenset()) -> Iterable[str]:
        for used in uses.get(name, ()):
            if used in own and used not in seen:
                yield own[used]
                yield from reached(used, seen | {used})

    return {name: combine(digest, *sorted(set(reached(name, frozenset({name}))))) for name, digest in own.items()}


@dataclass(frozen=True)
class _Statement:
    """A statement of a module: its syntax tree as text, the names that it defines, and those that it mentions."""

    text: str
    defines: frozenset[str]
    mentions: frozenset[str]


@functools.lru_cache(maxsize=64)  # each exercise of a unit asks for the same modules
def _statements(source: str) -> tuple[_Statement, ...]:
    """Return the statements of a module, its docstring left out."""
    tree = ast.parse(source)
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return tuple(_Statement(ast.dump(node), _defined(node), _names_in(node)) for node in body)


def _defined(node: ast.stmt) -> frozenset[str]:
    """Return the names that a statement of a module defines. An import defines none: each counts for all."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return frozenset().union(*map(_names_in, targets))
    return frozenset()


def _names_in(node: ast.AST) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def version_of(name: str) -> str:
    """Return a package's version, or "none" for what is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
