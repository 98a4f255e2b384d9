"""A SLURM for the tests: the one that answers already, or one of our own, or a plain reason why there is none."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.slurm import cluster


@contextlib.contextmanager
def running(nodes: Mapping[str, Sequence[str]]) -> Iterator[Path]:
    """A SLURM of these nodes (as for cluster.start) for as long as the context lasts, which clients find by themselves.

    The test is skipped where there can be none.
    """
    if lacking := cluster.missing():
        pytest.skip(f"no SLURM: {', '.join(lacking)} not installed (Debian: slurm-wlm and munge)")
    base = Path(tempfile.mkdtemp(prefix="scs-slurm-", dir="/tmp"))  # short: a socket's path has at most 108 bytes
    try:
        environment = cluster.start(base, nodes)
    except (RuntimeError, OSError) as error:
        pytest.skip(f"no SLURM: it does not start here: {error}")
    try:
        with pytest.MonkeyPatch.context() as patched:
            for key, value in environment.items():
                patched.setenv(key, value)
            yield base
    finally:
        cluster.stop(base)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Path]:
    with running(cluster.ONE) as base:
        yield base


@pytest.fixture
def slurm(_cluster: Path) -> Path:
    """The folder of a running one-node SLURM without jobs; clients find it through the environment.

    What an earlier test did to it, or left there when it failed, is mended first.
    """
    cluster.restore(_cluster)
    return _cluster
