"""The statistics are right as often as they say, on simulated studies whose truth is known (docs/statistics.md)."""

import re

import pytest

from scs_study.analysis.statistics.simulation import plans, simulate
from scs_study.experiments.compose import PROJECT

PAGE = (PROJECT / "docs" / "statistics.md").read_text()


@pytest.mark.slow
def test_every_share_lies_in_its_band() -> None:
    assert [check for check in simulate(160, seed=1) if not check.holds()] == []


def test_the_documented_table_is_of_these_checks_and_each_lies_in_its_band() -> None:
    rows = re.search(r"<!-- simulated -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)[1].strip().splitlines()[2:]
    shown = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[:3] for row in shown] == [[p.subject, p.truth, p.counted] for p in plans()]
    for row, plan in zip(shown, plans(), strict=True):
        share, studies = float(row[4]), int(row[5])
        error = (max(share * (1 - share), 1 / studies) / studies) ** 0.5
        assert plan.low - 4 * error <= share <= plan.high + 4 * error
        assert studies * plan.cost >= 4000
