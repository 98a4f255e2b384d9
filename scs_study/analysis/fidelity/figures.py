"""What generators draw, and how close it comes to real images over the epochs: curves, a sheet, animations."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scs_study.analysis.fidelity.results import Seed, Variant
from scs_study.analysis.plots.style import FREE, broken, logarithmic, new_figure, our_style, save, suptitle
from scs_study.analysis.statistics.summary import interval
from scs_study.evaluation.fidelity.evaluator import Judged
from scs_study.system.files import shortened, write_bytes
from scs_study.training.objectives.adversarial import SAMPLES

PANELS = (
    ("frechet", "Fréchet distance", True),
    ("kernel", "kernel distance (squared MMD)", True),
    ("precision", "precision", False),
    ("recall", "recall", False),
)
"""Measures, their words, and whether less is better."""
REAL = "training images"
"""What the dashed line is of."""
FRAME = 500
"""Milliseconds of an epoch in an animation."""
MARKERS = "o^Dsv*"


def draw_curves(found: Sequence[Variant], head: str, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figure of all measures over the epochs, and write it.

    A line is the mean over seeds, its band the 95 % t interval of that mean from three seeds on; every seed is a mark.
    The dashed line is what training images reach in the place of samples.
    """
    with our_style():
        figure = new_figure(8.2, 6.0)
        grid = figure.subplots(2, 2, sharex=True)
        for axes, (name, words, falling) in zip(grid.flat, PANELS, strict=True):
            for number, variant in enumerate(found):
                colour, marker = FREE[number % len(FREE)][1], MARKERS[number % len(MARKERS)]
                epochs, values = over_epochs(variant.seeds, name)
                means = [float(np.mean(each)) for each in values]
                axes.plot(epochs, means, color=colour, label=broken(variant.words), linewidth=1.4)
                for epoch, each in zip(epochs, values, strict=True):
                    axes.plot([epoch] * len(each), each, marker, color=colour, markersize=3.5, linestyle="none")
                bounds = [interval(each) for each in values]
                axes.fill_between(epochs, *np.array(bounds).T, color=colour, alpha=0.15, linewidth=0)
            floor = [getattr(seed.real.measures, name) for v in found for seed in v.seeds if seed.real is not None]
            if floor:
                axes.axhline(float(np.mean(floor)), color="black", linestyle=(0, (4, 2)), linewidth=0.9, label=REAL)
            if falling and all(min(v) > 0 for x in found for v in over_epochs(x.seeds, name)[1]):
                logarithmic(axes)
            axes.set_title(words, fontsize=9, loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        suptitle(figure, head, beside=1.6)
        return save(figure, folder, "fidelity", colours=True)


def over_epochs(seeds: Sequence[Seed], name: str) -> tuple[list[int], list[list[float]]]:
    """Return the judged epochs of a variant, and of each the values of a measure, a number a seed."""
    by_epoch: dict[int, list[Judged]] = {}
    for seed in seeds:
        for each in seed.drawn:
            by_epoch.setdefault(each.epoch, []).append(each)
    epochs = sorted(by_epoch)
    return epochs, [[float(getattr(each.measures, name)) for each in by_epoch[epoch]] for epoch in epochs]


def draw_samples(found: Sequence[Variant], runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of a sheet of each variant's last samples (its first seed's), and of an animation of each.

    A variant whose grids are not there (its records were published without them) is left out.
    """
    sheets = [(variant, grids(runs / variant.seeds[0].row["run"])) for variant in found]
    shown = [(variant, frames) for variant, frames in sheets if frames]
    if not shown:
        return ()
    with our_style():
        titles = [f"{broken(variant.words)}\nepoch {len(frames)}" for variant, frames in shown]
        figure = new_figure(3.0 * len(shown), 3.0 + 0.15 * max(title.count("\n") + 1 for title in titles))
        panels = figure.subplots(1, len(shown), squeeze=False).flat
        for axes, title, (_, frames) in zip(panels, titles, shown, strict=True):
            axes.imshow(np.asarray(frames[-1]), cmap="gray", vmin=0, vmax=255)
            axes.set_title(title, fontsize=7, loc="left")
            axes.set_axis_off()
            axes.set_anchor("S")  # what the square leaves free is above it, for the title
        paths = [*save(figure, folder, "samples", colours=True)]
    for variant, frames in shown:
        content, (first, *rest) = (
            io.BytesIO(),
            [frame.resize((frame.width // 2, frame.height // 2)) for frame in frames],
        )
        first.save(content, "GIF", save_all=True, append_images=rest, duration=FRAME, loop=0)
        paths.append(folder / f"{shortened('samples-' + '-'.join(variant.words.split()))}.gif")
        write_bytes(paths[-1], content.getvalue())
    return tuple(paths)


def grids(folder: Path) -> list[Image.Image]:
    """Return the grids of samples that a run keeps, an epoch each, in their order."""
    found = []
    for path in sorted((folder / SAMPLES).glob("epoch-*.png")):
        with Image.open(path) as picture:
            found.append(picture.copy())
    return found
