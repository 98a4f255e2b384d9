"""The transposed layer: its geometry, its norms, and zimonitrome's of SCS-GAN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scs_study.layers.published import RohrerMay2022Transpose2d, ZimonitromeTranspose2d
from tests.layers.published.written_out import pattern

GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (3, 2), "output_padding": (2, 1)},
    {"stride": 2, "dilation": 2, "padding": (3, 0)},
    {"groups": 2},
    {"stride": 3, "padding": 2, "kernel_size": (2, 5)},
]


def options_of(geometry):
    return {"kernel_size": 3} | geometry


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("kind", [ZimonitromeTranspose2d, RohrerMay2022Transpose2d])
def test_output_is_the_transposed_convolution_over_both_norms(kind, geometry):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(4, 6, bias=False, dtype=torch.float64, **options_of(geometry))
    layer = kind.from_conv(conv)
    x = torch.randn(2, 4, 5, 4, dtype=torch.float64)
    groups = conv.groups
    weight = conv.weight.unflatten(0, (groups, -1))
    weight = weight / (
        weight.square().sum((1, 3, 4), keepdim=True).sqrt() + (layer.q if layer.form.q_on == "kernel" else 0)
    )
    ones = torch.ones(4, 1, *conv.kernel_size, dtype=torch.float64)
    rest = (conv.stride, conv.padding, conv.output_padding, groups, conv.dilation)
    energy = F.conv_transpose2d(x.square(), ones, None, *rest).repeat_interleave(6 // groups, 1)
    length = (energy + 1e-6).sqrt() + (layer.q if layer.form.q_on == "patch" else 0)
    c = F.conv_transpose2d(x, weight.flatten(0, 1), None, *rest) / length
    wanted = c.sign() * (c.abs() + 1e-6) ** layer.p.reshape(-1, 1, 1)
    assert layer(x).shape == conv(x).shape
    torch.testing.assert_close(layer(x), wanted)


def test_norm_per_output_channel_bounds_the_cosine_and_the_other_does_not():
    largest = []
    for norm in ("output_channel", "input_channel"):
        layer = RohrerMay2022Transpose2d(64, 2, 4, stride=2, padding=1, norm=norm, p=1.0)
        with torch.no_grad():
            layer.weight.fill_(1.0)
        largest.append(layer(torch.ones(1, 64, 6, 6)).abs().max().item())
    assert largest[0] <= 1
    assert largest[1] > 2


def test_zimonitromes_numbers_are_what_the_public_code_gave():
    layer = ZimonitromeTranspose2d(3, 4, 3, 2, 1, 1, norm="input_channel", safe=False)
    with torch.no_grad():
        layer.weight.copy_(0.4 * pattern(layer.weight.shape, 1.3))
        layer.raw_p.mul_(1 + 0.1 * pattern((4,), 2.1))
    y = layer(pattern((1, 3, 4, 4), 0.7).float())
    assert y.shape == (1, 4, 8, 8)
    assert sum(p.numel() for p in ZimonitromeTranspose2d(3, 8, 3).parameters()) == 225
    torch.testing.assert_close(y[0, :, 3, 2], torch.tensor(MEASURED), rtol=2e-6, atol=1e-6)


MEASURED = (0.022338, 0.113136, 0.053187, -0.000954)


@pytest.mark.parametrize("norm", ["output_channel", "input_channel"])
@pytest.mark.parametrize("power", [True, False])
def test_gradients_in_float64(norm, power):
    torch.manual_seed(0)
    layer = ZimonitromeTranspose2d(2, 3, 3, 2, 1, 1, norm=norm, power=power, bias=True, dtype=torch.float64)
    names = [n for n, _ in layer.named_parameters()]

    def outputs(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    x = pattern((2, 2, 3, 3), 0.7).requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, *layer.parameters()))


def test_empty_images_have_no_gradient_unless_as_published():
    x = torch.zeros(1, 3, 4, 4)
    sizes = []
    for safe in (True, False):
        images = x.clone().requires_grad_()
        torch.manual_seed(0)
        ZimonitromeTranspose2d(3, 4, 3, power=False, safe=safe)(images).sum().backward()
        sizes.append(images.grad.abs().max().item())
    assert sizes[0] == 0
    assert sizes[1] > 300


BAD = {
    "kernel_size": {"kernel_size": (3, 0)},
    "padding": {"padding": "same"},
    "negative": {"output_padding": -1},
    "output_padding": {"output_padding": 2},
    "groups": {"groups": 2},
    "padding_mode": {"padding_mode": "reflect"},
    "norm": {"norm": "kernel"},
    "fixed p": {"p": 0.0},
    "published layer": {"dilation": 2, "safe": False},
}


@pytest.mark.parametrize("word", BAD)
def test_bad_arguments_are_named(word):
    with pytest.raises(ValueError, match=word):
        ZimonitromeTranspose2d(**{"in_channels": 3, "out_channels": 8, "kernel_size": 3, "stride": 2} | BAD[word])


def test_input_of_another_shape_is_refused():
    layer = ZimonitromeTranspose2d(3, 4, 3)
    assert layer(torch.rand(3, 5, 5)).shape == (4, 7, 7)
    with pytest.raises(ValueError, match="expected"):
        layer(torch.rand(1, 4, 5, 5))
    with pytest.raises(ValueError, match="replaced"):
        ZimonitromeTranspose2d.from_conv(nn.Conv2d(3, 4, 3))
