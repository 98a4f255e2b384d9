"""A SLURM for the tests: the one that answers already, or one of our own, or a plain reason why there is none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Path]:
    if lacking := cluster.missing():
        pytest.skip(f"no SLURM: {', '.join(lacking)} not installed (Debian: slurm-wlm and munge)")
    base = Path(tempfile.mkdtemp(prefix="scs-slurm-", dir="/tmp"))  # short: a socket's path has at most 108 bytes
    try:
        environment = cluster.start(base)
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no SLURM: it does not start here: {error}")
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    yield base
    cluster.stop(base)
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def slurm(_cluster: Path) -> Path:
    """The folder of a running one-node SLURM without jobs; clients find it through the environment.

    What an earlier test did to it, or left there when it failed, is mended first.
    """
    cluster.restore(_cluster)
    return _cluster
