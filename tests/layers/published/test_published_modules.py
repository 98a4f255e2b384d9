"""The published layers in the place of convolutions: arguments, geometry, groups, shared kernels, replacement."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scs_study.layers.published import PUBLISHED, Hogg, Ifeherva, Pisoni, RohrerMay2022, Wang, Zimonitrome

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@pytest.fixture(params=PUBLISHED, ids=str)
def kind(request):
    torch.manual_seed(0)
    return PUBLISHED[request.param]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "geometry", [{}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2}, {"groups": 2}], ids=str
)
def test_shapes_are_those_of_the_convolution(kind, dims, geometry):
    conv = CONVOLUTIONS[dims](4, 6, 3, bias=False, **geometry)
    layer = kind.from_conv(conv)
    x = torch.rand(2, 4, *[7] * dims)
    assert torch.equal(layer.weight, conv.weight)
    assert layer(x).shape == conv(x).shape
    assert layer(x[0]).shape == conv(x[0]).shape


@pytest.mark.parametrize("dims", [1, 3])
def test_other_dimensions_agree_with_images_of_one_row(kind, dims):
    flat = kind(2, 4, (1,) * (dims - 1) + (3,), dims=dims, padding="same")
    image = kind(2, 4, (1, 3), padding="same")
    image.load_state_dict(
        {name: value.reshape(image.state_dict()[name].shape) for name, value in flat.state_dict().items()}
    )
    x = torch.rand(2, 2, *[1] * (dims - 1), 9)
    torch.testing.assert_close(flat(x).flatten(2), image(x.reshape(2, 2, 1, 9)).flatten(2))


def test_groups_are_layers_side_by_side(kind):
    layer = kind(4, 6, 3, groups=2, bias=False) if kind is not Hogg else kind(4, 6, 3, groups=2)
    x = torch.rand(2, 4, 6, 6)
    if kind is Hogg:
        assert layer(x).shape == (2, 6, 4, 4)  # its norm spans all groups, which therefore are not apart
        return
    halves = []
    for g in range(2):
        half = kind(2, 3, 3, bias=False)
        state = layer.state_dict()
        half.load_state_dict({k: v[3 * g : 3 * g + 3] if v.dim() else v for k, v in state.items()})
        halves.append(half(x[:, 2 * g : 2 * g + 2]))
    torch.testing.assert_close(layer(x), torch.cat(halves, 1))


@pytest.mark.parametrize("kind", [RohrerMay2022, Ifeherva])
def test_shared_kernels_look_at_each_channel_in_turn(kind):
    shared = kind(3, 12, 3, groups=3, shared_weights=True)
    single = kind(1, 4, 3)
    single.load_state_dict(shared.state_dict())
    x = torch.rand(2, 3, 7, 7)
    torch.testing.assert_close(shared(x), torch.cat([single(x[:, c : c + 1]) for c in range(3)], 1))


def test_keras_shared_kernels_put_all_channels_of_a_kernel_together():
    shared, single = Pisoni(3, 12, 3, groups=3, shared_weights=True), Pisoni(1, 4, 3)
    single.load_state_dict(shared.state_dict())
    x = torch.rand(2, 3, 7, 7)
    each = torch.stack([single(x[:, c : c + 1]) for c in range(3)], 2)  # (B, kernel, channel, H, W)
    torch.testing.assert_close(shared(x), each.flatten(1, 2))


def test_fixed_exponent_is_a_buffer(kind):
    layer = kind(3, 4, 3, p=1.7)
    assert "raw_p" not in dict(layer.named_parameters())
    assert layer.p.tolist() == pytest.approx([1.7] * 4, rel=1e-5)


def test_exponents_may_start_elsewhere(kind):
    p = kind(3, 64, 3, p_init=(0.5, 4.0)).p
    assert p.min() >= 0.499
    assert p.max() <= 4.001
    assert p.std() > 0.5


def test_replacement_takes_over_where_the_convolution_is(kind):
    conv = nn.Conv2d(3, 8, (3, 5), 2, (1, 2), padding_mode="reflect", dtype=torch.float64).requires_grad_(False)
    layer = kind.from_conv(conv, p=2.0)
    assert layer.weight.dtype == torch.float64
    assert not layer.weight.requires_grad
    assert layer(torch.rand(1, 3, 9, 9, dtype=torch.float64)).shape == (1, 8, 5, 5)


def test_padding_modes_are_those_of_the_convolution():
    layer = Wang(2, 4, 3, padding=1, padding_mode="circular")
    x = torch.rand(1, 2, 6, 6)
    inner = Wang(2, 4, 3)
    inner.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), inner(nn.functional.pad(x, (1, 1, 1, 1), mode="circular")))


def test_saved_and_loaded_layers_agree(kind, tmp_path):
    layer, other = kind(3, 4, 3), kind(3, 4, 3)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other.load_state_dict(torch.load(tmp_path / "layer.pt"))
    x = torch.rand(1, 3, 6, 6)
    assert torch.equal(layer(x), other(x))


def test_autocast_keeps_norm_and_power_in_float32(kind):
    layer, x = kind(3, 4, 3), torch.rand(2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, layer(x), rtol=0.1, atol=0.1)


BAD = {
    "kernel_size": {"kernel_size": 0},
    "stride": {"stride": (1, 2, 3)},
    "dilation": {"dilation": 1.5},
    "padding": {"padding": "full"},
    "negative": {"padding": -1},
    "same": {"padding": "same", "stride": 2},
    "groups": {"groups": 2},
    "padding_mode": {"padding_mode": "mirror"},
    "fixed p": {"p": -1.0},
    "p_init": {"p_init": (3.0, 1.0)},
    "power": {"power": False, "p": 2.0},
    "dims": {"dims": 4},
}


@pytest.mark.parametrize("word", BAD)
def test_bad_arguments_are_named(kind, word):
    with pytest.raises(ValueError, match=word):
        kind(**{"in_channels": 3, "out_channels": 8, "kernel_size": 3} | BAD[word])


def test_bias_is_refused_where_the_form_has_none():
    with pytest.raises(ValueError, match="bias"):
        RohrerMay2022(3, 8, 3, bias=True)
    assert Zimonitrome(3, 8, 3, bias=True).bias.shape == (8,)


def test_input_of_another_shape_is_refused(kind):
    layer = kind(3, 8, 3)
    for shape in ((3, 8), (2, 4, 8, 8), (1, 2, 3, 8, 8)):
        with pytest.raises(ValueError, match="expected"):
            layer(torch.rand(shape))


@pytest.mark.parametrize("options", [{"dilation": 2}, {"groups": 2}, {"kernel_size": (3, 2)}, {"stride": 2}])
def test_published_layers_refuse_what_their_code_cannot(options):
    arguments = {"in_channels": 4, "out_channels": 4, "kernel_size": 3} | options
    with pytest.raises(ValueError, match="published layer"):
        (Hogg if "stride" in options else Wang)(**arguments, safe=False)


def test_only_plain_convolutions_are_replaced():
    with pytest.raises(ValueError, match="replaced"):
        Wang.from_conv(nn.ConvTranspose2d(3, 4, 3))
