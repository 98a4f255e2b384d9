"""What README and docs/ show is what the run folders gave; links, commands, studies and code in them work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scs_study.experiments.compose import PROJECT, options

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXTS = {path: path.read_text() for path in PAGES}
TABLE = re.compile(r"<!-- (\S+\.md), a test holds them equal -->\n(.*?)<!-- end -->", flags=re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHOWN = [(path, name, text) for path in PAGES for name, text in TABLE.findall(TEXTS[path])]
LINKS = sorted({(path, link) for path in PAGES for link in LINK.findall(TEXTS[path])})
BLOCKS = [(path, code) for path in PAGES for code in PYTHON.findall(TEXTS[path]) if "runs/<run>" not in code]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_front_door_is_short() -> None:
    assert len(TEXTS[PAGES[0]].splitlines()) <= 200


def test_every_page_is_reached_from_the_front_door() -> None:
    linked = {(PROJECT / link.partition("#")[0]).resolve() for path, link in LINKS if path == PAGES[0]}
    assert [page.name for page in PAGES[1:] if page.resolve() not in linked] == []


@pytest.mark.parametrize(("path", "name", "text"), SHOWN, ids=lambda value: getattr(value, "name", None))
def test_the_tables_shown_are_the_tables_written(path: Path, name: str, text: str) -> None:
    assert text.strip() == (PROJECT / name).read_text().strip()


@pytest.mark.parametrize(("path", "link"), LINKS, ids=lambda value: getattr(value, "name", value))
def test_every_link_leads_somewhere(path: Path, link: str) -> None:
    if link.startswith("https://"):
        return
    target, _, anchor = link.partition("#")
    place = (path.parent / target).resolve() if target else path
    assert place.exists()
    assert not anchor or anchor in anchors(place)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_studies_and_targets_that_are_named_exist(path: Path) -> None:
    assert set(re.findall(r"STUDY=(\w+)", TEXTS[path])) <= set(options("study"))
    assert set(re.findall(r"SWEEP=(\w+)", TEXTS[path])) <= set(options("sweep"))
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^ *make (\w+)", TEXTS[path], flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`((?:scs_study|scripts|conf|docs|tests)/[\w/.]+)`", TEXTS[path])
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize(("path", "code"), BLOCKS, ids=lambda value: getattr(value, "name", None))
def test_their_python_runs_as_it_stands(path: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(code, {})
    wanted = re.findall(r"# prints: (.*)", code)
    assert capsys.readouterr().out.splitlines() == wanted
