"""What the README shows is what the run folders gave, and the files it names exist."""

from __future__ import annotations

import re

import pytest

from scs_study.config.compose import PROJECT, options

README = (PROJECT / "README.md").read_text()


def test_the_tables_shown_are_the_tables_written() -> None:
    shown = re.findall(r"<!-- (\S+\.md), a test holds them equal -->\n(.*?)<!-- end -->", README, flags=re.DOTALL)
    assert shown
    for path, text in shown:
        assert text.strip() == (PROJECT / path).read_text().strip(), path


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(path: str) -> None:
    assert path.startswith("https://") or (PROJECT / path).exists()


def test_the_studies_it_names_exist() -> None:
    named = set(re.findall(r"STUDY=(\w+)", README))
    assert named
    assert named <= set(options("study"))


def test_the_make_targets_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize(
    ("opening", "prints"),
    [("from scs_study.layers import", ""), ("import torchvision", " 8 of them lost a bias; not swapped: ()\n")],
)
def test_its_python_runs_as_it_stands(opening: str, prints: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if block.startswith(opening)]
    exec(code, {})
    assert capsys.readouterr().out.endswith(prints)
