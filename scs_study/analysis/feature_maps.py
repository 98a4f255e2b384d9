"""What a network's layers answer to one image: their outputs as pictures, negative matches in another colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scs_study.analysis.collect import WHOLE
from scs_study.analysis.plots.style import new_figure, our_style, save
from scs_study.analysis.registry import Analysis, Subject
from scs_study.data.batches import to_inputs
from scs_study.evaluation.trained import load_trained
from scs_study.models.variant import layer_paths
from scs_study.system.tensors import load_tensors, save_tensors

FILE = Path("feature_maps", "maps.safetensors")
MOST = 16
"""Maps of a layer that are drawn: the first ones."""
IMAGE = "image"


def feature_maps(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Return the image (C, H, W) and the outputs (O, height, width) of every layer to it, in the order of computing.

    A layer that is applied several times has a map for each: path, path (2), ... Of a layer with a pool taken in they
    are pooled.
    """
    found = {IMAGE: image[0]}

    def keep(path: str, output: Tensor) -> None:
        times = 1 + sum(name.partition(" (")[0] == path for name in found)
        found[path if times == 1 else f"{path} ({times})"] = output[0]

    hooks = [
        network.get_submodule(path).register_forward_hook(lambda _, __, output, path=path: keep(path, output))
        for path in layer_paths(network)
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return found


def compute(subject: Subject) -> list[str]:
    """Keep the maps of every finished run of the lowest seed, of the first test image of the fourth class or the last.

    Return a message for each run that cannot be read.
    """
    assert subject.context is not None
    problems = []
    for name in _runs(subject):
        if (subject.runs / name / FILE).exists():
            continue
        try:
            trained = load_trained(subject.runs / name)
        except ValueError as error:
            problems.append(str(error))
            continue
        images = subject.context.images(trained.cell.data)
        label = min(3, int(images.test_labels.max()))
        chosen = images.test_images[images.test_labels == label][:1]
        maps = feature_maps(trained.network, to_inputs(chosen, trained.cell.data.size))
        order = {f"{index:03d} {path}": values for index, (path, values) in enumerate(maps.items())}
        save_tensors(subject.runs / name / FILE, order, {"run": name, "label": label, "weights": trained.weights})
    return problems


def report(subject: Subject) -> tuple[Path, ...]:
    """Return the paths of the figures, one for each run whose maps are kept, and write them."""
    paths: list[Path] = []
    for name in _runs(subject):
        if (subject.runs / name / FILE).exists():
            maps, _ = load_tensors(subject.runs / name / FILE)
            paths += draw({key[4:]: maps[key] for key in sorted(maps)}, subject.folder / "figures", f"maps-{name}")
    return tuple(paths)


def draw(maps: Mapping[str, Tensor], folder: Path, name: str) -> Sequence[Path]:
    """Return the paths of a figure of maps, a row a layer; each row has a scale of its own, around zero."""
    rows = {path: values[:MOST] for path, values in maps.items()}
    columns = max(len(values) for values in rows.values())
    with our_style():
        figure = new_figure(0.55 * columns + 1.6, 0.62 * len(rows))
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for line, (path, values) in zip(axes, rows.items(), strict=True):
            bound = float(values.abs().max()) or 1.0
            for place, axis in enumerate(line):
                axis.axis("off")
                if place < len(values):
                    colours = {"cmap": "gray", "vmin": 0} if path == IMAGE else {"cmap": "PuOr_r", "vmin": -bound}
                    axis.imshow(values[place].numpy(), vmax=bound, interpolation="nearest", **colours)
            line[0].text(-0.15, 0.5, path, transform=line[0].transAxes, ha="right", va="center", fontsize=7)
        return save(figure, folder, name, colours=True)


def _runs(subject: Subject) -> list[str]:
    done = subject.frame[subject.frame["state"].isin(WHOLE)]
    return [str(name) for name in done.loc[done["seed"] == done["seed"].min(), "run"]]


ANALYSIS = Analysis(report, compute)
