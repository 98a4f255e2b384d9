"""The compiled CPU layers' definition, in the precision of its operands, and how near they must come to it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scs_study.layers import cpu
from scs_study.layers.functional import MIN_KERNEL_NORM
from scs_study.layers.sizes import Geometry, Sides

EPS = 1e-6
TIE, SMALL = 1e-5, 3e-3
"""What comes so near to a tie, or to the power's bend at zero, is another case in float32: it gets no gradient here."""


def refuse(*_: Any) -> Tensor:
    raise AssertionError("the compiled loops were meant")


def setting(geometry: Geometry, window: cpu.Window, cosine: bool) -> cpu.Settings:
    return cpu.Settings(geometry, window, MIN_KERNEL_NORM if cosine else None, refuse)


def windows_of(c: Tensor, window: cpu.Window) -> Tensor:
    """(B, O, Hp, Wp, places): what each window holds, NaN where it reaches over the edge."""
    sizes = window.size
    if window.ceil:
        c = F.pad(c, (0, -c.shape[3] % sizes[1], 0, -c.shape[2] % sizes[0]), value=float("nan"))
    return c.unfold(2, sizes[0], sizes[0]).unfold(3, sizes[1], sizes[1]).flatten(4)


def length_of(weight: Tensor, least: float | None) -> Tensor:
    if least is None:
        return torch.ones(())
    return weight.square().sum((1, 2, 3), keepdim=True).clamp_min(least**2).sqrt()


def definition(x: Tensor, unit: Tensor, p: Tensor, q: Tensor, s: cpu.Settings) -> tuple[Tensor, Tensor]:
    """The layer in the operands' own precision, and where its winners are neither close to the next nor to zero.

    p may be (O,) or one number for every output, q one number or a map, so that single terms of their gradients show.
    """
    g = s.geometry
    place: dict[str, Any] = {"stride": g.stride, "padding": g.padding, "groups": g.groups}
    if s.least is None:
        c = F.conv2d(x, unit, **place)
    else:
        ones = torch.ones_like(unit)
        c = F.conv2d(x, unit, **place) / ((F.conv2d(x.square(), ones, **place) + g.eps).sqrt() + q)
    held = windows_of(c, s.window)
    order = (held.abs() if s.window.by_size else held).nan_to_num(nan=-torch.inf)
    winner = held.gather(-1, order.argmax(-1, keepdim=True)).squeeze(-1)
    if held.shape[-1] == 1:
        clear = torch.ones_like(winner, dtype=torch.bool)
    else:
        first, second = order.topk(2, -1).values.unbind(-1)
        clear = (first - second) > TIE * first.abs() + 1e-9
    clear &= winner.abs() > SMALL * winner.abs().max()
    p = p.view(-1, 1, 1) if p.dim() == 1 else p
    return winner.sign() * (winner.abs() + g.eps) ** p, clear


def assert_close(ours: Tensor, exact: Tensor, scale: Tensor, bound: float = 1e-5) -> None:
    assert ours.shape == exact.shape
    worst = (ours.double() - exact).abs().max() / scale.abs().max().clamp_min(1e-30)
    assert worst < bound, f"off by {worst:.1e} of the scale"


def assert_is_its_definition(leaves: list[Tensor], s: cpu.Settings, layout: torch.memory_format) -> None:
    x, weight, p, q = (t.contiguous(memory_format=layout) if t.dim() == 4 else t for t in leaves)
    assert cpu.takes(x, weight, p, q, s)
    ours = [t.clone().requires_grad_() for t in (x, weight, p, q)]
    y = cpu.power(*ours, s)
    x64, w64, p64, q64 = (t.double() for t in leaves)
    # A p for every output and a q for every place: sums of many terms that cancel are as good as their terms.
    height, width = s.outputs(x, weight)
    channels = weight.shape[0] if s.geometry.groups > 1 else 1
    p64 = p64.view(1, -1, 1, 1).expand(y.shape).clone()
    q64 = q64.expand(len(x), channels, height, width).clone()
    exact = [t.requires_grad_() for t in (x64, w64, p64, q64)]
    length = length_of(w64, s.least)
    unit = w64 / length
    expected, clear = definition(x64, unit, p64, q64, s)
    assert_close(y.detach() * clear, expected.detach() * clear, expected.detach())
    with torch.no_grad():
        assert torch.equal(cpu.power(*ours, s), y)

    direction = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view_as(y) * clear
    found = torch.autograd.grad(y, ours, direction.float())
    wanted = torch.autograd.grad(expected, exact, direction, allow_unused=True, materialize_grads=True)
    (to_unit,) = torch.autograd.grad(definition(x64, unit, p64, q64, s)[0], unit, direction)
    assert_close(found[0], wanted[0], wanted[0])
    assert_close(found[1], wanted[1], (to_unit / length).detach())
    assert_close(found[2], wanted[2].sum((0, 2, 3)), wanted[2].abs().sum((0, 2, 3)))
    assert_close(found[3], wanted[3].sum(), wanted[3].abs().sum())


def drawn(seed: int, batch: int, channels: int, kernels: int, size: Sides, kernel: Sides, groups: int):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, *size, generator=g)
    weight = torch.rand(kernels, channels // groups, *kernel, generator=g) * 2 - 1
    p = torch.rand(kernels, generator=g) * 2 + 1
    return [x, weight, p, torch.rand((), generator=g) * 0.1 + 1e-3]
