from pathlib import Path

import pytest

from tests.analysis.run_folders import cell, write_run


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, dict[str, dict]]:
    """A small study with a run in every state, its folder and its plan (run name -> identity).

    Two seeds of the baseline, one of two seeds of an SCS net still running, one failed run, one diverged run, one that
    has not started, and a plain cosine, which is in no table of the paper.
    """
    runs = tmp_path / "runs"
    cells = [
        (cell(seed=0), {"accuracies": [0.5, 0.7, 0.75]}),
        (cell(seed=1), {"accuracies": [0.5, 0.8, 0.77], "seconds": (3.0, 0.7)}),
        (cell("scs", "none", "maxabs", 0), {"accuracies": [0.25, 0.5, 0.625], "seconds": (5.0, 0.9)}),
        (cell("scs", "none", "maxabs", 1), {"accuracies": [0.25, 0.5], "state": "running"}),
        (
            cell("scs", "relu", "max"),
            {"accuracies": [0.5], "state": "failed", "message": "ValueError: 50% of a_b & c | *\nd"},
        ),
        (cell("sdp", "relu", "maxabs"), {"accuracies": [0.125, None], "state": "diverged", "message": "loss is nan"}),
        (cell("cosine", "none", "max"), {"accuracies": [0.1, 0.2, 0.3], "state": "untrained", "seconds": (4.0, 0.6)}),
    ]
    for planned, facts in cells:
        write_run(runs, planned, **facts)
    absent = cell("sdp", "none", "max")
    plan = {planned.run_name: planned.identity() for planned in [*(c for c, _ in cells), absent]}
    return runs, plan
