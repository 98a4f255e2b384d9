"""The analyses that a study may name are those that can be run or drawn."""

from __future__ import annotations

from scs_study.analysis.publish import DRAWN
from scs_study.analysis.registry import FOLLOWING
from scs_study.experiments.grid import ANALYSES


def test_every_analysis_that_a_study_may_name_can_be_run_or_drawn() -> None:
    assert sorted([*FOLLOWING, *DRAWN]) == sorted(ANALYSES)
