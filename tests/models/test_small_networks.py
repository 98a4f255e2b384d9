"""The small networks of the sources have exactly the sizes that systems.md 2.1 to 5 measured on the original code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.layers import SharpenedCosineSimilarity2d
from scs_study.models import build_variant, count_parameters, not_converted
from scs_study.models.blocks import SharedDepthwise, depthwise_pointwise
from scs_study.models.initialization import draw

GREY, COLOURS = "mnist_28", "cifar10"
COUNTS = {  # data, the layer and its parameters, those of the convolution with biases
    "rohrer37k": (COLOURS, "scs", 36_862, 36_858),
    "fashion7659": (GREY, "scs", 7_669, 7_666),
    "fashion3423": (GREY, "scs", 3_423, 3_416),
    "fashion2764": (GREY, "scs", 2_757, 2_750),
    "fashion_10": (GREY, "scs", 174_617, 174_610),
    # The rest of systems.md has no counts of convolutions: one value a kernel too, and none for q, one a layer.
    "demo_fashion": (GREY, "scs", 1_761, 1_761 - 5),
    "demo_cifar10": (COLOURS, "scs", 14_221, 14_221 - 3),
    "demo_lightning": (GREY, "scs", 11_021, 11_021 - 3),
    "test_mnist": (GREY, "scs", 1_233, 1_233 - 5),
    "test_mnist_shared": (GREY, "scs", 1_053, 1_053 - 5),
    "test_mnist_jax": (GREY, "scs", 1_233, 1_233 - 5),
    "blog_keras": (COLOURS, "scs", 104_781, 104_781 - 3),
    "hukkelas": (COLOURS, "hukkelas", 1_207_825, 1_207_825 - 7),
    "hukkelas_residual": (COLOURS, "hukkelas", 1_251_284, 1_251_284 - 10),
    "batchelor_scsnet": (COLOURS, "batchelor", 1_764_906, 1_764_906),
    "batchelor_resnet": (COLOURS, "batchelor", 11_169_098, 11_169_098 - 4_736),  # whose convolutions have no biases
    # Our own, likewise, with norms.
    "tied12": (GREY, "scs", 854, 854 - 52),
    "tied13": (GREY, "scs", 937, 937 - 56),
    "tied14": (GREY, "scs", 1_374, 1_374 - 90),
}
SHAPES = {  # (channels, side) after each stage
    "rohrer37k": [(56, 14), (56, 6), (56, 1)],
    "fashion7659": [(12, 12), (12, 5), (12, 1)],
    "fashion2764": [(32, 13), (20, 7), (20, 4), (20, 1)],
    "demo_fashion": [(27, 14), (18, 6), (18, 1)],
    "demo_lightning": [(8, 13), (16, 7), (32, 4)],
    "test_mnist": [(10, 14), (8, 6), (10, 1)],
    "blog_keras": [(32, 15), (64, 7), (128, 3)],
}


def cell(arch: str, layer: str) -> CellConfig:
    pooling, activation = ("max", "relu") if layer == "conv" else ("maxabs", "none")
    choices = {"arch": arch, "data": COUNTS[arch][0], "layer": layer, "pooling": pooling, "activation": activation}
    choices["norm"] = "batchnorm" if arch.startswith("tied") else "none"
    return compose_cell(choices, {}, seed=0)


def network(arch: str, layer: str) -> nn.Module:
    one = cell(arch, layer)
    return build_variant(one, draw(arch, 0, "conv2d", one.data.ends))


@pytest.mark.parametrize("arch", COUNTS)
def test_the_parameters_are_those_of_the_sources_and_all_of_them_learn(arch: str) -> None:
    data, layer, sharpened, convolution = COUNTS[arch]
    for name, count in ((layer, sharpened), ("conv", convolution)):
        built = network(arch, name)
        assert count_parameters(built) == count
        size, channels = (28, 1) if data == GREY else (32, 3)
        x = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(1))
        output = built(x)
        assert output.shape == (2, 10)
        output.square().sum().backward()
        used = [path for path, weight in built.named_parameters() if weight.grad is not None]
        assert used == [path for path, _ in built.named_parameters()]


@pytest.mark.parametrize("arch", SHAPES)
def test_the_shapes_after_each_stage_are_those_of_the_sources(arch: str) -> None:
    built, seen = network(arch, "conv"), []
    for name, module in built.named_children():
        if name.startswith("pool"):
            module.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:3])))
    data = COUNTS[arch][0]
    built(torch.zeros(1, *((1, 28, 28) if data == GREY else (3, 32, 32))))
    assert seen == SHAPES[arch]


def test_batchelors_stem_stays_a_convolution_and_the_run_says_so() -> None:
    assert [path for path, _ in not_converted(cell("batchelor_resnet", "batchelor"))] == ["resnet.conv1"]


@pytest.mark.parametrize("shared", [False, True])
def test_a_depthwise_pair_is_its_definition(shared: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    depthwise, pointwise = depthwise_pointwise(3, 6, 5, padding=1, shared=shared)
    x = torch.rand(2, 3, 8, 7, generator=generator)
    bank = depthwise.bank if isinstance(depthwise, SharedDepthwise) else depthwise
    assert isinstance(bank, nn.Conv2d)
    assert isinstance(bank.bias, Tensor)
    assert bank.weight.shape == ((2, 1, 3, 3) if shared else (6, 1, 3, 3))
    for channel in range(3):
        for kernel in range(2):
            place = 2 * channel + kernel
            at = kernel if shared else place
            expected = nn.functional.conv2d(x[:, channel : channel + 1], bank.weight[at : at + 1], padding=1)
            torch.testing.assert_close(depthwise(x)[:, place], expected[:, 0] + bank.bias[at])
    assert pointwise(depthwise(x)).shape == (2, 5, 8, 7)


def test_shared_kernels_share_their_exponents() -> None:
    sharpened = [m for m in network("test_mnist_shared", "scs").modules() if isinstance(m, SharpenedCosineSimilarity2d)]
    assert [len(module.p) for module in sharpened] == [10, 2, 8, 32, 10]


def test_the_network_of_the_jax_test_sees_bytes() -> None:
    plain, unscaled = network("test_mnist", "conv"), network("test_mnist_jax", "conv")
    unscaled.load_state_dict(plain.state_dict())
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(unscaled(x), plain(x * 255))
