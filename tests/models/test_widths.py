"""Widths as a setting: in the name of a network and of all that is named after it, and refused where they are none."""

import copy
import itertools

import pytest
import torch
from torch import nn

from scs_study.config.widths import sized, split_widths
from scs_study.experiments.compose import compose_cell
from scs_study.experiments.grid import load_study, plan
from scs_study.models import build_variant, check_cell, count_parameters
from scs_study.models.architectures import architecture, plain_network
from scs_study.models.initialization import draw, initial_weights
from tests.experiments.sweep.sweeps import sweep

SMALL = {"arch": "tied", "norm": "batchnorm", "data": "mnist_28", "train": "mnist_small"}


def cell_of(settings, **choices):
    return compose_cell({**SMALL, **choices}, settings, 0)


def parameters(cell):
    return count_parameters(build_variant(cell, draw(cell.arch, 0, "conv2d", cell.data.ends)))


def count(widths, tied, exponents):
    """What is written on paper: kernels, norms, the head; SCS has an exponent a kernel and a q a layer."""
    steps = list(itertools.pairwise(widths))
    kinds = list(dict.fromkeys(steps)) if tied else steps
    kernels = 9 * widths[0] + sum(9 * a + a * b for a, b in kinds)
    extra = widths[0] + 1 + sum(a + b + 2 for a, b in kinds) if exponents else 0
    return kernels + 2 * sum(widths) + 10 * widths[-1] + 10 + extra


@pytest.mark.parametrize("arch", ["tied", "pairs"])
@pytest.mark.parametrize("widths", [[16, 16, 16, 16, 16], [5, 8], [3, 4, 4, 4, 6]])
def test_widths_are_those_of_the_network_and_in_its_name(arch, widths):
    for layer, activation, pooling in (("conv", "relu", "max"), ("scs", "none", "maxabs")):
        cell = cell_of({"arch.widths": widths}, arch=arch, layer=layer, activation=activation, pooling=pooling)
        check_cell(cell)
        assert cell.arch == f"{arch}_w{'-'.join(map(str, widths))}"
        assert cell.run_name.startswith(f"{cell.arch}-{layer}-")
        assert cell.code == ()  # widths are no code
        assert parameters(cell) == count(widths, arch == "tied", layer == "scs")


def test_one_of_the_widths_is_a_setting_too():
    cell = cell_of({"arch.widths.1": 5, "arch.widths": [4, 4, 4]})
    assert cell == cell_of({"arch.widths": [4, 5, 4]})
    assert cell.run_name != cell_of({"arch.widths": [4, 4, 4]}).run_name


def test_a_tied_pair_is_applied_as_often_as_there_are_widths():
    network = plain_network("tied_w3-3-3-3", (1, 10)).eval()
    x = torch.rand(2, 1, 28, 28)
    stem = network.relu(network.norm(network.pool(network.stem(x))))
    (pair,) = network.pairs.pairs
    y = stem
    for norm in network.pairs.norms:
        y = torch.relu(norm(pair(y)))
    assert torch.equal(network.pairs(stem), y)
    assert y.shape == (2, 3, 7, 7)


def test_weights_are_kept_for_each_width(tmp_path):
    kept = [initial_weights(f"tied_w4-{width}", 0, "conv2d", tmp_path, ends=(1, 10)) for width in (4, 5)]
    assert [each.tensors["head.weight"].shape[1] for each in kept] == [4, 5]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"arch.widths": [3]}, r"arch.widths=\[3\]: at least two"),
        ({"arch.widths": []}, "must be a list of widths, such as"),
        ({"arch.widths": 8}, "must be a list of widths, such as"),
        ({"arch.widths": [8, 0]}, "arch.widths=0: must be at least 1"),
        ({"arch.widths": [8, 2.5]}, "arch.widths=2.5: must be a whole number"),
        ({"arch.widths": [8, 10**6]}, "at most 4096"),
        ({"arch.widths.5": 8}, "arch.widths.5=8: there is no such width; arch.widths is .* counted from 0"),
        ({"arch.width": 8}, "did you mean arch.widths"),
        ({"arch.widths": [4] * 9}, "cannot take 1 channels of 28x28 pixels"),
    ],
)
def test_what_are_no_widths_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        check_cell(cell_of(settings))
    assert "\n" not in str(caught.value)


def test_a_network_without_widths_has_none_to_choose():
    with pytest.raises(ValueError, match=r"arch.widths: no such setting"):
        cell_of({"arch.widths": [8]}, arch="tied12")
    with pytest.raises(ValueError, match=r"arch.widths=\[8\]: tied12 has no widths to choose"):
        architecture("tied12_w8")
    with pytest.raises(ValueError, match=r"arch=tiedd: not known .did you mean tied"):
        architecture("tiedd_w8")


def test_names_with_and_without_widths():
    assert split_widths(sized("a_w3", [1, 20])) == ("a_w3", (1, 20))
    assert split_widths("wide_w0") == ("wide_w0", ())


def test_a_space_of_widths_is_a_list_of_them_or_a_range_for_each():
    space = {"arch.widths.0": "int 2..4", "arch.widths.1": "int 2..8", "train.max_lr": "log 0.001..0.1"}
    made = sweep(overrides=SMALL, space=space, pruner="none")
    assert [each.name for each in made.dimensions] == ["widths.0", "widths.1", "max_lr"]
    cell = made.cell({"widths.0": 3, "widths.1": 7, "max_lr": 0.01}, 0)
    assert cell.arch == "tied_w3-7-16-16-16"
    assert made.shared()["arch"] == "tied"
    assert made.study_name == "quick-tied-mnist-6ep"
    whole = sweep(overrides=SMALL, space={"arch.widths": [[4, 4], [8, 8, 8]]}, pruner="none")
    assert {each.arch for each in whole.cells} == {"tied_w4-4", "tied_w8-8-8"}
    assert whole.study_name == made.study_name
    assert "space.arch.widths" in str(copy.copy(whole).shared())


def test_the_race_to_the_bottom_is_run_by_networks_below_its_bars():
    sizes = {(cell.layer.name, cell.arch): parameters(cell) for cell in plan(load_study("mnist_widths"))}
    assert sorted(sizes.values()) == [805, 853, 874, 1330, 1399]


class Mine(nn.Sequential):
    """A network of somebody's own whose width is a setting, and one whose name only looks as if."""

    def __init__(self, num_classes, in_channels, widths):
        (width,) = widths
        super().__init__(
            nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
        )


def fixed(num_classes, in_channels):
    return Mine(num_classes, in_channels, (4,))


def test_a_network_of_ones_own_has_widths_where_it_has_such_an_argument(monkeypatch):
    cells = []
    for name, target in (("mine_w6", "Mine"), ("fixed_w6", "fixed")):
        cell = copy.copy(cell_of({}, norm="none"))
        object.__setattr__(cell, "arch", name)
        object.__setattr__(cell, "targets", (("arch", f"{__name__}.{target}"),))
        check_cell(cell)
        cells.append(cell)
    assert [plain_network(cell.arch, (1, 10))[0].out_channels for cell in cells] == [6, 4]
