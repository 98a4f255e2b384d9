"""What the tests of training share."""

from __future__ import annotations

import pytest

from scs_study.data import ImageSet, load_images
from tests.training.runs import cell, small


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return small(load_images(cell().data, None, tmp_path_factory.mktemp("cache"), download=False))
