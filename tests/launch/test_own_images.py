"""Anybody's images in the grid: named by their content, trained as the known sets are, which keep their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scs_study.analysis.collect import collect
from scs_study.analysis.plots.style import figure_groups
from scs_study.analysis.robustness.report import compute, report
from scs_study.analysis.summary import summary
from scs_study.analysis.variants import variants
from scs_study.config.schema import CLASSIFICATION, CellConfig, cell_from_dict
from scs_study.data import load_images
from scs_study.evaluation.robustness.classifier import classifier
from scs_study.evaluation.robustness.settings import robustness_of
from scs_study.evaluation.trained import load_trained
from scs_study.experiments.compose import compose_cell, load_option
from scs_study.experiments.grid import load_study, plan
from scs_study.models import build_variant, check_cell, initial_weights
from scs_study.models.architectures import ARCHITECTURES
from scs_study.models.initialization import draw
from scs_study.runs.context import RunContext
from scs_study.runs.run_one import run_cell
from scs_study.selection import results_name
from scs_study.training.run import Settings
from tests.data.own_sets import write_flat, write_own

NAMES = {
    "table1": "rohrer100k-conv-none-maxabs-cifar10-800ep-s0-0f5978b10669",
    "table2": "resnet18-conv-none-maxabs-batchnorm-cifar10-200ep-s0-4213db76af84",
    "table3": "rohrer25k-conv-relu-maxabs-cifar10-800ep-s0-14d2fc946b5c",
    "table8": "resnet18-conv-relu-maxabs-batchnorm-cifar10_224-200ep-s0-cdb60ffbeecd",
    "quick": "rohrer25k-conv-relu-maxabs-digits-6ep-s0-91f753f73137",
    "weight_norms": "resnet20_idelbayev-conv-relu-max-batchnorm-cifar10-200ep-s0-f82119c4766f",
    "p_values": "rohrer100k-scs-none-maxabs-cifar10-800ep-s0-2000d8a3b346",
    "cosine": "rohrer100k-cosine-none-maxabs-cifar10-800ep-s0-ae200463fc27",
}


@pytest.mark.parametrize(("study", "name"), NAMES.items())
def test_the_known_sets_keep_the_names_of_their_runs(study: str, name: str) -> None:
    assert plan(load_study(study))[0].run_name == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("mnist", "rohrer25k-scs-none-maxabs-mnist-800ep-s1-c5c01b0b2787"),
        ("fashion_mnist", "rohrer25k-scs-none-maxabs-fashion_mnist-800ep-s1-8cea9eb7bc3d"),
    ],
)
def test_so_do_the_grey_ones_which_one_channel_makes_others(data: str, name: str) -> None:
    assert compose_cell({"data": data}, {}, 1).run_name == name
    one = compose_cell({"data": data}, {"data.channels": 1}, 1)
    assert one.slug == f"rohrer25k-scs-none-maxabs-{data}_1ch-800ep-s1"
    assert cell_from_dict(one.identity()) == one


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own") / "images", train=16, test=4)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of folders does not go into the project's data/."""
    monkeypatch.setattr("scs_study.experiments.compose.PROJECT", tmp_path)


RESNET = {"data": "folder", "arch": "resnet20", "norm": "batchnorm", "activation": "relu", "pooling": "max"}


def own(root: Path, choices: dict[str, str] | None = None, **settings: Any) -> CellConfig:
    settings = {"train.epochs": 2, "train.batch_size": 16, "data.image_size": [48, 40], **settings}
    settings = {key.replace("__", "."): value for key, value in settings.items()}
    return compose_cell({**RESNET, **(choices or {})}, {"data.root": str(root), **settings}, 0)


def test_a_run_is_named_by_the_images_and_not_by_their_place(root: Path, tmp_path: Path) -> None:
    cell = own(root)
    assert cell.slug == "resnet20-scs-relu-max-batchnorm-folder_48x40-2ep-s0"
    assert cell.data.num_classes == 7
    assert str(root) not in json.dumps(cell.identity())
    assert cell_from_dict(json.loads(json.dumps(cell.identity()))).run_name == cell.run_name
    (tmp_path / "moved").symlink_to(root)
    assert own(tmp_path / "moved").run_name == cell.run_name
    others = [write_own(tmp_path / "other", 16, 4, start=1), write_flat(tmp_path / "flat")]
    changed = [own(root, data__channels=1), own(root, data__fit="stretch"), own(root, data__image_size=48)]
    names = {each.run_name for each in (cell, *map(own, others), *changed)}
    assert len(names) == 6


def test_a_split_on_the_disk_leaves_the_settings_of_a_split_without_effect(root: Path, tmp_path: Path) -> None:
    assert own(root, data__split_seed=3).run_name == own(root).run_name
    flat = write_flat(tmp_path / "flat")
    assert own(flat, data__split_seed=3).run_name != own(flat).run_name
    assert own(flat).data.test_share == 0.2


def test_without_a_place_it_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"data=folder: say where the images are, with data\.root=PATH"):
        compose_cell(RESNET, {}, 0)


def test_results_of_other_images_are_another_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for place in (root, write_flat(tmp_path / "flat")):
        monkeypatch.setattr("scs_study.selection.task_overrides", lambda p=place: ["data=folder", f"data.root={p}"])
        found.add(results_name(load_study("quick")))
    assert len(found) == 2
    assert all(name.startswith("quick-data=folder-data.root=") and "/" not in name for name in found)
    monkeypatch.setattr("scs_study.selection.task_overrides", lambda: [f"data.root={root}"])
    assert results_name(load_study("quick")) == "quick"


def run_context(runs: Path, root: Path) -> RunContext:
    torch.set_num_threads(1)
    return RunContext(runs, Settings(torch.device("cpu")), root, runs / "data")


@pytest.mark.parametrize(
    "cell",
    [
        ({}, {}),
        ({"layer": "conv"}, {"data.channels": 1}),
        ({"arch": "rohrer25k", "norm": "none", "pooling": "maxabs", "activation": "none"}, {"data.image_size": 32}),
    ],
    ids=["seven classes at 48x40", "in one channel", "a network of the gallery"],
)
def test_they_are_trained_and_the_network_is_loaded_again(
    cell: tuple[dict[str, str], dict[str, Any]], root: Path, tmp_path: Path
) -> None:
    which = own(root, cell[0], **cell[1])
    check_cell(which)
    where = run_context(tmp_path / "runs", root)
    assert run_cell(which, where).state == "done"
    frame = collect(where.runs)
    assert frame["image_size"].tolist() == [which.data.image_size if which.data.image_size == 32 else "48x40"]
    assert len(variants(frame)) == 1
    summary(frame, where.runs)
    figure_groups(frame, "error")
    trained = load_trained(where.runs / which.run_name)
    images = where.images(which.data)
    x = images.test_images.float().permute(0, 3, 1, 2) / 255
    answers = classifier(where.runs / which.run_name)(x)
    assert answers.shape == (28, 7)
    right = int((answers.argmax(1) == images.test_labels).sum()) / 28
    assert right == trained.result["final_test_accuracy"]
    assert trained.result["data_digest"] == images.digest


def test_two_classes_are_attacked_with_what_can_attack_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = write_flat(tmp_path / "flat", 20, ("cat", "dog"))
    which = own(flat, {"arch": "rohrer25k", "norm": "none"}, data__image_size=32, train__epochs=1)
    where = run_context(tmp_path / "runs", flat)
    assert run_cell(which, where).state == "done"
    few = {"steps": 1, "apgd_steps": 1, "square_queries": 2, "checks": ["apgd_dlr", "apgd_t", "square"]}
    settings = robustness_of({**load_option("attack", "short"), **few})
    assert compute(collect(where.runs), where, settings) == []
    report(collect(where.runs), where.runs, settings, tmp_path / "results")
    assert "folder has 2 classes, too few for apgd_dlr and apgd_t, which are left out" in capsys.readouterr().out
    assert list((tmp_path / "results" / "tables").glob("robustness-*.md"))


def test_a_network_that_cannot_take_them_is_refused_with_the_reason(root: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.image_size=48x40: rohrer25k takes images of 32 pixels only"):
        check_cell(own(root, {"arch": "rohrer25k", "norm": "none"}))
    with pytest.raises(ValueError, match=r"data\.channels=1: resnet20_idelbayev standardises three colours"):
        check_cell(own(root, {"arch": "resnet20_idelbayev"}, data__channels=1))


def test_networks_of_others_are_held_to_the_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from scs_study.models import variant
    from scs_study.models.architectures import Architecture

    def strange(num_classes: int, in_channels: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(in_channels, 3, 33), torch.nn.Flatten(), torch.nn.Linear(3, 10))

    monkeypatch.setitem(ARCHITECTURES, "rohrer25k", Architecture(strange, ()))
    variant._refusal.cache_clear()
    try:
        assert "rohrer25k cannot take 3 channels of 32x32 pixels" in variant._refusal("rohrer25k", (3, 10), (32, 32))
        assert "one for each of 7 classes" in variant._refusal("rohrer25k", (3, 7), (33, 33))
        assert variant._refusal("rohrer25k", (3, 10), (33, 33)) == ""
    finally:
        variant._refusal.cache_clear()


WITH_CLASSES = [
    name
    for name, architecture in ARCHITECTURES.items()
    if name != "resnet20_idelbayev" and architecture.objective == CLASSIFICATION and not architecture.frozen
]
STANDARDISING = ("batchelor_scsnet", "batchelor_resnet")
"""They standardise CIFAR-10's three colours themselves."""


@pytest.mark.parametrize("arch", WITH_CLASSES)
@pytest.mark.parametrize("ends", [(1, 10), (3, 100), (1, 2)])
def test_every_network_has_the_ends_that_the_images_ask_for(arch: str, ends: tuple[int, int]) -> None:
    if arch in STANDARDISING and ends[0] != 3:
        with pytest.raises(ValueError, match=rf"data\.channels={ends[0]}: {arch} standardises three colours"):
            ARCHITECTURES[arch].build(num_classes=ends[1], in_channels=ends[0])
        return
    network = ARCHITECTURES[arch].build(num_classes=ends[1], in_channels=ends[0]).eval()
    size = 64 if arch == "asl" else 32
    assert network(torch.zeros(2, ends[0], size, size)).shape == (2, ends[1])


def test_initial_weights_of_other_ends_are_other_files_and_the_papers_stay_where_they_are(tmp_path: Path) -> None:
    plain = initial_weights("rohrer25k", 0, "conv2d", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rohrer25k-s0-conv2d.safetensors"]
    seven = initial_weights("rohrer25k", 0, "conv2d", tmp_path, ends=(3, 7))
    grey = initial_weights("rohrer25k", 0, "conv2d", tmp_path, ends=(1, 10))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"rohrer25k{shape}-s0-conv2d.safetensors" for shape in ("", "-3to7", "-1to10")
    }
    assert seven.tensors["head.weight"].shape == (7, 40)
    assert torch.equal(seven.tensors["conv1.weight"], plain.tensors["conv1.weight"])
    assert grey.tensors["conv1.weight"].shape == (80, 1, 5, 5)
    assert initial_weights("rohrer25k", 0, "conv2d", tmp_path, ends=(3, 7)).checksum == seven.checksum
    assert plain.checksum == "d5f2dc48032601fc52d86e770c4e082f9d5aeed7bb0b463db76c0a2f0250e856"


def test_cifar100_is_composed_with_its_classes() -> None:
    cell = compose_cell({"data": "cifar100"}, {}, 0)
    assert cell.slug == "rohrer25k-scs-none-maxabs-cifar100-800ep-s0"
    assert list(cell.identity()["data"]) == ["name", "image_size", "crop_padding", "flip"]
    network = build_variant(cell, draw("rohrer25k", 0, "conv2d", cell.data.ends))
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


def test_two_folders_of_one_process_are_two_sets(root: Path, tmp_path: Path) -> None:
    flat = write_flat(tmp_path / "flat", 20)
    where = run_context(tmp_path / "runs", root)
    one = where.images(own(root).data)
    where.data_root = flat
    assert where.images(own(flat).data).classes == ("ant", "bee", "cat")
    assert where.images(own(root).data) is one
    with pytest.raises(ValueError, match="not those that the run is named after"):
        load_images(own(root).data, flat, tmp_path / "cache", download=False)
