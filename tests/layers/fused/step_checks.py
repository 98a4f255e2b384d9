"""The Triton operators of a training step beside the layers: batch, loss, optimizer; and steps by all of them."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from scs_study.data import Batches, ImageSet
from scs_study.experiments.compose import compose_cell
from scs_study.layers.modules import Bound
from scs_study.models import InitialWeights
from scs_study.models.initialization import draw
from scs_study.training.flat import FlatOptimizer
from scs_study.training.objectives import fused_loss
from scs_study.training.run import Settings, build
from tests.layers.fused.ways import by_torch, close, on_a_gpu

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


CHECKS = {
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
}
