"""Python code as text: which definitions some code needs, found without importing anything, and their digest."""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib.machinery
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
DIGITS = 12
_PACKAGES = {"site-packages", "dist-packages"}
"""Folders of installed packages, wherever they are (Python's `site` module; the second is Debian's name)."""


def top_of(module: str) -> str:
    """Return the name of a module's top-level package."""
    return module.partition(".")[0]


def hash_of(text: str) -> str:
    """Return the first DIGITS hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Module:
    """A module's source. defined: the top-level statements that make a name, and those that go with it (a decorator of
    its own, a call). imported: a name -> the module, and the name in it ("" for the module itself), it comes from."""

    name: str
    tree: ast.Module
    defined: Mapping[str, tuple[ast.stmt, ...]]
    imported: Mapping[str, tuple[str, str]]


@functools.cache
def module_of(name: str) -> Module:
    """Return a module's source. Raises ValueError in one sentence where there is none."""
    path = _path(name)
    if path is None:
        raise ValueError(f"{name}: there is no such module, or it has no source to tell one version of it from another")
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: its source cannot be read: {error}") from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        imported |= dict(_imports(node, package))
    made: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for each in _bound(statement):
            made.setdefault(each, []).append(statement)
    for statement in tree.body:
        for each in _attached(statement) & made.keys():
            if statement not in made[each]:
                made[each].append(statement)
    return Module(name, tree, {key: tuple(value) for key, value in made.items()}, imported)


def _path(name: str) -> Path | None:
    """The file of a module, found without importing anything."""
    running = sys.modules.get("__main__")
    if name == "__main__":
        file = getattr(running, "__file__", None)
        return Path(file) if file else None
    if name.partition(".")[0] == PACKAGE:
        base = Path(__file__).parents[1].joinpath(*name.split(".")[1:])
        files = (base / "__init__.py", base.with_suffix(".py"))
        return next((path for path in files if path.is_file()), None)
    where: Iterable[str] | None = None
    spec = None
    for depth in range(name.count(".") + 1):
        part = ".".join(name.split(".")[: depth + 1])
        try:
            spec = importlib.machinery.PathFinder.find_spec(part, None if where is None else list(where))
        except KeyError:  # a namespace package's places cannot be listed before its parent is imported
            return None
        if spec is None:
            return None
        where = spec.submodule_search_locations or ()
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.suffix == ".py" else None


@functools.cache
def installed(module: str) -> bool:
    """Return whether a module is Python's own or an installed package's, and not somebody's own code.

    Packages may be another environment's than this Python's own: of the system, of the user, of one that is borrowed.
    """
    path = _path(module)
    if path is None:
        return True
    path = path.resolve()
    homes = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not _PACKAGES.isdisjoint(path.parts) or any(path.is_relative_to(home) for home in homes)


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, (alias.name, "")) if alias.asname else (alias.name.partition(".")[0], (alias.name, ""))
    if isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
        home = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, (home, alias.name)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement makes or changes, also inside of an if or a try."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    found: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found |= _names(node.value)  # ARCHITECTURES["mine"] = ...
    return found


def _attached(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement does something to without making them: by a call, or as a decorator."""
    if isinstance(statement, ast.Expr):
        return _called_on(statement.value)
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {name for each in statement.decorator_list for name in _called_on(each)}
    return set()


def _called_on(node: ast.expr) -> set[str]:
    """x of a call x.update(...); of register(x, ...) its arguments' names."""
    if not isinstance(node, ast.Call):
        return _names(node) if isinstance(node, ast.Attribute) else set()
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return {node.func.value.id}
    return {name for each in (*node.args, *(word.value for word in node.keywords)) for name in _names(each)}


def _names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return {node.id}
    found: set[str] = set()
    for name, value in ast.iter_fields(node):
        if name not in _LEFT_OUT:
            for each in value if isinstance(value, list) else [value]:
                found |= _names(each) if isinstance(each, ast.AST) else set()
    return found


@dataclass
class Closure:
    """The definitions that code needs, gathered: `texts` of what was found in the package `top` and in modules that are
    not installed. others: the packages besides this one that it imports from."""

    top: str
    texts: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def name(self, module: str, name: str) -> None:
        """Add what `name` stands for in a module, and all that this needs."""
        if (module, name) in self.seen:
            return
        self.seen.add((module, name))
        home = module_of(module)
        if name in home.defined:
            for statement in home.defined[name]:
                self.node(home, statement)
        elif name in home.imported:
            self.imported(name, *home.imported[name])
        elif _path(f"{module}.{name}") is not None:
            self.whole(f"{module}.{name}")
        elif not hasattr(builtins, name):
            self.texts.add(f"unknown {name}")

    def node(self, home: Module, node: ast.AST) -> None:
        """Add a piece of a module's code, and all that it needs."""
        self.texts.add(canonical(node))
        for name in sorted(_names(node) & (home.defined.keys() | home.imported.keys())):
            self.name(home.name, name)

    def imported(self, name: str, module: str, original: str) -> None:
        """Add what `from module import original as name` brings in."""
        if top_of(module) != PACKAGE:
            self.others.add(top_of(module))
        inside = f"{module}.{original}"
        if top_of(module) == PACKAGE == self.top and original not in ("", "*"):
            self.name(module, original)
        elif top_of(module) == PACKAGE != self.top:  # for other projects this one is as good as installed
            self.texts.add(f"import {module} {original} as {name}")
        elif top_of(module) == self.top or not installed(module):
            self.whole(inside if original and _path(inside) is not None else module)
        else:
            self.texts.add(f"import {module} {original} as {name}")

    def whole(self, module: str) -> None:
        """Add all of a module, and all that it needs."""
        if (module, "") in self.seen:
            return
        self.seen.add((module, ""))
        home = module_of(module)
        self.texts.add(canonical(home.tree))
        for name, (origin, original) in home.imported.items():
            self.imported(name, origin, original)

    def digest(self) -> str:
        """Return the digest of everything gathered, wherever it stood."""
        return hash_of("\n".join(sorted(self.texts)))


def closure_digest(targets: Iterable[tuple[str, str]]) -> str:
    """Return the digest of definitions of this package, (module, name), and of all that they need."""
    closure = Closure(PACKAGE)
    for module, name in targets:
        closure.name(module, name)
    return closure.digest()


def modules_digest(top: str, modules: Iterable[str]) -> str:
    """Return the digest of whole modules and of all that they import of the package `top`, or that is not installed."""
    closure = Closure(top)
    for module in modules:
        closure.whole(module)
    return closure.digest()


_LEFT_OUT = frozenset({"ctx", "annotation", "returns", "type_comment", "type_params", "kind", "lineno", "end_lineno"})


def canonical(node: ast.AST) -> str:
    """Return code as a text that is the same for the same syntax: without layout, comments, docstrings and annotations.

    Not ast.dump, which differs from one version of Python to the next.
    """
    parts = []
    for name, value in ast.iter_fields(node):
        if name in _LEFT_OUT or value is None or value == []:
            continue
        if name == "body" and isinstance(value, list) and _documented(node):
            value = value[1:]
        if isinstance(value, list):
            shown = ",".join(canonical(each) if isinstance(each, ast.AST) else repr(each) for each in value)
            parts.append(f"{name}=[{shown}]")
        else:
            parts.append(f"{name}={canonical(value) if isinstance(value, ast.AST) else repr(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _documented(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None
