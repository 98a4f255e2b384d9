"""A generator against a discriminator: two optimizers, two losses, and a run that continues bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from scs_study.config.schema import CellConfig
from scs_study.data import Batches, ImageSet, load_images
from scs_study.experiments.estimate import cell_costs, estimate
from scs_study.models import build_variant, check_cell, initial_weights
from scs_study.system import files
from scs_study.system.randomness import derived
from scs_study.system.tensors import load_tensors
from scs_study.training import run_dir as run_folder
from scs_study.training.objectives import objective_of
from scs_study.training.objectives.adversarial import COARSE, GENERATORS, SAMPLES, Adversarial, fixed_noise
from scs_study.training.objectives.frechet import Moments, frechet_distance
from scs_study.training.run import Settings, train
from scs_study.training.stopping import Interrupted
from tests.support.pairs import VARIANTS, digits_cell, few
from tests.training.runs import CPU, stop_after, traces


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return few(load_images(digits_cell().data, None, tmp_path_factory.mktemp("cache"), download=False))


def run(folder: Path, cell: CellConfig, images: ImageSet, settings: Settings = CPU, **more: Any) -> dict[str, Any]:
    shared = initial_weights(cell.arch, cell.seed, cell.init, folder.parent / "initial", ends=cell.data.ends)
    folder.mkdir(exist_ok=True)
    return train(cell, folder, images, shared, settings, **more)


def left(folder: Path) -> dict[str, Any]:
    """Everything a run computed, what its epochs leave in files of their own included."""
    kept = sorted([*folder.glob(f"{SAMPLES}/*"), *folder.glob(f"{GENERATORS}/*")])
    digests = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    return {**traces(folder), "kept": digests}


@pytest.fixture(scope="module")
def undisturbed(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, digits_cell(), images)
    return folder


def test_one_epoch_equals_dcgans_own_loop(images: ImageSet, tmp_path: Path) -> None:
    """Rebuilt after the sources' order of steps with probabilities and BCE, and nothing of the training code's."""
    cell = digits_cell("dcgan", 1)
    run(tmp_path / "run", cell, images)
    shared = initial_weights(cell.arch, 0, cell.init, tmp_path / "initial", ends=cell.data.ends)
    pair = build_variant(cell, shared.tensors).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start = {name: value.clone() for name, value in pair.state_dict().items()}
    parts = {name: pair.get_submodule(name) for name in ("discriminator", "generator")}
    adam = {name: torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999)) for name, part in parts.items()}
    batches, told = Batches(images, cell.data, 8, 0, "cpu"), []
    for step in range(batches.steps):
        x, _ = batches.train(batches.plan(1), step)
        torch.manual_seed(derived(f"training 0 {step}"))
        fake = parts["generator"](torch.randn(len(x), 100, 1, 1))
        real, false = parts["discriminator"](x).sigmoid(), parts["discriminator"](fake.detach()).sigmoid()
        loss = called(real, 1) + called(false, 0)
        adam["discriminator"].zero_grad()
        loss.backward()
        adam["discriminator"].step()
        after = parts["discriminator"](fake).sigmoid()
        adam["generator"].zero_grad()
        generator_loss = called(after, 1)
        generator_loss.backward()
        adam["generator"].step()
        each = (loss, generator_loss, real.mean(), false.mean(), after.mean())
        told.append([len(x) * float(value.detach()) for value in each])
    line = files.read_lines(tmp_path / "run" / run_folder.HISTORY)[0]
    recorded = [line[f"train_{name}"] for name in Adversarial.logged]
    assert recorded == pytest.approx([sum(column) / 20 for column in zip(*told, strict=True)], rel=1e-4)
    weights, _ = load_tensors(tmp_path / "run" / run_folder.WEIGHTS)
    for name, value in pair.state_dict().items():
        # Where a gradient is about 0, its rounding decides the sign of Adam's first steps.
        moved, apart = (value - start[name]).double().norm(), (value - weights[name]).double().norm()
        assert 0 <= float(apart) <= 0.05 * float(moved), name


def called(probability: Tensor, label: float) -> Tensor:
    return binary_cross_entropy(probability, torch.full_like(probability, label))


def test_what_a_run_records(images: ImageSet, undisturbed: Path) -> None:
    history = files.read_lines(undisturbed / run_folder.HISTORY)
    result = files.read_json(undisturbed / run_folder.RESULT)
    assert [line["epoch"] for line in history] == [1, 2]
    for line in history:
        for name in (*(f"train_{each}" for each in Adversarial.logged), *(f"test_{e}" for e in Adversarial.tested)):
            assert math.isfinite(line[name])
            assert "score" not in name or 0 <= line[name] <= 1
    best = min(line["test_pixel_frechet"] for line in history)
    assert result["best_test_pixel_frechet"] == best
    assert result["parameters"] == 3_572_741 + 173_051
    layers = files.read_lines(undisturbed / run_folder.LAYERS)[-1]["layers"]
    assert layers["generator.conv1"]["p"] is None  # as published: no power
    assert layers["generator.conv1"]["q"] == pytest.approx(1.0, abs=0.05)
    assert layers["discriminator.conv5"]["weight_norm"] > 0


def test_an_epoch_leaves_a_grid_of_the_fixed_noise_and_the_generator_that_drew_it(undisturbed: Path) -> None:
    cell, drawn = digits_cell(), []
    for epoch in (1, 2):
        weights, notes = load_tensors(undisturbed / GENERATORS / f"epoch-{epoch:04d}.safetensors")
        assert notes == {"run": cell.run_name, "epoch": epoch}
        generator = build_pair(cell, undisturbed).get_submodule("generator").eval()
        generator.load_state_dict(weights)
        with torch.no_grad():
            expected = (generator(fixed_noise(0, 64, 100)) * 255).round()
        with Image.open(undisturbed / SAMPLES / f"epoch-{epoch:04d}.png") as picture:
            pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(512, 512)
        drawn.append(pixels)
        tile = pixels[64:128, 128:192].float()  # the second row's third image
        assert (tile - expected[8 + 2, 0]).abs().max() <= 1
    assert not torch.equal(*drawn)


def build_pair(cell: CellConfig, folder: Path) -> nn.Module:
    shared = initial_weights(cell.arch, cell.seed, cell.init, folder.parent / "initial", ends=cell.data.ends)
    return build_variant(cell, shared.tensors)


@pytest.mark.parametrize("steps", [1, 5, 8])
def test_a_stopped_run_continues_bit_for_bit(images: ImageSet, tmp_path: Path, undisturbed: Path, steps: int) -> None:
    # An epoch asks `stop` three times in training and three times in evaluation.
    with pytest.raises(Interrupted):
        run(tmp_path / "run", digits_cell(), images, stop=stop_after(steps))
    torch.rand(3)  # the global random state must not matter
    run(tmp_path / "run", digits_cell(), images)
    assert left(tmp_path / "run") == left(undisturbed)


def test_both_engines_train_the_same_pair(images: ImageSet, tmp_path: Path, undisturbed: Path) -> None:
    run(tmp_path / "run", digits_cell(), images, dataclasses.replace(CPU, engine="graphed"))
    assert left(tmp_path / "run") == left(undisturbed)


def test_evaluation_judges_the_pixels_of_evenly_spaced_test_images_against_the_fixed_noise(
    images: ImageSet, tmp_path: Path
) -> None:
    """By a discriminator with norms, which sees real images and samples apart, as in training, and keeps nothing."""
    cell, folder = digits_cell("dcgan", 1), tmp_path / "run"
    run(folder, cell, images)
    pair = build_pair(cell, folder).eval()
    pair.load_state_dict(load_tensors(folder / run_folder.WEIGHTS)[0])
    assert int(pair.get_submodule("discriminator.norm2").get_buffer("num_batches_tracked")) == 3 * 3  # three a step
    x = torch.cat([each for each, _ in Batches(images, cell.data, 8, 0, "cpu").test(5)])
    with torch.no_grad():
        samples = pair.get_submodule("generator")(fixed_noise(0, len(x), 100))
        pair.get_submodule("discriminator").train()
        parts = [[each[first::2] for first in (0, 1)] for each in (x, samples)]
        real, fake = (torch.cat([pair(part) for part in each]).sigmoid() for each in parts)
    coarse = [each.double().unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2)).flatten(1).numpy() for each in (samples, x)]
    last = files.read_lines(folder / run_folder.HISTORY)[-1]
    moments = [Moments.of(each) for each in coarse]
    assert coarse[0].shape == (12, COARSE**2)
    assert last["test_pixel_frechet"] == pytest.approx(frechet_distance(*moments), rel=1e-3)
    assert last["test_diversity"] == pytest.approx(coarse[0].var(0).sum() / coarse[1].var(0).sum(), rel=1e-3)
    assert last["test_score_real"] == pytest.approx(float(real.mean()), abs=1e-5)
    assert last["test_loss"] == pytest.approx(float(called(real, 1) + called(fake, 0)), rel=1e-4)


def test_of_many_test_images_every_so_manieth_is_looked_at(images: ImageSet, tmp_path: Path) -> None:
    cell = digits_cell()
    objective = objective_of(cell)
    networks = objective.networks(initial_weights(cell.arch, 0, cell.init, tmp_path, ends=cell.data.ends).tensors)
    places = torch.arange(2_500) // 10
    marked = dataclasses.replace(
        images, test_images=places.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 32, 32, 1), test_labels=places
    )
    seen: list[Tensor] = []
    nets = {"generator": Recorder([]), "discriminator": Recorder(seen)}
    totals = objective.totals(torch.device("cpu"))
    assert networks.keys() == nets.keys()
    for _ in objective.test(nets, Batches(marked, cell.data, 8, 0, "cpu"), totals):
        pass
    real = torch.cat([each for each in seen if each.shape[1:] == (1, 64, 64)])
    assert int(totals["count_real"]) == int(totals["count_fake"]) == 834
    assert torch.equal((real[:, 0, 0, 0] * 255).round().long().sort().values, places[::3])
    classes = [set((each[:, 0, 0, 0] * 255).round().long().tolist()) for each in seen if each.shape[2] == 64]
    assert min(map(len, classes)) >= 7  # a batch is of images from all of the order


class Recorder(nn.Module):
    """Remembers what it is shown, and answers every image with a 0."""

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x.new_zeros(len(x), 1, 8, 8) if x.shape[1] == 100 else x.new_zeros(len(x))


def test_a_discriminator_that_cannot_tell_anything_apart_is_a_collapse_and_says_so(
    images: ImageSet, tmp_path: Path
) -> None:
    """As SCS-GAN's is drawn: its kernels' norms are next to nothing beside q = 1, five layers one after the other."""
    cell = digits_cell(train__max_lr=1e-12)
    result = run(tmp_path / "run", cell, images)
    assert result["state"] == "collapsed"
    status = files.read_json(tmp_path / "run" / run_folder.STATUS)
    assert status["state"] == "collapsed"
    assert "the discriminator gives all images, real or not, the score 0." in status["message"]
    assert "the generator draws one image whatever its noise" in status["message"]


@pytest.mark.parametrize(
    ("spread", "diversity", "words"),
    [(0.2, 0.9, ""), (5e-4, 0.9, "all images, real or not, the score 0.5000"), (0.2, 0.001, "0.1 % of the variance")],
)
def test_what_counts_as_a_collapse(spread: float, diversity: float, words: str) -> None:
    line = {"test_loss": 1.0, "test_score_spread": spread, "test_diversity": diversity}
    found = objective_of(digits_cell()).collapse([{**line, "test_score_real": 0.5, "test_score_fake": 0.5}])
    assert words in found
    assert bool(found) == bool(words)


def test_a_discriminator_that_has_won_is_a_collapse_and_says_so() -> None:
    line = {"test_loss": 1e-4, "test_score_spread": 0.5, "test_diversity": 0.9}
    for real, fake, words in ((0.9995, 0.0005, "certain of every image"), (0.9995, 0.002, ""), (0.995, 0.0005, "")):
        found = objective_of(digits_cell()).collapse([{**line, "test_score_real": real, "test_score_fake": fake}])
        assert words in found
        assert bool(found) == bool(words)


@pytest.mark.parametrize("size", [32, 128, [64, 32]])
def test_a_size_that_its_networks_cannot_take_is_one_sentence(size: object) -> None:
    sentence = r"data\.image_size=\S+: scs_gan takes images of 64 pixels only$"
    with pytest.raises(ValueError, match=sentence):
        check_cell(digits_cell(data__image_size=size))


def test_numbers_that_are_not_finite_end_a_run_as_diverged(images: ImageSet, tmp_path: Path) -> None:
    cell = digits_cell("dcgan", train__optimizer="sgd", train__momentum=0.9, train__beta1=None, train__max_lr=1e30)
    result = run(tmp_path / "run", cell, images)
    assert result["state"] == "diverged"
    assert "not finite" in result["diverged"]["reason"]
    assert not (tmp_path / "run" / SAMPLES).exists()


def test_beta1_is_part_of_the_recipe_and_of_a_runs_name_only_where_it_is_set() -> None:
    assert "beta1" not in digits_cell(train__beta1=None).identity()["train"]
    assert digits_cell().identity()["train"]["beta1"] == 0.5
    with pytest.raises(ValueError, match=r"beta1=0\.5 has no effect on adam with onecycle"):
        digits_cell(train__schedule="onecycle")


@pytest.mark.parametrize("name", ["dcgan", "published"])
def test_an_estimate_times_both_networks(images: ImageSet, name: str) -> None:
    cell = digits_cell(name)
    found = estimate([(cell, 2)], cell_costs([cell], {cell.data.images_key: images}, torch.device("cpu")))
    assert found.seconds is not None
    assert found.seconds > 0
    assert found.bytes > 2 * 4 * 3_500_000  # the weights, and the generator's of every epoch


def test_every_variant_trains_a_step(images: ImageSet, tmp_path: Path) -> None:
    for name in VARIANTS.keys() - {"published", "dcgan"}:
        result = run(tmp_path / name, digits_cell(name, 1), images)
        assert result["epochs"] == 1
        assert result["diverged"] is None
