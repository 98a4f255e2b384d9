"""A head that is trained on a frozen network: that one stays to the bit, and its weights are part of the run's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch import Tensor

from scs_study.config.schema import CellConfig
from scs_study.data import ImageSet
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import compose_cell
from scs_study.models import build_variant, check_cell, initial_weights, layer_paths, not_converted
from scs_study.models.frozen import KERNELS
from scs_study.models.initialization import draw
from scs_study.models.variant import norm_as_built
from scs_study.runs.context import place_checkpoint
from scs_study.system import files
from scs_study.system.tensors import load_tensors, save_tensors
from scs_study.training import run_dir as run_folder
from scs_study.training.run import Settings
from tests.support.work import few_digits
from tests.training.runs import run, traces

GRAPHED = Settings(torch.device("cpu"), "graphed")


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return few_digits()


def head(checkpoint: object, layer: str = "scs", activation: str = "none", **settings: Any) -> CellConfig:
    choices = {"arch": "frozen_resnet20", "layer": layer, "activation": activation, "norm": "as_built"}
    recipe = {"train.epochs": 2, "train.batch_size": 64, "train.weight_decay": 0.1, "init.checkpoint": str(checkpoint)}
    return compose_cell({**choices, "pooling": "max", "init": "pretrained"}, {**recipe, **settings}, 0)


def run_of(folder: Path, **choices: str) -> Path:
    """A finished run's folder of a ResNet20, with norms that have seen images."""
    choices = {
        "arch": "resnet20",
        "layer": "conv",
        "activation": "relu",
        "pooling": "max",
        "norm": "batchnorm",
    } | choices
    cell = compose_cell(choices, {"train.epochs": 1}, 0)
    network = build_variant(cell, draw(cell.arch, 0, "conv2d")).train()
    with torch.no_grad():
        network(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    files.write_json(folder / cell.run_name / run_folder.CONFIG, cell.identity())
    save_tensors(folder / cell.run_name / run_folder.WEIGHTS, network.state_dict(), {"run": cell.run_name})
    return folder / cell.run_name


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("source"))


def keep(cell: CellConfig, source: Path, runs: Path) -> None:
    place_checkpoint(OmegaConf.create({"runs": str(runs)}), [cell], {"init.checkpoint": str(source)})
    (runs / ".initial").rename(runs / "initial")  # where the tests' runs look


def backbone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if name.startswith("backbone.")}


def test_the_head_is_trained_and_the_backbone_stays(source: Path, images: ImageSet, tmp_path: Path) -> None:
    mine = head(source)
    keep(mine, source, tmp_path)
    result = run(tmp_path / mine.run_name, mine, images)
    assert (result["parameters"], result["frozen_parameters"]) == (64 * KERNELS + KERNELS + 1 + 1290, 269_072)
    before, after = (load_tensors(folder / run_folder.WEIGHTS)[0] for folder in (source, tmp_path / mine.run_name))
    kept = backbone(after)
    assert len(kept) == len(before) - 2  # the head of the source is gone
    assert all(torch.equal(value, before[name.removeprefix("backbone.")]) for name, value in kept.items())
    start = initial_weights(mine.arch, 0, mine.init, tmp_path / "initial").tensors
    assert not torch.equal(after["conv.weight"], start["conv.weight"])
    assert not torch.equal(after["head.weight"], start["head.weight"])
    assert list(files.read_lines(tmp_path / mine.run_name / run_folder.LAYERS)[0]["layers"]) == ["conv"]
    assert run(tmp_path / "graphed", mine, images, settings=GRAPHED)["state"] == "done"
    assert traces(tmp_path / "graphed") == traces(tmp_path / mine.run_name)
    # What analyses need of it: the network as it was trained, and gradients that reach the pixels.
    files.write_json(tmp_path / mine.run_name / run_folder.CONFIG, mine.identity())
    x = (images.test_images.permute(0, 3, 1, 2) / 255).requires_grad_()
    outputs = load_trained(tmp_path / mine.run_name).network(x)
    assert float((outputs.argmax(1) == images.test_labels).float().mean()) == result["final_test_accuracy"]
    outputs.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_variants_share_the_head_they_start_from_and_convert_nothing_else(source: Path, tmp_path: Path) -> None:
    scs, conv = head(source), head(source, "conv", "relu")
    keep(scs, source, tmp_path)
    shared = initial_weights(scs.arch, 0, scs.init, tmp_path / "initial").tensors
    networks = [build_variant(cell, shared).train() for cell in (scs, conv)]
    weights = [network.state_dict() for network in networks]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in ("conv.weight", "head.weight", "head.bias"))
    assert all(torch.equal(value, weights[1][name]) for name, value in backbone(weights[0]).items())
    for network in networks:
        assert layer_paths(network) == ["conv"]
        assert not any(module.training for module in network.get_submodule("backbone").modules())
        assert network.get_submodule("head").training
    assert not_converted(scs) == ()
    assert norm_as_built(scs) == "none"


def test_whose_backbone_it_is_is_part_of_the_name(source: Path, tmp_path: Path) -> None:
    weights, _ = load_tensors(source / run_folder.WEIGHTS)
    save_tensors(tmp_path / "same.safetensors", weights)
    save_tensors(tmp_path / "other.safetensors", {**weights, "bn1.bias": weights["bn1.bias"] + 1})
    assert head(tmp_path / "same.safetensors").run_name == head(source).run_name
    assert head(tmp_path / "other.safetensors").run_name != head(source).run_name


def test_weights_as_torchvision_gives_them_are_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = torchvision.models.resnet18().state_dict()  # a head of 1000 classes
    torch.save(weights, tmp_path / "resnet18.pth")
    choices = {"arch": "frozen_resnet18_imagenet", "layer": "conv", "activation": "relu", "pooling": "max"}
    settings = {"init.checkpoint": str(tmp_path / "resnet18.pth")}
    cell = compose_cell({**choices, "data": "cifar10", "init": "pretrained"}, settings, 0)
    keep(cell, tmp_path / "resnet18.pth", tmp_path)
    network = build_variant(cell, initial_weights(cell.arch, 0, cell.init, tmp_path / "initial").tensors)
    theirs = torchvision.models.resnet18()
    theirs.load_state_dict(weights)
    theirs.fc = torch.nn.Identity()
    x = torch.rand(2, 3, 64, 64)
    mean, deviation = (torch.tensor(v).view(-1, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    features = network.get_submodule("backbone")(x).mean((2, 3))
    torch.testing.assert_close(features, theirs.eval()((x - mean) / deviation))


def test_what_cannot_be_a_backbone_is_one_sentence(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"arch=frozen_resnet20: its backbone is a trained network: init=pretrained init\.checkpoint",
    ):
        check_cell(compose_cell({"arch": "frozen_resnet20", "layer": "conv", "pooling": "max"}, {}, 0))
    with pytest.raises(ValueError, match="pooling=maxabs has no effect on frozen_resnet20"):
        check_cell(compose_cell({"arch": "frozen_resnet20", "init": "pretrained"}, {"init.checkpoint": str(source)}, 0))
    choices = {"arch": "frozen_resnet20", "init": "pretrained", "norm": "batchnorm", "pooling": "max"}
    with pytest.raises(ValueError, match="norm=batchnorm: frozen_resnet20 has no BatchNorm2d"):
        check_cell(compose_cell(choices, {"init.checkpoint": str(source)}, 0))
    for changed in ({"pooling": "maxabs"}, {"layer": "scs"}):
        folder = run_of(tmp_path, **changed)
        (change,) = (f"{key}={value}" for key, value in changed.items())
        with pytest.raises(ValueError, match=rf"its network has .*{change}.*, and the backbone of frozen_resnet20"):
            keep(head(folder), folder, tmp_path / "runs")
    folder = run_of(tmp_path, norm="none")
    with pytest.raises(ValueError, match=r"these are not the weights of frozen_resnet20: .* lacks backbone\.bn1\.bias"):
        keep(head(folder), folder, tmp_path / "runs")
