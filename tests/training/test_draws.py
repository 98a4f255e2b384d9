"""Networks that draw random numbers while they train: one cell gives one set of bits, whatever happens around it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gumbel_softmax
from torchvision.ops import StochasticDepth

from scs_study.data import ImageSet
from scs_study.models import ARCHITECTURES, Architecture
from scs_study.system.randomness import moved, own_random_state, states
from scs_study.system.tensors import load_tensors, save_tensors
from scs_study.training import checkpoint, graphed
from scs_study.training.graphed import WARM_UP, GraphedEngine
from scs_study.training.run import Settings
from scs_study.training.stopping import Interrupted
from tests.training.runs import CPU, cell, run, stop_after, traces

GRAPHED = Settings(torch.device("cpu"), "graphed")


class Gumbel(nn.Module):
    """Features weighed by a draw, as in networks that choose."""

    def forward(self, x: Tensor) -> Tensor:
        return x * gumbel_softmax(x.mean((2, 3)), dim=1)[:, :, None, None] if self.training else x


class Foreign(nn.Module):
    """Draws from Python's and numpy's generators, as some public code does."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (random.random() + float(np.random.rand())) if self.training else x  # noqa: NPY002


DRAWING: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Dropout2d(0.3),
    "stochastic_depth": lambda: StochasticDepth(0.5, "row"),
    "rrelu": nn.RReLU,
    "gumbel": Gumbel,
    "foreign": Foreign,
}


def network(drawing: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.MaxPool2d(4), drawing, nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(392, 10)
    )


@pytest.fixture(params=DRAWING)
def drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    make = DRAWING[request.param]
    monkeypatch.setitem(ARCHITECTURES, "rohrer68k", Architecture(lambda **_: network(make()), (32,)))
    monkeypatch.setattr("scs_study.models.variant.check_code", lambda *_: None)  # it is not what was released


@pytest.fixture
def dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "rohrer68k", Architecture(lambda **_: network(nn.Dropout2d(0.3)), (32,)))
    monkeypatch.setattr("scs_study.models.variant.check_code", lambda *_: None)


def drawn(epochs: int = 2, **settings: Any) -> Any:
    return cell("conv", epochs, **settings)


def stir() -> None:
    """What a process may have drawn before."""
    torch.rand(3)
    random.random()
    np.random.rand(3)  # noqa: NPY002


@pytest.mark.usefixtures("drawing")
def test_a_run_repeats_and_continues_bit_for_bit_with_either_engine(images: ImageSet, tmp_path: Path) -> None:
    run(tmp_path / "whole", drawn(), images)
    stir()
    run(tmp_path / "again", drawn(), images, settings=GRAPHED)
    assert traces(tmp_path / "again") == traces(tmp_path / "whole")
    for number, (first, second, steps) in enumerate(((CPU, CPU, 2), (CPU, GRAPHED, 5), (GRAPHED, CPU, 1))):
        folder = tmp_path / f"stopped{number}"
        with pytest.raises(Interrupted):
            run(folder, drawn(), images, settings=first, stop=stop_after(steps))
        stir()
        run(folder, drawn(), images, settings=second)
        assert traces(folder) == traces(tmp_path / "whole")


@pytest.mark.usefixtures("dropout")
def test_seeds_and_steps_draw_other_numbers(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[Tensor] = []
    forward = nn.Dropout2d.forward

    def kept(module: nn.Dropout2d, x: Tensor) -> Tensor:
        out = forward(module, torch.ones_like(x))
        if module.training:
            masks.append(out[:20, :, 0, 0])
        return x * out

    monkeypatch.setattr(nn.Dropout2d, "forward", kept)
    run(tmp_path / "run", drawn(), images)
    assert len(masks) == 6
    assert len({mask.numpy().tobytes() for mask in masks}) == 6


@pytest.mark.usefixtures("dropout")
def test_training_neither_touches_nor_needs_the_processs_generators(images: ImageSet, tmp_path: Path) -> None:
    before = states()
    run(tmp_path / "run", drawn(1), images)
    assert moved(before) == set()


@pytest.mark.usefixtures("dropout")
def test_runs_beside_each_other_in_threads_and_others_who_draw_disturb_nobody(images: ImageSet, tmp_path: Path) -> None:
    cells = [drawn(2), drawn(2, train__max_lr=0.02)]
    for number, which in enumerate(cells):
        run(tmp_path / f"alone{number}", which, images)
    together = threading.Barrier(3)
    over = threading.Event()

    def train(number: int) -> None:
        together.wait(60)
        run(tmp_path / f"beside{number}", cells[number], images)

    def neighbour() -> None:
        together.wait(60)
        while not over.is_set():
            with own_random_state(1):
                torch.rand(10)

    threads = [threading.Thread(target=train, args=(number,)) for number in range(2)]
    other = threading.Thread(target=neighbour)
    for thread in (*threads, other):
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    other.join()
    for number in range(2):
        assert traces(tmp_path / f"beside{number}") == traces(tmp_path / f"alone{number}")


def test_a_networks_fixed_random_numbers_are_the_same_in_every_run(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random features that are a buffer outside of the state dict: no weights file brings them back."""

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("features", torch.rand(1, 8, 1, 1), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.get_buffer("features")

    monkeypatch.setitem(ARCHITECTURES, "rohrer68k", Architecture(lambda **_: network(Features()), (32,)))
    monkeypatch.setattr("scs_study.models.variant.check_code", lambda *_: None)
    for name in ("one", "two"):
        stir()
        run(tmp_path / name, drawn(1), images)
    assert traces(tmp_path / "one") == traces(tmp_path / "two")


def test_a_checkpoint_holds_no_generator_so_those_of_earlier_commits_are_read(images: ImageSet, tmp_path: Path) -> None:
    run(tmp_path / "whole", cell(), images)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", cell(), images, stop=stop_after(5))
    path = tmp_path / "run" / checkpoint.NAME
    tensors, notes = load_tensors(path)
    assert notes.keys() == {"run", "epoch", "step", "seconds", "excursions", "groups", "scheduler"}
    assert {name.split(".")[0] for name in tensors} == {"network", "optimizer", "log"}
    save_tensors(path, tensors, notes)
    run(tmp_path / "run", cell(), images)
    assert traces(tmp_path / "run") == traces(tmp_path / "whole")


def _captured(monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    monkeypatch.setattr(
        GraphedEngine,
        "_repeated",
        lambda engine, work: graphed._Repeated(work, lambda work: work, torch.device("cpu"), alone),
    )


@pytest.mark.usefixtures("dropout")
def test_a_graph_that_would_repeat_one_draw_for_ever_is_refused(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU a Dropout draws where on CUDA only code outside of the graph does."""
    _captured(monkeypatch, alone=True)
    with pytest.raises(ValueError, match=r"draws random numbers on the CPU, .*: use engine=eager"):
        run(tmp_path / "run", drawn(5, train__batch_size=20), images, settings=GRAPHED)


@pytest.mark.parametrize(("alone", "drawn_from"), [(True, {"cuda"}), (False, {"cuda"}), (False, set())])
def test_graphs_beside_each_other_may_not_draw_and_quiet_ones_wait_for_nobody(
    monkeypatch: pytest.MonkeyPatch, alone: bool, drawn_from: set[str]
) -> None:
    monkeypatch.setattr(graphed, "moved", lambda *_: drawn_from)
    work = graphed._Repeated(lambda: None, lambda work: work, torch.device("cpu"), alone)
    for _ in range(WARM_UP):
        work()
        assert not work.quiet
    if drawn_from and not alone:
        with pytest.raises(ValueError, match=r"use launch\.side_by_side=1 .*or engine=eager"):
            work()
        return
    work()
    assert work.quiet == (not drawn_from)


def test_generators_are_where_they_were_also_after_an_error() -> None:
    before = states()

    def fail() -> None:
        with own_random_state(5):
            stir()
            assert moved(before) == {"torch", "python", "numpy"}
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert moved(before) == set()
