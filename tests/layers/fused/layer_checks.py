"""The Triton operators of the layers and of the pool: values, all gradients, and what may go wrong."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, functional, pooling
from scs_study.layers.kernels import fused, layer
from tests.layers import reference
from tests.layers.fused.ways import LAST, by_torch, close, drawn, gradients, on_a_gpu, pooled


def check_layer(
    cosine: bool = True, channels: int = 3, out: int = 5, kernel: tuple[int, int] = (3, 3),
    side: tuple[int, int] = (9, 8), pool: str | None = None, size: int = 2, ceil: bool = True,
    layout: torch.memory_format = LAST, **geometry: Any,
) -> None:  # fmt: skip
    """Values and all gradients, by the kernels in float32, are those of the definition in float64."""
    values = drawn(channels, out, kernel, side, geometry.get("groups", 1))
    values[0], values[1] = (each.contiguous(memory_format=layout) for each in values[:2])
    module = pooled(pool, size, ceil)
    sides = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "eps": 1e-6} | geometry

    def ours(x: Tensor, weight: Tensor, p: Tensor, q: Tensor) -> Tensor:
        if cosine:
            return functional.cosine_power(x, weight, p, q, pool=module, **sides)
        return functional.dot_power(x, weight, p, pool=module, **sides) + 0 * q

    def theirs(x: Tensor, weight: Tensor, p: Tensor, q: Tensor) -> Tensor:
        y = reference.layer(x, weight, p, q, cosine=cosine, **sides)
        return (y if module is None else module(y)) + (0 if cosine else 0 * q)

    with on_a_gpu() as questions:
        found = gradients(ours, values)
    assert questions, "the kernels were not asked"
    expected = gradients(theirs, [value.double() for value in values])
    close(found[: 4 + cosine], expected[: 4 + cosine], 3e-5)


def check_many_programs_share_a_sum() -> None:
    before, layer.MOST_PARTS, fused.TILE, tile = layer.MOST_PARTS, 4, 64, fused.TILE
    try:
        check_layer(channels=4, out=24, side=(12, 11), pool="maxabs")
    finally:
        layer.MOST_PARTS, fused.TILE = before, tile


def check_places_of_64_bits() -> None:
    """By the same kernels, on the small tensors that there is memory for."""
    before, wide = (fused.is_wide, layer.is_wide), lambda x: True
    fused.is_wide = layer.is_wide = wide
    try:
        check_layer(pool="maxabs")
        check_pool(3, 2, 1, True, LAST)
    finally:
        fused.is_wide, layer.is_wide = before


def check_a_large_energy_takes_two_passes() -> None:
    before, layer.ONE_PASS = layer.ONE_PASS, 0
    try:
        check_layer(channels=5, out=4, padding=(1, 2), stride=(2, 1), dilation=(1, 2))
    finally:
        layer.ONE_PASS = before


def check_zeros_give_zeros_and_finite_gradients() -> None:
    values = [torch.zeros(2, 3, 5, 5), torch.zeros(4, 3, 3, 3), torch.full((4,), 0.3), torch.tensor(1e-3)]
    for pool in (None, MaxAbsPool2d(2, ceil_mode=True)):
        work = functools.partial(functional.cosine_power, pool=pool, **GEOMETRY)
        with on_a_gpu():
            found = gradients(work, values)
        assert all(bool((each == 0).all()) for each in found)


GEOMETRY: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "eps": 1e-6}


def check_ties_are_broken_as_torch_breaks_them(pool: str) -> None:
    """Whole numbers, so that sums are exact: equal values, equal magnitudes of both signs, windows of zeros."""
    torch.manual_seed(0)
    x = torch.randint(-1, 2, (4, 2, 9, 7)).float().contiguous(memory_format=LAST)
    weight, p = torch.tensor([[1.0, 0.0], [0.0, -1.0], [1.0, 1.0]]).view(3, 2, 1, 1), torch.tensor([1.0, 2.0, 0.7])
    sides = {**GEOMETRY, "padding": (0, 0)}

    def work(x: Tensor, weight: Tensor, p: Tensor) -> Tensor:
        return functional.dot_power(x, weight, p, pool=pooled(pool, 2, True), **sides)

    with by_torch():
        expected = gradients(work, [x, weight, p])
    with on_a_gpu():
        found = gradients(work, [x, weight, p])
    assert torch.equal(found[1] != 0, expected[1] != 0), "another element of a window won"
    close(found, expected, 1e-6)


def check_a_nan_wins_its_window_and_stays_in_it(pool: str) -> None:
    x = torch.ones(1, 2, 6, 6).contiguous(memory_format=LAST)
    x[0, 0, 3, 2] = float("nan")
    weight, p, q = torch.eye(2).view(2, 2, 1, 1), torch.ones(2), torch.tensor(0.1)
    sides = {**GEOMETRY, "padding": (0, 0)}

    def work(x: Tensor) -> Tensor:
        return functional.cosine_power(x, weight, p, q, pool=pooled(pool, 2, True), **sides)

    with by_torch():
        expected = gradients(work, [x])
    with on_a_gpu():
        found = gradients(work, [x])
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.allclose(a, b, equal_nan=True)


def check_autocast_computes_norms_and_powers_in_float32() -> None:
    """Only the convolution's operands are rounded, and its result."""
    torch.manual_seed(0)
    values = drawn(4, 6, (3, 3), (8, 8))
    low = [value.bfloat16().float() for value in values[:1]]

    def work(x: Tensor, weight: Tensor, p: Tensor, q: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.dtype == torch.float32):
            return functional.cosine_power(x, weight, p, q, pool=MaxAbsPool2d(2), **GEOMETRY)

    values[0] = low[0]
    with by_torch():
        expected = gradients(work, values)
    with on_a_gpu():
        found = gradients(work, values)
    assert found[0].dtype == torch.float32
    assert [each.dtype for each in found] == [each.dtype for each in expected]
    close(found, expected, 2e-2)
    close(found[:1], expected[:1], 1e-4)


def check_a_layer_in_bf16() -> None:
    values = drawn(4, 6, (3, 3), (8, 8))
    half = [value.bfloat16() for value in values]

    def work(x: Tensor, weight: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return functional.cosine_power(x, weight, p, q, pool=MaxAbsPool2d(2), **GEOMETRY)

    with on_a_gpu():
        found = gradients(work, half)
    assert all(each.dtype == torch.bfloat16 for each in found)
    close(found[:1], gradients(work, [value.double() for value in half])[:1], 3e-2)


def check_no_gradient_is_computed_that_nobody_wants() -> None:
    x, weight, p, q = drawn(3, 4, (3, 3), (6, 6))
    with by_torch():
        expected = gradients(lambda p: functional.cosine_power(x, weight, p, q, **GEOMETRY), [p])
    with on_a_gpu():
        close(gradients(lambda p: functional.cosine_power(x, weight, p, q, **GEOMETRY), [p]), expected, 1e-5)
        with torch.no_grad():
            assert functional.cosine_power(x, weight, p, q, **GEOMETRY).grad_fn is None


def check_batches_of_gradients() -> None:
    """vmap over inputs, and over directions, go by torch's operations."""
    x, weight, p, q = drawn(3, 4, (3, 3), (6, 6))

    def work(x: Tensor) -> Tensor:
        return functional.cosine_power(x, weight, p, q, pool=MaxAbsPool2d(2), **GEOMETRY)

    with on_a_gpu():
        y = work(x.requires_grad_())
        directions = torch.randn(2, *y.shape)
        (both,) = torch.autograd.grad(y, x, directions, is_grads_batched=True, retain_graph=True)
        alone = [torch.autograd.grad(y, x, each, retain_graph=True)[0] for each in directions]
        mapped = torch.vmap(lambda one: work(one[None])[0])(x.detach())
    close([both[0], both[1], mapped], [*alone, y], 1e-4)


def check_pool(kernel: int, stride: int, padding: int, ceil_mode: bool, layout: torch.memory_format) -> None:
    """Values, places and gradients as the larger of both signs by torch's own pools, equal magnitudes included."""
    torch.manual_seed(0)
    x = torch.randint(-3, 4, (2, 5, 9, 8)).float().contiguous(memory_format=layout)
    geometry = ((kernel,) * 2, (stride,) * 2, (padding,) * 2, (1, 1), ceil_mode)
    values, at = pooling._larger_of_both_signs(x, geometry)
    mine, mine_at = fused.max_abs_pool(x, [kernel] * 2, [stride] * 2, [padding] * 2, list(values.shape[2:]))
    assert torch.equal(mine, values)
    assert torch.equal(mine_at, at)
    grad = torch.randint(-9, 9, values.shape).float()  # whole numbers: sums do not depend on their order
    expected = torch.ops.aten.max_pool2d_with_indices_backward(grad, x, *geometry, at)
    ours = fused.max_abs_pool_backward(grad, mine_at, [kernel] * 2, [stride] * 2, [padding] * 2, [9, 8])
    assert torch.equal(ours, expected)


def check_a_nan_is_not_lost() -> None:
    x = torch.ones(1, 1, 2, 2)
    x[0, 0, 1, 0] = float("nan")
    values, at = fused.max_abs_pool(x, [2, 2], [2, 2], [0, 0], [1, 1])
    assert bool(values.isnan().all())
    assert int(at) == 2


def check_the_layers_use_them_and_give_what_they_gave() -> None:
    """A network of both layers and the pool, with `usable` as it is on a GPU; derivatives of derivatives too."""
    torch.manual_seed(0)
    layers = [
        SharpenedCosineSimilarity2d(3, 6, 3, padding=1),
        MaxAbsPool2d(2, ceil_mode=True),
        SharpenedDotProduct2d(6, 4, 3, stride=2),
        SharpenedCosineSimilarity2d(4, 4, 2, padding="same", p=2.0),
    ]
    network = torch.nn.Sequential(*layers)
    x = torch.rand(2, 3, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    wanted = [x, *network.parameters()]

    def found() -> list[Tensor]:
        y = network(x)
        first = torch.autograd.grad(y.square().sum(), wanted, create_graph=True)
        second = torch.autograd.grad(sum(each.square().sum() for each in first), wanted)
        plain = torch.autograd.grad(network(x).square().sum(), wanted)
        return [y, *first, *second, *plain]

    with by_torch():
        expected = found()
    with on_a_gpu() as questions:
        ours = found()
    assert len(questions) >= 4
    close(ours, expected, 1e-4)


def check_operators_are_registered_as_torch_wants_them() -> None:
    z = torch.randn(1, 4, 3, 3).contiguous(memory_format=LAST)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(fused.max_abs_pool, (z, [2, 2], [1, 1], [0, 0], [2, 2]), test_utils=checks)


CHECKS = {
    "cosine": check_layer,
    "cosine, 40 channels, pooled": lambda: check_layer(channels=4, out=40, pool="maxabs"),
    "cosine of contiguous tensors": lambda: check_layer(layout=torch.contiguous_format, pool="max"),
    "cosine, strided, dilated, padded": lambda: check_layer(
        stride=(2, 1), dilation=(1, 2), padding=(2, 1), side=(10, 9), pool="maxabs"
    ),
    "cosine, 1x1": lambda: check_layer(kernel=(1, 1), channels=8, pool="max"),
    "cosine, windows that leave a rest": lambda: check_layer(side=(12, 13), pool="maxabs", size=3, ceil=False),
    "cosine, windows of 4, partial": lambda: check_layer(side=(9, 8), pool="maxabs", size=4),
    "cosine, an overlapping pool": lambda: check_layer(side=(9, 8), pool="overlapping"),
    "depthwise": lambda: check_layer(channels=5, out=5, groups=5, padding=(1, 1)),
    "depthwise, strided, pooled": lambda: check_layer(channels=5, out=5, groups=5, stride=(2, 2), pool="max"),
    "groups of several channels": lambda: check_layer(channels=4, out=6, groups=2, pool="maxabs"),
    "dot product": lambda: check_layer(cosine=False, channels=4, out=24),
    "dot product, pooled": lambda: check_layer(cosine=False, side=(10, 9), pool="maxabs", ceil=False),
    "dot product, groups": lambda: check_layer(cosine=False, channels=4, out=8, groups=4, pool="max"),
    "sums over many programs": check_many_programs_share_a_sum,
    "places of 64 bits": check_places_of_64_bits,
    "a large energy": check_a_large_energy_takes_two_passes,
    "zeros": check_zeros_give_zeros_and_finite_gradients,
    "ties of values": lambda: check_ties_are_broken_as_torch_breaks_them("max"),
    "ties of magnitudes": lambda: check_ties_are_broken_as_torch_breaks_them("maxabs"),
    "a NaN, largest value": lambda: check_a_nan_wins_its_window_and_stays_in_it("max"),
    "a NaN, largest magnitude": lambda: check_a_nan_wins_its_window_and_stays_in_it("maxabs"),
    "autocast": check_autocast_computes_norms_and_powers_in_float32,
    "bf16": check_a_layer_in_bf16,
    "gradients of p alone": check_no_gradient_is_computed_that_nobody_wants,
    "batches": check_batches_of_gradients,
    "pool 2": lambda: check_pool(2, 2, 0, True, LAST),
    "pool 3, overlapping, padded": lambda: check_pool(3, 2, 1, True, torch.contiguous_format),
    "pool 4 in steps of 3": lambda: check_pool(4, 3, 2, False, LAST),
    "pool of a NaN": check_a_nan_is_not_lost,
    "layers": check_the_layers_use_them_and_give_what_they_gave,
    "registration": check_operators_are_registered_as_torch_wants_them,
}
