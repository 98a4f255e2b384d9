"""The modules compute by the compiled CPU layers what they compute by torch: derivatives, autocast, layouts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, cpu


def layers() -> list[nn.Module]:
    torch.manual_seed(0)
    made = [
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1),
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1, parameterisation="mar2022"),
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1, p=1.0),
        SharpenedCosineSimilarity2d(4, 4, 3, padding="same", groups=4),
        SharpenedDotProduct2d(4, 6, 2, padding="same"),
        SharpenedDotProduct2d(4, 6, 3, groups=2, p=2.0),
    ]
    made[0].pool, made[4].pool = MaxAbsPool2d(2), nn.MaxPool2d(2, ceil_mode=True)
    return made


def cosines(count: int, like: Tensor) -> Tensor:
    return torch.cos(torch.arange(count, dtype=torch.float32, device="cpu")).view_as(like)


def gradients(y: Tensor, of: list[Tensor], **options: Any) -> list[Tensor]:
    return list(torch.autograd.grad((y * cosines(y.numel(), y)).sum(), of, **options))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("index", range(len(layers())))
def test_modules_compute_by_them_what_torch_computes(index: int, layout: torch.memory_format):
    layer = layers()[index].to(memory_format=layout)
    x = torch.randn(3, 4, 7, 9).contiguous(memory_format=layout).requires_grad_()
    leaves = [x, *layer.parameters()]
    y = layer(x)
    assert type(y.grad_fn).__name__.startswith("_Layer")
    found = gradients(y, leaves)
    cpu.choose("plain")
    expected = layer(x)
    assert not type(expected.grad_fn).__name__.startswith("_Layer")
    assert y.stride() == expected.stride()
    for ours, theirs in zip([y, *found], [expected, *gradients(expected, leaves)], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_derivatives_of_derivatives_go_by_torchs_operations():
    layer = layers()[0]
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    leaves = [x, *layer.parameters()]

    def second() -> list[Tensor]:
        first = gradients(layer(x), leaves, create_graph=True)
        return [*first, *torch.autograd.grad(sum(each.square().sum() for each in first), leaves)]

    ours = second()
    cpu.choose("plain")
    for mine, theirs in zip(ours, second(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_a_batch_of_gradients_at_once_equals_one_after_the_other():
    layer = layers()[0]
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    y = layer(x)
    many = torch.randn(3, *y.shape)
    (together,) = torch.autograd.grad(y, x, many, is_grads_batched=True, retain_graph=True)
    alone = torch.stack([torch.autograd.grad(y, x, each, retain_graph=True)[0] for each in many])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch, of its own formulas
def test_a_forward_mode_derivative_is_refused_rather_than_lost():
    layer, x = layers()[0].requires_grad_(False), torch.randn(2, 4, 6, 6)
    with torch.autograd.forward_ad.dual_level(), pytest.raises(NotImplementedError):
        layer(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


def test_only_the_gradients_that_are_wanted_are_there():
    layer = layers()[0].requires_grad_(False)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())
    weight = layer.requires_grad_(True).weight
    layer(x.detach()).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("index", range(len(layers())))
def test_under_autocast_convolutions_alone_are_in_bfloat16_as_they_are_in_torchs_operations(index: int):
    """Both are as far from the definition: its operands and products are rounded at the same places."""
    layer, torch_layer = layers()[index], layers()[index]
    exact = layers()[index].double()
    exact.load_state_dict(layer.state_dict())
    torch_layer.load_state_dict(layer.state_dict())
    x = torch.randn(8, 4, 12, 14)
    found = []
    for each, kernels in ((layer, "auto"), (torch_layer, "plain"), (exact, "plain")):
        cpu.choose(kernels)
        leaves = [x.to(each.weight.dtype).requires_grad_(), *each.parameters()]
        with torch.autocast("cpu", torch.bfloat16, enabled=each is not exact):
            y = each(leaves[0])
        assert type(y.grad_fn).__name__.startswith("_Layer") == (each is layer)
        assert y.dtype == each.weight.dtype
        found.append([y.detach(), *gradients(y, leaves)])
    for ours, theirs, true in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        error, usual = ((each - true).norm() for each in (ours, theirs))
        assert error < 1.3 * usual + 1e-3 * true.norm()
        assert error > 1e-5 * true.norm(), "nothing was rounded"


def test_derivatives_of_derivatives_are_rounded_as_the_layer_was():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6, requires_grad=True)
    found = []
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02 * float(found[1].abs().max()))


def test_under_autocast_to_another_type_torch_does_it():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", torch.float16):
        ours = layer(x)
        cpu.choose("plain")
        assert torch.equal(ours, layer(x))


def test_defaults_of_the_process_do_not_matter():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6)
    leaves = [x.requires_grad_(), *layer.parameters()]
    dot = SharpenedDotProduct2d(4, 6, 3, p=2.0)
    expected = [*gradients(layer(x), leaves), dot(x)]
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = [*torch.autograd.grad(layer(x), leaves, cosines(layer(x).numel(), layer(x))), dot(x)]
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_inference_mode_and_tensors_of_any_layout_are_taken():
    layer = layers()[0]
    x = torch.randn(2, 7, 6, 4).permute(0, 3, 2, 1)[..., 1:]
    expected = layer(x.contiguous())
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[:1].expand(3, -1, -1, -1)), expected[:1].expand(3, -1, -1, -1))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected)
