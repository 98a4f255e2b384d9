"""What a network's layers look for, and what they answer to one image: kernels and outputs as pictures.

Negative weights and negative matches are in another colour than positive ones.
"""

from __future__ import annotations

import math
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
KERNELS = Path("feature_maps", "kernels.safetensors")
MOST = 16
"""Maps or kernels of a layer that are drawn, and channels of a kernel: the first ones."""
IMAGE = "image"


def feature_maps(network: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Return the image (C, H, W) and the outputs (O, height, width) of every layer to it, in the order of computing.

    A layer that is applied several times has a map for each: path, path (2), ... Of a layer with a pool taken in they
    are pooled.
    """
    found = {IMAGE: image[0]}

    def record(path: str, output: Tensor) -> None:
        times = 1 + sum(name.partition(" (")[0] == path for name in found)
        found[path if times == 1 else f"{path} ({times})"] = output[0]

    hooks = [
        network.get_submodule(path).register_forward_hook(lambda _, __, output, path=path: record(path, output))
        for path in layer_paths(network)
    ]
    with torch.no_grad():
        network(image)
    for hook in hooks:
        hook.remove()
    return found


def kernels(network: nn.Module) -> dict[str, Tensor]:
    """Return the kernels (O, I, height, width) of every layer that has some, in the network's order."""
    found = {path: getattr(network.get_submodule(path), "weight", None) for path in layer_paths(network)}
    return {path: each.detach() for path, each in found.items() if isinstance(each, Tensor) and each.dim() == 4}


def compute(subject: Subject) -> list[str]:
    """Keep kernels and maps of every chosen run, of the first test image of the fourth class or the last.

    Return a message for each run that cannot be read.
    """
    assert subject.context is not None
    problems = []
    for name in _runs(subject):
        folder = subject.runs / name
        if (folder / FILE).exists() and (folder / KERNELS).exists():
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
        notes = {"run": name, "label": label, "weights": trained.weights}
        save_tensors(folder / FILE, _numbered(maps), notes)
        save_tensors(folder / KERNELS, _numbered(kernels(trained.network)), notes)
    return problems


def report(subject: Subject) -> tuple[Path, ...]:
    """Return the paths of the figures, of each run whose kernels and maps are cached, and write them."""
    paths: list[Path] = []
    for name in _runs(subject):
        for file, draws, title in ((KERNELS, draw_kernels, "kernels"), (FILE, draw, "maps")):
            if (subject.runs / name / file).exists():
                kept, _ = load_tensors(subject.runs / name / file)
                rows = {key[4:]: kept[key] for key in sorted(kept)}
                paths += draws(rows, subject.folder / "figures", f"{title}-{name}") if rows else ()
    return tuple(paths)


def draw(maps: Mapping[str, Tensor], folder: Path, name: str) -> Sequence[Path]:
    """Return the paths of a figure of maps, a row a layer."""
    return _draw_rows({path: list(values[:MOST]) for path, values in maps.items()}, folder, name)


def draw_kernels(layers: Mapping[str, Tensor], folder: Path, name: str) -> Sequence[Path]:
    """Return the paths of a figure of kernels, a row a layer.

    A kernel of several channels is a square of them; those of one pixel are one picture, a line a kernel.
    """
    rows: dict[str, list[Tensor]] = {}
    for path, values in layers.items():
        pixels = values.shape[2:] == (1, 1)
        rows[path] = [values[:, :, 0, 0]] if pixels else [_square(kernel[:MOST]) for kernel in values[:MOST]]
    return _draw_rows(rows, folder, name)


def _draw_rows(rows: Mapping[str, Sequence[Tensor]], folder: Path, name: str) -> Sequence[Path]:
    """Draw rows of pictures by their names; each row has a scale of its own, around zero."""
    columns = max(len(pictures) for pictures in rows.values())
    with our_style():
        figure = new_figure(0.55 * columns + 1.6, 0.62 * len(rows))
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for line, (path, pictures) in zip(axes, rows.items(), strict=True):
            bound = max(float(picture.nan_to_num().abs().max()) for picture in pictures) or 1.0
            for place, axis in enumerate(line):
                axis.axis("off")
                if place < len(pictures):
                    colours = {"cmap": "gray", "vmin": 0} if path == IMAGE else {"cmap": "PuOr_r", "vmin": -bound}
                    axis.imshow(pictures[place].numpy(), vmax=bound, interpolation="nearest", **colours)
            line[0].text(-0.15, 0.5, path, transform=line[0].transAxes, ha="right", va="center", fontsize=7)
        return save(figure, folder, name, colours=True)


def _square(kernel: Tensor) -> Tensor:
    """The channels (I, height, width) of a kernel side by side, with an empty line between two."""
    across = math.ceil(math.sqrt(len(kernel)))
    empty = kernel.new_full((across * across - len(kernel), *kernel.shape[1:]), math.nan)
    padded = nn.functional.pad(torch.cat([kernel, empty]), (0, 1, 0, 1), value=math.nan)
    height, width = padded.shape[1:]
    tiles = padded.reshape(across, across, height, width).transpose(1, 2).reshape(across * height, across * width)
    used = math.ceil(len(kernel) / across) * height
    return tiles[: used - 1, :-1]


def _numbered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by names that sort in their order."""
    return {f"{index:03d} {path}": values.contiguous() for index, (path, values) in enumerate(tensors.items())}


def _runs(subject: Subject) -> list[str]:
    """The finished runs: those of a study's lowest seed, all of those that were named."""
    done = subject.frame[subject.frame["state"].isin(WHOLE)]
    if subject.config is None or not subject.config.get("match"):
        done = done[done["seed"] == done["seed"].min()]
    return [str(name) for name in done["run"]]


ANALYSIS = Analysis(report, compute)
