"""A network keeps the norm that it is built with, and what its norm cannot take is said before anything is trained."""

from __future__ import annotations

import pytest
import torch

from scs_study.experiments.compose import compose_cell
from scs_study.models.architectures import plain_network
from scs_study.models.variant import check_last_batch


@pytest.mark.parametrize(
    ("arch", "norm"), [("rohrer25k", "none"), ("resnet20", "batchnorm"), ("resnet18", "batchnorm")]
)
def test_as_built_is_what_the_network_has_and_no_other_run(arch: str, norm: str) -> None:
    cell = compose_cell({"arch": arch, "norm": "as_built"}, {}, 0)
    assert cell.norm == norm
    assert cell.run_name == compose_cell({"arch": arch, "norm": norm}, {}, 0).run_name


def test_a_last_batch_of_one_image_is_refused_exactly_where_torch_would() -> None:
    one = torch.rand(1, 3, 32, 32)
    for arch, refused in (("resnet18", True), ("resnet20", False)):
        cell = compose_cell({"arch": arch, "norm": "as_built"}, {"train.batch_size": 16}, 0)
        check_last_batch(cell, 96)
        if refused:
            with pytest.raises(ValueError, match="Expected more than 1 value"):
                plain_network(arch).train()(one)
            with pytest.raises(ValueError, match=r"train\.batch_size=16: of 97 training images the last batch is a si"):
                check_last_batch(cell, 97)
            without = compose_cell({"arch": arch, "norm": "none"}, {"train.batch_size": 16}, 0)
            check_last_batch(without, 97)
        else:
            plain_network(arch).train()(one)
            check_last_batch(cell, 97)
