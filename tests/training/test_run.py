"""One run: what it records, and that it continues bit for bit from wherever it was stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from scs_study.data import Batches, ImageSet
from scs_study.experiments.compose import compose_cell
from scs_study.models import build_variant, initial_weights
from scs_study.system import files
from scs_study.system.tensors import load_tensors
from scs_study.training import record
from scs_study.training import run_dir as run_folder
from scs_study.training.objectives.classification import Classification
from scs_study.training.precision import numerics
from scs_study.training.step_log import StepLog
from scs_study.training.stopping import Interrupted
from tests.training.runs import CPU, cell, run, stop_after, traces


@pytest.fixture(scope="module")
def undisturbed(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, cell(), images)
    return traces(folder)


def test_a_run_repeats_bit_for_bit(images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    run(tmp_path / "run", cell(), images)
    assert traces(tmp_path / "run") == undisturbed


@pytest.mark.parametrize(("steps", "every"), [(0, 1), (2, 1), (3, 1), (6, 2), (9, 2)])
def test_a_stopped_run_continues_bit_for_bit(
    images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any], steps: int, every: int
) -> None:
    # An epoch asks `stop` three times in training and once in evaluation.
    folder, settings = tmp_path / "run", dataclasses.replace(CPU, checkpoint_every=every)
    with pytest.raises(Interrupted):
        run(folder, cell(), images, stop=stop_after(steps), settings=settings)
    status = files.read_json(folder / run_folder.STATUS)
    assert status["state"] == "interrupted"
    assert not (folder / run_folder.RESULT).exists()
    torch.rand(3)  # the global random state must not matter
    run(folder, cell(), images, settings=settings)
    assert traces(folder) == undisturbed


def test_a_run_that_died_between_records_and_checkpoint_continues_bit_for_bit(
    images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """As after SIGKILL: an epoch recorded, the checkpoint still of the epoch before, a line half-written."""
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(folder, cell(), images, stop=stop_after(4))
    checkpoint = (folder / "checkpoint.safetensors").read_bytes()
    with pytest.raises(Interrupted):
        run(folder, cell(), images, stop=stop_after(5))
    assert len(files.read_lines(folder / run_folder.HISTORY)) == 2
    (folder / "checkpoint.safetensors").write_bytes(checkpoint)
    with (folder / run_folder.HISTORY).open("a") as history:
        history.write('{"epoch": 3, "train_lo')
    run(folder, cell(), images)
    assert traces(folder) == undisturbed


def test_a_line_that_a_late_process_adds_is_not_the_runs(
    images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """It was suspended between its look at the lease and its write, and the run is another's now."""
    folder = tmp_path / "run"

    def late(line: dict[str, Any]) -> None:
        for name in run_folder.EPOCHS:
            lines = (folder / name).read_bytes().splitlines(keepends=True)
            (folder / name).write_bytes(b"".join([*lines, lines[0]]))

    with pytest.raises(Interrupted):
        run(folder, cell(), images, report=late, stop=stop_after(9))
    run(folder, cell(), images, report=late)
    assert traces(folder) == undisturbed
    assert not list(folder.glob("*.damaged-*"))


@pytest.mark.parametrize("damage", ["truncated", "another run's"])
def test_an_unusable_checkpoint_is_set_aside_and_the_run_starts_again(
    images: ImageSet, tmp_path: Path, undisturbed: dict[str, Any], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    which = cell() if damage == "truncated" else cell(train__max_lr=0.02)
    with pytest.raises(Interrupted):
        run(folder, which, images, stop=stop_after(6))
    path = folder / "checkpoint.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    run(folder, cell(), images)
    assert traces(folder) == undisturbed
    assert (folder / "checkpoint.safetensors.damaged-1").exists()
    assert "starts again from its first epoch" in capsys.readouterr().out


def test_what_a_run_records(images: ImageSet, tmp_path: Path) -> None:
    folder, reported = tmp_path / "run", []
    result = run(folder, cell(), images, report=reported.append)
    history = files.read_lines(folder / run_folder.HISTORY)
    assert history == reported
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert all(line["train_seconds"] > 0 and line["eval_seconds"] > 0 for line in history)
    best = max(line["test_accuracy"] for line in history)
    assert result["best_test_accuracy"] == best
    assert result["best_epoch"] == next(line["epoch"] for line in history if line["test_accuracy"] == best)
    assert result["final_test_accuracy"] == history[-1]["test_accuracy"]
    assert result["parameters"] == 68_029
    assert result["data_digest"] == images.digest
    assert files.read_json(folder / run_folder.STATUS)["state"] == "done"
    assert not (folder / "checkpoint.safetensors").exists()
    weights, notes = load_tensors(folder / run_folder.WEIGHTS)
    layers = files.read_lines(folder / run_folder.LAYERS)
    assert notes["run"] == cell().run_name
    for path, kernels in (("conv1", 24), ("conv2", 48), ("conv3", 96)):
        last = layers[-1]["layers"][path]
        assert last["weight_norm"] == pytest.approx(float(weights[f"{path}.weight"].norm()), rel=1e-5)
        assert last["p"] == pytest.approx(weights[f"{path}.raw_p"].tolist())
        assert len(last["p"]) == kernels
        assert last["q"] == pytest.approx(float(weights[f"{path}.raw_q"].exp()), rel=1e-5)
        assert last["gradient_norm"] > 0
        histogram, values = last["weights"], weights[f"{path}.weight"]
        assert (histogram["low"], histogram["high"]) == pytest.approx(
            (float(values.min()), float(values.max())), rel=1e-6
        )
        assert sum(histogram["counts"]) == values.numel()
        middle = (histogram["low"] + histogram["high"]) / 2
        assert sum(histogram["counts"][:25]) == int((values < middle).sum())


def test_the_recorded_accuracy_is_that_of_the_saved_weights(images: ImageSet, tmp_path: Path) -> None:
    result = run(tmp_path / "run", cell(epochs=1), images)
    network = build_variant(cell(epochs=1), initial_weights("rohrer68k", 0, "conv2d", tmp_path / "initial").tensors)
    network.load_state_dict(load_tensors(tmp_path / "run" / run_folder.WEIGHTS)[0])
    x = images.test_images.permute(0, 3, 1, 2).float() / 255
    accuracy = float((network.eval()(x).argmax(1) == images.test_labels).double().mean())
    assert accuracy == pytest.approx(result["final_test_accuracy"], abs=1e-9)


def test_one_step_equals_plain_pytorch(images: ImageSet, tmp_path: Path) -> None:
    """The first epoch of conv + ReLU + max, rebuilt with nothing of the training code but its batches."""
    which = compose_cell(
        {"arch": "rohrer68k", "layer": "conv", "activation": "relu", "pooling": "max"},
        {"train.epochs": 1, "train.batch_size": 64}, 0,
    )  # fmt: skip
    run(tmp_path / "run", which, images)
    network = build_variant(which, initial_weights("rohrer68k", 0, "conv2d", tmp_path / "initial").tensors)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=3)
    batches = Batches(images, which.data, 64, 0, torch.device("cpu"))
    losses = []
    for step in range(batches.steps):
        x, y = batches.train(batches.plan(1), step)
        loss = cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()) * len(y))
    line = files.read_lines(tmp_path / "run" / run_folder.HISTORY)[0]
    assert line["train_loss"] == pytest.approx(sum(losses) / 150, rel=1e-5)
    weights = load_tensors(tmp_path / "run" / run_folder.WEIGHTS)[0]
    assert all(torch.allclose(weights[name], value, atol=1e-6) for name, value in network.state_dict().items())


def test_beta1_cycles_as_onecycle_does_by_default(images: ImageSet, tmp_path: Path) -> None:
    """Adam's beta1 is part of the recipe (systems.md 2) and must survive a restart: it is in the checkpoint."""
    with pytest.raises(Interrupted):
        run(tmp_path / "run", cell(), images, stop=stop_after(5))
    _, notes = load_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert 0.85 <= notes["groups"][0]["betas"][0] < 0.95


@pytest.mark.parametrize("layer", ["scs", "sdp"])
def test_p_is_clamped_after_every_step(images: ImageSet, tmp_path: Path, layer: str) -> None:
    settings = {"layer__p_init": [0.1, 0.1], "train__schedule": "constant", "train__max_lr": 0.5}
    run(tmp_path / "run", cell(layer, 1, **settings), images)
    weights, _ = load_tensors(tmp_path / "run" / run_folder.WEIGHTS)
    assert min(float(value.min()) for name, value in weights.items() if name.endswith("raw_p")) >= 0.1 - 1e-7


def test_the_norms_of_every_step_are_recorded_and_those_before_the_first(images: ImageSet, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, cell(), images)
    shared = initial_weights("rohrer68k", 0, "conv2d", tmp_path / "initial").tensors
    lines = files.read_lines(folder / run_folder.STEPS)
    epochs = [record.weight_norms(line) for line in lines]
    assert [norms.shape for norms in epochs] == [(3, 3)] * 3  # three steps an epoch, three layers
    for index, path in enumerate(lines[0]["layers"]):
        assert lines[0]["before"][index] == pytest.approx(float(shared[f"{path}.weight"].norm()), rel=1e-6)
        for before, after in zip(epochs, lines[1:], strict=False):
            assert after["before"][index] == pytest.approx(float(before[-1, index]), rel=1e-7)
        last = files.read_lines(folder / run_folder.LAYERS)[-1]["layers"][path]["weight_norm"]
        assert last == pytest.approx(float(epochs[-1][-1, index]), rel=1e-7)
    damaged = {**lines[0], "steps": 4}
    with pytest.raises(ValueError, match="epoch 1: 9 norms, not 4 x 3"):
        record.weight_norms(damaged)


def test_the_train_loss_weighs_every_image_alike(images: ImageSet) -> None:
    log = StepLog.empty(3, 1, torch.device("cpu"))
    log.metrics["loss"][:] = torch.tensor([1.0, 2.0, 6.0])
    log.metrics["correct"][:] = torch.tensor([10, 20, 5])
    log.done = 3
    metrics = Classification(cell()).train_metrics(log, 150, 64)
    assert metrics["loss"] == pytest.approx((64 * 1 + 64 * 2 + 22 * 6) / 150)
    assert metrics["accuracy"] == pytest.approx(35 / 150)


def test_tf32_is_refused_where_it_has_no_effect(images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a CUDA device"):
        run(tmp_path / "run", cell(train__numerics="tf32"), images)


@pytest.mark.parametrize(("name", "allowed"), [("float32", False), ("tf32", True)])
def test_tf32_is_used_where_it_is_declared_and_nowhere_else(name: str, allowed: bool) -> None:
    """torch itself lets cuDNN use it unless told otherwise."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = not allowed
        with numerics(name, torch.device("cuda")):
            assert [backend.allow_tf32 for backend in backends] == [allowed, allowed]
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def test_bf16_autocast_trains_to_finite_numbers(images: ImageSet, tmp_path: Path) -> None:
    result = run(tmp_path / "run", cell(epochs=1, train__numerics="bf16"), images)
    assert result["state"] == "done"
    assert 0 <= result["final_test_accuracy"] <= 1


@pytest.mark.parametrize("schedule", ["constant", "steps"])
def test_the_other_schedules_reach_their_last_rate(images: ImageSet, tmp_path: Path, schedule: str) -> None:
    which = cell("conv", 4, train__optimizer="sgd", train__momentum=0.9, train__max_lr=0.01, train__schedule=schedule)
    run(tmp_path / "run", which, images)
    rates = [line["lr"] for line in files.read_lines(tmp_path / "run" / run_folder.HISTORY)]
    expected = [0.01] * 4 if schedule == "constant" else [0.01, 0.001, 0.0001, 0.0001]
    assert rates == pytest.approx(expected)


def test_training_leaves_the_arithmetic_of_the_process_as_it_was(images: ImageSet, tmp_path: Path) -> None:
    """Denormal numbers are flushed while a run trains, and only then: statistics must not lose them."""
    run(tmp_path / "run", cell("conv", 1), images)
    assert float(torch.tensor(1e-40) * 1) > 0
