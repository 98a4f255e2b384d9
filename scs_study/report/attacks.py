"""Accuracy under attack for a page, from what run folders have cached; each line has its runs' names at the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from scs_study.analysis.plots.style import FigureGroup, broken, figure_groups, new_figure, our_style
from scs_study.analysis.robustness.cached import Attacked, PGDSettings, attacked_by_pgd
from scs_study.analysis.statistics import wilson
from scs_study.report.charts import WIDTH, draw_legend, inline_svg, legend_room

Members = list[tuple[str, Attacked]]


@dataclass(frozen=True)
class AttackChart:
    """A chart of one network and data under one attack. group: the name that figures of these runs end with."""

    group: str
    title: str
    chart: Markup


def attack_charts(frame: pd.DataFrame, folders: Mapping[str, Path], name: str) -> Iterator[AttackChart]:
    """Return a chart for every network, norm, data and image size of which a run has been attacked, and every attack.

    folders: where each run lies. A run whose attacks are damaged has no line.
    """
    number = 0
    for group in figure_groups(frame[frame["state"] != "missing"], ""):
        runs = {row["run"]: _attacked(folders[row["run"]]) for members in group.variants for row in members}
        for settings in dict.fromkeys(each for found in runs.values() for each in found):
            variants = [
                [(row["run"], runs[row["run"]][settings]) for row in members if settings in runs[row["run"]]]
                for members in group.variants
            ]
            images = min(len(each.pgd) for members in variants for _, each in members)
            attacked = sum(map(len, variants))
            title = f"{group.title()}, {attacked} attacked. {settings.words}; {images} test images"
            chart = _chart(group, variants, settings, images, f"{name}-{number}", title)
            yield AttackChart(group.name, title, chart)
            number += 1


def _attacked(folder: Path) -> dict[PGDSettings, Attacked]:
    try:
        return attacked_by_pgd(folder)
    except ValueError:
        return {}


def _chart(
    group: FigureGroup, variants: list[Members], settings: PGDSettings, images: int, name: str, title: str
) -> Markup:
    titles: dict[str, str] = {}
    room, columns = legend_room(group.labels)
    with our_style():
        figure = new_figure(WIDTH, 5.0 + room)
        above, below = figure.subplots(2, 1)
        handles = []
        for number, (members, style, words) in enumerate(zip(variants, group.styles, group.labels, strict=True)):
            if not members:
                continue
            curves = np.array([each.accuracies(settings, images) for _, each in members])
            mean = curves.mean(axis=0)
            line_style: dict[str, Any] = {**style, "markersize": 3, "linewidth": 1.5, "zorder": 3}
            shift = (number - len(variants) / 2) * 0.012 * settings.eps[-1]  # bars on top of each other cannot be read
            bounds = np.array([wilson(round(share * images), images) for share in mean])
            places, (low, high) = np.array(settings.eps) + shift, 100 * bounds.T
            above.vlines(places, low, high, color=style["color"], linewidth=0.8, alpha=0.6)
            drawn = [(above, 100 * mean)] + ([(below, 100 * mean / mean[0])] if mean[0] > 0 else [])
            for place, (axes, values) in enumerate(drawn):
                (handle,) = axes.plot(settings.eps, values, **line_style)
                handle.set_gid(f"mean-{place}-{number}")
                titles[f"mean-{place}-{number}"] = f"{words}: {', '.join(run for run, _ in members)}"
                if place == 0:
                    handle.set_label(broken(words))
                    handles.append(handle)
            for (run, _), curve in zip(members, curves, strict=True) if len(members) > 1 else ():
                (line,) = above.plot(settings.eps, 100 * curve, color=style["color"], linewidth=0.7, alpha=0.45)
                line.set_gid(f"run-{run}")
                titles[f"run-{run}"] = run
        for axes, words in ((above, "accuracy (%)"), (below, "% of that at eps 0")):
            axes.set_xticks(settings.eps, [f"{radius:g}" for radius in settings.eps])
            axes.set_ylabel(words)
            axes.set_ylim(0, None)
        below.set_xlabel("eps (255ths)")
        draw_legend(figure, handles, columns)
        return inline_svg(figure, name, f"Accuracy under attack: {title}", titles)
