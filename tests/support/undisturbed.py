"""What the tests of this folder share."""

from __future__ import annotations

from typing import Any

import pytest

from scs_study.runs.run_one import run_cell
from tests.support.work import SCS, content, run_context


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the cell says when nothing ever happens to it."""
    runs = tmp_path_factory.mktemp("undisturbed")
    assert run_cell(SCS, run_context(runs)).state == "done"
    return content(runs / SCS.run_name)
