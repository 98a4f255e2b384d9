"""Checks of the Triton operators that run in a process of their own, where Triton interprets its kernels on the CPU.

python -m tests.layers.fused_checks prints, as JSON, what each of the checks found wrong: {name: "" or a sentence}, and
ends with 1 where that is anything. With a device, such as cuda, the tensors are on it, and Triton's kernels run there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from scs_study.data import Batches, ImageSet, fused_batch
from scs_study.experiments.compose import compose_cell
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, cpu, functional, pooling
from scs_study.layers.kernels import fused, layer
from scs_study.layers.modules import Bound
from scs_study.models import InitialWeights
from scs_study.models.initialization import draw
from scs_study.training import fused_adam
from scs_study.training.flat import FlatOptimizer
from scs_study.training.objectives import fused_loss
from scs_study.training.run import Settings, build
from tests.layers import reference

LAST = torch.channels_last


@contextlib.contextmanager
def asked(answer: bool) -> Iterator[list[Tensor]]:
    """Whatever asks whether it can use the kernels is told so; a list of what was asked about."""
    questions: list[Tensor] = []

    def usable(x: Tensor) -> bool:
        questions.append(x)
        return answer

    modules = (fused, fused_adam, fused_batch, fused_loss)
    before = [module.usable for module in modules]
    cpu.choose("plain")
    try:
        for module in modules:
            module.usable = usable
        yield questions
    finally:
        cpu.choose(cpu.KERNELS[0])
        for module, own in zip(modules, before, strict=True):
            module.usable = own


on_a_gpu = functools.partial(asked, True)
"""All is computed as it is on a GPU."""
by_torch = functools.partial(asked, False)
"""All is computed by torch's operations, on a GPU too."""


def gradients(function: Callable[..., Tensor], values: list[Tensor], direction: Tensor | None = None) -> list[Tensor]:
    """y of values, then its gradients along `direction` (drawn from a fixed seed) to each of them."""
    inputs = [value.detach().requires_grad_() for value in values]
    y = function(*inputs)
    if direction is None:
        direction = torch.randn(y.shape, generator=torch.Generator(y.device).manual_seed(1), device=y.device)
    return [y, *torch.autograd.grad((y * direction.to(y.dtype)).sum(), inputs)]


def close(ours: list[Tensor], theirs: list[Tensor], bound: float) -> None:
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        a, b = a.detach().double(), b.detach().double()
        assert a.shape == b.shape
        error = float((a - b).abs().max() / b.abs().max().clamp_min(1e-30))
        assert error < bound, f"tensor {index} is off by {error:.2e} of its largest value"


def pooled(pool: str | None, size: int, ceil: bool) -> nn.Module | None:
    if pool == "overlapping":
        return MaxAbsPool2d(3, 2, padding=1)
    return None if pool is None else {"max": nn.MaxPool2d, "maxabs": MaxAbsPool2d}[pool](size, ceil_mode=ceil)


def drawn(channels: int, out: int, kernel: tuple[int, int], side: tuple[int, int], groups: int = 1) -> list[Tensor]:
    """x (with an empty patch in it), weight (a kernel of zeros in it), p and q, float32, of sizes that fill no tile."""
    torch.manual_seed(0)
    x = torch.randn(3, channels, *side).contiguous(memory_format=LAST)
    x[0, :, : kernel[0] + 2] = 0.0
    weight = torch.randn(out, channels // groups, *kernel)
    weight[0] = 0.0
    return [x, weight, 0.5 + 2.5 * torch.rand(out), torch.tensor(0.01)]


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


RECIPES = {
    "adam": {"weight_decay": 0.01},
    "adamw": {"weight_decay": 0.06},
    "sgd": {"momentum": 0.9, "weight_decay": 0.01},
}


def check_optimizer(name: str) -> None:
    """Three steps with other rates each, clamps and norms included, of parameters that share no slot."""
    torch.manual_seed(0)
    cell = compose_cell({"arch": "rohrer68k"}, {}, 0)
    recipe = dataclasses.replace(
        cell.train, optimizer=name, epochs=1, beta1=None, **{"momentum": None, **RECIPES[name]}
    )
    ours = [nn.Parameter(torch.randn(size)) for size in ((70, 20), (3,), (), (129,))]
    theirs = [nn.Parameter(parameter.detach().double()) for parameter in ours]
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    first, second = (make(each, lr=0.5, **RECIPES[name]) for each in (ours, theirs))
    table = torch.tensor([[0.1, 0.95], [0.3, 0.9], [0.2, 0.85]], dtype=torch.float64)
    bounds: list[Bound] = [(ours[0], -1.0, 1.0), (ours[1], 0.1, None), (ours[3], None, 0.5)]
    with on_a_gpu():
        fused_step = FlatOptimizer(first, recipe, table).fuse([ours[0], ours[3]], bounds)
    assert fused_step is not None
    logs = torch.zeros(2, 3, 4)
    for step, (rate, beta1) in enumerate(table.tolist()):
        second.param_groups[0].update(lr=rate, **({"momentum": beta1} if name == "sgd" else {"betas": (beta1, 0.999)}))
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.double()
        fused_step.step(torch.tensor([step]))
        fused_step.log_norms(torch.tensor([step]), *logs, 1)
        second.step()
        with torch.no_grad():
            for index, low, high in ((0, -1.0, 1.0), (1, 0.1, None), (3, None, 0.5)):
                theirs[index].clamp_(low, high)
        expected = [torch.stack([each.norm() for each in (theirs[0].grad, theirs[3].grad)])]  # type: ignore[union-attr]
        expected.append(torch.stack([theirs[0].norm(), theirs[3].norm()]))
        close([log[step, 1:3] for log in logs], expected, 1e-6)
        close(ours, theirs, 1e-5)  # type: ignore[arg-type]
    assert not logs[:, :, [0, 3]].any(), "columns of other layers were written to"


def check_a_parameter_that_is_no_number_stays_one() -> None:
    parameter = nn.Parameter(torch.tensor([0.5, float("nan"), 2.0]))
    parameter.grad = torch.zeros(3)
    recipe = compose_cell({"arch": "rohrer68k"}, {}, 0).train
    table = torch.tensor([[0.1, 0.9]], dtype=torch.float64)
    with on_a_gpu():
        step = FlatOptimizer(torch.optim.Adam([parameter]), recipe, table).fuse([parameter], [(parameter, -1.0, 1.0)])
    assert step is not None
    step.step(torch.tensor([0]))
    assert parameter.isnan().tolist() == [False, True, False]
    assert parameter[[0, 2]].tolist() == [0.5, 1.0]


def check_loss(smoothing: float, rows: int, classes: int) -> None:
    torch.manual_seed(0)
    output, y = torch.randn(rows, classes) * 5, torch.randint(0, classes, (rows,))
    output[0, 0] = output[0, 1] = 20.0  # the first of two that are equal counts
    y[0] = 0
    loss, correct, grad = fused_loss.cross_entropy(output, y, smoothing)
    wide = output.double().requires_grad_()
    expected = nn.functional.cross_entropy(wide, y, label_smoothing=smoothing)
    close([loss, grad], [expected, *torch.autograd.grad(expected, wide)], 1e-6)
    assert int(correct) == int((output.argmax(1) == y).sum())


def check_a_loss_that_is_no_number() -> None:
    output, y = torch.zeros(3, 4), torch.tensor([2, 0, 3])
    output[0, 2] = float("nan")
    loss, correct, grad = fused_loss.cross_entropy(output, y, 0.0)
    assert bool(loss.isnan())
    assert int(correct) == int((output.argmax(1) == y).sum())
    assert grad.isnan().any(1).tolist() == [True, False, False]


def a_few_images(count: int, size: int = 32) -> ImageSet:
    generator = torch.Generator("cpu").manual_seed(0)
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator, device="cpu")
    labels = torch.arange(count, device="cpu") % 10
    return ImageSet(pixels, labels, pixels[:10], labels[:10], tuple("0123456789"), "", "")


def check_batches_of_a_plan(flip: bool) -> None:
    """Bit for bit, the last and smaller one too."""
    device = torch.get_default_device()
    with torch.device("cpu"):  # where the project draws and plans, whatever it computes on
        data = dataclasses.replace(compose_cell({"arch": "rohrer68k"}, {}, 0).data, flip=flip)
        batches = Batches(a_few_images(11), data, 4, 0, device)
        plan = batches.plan(1)
        for step, size in ((0, 4), (1, 4), (2, 3)):
            with on_a_gpu():
                x, y = batches.at(plan.shown(), torch.tensor([step], device=device), size)
            expected, labels = batches.train(plan, step)
            assert torch.equal(x, expected)
            assert x.stride() == expected.stride()
            assert torch.equal(y, labels)


def check_steps_of_a_run(layer: str, pooling: str) -> None:
    """Two steps of the graphed engine by all kernels together, against the same by torch's operations.

    With SGD: Adam's first steps are as long for a gradient that is all rounding as for any other.
    """
    settings = Settings(torch.get_default_device(), "graphed", kernels="plain")
    sgd = {"train.optimizer": "sgd", "train.momentum": 0.9, "train.max_lr": 0.01}
    choices = {"arch": "rohrer68k", "layer": layer, "pooling": pooling, "activation": "none"}
    cell = compose_cell(choices, {"train.epochs": 1, "train.batch_size": 4, **sgd}, 0)
    found = []
    for where in (by_torch(), on_a_gpu()):
        with torch.device("cpu"), where:
            shared = InitialWeights(draw(cell.arch, 0, "conv2d", cell.data.ends), "")
            engine = build(cell, a_few_images(8), shared, settings).engine
            log = engine.new_log()
            engine.train_epoch(engine.batches.plan(1), log, lambda: False)
        state = engine.state.tensors()
        found.append([*(value.float() for value in log.tensors().values()), *(state[name] for name in sorted(state))])
    close(found[1], found[0], 1e-3)


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
    "adam": lambda: check_optimizer("adam"),
    "adamw": lambda: check_optimizer("adamw"),
    "sgd": lambda: check_optimizer("sgd"),
    "a parameter that is no number": check_a_parameter_that_is_no_number_stays_one,
    "loss": lambda: check_loss(0.0, 130, 10),
    "loss, smoothed, many classes": lambda: check_loss(0.1, 7, 1000),
    "loss that is no number": check_a_loss_that_is_no_number,
    "batches of a plan": lambda: check_batches_of_a_plan(False),
    "batches of a plan, flipped": lambda: check_batches_of_a_plan(True),
    "steps of a run, cosine": lambda: check_steps_of_a_run("scs", "maxabs"),
    "steps of a run, dot product": lambda: check_steps_of_a_run("sdp", "max"),
    "pool 2": lambda: check_pool(2, 2, 0, True, LAST),
    "pool 3, overlapping, padded": lambda: check_pool(3, 2, 1, True, torch.contiguous_format),
    "pool 4 in steps of 3": lambda: check_pool(4, 3, 2, False, LAST),
    "pool of a NaN": check_a_nan_is_not_lost,
    "layers": check_the_layers_use_them_and_give_what_they_gave,
    "registration": check_operators_are_registered_as_torch_wants_them,
}


def main(device: str = "cpu") -> int:
    """Print what each check found wrong; return the exit status."""
    torch.set_num_threads(1)
    torch.set_default_device(device)
    # Triton is not everywhere, and where it is it takes a second to import.
    assert "scs_study.layers.kernels.layer_kernels" not in sys.modules
    if device == "cpu":
        fused.FEWEST_PROGRAMS = 1  # a program takes the interpreter milliseconds, whatever it does
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
