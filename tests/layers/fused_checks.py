"""Checks of the Triton operators that run in a process of their own, where Triton interprets its kernels on the CPU.

python -m tests.layers.fused_checks prints, as JSON, what each of the checks found wrong: {name: "" or a sentence}, and
ends with 1 where that is anything. With a device, such as cuda, the tensors are on it, and Triton's kernels run there.
"""

from __future__ import annotations

import json
import sys
import traceback

import torch
from torch import Tensor

from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, functional, pooling
from scs_study.layers.kernels import fused
from scs_study.training import fused_adam

EPS = 1e-6


def reference(z: Tensor, energy: Tensor | None, p: Tensor, q: Tensor | None, eps: float) -> Tensor:
    """The formula, in float64."""
    c = z if energy is None or q is None else z / ((energy + eps).sqrt() + q)
    return c.sign() * (c.abs() + eps) ** p.view(-1, 1, 1)


def gradients(function: object, values: list[Tensor], direction: Tensor) -> list[Tensor]:
    inputs = [value.detach().requires_grad_() for value in values]
    y = function(*inputs)  # type: ignore[operator]
    return [y, *torch.autograd.grad((y * direction).sum(), inputs)]


def close(ours: list[Tensor], theirs: list[Tensor], bound: float) -> None:
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = a.detach().double(), b.detach().double()
        error = float((a - b).abs().max() / b.abs().max())
        assert error < bound, f"tensor {index} is off by {error:.2e} of its largest value"


def drawn(channels: int, batch: int = 3, side: int = 7) -> list[Tensor]:
    """z with zeros in it, energy, p and q in float32, of sizes that fill no tile."""
    torch.manual_seed(0)
    z = torch.randn(batch, channels, side, side).contiguous(memory_format=torch.channels_last)
    z[0, :, 2] = 0.0
    return [z, torch.rand(batch, 1, side, side) * 9, 0.5 + 2.5 * torch.rand(channels), torch.tensor(0.01)]


def check_cosine_power(channels: int) -> None:
    values = drawn(channels)
    direction = torch.randn_like(values[0])
    ours = gradients(lambda *v: fused.cosine_power(*v, EPS), values, direction)
    theirs = gradients(lambda *v: reference(*v, EPS), [v.double() for v in values], direction.double())
    close(ours, theirs, 1e-5)


def check_dot_power() -> None:
    z, _, p, _ = drawn(24)
    direction = torch.randn_like(z)
    ours = gradients(lambda z, p: fused.dot_power(z, p, EPS), [z, p], direction)
    theirs = gradients(lambda z, p: reference(z, None, p, None, EPS), [z.double(), p.double()], direction.double())
    close(ours, theirs, 1e-5)


def check_many_programs_share_a_sum() -> None:
    fused.TILE, fused.PROGRAMS, before = 256, 4, (fused.TILE, fused.PROGRAMS)
    try:
        check_cosine_power(24)
    finally:
        fused.TILE, fused.PROGRAMS = before


def check_zeros_give_zeros_and_finite_gradients() -> None:
    values = [torch.zeros(1, 4, 2, 2), torch.zeros(1, 1, 2, 2), torch.full((4,), 0.3), torch.tensor(1e-3)]
    found = gradients(lambda *v: fused.cosine_power(*v, EPS), values, torch.ones(1, 4, 2, 2))
    assert all(bool((each == 0).all()) for each in found)


def check_bf16_is_computed_in_float32() -> None:
    z, energy, p, q = drawn(8)
    half = z.bfloat16()
    ours = fused.cosine_power(half, energy, p, q, EPS)
    assert ours.dtype == torch.float32
    close([ours], [reference(half.double(), energy.double(), p.double(), q.double(), EPS)], 1e-5)


def check_channel_energy() -> None:
    z = drawn(24)[0]
    direction = torch.randn(3, 1, 7, 7)
    ours = gradients(fused.channel_energy, [z], direction)
    theirs = gradients(lambda z: z.square().sum(1, keepdim=True), [z.double()], direction.double())
    close(ours, theirs, 1e-6)


def check_unit_kernels(layout: torch.memory_format) -> None:
    """One of the kernels is zero, and one so short that it is divided by the floor."""
    torch.manual_seed(0)
    weight = torch.randn(6, 5, 3, 3).contiguous(memory_format=layout)
    weight[1], weight[2] = 0.0, weight[2] * 1e-14
    direction = torch.randn_like(weight)
    direction[1:3] *= 1e-12  # their gradients would drown the others
    ours = gradients(lambda w: fused.unit_kernels(w, 1e-12), [weight], direction)
    theirs = gradients(lambda w: fused._plain_unit(w, 1e-12)[0], [weight.double()], direction.double())
    close(ours, theirs, 1e-6)


def check_adam() -> None:
    """Three steps of the flat optimizer, of which the kernel makes one, from one table."""
    torch.manual_seed(0)
    size, decay = 2500, 0.01
    start, beta1, rates = torch.randn(size), [0.95, 0.9, 0.85], [0.01, 0.03, 0.02]
    table = [
        [1 - b, -lr / (1 - b ** (t + 1)), (1 - 0.999 ** (t + 1)) ** 0.5]
        for t, (b, lr) in enumerate(zip(beta1, rates, strict=True))
    ]
    value, first, second = start.clone(), torch.zeros(size), torch.zeros(size)
    theirs = start.double().requires_grad_()
    optimizer = torch.optim.Adam([theirs], weight_decay=decay)
    for step in range(3):
        gradient = torch.randn(size)
        fused_adam.adam(value, gradient, first, second, torch.tensor(table), torch.tensor([step]), 0.999, 1e-8, decay)
        optimizer.param_groups[0].update(lr=rates[step], betas=(beta1[step], 0.999))
        theirs.grad = gradient.double()
        optimizer.step()
    close([value - start], [theirs.detach() - start.double()], 1e-5)
    close([first], [optimizer.state[theirs]["exp_avg"]], 1e-6)


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


def check_pools_of_more_places_than_32_bits_count() -> None:
    """By the same kernels with 64-bit places, on the small tensor that there is memory for."""
    before, fused._wide = fused._wide, lambda x: True
    try:
        check_pool(3, 2, 1, True, torch.channels_last)
    finally:
        fused._wide = before


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

    expected = found()
    calls: list[str] = []

    def usable(tensor: Tensor) -> bool:
        calls.append("asked")
        return True

    before, fused.usable = fused.usable, usable
    try:
        ours = found()
    finally:
        fused.usable = before
    assert len(calls) >= 4
    assert functional.fused is fused
    close(ours, expected, 1e-4)


def check_operators_are_registered_as_torch_wants_them() -> None:
    z, energy, p, q = drawn(4, batch=1, side=3)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(fused.power, (z, energy, p, q, EPS), test_utils=checks)
    torch.library.opcheck(fused.power, (z, None, p, None, EPS), test_utils=checks)
    torch.library.opcheck(fused.power_backward, (z, z, energy, p, q, EPS), test_utils=checks)
    torch.library.opcheck(fused.unit, (z, 1e-12), test_utils=checks)
    torch.library.opcheck(fused.energy, (z,), test_utils=checks)
    torch.library.opcheck(fused.max_abs_pool, (z, [2, 2], [1, 1], [0, 0], [2, 2]), test_utils=checks)


CHECKS = {
    "cosine power, 3 channels": lambda: check_cosine_power(3),
    "cosine power, 40 channels": lambda: check_cosine_power(40),
    "dot power": check_dot_power,
    "sums over many programs": check_many_programs_share_a_sum,
    "zeros": check_zeros_give_zeros_and_finite_gradients,
    "bf16": check_bf16_is_computed_in_float32,
    "energy": check_channel_energy,
    "unit kernels": lambda: check_unit_kernels(torch.channels_last),
    "unit kernels, contiguous": lambda: check_unit_kernels(torch.contiguous_format),
    "adam": check_adam,
    "pool 2": lambda: check_pool(2, 2, 0, True, torch.channels_last),
    "pool 3, overlapping, padded": lambda: check_pool(3, 2, 1, True, torch.contiguous_format),
    "pool 4 in steps of 3": lambda: check_pool(4, 3, 2, False, torch.channels_last),
    "pool with places of 64 bits": check_pools_of_more_places_than_32_bits_count,
    "pool of a NaN": check_a_nan_is_not_lost,
    "layers": check_the_layers_use_them_and_give_what_they_gave,
    "registration": check_operators_are_registered_as_torch_wants_them,
}


def main(device: str = "cpu") -> int:
    """Print what each check found wrong; return the exit status."""
    torch.set_num_threads(1)
    torch.set_default_device(device)
    # Triton is not everywhere, and where it is it takes a second to import.
    assert "scs_study.layers.kernels.triton" not in sys.modules
    said = {}
    for name, check in CHECKS.items():
        try:
            check()
            said[name] = ""
        except Exception:
            said[name] = traceback.format_exc()
    print(json.dumps(said))
    return int(any(said.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
