"""The five networks of the gallery have exactly the sizes that systems.md 2.1 measured on the original code."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from scs_study.experiments.compose import compose_cell
from scs_study.models import ARCHITECTURES, build_variant, check_cell, count_parameters, layer_paths, not_converted
from scs_study.models.initialization import draw
from scs_study.models.variant import remarks

COUNTS = {  # conv with bias, SCS (May 2022), SDP without bias
    "rohrer25k": (24_970, 24_974, 24_970),
    "rohrer47k": (47_650, 47_653, 47_650),
    "rohrer68k": (68_026, 68_029, 68_026),
    "rohrer100k": (113_738, 113_741, 113_738),
    "rohrer583k": (629_930, 629_933, 629_930),
    "resnet18": (11_181_642, 11_186_462, 11_186_442),
    "resnet20": (269_722, 270_429, 270_410),
    "resnet20_idelbayev": (269_722, 270_429, 270_410),
}
SHAPES = {  # after each pool (channels, side), systems.md 2
    "rohrer25k": [(80, 14), (40, 6), (40, 1)],
    "rohrer47k": [(30, 14), (30, 6), (30, 1)],
    "rohrer68k": [(24, 15), (48, 8), (96, 4)],
    "rohrer100k": [(32, 15), (64, 8), (128, 4)],
    "rohrer583k": [(80, 15), (160, 8), (320, 4)],
}
VARIANTS = list(itertools.product(("conv", "scs", "sdp", "cosine"), ("none", "relu"), ("max", "maxabs")))


@pytest.mark.parametrize("arch", COUNTS)
@pytest.mark.parametrize(("layer", "column"), [("conv", 0), ("scs", 1), ("sdp", 2)])
def test_parameter_counts(arch: str, layer: str, column: int) -> None:
    norm = "batchnorm" if arch.startswith("resnet") else "none"
    cell = compose_cell({"arch": arch, "layer": layer, "norm": norm}, {}, seed=0)
    assert count_parameters(build_variant(cell, draw(arch, 0, "conv2d"))) == COUNTS[arch][column]


def test_resnet18_can_keep_its_one_by_one_convolutions() -> None:
    cell = compose_cell({"arch": "resnet18", "norm": "batchnorm"}, {"layer.skip_1x1": True}, seed=0)
    assert count_parameters(build_variant(cell, draw("resnet18", 0, "conv2d"))) == 11_185_563  # systems.md 7


def test_images_that_no_memory_holds_are_refused_before_one_is_shown_to_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scs_study.models.variant.free_memory", lambda: 10**9)
    cell = compose_cell({"arch": "resnet20", "norm": "batchnorm"}, {"data.image_size": [20_000, 10_000]}, 0)
    with pytest.raises(ValueError, match=r"two such images need 30\.4 GB in the first layer of resnet20, and 1\.0 GB"):
        check_cell(cell)
    # What it is comes before what size it takes.
    with pytest.raises(ValueError, match="scs_gan is a generator and a discriminator"):
        check_cell(compose_cell({"arch": "scs_gan"}, {}, 0))


def test_resnet50s_bottlenecks_are_converted_whole() -> None:
    """torchvision's count for 1000 classes is 25,557,032: 23,508,032 without the head. SCS adds p and q."""
    drawn = draw("resnet50", 0, "conv2d")
    choices = {"arch": "resnet50", "norm": "batchnorm", "pooling": "max"}
    cells = [
        compose_cell({**choices, "layer": layer, "activation": activation}, {}, 0)
        for layer, activation in (("conv", "relu"), ("scs", "none"))
    ]
    conv, scs = (build_variant(cell, drawn) for cell in cells)
    kernels = [module.out_channels for module in conv.modules() if isinstance(module, nn.Conv2d)]
    assert count_parameters(conv) == 23_508_032 + 2048 * 10 + 10
    assert count_parameters(scs) == count_parameters(conv) + sum(kernels) + len(kernels) == 23_555_135
    assert len(kernels) == 53
    assert layer_paths(scs) == layer_paths(conv)
    assert not any(isinstance(module, nn.Conv2d) for module in scs.modules())
    for path, shape in (("conv1", (64, 64, 1, 1)), ("conv2", (64, 64, 3, 3)), ("conv3", (256, 64, 1, 1))):
        weights = [network.get_submodule(f"layer1.0.{path}").weight for network in (conv, scs)]
        assert weights[0].shape == shape
        assert torch.equal(*weights)
    assert not_converted(cells[1]) == ()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for network in (conv, scs):
        loss = nn.functional.cross_entropy(network(x), torch.tensor([1, 2]))
        loss.backward()
        gradients = [network.get_submodule(path).weight.grad for path in layer_paths(network)]
        assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
@pytest.mark.parametrize("arch", ["resnet18", "resnet20", "resnet20_idelbayev"])
def test_residual_variants_have_no_relu_and_no_norm_left_where_there_should_be_none(norm: str, arch: str) -> None:
    cell = compose_cell({"arch": arch, "norm": norm, "activation": "none"}, {}, seed=0)
    modules = list(build_variant(cell, draw(arch, 0, "conv2d")).modules())
    assert not any(isinstance(module, (nn.ReLU, nn.Conv2d, nn.MaxPool2d)) for module in modules)
    assert any(isinstance(module, nn.BatchNorm2d) for module in modules) == (norm == "batchnorm")


def test_option_a_shortcuts_pass_the_image_through_where_the_block_adds_nothing() -> None:
    network = ARCHITECTURES["resnet20"].build().eval()
    block = network.get_submodule("layer2.0")
    for parameter in block.parameters():
        parameter.detach().zero_()
    x = torch.rand(2, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_the_public_resnet20_is_ours_behind_imagenets_standardisation() -> None:
    plain, public = (ARCHITECTURES[name].build().eval() for name in ("resnet20", "resnet20_idelbayev"))
    public.load_state_dict(plain.state_dict())  # strict: the constants are in neither
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    red, green, blue = x.unbind(1)
    seen = torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], dim=1)
    assert torch.allclose(public(x), plain(seen), atol=1e-5)
    assert not torch.allclose(public(x), plain(x), atol=1e-3)


def test_a_fixed_p_is_no_parameter() -> None:
    learned = compose_cell({"arch": "rohrer100k", "layer": "scs"}, {}, seed=0)
    cosine = compose_cell({"arch": "rohrer100k", "layer": "cosine"}, {}, seed=0)
    shared = draw("rohrer100k", 0, "conv2d")
    difference = count_parameters(build_variant(learned, shared)) - count_parameters(build_variant(cosine, shared))
    assert difference == 32 + 64 + 128


@pytest.mark.parametrize("arch", SHAPES)
def test_shapes_after_each_pool(arch: str) -> None:
    network = ARCHITECTURES[arch].build()
    seen = []
    for name, module in network.named_children():
        if name.startswith("pool"):
            module.register_forward_hook(lambda _, __, output: seen.append((output.shape[1], output.shape[2])))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert seen == SHAPES[arch]


@pytest.mark.parametrize(
    ("arch", "norm"),
    [
        ("rohrer25k", "none"),
        ("rohrer68k", "none"),
        ("resnet18", "none"),
        ("resnet18", "batchnorm"),
        ("resnet20", "none"),
    ],
)
@pytest.mark.parametrize(("layer", "activation", "pooling"), VARIANTS)
def test_every_variant_trains_one_step(arch: str, norm: str, layer: str, activation: str, pooling: str) -> None:
    choices = {"arch": arch, "norm": norm, "layer": layer, "activation": activation, "pooling": pooling}
    network = build_variant(compose_cell(choices, {}, seed=0), draw(arch, 0, "conv2d"))
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network(x).square().sum().backward()
    for path in layer_paths(network):
        gradient = network.get_submodule(path).weight.grad
        assert isinstance(gradient, torch.Tensor)
        assert torch.isfinite(gradient).all()


def test_the_relu_comes_after_the_pool() -> None:
    """Only then do ReLU + MaxAbsPool2d and ReLU + MaxPool2d differ, as they do in the paper (systems.md 0.2)."""
    names = list(dict(ARCHITECTURES["rohrer100k"].build().named_children()))
    assert names[:3] == ["conv1", "pool1", "relu1"]


@pytest.mark.parametrize(
    ("choices", "settings", "sentence"),
    [
        ({"arch": "rohrer26k"}, {}, r"arch=rohrer26k: not known \(did you mean rohrer68k\?\)"),
        ({"norm": "batchnorm"}, {}, "rohrer25k has no BatchNorm2d; choose norm=none"),
        ({}, {"data.image_size": 224}, "rohrer25k takes images of 32 pixels only"),
    ],
)
def test_impossible_cells_are_refused(choices: dict[str, str], settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_cell(compose_cell(choices, settings, seed=0))


@pytest.mark.parametrize("arch", COUNTS)
def test_nothing_of_our_architectures_is_left_as_it_was(arch: str) -> None:
    for layer, activation, pooling in VARIANTS:
        cell = compose_cell({"arch": arch, "layer": layer, "activation": activation, "pooling": pooling}, {}, seed=0)
        assert not_converted(cell) == ()
        assert remarks([cell]) == []
