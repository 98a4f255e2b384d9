"""The graphed engine gives the eager engine's numbers, and captures what can be replayed."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet, load_images
from scs_study.layers import SharpenedCosineSimilarity2d
from scs_study.models.initialization import InitialWeights, draw
from scs_study.system import files
from scs_study.system.tensors import load_tensors
from scs_study.training import graphed, optimizer
from scs_study.training import run_dir as run_folder
from scs_study.training.eager import CHECK_EVERY
from scs_study.training.flat import SLOT
from scs_study.training.graphed import WARM_UP, GraphedEngine
from scs_study.training.optimizer import make_optimizer, make_scheduler, put_at, rates
from scs_study.training.run import Settings, build
from scs_study.training.step_log import StepLog
from scs_study.training.stopping import Interrupted
from tests.training import runs
from tests.training.runs import run, stop_after, traces

CPU = torch.device("cpu")
EAGER, GRAPHED = Settings(CPU, "eager"), Settings(CPU, "graphed")


def cell(layer: str = "scs", epochs: int = 2, **settings: Any) -> CellConfig:
    return runs.cell(layer, epochs, **{"train__batch_size": 20, **settings})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Two batches of 20 and one of 10."""
    images = load_images(cell().data, None, tmp_path_factory.mktemp("cache"), download=False)
    return replace(
        images,
        train_images=images.train_images[::25][:50],
        train_labels=images.train_labels[::25][:50],
        test_images=images.test_images[::12],
        test_labels=images.test_labels[::12],
    )


MIXED = {"train__randaugment": (2, 9), "train__mixup": 0.8, "train__cutmix": 1.0, "train__mix_share": 0.5}
MIXED |= {"train__random_erasing": 0.5, "train__schedule": "cosine", "train__cool_down": (0.5, 1e-4)}
SGD = {"train__optimizer": "sgd", "train__momentum": 0.9, "train__weight_decay": 1e-3}


@pytest.mark.parametrize(
    ("layer", "settings"),
    [
        ("scs", {"train__weight_decay": 1e-3}),
        ("scs", {"train__optimizer": "adamw", "train__weight_decay": 0.06, "train__schedule": "cosine"}),
        ("sdp", {"train__numerics": "bf16"}),
        ("conv", {"data__affine": (8.0, 0.1, 0.9, 1.1, 2.0)}),
        ("conv", MIXED),
    ],
)
def test_a_run_with_adam_is_the_eager_engines_bit_for_bit(
    images: ImageSet, tmp_path: Path, layer: str, settings: dict[str, Any]
) -> None:
    which = cell(layer, 2, **settings)
    for engine in (EAGER, GRAPHED):
        run(tmp_path / engine.engine, which, images, settings=engine)
    assert traces(tmp_path / "graphed") == traces(tmp_path / "eager")


@pytest.mark.parametrize("schedule", ["steps", "onecycle"])  # the second cycles momentum too
def test_a_run_with_sgd_is_the_eager_engines_up_to_a_fused_multiply_add(
    images: ImageSet, tmp_path: Path, schedule: str
) -> None:
    """torch's SGD rounds once where it adds lr times the gradient, a rate from the device rounds twice."""
    found = []
    for engine in (EAGER, GRAPHED):
        folder = tmp_path / engine.engine
        run(folder, cell("conv", 2, **SGD, train__schedule=schedule), images, settings=engine)
        losses = [line["train_loss"] for line in files.read_lines(folder / run_folder.HISTORY)]
        found.append((losses, load_tensors(folder / run_folder.WEIGHTS)[0]))
    (eager_losses, eager), (our_losses, ours) = found
    assert our_losses == pytest.approx(eager_losses, rel=1e-6)
    assert all(torch.allclose(ours[name], value, rtol=1e-5, atol=1e-7) for name, value in eager.items())


@pytest.mark.parametrize(("first", "second"), [(GRAPHED, GRAPHED), (EAGER, GRAPHED), (GRAPHED, EAGER)])
@pytest.mark.parametrize("steps", [2, 5])
def test_a_run_stopped_with_one_engine_continues_with_the_other_bit_for_bit(
    images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any], first: Settings, second: Settings, steps: int
) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "run", cell(), images, settings=first, stop=stop_after(steps))
    run(tmp_path / "run", cell(), images, settings=second)
    assert traces(tmp_path / "run") == undisturbed


@pytest.fixture(scope="module")
def undisturbed(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, cell(), images)
    return traces(folder)


@pytest.mark.parametrize("steps", [1, 4])  # among epochs with mixed images, and without
def test_a_run_with_mixed_images_goes_on_bit_for_bit(images: ImageSet, tmp_path: Path, steps: int) -> None:
    which = cell("conv", 2, **MIXED)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", which, images, stop=stop_after(steps))
    run(tmp_path / "run", which, images)
    run(tmp_path / "whole", which, images)
    assert traces(tmp_path / "run") == traces(tmp_path / "whole")
    plain = run(tmp_path / "plain", cell("conv", 2), images)
    assert plain["final_test_loss"] != traces(tmp_path / "whole")["result"]["final_test_loss"]


def test_a_diverging_run_ends_with_the_same_records(images: ImageSet, tmp_path: Path) -> None:
    """Also where the loss breaks in the middle of an epoch, which the graphed engine computes to its end."""
    which = cell("conv", train__max_lr=1e30, train__schedule="constant", train__batch_size=1)
    images = replace(
        images, train_images=images.train_images.repeat(2, 1, 1, 1), train_labels=images.train_labels.repeat(2)
    )
    for engine in (EAGER, GRAPHED):
        assert run(tmp_path / engine.engine, which, images, settings=engine)["state"] == "diverged"
    eager, ours = (traces(tmp_path / engine.engine) for engine in (EAGER, GRAPHED))
    assert ours[run_folder.STEPS] == eager[run_folder.STEPS]
    assert f'"steps":{CHECK_EVERY},' in ours[run_folder.STEPS]
    assert ours["result"]["diverged"] == eager["result"]["diverged"]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["onecycle", "steps", "two_stages", "cosine", "constant"])
def test_the_rates_of_every_step_are_the_schedulers_own(optimizer: str, schedule: str) -> None:
    recipe = replace(
        cell(epochs=3).train, optimizer=optimizer, schedule=schedule, momentum=0.9 if optimizer == "sgd" else None
    )
    table, network = rates(recipe, 4), torch.nn.Linear(1, 1)
    ours, theirs = make_optimizer(network, recipe), make_optimizer(network, recipe)
    our_schedule, their_schedule = (make_scheduler(each, recipe, 4) for each in (ours, theirs))
    theirs.step()
    for step in range(13):
        put_at(step, ours, our_schedule, table)
        assert ours.param_groups == theirs.param_groups
        assert our_schedule.last_epoch == their_schedule.last_epoch
        assert our_schedule.get_last_lr() == their_schedule.get_last_lr()
        if step < 12:
            their_schedule.step()


def engine_of(which: CellConfig, images: ImageSet) -> GraphedEngine:
    engine = build(which, images, InitialWeights(draw(which.arch, 0, "conv2d"), ""), GRAPHED).engine
    assert isinstance(engine, GraphedEngine)
    return engine


class NoWaiting(TorchDispatchMode):
    """A context in which no number may be read back: on a GPU that would wait for everything before it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", ["conv", "scs"])
def test_nothing_inside_an_epoch_waits_for_the_device(
    images: ImageSet, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(cell(layer, 1, train__batch_size=10), images)
    network = engine.state.networks["network"]
    for path, module in list(network.named_modules()):  # MaxAbsPool looks at its values, on the CPU only
        if type(module).__name__ == "MaxAbsPool2d":
            network.set_submodule(path, torch.nn.MaxPool2d(module.kernel_size, ceil_mode=True))
    step, test = engine._next_step, engine._whole_test_set

    def watched(work: Callable[..., None], *arguments: int) -> None:
        with NoWaiting():
            work(*arguments)

    monkeypatch.setattr(engine, "_next_step", lambda size: watched(step, size))
    engine._evaluation = engine._repeated(lambda: watched(test))
    log = StepLog.empty(engine.batches.steps, 3, CPU)
    engine.train_epoch(engine.batches.plan(1), log, lambda: False)
    assert log.done == 5
    engine.evaluate(lambda: False)
    with pytest.raises(AssertionError), NoWaiting():
        float(log.metrics["loss"][0])


def test_a_function_runs_as_it_is_until_it_is_warm_and_is_then_captured_once() -> None:
    said: list[str] = []

    def captured(work: Callable[[], None]) -> Callable[[], None]:
        said.append("capture")
        return lambda: said.append("replay")

    repeated = graphed._Repeated(lambda: said.append("run"), captured, CPU)
    for _ in range(WARM_UP + 2):
        repeated()
    assert said == ["run"] * WARM_UP + ["capture", "replay", "replay"]


def test_a_capture_is_on_the_engines_stream_and_in_its_pool_and_spoiled_by_no_other_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Any] = []

    class Graph:
        def replay(self) -> None:
            said.append("replay")

    @contextlib.contextmanager
    def graph(which: Graph, **settings: Any) -> Iterator[None]:
        said.append(("begin", type(which), settings))
        assert graphed._CAPTURING.locked(), "another capture must not begin meanwhile"
        yield
        said.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    replay = graphed.capture(lambda: said.append("work"), "stream", "pool")
    replay()
    settings = {"pool": "pool", "stream": "stream", "capture_error_mode": "thread_local"}
    assert said == [("begin", Graph, settings), "work", "end", "replay"]
    assert not graphed._CAPTURING.locked()


def test_an_engine_captures_a_step_of_each_size_and_the_evaluation_and_only_replays_from_then_on(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the graph: replayed, it does on the same tensors what was captured."""
    captures, replays = [0], [0]

    def captured(work: Callable[[], None]) -> Callable[[], None]:
        captures[0] += 1

        def replay() -> None:
            replays[0] += 1
            work()

        return replay

    monkeypatch.setattr(GraphedEngine, "_repeated", lambda engine, work: graphed._Repeated(work, captured, CPU))
    which = cell("conv", epochs=5)
    for engine in (EAGER, GRAPHED):
        run(tmp_path / engine.engine, which, images, settings=engine)
    # 5 epochs of two full batches and one of 10 images: 10 - 3, 5 - 3, and 5 - 3 evaluations.
    assert (captures[0], replays[0]) == (3, 7 + 2 + 2)
    assert traces(tmp_path / "graphed") == traces(tmp_path / "eager")


def test_an_engine_is_freed_when_its_run_ends(images: ImageSet) -> None:
    """Not when cycles are next collected: until then its images and graphs would fill a GPU, cell by cell."""
    engine = engine_of(cell(epochs=3), images)
    engine.train_epoch(engine.batches.plan(1), StepLog.empty(3, 3, CPU), lambda: False)
    engine.evaluate(lambda: False)
    there, gone = weakref.ref(engine), []
    weakref.finalize(engine, gone.append, True)
    gc.disable()
    try:
        del engine
        assert gone
        assert there() is None
    finally:
        gc.enable()


def test_parameters_begin_where_memory_is_read_sixteen_bytes_at_a_time(images: ImageSet) -> None:
    phase = engine_of(cell("scs"), images).state.phases["network"]
    assert any(parameter.numel() == 1 for parameter in phase.network.parameters()), "q, which would shift the others"
    assert {parameter.storage_offset() % SLOT for parameter in phase.network.parameters()} == {0}


def test_what_a_step_touches_stays_where_it_is(images: ImageSet) -> None:
    """A graph knows addresses: parameters, state, plan and log must keep theirs from epoch to epoch."""
    engine = engine_of(cell(epochs=3), images)

    def addresses() -> list[int]:
        phase = engine.state.phases["network"]
        state = [value for each in phase.optimizer.state.values() for value in (each["exp_avg"], each["exp_avg_sq"])]
        fixed = [*phase.network.state_dict().values(), *engine._plan.values(), *engine._log.tensors().values(), *state]
        return [tensor.data_ptr() for tensor in fixed]

    seen = []
    for epoch in (1, 2, 3):
        log = StepLog.empty(3, 3, CPU)
        engine.train_epoch(engine.batches.plan(epoch), log, lambda: False)
        seen.append(addresses())
    assert seen[0] == seen[1] == seen[2]


def test_the_state_in_a_checkpoint_has_the_eager_engines_layout(images: ImageSet, tmp_path: Path) -> None:
    found = []
    for engine in (EAGER, GRAPHED):
        with pytest.raises(Interrupted):
            run(tmp_path / engine.engine, cell(), images, settings=engine, stop=stop_after(5))
        tensors, notes = load_tensors(tmp_path / engine.engine / "checkpoint.safetensors")
        notes.pop("seconds")
        found.append(({name: value.tolist() for name, value in tensors.items()}, notes))
        assert files.read_json(tmp_path / engine.engine / run_folder.STATUS)["state"] == "interrupted"
    assert found[0] == found[1]


def test_threads_that_need_the_same_rates_build_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    def slow(*arguments: Any) -> Any:
        built.append(arguments)
        return make_scheduler(*arguments)

    monkeypatch.setattr(optimizer, "make_scheduler", slow)
    recipe = cell(epochs=7).train
    with ThreadPoolExecutor(4) as threads:
        tables = list(threads.map(lambda _: rates(recipe, 5), range(4)))
    assert len(built) == 1
    assert all(table is tables[0] for table in tables)


def test_clamps_that_a_layer_does_not_describe_are_left_to_it(images: ImageSet) -> None:
    """A class of somebody's own may clamp in another way than the one it is derived from."""

    class Own(SharpenedCosineSimilarity2d):
        def project_(self) -> None:
            self.weight.data.round_()

    phase = engine_of(cell("scs"), images).state.phases["network"]
    weights = {id(parameter): (low, high) for parameter, low, high in phase.bounds() or []}
    assert weights[id(phase.weights[0])] == (-1.0, 1.0)
    network = torch.nn.Sequential(Own(3, 4, 3), SharpenedCosineSimilarity2d(4, 2, 3))
    assert replace(phase, network=network).bounds() is None
