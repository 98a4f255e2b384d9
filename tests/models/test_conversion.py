"""Any convolutional network becomes a variant: geometry carried over, and what could not be converted is said."""

from __future__ import annotations

import threading

import pytest
import torch
import torchvision
from torch import nn

from scs_study.config.schema import LayerConfig
from scs_study.experiments.compose import compose_cell
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d
from scs_study.models import convert


def layer(name: str, **settings: object) -> LayerConfig:
    return compose_cell({"layer": name}, {f"layer.{key}": value for key, value in settings.items()}, 0).layer


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, (5, 3), stride=2, padding=(2, 1), bias=True),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False), nn.Conv2d(8, 4, 1)),
    )


@pytest.mark.parametrize(("name", "kind"), [("scs", SharpenedCosineSimilarity2d), ("sdp", SharpenedDotProduct2d)])
def test_geometry_and_weights_are_carried_over(name: str, kind: type[nn.Module]) -> None:
    plain, converted = network(), network()
    converted.load_state_dict(plain.state_dict())
    convert(converted, layer(name), "relu", "max", "batchnorm")
    x = torch.rand(2, 3, 16, 16)
    assert converted(x).shape == plain(x).shape
    for path in ("0", "4.0", "4.1"):
        before, after = plain.get_submodule(path), converted.get_submodule(path)
        assert isinstance(after, kind)
        assert torch.equal(after.weight, before.weight)
        assert (after.stride, after.groups, after.kernel_size) == (before.stride, before.groups, before.kernel_size)
    assert isinstance(converted[1], nn.BatchNorm2d)
    assert isinstance(converted[2], nn.ReLU)


def test_conv_relu_max_batchnorm_is_the_network_itself() -> None:
    plain = network()
    report = convert(plain, layer("conv"), "relu", "max", "batchnorm")
    assert report.converted == ()
    assert report.left == ()


def test_activation_pooling_and_norm_are_swapped_on_their_own() -> None:
    converted = network()
    report = convert(converted, layer("conv"), "none", "maxabs", "none")
    assert report.converted == ("1", "2", "3")
    assert [type(converted[i]) for i in (1, 2, 3)] == [nn.Identity, nn.Identity, MaxAbsPool2d]


def test_one_by_one_kernels_can_be_skipped() -> None:
    converted = network()
    convert(converted, layer("scs", skip_1x1=True), "relu", "max", "none")
    assert isinstance(converted.get_submodule("4.1"), nn.Conv2d)
    assert isinstance(converted.get_submodule("4.0"), SharpenedCosineSimilarity2d)


def test_what_cannot_be_swapped_is_said() -> None:
    class Special(nn.Conv2d):
        pass

    odd = nn.Sequential(
        Special(3, 3, 3), nn.AdaptiveMaxPool2d(8), nn.SiLU(), nn.GroupNorm(1, 3), nn.ConvTranspose2d(3, 3, 2)
    )
    left = dict(convert(odd, layer("scs"), "none", "maxabs", "none").left)
    assert left == {
        "0": "Special is a Conv2d of its own kind",
        "1": "AdaptiveMaxPool2d has no counterpart that takes the largest magnitude",
        "2": "SiLU is another activation than ReLU",
        "3": "GroupNorm is another norm than BatchNorm2d",
        "4": "ConvTranspose2d is no Conv2d",
    }
    assert convert(odd, layer("conv"), "relu", "max", "batchnorm").left == ()


def test_a_bias_that_is_gone_is_told() -> None:
    report = convert(network(), layer("scs"), "relu", "max", "batchnorm")
    assert report.unbiased == ("0", "4.1")
    assert convert(network(), layer("conv"), "none", "maxabs", "none").unbiased == ()


def test_a_frozen_convolution_stays_frozen() -> None:
    frozen = network()
    frozen[0].requires_grad_(False)
    convert(frozen, layer("scs"), "relu", "max", "batchnorm")
    assert not any(parameter.requires_grad for parameter in frozen[0].parameters())
    assert all(parameter.requires_grad for parameter in frozen[4].parameters())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_that_is_computed_from_others_is_said() -> None:
    normed = network()
    nn.utils.weight_norm(normed[0])
    nn.utils.parametrizations.weight_norm(normed[4][1])
    report = convert(normed, layer("scs"), "relu", "max", "batchnorm")
    assert {path for path, _ in report.left} == {"0", "4.1"}
    assert ("0", "its weight is computed from others (such as weight_norm's)") in report.left


def test_pools_keep_all_their_settings() -> None:
    converted = nn.Sequential(nn.MaxPool2d(3, 2, 1, dilation=2, return_indices=True, ceil_mode=True))
    report = convert(converted, layer("conv"), "relu", "maxabs", "none")
    assert report.left == ()
    assert repr(converted[0]) == "MaxAbsPool2d(kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True)"
    assert converted[0].return_indices


class Functional(nn.Module):
    """A network that calls what others make modules of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.inner = nn.Sequential(nn.Conv2d(3, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.max_pool2d(self.inner(self.conv(x)).relu(), 2) + torch.relu(x.mean())


def test_functions_called_in_a_forward_method_are_named() -> None:
    left = [reason for _, reason in convert(Functional(), layer("scs"), "none", "maxabs", "none").left]
    assert left == [
        "an activation is called as a function (relu), not as a module",
        "a max pool is called as a function (max_pool2d), not as a module",
        "an activation is called as a function (relu), not as a module",
    ]
    assert convert(Functional(), layer("scs"), "relu", "max", "none").left == ()


def test_other_functions_than_relu_are_named_too() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.nn.functional.batch_norm(self.conv(x), self.bn.running_mean, self.bn.running_var)
            return torch.nn.functional.group_norm(torch.nn.functional.gelu(x), 1).tanh()

    assert [reason for _, reason in convert(Odd(), layer("scs"), "none", "max", "none").left] == [
        "a norm is called as a function (batch_norm), not as a module",
        "an activation is called as a function (gelu), not as a module",
        "a norm is called as a function (group_norm), not as a module",
        "an activation is called as a function (tanh), not as a module",
    ]


def test_norms_of_others_are_named() -> None:
    frozen = torchvision.models.resnet18(norm_layer=torchvision.ops.FrozenBatchNorm2d)
    reasons = {reason for _, reason in convert(frozen, layer("scs"), "none", "max", "none").left}
    assert reasons == {"FrozenBatchNorm2d is another norm than BatchNorm2d"}


def test_a_module_that_stands_in_several_places_is_swapped_in_each() -> None:
    conv, norm, relu, pool = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)
    shared = nn.Sequential(conv, norm, relu, pool, nn.Sequential(conv, norm, relu, pool))
    assert convert(shared, layer("scs"), "none", "maxabs", "none").left == ()
    kinds = [type(module) for module in (*shared[:4], *shared[4])]
    assert kinds == 2 * [SharpenedCosineSimilarity2d, nn.Identity, nn.Identity, MaxAbsPool2d]
    assert shared[0] is shared[4][0]


def test_a_bare_convolution_is_said_to_be_no_network() -> None:
    report = convert(nn.Conv2d(3, 3, 3), layer("scs"), "none", "maxabs", "none")
    assert report.left == (("", "Conv2d is the whole network: put it into an nn.Sequential"),)


@pytest.mark.parametrize("norm", ["none", "batchnorm"])
@pytest.mark.parametrize("name", ["scs", "sdp"])
@pytest.mark.parametrize("theirs", ["resnet18", "vgg11", "squeezenet1_1", "mobilenet_v2", "densenet121"])
def test_networks_of_others_train_a_step(theirs: str, name: str, norm: str) -> None:
    made = torchvision.models.get_model(theirs, weights=None, num_classes=10)
    convert(made, layer(name), "relu", "maxabs", norm)
    made(torch.rand(2, 3, 64, 64)).square().sum().backward()
    for path, module in made.named_modules():
        if isinstance(module, (SharpenedCosineSimilarity2d, SharpenedDotProduct2d)):
            assert module.weight.grad is not None, path


def test_while_a_network_is_looked_into_other_threads_compute() -> None:
    """Of two runs in a process one trains while the other's network is traced."""
    trains, x, found = network(), torch.rand(2, 3, 16, 16), list[torch.Tensor]()
    expected = trains.eval()(x)

    class Traced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x_: torch.Tensor) -> torch.Tensor:
            thread = threading.Thread(target=lambda: found.append(trains(x)))
            thread.start()
            thread.join()
            return torch.relu(self.conv(x_))

    report = convert(Traced(), layer("conv"), "none", "max", "batchnorm")
    assert [reason for _, reason in report.left] == ["an activation is called as a function (relu), not as a module"]
    assert len(found) == 1
    assert torch.equal(found[0], expected)


def test_a_forward_method_that_cannot_be_looked_into_is_said() -> None:
    class Branching(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum() > 0 else x

    ((_, reason),) = convert(Branching(nn.Conv2d(3, 3, 3)), layer("scs"), "none", "max", "none").left
    assert reason.startswith("calls of functions in its forward methods could not be looked for: ")


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet18", ()),
        ("vgg11", ()),
        ("squeezenet1_1", ()),
        ("mobilenet_v2", ("ReLU6 is another activation than ReLU",)),
        ("densenet121", ("an activation is called as a function (relu), not as a module",)),
        ("convnext_tiny", ("LayerNorm2d is another norm than BatchNorm2d", "GELU is another activation than ReLU")),
    ],
)
def test_networks_that_nobody_here_wrote(name: str, left: tuple[str, ...]) -> None:
    theirs = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    convolutions = sum(type(module) is nn.Conv2d for module in theirs.modules())
    report = convert(theirs, layer("scs"), "none", "maxabs", "none")
    assert sum(isinstance(module, SharpenedCosineSimilarity2d) for module in theirs.modules()) == convolutions
    assert not any(isinstance(module, (nn.ReLU, nn.BatchNorm2d, nn.MaxPool2d)) for module in theirs.modules())
    assert set(left) <= {reason for _, reason in report.left}
    assert bool(left) == bool(report.left)
    with torch.no_grad():
        output = theirs(torch.rand(1, 3, 64, 64))
    assert output.shape == (1, 10)
    assert torch.isfinite(output).all()
