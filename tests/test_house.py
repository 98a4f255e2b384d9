"""The rooms of the house: imports point one way, and no file is a hall."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scs_study"
ORDER = (
    *("system", "config", "layers", "interchange", "jax", "keras", "data", "models", "training", "benchmark"),
    *("runs", "experiments", "launch", "evaluation", "export", "analysis", "report", "selection", "command"),
)
"""From the bottom to the top: a room may look into those before it."""
LINES = 350
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("scs_study."))
        elif isinstance(node, ast.ImportFrom) and node.module == "scs_study":
            yield from (f"scs_study.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scs_study."):
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    above = [module for module in imports(path) if ORDER.index(room_of(module)) > ORDER.index(room)]
    assert above == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_is_a_room(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


def test_the_page_about_the_house_names_every_room() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"}
    assert [room for room in sorted(rooms) if f"`{room}" not in page] == []


NOUNS = ("A", "An", "As", "Each", "Every", "How", "None", "One", "The", "What", "Where", "Whether", "Which")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_a_function_does_opens_with_a_verb(path: Path) -> None:
    """A property is what it says."""
    others = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            said = ast.get_docstring(node)
            is_property = any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
            if said and not is_property and said.split()[0].strip(";,.:") in NOUNS:
                others.append(node.name)
    assert others == []
