"""The chart of the bench: what a step of every layer costs, as ratios to Conv2d + ReLU + MaxPool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scs_study.analysis.plots.style import color, new_figure, our_style, save, suptitle
from scs_study.benchmark.table import BASELINE, Row
from scs_study.layers.registry import LAYERS

_GREY = "#8c8c8c"
_WIDTH = 0.8
"""Of a group of bars, in units of the distance between two groups."""


def bench_chart(rows: Sequence[Row], device: str, folder: Path, name: str) -> Path:
    """Return the path of the PNG: a panel for training and one for evaluation, a group of bars an architecture and
    engine.

    Each variant stands there once, in its faster layout; whiskers are quartiles.
    """
    best = _fastest(rows)
    groups = list(dict.fromkeys((r.architecture, r.pixels, r.engine, r.batch) for r in best))
    variants = list(dict.fromkeys(r.variant for r in best))
    with our_style():
        figure = new_figure(max(6.5, 1.1 + 0.95 * len(groups)), 5.6)
        for axes, kind in zip(figure.subplots(2, 1, sharex=True), ("train", "eval"), strict=True):
            for index, variant in enumerate(variants):
                mine = {(r.architecture, r.pixels, r.engine, r.batch): r for r in best if r.variant == variant}
                at = [i for i, group in enumerate(groups) if group in mine]
                own = [mine[groups[i]] for i in at]
                ratio = np.array([getattr(r, f"{kind}_x_conv") for r in own])
                per_ms = ratio / np.array([getattr(r, f"{kind}_ms") for r in own])
                below = ratio - per_ms * np.array([getattr(r, f"{kind}_low") for r in own])
                above = per_ms * np.array([getattr(r, f"{kind}_high") for r in own]) - ratio
                place = np.array(at) + _WIDTH * ((index + 0.5) / len(variants) - 0.5)
                naive = variant.endswith(", naive")
                axes.bar(
                    place, ratio, _WIDTH / len(variants) * 0.92, label=variant, color=_colour(variant),
                    edgecolor="white" if naive else "none", hatch="////" if naive else None, linewidth=0,
                )  # fmt: skip
                axes.errorbar(
                    place, ratio, np.stack([below, above]).clip(min=0), fmt="none", ecolor="black", elinewidth=0.7
                )
            axes.set_axisbelow(True)
            axes.axhline(1.0, color="black", linewidth=0.7)
            axes.set_ylabel(f"{'training' if kind == 'train' else 'evaluation'} step\n× {BASELINE}")
            axes.grid(visible=False, axis="x")
        axes.set_xticks(range(len(groups)), [_words(*group) for group in groups])
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        suptitle(figure, f"Time of a step, medians with quartiles ({device})")
        path, page = save(figure, folder, name, colours=True)
        page.unlink()
    return path


def _fastest(rows: Sequence[Row]) -> list[Row]:
    best: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (row.architecture, row.pixels, row.engine, row.batch, row.variant)
        if key not in best or row.train_ms < best[key].train_ms:
            best[key] = row
    return list(best.values())


def _words(architecture: str, pixels: int, engine: str, batch: int) -> str:
    size = f" {pixels}" if architecture.startswith("resnet") else ""
    return f"{architecture}{size}\n{engine}\nbatch {batch}"


def _colour(variant: str) -> str:
    layer, *_, pooling = variant.removesuffix(", naive").split(" + ")
    return color(layer, pooling) if layer in LAYERS else _GREY
