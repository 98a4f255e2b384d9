"""What is published tells of no machine: paths lose their folders, names of hosts and users go, addresses stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.report.public import link, public


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("no file /home/jo/data/x.bin here", "no file …/x.bin here"),
        ("'/scratch/u123/runs/'", "'…/runs'"),
        ("~/work/thing.py:3", "…/thing.py:3"),
        ("C:\\Users\\jo\\x.txt is gone", "…/x.txt is gone"),
        ("see https://example.org/a/b and results/paper/claims.yaml, 3/4 of it", None),
        ("conv + relu + max / 2, and/or", None),
        ("on node17 and node17.cluster.org, not node171", "on … and …, not node171"),
    ],
)
def test_of_a_path_its_last_part_stays(text: str, wanted: str | None) -> None:
    assert public(text, ["node17", "node17.cluster.org"]) == (text if wanted is None else wanted)


def test_a_name_that_says_nothing_is_left_alone() -> None:
    assert public("the root of all vm runs", ["root", "vm"]) == "the root of all vm runs"


def test_a_folder_is_linked_where_it_lies_beside_the_results(tmp_path: Path) -> None:
    page, results = tmp_path / "results" / "a" / "report.html", tmp_path / "results"
    assert link(tmp_path / "runs" / "x", page, results) == "../../runs/x/"
    assert link(tmp_path / "home" / "jo" / "x", page, results) is None
